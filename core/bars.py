"""Bars and funding as columns, and the names of bar intervals."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.errors import UsageError

__all__ = ["DAY_NS", "INTERVALS_NS", "Bars", "Funding", "bar_type", "interval_ns"]

_MINUTE_NS = 60_000_000_000
DAY_NS = 1_440 * _MINUTE_NS

INTERVALS_NS: dict[str, int] = {
    "1m": _MINUTE_NS,
    "3m": 3 * _MINUTE_NS,
    "5m": 5 * _MINUTE_NS,
    "15m": 15 * _MINUTE_NS,
    "30m": 30 * _MINUTE_NS,
    "1h": 60 * _MINUTE_NS,
    "2h": 120 * _MINUTE_NS,
    "4h": 240 * _MINUTE_NS,
    "6h": 360 * _MINUTE_NS,
    "8h": 480 * _MINUTE_NS,
    "12h": 720 * _MINUTE_NS,
    "1d": DAY_NS,
}
"""Length in ns of every bar interval, by Binance's name for it."""

_UNITS = {"m": "MINUTE", "h": "HOUR", "d": "DAY"}


class Bars(NamedTuple):
    """Bars of one instrument and interval, in time order, one row a bar.

    ``ts_close`` int64[n] is the close of each bar (open time plus interval), ns since the epoch UTC, strictly
    rising: a bar is known only then. ``open``, ``high``, ``low``, ``close`` float64[n] in quote currency;
    ``volume`` and ``taker_buy`` float64[n] in base asset, ``taker_buy`` NaN where unknown.
    """

    ts_close: npt.NDArray[np.int64]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]
    taker_buy: npt.NDArray[np.float64]


class Funding(NamedTuple):
    """Funding settlements of one perpetual, in time order.

    ``ts`` int64[m] ns since the epoch UTC; ``rate`` float64[m], the fraction of notional that longs pay to
    shorts.
    """

    ts: npt.NDArray[np.int64]
    rate: npt.NDArray[np.float64]


def interval_ns(name: str) -> int:
    """Return the length of a bar interval in ns.

    Raises
    ------
    UsageError
        For a name that Binance does not use.
    """
    try:
        return INTERVALS_NS[name]
    except KeyError:
        raise UsageError(f"unknown interval {name!r}: use one of {', '.join(INTERVALS_NS)}") from None


def bar_type(instrument_id: str, interval: str) -> str:
    """Return the engine's name of an instrument's bars.

    Raises
    ------
    UsageError
        For an unknown interval.

    Examples
    --------
    >>> bar_type("BTCUSDT-PERP.BINANCE", "15m")
    'BTCUSDT-PERP.BINANCE-15-MINUTE-LAST-EXTERNAL'
    """
    interval_ns(interval)
    return f"{instrument_id}-{interval[:-1]}-{_UNITS[interval[-1]]}-LAST-EXTERNAL"
