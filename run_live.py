"""Trade on a venue: ``python run_live.py paper|demo|testnet|mainnet``.

Composition root of a live node: the same components as a backtest's, with the venue in place of history.

::

    refuse what must not start      promotion, other venues' addresses, a second node, credentials, models, state
    ask the venue                   filters, history: the windows are as if there had been no interruption
    connect, reconcile              orders and positions are inherited
    trade                           until SIGTERM, SIGINT or somebody's word; a second signal ends it at once
"""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec

import cli
import configs
from actors.feed import BarFeed, FeedParams
from actors.listener import SessionListener
from actors.pacer import Pacer, PacerParams
from actors.stopper import Stopper, StopperParams
from adapters.alert_process import AlertProcess
from adapters.backfill import RestBackfill
from adapters.binance_account import BinanceAccount
from adapters.control import ControlServer, control_folder
from adapters.credentials import Credentials
from adapters.instance_lock import InstanceLock
from adapters.instruments import InstrumentInfo, parse_exchange_info
from adapters.mainnet_promotion import MainnetPromotion, promoted, promotion_for, reduced
from adapters.model_watch import ModelWatch
from adapters.node_run import NodeRun
from adapters.onnx_policy import OnnxEnsemble, load_checked
from adapters.program import program
from adapters.replay_steps import VenueSteps
from adapters.report import summarise
from adapters.rest_history import RestHistory
from adapters.session_record import SessionRecord
from adapters.session_view import decided_span, refresh_view
from adapters.state_keeper import StateKeeper
from adapters.state_store import open_store
from adapters.supervisor import Supervisor
from adapters.venue import FLOW_TYPE, live_node, refuse_other_venues
from adapters.venue_watch import watch_venue
from adapters.warm_up import WarmUp, keep_window, warm_window
from adapters.web import Web
from composition import CURRENCY, Components, Controls, Outside, components, control_actor
from configs.schema import AppConfig
from core.bars import bar_type, interval_ns
from core.checkup import refuse_rights
from core.errors import AutotradeError, DataError, StateError, UsageError
from core.faults import Faults
from core.features import Window, feature_spec
from core.protocols import StateStore
from core.timekeeping import EngineTime, ReplayTime

__all__ = ["Live", "ReplayControl", "check_start", "main", "run_live"]


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


def check_start(config: AppConfig, models: Sequence[Path]) -> MainnetPromotion | None:
    """Refuse what must not start, whatever the credentials; return the promotion that real money is traded under.

    Raises
    ------
    UsageError
        Where the environment names no venue.
    RefusedError
        Where another venue is named than the environment's, or mainnet was not promoted with these models.
    """
    if config.venue.environment == "none":
        raise UsageError(f"{config.environment} names no venue: choose paper, demo, testnet or mainnet")
    refuse_other_venues(config, configs.load(config.environment))
    if config.environment != "mainnet":
        return None
    return promotion_for(config, models, now_ns=time.time_ns())


