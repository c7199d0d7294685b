"""Replays: the engine alone, the whole product on top of it, and memory over the length of history."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import msgspec
import numpy as np
from nautilus_trader.backtest import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import AccountType, Bar, BarType, InstrumentId, NautilusDataType, OmsType, StrategyId
from nautilus_trader.trading import Strategy, StrategyConfig

import configs
from adapters.catalog import list_series
from adapters.network import Network
from adapters.onnx_policy import OnnxEnsemble
from adapters.sample import write_sample
from benchmarks.__main__ import Row, main
from core.actions import ActionSpec
from core.bars import bar_type
from core.features import FeatureSpec, feature_spec
from core.protocols import Policy
from core.times import iso
from run_backtest import Replay, run_backtest

DAYS = 120
RUNS = 3
DAY_NS = 86_400_000_000_000


class _Idle(Strategy):
    """Looks at every bar and does nothing."""

    def __new__(cls, _: str) -> Self:
        return super().__new__(cls, StrategyConfig(strategy_id=StrategyId("IDLE-001")))

    def __init__(self, name: str) -> None:
        self._bar_type = BarType.from_str(name)

    def on_start(self) -> None:
        self.subscribe_bars(self._bar_type)

    def on_bar(self, bar: Bar) -> None:
        pass


def _engine_seconds(catalog: Path, instrument: str) -> float:
    """Return the seconds that the engine alone takes to stream all bars to an idle strategy."""
    name = bar_type(instrument, "1m")
    run = BacktestRunConfig(
        [
            BacktestVenueConfig(
                "BINANCE",
                OmsType.NETTING,
                AccountType.MARGIN,
                ["10000 USDT"],
                bar_execution=True,
                fee_model=MakerTakerFeeModel(Decimal(0), Decimal(0)),
            )
        ],
        [
            BacktestDataConfig(
                NautilusDataType.Bar,
                str(catalog.resolve()),
                instrument_id=InstrumentId.from_str(instrument),
                bar_types=[name],
            )
        ],
        engine=BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.ERROR), run_analysis=False),
        chunk_size=100_000,
        raise_exception=True,
    )
    node = BacktestNode([run])
    node.build()
    node.add_strategy(run.id, _Idle(name))
    began = time.perf_counter()
    node.run()
    return time.perf_counter() - began


def five_networks(spec: FeatureSpec) -> list[Network]:
    """Return five networks of the demo's shape with random weights: they disagree and trade a lot."""
    rng = np.random.default_rng(5)
    width = spec.observation_width
    sizes = [(width, 64), (64, 64), (64, 5)]
    return [
        Network(
            mean=np.zeros(width, np.float32),
            scale=np.ones(width, np.float32),
            weights=tuple(rng.normal(0, 1.5 / np.sqrt(a), (a, b)).astype(np.float32) for a, b in sizes),
            biases=tuple(np.zeros(b, np.float32) for _, b in sizes),
            activation="Tanh",
        )
        for _ in range(5)
    ]


def ensemble(networks: list[Network]) -> Policy:
    """Return networks as a policy, as if they had been loaded."""
    artifacts: list[Any] = []
    for number, network in enumerate(networks):
        manifest = SimpleNamespace(
            model_id=f"random-{number}", sha256=str(number), calibration=None, actions=ActionSpec()
        )
        artifacts.append(SimpleNamespace(network=network, manifest=manifest))
    return OnnxEnsemble(artifacts)


def _product(catalog: Path, instrument: str, decision: str, out: Path) -> dict[str, Any]:
    """Replay all bars with decisions on the given interval and return the summary."""
    config = configs.load("backtest", [f"market.decision_interval={decision}", "ensemble.quorum=1"])
    series = next(s for s in list_series(catalog) if s.interval == "1m")
    replay = Replay(
        config=config,
        catalog=catalog,
        instruments=(instrument,),
        start_ns=series.first_ns,
        end_ns=series.last_ns,
        out=out,
        policies={instrument: ensemble(five_networks(feature_spec("1m", decision)))},
        report=False,
    )
    return run_backtest(replay)


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(RUNS))


def _peak_rss_mb(catalog: Path, days: int, out: Path) -> float:
    """Return the peak memory of a replay of the last ``days`` in a process of its own."""
    series = next(s for s in list_series(catalog) if s.interval == "1m")
    start = iso(series.last_ns - days * DAY_NS)
    command = [
        sys.executable,
        "run_backtest.py",
        "--catalog",
        str(catalog),
        "--start",
        start,
        "--out",
        str(out),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, check=True, cwd=Path(__file__).parents[1])
    return float(msgspec.json.decode(done.stdout)["peak_rss_mb"])


def rows() -> list[Row]:
    """Measure replays on a synthetic market, medians of three."""
    with tempfile.TemporaryDirectory() as folder:
        catalog, out = Path(folder) / "catalog", Path(folder) / "run"
        instrument = write_sample(catalog, seed=1, days=DAYS)
        bars = DAYS * 1440
        engine = _median(lambda: _engine_seconds(catalog, instrument))
        quarter = _median(lambda: _product(catalog, instrument, "15m", out)["engine_seconds"])
        minute = _median(lambda: _product(catalog, instrument, "1m", out)["engine_seconds"])
        orders = _product(catalog, instrument, "1m", out)["orders"]
        long = Path(folder) / "long"
        write_sample(long, seed=2, days=4 * 365 + 30)
        one, four = (_peak_rss_mb(long, years * 365, Path(folder) / f"memory-{years}") for years in (1, 4))
    return [
        {"row": "engine alone, idle strategy", "value": bars / engine, "unit": "bars/s", "goal": ""},
        {"row": "product, 15-minute decisions", "value": bars / quarter, "unit": "bars/s", "goal": ">= 200000"},
        {"row": "product, decision every minute", "value": bars / minute, "unit": "bars/s", "goal": ">= 50000"},
        {"row": "product over engine, every minute", "value": minute / engine, "unit": "times", "goal": ""},
        {"row": "product on top of engine", "value": (minute - engine) / bars * 1e6, "unit": "us/bar", "goal": "<= 20"},
        {"row": "orders in that replay", "value": float(orders), "unit": "orders", "goal": ""},
        {"row": "peak memory, 1 year", "value": one, "unit": "MB", "goal": ""},
        {"row": "peak memory, 4 years against 1", "value": four / one, "unit": "times", "goal": "<= 1.1"},
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(["backtest"]))
