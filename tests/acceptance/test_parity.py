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
from configs.schema import AppConfig
from core.bars import interval_ns
from core.breaker import HALTED, STATES
from core.decision import DecisionParams
from core.features import compute_features, feature_spec
from core.observation import POSITION_COLUMNS, observe, position_inputs
from core.simulation import X, replay
from core.tape import new_tape
from run_backtest import Replay, run_backtest

BTC = "BTCUSDT-PERP.BINANCE"
TOLERANCE = 1e-9
"""Relative difference of equity that is left: the order of additions, and fees that are rounded to eight decimals."""

BOLD = (
    "risk.loss_per_trade=0.03", "risk.daily_drawdown=0.10", "sizing.volatility_target=2.0", "exits.stop_atr=1.5",
    "exits.trail_atr=1.0", "exits.trail_start_atr=0.5", "exits.take_profit_atr=6.0", "exits.max_holding_bars=24",
    "risk.max_entries_per_day=12", "exits.break_even_atr=1.0", "exits.partial_takes=[1.5, 0.3, 3.0, 0.4]",
    "sizing.add_fraction=0.7", "risk.max_adds=3",
)  # fmt: skip


class Cautious(AppConfig, frozen=True, kw_only=True):
    """A configuration whose day ends at a drawdown of 0.6 %, which no file may choose: the breaker acts often."""

    def decision_params(self) -> DecisionParams:
        params = super().decision_params()
        return params._replace(risk=params.risk._replace(daily_drawdown=0.006, auto_rearm=1))


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def script(length: int, seed: int) -> np.ndarray:
    """Random levels that last for a random while, as a policy's would."""
    rng = np.random.default_rng(seed)
    levels: list[float] = []
    while len(levels) < length:
        levels += [float(rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0]))] * int(rng.integers(1, 16))
    return np.array(levels[:length])


def simulated(catalog: Path, config, levels: np.ndarray, start: str, end: str):
    """Replay levels in the simulation; the k-th is the vote at the k-th close that is fit to be decided on."""
    spec = feature_spec()
    warm = ns(start) - (spec.warmup_bars + 2) * interval_ns("15m")
    bars = read_bars(catalog, BTC, "1m", start_ns=warm, end_ns=ns(end))
    funding = read_funding(catalog, BTC, start_ns=warm, end_ns=ns(end))
    frame = compute_features(bars, funding, spec)
    tape = new_tape(bars, frame, funding, base_ns=interval_ns("1m"))
    first = int(np.searchsorted(tape.ts_close, ns(start), side="right"))
    ts = tape.ts_close[first:]
    ready = np.isin(ts[:-1], frame.ts_close[frame.ready])
    voted = np.full(len(ts) - 1, np.nan)
    voted[ready] = levels[: ready.sum()]
    filters = instrument(catalog, BTC).filters()
    path = replay(
        tape, first, voted, np.ones(len(voted)), config.backtest.starting_equity, filters, config.decision_params(),
        config.cost_params(),
    )  # fmt: skip
    return Simulated(ts, path, observation_hashes(frame, ts, path, filters.lot, config))


def replayed(catalog: Path, config, levels: np.ndarray, start: str, end: str, out: Path) -> dict:
    replay_of = Replay(
        config=config,
        catalog=catalog,
        instruments=(BTC,),
        start_ns=ns(start),
        end_ns=ns(end),
        out=out,
        policies={BTC: ScriptedPolicy(levels.tolist())},
        report=False,
    )
    return run_backtest(replay_of)


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


@pytest.mark.parametrize(
    ("seed", "overrides", "catalog", "start", "end", "closes", "holes"),
    [
        (1, (), "history", "2024-01-01", "2024-03-10", 6_624, 0),
        (2, BOLD, "history", "2024-01-01", "2024-03-10", 6_624, 0),
        (3, BOLD, "outage", "2023-03-18", "2023-04-01", 1_338, 1),
    ],
)
def test_the_same_actions_earn_the_same_in_the_environment_and_in_the_engine(
    request, tmp_path, seed, overrides, catalog, start, end, closes, holes
):
    folder = request.getfixturevalue(catalog)
    config = configs.load("backtest", ["ensemble.quorum=1", *overrides])
    levels = script(7_000, seed)
    ts, path, hashes = simulated(folder, config, levels, start, end)
    summary = replayed(folder, config, levels, start, end, tmp_path)
    engine, decisions = (pd.read_parquet(tmp_path / f"{kind}.parquet") for kind in ("equity", "decisions"))
    assert summary["fills"] > 100
    assert len(ts) == closes
    assert (decisions.abstention == "window").sum() == holes
    np.testing.assert_array_equal(engine.ts_event.to_numpy(), ts)
    np.testing.assert_array_equal(decisions.position_lots.to_numpy(), path[:, X.lots].astype(int))
    seen = [(a, b) for a, b in zip(decisions.observation_hash, hashes, strict=True) if a]
    same = np.mean([a == b for a, b in seen])
    assert same > 0.98, f"{same:.4f} of the observations are equal to the last bit of a float32"
    difference = np.abs(engine.equity.to_numpy() / path[:, X.equity] - 1.0)
    assert difference.max() < TOLERANCE, f"largest at row {difference.argmax()}: {difference.max():.2e}"
    assert summary["fees"] == pytest.approx(path[-1, X.fees], abs=1e-5)
    assert summary["funding"] == pytest.approx(-path[-1, X.funding], abs=1e-5)
    worst = f"{difference.max():.1e}"
    print(f"{closes} closes, {summary['fills']} fills: equity within {worst}, {same:.2%} of observations equal")


def test_the_breaker_closes_between_decisions_at_the_same_fills_in_the_environment_and_in_the_engine(history, tmp_path):
    config = configs.load("backtest", ["ensemble.quorum=1", "exits.stop_atr=6.0", *BOLD[:3], *BOLD[-4:]])
    config = Cautious(**{name: getattr(config, name) for name in config.__struct_fields__})
    span = ("2024-01-01", "2024-03-10")
    levels = script(7_000, 4)
    _, path, _ = simulated(history, config, levels, *span)
    replayed(history, config, levels, *span, tmp_path)
    engine, fills = (pd.read_parquet(tmp_path / f"{kind}.parquet") for kind in ("equity", "fills"))
    minute = fills.ts_event // 60_000_000_000 % 15
    between = ((fills.exit_reason == "breaker") & (minute != 0)).sum()
    worst = np.abs(engine.equity.to_numpy() / path[:, X.equity] - 1.0).max()
    print(
        f"{between} positions closed between decisions, {(path[:, X.gate] == HALTED).sum()} closes halted: {worst:.1e}"
    )
    assert between > 2
    assert worst < TOLERANCE
    np.testing.assert_array_equal([STATES.index(state) for state in engine.state], path[:, X.gate])


def test_parity_is_seen_to_fail_when_costs_differ(history, tmp_path):
    levels = script(7_000, 1)
    span = ("2024-01-01", "2024-02-01")
    dearer = configs.load("backtest", ["ensemble.quorum=1", "costs.slippage_bps=0.6"])
    path = simulated(history, dearer, levels, *span).path
    replayed(history, configs.load("backtest", ["ensemble.quorum=1"]), levels, *span, tmp_path)
    engine = pd.read_parquet(tmp_path / "equity.parquet")
    assert np.abs(engine.equity.to_numpy() / path[:, X.equity] - 1.0).max() > 1e-5
