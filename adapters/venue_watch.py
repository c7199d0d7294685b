"""What a live node has beside the engine: the venue's clock, its own word by REST, and a budget of requests."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from adapters.binance_account import BinanceAccount
from adapters.credentials import Credentials
from adapters.instruments import InstrumentInfo
from adapters.request_budget import RequestBudget
from adapters.venue_clock import VenueClock, measure, refuse_offset
from adapters.venue_desk import RestDesk
from configs.schema import AppConfig
from core.protocols import ClockWatch
from core.venue_words import VenueDesk

__all__ = ["VenueWatch", "watch_venue"]


class VenueWatch(NamedTuple):
    """The venue asked beside the engine (None where fills are simulated), its clock, and what it may be asked."""

    desk: VenueDesk | None
    clock: ClockWatch
    budget: RequestBudget


@contextmanager
def watch_venue(config: AppConfig, infos: Sequence[InstrumentInfo], keys: Credentials | None) -> Iterator[VenueWatch]:
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
        account = stack.enter_context(
            BinanceAccount(
                url,
                keys,
                timeout_seconds=live.rest_seconds,
                recv_window_ms=config.venue.recv_window_ms,
                budget=budget,
            )
        )
        first = measure(account.server_time, live.clock_samples)
        refuse_offset(first, live.clock_refuse_ms)
        every = live.clock_minutes * 60.0
        clock = stack.enter_context(
            VenueClock(account.server_time, every_seconds=every, samples=live.clock_samples, first=first)
        )
        desk = None
        if keys is not None:
            desk = stack.enter_context(RestDesk(account, {info.id: info.raw_symbol for info in infos}))
        yield VenueWatch(desk, clock, budget)
