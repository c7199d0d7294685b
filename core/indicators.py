"""Arithmetic that the features share: guarded ratios, seeded exponential means, windows on a ring."""

import numpy as np
import numpy.typing as npt

from core.compiled import compiled

__all__ = [
    "RING",
    "blend",
    "clip",
    "extremes",
    "half_life_weight",
    "log_ratio",
    "rank",
    "ratio",
    "span_weight",
    "sum_squares",
]

RING = 128
"""Length of a ring, a power of two: the value of bar number ``n`` (from 0) stands at ``n % RING``."""

FloatArray = npt.NDArray[np.float64]


def span_weight(span: float) -> float:
    """Return the weight of the newest value in an exponential mean of ``span`` values: ``2 / (span + 1)``."""
    return 2.0 / (span + 1.0)


def half_life_weight(half_life: float) -> float:
    """Return the weight of the newest value where a value's weight halves every ``half_life`` values."""
    return float(1.0 - 0.5 ** (1.0 / half_life))


@compiled
def blend(mean: float, value: float, weight: float, count: float) -> float:
    """Return an exponential mean moved by one value.

    The first values are averaged plainly (``max(weight, 1 / count)``, ``count`` including ``value``), which is
    Wilder's seed: the mean never hangs on the first value alone. A constant series stays exactly constant.
    """
    return mean + max(weight, 1.0 / count) * (value - mean)


@compiled
def ratio(numerator: float, denominator: float) -> float:
    """Return a quotient, 0 where the denominator is not positive."""
    return numerator / denominator if denominator > 0.0 else 0.0


@compiled
def log_ratio(numerator: float, denominator: float) -> float:
    """Return the logarithm of a quotient of positive numbers, 0 where either is not positive."""
    if numerator > 0.0 and denominator > 0.0:
        return float(np.log(numerator / denominator))
    return 0.0


@compiled
def clip(value: float, limit: float) -> float:
    """Return ``value`` within ``[-limit, limit]``, NaN as 0."""
    if value > limit:
        return limit
    if value < -limit:
        return -limit
    if value != value:  # noqa: PLR0124  NaN, in a form that compiles to one comparison
        return 0.0
    return value


@compiled
def extremes(
    state: FloatArray, high_at: int, low_at: int, last: int, begin: int, end: int, high: float, low: float
) -> tuple[float, float]:
    """Widen a range by the bars of ages ``begin <= age < end`` on two rings; ``last`` is the newest bar's number."""
    for age in range(begin, min(end, last + 1)):
        j = (last - age) % RING
        high = max(high, state[high_at + j])
        low = min(low, state[low_at + j])
    return high, low


@compiled
def sum_squares(state: FloatArray, at: int, last: int, begin: int, end: int) -> tuple[float, float]:
    """Sum the squares on a ring, ages ``begin <= age < end``: of all values, of the negative ones."""
    total = 0.0
    negative = 0.0
    for age in range(begin, min(end, last + 1)):
        value = state[at + (last - age) % RING]
        total += value * value
        negative += min(value, 0.0) * value
    return total, negative


@compiled
def rank(window: FloatArray, count: int, value: float) -> float:
    """Return the rank of ``value``, a member of ``window[:count]``, in [0, 1]; ties share the middle."""
    if count < 2:
        return 0.5
    less = 0
    equal = 0
    for i in range(count):
        less += window[i] < value
        equal += window[i] == value
    return (less + 0.5 * (equal - 1)) / (count - 1)
