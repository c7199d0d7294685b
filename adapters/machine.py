"""The machine under a live node: free disk space, files that may be open, folders that take what is written."""

import os
import resource
import shutil
import tempfile
from pathlib import Path

from core.errors import StateError

__all__ = ["check_writable", "free_bytes", "open_files"]


def check_writable(folder: Path) -> None:
    """Write a file into a folder, force it to the disk and take it away; the folder is made where absent.

    Raises
    ------
    StateError
        Where that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(b"x" * 4_096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise StateError(f"{folder}: {error.strerror or error}; nothing can be kept there") from None


def free_bytes(folder: Path) -> int:
    """Return what may still be written where a folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def open_files() -> int:
    """Return how many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
