"""From a signal to a position, and out of it again."""

import itertools
from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section
from core.errors import ConfigError
from core.exits import MAX_TAKES, ExitParams
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
    add_fraction: Annotated[
        float, Meta(ge=0.0, le=0.9, description="an add is at most this share of the one before", extra=SAFER_IS_LOWER)
    ]

    def params(self, *, min_confidence: float) -> SizingParams:
        """Return what compiled code reads."""
        return SizingParams(
            max_exposure=self.max_exposure,
            volatility_target=self.volatility_target,
            min_confidence=min_confidence,
            full_confidence=self.full_confidence,
            rebalance_threshold=self.rebalance_threshold,
            add_fraction=self.add_fraction,
        )


class Exits(Section, frozen=True, kw_only=True):
    """When a position is closed or shrunk; distances in average true ranges of the decision bar."""

    stop_atr: Annotated[float, Meta(ge=0.5, le=20.0, description="first protective stop")]
    min_stop_fraction: Annotated[
        float, Meta(ge=0.001, le=0.02, description="share of the price that a stop is set away at least")
    ]
    max_stop_fraction: Annotated[
        float, Meta(ge=0.02, le=0.5, description="share of price that the first is away at most", extra=SAFER_IS_LOWER)
    ]
    break_even_atr: Annotated[
        float, Meta(ge=0.0, le=50.0, description="profit from which the stop pays for entry and exit; 0 = off")
    ]
    trail_atr: Annotated[float, Meta(ge=0.0, le=20.0, description="trailing stop behind the close; 0 = off")]
    trail_start_atr: Annotated[float, Meta(ge=0.0, le=50.0, description="profit from which the stop trails")]
    take_profit_atr: Annotated[float, Meta(ge=0.0, le=100.0, description="profit that is taken; 0 = off")]
    partial_takes: Annotated[
        tuple[Annotated[float, Meta(ge=0.01, le=100.0)], ...],
        Meta(description="profit, share of the first size to take there, and so on up to three pairs; empty: none"),
    ]
    max_holding_bars: Annotated[int, Meta(ge=1, le=100_000, description="decision bars", extra=SAFER_IS_LOWER)]

    def __post_init__(self) -> None:
        """Refuse partial take-profits that are no pairs, too many, out of order or more than the whole."""
        super().__post_init__()
        name, given = "exits.partial_takes", self.partial_takes
        profits, shares = given[::2], given[1::2]
        if len(profits) != len(shares):
            raise ConfigError(f"{name}: {len(given)} numbers are not pairs; give a profit and a share each")
        if len(profits) > MAX_TAKES:
            raise ConfigError(f"{name}: {len(profits)} pairs are above the limit {MAX_TAKES}; choose fewer")
        if any(far <= near for near, far in itertools.pairwise(profits)):
            raise ConfigError(f"{name}: the profits {list(profits)} do not rise; put the nearest first")
        if sum(shares) > 1.0 + 1e-9:
            raise ConfigError(f"{name}: the shares sum to {sum(shares):g}, above the limit 1; choose smaller ones")

    def params(self) -> ExitParams:
        """Return what compiled code reads."""
        return ExitParams(
            stop_atr=self.stop_atr,
            trail_atr=self.trail_atr,
            trail_start_atr=self.trail_start_atr,
            take_profit_atr=self.take_profit_atr,
            max_holding_bars=self.max_holding_bars,
            min_stop_fraction=self.min_stop_fraction,
            max_stop_fraction=self.max_stop_fraction,
            break_even_atr=self.break_even_atr,
            take_atr=_three(self.partial_takes[::2]),
            take_fraction=_three(self.partial_takes[1::2]),
        )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    """Return up to three numbers, filled up with zeros."""
    first, second, third = (*values, 0.0, 0.0, 0.0)[:3]
    return first, second, third
