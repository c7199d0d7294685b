"""What must hold at every moment."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_LOWER, Section
from core.invariants import Limits

__all__ = ["Invariants"]


class Invariants(Section, frozen=True, kw_only=True):
    """Limits of the invariant checker (`core.invariants`)."""

    unprotected_seconds: Annotated[
        float,
        Meta(ge=1.0, le=600.0, description="longest time of a position without a resting stop", extra=SAFER_IS_LOWER),
    ]
    settle_seconds: Annotated[
        float,
        Meta(ge=1.0, le=600.0, description="longest time that orders and books may disagree", extra=SAFER_IS_LOWER),
    ]
    check_interval_seconds: Annotated[
        float,
        Meta(ge=1.0, le=3_600.0, description="looks at what is held, beside those at events", extra=SAFER_IS_LOWER),
    ]
    breaker_seconds: Annotated[
        float,
        Meta(ge=1.0, le=86_400.0, description="age of the breaker's last look while held", extra=SAFER_IS_LOWER),
    ]
    fresh_decision_bars: Annotated[
        int, Meta(ge=2, le=100, description="decision bars without a decision while data flow", extra=SAFER_IS_LOWER)
    ]

    def limits(self, *, decision_seconds: float, max_capital: float) -> Limits:
        """Return the limits of the checks; ``decision_seconds`` of a decision bar, ``max_capital`` of the equity."""
        return Limits(
            unprotected_seconds=self.unprotected_seconds,
            settle_seconds=self.settle_seconds,
            decision_seconds=self.fresh_decision_bars * decision_seconds,
            breaker_seconds=self.breaker_seconds,
            max_capital=max_capital,
        )
