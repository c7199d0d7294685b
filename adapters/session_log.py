"""The frames of a session's record: read back, and cut where a process was killed within one."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from core.errors import DataError

__all__ = ["MAGIC", "Row", "SessionLog", "append_point", "segment"]

MAGIC = b"autotrade-record-1\n"
_FRAME = struct.Struct("<II")
_MOST = 1 << 30


class Row(NamedTuple):
    """One row: its number, ``received`` or ``decided``, what kind of thing it is, and the thing, plain."""

    seq: int
    source: str
    kind: str
    body: Any


def segment(place: Path, number: int) -> Path:
    """Return the path of a segment."""
    return place / f"{number:08d}.log"


class SessionLog:
    """The record in a session's folder.

    Parameters
    ----------
    folder : Path
        As `adapters.session_record.SessionRecord` leaves it, closed or killed.

    Raises
    ------
    DataError
        Where there is no record.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._place = folder / "record"
        if not any(self._place.glob("*.log")):
            raise DataError(f"no session in {folder}: there is no record/*.log; name the folder of a session")
        self.missing = 0
        """Rows that the numbers say there were, as far as has been read."""

    @property
    def header(self) -> dict[str, Any]:
        """Content of ``session.json``, empty where the session was killed before it stood."""
        path = self.folder / "session.json"
        try:
            content: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        return content

    def rows(self) -> Iterator[Row]:
        """Yield every row in order.

        Raises
        ------
        DataError
            For a frame that is damaged, or numbers that fall back. A torn frame at a segment's end is none.
        """
        last = 0
        self.missing = 0
        for path in sorted(self._place.glob("*.log")):
            for _, row in _frames(path, path.read_bytes()):
                if row.seq <= last:
                    raise DataError(f"{path}: row {row.seq} after row {last}; the record was tampered with")
                self.missing += row.seq - last - 1
                last = row.seq
                yield row


def append_point(place: Path) -> tuple[int, int]:
    """Return the number of the segment that comes next and of the last row that is whole; cut what is torn.

    What is cut is no whole frame; it is put aside in ``<segment>.cut``.
    """
    paths = sorted(place.glob("*.log"))
    number = int(paths[-1].stem) + 1 if paths else 1
    for path in reversed(paths):
        content = path.read_bytes()
        end, last = min(len(MAGIC), len(content)), 0
        for end, row in _frames(path, content):  # noqa: B007 - the last ones count
            last = row.seq
        if end < len(content):
            path.with_suffix(".cut").write_bytes(content[end:])
            with path.open("r+b") as file:
                file.truncate(end)
        if last:
            return number, last
    return number, 0


def _frames(path: Path, content: bytes) -> Iterator[tuple[int, Row]]:
    """Yield where each whole frame ends, and its row; a frame that the content ends within is torn."""
    if not content.startswith(MAGIC):
        if MAGIC.startswith(content):
            return
        raise DataError(f"{path}: no record of this program, or of another version")
    at = len(MAGIC)
    while at < len(content):
        if at + _FRAME.size > len(content):
            return
        length, checksum = _FRAME.unpack_from(content, at)
        end = at + _FRAME.size + length
        payload = content[at + _FRAME.size : end]
        if end > len(content) or zlib.crc32(payload) != checksum:
            if end < len(content) and length < _MOST:
                raise DataError(f"{path}: the frame at byte {at} is damaged; what follows cannot be trusted")
            return
        at = end
        yield end, Row(*msgspec.msgpack.decode(payload))
