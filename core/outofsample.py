"""Out of sample: the test ranges of all folds, one after the other, as one account would have gone through them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from core import fills as trading
from core import performance as perf
from core.fills import Fills
from core.overfitting import deflated_sharpe, expected_max_sharpe, probability_of_overfitting, track
from core.performance import EquityCurve
from core.selection import Curve, Overfitting

__all__ = [
    "Run",
    "compounded",
    "curve_row",
    "figures",
    "fold_figures",
    "luck",
    "panel",
    "seed_figures",
    "share_beaten",
    "stitched",
    "trades_a_month",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_DAY_NS = 86_400_000_000_000
_DAYS_A_MONTH = perf.DAYS_A_YEAR / 12.0


class Run(NamedTuple):
    """A replay of one fold's test range: marks of the account from its starting equity on, and its fills."""

    curve: EquityCurve
    fills: Fills


def compounded(returns: FloatArray, *, first_day: int = 0) -> EquityCurve:
    """Return the account that starts at 1 and earns daily returns float64[d], from the UTC day ``first_day`` on."""
    ts = (first_day + np.arange(len(returns) + 1, dtype=np.int64)) * _DAY_NS
    return EquityCurve(ts, np.concatenate(([1.0], np.cumprod(1.0 + returns))))


def stitched(curves: Sequence[EquityCurve]) -> EquityCurve:
    """Return the curves of successive test ranges as one that starts at 1: each goes on where the one before ended.

    Raises
    ------
    ValueError
        Where there is no curve, one is empty or does not start above zero, or one begins before the last has ended.
    """
    level, pieces = 1.0, []
    for number, curve in enumerate(curves, start=1):
        if len(curve.equity) == 0 or curve.equity[0] <= 0.0:
            raise ValueError(f"the curve of fold {number} does not start above zero; give marks from the start on")
        pieces.append(level * curve.equity / curve.equity[0])
        level = max(float(pieces[-1][-1]), 0.0)
    if not pieces:
        raise ValueError("there is no curve to stitch; give one a fold")
    return EquityCurve(np.concatenate([curve.ts for curve in curves]), np.concatenate(pieces))


def curve_row(name: str, kind: Literal["ensemble", "seed", "baseline"], curve: EquityCurve) -> Curve:
    """Return a curve at the close of each UTC day, from 1 at the close of the day before the first."""
    days, returns = perf.daily_returns(curve)
    before = days[:1] - 1
    equity = np.cumprod(np.concatenate((np.ones(len(before)), 1.0 + returns)))
    return Curve(
        name=name, kind=kind, days=tuple(np.concatenate((before, days)).tolist()), equity=tuple(equity.tolist())
    )


def panel(curves: Sequence[EquityCurve]) -> tuple[IntArray, FloatArray]:
    """Return the UTC days int64[T] of any of the curves and the daily returns float64[T, N] of all.

    A day on which a curve has no mark to measure from returns 0: it was not traded.
    """
    daily = [perf.daily_returns(curve) for curve in curves]
    days = np.unique(np.concatenate([each for each, _ in daily])) if daily else np.empty(0, dtype=np.int64)
    table = np.zeros((len(days), len(curves)))
    for column, (each, returns) in enumerate(daily):
        table[np.searchsorted(days, each), column] = returns
    return days, table


def figures(runs: Sequence[Run]) -> dict[str, float | None]:
    """Return the figures of one account over successive test ranges (`core.golden_rule.RULES` has their meaning).

    Parameters
    ----------
    runs : Sequence[Run]
        One a fold, oldest first, the account beginning each with the same equity.

    Returns
    -------
    dict[str, float | None]
        total_return, annualised_return, sharpe, max_drawdown, win_rate, profit_factor, round_trips, trades_a_month,
        fees (quote currency), break_even_fee_bps.

    Raises
    ------
    ValueError
        As `stitched`.
    """
    curve = stitched([run.curve for run in runs])
    trips = [trip for run in runs for trip in trading.round_trips(run.fills)]
    fees = sum(float(np.sum(run.fills.commission)) for run in runs)
    profit = sum(float(run.curve.equity[-1] - run.curve.equity[0]) for run in runs)
    traded = sum(trading.notional(run.fills) for run in runs)
    passed_ns = sum(int(run.curve.ts[-1] - run.curve.ts[0]) for run in runs)
    return {
        "total_return": perf.total_return(curve),
        "annualised_return": perf.annualised_return(curve),
        "sharpe": perf.sharpe(curve),
        "max_drawdown": perf.max_drawdown(curve),
        "win_rate": trading.win_rate(trips),
        "profit_factor": trading.profit_factor(trips),
        "round_trips": float(len(trips)),
        "trades_a_month": trades_a_month(len(trips), days=passed_ns / _DAY_NS),
        "fees": fees,
        "break_even_fee_bps": trading.break_even_fee_bps(net_profit=profit, fees=fees, traded=traded),
    }


