"""Market regimes: each UTC day is of a trend or a range, of high or low volatility, by what was known before it.

A trend is a path that led somewhere: Kaufman's efficiency ratio of the last 30 closes, the distance covered over the
way walked, above its own median so far. High volatility: the standard deviation of the last 30 daily log returns, above
its own median so far. Both medians grow with history and never look ahead.

References
----------
P. Kaufman, "Smarter Trading", 1995, for the efficiency ratio.
"""

import numpy as np
import numpy.typing as npt

from core.outofsample import compounded
from core.performance import sharpe
from core.selection import RegimeRow

__all__ = ["REGIMES", "UNKNOWN", "daily_closes", "regimes", "split", "worst_sharpe"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REGIMES = ("range, low volatility", "range, high volatility", "trend, low volatility", "trend, high volatility")
UNKNOWN = -1
"""The label of the first days, before there is a median to compare with."""

_WINDOW = 30
_FEWEST = 30
"""Figures that a median needs, the present one included."""

_DAY_NS = 86_400_000_000_000


def daily_closes(ts: IntArray, closes: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return UTC day numbers int64[d] and the last close of each float64[d]; a day without one keeps the one before.

    ``ts`` int64[n] are times of closes, ns UTC, ascending: a close at midnight belongs to the day that it ends.
    """
    if len(ts) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    days = np.arange((ts[0] - 1) // _DAY_NS, (ts[-1] - 1) // _DAY_NS + 1, dtype=np.int64)
    return days, closes[np.searchsorted(ts, (days + 1) * _DAY_NS, side="right") - 1]


def regimes(closes: FloatArray) -> IntArray:
    """Return the regime int64[d] of each day: an index into `REGIMES`, or `UNKNOWN` at the beginning.

    Parameters
    ----------
    closes : ndarray
        float64[d] of successive UTC days, or float64[d, k] of k instruments, which count as their geometric mean.

    Raises
    ------
    ValueError
        Where a close is not positive or not finite.

    Notes
    -----
    The label of a day rests on the closes of the days *before* it: it is known when the day begins, and says in what
    market a decision was made, not what came of it. The first 60 days are unknown.
    """
    if not np.all((closes > 0.0) & np.isfinite(closes)):
        raise ValueError("a daily close is not positive and finite; give the last close of every day (daily_closes)")
    price = np.log(closes) if closes.ndim == 1 else np.log(closes).mean(axis=1)
    labels = np.full(len(price), UNKNOWN, dtype=np.int64)
    steps = np.diff(price)
    if len(steps) < _WINDOW:
        return labels
    windows = np.lib.stride_tricks.sliding_window_view(steps, _WINDOW)
    walked = np.abs(windows).sum(axis=1)
    efficiency = np.divide(np.abs(windows.sum(axis=1)), walked, out=np.zeros_like(walked), where=walked > 0.0)
    volatility = windows.std(axis=1)
    for known in range(_FEWEST, len(windows)):  # windows whose last close is of the day before the one that is labelled
        trend = efficiency[known - 1] > np.median(efficiency[:known])
        high = volatility[known - 1] > np.median(volatility[:known])
        labels[known + _WINDOW] = 2 * trend + high
    return labels


def split(days: IntArray, returns: FloatArray, *, label_days: IntArray, labels: IntArray) -> tuple[RegimeRow, ...]:
    """Return how an account did on the days of each regime, days of no known regime last.

    A regime without days has no row; the days of the rows are all that are given.

    Parameters
    ----------
    days, returns : ndarray
        UTC day numbers int64[n] and simple returns float64[n] of the account.
    label_days, labels : ndarray
        UTC day numbers int64[d] and the regime of each (`regimes`).
    """
    known = dict(zip(label_days.tolist(), labels.tolist(), strict=True))
    found = np.array([known.get(day, UNKNOWN) for day in days.tolist()])
    names = {**dict(enumerate(REGIMES)), UNKNOWN: "unknown"}
    return tuple(_row(name, returns[found == label]) for label, name in names.items() if np.any(found == label))


def worst_sharpe(rows: tuple[RegimeRow, ...], *, fewest_days: int = 30) -> float | None:
    """Return the lowest Sharpe ratio of a known regime with enough days; ``None`` where there is none."""
    sharpes = [row.sharpe for row in rows if row.regime in REGIMES and row.days >= fewest_days]
    return min((figure for figure in sharpes if figure is not None), default=None)


def _row(name: str, returns: FloatArray) -> RegimeRow:
    """Return how the days of one regime did, as if they had followed each other."""
    curve = compounded(returns)
    return RegimeRow(regime=name, days=len(returns), total_return=float(curve.equity[-1] - 1.0), sharpe=sharpe(curve))
