"""How far our clock is from the venue's: measured at the start and again and again, by a thread."""

import statistics
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Self

from core.errors import AutotradeError, RefusedError

__all__ = ["ClockOffset", "VenueClock", "measure", "refuse_offset"]


class ClockOffset(NamedTuple):
    """Our clock less the venue's, and the shortest round trip among the samples, both ns; ``samples`` of them."""

    offset_ns: int
    round_trip_ns: int
    samples: int


def measure(server_time_ms: Callable[[], int], samples: int, clock_ns: Callable[[], int] = time.time_ns) -> ClockOffset:
    """Return the median offset of several samples: the venue's time is that of the middle of the round trip.

    Raises
    ------
    AutotradeError
        Where the venue answers none of them.

    References
    ----------
    Cristian, F. (1989), Probabilistic clock synchronization.
    """
    offsets, trips, refused = [], [], "it was not asked"
    for _ in range(samples):
        sent_ns = clock_ns()
        try:
            server_ns = server_time_ms() * 1_000_000
        except AutotradeError as error:
            refused = str(error)
            continue
        trip_ns = clock_ns() - sent_ns
        offsets.append(sent_ns + trip_ns // 2 - server_ns)
        trips.append(trip_ns)
    if not offsets:
        raise AutotradeError(f"the venue's time is not known: {refused}")
    return ClockOffset(round(statistics.median(offsets)), min(trips), len(offsets))


def refuse_offset(offset: ClockOffset, limit_ms: float) -> None:
    """Refuse to start with a clock that is too far off.

    Raises
    ------
    RefusedError
        Where it is.
    """
    if abs(offset.offset_ns) > limit_ms * 1e6:
        raise RefusedError(
            f"our clock is {offset.offset_ns / 1e6:.0f} ms off the venue's, the limit is {limit_ms:g} ms; "
            "synchronise it (chrony, systemd-timesyncd), then start again"
        )


class VenueClock:
    """A thread that measures; ``offset_ns`` is what it found last (`core.protocols.ClockWatch`).

    Parameters
    ----------
    server_time_ms : Callable[[], int]
        Asks the venue.
    every_seconds : float
        Between two measurements.
    samples : int
        Of one measurement.
    first : ClockOffset
        As measured at the start.
    """

    def __init__(
        self, server_time_ms: Callable[[], int], *, every_seconds: float, samples: int, first: ClockOffset
    ) -> None:
        self.latest = first
        self._server_time_ms = server_time_ms
        self._every = every_seconds
        self._samples = samples
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="venue-clock", daemon=True)

    @property
    def offset_ns(self) -> int:
        """Our clock less the venue's, as it was found last."""
        return self.latest.offset_ns

    def __enter__(self) -> Self:
        """Begin to measure."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Measure no more."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self.latest = measure(self._server_time_ms, self._samples)
            except AutotradeError:
                continue  # who watches the venue says so; the offset stays what it was
