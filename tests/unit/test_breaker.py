"""The gate's state table and its day."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.breaker import (
    ACTIVE,
    EVENTS,
    HALTED,
    REDUCING,
    STATES,
    TRANSITIONS,
    DayRisk,
    guard_day,
    next_state,
    update_day,
)
from core.risk import RiskParams

DAY_NS = 86_400_000_000_000
LIMITS = RiskParams(0.01, 0.05, 0.5, 0.0008, 1, 8, 0.98, 1, 0)
START = DayRisk(-1, 0.0, 0.0, ACTIVE, 0.0, 0)


STRICT = LIMITS._replace(total_drawdown=0.2)
MINUTE_NS = 60_000_000_000


def walk(equities, *, limits=LIMITS, step_ns=DAY_NS // 96, ts=DAY_NS * 100):
    memory, seen = START, []
    for equity in equities:
        ts += step_ns
        memory = update_day(memory, ts, equity, limits)
        seen.append(memory)
    return seen


def test_the_table_knows_every_state_and_event():
    assert set(TRANSITIONS) == {(s, e) for s in range(len(STATES)) for e in range(len(EVENTS))}
    for (state, event), after in TRANSITIONS.items():
        assert next_state(state, event) == after


def test_only_a_rearm_ends_a_halt():
    leaving = {event for (state, event), after in TRANSITIONS.items() if state == HALTED and after != HALTED}
    assert {EVENTS[e] for e in leaving} == {"rearm"}


def test_half_the_limit_reduces_and_the_limit_halts():
    states = [m.state for m in walk([100.0, 97.6, 97.4, 99.9, 95.0, 100.0])]
    assert states == [ACTIVE, ACTIVE, REDUCING, REDUCING, HALTED, HALTED]


def test_the_drawdown_is_measured_from_the_days_high_not_from_its_start():
    assert walk([100.0, 110.0, 104.5])[-1].drawdown == pytest.approx(0.05)
    assert walk([100.0, 110.0, 104.5])[-1].state == HALTED


def test_a_new_day_heals_reducing_but_not_a_halt_without_rearm():
    late = DAY_NS // 2
    assert walk([100.0, 97.0, 97.0, 97.0], step_ns=late)[-1].state == ACTIVE
    assert walk([100.0, 90.0, 90.0, 90.0], step_ns=late)[-1].state == HALTED
    rearmed = walk([100.0, 90.0, 90.0, 90.0], step_ns=late, limits=LIMITS._replace(auto_rearm=1))
    assert rearmed[-1].state == ACTIVE


def test_the_bar_that_closes_at_midnight_belongs_to_the_day_it_ends():
    before = update_day(START, DAY_NS * 5 - 1, 100.0, LIMITS)
    at_midnight = update_day(before, DAY_NS * 5, 100.0, LIMITS)
    after = update_day(at_midnight, DAY_NS * 5 + 1, 100.0, LIMITS)
    assert (before.day, at_midnight.day, after.day) == (4, 4, 5)


def test_what_is_lost_over_midnight_counts():
    midnight = update_day(START, DAY_NS * 5, 10_000.0, LIMITS)
    after = update_day(midnight, DAY_NS * 5 + DAY_NS // 96, 9_600.0, LIMITS)
    assert (after.day, after.high_water_mark, after.state) == (5, 10_000.0, REDUCING)
    assert after.drawdown == pytest.approx(0.04)


def test_daily_marks_have_a_drawdown_too():
    seen = walk([10_000.0, 9_800.0, 9_300.0], step_ns=DAY_NS)
    assert [m.drawdown for m in seen] == pytest.approx([0.0, 0.02, 1 - 9_300 / 9_800])
    assert seen[-1].state == HALTED


@pytest.mark.parametrize("equity", [0.0, -5.0, float("nan")])
def test_an_account_without_equity_halts(equity):
    assert walk([100.0, equity])[-1].state == HALTED


@settings(max_examples=300, deadline=None)
@given(st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=40))
def test_within_a_day_the_high_only_rises_and_the_state_only_hardens(equities):
    seen = walk(equities, step_ns=DAY_NS // 100)
    for earlier, later in pairwise(seen):
        assert later.high_water_mark >= earlier.high_water_mark
        assert later.state >= earlier.state
    highest = max(equities)
    assert seen[-1].high_water_mark == highest
    assert seen[-1].drawdown == pytest.approx(1 - equities[-1] / highest)


def test_a_total_drawdown_halts_and_no_new_day_heals_it():
    eager = STRICT._replace(auto_rearm=1)
    falling = [100.0, 96.0, 92.5, 89.0, 85.5, 82.5, 79.9]
    seen = walk([*falling, 90.0, 99.0, 100.0], step_ns=DAY_NS, limits=eager)
    assert [m.state for m in seen[:6]] == [ACTIVE, *[REDUCING] * 5]
    assert [(m.state, m.latched) for m in seen[6:]] == [(HALTED, 1)] * 4
    assert {m.peak for m in seen} == {100.0}


def test_the_peak_is_of_all_days_and_the_high_water_mark_of_one():
    last = walk([100.0, 120.0, 118.0, 117.0], step_ns=DAY_NS)[-1]
    assert (last.high_water_mark, last.peak) == (118.0, 120.0)


def guard_by_hand(marks, ts, equity, limits):
    """Return whether a guard mark halts, by the definition: all decision marks so far as (ts, equity)."""
    day = (ts - 1) // DAY_NS
    today = [value for at, value in marks if (at - 1) // DAY_NS == day]
    earlier = [value for at, value in marks if (at - 1) // DAY_NS < day]
    high = max([*today, *earlier[-1:]])
    return 1 - equity / max(high, equity) >= limits.daily_drawdown or (
        1 - equity / max(*(v for _, v in marks), equity) >= limits.total_drawdown
    )


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(60.0, 120.0), st.booleans(), st.integers(1, 500)), min_size=1, max_size=40),
)
def test_a_mark_between_decisions_halts_at_the_limits_and_moves_no_anchor(steps):
    memory, ts, marks = update_day(START, DAY_NS * 100, 100.0, STRICT), DAY_NS * 100, [(DAY_NS * 100, 100.0)]
    for equity, decision, minutes in steps:
        ts += minutes * MINUTE_NS
        if decision:
            memory = update_day(memory, ts, equity, STRICT)
            marks.append((ts, equity))
            continue
        after = guard_day(memory, ts, equity, STRICT)
        assert after.high_water_mark * (1 - after.drawdown) == pytest.approx(marks[-1][1])
        assert after.peak == memory.peak == max(value for _, value in marks)
        if after.day == memory.day:
            assert (after.high_water_mark, after.drawdown) == (memory.high_water_mark, memory.drawdown)
        if guard_by_hand(marks, ts, equity, STRICT):
            assert after.state == HALTED
        else:
            opened = next_state(memory.state, EVENTS.index("new_day")) if after.day != memory.day else memory.state
            assert after.state == opened
        memory = after


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(96.0, 104.0), st.integers(1, 2_000)), min_size=1, max_size=30), st.sampled_from([0, 1])
)
def test_guarding_without_a_breach_changes_no_later_decision(steps, auto):
    """Twice the same decision marks, once with a guard mark at the last price before each of them."""
    limits = LIMITS._replace(daily_drawdown=0.1, auto_rearm=auto)
    plain = watched = update_day(START, DAY_NS * 100, 100.0, limits)
    ts, last = DAY_NS * 100, 100.0
    for equity, minutes in steps:
        ts += minutes * MINUTE_NS
        watched = guard_day(watched, ts - MINUTE_NS // 2, last, limits)
        plain, watched, last = update_day(plain, ts, equity, limits), update_day(watched, ts, equity, limits), equity
        assert plain == watched


def test_an_account_that_was_never_marked_cannot_be_guarded():
    assert guard_day(START, DAY_NS, 1.0, STRICT) == START


@pytest.mark.parametrize("equity", [0.0, -5.0, float("nan")])
def test_a_guard_mark_without_equity_halts_for_good(equity):
    memory = update_day(START, DAY_NS * 100, 100.0, LIMITS)
    after = guard_day(memory, DAY_NS * 100 + 1, equity, LIMITS)
    assert (after.state, after.latched, after.high_water_mark) == (HALTED, 1, 100.0)


def test_a_mark_between_decisions_that_reaches_the_total_alone_halts_for_good():
    memory = walk([100.0, 96.0, 92.5, 89.0, 85.5, 82.5], step_ns=DAY_NS, limits=STRICT)[-1]
    ts = DAY_NS * 106 + MINUTE_NS
    calm, lost = guard_day(memory, ts, 80.1, STRICT), guard_day(memory, ts, 79.9, STRICT)
    assert (calm.state, calm.latched) == (ACTIVE, 0)
    assert (lost.state, lost.latched, lost.peak) == (HALTED, 1, 100.0)


@pytest.mark.parametrize("fold", [update_day, guard_day])
def test_a_late_mark_opens_no_day_again(fold):
    """A timer rings after midnight before the bar that closed at midnight is there, or the clock goes back."""
    limits = LIMITS._replace(auto_rearm=1)
    midnight = DAY_NS * 101
    lost = walk([10_000.0, 9_760.0], limits=limits)[-1]
    assert lost.state == ACTIVE
    opened = guard_day(lost, midnight + 1, 9_740.0, limits)
    halted = update_day(opened, midnight + MINUTE_NS, 9_200.0, limits)
    assert (opened.day, halted.state) == (101, HALTED)
    late = fold(halted, midnight, 9_200.0, limits)
    assert (late.day, late.state, late.high_water_mark) == (101, HALTED, 9_760.0)
