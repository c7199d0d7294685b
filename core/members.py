"""Who joins the ensemble: good by itself, and unlike those who are in already."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["choose", "correlation", "mean_correlation"]

FloatArray = npt.NDArray[np.float64]

_NOISE = 1e-12
"""Standard deviation below which returns do not vary: rounding is no movement."""


def correlation(returns: FloatArray) -> FloatArray:
    """Return Pearson's correlation float64[N, N] of the columns of returns float64[T, N], the diagonal 1.

    A column that does not vary moves with no other: its correlations are 0.

    Raises
    ------
    ValueError
        Where a return is NaN or infinite.
    """
    if returns.ndim != 2 or not np.all(np.isfinite(returns)):
        raise ValueError(
            f"returns of shape {returns.shape} are not [T, N] and finite; a day without a figure returns 0"
        )
    moved = returns - returns.mean(axis=0) if len(returns) else returns
    length = np.sqrt(np.sum(moved**2, axis=0))
    unit = np.divide(moved, length, out=np.zeros_like(moved), where=length > _NOISE * math.sqrt(max(len(returns), 1)))
    table: FloatArray = np.clip(unit.T @ unit, -1.0, 1.0)
    table = (table + table.T) / 2.0
    np.fill_diagonal(table, 1.0)
    return table


def mean_correlation(table: FloatArray) -> float | None:
    """Return the mean of a correlation matrix float64[N, N] over its pairs; ``None`` where there is no pair."""
    pairs = table[np.triu_indices(len(table), k=1)]
    return float(np.mean(pairs)) if len(pairs) else None


def choose(scores: Sequence[float | None], returns: FloatArray, *, count: int, penalty: float) -> list[int]:
    """Return the candidates that join, in the order in which they do.

    The first has the best score; each next one the best of score less ``penalty`` times its mean correlation with those
    who are in.

    Parameters
    ----------
    scores : Sequence[float | None]
        One a candidate, on what may be chosen by: validation, never test. Those whose score is ``None`` or NaN come
        last, whatever their correlation.
    returns : ndarray
        float64[T, N], daily returns of the candidates over the range of the scores.
    count : int
        How many join; all where there are fewer.
    penalty : float
        What a correlation of 1 costs, in the unit of the scores; 0 for score alone.

    Raises
    ------
    ValueError
        Where scores and returns do not fit each other, ``count`` is below 1, or ``penalty`` is negative.

    Notes
    -----
    Of equals the one that is named first joins, also among those without a score. A candidate that never moved
    resembles nobody; it is its undefined score that keeps it last.
    """
    if returns.ndim != 2 or returns.shape[1] != len(scores):
        raise ValueError(f"{len(scores)} scores and returns of shape {returns.shape}; give one column a score")
    if count < 1 or not 0.0 <= penalty < math.inf:
        raise ValueError(f"count is {count} and penalty {penalty}; give at least 1 and at least 0")
    table = correlation(returns)
    worth = [-math.inf if score is None or math.isnan(score) else float(score) for score in scores]
    chosen: list[int] = []
    while len(chosen) < min(count, len(scores)):
        left = [candidate for candidate in range(len(scores)) if candidate not in chosen]
        alike = {candidate: float(np.mean(table[candidate, chosen])) if chosen else 0.0 for candidate in left}
        chosen.append(max(left, key=lambda one: (worth[one] - penalty * alike[one], -one)))
    return chosen
