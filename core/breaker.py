"""The circuit breaker: trading states as one transition table, and the drawdowns that move it.

Theory of operation. Drawdowns are measured at two kinds of marks. At a decision mark (`update_day`) the high-water
marks of the day and of all time rise with the equity, half the daily limit reduces, the limit halts. Between decisions
(`guard_day`) what is held is only watched: a breach of a limit halts at once, and nothing else changes, so that the
next decision finds the same anchors whether or not somebody looked in between. What else trips the breaker, and how it
is armed again, is in `core.trips`.
"""

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

CALM, REDUCE, HALT, NEW_DAY, REARM = 0, 1, 2, 3, 4
EVENTS: tuple[str, ...] = ("calm", "reduce", "halt", "new_day", "rearm")

TRANSITIONS: dict[tuple[int, int], int] = {
    (ACTIVE, CALM): ACTIVE,
    (ACTIVE, REDUCE): REDUCING,
    (ACTIVE, HALT): HALTED,
    (ACTIVE, NEW_DAY): ACTIVE,
    (ACTIVE, REARM): ACTIVE,
    (REDUCING, CALM): REDUCING,
    (REDUCING, REDUCE): REDUCING,
    (REDUCING, HALT): HALTED,
    (REDUCING, NEW_DAY): ACTIVE,
    (REDUCING, REARM): ACTIVE,
    (HALTED, CALM): HALTED,
    (HALTED, REDUCE): HALTED,
    (HALTED, HALT): HALTED,
    (HALTED, NEW_DAY): HALTED,
    (HALTED, REARM): ACTIVE,
}
"""(state, event) -> state. A day's drawdown never heals within the day; HALTED ends only by a re-arm."""

_TABLE = np.array([[TRANSITIONS[(s, e)] for e in range(len(EVENTS))] for s in range(len(STATES))], dtype=np.int64)


class DayRisk(NamedTuple):
    """What drawdowns are measured against, and the state that they lead to.

    ``day`` UTC day number, -1 before the first mark; ``high_water_mark`` of the day's decision marks and ``peak`` of
    all decision marks since the start or the last re-arm of a total drawdown, quote currency; ``drawdown`` of the last
    decision mark, fraction of the day's high-water mark; ``latched`` (0 or 1) whether the total drawdown was reached:
    such a halt ends by a person alone.
    """

    day: int
    high_water_mark: float
    drawdown: float
    state: int
    peak: float
    latched: int


@inlined
def next_state(state: int, event: int) -> int:
    """Return the state after ``event``, by the transition table."""
    return int(_TABLE[state, event])


@inlined
def drawdown_event(drawdown: float, limit: float) -> int:
    """Return what a day's drawdown (fraction, >= 0) means against its limit."""
    if drawdown >= limit:
        return HALT
    if drawdown >= 0.5 * limit:
        return REDUCE
    return CALM


@inlined
def update_day(before: DayRisk, ts_ns: int, equity: float, params: RiskParams) -> DayRisk:
    """Fold the equity of a decision mark in.

    Parameters
    ----------
    before : DayRisk
        Memory so far; a ``day`` of -1 starts it.
    ts_ns : int
        Time of the mark, ns since the epoch (UTC).
    equity : float
        Quote currency, marked to market. Zero or less, or NaN, is a total loss.
    params : RiskParams
        The limits.

    Notes
    -----
    A day opens with the last decision mark of the day before: what is lost over midnight counts.
    """
    opened = _open_day(before, ts_ns, params)
    if not equity > 0.0:
        return DayRisk(opened.day, opened.high_water_mark, 1.0, HALTED, opened.peak, 1)
    high = max(opened.high_water_mark, equity)
    peak = max(opened.peak, equity)
    drawdown = 1.0 - equity / high
    state = next_state(opened.state, drawdown_event(drawdown, params.daily_drawdown))
    latched = opened.latched
    if 1.0 - equity / peak >= params.total_drawdown:
        state = next_state(state, HALT)
        latched = 1
    return DayRisk(opened.day, high, drawdown, state, peak, latched)


@inlined
def guard_day(before: DayRisk, ts_ns: int, equity: float, params: RiskParams) -> DayRisk:
    """Hold the equity of a mark between decisions to the limits of the day and of all time.

    Parameters are those of `update_day`.

    Returns
    -------
    DayRisk
        HALTED where a limit is reached; else as before. High-water mark, peak and drawdown stay those of the last
        decision mark; on the first mark of a day they open the day, as `update_day` would.
    """
    if before.day < 0:
        return before
    opened = _open_day(before, ts_ns, params)
    lost = not equity > 0.0
    total = lost or 1.0 - equity / max(opened.peak, equity) >= params.total_drawdown
    daily = lost or 1.0 - equity / max(opened.high_water_mark, equity) >= params.daily_drawdown
    if not daily and not total:
        return opened
    latched = 1 if total else opened.latched
    state = next_state(opened.state, HALT)
    return DayRisk(opened.day, opened.high_water_mark, opened.drawdown, state, opened.peak, latched)


@inlined
def _open_day(before: DayRisk, ts_ns: int, params: RiskParams) -> DayRisk:
    """Return the memory as a mark at ``ts_ns`` finds it: as it is, or as a new day opens it."""
    day = (ts_ns - 1) // 86_400_000_000_000
    if day <= before.day:  # a mark that is late, or a clock that goes back, opens no day again
        return before
    if before.day < 0:
        return DayRisk(day, 0.0, 0.0, before.state, before.peak, before.latched)
    state = next_state(before.state, NEW_DAY)
    if params.auto_rearm == 1 and before.latched == 0:
        state = next_state(state, REARM)
    return DayRisk(day, before.high_water_mark * (1.0 - before.drawdown), 0.0, state, before.peak, before.latched)
