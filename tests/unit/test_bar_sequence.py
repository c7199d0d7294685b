"""Closed bars come out each once, in order and whole, however the stream gave them."""

from math import nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bar_sequence import BarSequence
from core.messages import ClosedBar
from core.settlements import Settlement, Settlements

MINUTE = 60_000_000_000
START = 28_000_000 * MINUTE


def bar(number: int, close: float = 100.0) -> ClosedBar:
    """Return the bar of a minute."""
    return ClosedBar("BTCUSDT-PERP.BINANCE", START + number * MINUTE, 100.0, 101.0, 99.0, close, 5.0, 2.0)


def numbers(bars: list[ClosedBar]) -> list[int]:
    """Return which bars these are."""
    return [(each.ts_close - START) // MINUTE for each in bars]


def test_bars_in_order_pass_at_once() -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START)
    assert [numbers(sequence.take(bar(n))) for n in (1, 2, 3)] == [[1], [2], [3]]
    assert sequence.wanted is None


def test_a_bar_after_a_hole_waits_until_the_hole_is_filled() -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START)
    assert sequence.take(bar(4)) == []
    assert sequence.wanted == (START + MINUTE, START + 3 * MINUTE)
    assert numbers(sequence.fill([bar(1), bar(2)])) == [1, 2]
    assert sequence.wanted == (START + 3 * MINUTE, START + 3 * MINUTE)
    assert sequence.take(bar(5)) == []
    assert numbers(sequence.fill([bar(3)])) == [3, 4, 5]
    assert sequence.wanted is None


def test_what_is_nowhere_to_be_had_is_given_up_and_leaves_its_hole() -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START)
    sequence.take(bar(3))
    assert numbers(sequence.give_up()) == [3]
    assert numbers(sequence.take(bar(4))) == [4]
    assert numbers(sequence.fill([bar(1)])) == []  # it came too late to be taken


def test_a_bar_told_twice_or_late_counts_once() -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START)
    told = [1, 1, 2, 1, 3, 3, 2]
    assert [n for number in told for n in numbers(sequence.take(bar(number)))] == [1, 2, 3]
    assert sequence.dropped == 4


@pytest.mark.parametrize(
    "change",
    [{"low": 0.0}, {"high": nan}, {"close": -1.0}, {"volume": -1.0}, {"open": 102.0}, {"high": 98.0, "low": 99.5}],
)
def test_a_bar_that_no_market_makes_is_wanted_from_elsewhere(change: dict[str, float]) -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START)
    sequence.take(bar(1))
    assert sequence.take(msgspec.structs.replace(bar(2), **change)) == []
    assert sequence.wanted == (START + 2 * MINUTE, START + 2 * MINUTE)
    assert numbers(sequence.fill([bar(2)])) == [2]
    assert sequence.wanted is None


def test_a_jump_is_believed_only_when_it_is_told_twice() -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START, max_jump=0.3)
    sequence.take(bar(1))
    tenfold = msgspec.structs.replace(bar(2), open=1000.0, high=1010.0, low=990.0, close=1000.0)
    assert sequence.take(tenfold) == []
    assert numbers(sequence.fill([tenfold])) == [2]


def test_a_sequence_without_a_past_begins_with_what_comes_first() -> None:
    sequence = BarSequence(base_ns=MINUTE)
    assert numbers(sequence.take(bar(7))) == [7]
    assert sequence.wanted is None


@given(st.permutations(range(1, 12)), st.sets(st.integers(1, 11)))
def test_whatever_the_order_and_whatever_is_lost_all_come_out_in_order(order: list[int], lost: set[int]) -> None:
    sequence = BarSequence(base_ns=MINUTE, last_ns=START)
    out: list[int] = []
    for number in order:
        if number not in lost:
            out += numbers(sequence.take(bar(number)))
    out += numbers(sequence.take(bar(12)))
    wanted = sequence.wanted
    while wanted is not None:
        first, last = ((ts - START) // MINUTE for ts in wanted)
        out += numbers(sequence.fill([bar(number) for number in range(first, last + 1)]))
        wanted = sequence.wanted
    assert out == list(range(1, 13))


def test_the_last_estimate_for_a_time_is_what_that_time_pays() -> None:
    settlements = Settlements()
    settlements.estimate(1e-4, START)
    settlements.estimate(2e-4, START)
    settlements.estimate(9e-4, START + 480 * MINUTE)
    assert settlements.due(START - 1) == []
    assert settlements.due(START) == [Settlement(START, 2e-4)]
    assert settlements.due(START) == []
