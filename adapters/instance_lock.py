"""One node an environment: a lock on a file, which the system takes back however the process ends."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from core.errors import RefusedError

__all__ = ["InstanceLock"]


class InstanceLock:
    """Held for as long as a block lasts; the file names the process that holds it.

    Parameters
    ----------
    path : Path
        The file; its directory is made where absent.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take it.

        Raises
        ------
        RefusedError
            Where another process holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise RefusedError(
                f"{self._path} is held by process {owner}: a node of this environment runs already; stop it first"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
