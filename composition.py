"""What trades, put together: the same components for a replay and for a live node, whatever answers for the outside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from actors.control import ControlActor, ControlParams
from actors.ensemble import EnsembleActor, EnsembleParams
from actors.listener import SessionListener
from actors.liveness import LivenessActor, LivenessParams
from actors.members import Members, MembersParams
from actors.monitor import Monitor, MonitorParams, WatchedInstrument
from actors.risk import RiskActor
from adapters.catalog import InstrumentInfo
from adapters.overheard import (
    OverheardClock,
    OverheardFlow,
    OverheardModels,
    OverheardPolicy,
    OverheardStore,
    OverheardTrader,
    told_models,
)
from adapters.program import program
from configs.schema import AppConfig, config_hash
from core.bars import bar_type, interval_ns
from core.control import ControlDesk
from core.desk import Desk
from core.faults import Faults
from core.features import Window, feature_spec
from core.protocols import ClockWatch, FlowSource, Journal, ModelSource, Policy, StateStore, Timekeeper
from core.status_board import NodeFacts
from core.stop_request import StopRequest
from core.timekeeping import EngineTime, SameClock
from core.trader import TraderParams
from core.venue_words import VenueDesk
from core.witness import Witness
from strategies.execution import Slicer, WorkedInstrument
from strategies.rl import RLStrategy, RLStrategyParams

__all__ = ["CURRENCY", "Components", "Controls", "Outside", "Shells", "components", "control_actor"]

CURRENCY = "USDT"


class Outside(msgspec.Struct, frozen=True, kw_only=True):
    """What the components need from outside.

    ``policies`` and ``windows`` (fed with the history before the first decision) by instrument; ``models`` that arrive
    while trading; ``store`` None: nothing outlives the process; ``clock`` ns, for latencies alone; ``progress`` is told
    the time (ns) of every decision; ``trade_from_ns``: first decision close; ``time``: the market's, the engine's own
    unless a live node is fed with history; ``venue``: who asks it beside the engine, None where the engine knows all;
    ``venue_clock``: how far ours is off; ``streams``: what comes in comes by streams, which are watched; ``violated``
    is told each violated invariant beside the breaker, None: a run with one is a failed run; ``listener``: who keeps a
    record of all that comes in, where anybody does.
    """

    policies: Mapping[str, Policy]
    windows: Mapping[str, Window]
    flow: FlowSource
    models: ModelSource
    store: StateStore | None
    journal: Journal
    faults: Faults
    clock: Callable[[], int]
    progress: Callable[[int], None]
    trade_from_ns: int
    time: Timekeeper = msgspec.field(default_factory=EngineTime)
    venue: VenueDesk | None = None
    venue_clock: ClockWatch = msgspec.field(default_factory=SameClock)
    streams: bool = False
    violated: Callable[[str], None] | None = None
    listener: SessionListener | None = None


class Components(NamedTuple):
    """What an engine or a node hosts, in the order in which it is to be added."""

    actors: tuple[Any, ...]
    exec_algorithms: tuple[Any, ...]
    strategies: tuple[Any, ...]

    @property
    def deciding(self) -> tuple[RiskActor, list[EnsembleActor]]:
        """The risk actor, and the ensembles in the order of the instruments."""
        (risk,) = (actor for actor in self.actors if isinstance(actor, RiskActor))
        return risk, [actor for actor in self.actors if isinstance(actor, EnsembleActor)]

    def join(self, host: Any) -> None:
        """Add everything to an engine or a node."""
        for algorithm in self.exec_algorithms:
            host.add_exec_algorithm(algorithm)
        for actor in self.actors:
            host.add_actor(actor)
        for strategy in self.strategies:
            host.add_strategy(strategy)


class Controls(msgspec.Struct, frozen=True, kw_only=True):
    """How a person talks to a node: where requests come in, the wish to stop, the session's name and the process.

    ``health`` of what lies outside, in words by name, empty where it is well; ``beat`` is called while the engine's
    thread lives.
    """

    desk: ControlDesk
    stop: StopRequest
    session: str
    pid: int
    health: Callable[[], Mapping[str, str]]
    beat: Callable[[], None]


class Shells(NamedTuple):
    """The shells of those who decide; the replay of a record has its own, which no engine hosts."""

    risk: type[RiskActor]
    ensemble: type[EnsembleActor]
    strategy: type[RLStrategy]


def components(
    config: AppConfig, infos: Sequence[InstrumentInfo], outside: Outside, shells: Shells | None = None
) -> Components:
    """Return the monitor, the risk actor, and an ensemble and a strategy for each instrument.

    ``shells`` are an engine's where none are named.
    """
    shells = shells or Shells(RiskActor, EnsembleActor, RLStrategy)
    if outside.listener is not None:
        outside = _overheard(config, infos, outside, outside.listener)
    witness = Witness(outside.journal)
    base = config.market.base_interval
    risk = shells.risk(
        bar_types={info.id: bar_type(info.id, base) for info in infos},
        lots={info.id: float(info.lot) for info in infos},
        venue=config.market.venue,
        currency=CURRENCY,
        params=config.breaker_params(),
        clocks=config.breaker.clocks(),
        journal=witness,
        store=outside.store,
        faults=outside.faults,
        time=outside.time,
        closes={
            name: window.market.close
            for name, window in outside.windows.items()
            if outside.streams and window.ts_close > 0
        },
    )
    built = Components(
        actors=(
            _monitor(config, infos, witness, outside),
            risk,
            *_liveness(config, infos, witness, outside),
            *(_ensemble(config, i, outside, shells.ensemble) for i in infos),
        ),
        exec_algorithms=() if config.execution.style == "market" else (_slicer(config, infos, outside),),
        strategies=tuple(
            _strategy(config, info, n, witness, outside, shells.strategy) for n, info in enumerate(infos, start=1)
        ),
    )
    if outside.listener is not None:
        outside.faults.listener = outside.listener
        _follow(infos, built, outside.listener)
    return built


def control_actor(
    config: AppConfig, infos: Sequence[InstrumentInfo], parts: Components, outside: Outside, controls: Controls
) -> ControlActor:
    """Return who carries out what a person asks of the components; added to the same host."""
    risk, _ = parts.deciding
    facts = NodeFacts(
        environment=config.environment,
        session=controls.session,
        pid=controls.pid,
        day_limit=config.risk.daily_drawdown,
        decision_seconds=interval_ns(config.market.decision_interval) / 1e9,
        lots={info.id: str(info.lot) for info in infos},
        ticks={info.id: str(info.tick) for info in infos},
        models={info.id: tuple(one.model_id for one in outside.policies[info.id].candidates) for info in infos},
    )
    desks = {info.id: _desk_of(strategy) for info, strategy in zip(infos, parts.strategies, strict=True)}
    return ControlActor(
        ControlParams(facts=facts, poll_ns=round(config.control.poll_ms * 1e6)),
        desk=controls.desk,
        stop=controls.stop,
        breaker=lambda: risk.breaker,
        desks=desks,
        store=outside.store,
        journal=outside.journal,
        health=controls.health,
        beat=controls.beat,
        time=outside.time,
        faults=outside.faults,
    )


def _desk_of(strategy: RLStrategy) -> Callable[[], Desk]:
    """Return a look at what a strategy holds."""
    return lambda: strategy.trader.desk


def _overheard(
    config: AppConfig, infos: Sequence[InstrumentInfo], outside: Outside, listener: SessionListener
) -> Outside:
    """Return an outside whose answers are written down, after with what the components begin."""
    begun = {
        "config": config,
        "config_hash": config_hash(config),
        "instruments": list(infos),
        "models": {name: told_models(policy.candidates) for name, policy in outside.policies.items()},
        "windows": {name: window.snapshot() for name, window in outside.windows.items()},
        "trade_from_ns": outside.trade_from_ns,
        "store": outside.store is not None,
        "program": program(),
    }
    listener.write("start", begun)
    return msgspec.structs.replace(
        outside,
        policies={name: OverheardPolicy(policy, name, listener) for name, policy in outside.policies.items()},
        flow=OverheardFlow(outside.flow, listener),
        models=OverheardModels(outside.models, listener),
        store=None if outside.store is None else OverheardStore(outside.store, listener),
        journal=listener.journal(outside.journal),
        clock=OverheardClock(outside.clock, listener),
    )


def _follow(infos: Sequence[InstrumentInfo], built: Components, listener: SessionListener) -> None:
    """Have the listener follow those who decide; what the others tell them, comes from outside."""
    risk, ensembles = built.deciding
    followed: dict[str, object] = {"risk": risk}
    for info, ensemble, strategy in zip(infos, ensembles, built.strategies, strict=True):
        followed |= {f"ensemble.{info.id}": ensemble, f"trader.{info.id}": strategy}
        strategy.trader = OverheardTrader(strategy.trader, f"trader.{info.id}", listener)
    listener.follow(followed)


def _ensemble(config: AppConfig, info: InstrumentInfo, outside: Outside, shell: type[EnsembleActor]) -> EnsembleActor:
    """Return who votes on an instrument, and what asks them."""
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    policy = outside.policies[info.id]
    params = EnsembleParams(
        instrument_id=info.id,
        bar_type=bar_type(info.id, spec.base_interval),
        lot=float(info.lot),
        spec=spec,
        tally=config.tally_params(),
        max_holding_bars=config.exits.max_holding_bars,
        decision_ns=interval_ns(spec.decision_interval),
        expiry_bars=config.serving.signal_expiry_bars,
        vote_ns=round(config.live.vote_ms * 1e6),
        trade_from_ns=outside.trade_from_ns,
    )
    members = MembersParams(
        instrument_id=info.id,
        serving=config.serving_params(),
        quorum=config.ensemble.quorum,
        priors=config.ensemble.weights or (1.0,) * len(policy.candidates),
    )
    return shell(
        params,
        policy=policy,
        members=Members(members, policy=policy, source=outside.models, store=outside.store, journal=outside.journal),
        clock=outside.clock,
        flow=outside.flow,
        window=outside.windows[info.id],
        faults=outside.faults,
        progress=outside.progress,
    )


def _strategy(
    config: AppConfig,
    info: InstrumentInfo,
    number: int,
    witness: Witness,
    outside: Outside,
    shell: type[RLStrategy],
) -> RLStrategy:
    """Return the owner of an instrument's position and orders."""
    trader = TraderParams(
        instrument_id=info.id,
        strategy_id=f"RL-{number:03d}",
        instrument=info.filters(),
        tick=str(info.tick),
        peers=config.risk.peers(info.id),
        decision=config.decision_params(),
        orders=config.orders.params(config.execution.style),
    )
    params = RLStrategyParams(trader=trader, lot=str(info.lot), fee=config.cost_params().taker)
    return shell(
        params,
        journal=witness,
        faults=outside.faults,
        store=outside.store,
        time=outside.time,
        venue=outside.venue,
    )


