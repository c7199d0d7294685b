"""How much may still be asked of the venue this minute, with a share that nothing but exits may use.

The venue counts by address, ours and the engine's requests together, and says what it has counted in every answer
(``X-MBX-USED-WEIGHT-1M``): its number corrects our own at once. Once it asks us to wait (``Retry-After`` of 429 and
418) nobody asks before that time, exits neither: every request on a ban makes it longer.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

__all__ = ["RequestBudget"]

_WINDOW_SECONDS = 60.0


class RequestBudget:
    """Counts request weight in the last minute; used from any thread.

    Parameters
    ----------
    weight_per_minute : int
        What the venue allows.
    exit_share : float
        Fraction of it that is kept for exits.
    clock : Callable[[], float]
        Seconds that never go back.
    """

    def __init__(
        self, weight_per_minute: int, exit_share: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = weight_per_minute
        self._kept = round(weight_per_minute * exit_share)
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0
        self._not_before = 0.0

    @property
    def used(self) -> int:
        """Weight of the last minute, as far as it is known."""
        with self._lock:
            self._forget()
            return self._sum

    def take(self, weight: int, *, exits: bool = False) -> float:
        """Spend weight; return 0, or the seconds to wait before it may be spent, in which case it is not."""
        with self._lock:
            self._forget()
            now = self._clock()
            if now < self._not_before:
                return self._not_before - now
            most = self._limit if exits else self._limit - self._kept
            if self._sum + weight <= most:
                self._add(weight)
                return 0.0
            over = self._sum + weight - most
            for spent_at, amount in self._spent:
                over -= amount
                if over <= 0:
                    return spent_at + _WINDOW_SECONDS - now
            return _WINDOW_SECONDS

    def counted(self, weight: int) -> None:
        """Take note of weight that somebody else has spent, such as the engine."""
        with self._lock:
            self._add(weight)

    def told(self, used: int) -> None:
        """Take the venue's own count of the last minute; the larger of both is believed."""
        with self._lock:
            self._forget()
            self._add(max(used - self._sum, 0))

    def retry_after(self, seconds: float) -> None:
        """Ask nothing for so long: the venue wants it."""
        with self._lock:
            self._not_before = max(self._not_before, self._clock() + seconds)

    def _add(self, weight: int) -> None:
        if weight > 0:
            self._spent.append((self._clock(), weight))
            self._sum += weight

    def _forget(self) -> None:
        before = self._clock() - _WINDOW_SECONDS
        while self._spent and self._spent[0][0] <= before:
            self._sum -= self._spent.popleft()[1]
