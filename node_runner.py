"""How a node lives: what it is run with, its market and its end, until somebody wishes it or it does not come up."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from nautilus_trader.live import LiveNode

from actors.feed import BarFeed, FeedParams
from actors.pacer import Pacer, PacerParams
from actors.stopper import Stopper, StopperParams, StopRequest
from adapters.backfill import RestBackfill
from adapters.credentials import Credentials
from adapters.instruments import InstrumentInfo
from adapters.replay_steps import VenueSteps
from adapters.supervisor import Supervisor
from adapters.venue import FLOW_TYPE
from composition import Components
from configs.schema import AppConfig
from core.bars import bar_type, interval_ns
from core.errors import AutotradeError
from core.faults import Faults
from core.features import Window
from core.timekeeping import ReplayTime

__all__ = ["Live", "ReplayControl", "Runner", "at_rest", "collecting_here"]


class ReplayControl(msgspec.Struct, frozen=True, kw_only=True):
    """A venue that replays history: plays the next bar; the market's time now (ns)."""

    following: Callable[[], Mapping[str, Any]]
    market_ns: int


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """What to run: a configuration whose overlay names a venue, models, and where the session is written.

    ``replay`` None: the venue is in the present. ``keys`` None: fills are simulated. ``ready`` is told when the node
    trades, ``progress`` the time (ns) of every decision.
    """

    config: AppConfig
    models: tuple[Path, ...]
    out: Path
    keys: Credentials | None = None
    replay: ReplayControl | None = None
    ready: Callable[[], None] = lambda: None
    progress: Callable[[int], None] = lambda _: None


class Runner:
    """Runs a node until somebody wishes its end, or it does not come up."""

    def __init__(self, node: LiveNode, config: AppConfig, live: Live, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self.request = StopRequest()
        self.ready_at = 0.0
        self._node = node
        self._config = config
        self._live = live
        self._handle = node.handle()

    def feed(
        self, infos: Sequence[InstrumentInfo], windows: Mapping[str, Window], backfill: RestBackfill, faults: Faults
    ) -> BarFeed:
        """Return the market at the door."""
        venue, base = self._config.venue, self._config.market.base_interval
        params = FeedParams(
            bar_types={info.id: bar_type(info.id, base) for info in infos},
            base_ns=interval_ns(base),
            last_ns={name: window.last_ns for name, window in windows.items()},
            flow_type=FLOW_TYPE,
            give_up_ns=round(venue.backfill_seconds * 1e9),
            max_jump=venue.max_bar_jump,
            quotes=venue.quotes,
            funding_booked=venue.execution == "venue",
        )
        return BarFeed(params, history=backfill, faults=faults)

    def pacer(
        self,
        infos: Sequence[InstrumentInfo],
        done: Callable[[], bool],
        market: ReplayTime,
        steps: VenueSteps,
        faults: Faults,
    ) -> Pacer:
        """Return what drives a replay."""
        base = self._config.market.base_interval
        params = PacerParams(bar_types=tuple(bar_type(info.id, base) for info in infos), base_ns=interval_ns(base))
        ended = lambda: self.request.ask("the replay is over")  # noqa: E731 - a wish like others
        return Pacer(params, time=market, steps=steps, at_rest=done, ended=ended, faults=faults)

    def stopper(self, infos: Sequence[InstrumentInfo], parts: Components, faults: Faults) -> Stopper:
        """Return what ends the node in order."""
        venue = self._config.venue
        params = StopperParams(
            instruments=tuple(info.id for info in infos),
            flatten=venue.stop == "flatten",
            wait_ns=round(venue.stop_seconds * 1e9),
        )
        return Stopper(
            params,
            request=self.request,
            started=self._started,
            at_rest=at_rest(parts),
            flat=lambda: all(strategy.trader.position.lots == 0 for strategy in parts.strategies),
            end=self._end,
            tidy=_tidy,
            faults=faults,
        )

    def run(self) -> None:
        """Run the node."""
        with self._deadline(), _signals(self._signalled):
            asyncio.run(self._run())
        if self.ready_at == 0.0:
            if self.request.reason:
                raise AutotradeError(f"stopped by {self.request.reason} before the node was ready")
            raise AutotradeError(
                f"the node did not come up within {self._config.venue.connect_seconds} s at "
                f"{self._config.venue.http_url}: see {self._live.out}"
            )

    async def _run(self) -> None:
        await self._node.run_async()

    def _started(self) -> None:
        self.ready_at = time.perf_counter()
        self._supervisor.ready(f"{self._config.environment} trades, session {self._live.out.name}")
        self._live.ready()

    def _end(self) -> None:
        self._handle.stop()

    def _signalled(self, name: str) -> None:
        if self.request.reason or self.ready_at == 0.0:
            self._handle.stop()
        self.request.ask(name)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Stop a node that does not come up: the engine would wait for ever."""

        def late() -> None:
            if self.ready_at == 0.0:
                self._handle.stop()

        timer = threading.Timer(self._config.venue.connect_seconds, late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def collecting_here() -> Iterator[None]:
    """Leave the collecting of garbage to the engine's thread: objects of the engine must not end in another one.

    What is there at the start stays for good, so that a collection is short.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.enable()


@contextmanager
def _signals(told: Callable[[str], None]) -> Iterator[None]:
    """Hand SIGTERM and SIGINT on while a node runs."""
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, lambda caught, _: told(signal.Signals(caught).name))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tidy() -> None:
    """Collect garbage."""
    gc.collect()


def at_rest(parts: Components) -> Callable[[], bool]:
    """Return a look at whether any order waits for an answer."""

    def look() -> bool:
        return all(strategy.at_rest for strategy in parts.strategies)

    return look