def trades_a_month(round_trips: int, *, days: float) -> float | None:
    """Return the round trips in 365/12 days; ``None`` where no time passes."""
    return round_trips / days * _DAYS_A_MONTH if days > 0.0 else None


def fold_figures(returns: Sequence[float]) -> dict[str, float | None]:
    """Return worst_fold_return and profitable_folds of the folds' total returns; ``None`` without a fold."""
    if not returns:
        return {"worst_fold_return": None, "profitable_folds": None}
    return {"worst_fold_return": min(returns), "profitable_folds": sum(each > 0.0 for each in returns) / len(returns)}


def seed_figures(sharpes: Sequence[float | None]) -> dict[str, float | None]:
    """Return median_seed_sharpe and worst_seed_sharpe; ``None`` without a seed.

    An undefined Sharpe ratio is of an account that never moved, and counts as 0, as cash does.
    """
    found = [0.0 if each is None else each for each in sharpes]
    if not found:
        return {"median_seed_sharpe": None, "worst_seed_sharpe": None}
    return {"median_seed_sharpe": float(np.median(found)), "worst_seed_sharpe": min(found)}


def luck(
    returns: FloatArray, *, trial_sharpes: Sequence[float], trials: int, candidates: FloatArray, blocks: int = 16
) -> Overfitting:
    """Return how much of an account's result may be luck.

    Parameters
    ----------
    returns : ndarray
        float64[T], daily returns of the chosen ensemble out of sample.
    trial_sharpes : Sequence[float]
        Annualised Sharpe ratios of all trials that have one, each over the *same* days as ``returns`` (the folds of a
        seed stitched): shorter ranges scatter more, and would make luck look larger than it is.
    trials : int
        How many there were, those without a figure included. These are taken to scatter at least as chance does over
        as many days, by ``1 / (T - 1)`` a day: a last study of few trials that resemble each other says nothing of
        those before it, which were chosen from, too.
    candidates : ndarray
        float64[P, N], daily returns of the candidates among which was chosen, seeds of one candidate averaged.
    blocks : int
        As `core.overfitting.probability_of_overfitting` takes it.

    Returns
    -------
    Overfitting
        Ratios annualised. What rests on too little is ``None``: the deflated Sharpe ratio without two trials' figures
        (but for a single trial), the probability of overfitting without two candidates or a block's worth of days.

    Raises
    ------
    ValueError
        Where there are more figures than trials, or one is NaN.
    """
    if not len(trial_sharpes) <= trials:
        raise ValueError(f"{len(trial_sharpes)} figures of {trials} trials; count every trial, abandoned ones too")
    year = perf.DAYS_A_YEAR
    record = track(returns)
    variance = None
    if len(trial_sharpes) > 1:
        known = float(np.var(trial_sharpes, ddof=1)) / year
        others = max(known, 1.0 / max(len(returns) - 1, 1))
        variance = others + (known - others) * len(trial_sharpes) / trials
    if trials == 1:
        variance = 0.0
    best = None if variance is None else expected_max_sharpe(trials=trials, variance=variance)
    deflated = None
    if record is not None and variance is not None:
        deflated = deflated_sharpe(record, trials=trials, variance=variance)
    enough = candidates.shape[1] > 1 and len(candidates) >= max(blocks, 4)
    pbo = probability_of_overfitting(candidates, blocks=blocks) if enough else None
    return Overfitting(
        sharpe=None if record is None else record.sharpe * year**0.5,
        trials=trials,
        abandoned=trials - len(trial_sharpes),
        trial_sharpes=tuple(trial_sharpes),
        expected_max_sharpe=None if best is None else best * year**0.5,
        deflated_sharpe=deflated,
        pbo=None if pbo is None else pbo.pbo,
        splits=0 if pbo is None else pbo.splits,
        logits=() if pbo is None else tuple(pbo.logits.tolist()),
    )


def share_beaten(value: float, others: Sequence[float]) -> float | None:
    """Return the share of others that are lower; ``None`` without any."""
    return sum(other < value for other in others) / len(others) if others else None
