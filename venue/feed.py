"""Where prices come from: what every feed offers, and one that is moved in time."""

from typing import NamedTuple, Protocol

import numpy as np

from venue.bars import Columns

__all__ = ["Feed", "FundingTime", "ShiftedFeed"]


class FundingTime(NamedTuple):
    """One settlement: at ``time_ms``, ``rate`` the fraction of notional that longs pay to shorts."""

    time_ms: int
    rate: float


class Feed(Protocol):
    """One-minute bars and funding of some symbols.

    ``start_ms`` is the open of the first minute to be played, ``end_ms`` the close of the last one (None: no end);
    history reaches further back.
    """

    start_ms: int
    end_ms: int | None

    def bars(self, symbol: str, first_ms: int, last_ms: int) -> Columns:
        """Return the bars that open in ``first_ms <= t <= last_ms``."""

    def funding(self, symbol: str, first_ms: int, last_ms: int) -> list[FundingTime]:
        """Return the settlements of ``first_ms <= t <= last_ms``, in order."""


class ShiftedFeed:
    """A feed that happens ``shift_ms`` later than it did: the past, restamped."""

    def __init__(self, feed: Feed, shift_ms: int) -> None:
        self.start_ms = feed.start_ms + shift_ms
        self.end_ms = None if feed.end_ms is None else feed.end_ms + shift_ms
        self._feed = feed
        self._shift = shift_ms

    def bars(self, symbol: str, first_ms: int, last_ms: int) -> Columns:
        """Return the bars of a range (`Feed`)."""
        found = self._feed.bars(symbol, first_ms - self._shift, last_ms - self._shift)
        return found._replace(open_ms=found.open_ms + np.int64(self._shift))

    def funding(self, symbol: str, first_ms: int, last_ms: int) -> list[FundingTime]:
        """Return the settlements of a range (`Feed`)."""
        found = self._feed.funding(symbol, first_ms - self._shift, last_ms - self._shift)
        return [FundingTime(time_ms + self._shift, rate) for time_ms, rate in found]
