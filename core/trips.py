"""What trips the circuit breaker and what arms it again: pure functions (state, event) -> (state, changes).

Theory of operation. Drawdowns come from marks and follow `core.breaker`; everything else is told. A step returns the
state after the event and what changed, for the journal and for alerts. Whoever runs it keeps the state before doing
anything else, and closes positions for as long as `core.causes.flattening` says why.
"""

from typing import Literal

import msgspec

from core.bars import DAY_NS
from core.breaker import ACTIVE, HALTED, REDUCING, DayRisk, guard_day, update_day
from core.causes import ACTIONS, TRIGGERS, Action, BreakerParams, BreakerState, Cause, Change, Step, end, stand
from core.errors import StateError
from core.times import iso

__all__ = [
    "REQUESTS_KEY",
    "STATE_KEY",
    "Request",
    "cleared",
    "elapsed",
    "encoded",
    "marked",
    "order_answered",
    "requested",
    "requests_of",
    "state_of",
    "tripped",
]

STATE_KEY, REQUESTS_KEY = "breaker", "breaker-requests"
"""Keys of a `core.protocols.StateStore`: the breaker writes the one, a person's commands the other."""

DRAWDOWNS = ("total_drawdown", "daily_drawdown")
REFUSALS = frozenset({"rejected", "denied", "unknown"})
"""Outcomes of an order that count as errors."""


class Request(msgspec.Struct, frozen=True):
    """What a person asks of the breaker; ``number`` grows, so that each is carried out once.

    ``new_anchor``: re-arm although the day's limit is still reached, and measure the drawdown from now on.
    """

    number: int
    action: Literal["halt", "reduce", "rearm"]
    reason: str
    ts_event: int
    new_anchor: bool = False


def encoded(value: BreakerState | tuple[Request, ...]) -> bytes:
    """Return what is kept of the breaker, or of the requests to it."""
    return msgspec.json.encode(value)


def state_of(kept: bytes | None) -> BreakerState:
    """Return the state that was kept; a new one where nothing was.

    Raises
    ------
    StateError
        Where it is no state of this version of the program.
    """
    return BreakerState() if kept is None else _decoded(kept, BreakerState)


def requests_of(kept: bytes | None) -> tuple[Request, ...]:
    """Return what was asked of the breaker, oldest first."""
    return () if kept is None else _decoded(kept, tuple[Request, ...])


def marked(state: BreakerState, ts_ns: int, equity: float, params: BreakerParams, *, decision: bool) -> Step:
    """Fold a mark-to-market equity (quote currency) in; ``decision``: one is made on it (`core.breaker`)."""
    fold = update_day if decision else guard_day
    return _measured(state, fold(state.day, ts_ns, equity, params.risk), ts_ns, equity, params)


def tripped(
    state: BreakerState, trigger: str, detail: str, ts_ns: int, params: BreakerParams, *, action: Action | None = None
) -> Step:
    """Take a trip in; ``action`` instead of the one that the rules name.

    Raises
    ------
    KeyError
        Where no trigger has that name: a fault of the program.
    """
    rule = params.rules[trigger]
    leads_to, flattens = ACTIONS[action or rule.action]
    if leads_to == ACTIVE:
        return Step(state)
    rearm_at = None
    if rule.rearm == "timed":
        rearm_at = ts_ns + params.timed_rearm_ns
    elif rule.rearm == "next_day":
        rearm_at = _next_day(ts_ns)
    return stand(state, Cause(trigger, detail, ts_ns, rearm_at, leads_to, flattens))


def order_answered(state: BreakerState, outcome: str, latency_ns: int, ts_ns: int, params: BreakerParams) -> Step:
    """Count how an order ended (`core.messages.OrderOutcome`): refused ones, and answers that came late."""
    changes: tuple[Change, ...] = ()
    if outcome in REFUSALS:
        times = _window(state.error_times, ts_ns, params.order_errors, params.order_errors_window_ns)
        state = msgspec.structs.replace(state, error_times=times, order_errors=state.order_errors + 1)
        state, more, _ = _counted(state, "order_errors", ts_ns, params)
        changes += more
    if latency_ns > params.slow_answer_ns:
        times = _window(state.slow_times, ts_ns, params.slow_answers, params.slow_answers_window_ns)
        state = msgspec.structs.replace(state, slow_times=times, slow_answers=state.slow_answers + 1)
        state, more, _ = _counted(state, "latency", ts_ns, params)
        changes += more
    return Step(state, changes)


