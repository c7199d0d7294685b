"""How much memory this process took at most, as the kernel counted it."""

import resource
from pathlib import Path

__all__ = ["peak_rss_mb"]


def peak_rss_mb() -> float:
    """Return the largest resident set of this program so far, MB.

    Notes
    -----
    ``ru_maxrss`` also counts the parent from which a process was forked, before it ran its own program; the kernel's
    ``VmHWM`` begins with the program, and is preferred where there is one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
