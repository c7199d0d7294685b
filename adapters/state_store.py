"""State that outlives the process: a file a key, replaced whole or not at all; and its twin in memory."""

import hashlib
import os
import re
from pathlib import Path

from core.errors import StateError

__all__ = ["FileStateStore", "MemoryStateStore"]

_MAGIC = b"autotrade-state-1"
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class FileStateStore:
    """Keeps each key in ``<key>.state`` (`core.protocols.StateStore`).

    A file is one line, ``autotrade-state-1 <SHA-256 of the rest>``, and the value. It is written beside its place,
    forced to the disk, and put there by a rename: whatever happens, the file is the last value or the one before.

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
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{path}: {error.strerror or error}; the state of the last run is not known") from error
        head, newline, value = content.partition(b"\n")
        magic, _, told = head.partition(b" ")
        if not newline or magic != _MAGIC:
            raise StateError(
                f"{path}: no state file of this program; move it away to start afresh, with all limits new"
            )
        found = hashlib.sha256(value).hexdigest()
        if told.decode("ascii", "replace") != found:
            raise StateError(
                f"{path}: its checksum is {found[:12]}..., not the {told[:12].decode('ascii', 'replace')}... it was "
                "saved with; restore it, or move it away to start afresh"
            )
        return value

    def save(self, key: str, value: bytes) -> None:
        """Replace the value of a key.

        Raises
        ------
        StateError
            Where the disk does not take it; what was saved before still stands.
        """
        path = self._path(key)
        partial = path.with_name(f".{path.name}.partial")
        head = b" ".join((_MAGIC, hashlib.sha256(value).hexdigest().encode()))
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(head + b"\n" + value)
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

    def _path(self, key: str) -> Path:
        """Return the file of a key."""
        if _KEY.fullmatch(key) is None:
            raise ValueError(f"{key!r} is no key; use letters, digits, dots, dashes")
        return self._directory / f"{key}.state"


class MemoryStateStore:
    """Keeps values as long as it lives itself."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def load(self, key: str) -> bytes | None:
        """Return the value of a key, None where there is none."""
        return self._values.get(key)

    def save(self, key: str, value: bytes) -> None:
        """Replace the value of a key."""
        self._values[key] = bytes(value)
