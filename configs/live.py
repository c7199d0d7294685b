"""How a live node watches what it depends on, and what it does without."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section
from core.liveness import LivenessLimits

__all__ = ["Live"]


class Live(Section, frozen=True, kw_only=True):
    """Limits of a live node's watch over streams, clock, requests and its own speed."""

    check_seconds: Annotated[float, Meta(ge=0.1, le=60.0, description="between two looks", extra=SAFER_IS_LOWER)]
    bar_late_seconds: Annotated[
        float, Meta(ge=1.0, le=600.0, description="a closed bar is late; nothing is opened", extra=SAFER_IS_LOWER)
    ]
    cut_seconds: Annotated[
        float,
        Meta(ge=1.0, le=600.0, description="late for so long: what must close goes by REST", extra=SAFER_IS_LOWER),
    ]
    blind_minutes: Annotated[
        float,
        Meta(ge=1.0, le=1_440.0, description="without bars: what is held is closed", extra=SAFER_IS_LOWER),
    ]
    agree_checks: Annotated[
        int, Meta(ge=1, le=100, description="equal positions in a row before entries again", extra=SAFER_IS_HIGHER)
    ]
    position_seconds: Annotated[
        float, Meta(ge=1.0, le=3_600.0, description="between two questions what is held", extra=SAFER_IS_LOWER)
    ]
    funding_minutes: Annotated[
        float, Meta(ge=0.1, le=60.0, description="longest wait for the venue's word on what funding was paid")
    ]
    rest_seconds: Annotated[float, Meta(ge=0.1, le=60.0, description="longest wait for an answer by REST")]
    weight_per_minute: Annotated[
        int, Meta(ge=100, le=100_000, description="request weight that the venue allows", extra=SAFER_IS_LOWER)
    ]
    exit_share: Annotated[
        float, Meta(ge=0.05, le=0.9, description="of the weight, kept for exits", extra=SAFER_IS_HIGHER)
    ]
    clock_limit_ms: Annotated[
        float, Meta(ge=1.0, le=5_000.0, description="offset of our clock; nothing is opened", extra=SAFER_IS_LOWER)
    ]
    clock_refuse_ms: Annotated[
        float, Meta(ge=1.0, le=60_000.0, description="offset at which no node starts", extra=SAFER_IS_LOWER)
    ]
    clock_minutes: Annotated[
        float, Meta(ge=0.01, le=1_440.0, description="between two measurements", extra=SAFER_IS_LOWER)
    ]
    clock_samples: Annotated[int, Meta(ge=1, le=99, description="of one measurement; their median counts")]
    save_ms: Annotated[float, Meta(ge=1.0, le=10_000.0, description="longest wait for the state to be kept")]
    save_retry_seconds: Annotated[float, Meta(ge=0.1, le=60.0, description="before what was not kept is tried again")]
    vote_ms: Annotated[
        float, Meta(ge=1.0, le=60_000.0, description="votes that took longer do not count", extra=SAFER_IS_LOWER)
    ]
    lag_ms: Annotated[
        float, Meta(ge=10.0, le=60_000.0, description="alarms that ring so late: watching gives way to trading")
    ]

    def limits(self, *, base_ns: int) -> LivenessLimits:
        """Return the limits in ns; ``base_ns`` of a base bar."""
        return LivenessLimits(
            base_ns=base_ns,
            bar_late_ns=round(self.bar_late_seconds * 1e9),
            cut_ns=round(self.cut_seconds * 1e9),
            clock_ns=round(self.clock_limit_ms * 1e6),
            agree_checks=self.agree_checks,
        )
