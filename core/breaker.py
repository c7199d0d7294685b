"""The circuit breaker: trading states as one transition table, and the drawdowns that move it."""

from typing import NamedTuple

import numpy as np

from core.compiled import inlined
from core.risk import RiskParams

__all__ = [
    "ACTIVE",
    "EVENTS",
    "HALTED",
    "REDUCING",
    "STATES",
    "TRANSITIONS",
    "DayRisk",
    "drawdown_event",
    "guard_day",
    "next_state",
    "update_day",
]

ACTIVE, REDUCING, HALTED = 0, 1, 2
STATES: tuple[str, ...] = ("ACTIVE", "REDUCING", "HALTED")

CALM, HALF_LIMIT, AT_LIMIT, NEW_DAY, REARM = 0, 1, 2, 3, 4
EVENTS: tuple[str, ...] = ("calm", "half_limit", "at_limit", "new_day", "rearm")

TRANSITIONS: dict[tuple[int, int], int] = {
    (ACTIVE, CALM): ACTIVE,
    (ACTIVE, HALF_LIMIT): REDUCING,
    (ACTIVE, AT_LIMIT): HALTED,
    (ACTIVE, NEW_DAY): ACTIVE,
    (ACTIVE, REARM): ACTIVE,
    (REDUCING, CALM): REDUCING,
    (REDUCING, HALF_LIMIT): REDUCING,
    (REDUCING, AT_LIMIT): HALTED,
    (REDUCING, NEW_DAY): ACTIVE,
    (REDUCING, REARM): ACTIVE,
    (HALTED, CALM): HALTED,
    (HALTED, HALF_LIMIT): HALTED,
    (HALTED, AT_LIMIT): HALTED,
    (HALTED, NEW_DAY): HALTED,
    (HALTED, REARM): ACTIVE,
}
"""(state, event) -> state. A day's drawdown never heals within the day; HALTED ends only by a re-arm."""

_TABLE = np.array([[TRANSITIONS[(s, e)] for e in range(len(EVENTS))] for s in range(len(STATES))], dtype=np.int64)


class DayRisk(NamedTuple):
    """The gate's memory: UTC day number, the day's high-water mark (quote currency), drawdown (fraction), state."""

    day: int
    high_water_mark: float
    drawdown: float
    state: int


@inlined
def next_state(state: int, event: int) -> int:
    """Return the state after ``event``, by the transition table."""
    return int(_TABLE[state, event])


@inlined
def drawdown_event(drawdown: float, limit: float) -> int:
    """Return what a day's drawdown (fraction, >= 0) means against its limit."""
    if drawdown >= limit:
        return AT_LIMIT
    if drawdown >= 0.5 * limit:
        return HALF_LIMIT
    return CALM


@inlined
def update_day(before: DayRisk, ts_ns: int, equity: float, params: RiskParams) -> DayRisk:
    """Fold one mark-to-market equity into the gate's memory.

    Parameters
    ----------
    before : DayRisk
        Memory so far; a ``day`` of -1 starts it.
    ts_ns : int
        Time of the mark, ns since the epoch (UTC).
    equity : float
        Quote currency. Zero or less, or NaN, halts.
    params : RiskParams
        The limits.

    Notes
    -----
    A day opens with the last mark of the day before: what is lost over midnight counts.
    """
    day = (ts_ns - 1) // 86_400_000_000_000
    state = before.state
    high = before.high_water_mark
    if day != before.day:
        high = 0.0
        if before.day >= 0:
            high = before.high_water_mark * (1.0 - before.drawdown)
            state = next_state(state, NEW_DAY)
            if params.auto_rearm == 1:
                state = next_state(state, REARM)
    if not equity > 0.0:
        return DayRisk(day, high, 1.0, HALTED)
    high = max(high, equity)
    drawdown = 1.0 - equity / high
    return DayRisk(day, high, drawdown, next_state(state, drawdown_event(drawdown, params.daily_drawdown)))


@inlined
def guard_day(before: DayRisk, ts_ns: int, equity: float, params: RiskParams) -> DayRisk:
    """Hold the account against the day's limit between two decisions.

    Parameters as in `update_day`. Below the limit nothing changes: the day, its high-water mark and its drawdown are
    those of decisions. At the limit the answer is HALTED, on the day of ``ts_ns``; a new day opens with the last
    decision's mark.
    """
    if before.day < 0 or before.state == HALTED:
        return before
    day = (ts_ns - 1) // 86_400_000_000_000
    high, drawdown = before.high_water_mark, before.drawdown
    if day != before.day:
        high, drawdown = high * (1.0 - drawdown), 0.0
    if equity > 0.0 and 1.0 - equity / high < params.daily_drawdown:
        return before
    return DayRisk(day, high, drawdown, HALTED)