def elapsed(state: BreakerState, ts_ns: int, params: BreakerParams) -> Step:
    """End the causes whose time is over and which are gone."""
    over = [
        cause
        for cause in state.causes
        if cause.rearm_at_ns is not None
        and cause.rearm_at_ns <= ts_ns
        and cause.trigger not in DRAWDOWNS
        and not _still_counted(state, cause.trigger, ts_ns, params)
    ]
    changes: list[Change] = []
    for cause in over:
        state, change = end(state, cause.trigger, "its time is over and the cause is gone")
        changes.append(change)
    return Step(state, tuple(changes))


def cleared(state: BreakerState, trigger: str, reason: str) -> Step:
    """End one cause that is known to be gone."""
    if all(cause.trigger != trigger for cause in state.causes):
        return Step(state)
    state, change = end(state, trigger, reason)
    return Step(state, (change,))


def requested(state: BreakerState, request: Request, ts_ns: int, equity: float, params: BreakerParams) -> Step:
    """Do what a person asks, once.

    Parameters
    ----------
    state : BreakerState
        Before.
    request : Request
        With a reason. One whose number is not beyond ``requests_done`` was carried out before and changes nothing.
    ts_ns : int
        Now.
    equity : float
        Of the last mark, quote currency.
    params : BreakerParams
        Rules.

    Returns
    -------
    Step
        A re-arm is refused while a cause persists; it ends all causes or none. After a total drawdown the peak begins
        anew at ``equity``.
    """
    if request.number <= state.requests_done:
        return Step(state)
    state = msgspec.structs.replace(state, requests_done=request.number)
    if not request.reason.strip():
        return Step(state, (), f"{request.action} without a reason; say why with --reason")
    if request.action != "rearm":
        action: Action = "reduce" if request.action == "reduce" else params.rules["manual"].action
        return tripped(state, "manual", request.reason, ts_ns, params, action=action)
    if state.day.day >= 0 and not equity > 0.0:
        return Step(state, (), f"the account cannot be measured from an equity of {equity}; wait for the next mark")
    day = guard_day(state.day, ts_ns, equity, params.risk)
    opened = _measured(state, day, ts_ns, equity, params).state
    for cause in opened.causes:
        persists = _persists(opened, cause, ts_ns, equity, params)
        if persists and not (cause.trigger == "daily_drawdown" and request.new_anchor):
            return Step(state, (), persists)
    fresh = day._replace(state=ACTIVE, latched=0, peak=equity if day.latched else day.peak)
    if request.new_anchor:
        fresh = fresh._replace(high_water_mark=equity, drawdown=0.0)
    opened = msgspec.structs.replace(opened, day=fresh, error_times=(), slow_times=(), rearms=state.rearms + 1)
    changes: list[Change] = []
    for cause in opened.causes:
        opened, change = end(opened, cause.trigger, f"re-armed: {request.reason}")
        changes.append(change)
    return Step(opened, tuple(changes))


def _decoded[T](kept: bytes, kind: type[T]) -> T:
    """Return what bytes mean."""
    try:
        return msgspec.json.decode(kept, type=kind)
    except msgspec.DecodeError as error:
        raise StateError(
            f"the breaker's state is not of this version: {error}; move it away to start afresh"
        ) from error


def _measured(state: BreakerState, day: DayRisk, ts_ns: int, equity: float, params: BreakerParams) -> Step:
    """Bring the causes in line with what the drawdowns lead to."""
    if day == state.day:
        return Step(state)
    before, state = state.day, msgspec.structs.replace(state, day=day)
    if (day.day, day.state, day.latched) == (before.day, before.state, before.latched):
        return Step(state)
    changes: list[Change] = []
    wanted = _drawdown_cause(day, ts_ns, equity, params)
    for trigger in DRAWDOWNS:
        if any(cause.trigger == trigger for cause in state.causes) and (wanted is None or day.state < before.state):
            state, change = end(state, trigger, "a new UTC day began")
            changes.append(change)
    if wanted is not None:
        state, more, _ = stand(state, wanted)
        changes += more
    return Step(state, tuple(changes))


