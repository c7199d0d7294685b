"""From a policy's output to a vote: a signed level in [-1, 1] and a confidence in [0, 1]."""

import math
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from core.compiled import compiled
from core.errors import ConfigError

__all__ = ["ActionSpec", "decode_continuous", "decode_discrete"]

FloatArray = npt.NDArray[np.float64]


class ActionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a policy's output means.

    ``discrete``: the network gives one probability per entry of ``levels`` (strictly rising, within [-1, 1], with 0
    among them). ``continuous``: it gives the mean and the standard deviation of a normal variable whose tanh is the
    level; ``levels`` are not read.
    """

    kind: Literal["discrete", "continuous"] = "discrete"
    levels: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)

    def __post_init__(self) -> None:
        """Refuse levels that are no action map."""
        rising = all(a < b for a, b in pairwise(self.levels))
        if not rising or 0.0 not in self.levels or max(map(abs, self.levels)) > 1.0:
            raise ConfigError(f"action levels must rise strictly within [-1, 1] and contain 0, found {self.levels}")

    @property
    def width(self) -> int:
        """Width of the network's output."""
        return len(self.levels) if self.kind == "discrete" else 2


@compiled
def decode_discrete(probabilities: FloatArray, levels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Decode action probabilities, one row a model, into votes.

    Parameters
    ----------
    probabilities : float64[N, A]
        Each row sums to 1.
    levels : float64[A]
        The action map.

    Returns
    -------
    tuple[float64[N], float64[N]]
        Level of the most probable action (the lower index wins a tie) and the probability mass on its direction
        (short, flat or long). A row with a NaN votes NaN with confidence 0.
    """
    n, width = probabilities.shape
    voted = np.empty(n)
    confidence = np.zeros(n)
    for i in range(n):
        best = 0
        valid = True
        for j in range(width):
            if not np.isfinite(probabilities[i, j]):
                valid = False
            if probabilities[i, j] > probabilities[i, best]:
                best = j
        if not valid:
            voted[i] = np.nan
            continue
        voted[i] = levels[best]
        for j in range(width):
            if np.sign(levels[j]) == np.sign(levels[best]):
                confidence[i] += probabilities[i, j]
        confidence[i] = min(confidence[i], 1.0)
    return voted, confidence


@compiled
def decode_continuous(mean_std: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Decode (mean, standard deviation) of a normal variable whose tanh is the level, one row a model, into votes.

    Parameters
    ----------
    mean_std : float64[N, 2]
        Before squashing.

    Returns
    -------
    tuple[float64[N], float64[N]]
        The tanh of the mean, and the probability that the level has that sign, ``Phi(|mean| / std)``: tanh keeps signs.
        An invalid row (NaN, infinity, negative deviation) votes NaN with confidence 0.
    """
    n = mean_std.shape[0]
    voted = np.empty(n)
    confidence = np.zeros(n)
    for i in range(n):
        mean, std = mean_std[i, 0], mean_std[i, 1]
        if not np.isfinite(mean) or not np.isfinite(std) or std < 0.0:
            voted[i] = np.nan
            continue
        voted[i] = math.tanh(mean)
        ratio = abs(mean) / std if std > 0.0 else np.inf
        confidence[i] = 0.5 * (1.0 + math.erf(ratio / math.sqrt(2.0)))
    return voted, confidence
