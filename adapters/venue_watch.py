"""What a live node has beside the engine: the venue's clock, its own word by REST, and a budget of requests."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import httpx

from adapters.instruments import InstrumentInfo
from adapters.request_budget import RequestBudget
from adapters.signed_rest import Keys, SignedRest
from adapters.venue_clock import VenueClock, measure, refuse_offset
from adapters.venue_desk import RestDesk
from configs.schema import AppConfig
from core.errors import AutotradeError
from core.protocols import ClockWatch
from core.venue_words import VenueDesk

__all__ = ["VenueWatch", "watch_venue"]


class VenueWatch(NamedTuple):
    """The venue asked beside the engine (None where fills are simulated), its clock, and what it may be asked."""

    desk: VenueDesk | None
    clock: ClockWatch
    budget: RequestBudget


class _ServerTime:
    """Asks a venue for its time."""

    def __init__(self, base_url: str, budget: RequestBudget, timeout_seconds: float) -> None:
        self._url = f"{base_url}/fapi/v1/time"
        self._budget = budget
        self._client = httpx.Client(timeout=timeout_seconds)

    def __call__(self) -> int:
        """Return it, ms.

        Raises
        ------
        AutotradeError
            Where there is no such answer.
        """
        self._budget.counted(1)
        try:
            return int(self._client.get(self._url).raise_for_status().json()["serverTime"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise AutotradeError(f"{self._url}: no answer ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


@contextmanager
def watch_venue(config: AppConfig, infos: Sequence[InstrumentInfo], keys: Keys | None) -> Iterator[VenueWatch]:
    """Watch a venue while a node runs.

    Raises
    ------
    AutotradeError
        Where the venue does not tell its time.
    RefusedError
        Where our clock is too far off.
    """
    live, url = config.live, config.venue.http_url
    budget = RequestBudget(live.weight_per_minute, live.exit_share)
    with ExitStack() as stack:
        server_time = _ServerTime(url, budget, live.rest_seconds)
        stack.callback(server_time.close)
        first = measure(server_time, live.clock_samples)
        refuse_offset(first, live.clock_refuse_ms)
        every = live.clock_minutes * 60.0
        clock = stack.enter_context(
            VenueClock(server_time, every_seconds=every, samples=live.clock_samples, first=first)
        )
        desk = None
        if keys is not None:
            rest = stack.enter_context(
                SignedRest(
                    url,
                    keys,
                    budget,
                    timeout_seconds=live.rest_seconds,
                    recv_window_ms=config.venue.recv_window_ms,
                )
            )
            desk = stack.enter_context(RestDesk(rest, {info.id: info.raw_symbol for info in infos}))
        yield VenueWatch(desk, clock, budget)
