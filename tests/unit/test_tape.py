"""The venue of the execution benchmark gives no order what the recording does not hold."""

import numpy as np
import pytest

from benchmarks.recordings import LEVELS, Recording
from benchmarks.tape import Tape
from core.chase import ChaseParams
from core.parent import ExecutionParams, Parent, ParentOrder
from core.situation import Instrument

SECOND = 1_000_000_000
INSTRUMENT = Instrument(tick=1.0, lot=1.0, min_lots=1, max_lots=10**6, min_notional=0.0)
PARAMS = ExecutionParams(1, 60 * SECOND, 0.1, 0.0, SECOND, ChaseParams(1, 50, SECOND, 60 * SECOND, 0.05))


def recording(trades, *, bid=100.0, ask=101.0, size=0.0, book=()) -> Recording:
    """Quotes stand still for 200 s; ``trades`` are (second, price, size, buyer)."""
    ts = np.arange(200, dtype=np.int64) * SECOND
    flat = np.ones(len(ts))
    levels = np.full((1 if book else 0, 2, LEVELS, 2), np.nan)
    for number, level in enumerate(book):
        levels[0, 1, number] = level
    when = np.array([int(t[0] * SECOND) for t in trades], dtype=np.int64)
    price, sizes = (np.array([float(t[k]) for t in trades]) for k in (1, 2))
    buyer = np.array([bool(t[3]) for t in trades], dtype=bool)
    sized = flat * size
    return Recording(ts, flat * bid, flat * ask, sized, sized, when, price, sizes, buyer, ts[: len(levels)], levels)


def played(market: Recording, style: str, lots: int, side: int = 1) -> Tape:
    wanted = ParentOrder(style, side, lots, 100.5, INSTRUMENT, reduce_only=False, seed=1, start_ns=SECOND)
    tape = Tape(market, Parent(wanted, PARAMS))
    tape.play()
    return tape


def test_a_market_order_walks_the_book_and_leaves_what_is_not_there():
    tape = played(recording([(0, 100, 1, True)], book=[(101.0, 3.0), (102.0, 4.0)]), "twap", 10)
    assert [(fill.lots, fill.price) for fill in tape.fills] == [(3, 101.0), (4, 102.0)]


def test_without_a_book_it_gets_half_of_what_others_bought_and_nothing_for_waiting():
    market = recording([(2, 101, 8, True), (3, 90, 100, False), (9, 95, 8, True), (12, 104, 100, True)])
    tape = played(market, "twap", 10)
    assert [(fill.lots, fill.price) for fill in tape.fills] == [(4, 101.0), (4, 101.0), (2, 104.0)]


def test_a_resting_order_waits_for_its_turn_and_gets_no_more_than_was_traded():
    market = recording([(2, 100, 30, False), (3, 100, 25, True), (4, 100, 25, False), (5, 100, 3, False)], size=50.0)
    tape = played(market, "limit", 10)
    rested = [(fill.ts // SECOND, fill.lots, fill.price) for fill in tape.fills if fill.maker]
    assert rested == [(4, 5, 100.0), (5, 3, 100.0)], "50 stood before it, 55 came, then 3"


def test_a_trade_through_its_price_fills_it_by_its_volume_whatever_stood_before():
    tape = played(recording([(2, 99, 4, False), (3, 100, 50, False)], size=1000.0), "limit", 10)
    assert [(fill.lots, fill.price) for fill in tape.fills if fill.maker] == [(4, 100.0), (6, 100.0)]


def test_without_displayed_sizes_only_trades_through_its_price_fill_it():
    tape = played(recording([(2, 100, 500, False), (3, 99, 4, False)]), "limit", 10)
    assert [(fill.lots, fill.ts // SECOND) for fill in tape.fills if fill.maker] == [(4, 3)]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("seed", range(20))
def test_resting_fills_never_exceed_what_traded_at_or_through_their_price(seed, side):
    rng = np.random.default_rng(seed)
    trades = sorted(
        (float(t), float(p), int(q), bool(b))
        for t, p, q, b in zip(
            rng.uniform(1, 60, 80), rng.integers(98, 104, 80), rng.integers(1, 9, 80), rng.integers(0, 2, 80),
            strict=True,
        )
    )  # fmt: skip
    tape = played(recording(trades, size=float(rng.integers(0, 20))), "limit", 60, side)
    for price in {fill.price for fill in tape.fills if fill.maker}:
        got = sum(fill.lots for fill in tape.fills if fill.maker and fill.price == price)
        there = sum(q for _, p, q, buyer in trades if buyer == (side < 0) and side * p <= side * price)
        assert got <= there
    assert sum(fill.lots for fill in tape.fills) <= 60
