"""Replay a range of the catalog through NautilusTrader with an ensemble of models, and report.

Composition root of a backtest: everything that the components need from outside is made here and handed in.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.model import AccountType, Currency, Money, OmsType, Venue

import cli
import configs
from actors.listener import SessionListener
from adapters.catalog import InstrumentInfo, data_hash, instrument, read_bars, read_funding
from adapters.instruments import to_engine
from adapters.model_store import Manifest, load_manifest
from adapters.model_watch import ScriptedModels
from adapters.onnx_policy import OnnxEnsemble, load_checked
from adapters.process_memory import peak_rss_mb
from adapters.recorder import RunRecorder, digest
from adapters.replay_stream import ReplayRange, ReplayStream
from adapters.report import summarise, write_report
from composition import CURRENCY, Components, Outside, components
from configs.schema import AppConfig
from core.bars import interval_ns
from core.errors import ArtifactError, AutotradeError, ConfigError, UsageError
from core.faults import Faults
from core.features import FeatureSpec, Window, feature_spec
from core.protocols import Policy, StateStore
from core.times import iso, parse_time

__all__ = ["Replay", "main", "run_backtest"]

DECISION_COLUMNS = (
    "ts_event", "instrument_id", "close", "level", "confidence", "agreement", "voters", "abstention", "tradable",
    "levels", "confidences", "observation_hash", "equity", "drawdown", "state", "position_lots", "entry_price",
    "stop_price", "target_lots", "new_stop_price", "exit_reason", "verdict", "reason", "rules",
)  # fmt: skip
FILL_COLUMNS = (
    "ts_event", "instrument_id", "side", "quantity", "price", "commission", "liquidity", "arrival_price", "purpose",
    "exit_reason", "lots_after",
)  # fmt: skip


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay: a catalog, instruments, a range of closes ``(start_ns, end_ns]``, models or a policy, a place.

    ``store``: where the state of the breaker, the traders and the members is kept and found; None: it begins and ends
    with the replay. ``arrivals``: artifacts that are dropped in, each at a time (ns). ``listener``: who keeps a record,
    as of a live session. ``windows``: warm ones, where the history before the range is not in the catalog.
    """

    config: AppConfig
    catalog: Path
    instruments: tuple[str, ...]
    start_ns: int
    end_ns: int
    out: Path
    models: tuple[Path, ...] = ()
    policies: dict[str, Policy] | None = None
    store: StateStore | None = None
    arrivals: tuple[tuple[int, Path], ...] = ()
    report: bool = True
    progress: Callable[[int], None] | None = None
    listener: SessionListener | None = None
    windows: Mapping[str, Window] | None = None


