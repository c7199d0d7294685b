"""How much of a Sharpe ratio may be luck: of the sample, of the number of trials, of the choice among them.

All Sharpe ratios here are *per period* (of the returns that are given), not annualised, as in the papers: the caller
divides an annualised one by the root of the periods a year, and its variance by the periods a year.
"""

import itertools
import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "Pbo",
    "Track",
    "deflated_sharpe",
    "expected_max_sharpe",
    "minimum_track_record",
    "probabilistic_sharpe",
    "probability_of_overfitting",
    "track",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_NORMAL = NormalDist()
_EULER_MASCHERONI = 0.5772156649015329
_NOISE = 1e-12
"""Standard deviation below which returns do not vary: rounding is not risk."""

_MOST_BLOCKS = 20


class Track(NamedTuple):
    """What a track record shows, per period: ``sharpe`` over ``periods`` returns of this ``skewness`` and ``kurtosis``.

    The kurtosis is not the excess: 3 for normal returns.
    """

    sharpe: float
    periods: int
    skewness: float = 0.0
    kurtosis: float = 3.0


class Pbo(NamedTuple):
    """Outcome of combinatorially symmetric cross-validation.

    ``pbo``: share of the ``splits`` in which the best in sample is no better than the median out of sample; ``logits``
    float64[splits] of its relative rank there; ``loss``: share of the splits in which it loses out of sample.
    """

    pbo: float
    logits: FloatArray
    splits: int
    loss: float


def track(returns: FloatArray) -> Track | None:
    """Return what returns float64[n] show; ``None`` below two or where they do not vary.

    The Sharpe ratio is taken with ``ddof=1``, skewness and kurtosis are the moments of the sample.

    Raises
    ------
    ValueError
        Where a return is NaN or infinite.
    """
    _refuse_undefined(returns)
    if len(returns) < 2 or np.std(returns) <= _NOISE:
        return None
    z = (returns - np.mean(returns)) / np.std(returns)
    sharpe = float(np.mean(returns) / np.std(returns, ddof=1))
    return Track(sharpe, len(returns), float(np.mean(z**3)), float(np.mean(z**4)))


def probabilistic_sharpe(record: Track, *, benchmark: float = 0.0) -> float:
    """Return the probability that the true Sharpe ratio is above a benchmark (per period).

    References
    ----------
    D. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk, 2012, equation 11.
    """
    excess = (record.sharpe - benchmark) * math.sqrt(record.periods - 1)
    error = math.sqrt(_variance(record))
    if error == 0.0:  # returns of two values only, whose Sharpe ratio is as large as theirs can be
        return 0.5 if excess == 0.0 else float(excess > 0.0)
    return _NORMAL.cdf(excess / error)


def expected_max_sharpe(*, trials: int, variance: float) -> float:
    """Return the Sharpe ratio that the best of some trials without skill is expected to show (per period).

    Parameters
    ----------
    trials : int
        How many were tried, those without a figure included.
    variance : float
        Variance of the trials' Sharpe ratios per period, >= 0.

    Raises
    ------
    ValueError
        Without a trial, or for a variance below zero or NaN.

    Notes
    -----
    The "False Strategy" theorem, for independent trials. Trials that resemble each other make the true figure smaller,
    so counting all of them is strict. Zero for a single trial.

    References
    ----------
    D. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management, 2014, equation 1.
    """
    if trials < 1:
        raise ValueError(f"trials is {trials}, below the limit 1; count the one that was chosen too")
    if not 0.0 <= variance < math.inf:
        raise ValueError(f"variance is {variance}; give one that is finite and not negative")
    if trials == 1:
        return 0.0
    first = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    second = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - _EULER_MASCHERONI) * first + _EULER_MASCHERONI * second)


def deflated_sharpe(record: Track, *, trials: int, variance: float) -> float:
    """Return the probability that the true Sharpe ratio is above what the best of the trials would show by luck.

    ``trials`` and ``variance`` as in `expected_max_sharpe`.

    References
    ----------
    D. Bailey and M. Lopez de Prado, "The Deflated Sharpe Ratio", Journal of Portfolio Management, 2014, equation 2.
    """
    return probabilistic_sharpe(record, benchmark=expected_max_sharpe(trials=trials, variance=variance))


