"""Exact decimals in columns: floats and integers to and from the engine's decimal128(38, 16).

A price or quantity is an ``int64`` count of 10**-precision ("raw") on our side and a decimal of 16 places in a file.
No value ever becomes a Python object.
"""

from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["DECIMAL", "MAX_EXACT", "Rounded", "decimal_array", "decimals_to_raw", "precision_of", "to_raw"]

DECIMAL = pa.decimal128(38, 16)
"""The type of every price and quantity in the engine's files."""
MAX_EXACT = 2**53
"""Largest raw count that a float64 of the source still states exactly."""


class Rounded(NamedTuple):
    """Raw counts int64[n], and bool[n] where the value did not lie on the grid of steps."""

    raw: npt.NDArray[np.int64]
    moved: npt.NDArray[np.bool_]


def precision_of(step: Decimal) -> int:
    """Return the decimals that a step needs: 1 for ``0.10``, 0 for ``1.00``."""
    exponent = step.normalize().as_tuple().exponent
    return max(0, -int(exponent))


def to_raw(values: npt.NDArray[np.float64], step: Decimal, *, down: bool) -> Rounded:
    """Put values on the grid of a step, to the nearest step or ``down`` to the one below.

    Parameters
    ----------
    values : float64[n]
        Finite, not negative, below ``MAX_EXACT`` steps of the precision. A float64 parsed from a decimal text of up
        to 15 significant digits names that text exactly, so such a value on the grid is returned unchanged.
    step : Decimal
        Tick or lot, positive.
    down : bool
        Round towards zero (quantities) instead of to the nearest (prices).
    """
    precision = precision_of(step)
    unit = float(step.scaleb(precision))  # 1 for 0.1, 5 for 0.05, 3 for 3
    units = values * float(10**precision) / unit
    nearest = np.rint(units)
    moved = np.abs(units - nearest) > 4.0 * np.spacing(units)
    if down:
        nearest = np.where(moved, np.floor(units), nearest)
    return Rounded((nearest * unit).astype(np.int64), moved)


def decimal_array(raw: npt.NDArray[np.int64], precision: int) -> Any:
    """Return the Arrow array decimal128(38, 16) of counts of 10**-``precision``, int64[n]."""
    words = np.empty((len(raw), 2), dtype=np.int64)
    words[:, 0] = raw
    words[:, 1] = raw >> 63  # the sign, extended to 128 bits
    exact = pa.Array.from_buffers(pa.decimal128(38, precision), len(raw), [None, pa.py_buffer(words)])
    return exact.cast(DECIMAL)


def decimals_to_raw(array: Any, precision: int) -> npt.NDArray[np.int64]:
    """Return the counts of 10**-``precision``, int64[n], of an Arrow array of decimals without nulls.

    Raises
    ------
    pyarrow.ArrowInvalid
        Where a value has more decimals than ``precision``.
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if len(array) == 0:
        return np.empty(0, dtype=np.int64)
    exact = array.cast(pa.decimal128(38, precision))
    words = np.frombuffer(exact.buffers()[1], dtype=np.int64).reshape(-1, 2)
    return words[exact.offset : exact.offset + len(exact), 0].copy()
