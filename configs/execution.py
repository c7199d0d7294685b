"""How an order intent is worked at the venue."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import Section

__all__ = ["Execution"]


class Execution(Section, frozen=True, kw_only=True):
    """Style and limits of the orders that open and shrink positions; protective stops are always stop-market."""

    style: Annotated[Literal["market", "limit", "twap", "participation"], Meta(description="how an increase is worked")]
