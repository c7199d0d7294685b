"""The record of a live session."""

from typing import Annotated

from msgspec import Meta

from configs.section import Section

__all__ = ["Record"]


class Record(Section, frozen=True, kw_only=True):
    """What a session received and decided, as it is kept (`adapters.session_record`)."""

    path: Annotated[str, Meta(pattern=r"^\S.*$", description="where each session has its folder")]
    queue_rows: Annotated[
        int,
        Meta(ge=100, le=10_000_000, description="rows that wait for the disk; what comes after is dropped, counted"),
    ]
    write_seconds: Annotated[float, Meta(ge=0.001, le=10.0, description="between two writes")]
    fsync_seconds: Annotated[
        float, Meta(ge=0.0, le=600.0, description="between two forced writes to the disk; 0: every write is forced")
    ]
    segment_mb: Annotated[int, Meta(ge=1, le=4_096, description="size of a file; a new one begins every day too")]
