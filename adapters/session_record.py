"""The record of a live session: all that it received and all that it decided, in the order of the engine's thread.

::

    <folder>/session.json            what runs: versions, hashes
    <folder>/record/00000001.log     segments; a new one at every start, every day, and where one is full

A segment is one line that names the format, then frames: length and CRC-32 of a row (little-endian uint32 each), and
the row, msgpack of ``[seq, source, kind, body]``. Rows are only ever appended, ``seq`` counts them without a gap, and
one of them is a frame or none: what a killed process left of its last frame is recognised and cut at the next start.
"""

import fcntl
import os
import struct
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from adapters.parts import replace_file
from adapters.session_log import MAGIC, Row, append_point, segment
from configs.record import Record
from core.errors import StateError

__all__ = ["MemoryRecord", "SessionRecord", "session_id"]

_FRAME = struct.Struct("<II")
_BATCH_BYTES = 1 << 18
_DAY_SECONDS = 86_400
_LAST_TRY_SECONDS = 2.0


def session_id(environment: str, now_ns: int, *, token: bytes | None = None) -> str:
    """Return a session's name, ``YYYYMMDDTHHMMSSZ-<environment>-<6 hex>``; ``token`` 3 bytes, drawn where absent."""
    stamp = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{environment}-{(token or os.urandom(3)).hex()}"


