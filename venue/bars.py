"""One-minute bars as columns, their aggregation, and the path of prices inside one."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["INTERVALS_MS", "MINUTE_MS", "POINT_OFFSETS_MS", "Bar", "Columns", "aggregated", "concatenated", "path"]

MINUTE_MS = 60_000

INTERVALS_MS = {
    name: count * unit
    for unit, names in (
        (MINUTE_MS, {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30}),
        (60 * MINUTE_MS, {"1h": 1, "2h": 2, "4h": 4, "6h": 6, "8h": 8, "12h": 12}),
        (1_440 * MINUTE_MS, {"1d": 1}),
    )
    for name, count in names.items()
}
"""Length of every kline interval by its name (milliseconds)."""

POINT_OFFSETS_MS = (1, 20_000, 40_000, 59_000)
"""When the four prices of a minute stand, after its open."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Bar(NamedTuple):
    """One bar: opens at ``open_ms``; volumes in base asset, ``quote_volume`` and ``taker_quote`` in quote currency."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy: float
    taker_quote: float


class Columns(NamedTuple):
    """Bars of one symbol in time order, one row a bar (`Bar`), each of shape [n]."""

    open_ms: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    quote_volume: FloatArray
    trades: IntArray
    taker_buy: FloatArray
    taker_quote: FloatArray

    def rows(self) -> list[Bar]:
        """Return the bars one by one."""
        return [Bar(*row) for row in zip(*(column.tolist() for column in self), strict=True)]

    def cut(self, first_ms: int, last_ms: int) -> "Columns":
        """Return the bars with ``first_ms <= open_ms <= last_ms``."""
        start, stop = np.searchsorted(self.open_ms, [first_ms, last_ms + 1])
        return Columns._make(column[start:stop] for column in self)


def concatenated(parts: list[Columns]) -> Columns:
    """Return columns one after the other; no part gives no bars."""
    if not parts:
        kinds = {"open_ms": np.int64, "trades": np.int64}
        return Columns._make(np.empty(0, dtype=kinds.get(name, np.float64)) for name in Columns._fields)
    return Columns._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def aggregated(bars: Columns, length_ms: int) -> Columns:
    """Return larger bars that begin at multiples of their length (UTC); minutes that are missing count as nothing."""
    if len(bars.open_ms) == 0 or length_ms == MINUTE_MS:
        return bars
    opens = bars.open_ms // length_ms * length_ms
    starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    stops = np.append(starts[1:], len(opens)) - 1
    return Columns(
        open_ms=opens[starts],
        open=bars.open[starts],
        high=np.maximum.reduceat(bars.high, starts),
        low=np.minimum.reduceat(bars.low, starts),
        close=bars.close[stops],
        volume=np.add.reduceat(bars.volume, starts),
        quote_volume=np.add.reduceat(bars.quote_volume, starts),
        trades=np.add.reduceat(bars.trades, starts),
        taker_buy=np.add.reduceat(bars.taker_buy, starts),
        taker_quote=np.add.reduceat(bars.taker_quote, starts),
    )


def path(bar: Bar) -> tuple[float, float, float, float]:
    """Return a bar's four prices in the order in which they are taken to have traded: the nearer extreme first."""
    if bar.high - bar.open < bar.open - bar.low:
        return bar.open, bar.high, bar.low, bar.close
    return bar.open, bar.low, bar.high, bar.close
