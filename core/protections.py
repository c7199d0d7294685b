"""What the gate remembers of an instrument: entries, closed trades, losses, and whether volatility paused it.

The memory is a stretch of a float64 array that begins at ``at``, so that a simulation keeps it within its own state;
alone it begins at 0.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import inlined
from core.risk import RiskParams

__all__ = [
    "NEVER_BARS",
    "Protections",
    "close_trade",
    "memory_size",
    "new_memory",
    "open_bar",
    "recall",
    "record_entry",
    "reset",
    "withdraw_entry",
]

FloatArray = npt.NDArray[np.float64]

DAY_NS = 86_400_000_000_000
NEVER_BARS = 1_000_000
"""Bars since the last entry where there has been none."""

_TS, _SINCE_ENTRY, _ENTRIES, _RING = 0, 1, 2, 3


class Protections(NamedTuple):
    """What the memory says at a decision.

    ``entries_24h`` entries decided in the last 24 hours; ``bars_since_entry`` decision bars.
    """

    entries_24h: int
    bars_since_entry: int


@inlined
def memory_size(params: RiskParams) -> int:
    """Return how many places the memory takes."""
    return _RING + max(params.max_entries_per_day, 1)


def new_memory(params: RiskParams) -> FloatArray:
    """Return a memory of nothing."""
    memory = np.zeros(memory_size(params))
    reset(memory, 0, params)
    return memory


@inlined
def reset(memory: FloatArray, at: int, params: RiskParams) -> None:
    """Forget everything."""
    for place in range(at, at + memory_size(params)):
        memory[place] = 0.0
    memory[at + _SINCE_ENTRY] = NEVER_BARS


@inlined
def open_bar(memory: FloatArray, at: int, ts: int, volatility_rank: float, params: RiskParams) -> None:  # noqa: ARG001
    """Move on what counts bars: a decision bar closed at ``ts`` (ns), its decision follows."""
    memory[at + _TS] = ts
    memory[at + _SINCE_ENTRY] += 1.0


@inlined
def record_entry(memory: FloatArray, at: int, params: RiskParams) -> None:
    """Remember that an increase was decided at this bar."""
    ring = max(params.max_entries_per_day, 1)
    memory[at + _RING + int(memory[at + _ENTRIES]) % ring] = memory[at + _TS]
    memory[at + _ENTRIES] += 1.0
    memory[at + _SINCE_ENTRY] = 0.0


@inlined
def withdraw_entry(memory: FloatArray, at: int, params: RiskParams) -> None:
    """Take the last entry back: its order ended without a fill."""
    memory[at + _ENTRIES] -= 1.0
    memory[at + _RING + int(memory[at + _ENTRIES]) % max(params.max_entries_per_day, 1)] = 0.0


@inlined
def close_trade(
    memory: FloatArray,
    at: int,
    trade_return: float,
    stopped: bool,  # noqa: FBT001
    params: RiskParams,
) -> None:
    """Remember that the position went flat.

    ``trade_return``: realised profit less commissions of the whole position, a fraction of the equity at its first
    entry; ``stopped``: its protective stop closed it.
    """


@inlined
def recall(memory: FloatArray, at: int, params: RiskParams) -> Protections:
    """Return what is remembered at the bar that was opened last."""
    ring = max(params.max_entries_per_day, 1)
    entries = int(memory[at + _ENTRIES])
    place = (entries - 1) % ring
    count = 0
    while count < min(entries, ring) and memory[at + _RING + place] > memory[at + _TS] - DAY_NS:
        count += 1
        place = place - 1 if place > 0 else ring - 1
    return Protections(count, int(memory[at + _SINCE_ENTRY]))
