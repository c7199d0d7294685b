"""What an examination of the surroundings holds them to."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section

__all__ = ["Doctor"]


class Doctor(Section, frozen=True, kw_only=True):
    """Limits of `autotrade doctor`; those of the clock are in [live]."""

    permissions_url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/\s]+)?$",
            description="where the exchange says what a key may do; empty: nowhere",
            examples=["https://api.binance.com"],
        ),
    ]
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=60.0, description="of one answer", extra=SAFER_IS_LOWER)]
    slow_ms: Annotated[float, Meta(ge=1.0, le=10_000.0, description="an answer that takes longer is warned of",
                                   extra=SAFER_IS_LOWER)]  # fmt: skip
    min_disk_gb: Annotated[float, Meta(ge=0.01, le=10_000.0, description="free space", extra=SAFER_IS_HIGHER)]
    min_open_files: Annotated[int, Meta(ge=64, le=1_000_000, description="the limit of the process (ulimit -n)",
                                        extra=SAFER_IS_HIGHER)]  # fmt: skip