def _monitor(config: AppConfig, infos: Sequence[InstrumentInfo], witness: Witness, outside: Outside) -> Monitor:
    """Return what holds everything to the invariants; a run in which one does not hold proves nothing."""
    base_ns, decision_ns = interval_ns(config.market.base_interval), interval_ns(config.market.decision_interval)
    params = MonitorParams(
        instruments={
            info.id: WatchedInstrument(
                bar_type=bar_type(info.id, config.market.base_interval),
                lot=str(info.lot),
                bars_per_decision=decision_ns // base_ns,
            )
            for info in infos
        },
        limits=config.invariant_limits(),
        check_interval_ns=round(config.invariants.check_interval_seconds * 1e9),
        decision_ns=decision_ns,
    )
    faults = outside.faults
    violated = outside.violated or faults.report
    return Monitor(params, witness=witness, journal=witness, faults=faults, violated=violated, time=outside.time)


def _liveness(
    config: AppConfig, infos: Sequence[InstrumentInfo], witness: Witness, outside: Outside
) -> tuple[LivenessActor, ...]:
    """Return what watches over the streams, where there are any: history has none."""
    if not outside.streams:
        return ()
    live, base = config.live, config.market.base_interval
    params = LivenessParams(
        lots={info.id: str(info.lot) for info in infos},
        closes={info.id: outside.windows[info.id].last_ns for info in infos},
        limits=live.limits(base_ns=interval_ns(base)),
        check_ns=round(live.check_seconds * 1e9),
        position_ns=round(live.position_seconds * 1e9),
        funding_ns=round(live.funding_minutes * 6e10),
        lag_ns=round(live.lag_ms * 1e6),
        blind_ns=round(live.blind_minutes * 6e10),
    )
    actor = LivenessActor(
        params,
        venue=outside.venue,
        clock=outside.venue_clock,
        time=outside.time,
        journal=witness,
        faults=outside.faults,
    )
    return (actor,)


def _slicer(config: AppConfig, infos: Sequence[InstrumentInfo], outside: Outside) -> Slicer:
    """Return what works the orders of a style other than market."""
    base = config.market.base_interval
    worked = {
        info.id: WorkedInstrument(
            instrument=info.filters(),
            lot=str(info.lot),
            tick=str(info.tick),
            bar_type=bar_type(info.id, base),
            bar_ns=interval_ns(base),
        )
        for info in infos
    }
    return Slicer(instruments=worked, params=config.execution.params(), faults=outside.faults, time=outside.time)
