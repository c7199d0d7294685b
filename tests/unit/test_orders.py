"""Order intents, rounding and costs."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.costs import ask_ticks, bid_ticks, commission, quote_path
from core.decision import Decided, Position
from core.orders import Intent, order_intent, stop_intent, stop_price

LOT, TICK = Decimal("0.001"), Decimal("0.10")


def intent(lots, target):
    return order_intent(Position(lots, 1.0, 1.0, 1), Decided(target, 0.0, 0, 0), lot=LOT)


def test_an_entry_a_reduction_and_a_close_ask_for_the_difference():
    assert intent(0, 5) == Intent("BUY", Decimal("0.005"), reduce_only=False)
    assert intent(0, -5) == Intent("SELL", Decimal("0.005"), reduce_only=False)
    assert intent(5, 2) == Intent("SELL", Decimal("0.003"), reduce_only=True)
    assert intent(-5, 0) == Intent("BUY", Decimal("0.005"), reduce_only=True)
    assert intent(5, 7) == Intent("BUY", Decimal("0.002"), reduce_only=False)
    assert intent(5, 5) is None


def test_a_reversal_in_one_order_is_refused():
    with pytest.raises(ValueError, match="must not reverse 5 lots to -5"):
        intent(5, -5)


@settings(max_examples=400, deadline=None)
@given(st.floats(0.2, 1e6), st.integers(-1000, 1000).filter(bool))
def test_a_stop_is_on_the_tick_and_never_further_away_than_asked(price, lots):
    rounded = stop_price(price, lots=lots, tick=TICK)
    assert rounded % TICK == 0
    exact = Decimal(repr(price))
    distance = rounded - exact if lots > 0 else exact - rounded
    assert 0 <= distance < TICK


def test_a_flat_position_needs_no_stop_and_a_short_one_buys():
    assert stop_intent(0, 10.0, lot=LOT, tick=TICK) is None
    short = stop_intent(-7, 100.04, lot=LOT, tick=TICK)
    assert short is not None
    assert (short.side, short.quantity, short.trigger_price) == ("BUY", Decimal("0.007"), Decimal("100.0"))


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
