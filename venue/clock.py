"""The venue's two clocks: the real one, against which requests are signed, and the market's."""

import time
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """Real time plus skew, and market time.

    Market time runs ``speed`` times as fast as real time from where it was last set, and stops short of
    ``limit_ms``, so that what a slow minute holds can't happen after its end.

    Parameters
    ----------
    skew_ms : Callable[[], int]
        By how much the exchange's real clock is ahead.
    real_ns : Callable[[], int]
        The machine's clock.
    """

    def __init__(self, skew_ms: Callable[[], int], real_ns: Callable[[], int] = time.time_ns) -> None:
        self._skew_ms = skew_ms
        self._real_ns = real_ns
        self._market_ms = 0
        self._set_at_ns = real_ns()
        self._speed = 1.0
        self._limit_ms: int | None = None

    def real_ms(self) -> int:
        """Return the exchange's real time."""
        return self._real_ns() // 1_000_000 + self._skew_ms()

    def market_ms(self) -> int:
        """Return the market's time."""
        passed = (self._real_ns() - self._set_at_ns) / 1e6 * self._speed
        now = self._market_ms + int(passed)
        return now if self._limit_ms is None else min(now, self._limit_ms)

    def set(self, market_ms: int, *, speed: float = 1.0, limit_ms: int | None = None) -> None:
        """Set the market's time, how fast it runs from now on (0: not at all), and where it waits."""
        self._market_ms, self._speed, self._limit_ms = market_ms, speed, limit_ms
        self._set_at_ns = self._real_ns()

    def seconds_until(self, market_ms: int) -> float:
        """Return the real seconds until the market's time is reached."""
        return max(0.0, (market_ms - self.market_ms()) / 1_000 / self._speed)
