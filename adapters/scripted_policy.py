"""A policy that votes what it was told to, in order: the in-memory twin of a trained one."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from core.serving import Candidate

__all__ = ["ScriptedPolicy"]


class ScriptedPolicy:
    """Votes the k-th level with confidence 1 at the k-th call; after the last level it goes on with that one.

    Parameters
    ----------
    levels : Sequence[float]
        At least one, each in [-1, 1].
    """

    def __init__(self, levels: Sequence[float]) -> None:
        if len(levels) == 0:
            raise ValueError("a script of no levels")
        self._levels = np.asarray(levels, dtype=np.float64)
        self._calls = 0

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The only voter."""
        return (Candidate("scripted", "scripted", 0, None),)

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Have nothing to prepare: a script votes for itself."""

    def swap(self) -> bool:
        """Return that nothing was exchanged."""
        return False

    def vote(self, observation: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:  # noqa: ARG002
        """Return the next level of the script with confidence 1, float64[1] each."""
        place = min(self._calls, len(self._levels) - 1)
        self._calls += 1
        return self._levels[place : place + 1], np.ones(1)
