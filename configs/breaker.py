"""When the circuit breaker trips, and how it is armed again."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_LOWER, Section

__all__ = ["Breaker"]


class Breaker(Section, frozen=True, kw_only=True):
    """The circuit breaker beside the drawdowns of `configs.risk.Risk`."""

    mark_interval_seconds: Annotated[
        float,
        Meta(ge=1.0, le=3_600.0, description="the account is marked to market at least so often", extra=SAFER_IS_LOWER),
    ]
