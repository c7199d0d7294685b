"""Alarms of a replay: in order, each at its time, none twice."""

from functools import partial
from types import SimpleNamespace

import pytest

from core.timekeeping import EngineTime, ReplayTime


class Clock:
    """An engine's clock that rings what is due when told the time; a name set again replaces what it was."""

    def __init__(self):
        self.now = 1_000
        self.alerts = {}

    def timestamp_ns(self):
        return self.now

    def set_time_alert_ns(self, name, at_ns, *, callback, allow_past):
        assert allow_past
        self.alerts[name] = (at_ns, callback)

    def run(self, until):
        while self.alerts:
            name = min(self.alerts, key=lambda name: self.alerts[name][0])
            at, callback = self.alerts[name]
            if at > until:
                break
            del self.alerts[name]
            self.now = max(self.now, at)
            callback(SimpleNamespace(ts_event=at))
        self.now = until


class Component:
    """Whoever sets alarms: its method is called."""

    def __init__(self, time, clock, rung):
        self.time, self.clock, self.rung = time, clock, rung

    def ring(self, name, ts):
        self.rung.append((name, ts, self.time.now_ns(self.clock.now)))


def ringing(time, clock, rung, name, at):
    time.alarm(clock, name, at, partial(Component(time, clock, rung).ring, name))


def test_a_jump_rings_what_is_due_on_the_way_in_order_and_each_at_its_time():
    time, clock, rung = ReplayTime(9_000), Clock(), []
    for name, at in (("late", 40_000), ("b", 12_000), ("a", 11_000)):
        ringing(time, clock, rung, name, at)
    time.jump(clock.now, 20_000)
    assert rung == [("a", 11_000, 11_000), ("b", 12_000, 12_000)]
    assert time.now_ns(clock.now) == 20_000
    clock.run(clock.now + 100_000)
    assert [name for name, *_ in rung] == ["a", "b", "late"], "what rang does not ring again"


def test_what_an_alarm_sets_rings_in_the_same_jump():
    time, clock, rung = ReplayTime(), Clock(), []
    time.alarm(clock, "first", 2_000, lambda ts: ringing(time, clock, rung, "second", ts + 500))
    time.jump(clock.now, 3_000)
    assert rung == [("second", 2_500, 2_500)]


def test_an_alarm_that_no_jump_reaches_rings_by_the_engine_clock_at_the_new_offset():
    time, clock, rung = ReplayTime(), Clock(), []
    ringing(time, clock, rung, "a", 50_000)
    time.jump(clock.now, 45_000)
    clock.run(5_999)
    assert rung == []
    clock.run(6_000)
    assert rung == [("a", 50_000, 50_000)]


def test_a_repeated_alarm_keeps_its_beat_through_jumps():
    time, clock, rung = ReplayTime(), Clock(), []
    time.every(clock, "beat", 1_000, rung.append)
    time.jump(clock.now, 4_500)
    clock.run(clock.now + 1_000)
    assert rung == [2_000, 3_000, 4_000, 5_000]


def test_names_are_those_of_a_component_and_a_name_set_again_is_void():
    time, rung = ReplayTime(), []
    one, other = Component(time, Clock(), rung), Component(time, Clock(), rung)
    for component, at in ((one, 2_000), (other, 2_500), (one, 3_000)):
        time.alarm(component.clock, "wake", at, partial(component.ring, "wake"))
    time.jump(1_000, 4_000)
    assert [ts for _, ts, _ in rung] == [2_500, 3_000]


@pytest.mark.parametrize("at", [5, 1_234])
def test_the_engine_clock_is_market_time_elsewhere(at):
    assert EngineTime().now_ns(at) == at == EngineTime().engine_ns(at)
