"""What a replay takes from a catalog: instruments, a range of decisions, artifacts."""

import glob
from collections.abc import Sequence
from pathlib import Path

from adapters.catalog import Series, list_series
from configs.schema import AppConfig
from core.bars import DAY_NS, interval_ns
from core.errors import DataError, UsageError
from core.features import feature_spec
from core.times import iso, parse_time

__all__ = ["artifact_paths", "base_series", "decision_range"]


def base_series(catalog: Path, config: AppConfig) -> dict[str, Series]:
    """Return the base bars of a catalog by instrument."""
    if not catalog.is_dir():
        return {}
    wanted = ("bars", config.market.base_interval)
    return {s.instrument_id: s for s in list_series(catalog) if (s.kind, s.interval) == wanted}


def decision_range(
    start_text: str | None, end_text: str | None, config: AppConfig, held: Sequence[Series]
) -> tuple[int, int]:
    """Return the range of decision closes (ns) that was asked for, where all instruments have bars.

    Raises
    ------
    UsageError, DataError
        For a range that is none, or holds no bars.
    """
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    warm = (spec.warmup_bars + 2) * interval_ns(config.market.decision_interval)
    first, last = max(s.first_ns for s in held), min(s.last_ns for s in held)
    start = max(parse_time(start_text, "--start"), first) if start_text else first + warm
    end = parse_time(end_text, "--end") if end_text else last
    holds = f"the catalog holds {iso(first)} to {iso(last)}"
    if start >= end and start_text and end_text:
        raise UsageError(f"--start {start_text} is not before --end {end_text}; {holds}")
    if not start_text and start >= end and first < last:
        raise DataError(
            f"the first {warm // DAY_NS} days of bars only warm the features up; {holds}: import more, or give --start"
        )
    if start >= end or end <= first or start >= last:
        raise DataError(
            f"no bars from {iso(start)} to {iso(end)} of {', '.join(s.instrument_id for s in held)}; {holds}"
        )
    return start, end


def artifact_paths(patterns: Sequence[str]) -> list[Path]:
    """Return the artifact directories that patterns name, in the order of their names."""
    found = {Path(name) for pattern in patterns for name in glob.glob(pattern)}  # noqa: PTH207 - may be absolute
    return sorted(path for path in found if (path / "manifest.json").is_file())