def minimum_track_record(record: Track, *, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Return how many periods such a record must have for its Sharpe ratio to be above a benchmark with confidence.

    ``None`` where it is not above the benchmark, so that no length would do.

    References
    ----------
    D. Bailey and M. Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk, 2012, equation 13.
    """
    excess = record.sharpe - benchmark
    if excess <= 0.0:
        return None
    return 1.0 + _variance(record) * (_NORMAL.inv_cdf(confidence) / excess) ** 2


def probability_of_overfitting(returns: FloatArray, *, blocks: int = 16) -> Pbo:
    """Return the probability that the best in sample is below the median out of sample (CSCV).

    Parameters
    ----------
    returns : ndarray
        float64[T, N], returns of N candidates over the same T periods.
    blocks : int
        Even number of blocks of successive periods; every choice of half of them is once the sample.

    Raises
    ------
    ValueError
        Fewer than two candidates or than two periods a half, blocks odd or out of range, returns that are not finite.

    Notes
    -----
    The oldest ``T % blocks`` periods are left out: blocks are equally long. A candidate whose returns do not vary has
    the Sharpe ratio 0, as cash has. Ties out of sample have their mean rank, so that a candidate that is given twice
    does not outrank itself; of several that are best in sample the one that is worst out of sample is taken. The rank
    is divided by N + 1, so that logits are finite; a rank at the median is counted as overfitted.

    Candidates that are equally good give about one half, whatever their worth: nothing was there to be chosen. So the
    columns are candidates, not seeds of one candidate.

    References
    ----------
    D. Bailey, J. Borwein, M. Lopez de Prado and Q. Zhu, "The Probability of Backtest Overfitting", Journal of
    Computational Finance, 2017, section 3.
    """
    length = _block_length(returns, blocks)
    center = np.mean(returns, axis=0)  # sums of squares lose digits far from zero
    cut = (returns[len(returns) - blocks * length :] - center).reshape(blocks, length, -1)
    chosen = np.array(list(itertools.combinations(range(blocks), blocks // 2)))
    inside = _sharpes(chosen, cut.sum(axis=1), np.square(cut).sum(axis=1), center, periods=length * blocks // 2)
    outside = inside[::-1]  # in lexical order the other half of the k-th combination is the k-th from the end

    best = inside.max(axis=1, keepdims=True)
    shown = np.where(inside == best, outside, np.inf).min(axis=1, keepdims=True)
    rank = np.sum(outside < shown, axis=1) + (np.sum(outside == shown, axis=1) + 1.0) / 2.0
    logits = np.log(rank / (returns.shape[1] + 1.0 - rank))
    return Pbo(
        pbo=float(np.mean(logits <= 0.0)),
        logits=logits,
        splits=len(chosen),
        loss=float(np.mean(shown < 0.0)),
    )


def _variance(record: Track) -> float:
    """Return the variance of a Sharpe ratio's estimate times (periods - 1), for returns that need not be normal."""
    if record.periods < 2 or not all(map(math.isfinite, record)):
        raise ValueError(f"{record} is no track record; it needs two periods and finite figures")
    variance = 1.0 - record.skewness * record.sharpe + (record.kurtosis - 1.0) / 4.0 * record.sharpe**2
    if variance < -1e-9:
        raise ValueError(
            f"kurtosis {record.kurtosis:g} is below the limit {1.0 + record.skewness**2:g} that skewness "
            f"{record.skewness:g} sets; give the kurtosis itself, not the excess"
        )
    return max(variance, 0.0)


def _block_length(returns: FloatArray, blocks: int) -> int:
    """Return the periods a block, or refuse what cannot be cut."""
    if returns.ndim != 2 or returns.shape[1] < 2:
        raise ValueError(f"returns have shape {returns.shape}; give [T, N] with at least two candidates")
    _refuse_undefined(returns)
    if blocks % 2 or not 2 <= blocks <= _MOST_BLOCKS:
        raise ValueError(f"blocks is {blocks}; choose an even number from 2 to {_MOST_BLOCKS}")
    if len(returns) < max(blocks, 4):
        raise ValueError(f"{len(returns)} periods are too few for {blocks} blocks; give at least {max(blocks, 4)}")
    return len(returns) // blocks


def _sharpes(
    chosen: IntArray, sums: FloatArray, squares: FloatArray, center: FloatArray, *, periods: int
) -> FloatArray:
    """Return the Sharpe ratio float64[splits, N] of every candidate over the chosen blocks int64[splits, blocks].

    Blocks are added one by one, in the same order for every column, so that equal columns give equal bits.
    """
    mean, square = np.zeros((2, len(chosen), sums.shape[1]))
    for block in chosen.T:
        mean += sums[block]
        square += squares[block]
    mean /= periods
    deviation = np.sqrt(np.maximum(square - periods * mean**2, 0.0) / (periods - 1))
    return np.divide(mean + center, deviation, out=np.zeros_like(mean), where=deviation > _NOISE)


def _refuse_undefined(returns: FloatArray) -> None:
    """Refuse returns that are NaN or infinite."""
    if not np.all(np.isfinite(returns)):
        where = np.argwhere(~np.isfinite(returns))[0].tolist()
        raise ValueError(f"the return at {where} is {returns[tuple(where)]}; a day without a figure returns 0")
