"""The environment's simulation against the engine: one fixed sequence of actions, one equity curve."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import configs
from adapters.catalog import instrument, read_bars, read_funding
from adapters.scripted_policy import ScriptedPolicy
from core.bars import interval_ns
from core.features import compute_features, feature_spec
from core.observation import POSITION_COLUMNS, observe, position_inputs
from core.simulation import X, replay
from core.tape import new_tape
from run_backtest import Replay, run_backtest

BTC = "BTCUSDT-PERP.BINANCE"
START, END = "2024-01-01", "2024-03-10"
TOLERANCE = 1e-9
"""Relative difference of equity that is left: the order of additions, and fees that are rounded to eight decimals."""

BOLD = (
    "risk.loss_per_trade=0.03", "risk.daily_drawdown=0.10", "sizing.volatility_target=2.0", "exits.stop_atr=1.5",
    "exits.trail_atr=1.0", "exits.trail_start_atr=0.5", "exits.take_profit_atr=6.0", "exits.max_holding_bars=24",
    "risk.max_entries_per_day=12",
)  # fmt: skip


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def script(length: int, seed: int) -> np.ndarray:
    """Random levels that last for a random while, as a policy's would."""
    rng = np.random.default_rng(seed)
    levels: list[float] = []
    while len(levels) < length:
        levels += [float(rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0]))] * int(rng.integers(1, 16))
    return np.array(levels[:length])


def simulated(history: Path, config, levels: np.ndarray):
    spec = feature_spec()
    warm = ns(START) - (spec.warmup_bars + 2) * interval_ns("15m")
    bars = read_bars(history, BTC, "1m", start_ns=warm, end_ns=ns(END))
    funding = read_funding(history, BTC, start_ns=warm, end_ns=ns(END))
    frame = compute_features(bars, funding, spec)
    tape = new_tape(bars, frame, funding, base_ns=interval_ns("1m"))
    first = int(np.searchsorted(tape.ts_close, ns(START), side="right"))
    count = len(tape.ts_close) - first - 1
    assert tape.ready[first:].all(), "the range has no hole, so that the k-th vote is the k-th decision"
    filters = instrument(history, BTC).filters()
    path = replay(
        tape, first, levels[:count], np.ones(count), config.backtest.starting_equity, filters, config.decision_params(),
        config.cost_params(),
    )  # fmt: skip
    ts = tape.ts_close[first:]
    return Simulated(ts, path, observation_hashes(frame, ts, path, filters.lot, config))


class Simulated(NamedTuple):
    ts: np.ndarray
    path: np.ndarray
    hashes: list[str]


def observation_hashes(frame, ts, path, lot, config) -> list[str]:
    """Hash what a policy would have seen at each row of a simulated path."""
    most = config.decision_params().exits.max_holding_bars
    out = np.zeros(frame.features.shape[1] + len(POSITION_COLUMNS), dtype=np.float32)
    hashes = []
    for row, state in zip(np.searchsorted(frame.ts_close, ts), path, strict=True):
        inputs = position_inputs(
            frame.close[row], frame.atr[row], int(state[X.lots]), state[X.entry_price], state[X.stop_price],
            int(state[X.holding_bars]), lot, state[X.equity], state[X.drawdown], most,
        )  # fmt: skip
        observe(frame.features[row], *inputs, out)
        hashes.append(hashlib.blake2b(out.data, digest_size=8).hexdigest())
    return hashes


@pytest.mark.parametrize(("seed", "overrides"), [(1, ()), (2, BOLD)])
def test_the_same_actions_earn_the_same_in_the_environment_and_in_the_engine(history, tmp_path, seed, overrides):
    config = configs.load("backtest", ["ensemble.quorum=1", *overrides])
    levels = script(7_000, seed)
    ts, path, hashes = simulated(history, config, levels)
    assert len(ts) > 6_000
    replayed = Replay(
        config=config, catalog=history, instruments=(BTC,), start_ns=ns(START), end_ns=ns(END), out=tmp_path,
        policies={BTC: ScriptedPolicy(levels.tolist())}, report=False,
    )  # fmt: skip
    summary = run_backtest(replayed)
    engine = pd.read_parquet(tmp_path / "equity.parquet")
    decisions = pd.read_parquet(tmp_path / "decisions.parquet")
    assert summary["fills"] > 200
    np.testing.assert_array_equal(engine.ts_event.to_numpy(), ts)
    np.testing.assert_array_equal(decisions.position_lots.to_numpy(), path[:, X.lots].astype(int))
    same = np.mean([a == b for a, b in zip(decisions.observation_hash, hashes, strict=True)])
    assert same > 0.98, f"{same:.4f} of the observations are equal to the last bit of a float32"
    difference = np.abs(engine.equity.to_numpy() / path[:, X.equity] - 1.0)
    assert difference.max() < TOLERANCE, f"largest at row {difference.argmax()}: {difference.max():.2e}"
    assert summary["fees"] == pytest.approx(path[-1, X.fees], abs=1e-5)
    assert summary["funding"] == pytest.approx(-path[-1, X.funding], abs=1e-5)


def test_parity_is_seen_to_fail_when_costs_differ(history, tmp_path):
    config = configs.load("backtest", ["ensemble.quorum=1"])
    levels = script(7_000, 1)
    path = simulated(history, configs.load("backtest", ["costs.slippage_bps=0.6"]), levels).path
    replayed = Replay(
        config=config, catalog=history, instruments=(BTC,), start_ns=ns(START), end_ns=ns(END), out=tmp_path,
        policies={BTC: ScriptedPolicy(levels.tolist())}, report=False,
    )  # fmt: skip
    run_backtest(replayed)
    engine = pd.read_parquet(tmp_path / "equity.parquet")
    assert np.abs(engine.equity.to_numpy() / path[:, X.equity] - 1.0).max() > 1e-5