def run_backtest(replay: Replay) -> dict[str, Any]:
    """Replay, write the run's files, and return the content of its ``summary.json``.

    Raises
    ------
    DataError
        Where the catalog, an instrument or the range holds no bars.
    ArtifactError
        Where a model is refused.
    AutotradeError
        Where a handler raised: such a run proves nothing.
    """
    began = time.perf_counter()
    config = msgspec.structs.replace(
        replay.config, market=msgspec.structs.replace(replay.config.market, instruments=replay.instruments)
    )
    replay = msgspec.structs.replace(replay, config=config)
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    faults = Faults()
    with _interruptible(faults):
        infos = [instrument(replay.catalog, name) for name in replay.instruments]
        policies, model_ids, model_hashes = _policies(replay, spec)
        replay.out.mkdir(parents=True, exist_ok=True)
        for stale in ("summary.json", "report.html"):
            (replay.out / stale).unlink(missing_ok=True)
        recorder = RunRecorder(replay.out)
        stream = ReplayStream(
            replay.catalog,
            infos,
            ReplayRange(config.market.base_interval, replay.start_ns, replay.end_ns, config.backtest.chunk_days),
            away=config.cost_params().away,
        )
        engine = _engine(config, infos)
        try:
            _components(replay, infos, policies, stream, recorder, faults).join(engine)
            started = time.perf_counter()
            _play(engine, stream, faults)
            engine_seconds = time.perf_counter() - started
        except BaseException:
            recorder.discard()
            raise
    account = engine.cache.account_for_venue(Venue(config.market.venue))
    balance = account.balance_total(Currency.from_str(CURRENCY)).as_decimal() if account is not None else Decimal(0)
    engine.dispose()
    recorder.close()

    effective = {"config_hash": configs.config_hash(config), "config": config}
    (replay.out / "config.json").write_bytes(msgspec.json.format(msgspec.json.encode(effective), indent=2))
    summary: dict[str, Any] = {
        "run_id": replay.out.name,
        "config_hash": configs.config_hash(config),
        "data_hash": data_hash(
            replay.catalog,
            list(replay.instruments),
            config.market.base_interval,
            start_ns=replay.start_ns,
            end_ns=replay.end_ns,
        ),
        "model_ids": list(model_ids),
        "model_hashes": list(model_hashes),
        "instruments": list(replay.instruments),
        **_provenance(replay),
        "synthetic": _synthetic(replay.instruments),
        "start": iso(replay.start_ns),
        "end": iso(replay.end_ns),
        "bars": stream.bars,
        "missing_bars": len(infos) * (replay.end_ns - replay.start_ns) // interval_ns(spec.base_interval) - stream.bars,
        "decisions_sha256": digest(replay.out / "decisions.parquet", DECISION_COLUMNS),
        "fills_sha256": digest(replay.out / "fills.parquet", FILL_COLUMNS),
        "account_balance": str(balance),
    }
    summary |= summarise(
        replay.out,
        starting_equity=config.backtest.starting_equity,
        costs=config.cost_params(),
        currency=CURRENCY,
    )
    summary["engine_seconds"] = round(engine_seconds, 3)
    if replay.report:
        write_report(replay.out, summary)
    summary["wall_seconds"] = round(time.perf_counter() - began, 3)
    summary["peak_rss_mb"] = round(peak_rss_mb(), 1)
    (replay.out / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
    return summary


def _policies(replay: Replay, spec: FeatureSpec) -> tuple[Mapping[str, Policy], Sequence[str], Sequence[str]]:
    """Return the policy of each instrument, and the names and hashes of the models."""
    if replay.policies is not None:
        first = next(iter(replay.policies.values()))
        return replay.policies, [candidate.model_id for candidate in first.candidates], []
    if not replay.models:
        raise UsageError("no models to replay; name artifacts with --models, or train some with `autotrade train`")
    artifacts = [load_checked(path, spec=spec) for path in replay.models]
    _check_votes(replay.config, len(artifacts))
    ensembles = {name: OnnxEnsemble(artifacts) for name in replay.instruments}  # each remembers its own market
    first = next(iter(ensembles.values()))
    return ensembles, first.model_ids, first.model_hashes


def _check_votes(config: AppConfig, models: int) -> None:
    """Refuse rules of the vote that do not fit the number of models."""
    weights, quorum = config.ensemble.weights, config.ensemble.quorum
    if weights and len(weights) != models:
        raise ConfigError(f"ensemble.weights: {len(weights)} weights for {models} models; give one for each, or none")
    if quorum > models:
        raise ConfigError(f"ensemble.quorum: {quorum} of {models} models can never vote; choose at most {models}")


def _provenance(replay: Replay) -> dict[str, Any]:
    """Say on what the models were trained, and whether this range is part of it."""
    trained = _manifests(replay)
    until = max((parse_time(manifest.training.end, "training.end") for manifest in trained), default=None)
    return {
        "models_trained_on": sorted({name for manifest in trained for name in manifest.instruments}),
        "models_trained_until": None if until is None else iso(until),
        "in_sample": until is not None and until > replay.start_ns and not _synthetic(replay.instruments),
    }


def _manifests(replay: Replay) -> list[Manifest]:
    """Return the manifests of all models that may vote; one that arrives broken never does."""
    manifests = [load_manifest(path) for path in replay.models] if replay.policies is None else []
    for _, path in replay.arrivals:
        with suppress(ArtifactError):
            manifests.append(load_manifest(path))
    return manifests


def _synthetic(instruments: Sequence[str]) -> bool:
    """Return whether an instrument is made up: no model can have seen its future."""
    return any(name.startswith("SYNTH") for name in instruments)


def _engine(config: AppConfig, infos: Sequence[InstrumentInfo]) -> BacktestEngine:
    """Return an engine with the venue and its instruments: it executes on quotes alone, and pays the costs."""
    costs = config.costs
    logging = LoggerConfig(stdout_level=LogLevel.ERROR)
    engine = BacktestEngine(BacktestEngineConfig(logging=logging, run_analysis=False))
    engine.add_venue(
        Venue(config.market.venue),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(config.backtest.starting_equity, Currency.from_str(CURRENCY))],
        default_leverage=Decimal(1),
        fee_model=MakerTakerFeeModel(
            Decimal(repr(costs.maker_bps)).scaleb(-4), Decimal(repr(costs.taker_bps)).scaleb(-4)
        ),
        latency_model=StaticLatencyModel(int(costs.latency_ms * 1_000_000)),
        bar_execution=False,
        trade_execution=False,
        reject_stop_orders=False,
    )
    for info in infos:
        engine.add_instrument(to_engine(info))
    return engine


