"""What the shells need from outside, typed here, handed in by the run files."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["FlowSource", "Journal", "Policy", "StateStore"]


class Policy(Protocol):
    """N models as one callable."""

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Names of the models, in the order of the votes."""

    def vote(self, observation: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the level and the confidence of each model's vote, float64[N] each, for an observation float32[D]."""


class FlowSource(Protocol):
    """Taker-buy volume of a closed base bar, where it is known."""

    def taker_buy(self, instrument_id: str, ts_close: int) -> float:
        """Return the taker-buy volume (base asset) of the bar that closed at ``ts_close`` (ns), NaN where unknown."""


class Journal(Protocol):
    """Where decisions, orders, fills and equity are written down. Never blocks and never raises into trading."""

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take one row of ``kind`` (decisions, orders, fills, equity)."""


class StateStore(Protocol):
    """Where state outlives the process."""

    def load(self, key: str) -> bytes | None:
        """Return what was last saved under a key, None where nothing was; refuse what is not whole."""

    def save(self, key: str, value: bytes) -> None:
        """Replace what is saved under a key: durable when it returns, never half of it."""
