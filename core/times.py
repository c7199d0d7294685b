"""Times as people write them, and as ns since the epoch."""

from datetime import UTC, datetime

from core.errors import UsageError

__all__ = ["iso", "parse_time"]

_MOST_SECONDS = 9_000_000_000
"""Times are int64 ns, which end in the year 2262."""


def parse_time(text: str, name: str) -> int:
    """Return ns since the epoch for an ISO date or time; without an offset it is UTC.

    Raises
    ------
    UsageError
        Naming ``name``, the argument, where the text is no such time.

    Examples
    --------
    >>> parse_time("2024-01-31", "--start")
    1706659200000000000
    """
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError):
        seconds = -1
    if not 0 <= seconds < _MOST_SECONDS:
        raise UsageError(f"{name} is {text!r}: give an ISO date or time (UTC) such as 2024-01-31T12:00")
    return seconds * 1_000_000_000


def iso(ts_ns: int) -> str:
    """Return a time (ns) in ISO form, UTC, to the second.

    Examples
    --------
    >>> iso(1706659200000000000)
    '2024-01-31T00:00:00Z'
    """
    return f"{datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC):%Y-%m-%dT%H:%M:%S}Z"