def _drawdown_cause(day: DayRisk, ts_ns: int, equity: float, params: BreakerParams) -> Cause | None:
    """Return why the drawdowns do not let trade, None where they do."""
    if day.state == ACTIVE:
        return None
    if day.latched:
        reason = _fell(equity, day.peak, "the highest ever", params.risk.total_drawdown)
        return Cause("total_drawdown", reason, ts_ns, None, HALTED, flattens=True)
    limit = params.risk.daily_drawdown * (1.0 if day.state == HALTED else 0.5)
    reason = _fell(equity, day.high_water_mark, "the day's high", limit)
    timed = day.state == REDUCING or params.risk.auto_rearm == 1
    rearm_at = _next_day(ts_ns) if timed else None
    return Cause("daily_drawdown", reason, ts_ns, rearm_at, day.state, flattens=day.state == HALTED)


def _fell(equity: float, mark: float, name: str, limit: float) -> str:
    """Return a drawdown in words."""
    share = 1.0 - equity / mark if mark > 0.0 else 1.0
    return f"equity {equity:.2f} is {share:.2%} below {name} {mark:.2f}, the limit is {limit:.2%}"


def _persists(state: BreakerState, cause: Cause, ts_ns: int, equity: float, params: BreakerParams) -> str:
    """Return why a re-arm would be undone at once, empty where it would not."""
    if cause.trigger == "daily_drawdown":
        limit = params.risk.daily_drawdown * (1.0 if cause.leads_to == HALTED else 0.5)
        mark = state.day.high_water_mark
        if not equity > 0.0 or 1.0 - equity / max(mark, equity) >= limit:
            advice = "wait for the next UTC day, or re-arm with --new-anchor, which measures the drawdown from here on"
            return f"{_fell(equity, mark, "the day's high", limit)}; {advice}"
    if cause.trigger == "state_store":
        return f"{cause.reason}; make room where the state is kept"
    if _still_counted(state, cause.trigger, ts_ns, params):
        times = state.error_times if cause.trigger == "order_errors" else state.slow_times
        window = params.order_errors_window_ns if cause.trigger == "order_errors" else params.slow_answers_window_ns
        return f"{TRIGGERS[cause.trigger]}: {len(times)} are still counted; wait until {iso(times[0] + window)}"
    return ""


def _counted(state: BreakerState, trigger: str, ts_ns: int, params: BreakerParams) -> Step:
    """Trip where a window is full."""
    if not _still_counted(state, trigger, ts_ns, params):
        return Step(state)
    if trigger == "order_errors":
        detail = f"{params.order_errors} order errors within {params.order_errors_window_ns / 6e10:g} minutes"
    else:
        slow = f"{params.slow_answers} answers slower than {params.slow_answer_ns / 1e6:g} ms"
        detail = f"{slow} within {params.slow_answers_window_ns / 6e10:g} minutes"
    return tripped(state, trigger, detail, ts_ns, params)


def _still_counted(state: BreakerState, trigger: str, ts_ns: int, params: BreakerParams) -> bool:
    """Return whether a window is full: its events are kept only as far as they count."""
    if trigger == "order_errors":
        times, most, window = state.error_times, params.order_errors, params.order_errors_window_ns
    elif trigger == "latency":
        times, most, window = state.slow_times, params.slow_answers, params.slow_answers_window_ns
    else:
        return False
    return len(times) >= most and times[-most] > ts_ns - window


def _window(times: tuple[int, ...], ts_ns: int, most: int, window_ns: int) -> tuple[int, ...]:
    """Return the newest ``most`` times of a rolling window (ts - window, ts]."""
    return tuple(t for t in (*times, ts_ns) if t > ts_ns - window_ns)[-most:]


def _next_day(ts_ns: int) -> int:
    """Return the end of the UTC day, ns."""
    return ((ts_ns - 1) // DAY_NS + 1) * DAY_NS
