"""Request weight, its share for exits, and a clock that is off."""

import pytest

from adapters.request_budget import RequestBudget
from adapters.venue_clock import ClockOffset, measure, refuse_offset
from core.errors import AutotradeError, RefusedError


class Seconds:
    now = 0.0

    def __call__(self):
        return self.now


def test_questions_leave_the_share_of_exits_alone_and_exits_have_all():
    clock = Seconds()
    budget = RequestBudget(100, 0.25, clock=clock)
    assert [budget.take(5) for _ in range(15)] == [0.0] * 15
    clock.now = 10.0
    assert budget.take(1) == pytest.approx(50.0), "until the first five are a minute old"
    assert budget.take(25, exits=True) == 0.0
    assert budget.take(1, exits=True) == pytest.approx(50.0)
    clock.now = 60.0
    assert budget.used == 25
    assert budget.take(50) == 0.0


def test_the_count_of_the_venue_corrects_ours_and_what_others_spend_counts():
    budget = RequestBudget(100, 0.25, clock=Seconds())
    budget.take(10)
    budget.told(70)
    assert budget.used == 70
    budget.told(20)
    assert budget.used == 70, "a late answer takes nothing back"
    budget.counted(5)
    assert budget.take(1) > 0.0


def test_nobody_asks_before_the_time_that_the_venue_named():
    clock = Seconds()
    budget = RequestBudget(100, 0.25, clock=clock)
    budget.retry_after(30.0)
    budget.retry_after(10.0)
    assert budget.take(1) == budget.take(1, exits=True) == 30.0
    clock.now = 30.0
    assert budget.take(1) == 0.0


def test_the_offset_is_the_median_and_the_round_trip_is_corrected():
    now = {"ns": 1_000_000_000_000}
    trips = iter([(40, 0), (10, 0), (900, 800), (20, 0), (30, 0)])  # ms in all, of which one way is so much longer

    def server_time_ms():
        trip, skew = next(trips)
        now["ns"] += (trip + skew) // 2 * 1_000_000
        told = now["ns"] // 1_000_000 - 250
        now["ns"] += (trip - skew) // 2 * 1_000_000
        return told

    found = measure(server_time_ms, 5, lambda: now["ns"])
    assert (found.offset_ns, found.round_trip_ns, found.samples) == (250_000_000, 10_000_000, 5)


def test_a_venue_that_does_not_tell_its_time_is_an_error_and_a_clock_too_far_off_a_refusal():
    def silent():
        raise AutotradeError("no answer")

    with pytest.raises(AutotradeError, match="not known: no answer"):
        measure(silent, 3)
    refuse_offset(ClockOffset(-1_000_000_000, 0, 5), 1_000.0)
    with pytest.raises(RefusedError, match=r"-1001 ms off the venue's, the limit is 1000 ms"):
        refuse_offset(ClockOffset(-1_001_000_000, 0, 5), 1_000.0)