def run_live(live: Live) -> dict[str, Any]:
    """Trade until somebody wishes an end; return a summary of the session.

    Raises
    ------
    RefusedError
        Where a safety check does not let it start: no promotion, a node that runs already, state that is broken.
    UsageError
        Where the environment names no venue, or there are no models.
    DataError
        Where the venue cannot be reached or has no such instrument or history.
    AutotradeError
        Where the node does not come up, or has ended in an error.
    """
    began = time.perf_counter()
    promotion = check_start(live.config, live.models)
    config = live.config if promotion is None else reduced(live.config, promotion, now_ns=time.time_ns())
    live = msgspec.structs.replace(live, config=config)
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    faults = Faults()
    with ExitStack() as stack:
        stack.enter_context(InstanceLock(control_folder(config) / "node.lock"))
        supervisor = stack.enter_context(Supervisor(os.environ))
        called = live.replay is None or config.alerts.replays
        people = stack.enter_context(AlertProcess(config, live.out, os.environ, wanted=called))
        if not live.models:
            raise UsageError("no models to trade with; name artifacts with --models, or train some: `autotrade train`")
        for path in live.models:
            if not path.is_dir():
                raise UsageError(f"no model at {path}: name a directory with model.onnx and manifest.json")
        artifacts = [load_checked(path, spec=spec) for path in live.models]
        if config.ensemble.quorum > len(artifacts):
            raise UsageError(f"ensemble.quorum: {config.ensemble.quorum} of {len(artifacts)} models can never vote")
        keeper = StateKeeper(
            _store(config),
            wait_seconds=config.live.save_ms / 1e3,
            retry_seconds=config.live.save_retry_seconds,
        )
        store = stack.enter_context(keeper)
        rest_time = ReplayTime(live.replay.market_ns - time.time_ns()) if live.replay is not None else EngineTime()
        market_ns = lambda: rest_time.now_ns(time.time_ns())  # noqa: E731 - the one clock of all below
        web = stack.enter_context(Web(retries=2, backoff_seconds=0.5, timeout_seconds=5.0))
        rest = RestHistory(web, config.venue.http_url, "um", market_ns)
        infos = _infos(config, rest)
        if live.keys is not None:
            told = config.doctor.permissions_url
            with BinanceAccount(config.venue.http_url, live.keys, retries=1, permissions_url=told) as account:
                try:
                    account.account()  # a key that is not taken is told in one line, not by a node that never connects
                except UsageError as error:
                    raise AutotradeError(str(error)) from None
                refuse_rights(account.permissions(), config.environment)
        catalog = Path(config.catalog.path) if config.venue.environment == "live" and live.replay is None else None
        warm_up = WarmUp(rest, catalog, store, live.replay.market_ns if live.replay is not None else time.time_ns())
        windows = {info.id: warm_window(spec, info, warm_up) for info in infos}
        warmed = time.perf_counter()
        header = {
            "session_id": live.out.name,
            "environment": config.environment,
            "instruments": config.market.instruments,
            "config_hash": configs.config_hash(config),
            "program": program(),
        }
        record = stack.enter_context(SessionRecord(live.out, config.record, header, alert=people.tell))
        folder = live.models[0].parent
        watch = ModelWatch(folder, lambda path: promoted(load_checked(path, spec=spec), promotion), known=live.models)
        beside = stack.enter_context(watch_venue(config, infos, live.keys))
        outside = Outside(
            policies={info.id: OnnxEnsemble(artifacts) for info in infos},
            windows=windows,
            flow=_FlowWithBars(),
            models=stack.enter_context(watch),
            store=store,
            journal=record,
            faults=faults,
            clock=time.perf_counter_ns,
            progress=_Progress(live, store, windows),
            trade_from_ns=0,
            time=rest_time,
            venue=beside.desk,
            venue_clock=beside.clock,
            streams=True,
            violated=lambda _: None,  # the breaker has tripped, and a person is told; exits and stops go on
            listener=SessionListener(record),
        )
        parts = components(config, infos, outside)
        backfill = RestBackfill(
            rest,
            config.market.base_interval,
            {info.id: info.raw_symbol for info in infos}.__getitem__,
            give_up_seconds=config.venue.backfill_seconds,
        )
        node = live_node(config, infos, live.keys, CURRENCY)

        def ready() -> None:
            supervisor.ready(f"{config.environment} trades, session {live.out.name}")
            live.ready()

        run = NodeRun(node, connect_seconds=config.venue.connect_seconds, ready=ready)
        runner = _Hosted(config, run)
        host, at_rest = stack.enter_context, _at_rest(parts)
        feed = runner.feed(infos, windows, host(backfill), faults)
        if live.replay is not None:
            assert isinstance(rest_time, ReplayTime)
            steps = host(VenueSteps(live.replay.following))

            def done() -> bool:
                known = beside.desk is None or beside.desk.idle
                return feed.complete and at_rest() and known and not run.request.carried_out

            node.add_actor(runner.pacer(infos, done, rest_time, steps, faults))
        node.add_actor(feed)
        parts.join(node)
        node.add_actor(runner.stopper(infos, parts, faults))
        controls = Controls(
            desk=stack.enter_context(ControlServer(control_folder(config), config.control)),
            stop=run.request,
            session=live.out.name,
            pid=os.getpid(),
            health=lambda: {
                "record": record.problem or (f"{record.dropped} rows lost" if record.dropped else ""),
                "alerts": people.problem,
            },
            beat=supervisor.beat,
        )
        node.add_actor(control_actor(config, infos, parts, outside, controls))
        try:
            run.run()
        finally:
            supervisor.stopping()
            people.stopped_by = run.request.carried_out or run.request.reason
            record.close()
            refresh_view(live.out)
            with suppress(StateError):
                for name, window in windows.items():
                    keep_window(store, name, window)
    return {
        "session": live.out.name,
        "environment": config.environment,
        "instruments": [info.id for info in infos],
        "model_ids": [artifact.manifest.model_id for artifact in artifacts],
        "config_hash": configs.config_hash(config),
        "warm_up_seconds": round(warmed - began, 3),
        "ready_seconds": round(run.ready_at - began, 3),
        "stopped_by": run.request.carried_out or run.request.reason,
        "faults": faults.first,
        "engine_doubts": run.doubts,
        "held": {info.id: one.held() for info, one in zip(infos, parts.strategies, strict=True)},
        **decided_span(live.out),
        **summarise(
            live.out,
            starting_equity=config.backtest.starting_equity,
            costs=config.cost_params(),
            currency=CURRENCY,
        ),
        "wall_seconds": round(time.perf_counter() - began, 3),
    }


