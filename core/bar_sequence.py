"""Closed bars of one instrument as they must be taken: each once, in order, none missing and none that is no bar.

::

    the next one                  is released, and what waited for it
    an old one, or one again      is dropped
    one after a hole              waits until the hole is filled, or until it is given up
    no possible bar, or a jump    is dropped and wanted again from elsewhere; what comes from there is believed
"""

import bisect
import math
from collections.abc import Iterable

from core.messages import ClosedBar

__all__ = ["BarSequence"]


class BarSequence:
    """Puts bars in order; every method returns those that may be taken now.

    Parameters
    ----------
    base_ns : int
        Length of a bar.
    last_ns : int
        Close of the last bar that was taken before; 0 begins with whatever comes first.
    max_jump : float
        A bar whose high or low lies further from the last close, as a fraction of it, is asked for again elsewhere.

    Attributes
    ----------
    last_ns : int
        Close of the last bar released.
    dropped : int
        Bars that were not taken.
    """

    def __init__(self, *, base_ns: int, last_ns: int = 0, max_jump: float = 0.3) -> None:
        self.last_ns = last_ns
        self.dropped = 0
        self._base_ns = base_ns
        self._max_jump = max_jump
        self._last_close = math.nan
        self._waiting: list[ClosedBar] = []
        self._doubted_ns = 0

    @property
    def wanted(self) -> tuple[int, int] | None:
        """First and last close of the bars that are missing, None where none is."""
        until = self._waiting[0].ts_close - self._base_ns if self._waiting else self._doubted_ns
        first = self.last_ns + self._base_ns
        return (first, until) if self.last_ns and until >= first else None

    def take(self, bar: ClosedBar) -> list[ClosedBar]:
        """Take a bar as the stream gave it."""
        if bar.ts_close <= self.last_ns:
            self.dropped += 1
            return []
        if not _possible(bar) or bar.ts_close % self._base_ns != 0 or self._jumps(bar):
            self.dropped += 1
            if bar.ts_close % self._base_ns == 0:
                self._doubted_ns = max(self._doubted_ns, bar.ts_close)
            return []
        return self._add((bar,))

    def fill(self, bars: Iterable[ClosedBar]) -> list[ClosedBar]:
        """Take bars that were asked for."""
        return self._add([bar for bar in bars if bar.ts_close > self.last_ns and _possible(bar)])

    def give_up(self) -> list[ClosedBar]:
        """Release what waits, with its holes."""
        released, self._waiting = self._waiting, []
        self._doubted_ns = 0
        return self._released(released)

    def _add(self, bars: Iterable[ClosedBar]) -> list[ClosedBar]:
        for bar in bars:
            at = bisect.bisect_left(self._waiting, bar.ts_close, key=lambda one: one.ts_close)
            if at < len(self._waiting) and self._waiting[at].ts_close == bar.ts_close:
                self.dropped += 1
            else:
                self._waiting.insert(at, bar)
        count, last = 0, self.last_ns
        for bar in self._waiting:
            if last and bar.ts_close != last + self._base_ns:
                break
            count, last = count + 1, bar.ts_close
        released, self._waiting = self._waiting[:count], self._waiting[count:]
        return self._released(released)

    def _released(self, bars: list[ClosedBar]) -> list[ClosedBar]:
        if bars:
            self.last_ns, self._last_close = bars[-1].ts_close, bars[-1].close
            if self._doubted_ns <= self.last_ns:
                self._doubted_ns = 0
        return bars

    def _jumps(self, bar: ClosedBar) -> bool:
        """Return whether a bar is too far from the last close for the stream alone to be believed."""
        if bar.ts_close != self.last_ns + self._base_ns or math.isnan(self._last_close):
            return False
        return max(bar.high / self._last_close, self._last_close / bar.low) > 1.0 + self._max_jump


def _possible(bar: ClosedBar) -> bool:
    """Return whether prices and volume are such as a market can have."""
    low, high = min(bar.open, bar.close), max(bar.open, bar.close)
    return 0.0 < bar.low <= low and high <= bar.high < math.inf and 0.0 <= bar.volume < math.inf
