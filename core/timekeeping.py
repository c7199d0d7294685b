"""Market time and alarms in it: the engine's own clock, or one that a replay against a live node moves on.

Theory of operation. In backtest and in production the engine's clock is market time. Where history is replayed at a
live node, a bar takes as long as the node needs and no longer: within a bar market time runs with the engine's clock,
between bars it jumps. `ReplayTime.jump` lets every alarm ring that is due on the way, in order and each at its time.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

__all__ = ["EngineTime", "ReplayTime", "Ring", "SameClock"]

type Ring = Callable[[int], None]
"""Called at market time, ns UTC."""


class SameClock:
    """The venue's clock is ours (`core.protocols.ClockWatch`)."""

    @property
    def offset_ns(self) -> int:
        """Nothing."""
        return 0


class EngineTime:
    """The engine's clock is market time (`core.protocols.Timekeeper`)."""

    def now_ns(self, engine_ns: int) -> int:
        """Return market time at a time of the engine's clock."""
        return engine_ns

    def engine_ns(self, market_ns: int) -> int:
        """Return when on the engine's clock it is so late in the market."""
        return market_ns

    def alarm(self, clock: Any, name: str, market_ns: int, ring: Ring) -> None:
        """Have an alarm ring once."""
        clock.set_time_alert_ns(name, market_ns, callback=_Bell(ring), allow_past=True)

    def every(self, clock: Any, name: str, interval_ns: int, ring: Ring) -> None:
        """Have an alarm ring again and again."""
        clock.set_timer_ns(name, interval_ns, callback=_Bell(ring))


class _Bell:
    """Hands an engine's time event on as the time that it is for."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    def __call__(self, event: Any) -> None:
        self._ring(event.ts_event)


class _Alarm(msgspec.Struct):
    """An alarm that has not rung: ``every_ns`` 0 for one that rings once; ``number`` orders those of one time."""

    clock: Any
    name: str
    due_ns: int
    ring: Ring
    every_ns: int
    number: int


class ReplayTime:
    """Market time that a replay moves on (`core.protocols.Timekeeper`); everything in the engine's thread.

    Parameters
    ----------
    offset_ns : int
        Market time less the engine's, until the first jump.
    """

    def __init__(self, offset_ns: int = 0) -> None:
        self._offset_ns = offset_ns
        self._alarms: dict[tuple[int, str], _Alarm] = {}
        self._set = 0

    def now_ns(self, engine_ns: int) -> int:
        """Return market time at a time of the engine's clock."""
        return engine_ns + self._offset_ns

    def engine_ns(self, market_ns: int) -> int:
        """Return when on the engine's clock it is so late in the market, as things stand."""
        return market_ns - self._offset_ns

    def alarm(self, clock: Any, name: str, market_ns: int, ring: Ring) -> None:
        """Have an alarm ring once; one of the same clock and name is void."""
        self._keep(_Alarm(clock, name, market_ns, ring, 0, 0))

    def every(self, clock: Any, name: str, interval_ns: int, ring: Ring) -> None:
        """Have an alarm ring again and again."""
        due_ns = self.now_ns(clock.timestamp_ns()) + interval_ns
        self._keep(_Alarm(clock, name, due_ns, ring, interval_ns, 0))

    def jump(self, engine_ns: int, market_ns: int) -> None:
        """Make it so late in the market, after every alarm that is due until then has rung."""
        while self._alarms:
            alarm = min(self._alarms.values(), key=lambda one: (one.due_ns, one.number))
            if alarm.due_ns > market_ns:
                break
            self._offset_ns = max(self._offset_ns, alarm.due_ns - engine_ns)
            self._ring(alarm)
        self._offset_ns = market_ns - engine_ns
        for alarm in self._alarms.values():
            self._wind(alarm)

    def _keep(self, alarm: _Alarm) -> None:
        self._set += 1
        alarm.number = self._set
        self._alarms[_key(alarm)] = alarm
        self._wind(alarm)

    def _wind(self, alarm: _Alarm) -> None:
        """Set the engine's alarm, for the case that no jump comes first.

        What the engine is given must not hold the clock: it is let go by another thread, and a clock must not be.
        """
        rung = partial(self._rung, _key(alarm), alarm.number)
        alarm.clock.set_time_alert_ns(alarm.name, self.engine_ns(alarm.due_ns), callback=rung, allow_past=True)

    def _rung(self, key: tuple[int, str], number: int, _: Any) -> None:
        alarm = self._alarms.get(key)
        if alarm is not None and alarm.number == number:
            self._ring(alarm)

    def _ring(self, alarm: _Alarm) -> None:
        due_ns = alarm.due_ns
        if alarm.every_ns:
            alarm.due_ns += alarm.every_ns
            self._keep(alarm)
        else:
            del self._alarms[_key(alarm)]
        alarm.ring(due_ns)


def _key(alarm: _Alarm) -> tuple[int, str]:
    """Return whose method an alarm calls, and its name; a component's clock is another object at every look."""
    method = alarm.ring.func if isinstance(alarm.ring, partial) else alarm.ring
    return id(getattr(method, "__self__", method)), alarm.name