class SessionRecord:
    """Keeps a session's rows (and is a `core.protocols.Journal`): a queue, and a thread that writes.

    Trading is never held up: a row is put on a queue and no error of the disk comes back. While the disk takes nothing
    the queue grows to its limit; what comes after is dropped and counted, and its numbers are missing from the record.

    Parameters
    ----------
    folder : Path
        Of the session, `<record.path>/<session_id>`; made where absent. A session that is there goes on.
    params : Record
        Sizes and times.
    header : Mapping
        Content of ``session.json``; of a session that goes on the first one stands.
    alert : Callable[[str], None], optional
        Told, in the writer's thread, when the disk fails and when it is back.

    Raises
    ------
    StateError
        Where the folder cannot be made or read, or another process writes to it.
    """

    def __init__(
        self,
        folder: Path,
        params: Record,
        header: Mapping[str, object],
        *,
        alert: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = folder
        self._params = params
        self._alert = alert or (lambda _: None)
        self._place = folder / "record"
        self._waiting: deque[tuple[int, str, str, object]] = deque()
        self._pending: list[bytes] = []
        self._pending_last = 0
        self._limit = params.queue_rows
        self._dropped = self._told_dropped = 0
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
        self._good = self._written_seq = self._day = 0
        self._file = -1
        self._dirty = False
        self._synced = 0.0
        self.problem = ""
        self.durable = 0
        try:
            self._place.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._place / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._number, self._seq = append_point(self._place)
            if not (folder / "session.json").exists():
                replace_file(folder / "session.json", msgspec.json.format(msgspec.json.encode(dict(header)), indent=2))
            self._begin_segment()
        except BlockingIOError:
            raise StateError(f"{folder}: another process keeps this record; stop it, or begin a new session") from None
        except OSError as error:
            raise StateError(f"{folder}: {error.strerror or error}; a session cannot be recorded there") from error
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="session-record", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Keep the record for a stretch of the program."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Write what is left."""
        self.close()

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take a row of what was decided; it must not be changed any more."""
        self._put("decided", kind, row)

    def received(self, kind: str, body: object) -> None:
        """Take what came in, as plain data that is not changed any more."""
        self._put("received", kind, body)

    @property
    def queue_depth(self) -> int:
        """Rows that wait for the disk."""
        return len(self._waiting) + len(self._pending)

    @property
    def dropped(self) -> int:
        """Rows lost because the disk took none for too long."""
        return self._dropped

    def close(self) -> None:
        """Write what is left, as far as the disk takes it; a second call does nothing."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        os.close(self._file)
        os.close(self._lock)

    def _put(self, source: str, kind: str, body: object) -> None:
        if len(self._waiting) >= self._limit:
            self._dropped += 1
            self._seq += 1
            return
        self._seq += 1
        self._waiting.append((self._seq, source, kind, body))

    def _run(self) -> None:
        """Write until told to stop, then what is left."""
        while not self._stop.wait(self._params.write_seconds):
            self._write()
        until = time.monotonic() + _LAST_TRY_SECONDS
        while self._write() or (self.queue_depth and time.monotonic() < until):
            if self.problem:
                time.sleep(self._params.write_seconds)
        self._dropped += self.queue_depth
        self._sync()

    def _write(self) -> bool:
        """Write one batch; return whether there was anything to write and the disk took it."""
        try:
            if not self._pending:
                self._take()
            if self._pending:
                self._append(b"".join(self._pending))
                self._pending.clear()
                self._written_seq = self._pending_last
                self._recovered()
                took = True
            else:
                took = False
            if time.monotonic() - self._synced >= self._params.fsync_seconds:
                self._sync()
        except OSError as error:
            self._failed(error)
            return False
        return took

    def _take(self) -> None:
        """Take rows off the queue and encode them."""
        size = 0
        while self._waiting and size < _BATCH_BYTES:
            row = self._waiting.popleft()
            content = self._encoder.encode(row)
            self._pending.append(_FRAME.pack(len(content), zlib.crc32(content)) + content)
            self._pending_last = row[0]
            size += len(content)

    def _append(self, content: bytes) -> None:
        """Append to the segment, whole or not at all."""
        if self._good >= self._params.segment_mb << 20 or int(time.time() // _DAY_SECONDS) != self._day:
            self._sync()
            self._begin_segment()
        view = memoryview(content)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, self._good)
            raise
        self._good += len(content)
        self._dirty = True

    def _begin_segment(self) -> None:
        """Go on in a new file."""
        path = segment(self._place, self._number)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o644)
        try:
            good = os.write(file, MAGIC)
        except OSError:
            os.close(file)
            path.unlink()
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._good = file, good
        self._number += 1
        self._day = int(time.time() // _DAY_SECONDS)
        folder = os.open(self._place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _sync(self) -> None:
        """Force what was written to the disk; only then it is durable."""
        self._synced = time.monotonic()
        if self._dirty:
            os.fsync(self._file)
            self._dirty = False
            self.durable = self._written_seq

    def _failed(self, error: OSError) -> None:
        """Say once that the disk fails."""
        if not self.problem:
            self.problem = f"{self._place}: {error.strerror or error}; the session is not recorded"
            self._alert(f"{self.problem}; {self._limit} rows are kept until the disk is back, later ones are lost")

    def _recovered(self) -> None:
        """Say that the disk is back, and what was lost meanwhile."""
        lost = self._dropped - self._told_dropped
        if self.problem or lost:
            self.problem = ""
            self._told_dropped = self._dropped
            self._alert(f"{self._place}: the session is recorded again; {lost} rows were lost")


class MemoryRecord:
    """Keeps the rows of a session as long as it lives itself; reads like `adapters.session_log.SessionLog`."""

    def __init__(self) -> None:
        self.folder = Path("memory")
        self.missing = 0
        self._rows: list[bytes] = []
        self._encoder = msgspec.msgpack.Encoder(enc_hook=_plain)

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take a row of what was decided."""
        self._rows.append(self._encoder.encode((len(self._rows) + 1, "decided", kind, row)))

    def received(self, kind: str, body: object) -> None:
        """Take what came in."""
        self._rows.append(self._encoder.encode((len(self._rows) + 1, "received", kind, body)))

    def rows(self) -> Iterator[Row]:
        """Yield every row in order."""
        for content in self._rows:
            yield Row(*msgspec.msgpack.decode(content))


def _plain(value: object) -> Any:
    """Return what msgpack knows instead of a value that it does not; an unknown thing is but named."""
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", 0) == 0:
        return item()
    if isinstance(value, Mapping):
        return dict(value)
    tolist = getattr(value, "tolist", None)
    return tolist() if tolist is not None else f"<{type(value).__name__}>"
