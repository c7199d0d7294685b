"""A parent order at work, against any market and any venue: never too much, always an end, all of it told."""

from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.chase import ChaseParams, Order
from core.parent import STYLES, Cancel, ExecutionParams, Parent, ParentOrder, Touch
from core.situation import Instrument

BITCOIN = Instrument(tick=1.0, lot=0.001, min_lots=1, max_lots=1_000, min_notional=100.0)
CHASE = ChaseParams(move_ticks=1, max_moves=5, interval_ns=10, timeout_ns=150, cap=0.01)
PARAMS = ExecutionParams(slices=5, duration_ns=300, rate=0.1, jitter=0.4, interval_ns=10, chase=CHASE)


def parent(style: str, lots: int = 500, *, reduce_only: bool = False, side: int = 1) -> Parent:
    wanted = ParentOrder(style, side, lots, 1000.0, BITCOIN, reduce_only, seed=7, start_ns=1_000)
    return Parent(wanted, PARAMS)


def touch(bid: int = 1000, traded: float = 0.0) -> Touch:
    return Touch(bid, bid + 1, traded)


def test_lots_that_a_slice_left_go_with_the_next_one_and_the_last_ones_are_reported():
    work = parent("twap")
    [first] = work.look(work.order.start_ns + 59, touch())
    assert isinstance(first, Order)
    work.on_filled(1, first.lots - 10)
    work.on_ended(1)
    assert work.wake_ns > 1_059
    sizes = [piece.lots for piece in work._plan]
    [second] = work.look(work.wake_ns, touch())
    assert second == Order("market", sizes[1] + 10)
    work.on_filled(2, second.lots)
    [rest] = work.look(2_000, touch())
    assert rest == Order("market", sum(sizes[2:]))
    work.on_filled(3, rest.lots - 1)
    assert work.outcome == ""
    work.on_ended(3)
    assert (work.outcome, work.unfilled_lots) == ("timed_out", 1)


def test_an_order_above_the_venues_maximum_is_sent_in_parts():
    work = parent("participation", 2_500)
    commands = work.look(5_000, touch())
    assert commands == [Order("market", 1_000), Order("market", 1_000), Order("market", 500)]


def test_after_a_refusal_nothing_more_is_sent_while_other_slices_are_out():
    work = parent("participation", 2_500)
    assert len(work.look(5_000, touch())) == 3
    work.on_ended(1, refusal="-2019 margin")
    assert (work.outcome, work.look(6_000, touch())) == ("", [])
    work.on_filled(2, 1_000)
    work.on_ended(3)
    assert (work.outcome, work.reason, work.unfilled_lots) == ("rejected", "-2019 margin", 1_500)


def test_a_minimum_notional_does_not_hold_for_what_only_reduces():
    assert len(parent("twap", 50)._plan) == 1, "50 lots are worth 50, and 100 is the minimum"
    assert len(parent("twap", 50, reduce_only=True)._plan) == 5


def test_a_fill_of_more_than_was_wanted_is_an_error():
    work = parent("twap")
    with pytest.raises(ValueError, match="501 lots where 500 were wanted"):
        work.on_filled(1, 501)


def test_a_fill_after_the_end_is_counted_once_and_the_end_stays():
    work = parent("limit")
    work.look(1_000, touch())
    assert work.stop() == [Cancel(1)]
    work.on_ended(1)
    assert work.outcome == "canceled"
    work.on_filled(1, 3)
    assert (work.outcome, work.filled_lots) == ("canceled", 3)


@settings(max_examples=1_500, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from(STYLES), st.sampled_from([1, -1]), st.integers(1, 3_000), st.booleans(),
    st.integers(0, 120),
)  # fmt: skip
def test_against_any_market_and_any_venue_a_parent_ends_and_every_lot_is_accounted_for(
    seed, style, side, lots, reduce_only, stop_at
):
    chance = Random(seed)
    work = parent(style, lots, reduce_only=reduce_only, side=side)
    now, bid, traded, number = work.order.start_ns, 1000, 0.0, 0
    at_venue: dict[int, int] = {}
    bought, stopped = 0, False
    for step in range(600):
        if work.outcome:
            break
        bid = max(bid + chance.randint(-3, 3), 500)
        traded += chance.choice([0.0, 1.0, 500.0, 5_000.0])
        if step == stop_at:
            commands, stopped = work.stop(), True
        elif work.wake_ns > 0:
            now = max(now + 1, work.wake_ns)
            commands = work.look(now, touch(bid, traded))
        else:
            commands = []
        for command in commands:
            if isinstance(command, Order):
                assert not stopped, "nothing is sent after the owner has cancelled"
                number += 1
                at_venue[number] = command.lots
                assert bought + sum(at_venue.values()) <= lots, "never more than is left to fill"
                whole = command.lots == lots or lots > BITCOIN.max_lots
                least = 1 if reduce_only else ceil(100.0 / (0.001 * bid))
                assert whole or command.lots >= least or command.kind != "market"
                assert command.lots <= BITCOIN.max_lots or style == "limit"
            else:
                at_venue.setdefault(command.number, 0)
        for slice_number in list(at_venue):
            if not at_venue[slice_number]:
                continue
            event = chance.choice(["nothing", "fill", "some", "end"] + ["refused"] * (step > 40))
            if event in {"fill", "some"}:
                size = at_venue[slice_number] if event == "fill" else chance.randint(1, at_venue[slice_number])
                at_venue[slice_number] -= size
                bought += size
                work.on_filled(slice_number, size)
            elif event == "end" and (style != "limit" or stopped or step % 3 == 0):
                at_venue[slice_number] = 0
                work.on_ended(slice_number)
            elif event == "refused":
                at_venue[slice_number] = 0
                work.on_ended(slice_number, refusal="-2019 margin")
        assert work.filled_lots == bought
        assert work.filled_lots + work.unfilled_lots == lots
    assert work.outcome, "it ended"
    assert not any(at_venue.values())
    assert (work.outcome == "filled") == (bought == lots)
    if work.outcome == "canceled":
        assert stopped
    if work.outcome == "rejected":
        assert work.reason == "-2019 margin"
    assert work.look(now + 10_000, touch(bid, traded)) == []
    assert work.stop() == []


@pytest.mark.parametrize("style", STYLES)
def test_what_a_slice_fills_after_its_end_is_never_bought_twice(style):
    work = parent(style, 300)
    first = sent = 0
    for now in range(1_000, 1_400, 10):
        for command in work.look(now, touch(traded=50.0 * (now - 1_000))):
            assert isinstance(command, Order)
            sent += 1
            if sent == 1:
                first = command.lots
                work.on_ended(1)
                continue
            cancels = work.on_filled(1, first) if sent == 2 else []
            for cancel in cancels:
                assert isinstance(cancel, Cancel)
                work.on_ended(cancel.number)
            if not cancels:
                work.on_filled(sent, command.lots)
    assert (work.outcome, work.filled_lots) == ("filled", 300)


def test_a_part_that_fills_after_its_end_makes_the_order_in_its_place_smaller():
    work = parent("limit")
    work.look(1_000, touch())
    work.look(1_010, touch(1_005))
    work.on_ended(1)
    assert work.look(1_020, touch(1_005)) == [Order("post_only", 500, 1_005)]
    assert work.on_filled(1, 200) == [Cancel(2)]
    work.on_ended(2)
    assert work.look(1_030, touch(1_005)) == [Order("post_only", 300, 1_005)]