class _FlowWithBars:
    """Taker flow that comes with the bars of the feed (`core.protocols.FlowSource`)."""

    def taker_buy(self, instrument_id: str, ts_close: int) -> float | None:  # noqa: ARG002 - none is known yet
        return None


class _Progress:
    """Keeps the windows after every decision, and tells of it."""

    def __init__(self, live: Live, store: StateStore, windows: Mapping[str, Window]) -> None:
        self._live, self._store, self._windows = live, store, windows

    def __call__(self, ts_ns: int) -> None:
        for name, window in self._windows.items():
            if window.ts_close == ts_ns == window.last_ns:
                with suppress(StateError):  # it costs the next start a longer warm-up, nothing else
                    keep_window(self._store, name, window)
        self._live.progress(ts_ns)


class _Hosted:
    """What a live node hosts beside the components."""

    def __init__(self, config: AppConfig, run: NodeRun) -> None:
        self._config = config
        self._run = run

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
        ended = lambda: self._run.request.ask("the replay is over")  # noqa: E731 - a wish like others
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
            request=self._run.request,
            started=self._run.started,
            at_rest=_at_rest(parts),
            flat=lambda: all(strategy.trader.position.lots == 0 for strategy in parts.strategies),
            end=self._run.end,
            tidy=self._run.tidy,
            faults=faults,
        )


def _at_rest(parts: Components) -> Callable[[], bool]:
    """Return a look at whether any order waits for an answer."""

    def look() -> bool:
        return all(strategy.at_rest for strategy in parts.strategies)

    return look


def _store(config: AppConfig) -> StateStore:
    """Return where state is kept; a server that does not answer is no broken state."""
    try:
        return open_store(config.breaker.state_path, config.environment)
    except StateError as error:
        raise AutotradeError(str(error)) from None


def _infos(config: AppConfig, rest: RestHistory) -> list[InstrumentInfo]:
    """Return the venue's filters of the instruments: that it answers is what is found out first."""
    try:
        known = {info.id: info for info in parse_exchange_info(rest.exchange_info(), market="um")}
    except DataError as error:
        raise DataError(f"the venue of {config.environment} does not answer as Binance does: {error}") from None
    missing = [name for name in config.market.instruments if name not in known]
    if missing:
        raise DataError(f"{missing[0]} is not traded at {config.venue.http_url}: choose other market.instruments")
    return [known[name] for name in config.market.instruments]


def main(argv: Sequence[str] | None = None) -> int:
    """Trade from the command line."""
    return cli.main(["live", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
