"""The screening replay beside the engine's: speed, and the same decisions and balance, in one run.

Seconds are those of the processor: others may use the machine meanwhile.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

import configs
from adapters.catalog import list_series, read_bars, read_funding
from adapters.network import Network
from adapters.sample import write_sample
from benchmarks.__main__ import Row, main
from benchmarks.bench_backtest import ensemble, five_networks
from core.actions import ActionSpec
from core.features import feature_spec
from run_backtest import Replay, run_backtest
from training import hyperparameters
from training.env import rules_of
from training.evaluate import Evaluation, evaluate
from training.market import MarketData, from_bars, load_market, rows_between

DAYS = 120
RUNS = 5


def screened(market: MarketData, span: tuple[int, int], networks: list[Network]) -> Evaluation:
    """Replay decision bars (start, end]."""
    config, rows = configs.load("backtest", ["ensemble.quorum=1"]), rows_between(market.tape, *span)
    episode = hyperparameters.load().environment
    rules = rules_of(market, config.decision_params(), config.cost_params(), ActionSpec(), episode, rows)
    return evaluate(networks, market.tape, rows, rules, config.tally_params())


def replayed(catalog: Path, instrument: str, span: tuple[int, int], networks: list[Network], out: Path) -> float:
    """Replay the same through the engine, its files written; return the seconds."""
    replay = Replay(
        config=configs.load("backtest", ["ensemble.quorum=1"]),
        catalog=catalog,
        instruments=(instrument,),
        start_ns=span[0],
        end_ns=span[1],
        out=out,
        policies={instrument: ensemble(networks)},
        report=False,
    )
    began = time.process_time()
    run_backtest(replay)
    return time.process_time() - began


def rows() -> list[Row]:
    """Measure on a synthetic market, 15-minute decisions from one-minute bars; the best of five and of two."""
    spec = feature_spec()
    networks = five_networks(spec)
    with tempfile.TemporaryDirectory() as folder:
        catalog, out = Path(folder) / "catalog", Path(folder) / "run"
        instrument = write_sample(catalog, seed=1, days=DAYS)
        series = next(s for s in list_series(catalog) if s.interval == "1m")
        span = (series.first_ns, series.last_ns)
        market = load_market(catalog, instrument, spec, start_ns=span[0], end_ns=span[1])
        bars = read_bars(catalog, instrument, "1m", start_ns=span[0], end_ns=span[1])
        funding = read_funding(catalog, instrument, start_ns=span[0], end_ns=span[1])
        found = screened(market, span, networks)
        screening, features = [], []
        for _ in range(RUNS):
            began = time.process_time()
            screened(market, span, networks)
            screening.append(time.process_time() - began)
            began = time.process_time()
            from_bars(instrument, market.instrument, bars, funding, spec)
            features.append(time.process_time() - began)
        engine = min(replayed(catalog, instrument, span, networks, out) for _ in range(2))
        lots = pd.read_parquet(out / "decisions.parquet").position_lots.to_numpy()
        equity = pd.read_parquet(out / "equity.parquet").equity.to_numpy()
    count, alone, both = len(bars.ts_close), min(screening), min(screening) + min(features)
    unequal = float((lots != found.lots).sum()) if len(lots) == len(found.lots) else float("inf")
    return [
        {"row": "screening, five networks", "value": count / alone, "unit": "bars/CPU s", "goal": ">= 1000000"},
        {"row": "screening, features computed too", "value": count / both, "unit": "bars/CPU s", "goal": ""},
        {"row": "engine, the same networks", "value": count / engine, "unit": "bars/CPU s", "goal": ""},
        {"row": "screening over engine", "value": engine / alone, "unit": "times", "goal": ""},
        {"row": "closes with other lots than the engine", "value": unequal, "unit": "closes", "goal": "<= 0"},
        {"row": "fills in that replay", "value": found.fills, "unit": "fills", "goal": ""},
        {"row": "equity against the engine", "value": float(np.abs(equity / found.equity - 1.0).max()),
         "unit": "relative", "goal": "<= 1e-6"},
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(["screening"]))
