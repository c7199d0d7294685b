"""How models come into the ensemble and go out of it."""

from typing import Annotated

from msgspec import Meta

from configs.section import Section

__all__ = ["Serving"]


class Serving(Section, frozen=True, kw_only=True):
    """Stages of a new model: shadow (weight 0), canary (reduced weight), active."""

    shadow_bars: Annotated[
        int, Meta(ge=0, le=100_000, description="decision bars that a new model votes without weight")
    ]
