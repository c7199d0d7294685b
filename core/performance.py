"""How an account did: measures of its equity curve (`core.fills` has those of its fills).

Conventions, one for all measures:

- Returns are simple and daily, from one UTC midnight to the next; a day ends with the mark *at* midnight. The first
  day is measured from the first mark, a day without a mark returns 0, and a day cut short by either end counts as one.
- A year has 365 days, because the market never closes; ratios are scaled by ``sqrt(365)``; the risk-free rate is 0.
- Fractions, never per cent; ``drawdown >= 0``; a fee or a slippage ``>= 0`` is a cost; NaN never leaves: what is
  undefined (no data, no variance, no losses) is ``None``.
- An account at or below zero is ruined: its day returns -1 and every later day 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.fills import Fills, notional

__all__ = [
    "DAYS_A_YEAR",
    "EquityCurve",
    "annualised_return",
    "annualised_volatility",
    "calmar",
    "daily_returns",
    "drawdowns",
    "max_drawdown",
    "mean_exposure",
    "monthly_returns",
    "sharpe",
    "sharpe_error",
    "sortino",
    "total_return",
    "turnover",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DAYS_A_YEAR = 365.0
_DAY_NS = 86_400_000_000_000
_NOISE = 1e-12
"""Standard deviation of daily returns below which an account did not move: rounding is not risk."""


@dataclass(frozen=True, slots=True)
class EquityCurve:
    """Marks of an account: ``ts`` int64[n] (ns UTC, ascending), ``equity`` float64[n] (quote currency).

    Raises
    ------
    ValueError
        Where the lengths differ, a time goes back, or an equity is NaN or infinite.
    """

    ts: IntArray
    equity: FloatArray

    def __post_init__(self) -> None:
        if self.ts.shape != self.equity.shape or self.ts.ndim != 1:
            raise ValueError(f"ts has shape {self.ts.shape} and equity {self.equity.shape}; give one mark a time")
        if np.any(np.diff(self.ts) < 0):
            at = int(np.argmax(np.diff(self.ts) < 0)) + 1
            raise ValueError(f"ts goes back at mark {at}, to {self.ts[at]}; marks must be in time order")
        if not np.all(np.isfinite(self.equity)):
            raise ValueError(f"equity is not finite at mark {int(np.argmin(np.isfinite(self.equity)))}")


def total_return(curve: EquityCurve) -> float | None:
    """Return last over first equity, less one; ``None`` where empty or where the first is not positive."""
    if len(curve.equity) == 0 or curve.equity[0] <= 0.0:
        return None
    return float(curve.equity[-1] / curve.equity[0] - 1.0)


def annualised_return(curve: EquityCurve) -> float | None:
    """Return the geometric return a year of 365 days, by elapsed time.

    ``None`` for less than one day of marks, where a year's figure would be a fantasy; -1 for a ruined account.
    """
    total = total_return(curve)
    days = (int(curve.ts[-1]) - int(curve.ts[0])) / _DAY_NS if len(curve.ts) else 0.0
    if total is None or days < 1.0:
        return None
    if total <= -1.0:
        return -1.0
    exponent = np.log1p(total) * (DAYS_A_YEAR / days)
    return float(np.expm1(exponent)) if exponent < 700.0 else None


def daily_returns(curve: EquityCurve) -> tuple[IntArray, FloatArray]:
    """Return UTC day numbers since the epoch int64[d], and the simple return of each float64[d].

    See the module for where days begin and end; fewer than two marks, or no time between them, give empty arrays.
    """
    ts, equity = curve.ts, curve.equity
    if len(ts) < 2 or ts[-1] == ts[0]:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64)
    days = np.arange(ts[0] // _DAY_NS, (ts[-1] - 1) // _DAY_NS + 1, dtype=np.int64)
    last = np.searchsorted(ts, (days + 1) * _DAY_NS, side="right") - 1
    return days, _steps(np.concatenate((equity[:1], equity[last])))


def monthly_returns(curve: EquityCurve) -> dict[tuple[int, int], float]:
    """Return the simple return of each UTC calendar month, by (year, month), compounded from the daily ones."""
    days, returns = daily_returns(curve)
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    table: dict[tuple[int, int], float] = {}
    for month in np.unique(months):
        compounded = float(np.prod(1.0 + returns[months == month]) - 1.0)
        table[int(1970 + month // 12), int(month % 12 + 1)] = compounded
    return table


def annualised_volatility(curve: EquityCurve) -> float | None:
    """Return the standard deviation (``ddof=1``) of daily returns times ``sqrt(365)``; ``None`` below two days."""
    _, returns = daily_returns(curve)
    if len(returns) < 2:
        return None
    return float(np.std(returns, ddof=1) * np.sqrt(DAYS_A_YEAR))


def sharpe(curve: EquityCurve) -> float | None:
    """Return mean over standard deviation (``ddof=1``) of daily returns, times ``sqrt(365)``, risk-free rate 0.

    ``None`` below two days or where the returns do not vary.

    References
    ----------
    W. F. Sharpe, "The Sharpe Ratio", Journal of Portfolio Management, 1994.
    """
    _, returns = daily_returns(curve)
    if len(returns) < 2:
        return None
    deviation = float(np.std(returns, ddof=1))
    return float(np.mean(returns) / deviation * np.sqrt(DAYS_A_YEAR)) if deviation > _NOISE else None


def sharpe_error(curve: EquityCurve) -> float | None:
    """Return the standard error of `sharpe`, for returns that are independent from day to day; ``None`` as there.

    References
    ----------
    A. W. Lo, "The Statistics of Sharpe Ratios", Financial Analysts Journal, 2002, equation 9.
    """
    ratio = sharpe(curve)
    if ratio is None:
        return None
    days = len(daily_returns(curve)[1])
    return float(np.sqrt((DAYS_A_YEAR + 0.5 * ratio**2) / days))


def sortino(curve: EquityCurve) -> float | None:
    """Return mean over downside deviation of daily returns, times ``sqrt(365)``, target 0.

    The downside deviation is the root of the mean of ``min(r, 0)**2`` over *all* days, days of gain included.
    ``None`` below two days or where no day lost.

    References
    ----------
    F. Sortino and L. Price, "Performance Measurement in a Downside Risk Framework", Journal of Investing, 1994.
    """
    _, returns = daily_returns(curve)
    if len(returns) < 2:
        return None
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns) / downside * np.sqrt(DAYS_A_YEAR)) if downside > _NOISE else None


def drawdowns(curve: EquityCurve) -> FloatArray:
    """Return the loss from the highest equity so far, float64[n] in [0, 1], at every mark."""
    if len(curve.equity) == 0:
        return np.empty(0, dtype=np.float64)
    high = np.maximum.accumulate(curve.equity)
    fall = np.divide(curve.equity, high, out=np.zeros_like(high), where=high > 0.0)
    return np.clip(1.0 - fall, 0.0, 1.0)


def max_drawdown(curve: EquityCurve) -> float:
    """Return the deepest drawdown over all marks, not only daily ones; 0 for an empty curve."""
    return float(np.max(drawdowns(curve), initial=0.0))


def calmar(curve: EquityCurve) -> float | None:
    """Return annualised return over the deepest drawdown; ``None`` where either is undefined or there was no drawdown.

    References
    ----------
    T. W. Young, "Calmar Ratio: A Smoother Tool", Futures, 1991.
    """
    annual = annualised_return(curve)
    deepest = max_drawdown(curve)
    return annual / deepest if annual is not None and deepest > _NOISE else None


def mean_exposure(ts: IntArray, exposure: FloatArray) -> float | None:
    """Return the time-weighted mean of ``abs(exposure)`` (fraction of equity), each mark holding until the next.

    ``ts`` int64[n] in ns, ``exposure`` float64[n]; ``None`` where no time passes.
    """
    if len(ts) < 2 or ts[-1] == ts[0]:
        return None
    return float(np.average(np.abs(exposure[:-1]), weights=np.diff(ts)))


def turnover(fills: Fills, curve: EquityCurve) -> float | None:
    """Return the notional traded over the mean equity, for the whole curve; ``None`` where that is not positive."""
    mean = float(np.mean(curve.equity)) if len(curve.equity) else 0.0
    return notional(fills) / mean if mean > 0.0 else None


def _steps(closes: FloatArray) -> FloatArray:
    """Return closes[1:] / closes[:-1] - 1, an account at or below zero staying at zero."""
    alive = np.where(np.logical_or.accumulate(closes <= 0.0), 0.0, closes)
    ratio = np.divide(alive[1:], alive[:-1], out=np.ones(len(alive) - 1), where=alive[:-1] > 0.0)
    return ratio - 1.0
