"""Why the circuit breaker is not ACTIVE: triggers, standing causes, and what they add up to.

The breaker keeps one standing cause a trigger. Its state is what they add up to by the table of `core.breaker`, so that
what ends one cause never hides another.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import msgspec

from core.breaker import ACTIVE, HALT, HALTED, REDUCE, REDUCING, TRANSITIONS, DayRisk
from core.risk import RiskParams

__all__ = [
    "ACTIONS",
    "TRIGGERS",
    "Action",
    "BreakerClocks",
    "BreakerParams",
    "BreakerState",
    "Cause",
    "Change",
    "Rearm",
    "Rule",
    "Step",
    "end",
    "flattening",
    "stand",
    "trading_state",
]

Action = Literal["flatten", "halt", "reduce", "off"]
Rearm = Literal["manual", "next_day", "timed"]

ACTIONS: Mapping[str, tuple[int, bool]] = {
    "flatten": (HALTED, True),
    "halt": (HALTED, False),
    "reduce": (REDUCING, False),
    "off": (ACTIVE, False),
}
"""Words of the configuration -> (state, whether positions are closed at once). HALTED closes them at the next decision
in any case."""

TRIGGERS: Mapping[str, str] = {
    "daily_drawdown": "equity fell from the high-water mark of the UTC day",
    "total_drawdown": "equity fell from its highest ever",
    "order_errors": "orders were refused, or nobody knows what became of them, too often in a row of minutes",
    "latency": "the venue answered orders too slowly, too often",
    "data_integrity": "market data are not fit to be decided on",
    "reconciliation_mismatch": "our books and the account differ",
    "invariant_violation": "something that must hold at every moment did not",
    "model_failure": "the ensemble cannot be relied on",
    "manual": "a person said so",
    "state_store": "the breaker's state could not be kept; ends with the first that is",
}
"""Every trigger and what it means."""


class Rule(NamedTuple):
    """What a trigger leads to (a word of `ACTIONS`), and what ends it."""

    action: Action
    rearm: Rearm


class BreakerParams(NamedTuple):
    """Rules by trigger, and the limits of what is counted.

    ``order_errors`` within ``order_errors_window_ns`` trip; so do ``slow_answers`` of more than ``slow_answer_ns``
    within ``slow_answers_window_ns``. ``timed_rearm_ns`` after the last trip a timed cause ends.
    """

    rules: Mapping[str, Rule]
    risk: RiskParams
    order_errors: int
    order_errors_window_ns: int
    slow_answer_ns: int
    slow_answers: int
    slow_answers_window_ns: int
    timed_rearm_ns: int


class BreakerClocks(NamedTuple):
    """How often the account is marked at least, and from what age on a price is stale, ns."""

    mark_interval_ns: int
    stale_price_ns: int


class Cause(msgspec.Struct, frozen=True):
    """Why the breaker is not ACTIVE: a trigger, a line with the numbers, since when, and when it ends by itself."""

    trigger: str
    reason: str
    since_ns: int
    rearm_at_ns: int | None
    leads_to: int
    flattens: bool


class BreakerState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the breaker must know after a restart.

    ``day`` anchors and drawdown (`core.breaker.DayRisk`); ``causes`` that stand; ``error_times`` and ``slow_times``
    (ns) of the newest order errors and slow answers; counts since the first start; ``requests_done`` the number of the
    last request that was carried out.
    """

    day: DayRisk = DayRisk(-1, 0.0, 0.0, ACTIVE, 0.0, 0)
    causes: tuple[Cause, ...] = ()
    error_times: tuple[int, ...] = ()
    slow_times: tuple[int, ...] = ()
    order_errors: int = 0
    slow_answers: int = 0
    trips: int = 0
    rearms: int = 0
    requests_done: int = 0
    version: Literal[1] = 1

    @property
    def equity(self) -> float:
        """Equity at the last decision mark, quote currency."""
        return self.day.high_water_mark * (1.0 - self.day.drawdown)


class Change(NamedTuple):
    """One cause that came, hardened or ended."""

    state_from: int
    state_to: int
    trigger: str
    reason: str


class Step(NamedTuple):
    """The state after an event, what changed, and why a request was refused (empty: it was not)."""

    state: BreakerState
    changes: tuple[Change, ...] = ()
    refused: str = ""


def trading_state(state: BreakerState) -> int:
    """Return ACTIVE, REDUCING or HALTED: what the standing causes add up to."""
    found = ACTIVE
    for cause in state.causes:
        found = TRANSITIONS[found, _EVENT[cause.leads_to]]
    return found


def flattening(state: BreakerState) -> str:
    """Return why every position is to be closed at once, empty where they are not."""
    return next((f"{cause.trigger}: {cause.reason}" for cause in state.causes if cause.flattens), "")


def stand(state: BreakerState, cause: Cause) -> Step:
    """Add a cause, or let it harden the one of its trigger that stands; a softer one only keeps that alive."""
    standing = next((c for c in state.causes if c.trigger == cause.trigger), None)
    others = tuple(c for c in state.causes if c.trigger != cause.trigger)
    if standing is not None and (cause.leads_to, cause.flattens) <= (standing.leads_to, standing.flattens):
        kept = msgspec.structs.replace(standing, rearm_at_ns=cause.rearm_at_ns)
        return Step(msgspec.structs.replace(state, causes=(*others, kept)))
    after = msgspec.structs.replace(state, causes=(*others, cause), trips=state.trips + 1)
    return Step(after, (Change(trading_state(state), trading_state(after), cause.trigger, cause.reason),))


def end(state: BreakerState, trigger: str, reason: str) -> tuple[BreakerState, Change]:
    """Drop a cause."""
    after = msgspec.structs.replace(state, causes=tuple(c for c in state.causes if c.trigger != trigger))
    return after, Change(trading_state(state), trading_state(after), trigger, reason)


_EVENT = {REDUCING: REDUCE, HALTED: HALT}
