"""Each style of execution in the real engine, on made-up quotes and trades and on real minutes."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
from nautilus_trader.model import AggressorSide, InstrumentId, Price, Quantity, QuoteTick, TradeId, TradeTick

from adapters.catalog import instrument
from adapters.replay_stream import ReplayRange, ReplayStream
from tests.acceptance.owner import Ask, Run, check, work

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
INSTRUMENT = InstrumentId.from_str("BTCUSDT-PERP.BINANCE")
STYLES = ("limit", "twap", "participation")


def quotes(bids: list[float], size: str = "5.000") -> list[QuoteTick]:
    """One quote a second, a tick wide."""
    return [
        QuoteTick(
            INSTRUMENT,
            Price.from_str(f"{bid:.1f}"),
            Price.from_str(f"{bid + 0.1:.1f}"),
            Quantity.from_str(size),
            Quantity.from_str(size),
            START + k * SECOND,
            START + k * SECOND,
        )
        for k, bid in enumerate(bids)
    ]


def trades(sizes: list[float], price: float = 1000.0, side: AggressorSide = AggressorSide.SELL) -> list[TradeTick]:
    """One trade half a second after each second."""
    return [
        TradeTick(
            INSTRUMENT,
            Price.from_str(f"{price:.1f}"),
            Quantity.from_str(f"{size:.3f}"),
            side,
            TradeId(str(k)),
            START + k * SECOND + SECOND // 2,
            START + k * SECOND + SECOND // 2,
        )
        for k, size in enumerate(sizes)
        if size > 0
    ]


def ask(lots: int, *, at: int = 2, cancel: int = 0, reduce_only: bool = False, name: str = "P1") -> Ask:
    cancel_ns = START + cancel * SECOND if cancel else 0
    return Ask(name, START + at * SECOND, lots, 1000.0, cancel_ns, reduce_only)


def times(run: Run, name: str = "P1") -> list[float]:
    return [(ts - START) / SECOND for ts, _, _, _ in run.fills(name)]


def test_slices_by_time_spread_an_order_over_its_duration_and_sum_to_it():
    asks = [ask(2000)]
    run = work("twap", asks, [quotes([1000.0] * 400)], "execution.slices=6", "execution.duration_seconds=300")
    check(run, asks)
    assert run.ended["P1"].outcome == "filled"
    assert run.position == Decimal("2.000")
    assert len(run.slices("P1")) == 6
    at = times(run)
    assert at == sorted(at)
    for k, second in enumerate(at):
        assert 2 + 50 * k <= second <= 2 + 50 * k + 0.3 * 50 + 1.1, "each in the first share of its stretch"


def test_the_same_name_is_sliced_the_same_way_and_another_one_otherwise():
    runs = {name: work("twap", [ask(2000, name=name)], [quotes([1000.0] * 400)]) for name in ("P1", "P2")}
    again = work("twap", [ask(2000)], [quotes([1000.0] * 400)])
    assert again.events == runs["P1"].events
    assert [e[2:] for e in runs["P2"].events] != [e[2:] for e in runs["P1"].events]


def test_a_small_order_is_cut_into_fewer_slices_so_that_each_is_worth_the_minimum():
    asks = [ask(250)]
    run = work("twap", asks, [quotes([1000.0] * 400)])
    check(run, asks)
    assert len(run.slices("P1")) == 2, "100 USDT each at least, and 5 % more"
    single = work("twap", [ask(120)], [quotes([1000.0] * 400)])
    assert [order.quantity.as_decimal() for order in single.slices("P1")] == [Decimal("0.120")]


def test_a_slice_whose_worth_fell_below_the_minimum_goes_with_the_next_one():
    bids = [1000.0] * 20 + [860.0] * 380
    asks = [ask(330)]
    run = work("twap", asks, [quotes(bids)], "execution.slices=3", "execution.jitter=0")
    check(run, asks)
    assert run.ended["P1"].outcome == "filled"
    assert [round(o.quantity.as_decimal() * 1000) for o in run.slices("P1")] == [110, 220]


def test_slices_by_volume_are_no_more_than_their_share_until_the_deadline():
    volume = [1.0] * 200 + [0.0] * 200
    asks = [ask(60_000)]
    run = work(
        "participation", asks, [quotes([1000.0] * 400), trades(volume)],
        "execution.participation_rate=0.05", "execution.duration_seconds=300",
    )  # fmt: skip
    check(run, asks)
    bought = 0
    for ts, lots, _, _ in run.fills("P1"):
        second = (ts - START) / SECOND
        bought += lots
        if second < 302:
            assert bought <= 0.05 * 1_000 * (second - 2), "a twentieth of what was traded since"
    assert 9_000 <= sum(lots for ts, lots, _, _ in run.fills("P1") if ts < START + 302 * SECOND) <= 10_000
    assert run.ended["P1"].outcome == "filled", "the rest at the deadline"
    assert times(run)[-1] == pytest.approx(302, abs=1.1)


@pytest.mark.parametrize("style", STYLES)
def test_a_cancelled_parent_sends_nothing_more_and_says_what_it_left(style):
    sizes = [3.0] * 400
    asks = [ask(12_000, cancel=40)]
    data = [quotes([1000.0] * 400), trades(sizes)]
    run = work(style, asks, data, "execution.chase_timeout_seconds=200", trade_execution=False)
    check(run, asks)
    end = run.ended["P1"]
    assert end.outcome == "canceled"
    assert end.unfilled_lots > 0
    assert (end.ts_event - START) / SECOND <= 42
    assert all(second <= 42 for second in times(run))
    assert all(order.is_closed for order in run.slices("P1"))


def test_a_resting_order_that_is_reached_fills_as_a_maker_and_pays_no_spread():
    bids = [1000.0] * 10 + [999.5] * 100
    asks = [ask(500), ask(-500, at=30, name="P2")]
    run = work("limit", asks, [quotes(bids)])
    check(run, asks)
    assert [(lots, price, kind) for _, lots, price, kind in run.fills("P1")] == [(500, 1000.0, "MAKER")]
    assert {kind for _, _, _, kind in run.fills("P2")} == {"TAKER"}, "nobody came, so it took"


def test_a_chase_follows_the_market_no_more_often_and_no_further_than_it_may():
    bids = [1000.0 + 0.1 * (k // 4) for k in range(100)]
    asks = [ask(500)]
    run = work(
        "limit", asks, [quotes(bids)],
        "execution.chase_moves=3", "execution.chase_timeout_seconds=40", "execution.slippage_cap_bps=20",
    )  # fmt: skip
    check(run, asks)
    placed = [order for order in run.slices("P1") if order.is_post_only]
    assert len(placed) == 4, "once, and three moves"
    prices = [order.price.as_double() for order in placed]
    assert prices == sorted(prices)
    for before, after in pairwise(run.slices("P1")):
        [gone] = [event for event in run.events if event[:2] == ("canceled", str(before.client_order_id))]
        assert 0 <= after.ts_init - gone[2] < SECOND // 100, "placed anew as soon as the old one is gone, never before"
    taken = run.slices("P1")[-1]
    assert taken.time_in_force.name == "IOC"
    assert taken.price.as_double() == 1002.0
    assert run.ended["P1"].outcome == "filled"
    assert run.fills("P1")[-1][2] == pytest.approx(bids[43] + 0.1, abs=0.11)


@pytest.mark.parametrize("side", [1, -1])
def test_a_chase_never_pays_beyond_the_cap_and_reports_the_rest(side):
    bids = [1000.0 + side * 0.5 * k for k in range(100)]
    asks = [ask(500 * side)]
    run = work("limit", asks, [quotes(bids)], "execution.slippage_cap_bps=15", "execution.chase_timeout_seconds=30")
    check(run, asks)
    end = run.ended["P1"]
    assert (end.outcome, end.unfilled_lots) == ("timed_out", 500)
    for order in run.slices("P1"):
        assert side * (order.price.as_double() - 1000.0) <= 1.5


def test_an_order_that_cannot_be_sliced_is_a_fault_and_after_it_what_rests_is_cancelled():
    asks = [ask(500), ask(500, at=10, name="P2-E1")]
    run = work("limit", asks, [quotes([1000.0] * 60)], "execution.chase_timeout_seconds=50")
    assert "P2-E1 cannot be sliced" in run.faults.first
    assert run.ended["P1"].outcome == "canceled"
    assert (run.ended["P1"].ts_event - START) / SECOND <= 13
    assert run.position == 0


@pytest.mark.parametrize("style", STYLES)
def test_a_slice_that_is_refused_ends_the_parent_with_the_venues_words(style):
    asks = [ask(-300, reduce_only=True)]
    run = work(style, asks, [quotes([1000.0] * 400), trades([1000.0] * 400)])
    check(run, asks)
    end = run.ended["P1"]
    assert (end.outcome, end.unfilled_lots) == ("rejected", 300)
    assert "REDUCE" in end.reason.upper()
    assert len(run.slices("P1")) == 1


def test_an_order_that_only_reduces_never_turns_the_position():
    asks = [ask(300), ask(-60, at=350, reduce_only=True, name="P2")]
    run = work("twap", asks, [quotes([1000.0] * 800)])
    check(run, asks)
    assert run.position == Decimal("0.240")
    assert all(order.is_reduce_only for order in run.slices("P2"))


@pytest.mark.parametrize("style", STYLES)
def test_real_minutes_fill_every_style_and_the_books_are_right(history, style):
    name = "BTCUSDT-PERP.BINANCE"
    info = instrument(history, name)
    start, end = (pd.Timestamp(text, tz="UTC").value for text in ("2024-03-05", "2024-03-06"))
    stream = ReplayStream(history, [info], ReplayRange("1m", start, end, 1), away=1e-4)
    chunks: list[Any] = [data for chunk in stream.chunks() for data in chunk]
    closes = {bar.ts_event: bar.close.as_double() for bar in chunks[-1]}
    asks = []
    for number in range(90):
        at = start + (1 + number) * 900 * SECOND
        asks.append(Ask(f"P{number}", at, 40 if number % 4 < 2 else -40, closes[at]))
    run = work(style, asks, chunks, info=info)
    check(run, asks, info)
    outcomes = {end.outcome for end in run.ended.values()}
    assert outcomes <= {"filled", "timed_out"}
    assert sum(end.filled_lots for end in run.ended.values()) > 1000
    if style == "limit":
        for each in asks:
            sign = 1 if each.lots > 0 else -1
            worst = max((sign * (price / each.arrival - 1) for _, _, price, _ in run.fills(each.name)), default=0.0)
            assert worst <= 15e-4 + 1e-9
