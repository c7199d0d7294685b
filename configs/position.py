"""From a signal to a position, and out of it again."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section
from core.exits import ExitParams
from core.sizing import SizingParams

__all__ = ["Exits", "Sizing"]


class Sizing(Section, frozen=True, kw_only=True):
    """From a signal to a wanted exposure."""

    max_exposure: Annotated[
        float, Meta(ge=0.0, le=0.5, description="notional of the strongest signal", extra=SAFER_IS_LOWER)
    ]
    volatility_target: Annotated[
        float, Meta(ge=0.01, le=2.0, description="annualised volatility of a full position", extra=SAFER_IS_LOWER)
    ]
    full_confidence: Annotated[
        float, Meta(ge=0.0, le=1.0, description="from it on a position is no longer shrunk", extra=SAFER_IS_HIGHER)
    ]
    rebalance_threshold: Annotated[
        float, Meta(ge=0.0, le=1.0, description="relative change of a position that is not worth an order")
    ]

    def params(self, *, min_confidence: float) -> SizingParams:
        """Return what compiled code reads."""
        return SizingParams(
            max_exposure=self.max_exposure,
            volatility_target=self.volatility_target,
            min_confidence=min_confidence,
            full_confidence=self.full_confidence,
            rebalance_threshold=self.rebalance_threshold,
        )


class Exits(Section, frozen=True, kw_only=True):
    """When a position is closed; distances in average true ranges of the decision bar."""

    stop_atr: Annotated[float, Meta(ge=0.5, le=20.0, description="first protective stop")]
    trail_atr: Annotated[float, Meta(ge=0.0, le=20.0, description="trailing stop behind the close; 0 = off")]
    trail_start_atr: Annotated[float, Meta(ge=0.0, le=50.0, description="profit from which the stop trails")]
    take_profit_atr: Annotated[float, Meta(ge=0.0, le=100.0, description="profit that is taken; 0 = off")]
    max_holding_bars: Annotated[int, Meta(ge=1, le=100_000, description="decision bars", extra=SAFER_IS_LOWER)]

    def params(self) -> ExitParams:
        """Return what compiled code reads."""
        return ExitParams(
            stop_atr=self.stop_atr,
            trail_atr=self.trail_atr,
            trail_start_atr=self.trail_start_atr,
            take_profit_atr=self.take_profit_atr,
            max_holding_bars=self.max_holding_bars,
        )
