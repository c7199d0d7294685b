"""What must hold at every moment."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_LOWER, Section

__all__ = ["Invariants"]


class Invariants(Section, frozen=True, kw_only=True):
    """Limits of the invariant checker."""

    unprotected_seconds: Annotated[
        float,
        Meta(ge=1.0, le=600.0, description="longest time of a position without a resting stop", extra=SAFER_IS_LOWER),
    ]
