"""Parts: the Parquet files of one series, each replaced in one atomic step and never seen half-written.

A part is named by the times of its first and last row, as the engine names it, so a part that grows gets another name.
It is replaced in two renames, each atomic: first the old file takes the new name, whose range contains the old one,
then the new content takes that name. Between them the series is complete and holds no row twice, under a name that is
merely too wide; the next write puts that right. A temporary file begins with a dot, which every reader passes over.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import DataError

__all__ = ["list_parts", "locked", "open_part", "part_name", "part_range", "replace_file", "write_part"]

_TIMES = ("ts_event", "ts_init", "open_time", "close_time")


def part_name(first_ns: int, last_ns: int) -> str:
    """Return the engine's name of a file whose rows span these times (``ts_init``, ns).

    Examples
    --------
    >>> part_name(0, 60_000_000_000)
    '1970-01-01T00-00-00-000000000Z_1970-01-01T00-01-00-000000000Z.parquet'
    """
    return f"{_stamp(first_ns)}_{_stamp(last_ns)}.parquet"


def part_range(path: Path) -> tuple[int, int]:
    """Return the times (ns) that a part's name states."""
    first, last = path.stem.split("_")
    return _time(first), _time(last)


def list_parts(directory: Path) -> list[Path]:
    """Return the parts of a series in order of time."""
    return sorted(p for p in directory.glob("*.parquet") if not p.name.startswith("."))


def open_part(path: Path) -> Any:
    """Return a part, opened.

    Raises
    ------
    DataError
        Where it is no Parquet file any more, naming it and the cure.
    """
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read ({reason}): remove it, then import that month again") from None


def write_part(directory: Path, table: Any, first_ns: int, last_ns: int, *, old: Path | None = None) -> Path:
    """Write one part, in place of ``old`` where one is given whose range lies within; return its path.

    Parameters
    ----------
    directory : Path
        The directory of the series, made if absent.
    table : pyarrow.Table
        Its rows.
    first_ns, last_ns : int
        ``ts_init`` of the first and the last row.
    old : Path, optional
        The part that these rows replace.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / part_name(first_ns, last_ns)
    encoding = {name: "DELTA_BINARY_PACKED" for name in table.column_names if name in _TIMES}
    with _replacing(path, old=old) as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,  # prices hardly repeat: without it files are smaller and written twice as fast
            column_encoding=encoding,
        )
    return path


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one atomic step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _replacing(path) as file:
        file.write(content)


@contextmanager
def locked(catalog: Path) -> Iterator[None]:
    """Hold the catalog for writing; a second writer waits, and a writer that dies lets go."""
    catalog.mkdir(parents=True, exist_ok=True)
    with (catalog / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _replacing(path: Path, *, old: Path | None = None) -> Iterator[Any]:
    """Open a hidden file that takes the place of ``path`` once it is complete and on disk."""
    for stale in path.parent.glob(".*.partial"):  # of a writer that was killed; one writer at a time, see `locked`
        stale.unlink()
    partial = path.parent / f".{path.name}.partial"
    with partial.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    if old is not None and old != path:
        old.rename(path)
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _stamp(ts_ns: int) -> str:
    return str(np.datetime64(ts_ns, "ns")).replace(":", "-").replace(".", "-") + "Z"


def _time(stamp: str) -> int:
    day, clock = stamp.removesuffix("Z").split("T")
    hour, minute, second, fraction = clock.split("-")
    return int(np.datetime64(f"{day}T{hour}:{minute}:{second}.{fraction}", "ns").astype(np.int64))
