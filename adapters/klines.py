"""Klines: the one schema that every source of bars is read into."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["EXTRAS", "KLINE_SCHEMA", "PRICES", "TIME", "floats", "kline_table", "times_ns"]

TIME = pa.timestamp("ns", "UTC")
PRICES = ("open", "high", "low", "close")
EXTRAS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote", "close_time")
"""Columns that a source may lack; they are null there."""

KLINE_SCHEMA = pa.schema(
    [
        pa.field("open_time", TIME, nullable=False),
        *(pa.field(name, pa.float64(), nullable=False) for name in (*PRICES, "volume")),
        pa.field("quote_volume", pa.float64()),
        pa.field("trades", pa.int64()),
        pa.field("taker_buy_base", pa.float64()),
        pa.field("taker_buy_quote", pa.float64()),
        pa.field("close_time", TIME),
    ]
)
"""Raw klines: times ns UTC, prices in quote currency, volumes in base or quote asset."""


def kline_table(**columns: Any) -> Any:
    """Return a table of `KLINE_SCHEMA` of columns given as numpy or Arrow arrays, times as int64 ns.

    Raises
    ------
    KeyError
        Where a column is absent that every bar has.
    """
    rows = len(columns["open_time"])
    arrays = []
    for field in KLINE_SCHEMA:
        if field.name in columns:
            array = columns[field.name]
            array = pa.array(array) if isinstance(array, np.ndarray) else array
            arrays.append(array.cast(field.type))
        elif field.nullable:
            arrays.append(pa.nulls(rows, field.type))
        else:
            raise KeyError(field.name)
    return pa.Table.from_arrays(arrays, schema=KLINE_SCHEMA)


def floats(column: Any) -> npt.NDArray[np.float64]:
    """Return a column of numbers as float64[n], NaN where it is null."""
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def times_ns(column: Any) -> npt.NDArray[np.int64]:
    """Return a column of times as int64[n] ns, the smallest int64 where it is null."""
    values: npt.NDArray[np.int64] = column.cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    return values
