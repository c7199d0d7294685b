"""The record of a session, read while it is written: row after row from a cursor that is kept."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adapters.session_log import MAGIC, segment

__all__ = ["Cursor", "SessionTail", "TailRow"]

_FRAME = struct.Struct("<II")
_CHUNK = 1 << 22
_DECIDED = "decided"


class Cursor(NamedTuple):
    """How far a record was read: its segment, 0 before the first, and the byte in it."""

    segment: int = 0
    offset: int = 0


class TailRow(NamedTuple):
    """A row; ``body`` only of what was decided, else None."""

    seq: int
    source: str
    kind: str
    body: Any


class SessionTail:
    """Reads what a record has got since it was read last; a frame that is half there is waited for.

    Parameters
    ----------
    folder : Path
        Of the session; it need not be there yet.
    cursor : Cursor
        Where to go on.
    """

    def __init__(self, folder: Path, cursor: Cursor) -> None:
        self.cursor = cursor
        self._place = folder / "record"
        self._row = msgspec.msgpack.Decoder(tuple[int, str, str, msgspec.Raw])
        self._body = msgspec.msgpack.Decoder()

    def rows(self) -> Iterator[TailRow]:
        """Yield what is there, and move on with each row."""
        if self.cursor.segment == 0 and not self._next():
            return
        while True:
            more = self._following()
            yield from self._rest()
            if more is None:
                return
            self.cursor = Cursor(more, len(MAGIC))

    def _rest(self) -> Iterator[TailRow]:
        """Yield the whole frames of this segment."""
        number, at = self.cursor
        path = segment(self._place, number)
        while True:
            try:
                with path.open("rb") as file:
                    file.seek(at)
                    content = file.read(_CHUNK)
                    size, _ = _FRAME.unpack_from(content) if len(content) >= _FRAME.size else (0, 0)
                    if size + _FRAME.size > len(content):
                        content += file.read(size)
            except FileNotFoundError:
                return
            start = at
            for length, payload in _whole(content):
                at += length
                self.cursor = Cursor(number, at)
                seq, source, kind, raw = self._row.decode(payload)
                yield TailRow(seq, source, kind, self._body.decode(raw) if source == _DECIDED else None)
            if at == start:
                return

    def _next(self) -> bool:
        """Begin with the first segment, if there is one."""
        number = self._following()
        if number is not None:
            self.cursor = Cursor(number, len(MAGIC))
        return number is not None

    def _following(self) -> int | None:
        """Return the number of the next segment; while there is none, this one is still written."""
        later = [int(path.stem) for path in self._place.glob("*.log") if int(path.stem) > self.cursor.segment]
        return min(later, default=None)


def _whole(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the length of each frame that is whole, and what it holds."""
    at = 0
    while at + _FRAME.size <= len(content):
        length, checksum = _FRAME.unpack_from(content, at)
        end = at + _FRAME.size + length
        payload = content[at + _FRAME.size : end]
        if end > len(content) or zlib.crc32(payload) != checksum:
            return
        yield end - at, payload
        at = end
