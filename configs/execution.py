"""How an order intent is worked at the venue."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_LOWER, Section
from core.chase import ChaseParams
from core.parent import ExecutionParams

__all__ = ["Execution"]

_SECOND_NS = 1_000_000_000
_BPS = 1e-4


class Execution(Section, frozen=True, kw_only=True):
    """Style of the orders that open a position; protective stops and exits at a limit are never sliced."""

    style: Annotated[
        Literal["market", "limit", "twap", "participation"],
        Meta(description="how an increase is worked: at once, resting, sliced by time, sliced by volume"),
    ]
    slices: Annotated[int, Meta(ge=1, le=100, description="most slices by time; fewer where the minimum asks for it")]
    duration_seconds: Annotated[
        float, Meta(ge=1.0, le=3_600.0, description="of slicing by time; the deadline of slicing by volume")
    ]
    participation_rate: Annotated[
        float, Meta(ge=0.001, le=0.5, description="share of the traded volume", extra=SAFER_IS_LOWER)
    ]
    jitter: Annotated[float, Meta(ge=0.0, le=1.0, description="how far sizes and times stray from equal ones")]
    interval_seconds: Annotated[
        float, Meta(ge=0.1, le=60.0, description="the market is looked at, and a resting order moved, no more often")
    ]
    chase_ticks: Annotated[int, Meta(ge=1, le=1_000, description="a resting order follows a price so far away")]
    chase_moves: Annotated[int, Meta(ge=0, le=1_000, description="most moves of a resting order")]
    chase_timeout_seconds: Annotated[
        float, Meta(ge=1.0, le=3_600.0, description="after it, what is unfilled is taken within the slippage cap")
    ]
    slippage_cap_bps: Annotated[
        float,
        Meta(
            ge=0.0,
            le=500.0,
            description="from the price at the decision; the rest stays unfilled",
            extra=SAFER_IS_LOWER,
        ),
    ]

    def params(self) -> ExecutionParams:
        """Return what `core.parent` reads."""
        return ExecutionParams(
            slices=self.slices,
            duration_ns=round(self.duration_seconds * _SECOND_NS),
            rate=self.participation_rate,
            jitter=self.jitter,
            interval_ns=round(self.interval_seconds * _SECOND_NS),
            chase=ChaseParams(
                move_ticks=self.chase_ticks,
                max_moves=self.chase_moves,
                interval_ns=round(self.interval_seconds * _SECOND_NS),
                timeout_ns=round(self.chase_timeout_seconds * _SECOND_NS),
                cap=self.slippage_cap_bps * _BPS,
            ),
        )
