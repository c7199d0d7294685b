"""Order intents, rounding and costs."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from core.costs import ask_ticks, bid_ticks, commission, quote_path
from core.orders import lots_to_quantity, stop_price, stop_trigger

LOT, TICK = Decimal("0.001"), Decimal("0.10")


@settings(max_examples=400, deadline=None)
@given(st.floats(0.2, 1e6), st.integers(-1000, 1000).filter(bool))
def test_a_stop_is_on_the_tick_and_never_further_away_than_asked(price, lots):
    rounded = stop_price(price, lots=lots, tick=TICK)
    assert rounded % TICK == 0
    exact = Decimal(repr(price))
    distance = rounded - exact if lots > 0 else exact - rounded
    assert 0 <= distance < TICK


def test_a_short_position_has_its_stop_rounded_down_and_lots_are_exact():
    assert stop_trigger(100.04, lots=-7, tick=TICK) == 1_000
    assert stop_price(100.04, lots=-7, tick=TICK) == Decimal("100.0")
    assert lots_to_quantity(-7, LOT) == Decimal("0.007")


@settings(max_examples=400, deadline=None)
@given(st.integers(100, 10_000_000), st.floats(0.0, 0.01))
def test_the_spread_is_rounded_against_the_one_who_trades(count, away):
    price = count * 0.1
    bid, ask = bid_ticks(price, away, 0.1), ask_ticks(price, away, 0.1)
    assert bid * 0.1 <= price * (1 - away) + 1e-6
    assert ask * 0.1 >= price * (1 + away) - 1e-6
    assert count - bid <= price * away / 0.1 + 1.0
    assert ask - count <= price * away / 0.1 + 1.0
    if away == 0.0:
        assert bid == ask == count


def test_the_nearer_extreme_trades_first():
    assert quote_path(10.0, 11.0, 8.0, 9.0) == (10.0, 11.0, 8.0, 9.0)
    assert quote_path(10.0, 13.0, 9.0, 12.0) == (10.0, 9.0, 13.0, 12.0)


def test_a_fee_is_booked_to_eight_decimals():
    assert commission(-4637.54, 0.0005) == 2.31877
    assert commission(1.0 / 3.0, 0.0005) == 0.00016667