def _play(engine: BacktestEngine, stream: ReplayStream, faults: Faults) -> None:
    """Feed the engine chunk by chunk; raise what its handlers raised, which the engine keeps to itself."""
    for chunk in stream.chunks():
        for data in chunk:
            engine.add_data(data, validate=False, sort=False)
        engine.sort_data()
        engine.run(streaming=True)
        engine.clear_data()
        if faults.interrupted:
            raise KeyboardInterrupt
        if faults:
            raise _proves_nothing(faults)
    engine.end()
    if faults:
        raise _proves_nothing(faults)


def _proves_nothing(faults: Faults) -> AutotradeError:
    return AutotradeError(f"the run proves nothing, {len(faults)} found wrong in handlers; the first: {faults.first}")


@contextmanager
def _interruptible(faults: Faults) -> Iterator[None]:
    """Take note of Ctrl-C, to end at the next chunk: what it raises inside a handler, the engine would swallow."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def note(*_: object) -> None:
        faults.interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _components(
    replay: Replay,
    infos: Sequence[InstrumentInfo],
    policies: Mapping[str, Policy],
    stream: ReplayStream,
    recorder: RunRecorder,
    faults: Faults,
) -> Components:
    """Return what is traded with, as history answers for the outside."""
    spec = feature_spec(replay.config.market.base_interval, replay.config.market.decision_interval)
    outside = Outside(
        policies=policies,
        windows=replay.windows or {info.id: _warm_window(replay, spec, info) for info in infos},
        flow=stream,
        models=ScriptedModels(replay.arrivals, lambda path: load_checked(path, spec=spec)),
        store=replay.store,
        journal=recorder,
        faults=faults,
        clock=_no_clock,
        progress=replay.progress or _silent,
        trade_from_ns=replay.start_ns,
        listener=replay.listener,
    )
    return components(replay.config, infos, outside)


def _warm_window(replay: Replay, spec: FeatureSpec, info: InstrumentInfo) -> Window:
    """Return a window fed with the history before the range, as far as the catalog holds it."""
    window = Window(spec)
    from_ns = replay.start_ns - (spec.warmup_bars + 2) * interval_ns(spec.decision_interval)
    bars = read_bars(
        replay.catalog, info.id, spec.base_interval, start_ns=from_ns, end_ns=replay.start_ns, missing_ok=True
    )
    funding = read_funding(replay.catalog, info.id, start_ns=from_ns, end_ns=replay.start_ns)
    window.extend(bars, funding)
    return window


def _no_clock() -> int:
    """Return no time at all: what the models take must not decide in a run that is to repeat."""
    return 0


def _silent(_: int) -> None:
    """Report no progress."""


def main(argv: Sequence[str] | None = None) -> int:
    """Replay from the command line."""
    return cli.main(["backtest", *(sys.argv[1:] if argv is None else argv)])


if __name__ == "__main__":
    sys.exit(main())
