"""The one typed door to numba, so that strict typing survives compilation."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numba

__all__ = ["compiled", "inlined"]


def _digest_of_sources() -> str:
    """Return a digest of every source that may hold compiled code."""
    root = Path(__file__).parent.parent
    sources = sorted((*root.glob("core/*.py"), *root.glob("adapters/*.py"), *root.glob("training/*.py")))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]


# Numba's cache looks at the file of a function, not at those of the functions it calls: an edit of core/exits.py alone
# would leave an old `decide` running. So the cache's directory is named by all sources, and an edit anywhere is seen.
# It lies beside the sources, or where NUMBA_CACHE_DIR says: an installed program cannot write beside itself.
_PLACE = Path(numba.core.config.CACHE_DIR or Path(__file__).parent / "__pycache__")
numba.core.config.CACHE_DIR = str(_PLACE / f"compiled-{_digest_of_sources()}")


def compiled[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` to machine code, cached beside its source.

    ``fastmath`` stays off and floating-point contraction with it: the same step must give the same bits whether it
    is driven by a loop over history or by one bar at a time. Division by zero follows IEEE 754, as in numpy.
    """
    jit: Any = numba.njit(cache=True, fastmath=False, error_model="numpy")
    return cast("Callable[P, R]", jit(function))


def inlined[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` into the functions that call it; it must neither make arrays nor return any.

    The decision of an account is many small functions that hand a tape and all rules on. As calls they cost eighteen
    times what they compute: arrays are passed by value, and the references of each are counted in and out. So their
    bodies are taken into the caller, which holds the arrays, and nothing is counted. Arithmetic is as in `compiled`.
    """
    jit: Any = numba.njit(cache=True, fastmath=False, error_model="numpy", forceinline=True, _nrt=False)
    return cast("Callable[P, R]", jit(function))
