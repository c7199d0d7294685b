"""Which program this is: its version, those of what it stands on, and the revision of its source."""

import functools
import importlib.metadata
import platform
import subprocess
from pathlib import Path

__all__ = ["program"]

_PACKAGES = ("autotrade", "nautilus_trader", "numpy", "numba", "onnxruntime", "msgspec")


@functools.cache
def program() -> dict[str, str]:
    """Return versions by name; ``revision`` of the source is empty where it is not under git."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "revision": _revision(),
    }


def _revision() -> str:
    """Return the commit of the source, with a ``+`` where it was changed since."""
    where = Path(__file__).parent
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"],  # noqa: S607 - whichever git
            cwd=where, capture_output=True, text=True, timeout=10.0, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return said.stdout.strip()
