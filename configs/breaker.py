"""When the circuit breaker trips, and how it is armed again."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section, safest_first
from core.causes import BreakerClocks, BreakerParams, Rule
from core.risk import RiskParams

__all__ = ["Breaker"]

type Action = Literal["flatten", "halt", "reduce", "off"]
type Rearm = Literal["manual", "next_day", "timed"]

_ACTION = safest_first("flatten", "halt", "reduce", "off")
_REARM = safest_first("manual", "next_day", "timed")
_MINUTE_NS = 60_000_000_000


class Breaker(Section, frozen=True, kw_only=True):
    """The circuit breaker beside the drawdowns of `configs.risk.Risk`, which cannot be switched off.

    What a trigger leads to: flatten (HALTED, positions closed at once), halt (HALTED, closed at the next decision),
    reduce (REDUCING: nothing is opened), off. What ends it: a person, the next UTC day, or ``timed_rearm_minutes``
    without a further trip.
    """

    state_path: Annotated[
        str, Meta(pattern=r"^\S.*$", examples=["catalog/state"], description="where it is kept, by environment")
    ]
    mark_interval_seconds: Annotated[
        float,
        Meta(ge=1.0, le=3_600.0, description="the account is marked to market at least so often", extra=SAFER_IS_LOWER),
    ]
    stale_price_seconds: Annotated[
        float, Meta(ge=1.0, le=86_400.0, description="a held instrument's last price is stale", extra=SAFER_IS_LOWER)
    ]
    timed_rearm_minutes: Annotated[
        float, Meta(ge=1.0, le=10_080.0, description="without a trip, for what ends by time", extra=SAFER_IS_HIGHER)
    ]
    manual: Annotated[
        Literal["flatten", "halt"],
        Meta(description="`autotrade breaker halt`", extra=safest_first("flatten", "halt")),
    ]
    order_errors: Annotated[Action, Meta(description="too many refused or lost orders", extra=_ACTION)]
    order_errors_rearm: Annotated[Rearm, Meta(description="what ends it", extra=_REARM)]
    order_errors_count: Annotated[int, Meta(ge=1, le=1_000, description="so many are too many", extra=SAFER_IS_LOWER)]
    order_errors_window_minutes: Annotated[
        float, Meta(ge=1.0, le=1_440.0, description="within so many minutes", extra=SAFER_IS_HIGHER)
    ]
    latency: Annotated[Action, Meta(description="too many slow answers of the venue", extra=_ACTION)]
    latency_rearm: Annotated[Rearm, Meta(description="what ends it", extra=_REARM)]
    latency_limit_ms: Annotated[
        float, Meta(ge=1.0, le=600_000.0, description="a slower answer is a slow one", extra=SAFER_IS_LOWER)
    ]
    latency_count: Annotated[int, Meta(ge=1, le=1_000, description="so many are too many", extra=SAFER_IS_LOWER)]
    latency_window_minutes: Annotated[
        float, Meta(ge=1.0, le=1_440.0, description="within so many minutes", extra=SAFER_IS_HIGHER)
    ]
    data_integrity: Annotated[Action, Meta(description="data that cannot be decided on", extra=_ACTION)]
    data_integrity_rearm: Annotated[Rearm, Meta(description="what ends it", extra=_REARM)]
    reconciliation_mismatch: Annotated[Action, Meta(description="our books and the account differ", extra=_ACTION)]
    reconciliation_mismatch_rearm: Annotated[Rearm, Meta(description="what ends it", extra=_REARM)]
    invariant_violation: Annotated[Action, Meta(description="what must always hold did not", extra=_ACTION)]
    invariant_violation_rearm: Annotated[Rearm, Meta(description="what ends it", extra=_REARM)]
    model_failure: Annotated[Action, Meta(description="the ensemble cannot be relied on", extra=_ACTION)]
    model_failure_rearm: Annotated[Rearm, Meta(description="what ends it", extra=_REARM)]

    def params(self, risk: RiskParams) -> BreakerParams:
        """Return the rules by trigger and the limits in ns; drawdowns and state have theirs from ``risk`` or none."""
        return BreakerParams(
            rules={
                "daily_drawdown": Rule("flatten", "next_day" if risk.auto_rearm else "manual"),
                "total_drawdown": Rule("flatten", "manual"),
                "order_errors": Rule(self.order_errors, self.order_errors_rearm),
                "latency": Rule(self.latency, self.latency_rearm),
                "data_integrity": Rule(self.data_integrity, self.data_integrity_rearm),
                "reconciliation_mismatch": Rule(self.reconciliation_mismatch, self.reconciliation_mismatch_rearm),
                "invariant_violation": Rule(self.invariant_violation, self.invariant_violation_rearm),
                "model_failure": Rule(self.model_failure, self.model_failure_rearm),
                "manual": Rule(self.manual, "manual"),
                "state_store": Rule("reduce", "manual"),
            },
            risk=risk,
            order_errors=self.order_errors_count,
            order_errors_window_ns=round(self.order_errors_window_minutes * _MINUTE_NS),
            slow_answer_ns=round(self.latency_limit_ms * 1_000_000),
            slow_answers=self.latency_count,
            slow_answers_window_ns=round(self.latency_window_minutes * _MINUTE_NS),
            timed_rearm_ns=round(self.timed_rearm_minutes * _MINUTE_NS),
        )

    def clocks(self) -> BreakerClocks:
        """Return how often the account is marked, and which prices are stale, in ns."""
        return BreakerClocks(
            mark_interval_ns=round(self.mark_interval_seconds * 1e9),
            stale_price_ns=round(self.stale_price_seconds * 1e9),
        )
