"""Faults of a series of bars: what is missing, twice, out of order, impossible, frozen or absurd."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["FAULT_KINDS", "UNKNOWN_TIME", "Fault", "Klines", "find_faults"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

FAULT_KINDS = (
    "gap",
    "duplicate",
    "disorder",
    "off_grid",
    "ohlc",
    "zero_volume_run",
    "price_jump",
    "odd_close_time",
)
UNKNOWN_TIME = int(np.iinfo(np.int64).min)
"""Stands for a close time that the source does not state."""

_MILLISECOND_NS = 1_000_000
_MICROSECOND_NS = 1_000
_NORMAL_MAD = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


class Klines(NamedTuple):
    """Bars as their source gives them, in its order, one row a bar.

    ``open_time`` and ``close_time`` int64[n] ns since the epoch UTC (`UNKNOWN_TIME` where not stated), prices
    float64[n] in quote currency, ``volume`` float64[n] in base asset.
    """

    open_time: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    close_time: IntArray


class Fault(msgspec.Struct, frozen=True):
    """One finding: bars from ``ts_from`` to ``ts_to`` (open times, ns, both included), how many, and what is wrong."""

    kind: str
    ts_from: int
    ts_to: int
    count: int
    detail: str


def find_faults(
    klines: Klines,
    *,
    interval_ns: int,
    zero_run: int = 30,
    jump_sigmas: float = 20.0,
    jump_least: float = 0.1,
) -> list[Fault]:
    """Return the faults of a series, in order of time; neighbouring bars with the same fault are one finding.

    Parameters
    ----------
    klines : Klines
        The series, in the order of its source.
    interval_ns : int
        Length of a bar.
    zero_run : int
        So many bars on end without volume are a fault: a frozen feed, or a halt.
    jump_sigmas, jump_least : float
        A bar jumps where its high or low lies further from the close before it, as a logarithm, than ``jump_sigmas``
        robust standard deviations of close-to-close returns (median absolute deviation of those that are not zero,
        times 1.4826) and further than ``jump_least``. Across a gap the deviation grows with the root of the time.
        The defaults pass over true moves of the large markets (BTCUSDT moved 6 % within a minute on 2022-09-21).

    Returns
    -------
    list of Fault
        ``duplicate`` and ``disorder`` are judged on the rows as given, all else on the rows in order, of equal times
        the last. ``odd_close_time``: the close is neither a millisecond nor a microsecond before the next open.

    Notes
    -----
    An empty series has no faults. Impossible prices (``ohlc``) do not count as jumps.
    """
    given = klines.open_time
    if len(given) == 0:
        return []
    faults = _runs("disorder", given, given < np.maximum.accumulate(given), "opens before one above it")
    order = np.argsort(given, kind="stable")
    stamps = given[order]
    again = np.append(np.diff(stamps) == 0, False)
    faults += _runs("duplicate", stamps, again, "open time seen before")
    bars = Klines(*(column[order[~again]] for column in klines))
    faults += _gaps(bars.open_time, interval_ns)
    faults += _runs("off_grid", bars.open_time, bars.open_time % interval_ns != 0, "opens off the interval")
    impossible = _impossible(bars)
    faults += _runs("ohlc", bars.open_time, impossible, "no possible prices")
    faults += _zero_runs(bars, interval_ns, zero_run)
    faults += _jumps(bars, impossible, interval_ns, jump_sigmas, jump_least)
    early = bars.open_time + interval_ns - bars.close_time
    odd = (bars.close_time != UNKNOWN_TIME) & (early != _MILLISECOND_NS) & (early != _MICROSECOND_NS)
    for i in np.flatnonzero(odd):
        at, lasted = int(bars.open_time[i]), interval_ns - int(early[i])
        faults.append(Fault("odd_close_time", at, at, 1, f"closes {lasted / 1e9:.3f} s after its open"))
    return sorted(faults, key=lambda fault: (fault.ts_from, FAULT_KINDS.index(fault.kind)))


def _gaps(stamps: IntArray, interval_ns: int) -> list[Fault]:
    missing = np.diff(stamps) // interval_ns - 1
    before = np.flatnonzero(missing > 0)
    return [
        Fault("gap", at + interval_ns, at + count * interval_ns, count, "no bars")
        for at, count in zip(stamps[before].tolist(), missing[before].tolist(), strict=True)
    ]


def _impossible(bars: Klines) -> BoolArray:
    prices = np.stack([bars.open, bars.high, bars.low, bars.close])
    no_price = ~np.all(np.isfinite(prices) & (prices > 0.0), axis=0)
    no_volume = ~(np.isfinite(bars.volume) & (bars.volume >= 0.0))
    unbounded = (bars.high < np.maximum(bars.open, bars.close)) | (bars.low > np.minimum(bars.open, bars.close))
    impossible: BoolArray = no_price | no_volume | unbounded
    return impossible


def _zero_runs(bars: Klines, interval_ns: int, zero_run: int) -> list[Fault]:
    frozen = [
        Fault("zero_volume_run", int(bars.open_time[a]), int(bars.open_time[b]), b - a + 1, "no volume")
        for a, b in _spans(bars.volume == 0.0, bars.open_time, interval_ns)
    ]
    return [fault for fault in frozen if fault.count >= zero_run]


def _jumps(bars: Klines, impossible: BoolArray, interval_ns: int, sigmas: float, least: float) -> list[Fault]:
    sound = np.flatnonzero(~impossible)
    if len(sound) < 2:
        return []
    stamps, close = bars.open_time[sound], np.log(bars.close[sound])
    returns = np.diff(close)
    moving = returns[returns != 0.0]
    sigma = _NORMAL_MAD * float(np.median(np.abs(moving))) if len(moving) > 0 else 0.0
    steps = np.diff(stamps) / interval_ns
    above = np.log(bars.high[sound][1:]) - close[:-1]
    below = np.log(bars.low[sound][1:]) - close[:-1]
    reach = np.where(np.abs(above) >= np.abs(below), above, below)
    found = np.flatnonzero(np.abs(reach) > np.maximum(least, sigmas * sigma * np.sqrt(steps)))
    return [
        Fault("price_jump", at, at, 1, f"log return {return_:+.4f}")
        for at, return_ in zip(stamps[found + 1].tolist(), reach[found].tolist(), strict=True)
    ]


def _runs(kind: str, stamps: IntArray, mask: BoolArray, detail: str) -> list[Fault]:
    """Return one fault for each run of rows where the mask holds."""
    return [
        Fault(kind, int(stamps[a : b + 1].min()), int(stamps[a : b + 1].max()), b - a + 1, detail)
        for a, b in _spans(mask, stamps, None)
    ]


def _spans(mask: BoolArray, stamps: IntArray, interval_ns: int | None) -> Sequence[tuple[int, int]]:
    """Return first and last row of each run where the mask holds, broken at a gap where an interval is given."""
    rows = np.flatnonzero(mask)
    if len(rows) == 0:
        return []
    broken = np.diff(rows) > 1
    if interval_ns is not None:
        broken |= np.diff(stamps[rows]) != interval_ns
    edges = np.flatnonzero(broken)
    first = rows[np.concatenate(([0], edges + 1))].tolist()
    last = rows[np.concatenate((edges, [len(rows) - 1]))].tolist()
    return list(zip(first, last, strict=True))
