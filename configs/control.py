"""How a running node is talked to."""

from typing import Annotated

from msgspec import Meta

from configs.section import Section

__all__ = ["Control"]


class Control(Section, frozen=True, kw_only=True):
    """The local channel of `autotrade status`, `pause`, `resume`, `flatten`, `rearm` and `stop`."""

    poll_ms: Annotated[float, Meta(ge=10.0, le=1_000.0, description="between two looks for requests")]
    answer_seconds: Annotated[float, Meta(ge=0.5, le=60.0, description="a request waits so long for its answer")]
    request_kb: Annotated[int, Meta(ge=1, le=1_024, description="a longer request is refused")]
    flat_seconds: Annotated[
        float, Meta(ge=1.0, le=600.0, description="`autotrade flatten` waits so long until nothing is held")
    ]
