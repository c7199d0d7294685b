"""State that outlives the process: in a file a key, in Redis, or, for tests, in memory.

What is kept is one line, ``autotrade-state-1 <SHA-256 of the rest>``, and the value: what is torn, changed or none of
ours is refused.
"""

import hashlib
import os
import re
from pathlib import Path

from core.errors import StateError
from core.protocols import StateStore

__all__ = ["FileStateStore", "MemoryStateStore", "checked_key", "open_store", "opened", "sealed"]

_MAGIC = b"autotrade-state-1"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def open_store(place: str, environment: str) -> StateStore:
    """Return the store of an environment: ``place`` is a directory, or a URL of Redis."""
    if "://" in place:
        from adapters.redis_store import RedisStateStore  # noqa: PLC0415 - a quarter of a second, for few

        return RedisStateStore(place, prefix=f"autotrade:{environment}:")
    return FileStateStore(Path(place) / environment)


class FileStateStore:
    """Keeps each key in ``<key>.state`` (`core.protocols.StateStore`).

    A file is written beside its place, forced to the disk, and put there by a rename: whatever happens, it is the last
    value or the one before.

    Parameters
    ----------
    directory : Path
        Made where absent, at the first save.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self, key: str) -> bytes | None:
        """Return the value of a key, None where there is none.

        Raises
        ------
        StateError
            Where the file cannot be read, is torn, was changed, or is none of ours.
        """
        path = self._path(key)
        try:
            kept = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{path}: {error.strerror or error}; the state of the last run is not known") from error
        return opened(kept, str(path))

    def save(self, key: str, value: bytes) -> None:
        """Replace the value of a key.

        Raises
        ------
        StateError
            Where the disk does not take it; what was saved before still stands.
        """
        path = self._path(key)
        partial = path.with_name(f".{path.name}.partial")
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(sealed(value))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            folder = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise StateError(f"{path}: {error.strerror or error}; the state cannot be kept") from error

    def put(self, key: str, value: bytes) -> None:
        """Replace the value of a key; this store knows no later."""
        self.save(key, value)

    def _path(self, key: str) -> Path:
        """Return the file of a key."""
        return self._directory / f"{checked_key(key)}.state"


class MemoryStateStore:
    """Keeps values as long as it lives itself."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def load(self, key: str) -> bytes | None:
        """Return the value of a key, None where there is none."""
        return self._values.get(checked_key(key))

    def save(self, key: str, value: bytes) -> None:
        """Replace the value of a key."""
        self._values[checked_key(key)] = bytes(value)

    def put(self, key: str, value: bytes) -> None:
        """Replace the value of a key; this store knows no later."""
        self.save(key, value)


def sealed(value: bytes) -> bytes:
    """Return a value with the line that vouches for it."""
    return b" ".join((_MAGIC, hashlib.sha256(value).hexdigest().encode())) + b"\n" + value


def opened(kept: bytes, place: str) -> bytes:
    """Return the value that was sealed, or refuse it."""
    head, newline, value = kept.partition(b"\n")
    magic, _, told = head.partition(b" ")
    if not newline or magic != _MAGIC:
        raise StateError(f"{place}: no state of this program; move it away to start afresh")
    found = hashlib.sha256(value).hexdigest()
    if told != found.encode():
        raise StateError(
            f"{place}: its checksum is {found[:12]}..., not the {told[:12].decode('ascii', 'replace')}... that it was "
            "saved with; restore it, or move it away to start afresh"
        )
    return value


def checked_key(key: str) -> str:
    """Return a key that is one."""
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no key; use letters, digits, dots, dashes")
    return key
