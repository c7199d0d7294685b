"""When an estimate of the funding rate becomes the rate that is paid."""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Settlement", "Settlements"]


class Settlement(NamedTuple):
    """A funding rate (fraction of notional, longs pay a positive one) and the time at which it was paid, ns."""

    ts_ns: int
    rate: float


class Settlements:
    """Turns the venue's running estimates into settlements: the last estimate for a time is what that time pays."""

    def __init__(self) -> None:
        self._rates: dict[int, float] = {}

    def estimate(self, rate: float, due_ns: int) -> None:
        """Take the rate as it stands for a settlement to come."""
        self._rates[due_ns] = rate

    def due(self, now_ns: int) -> Sequence[Settlement]:
        """Return the settlements whose time has come, in order, each once."""
        times = sorted(ts for ts in self._rates if ts <= now_ns)
        return [Settlement(ts, self._rates.pop(ts)) for ts in times]
