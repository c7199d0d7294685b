"""The screening replay of trained policies against the engine: the same signals, the same lots, the same equity."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import configs
from adapters.onnx_policy import OnnxEnsemble, load_checked
from core.actions import ActionSpec
from core.features import feature_spec
from run_backtest import Replay, run_backtest
from tests.unit.networks import artifact, random_network
from training import hyperparameters
from training.env import rules_of
from training.evaluate import Evaluation, evaluate
from training.market import load_market, rows_between

BTC = "BTCUSDT-PERP.BINANCE"
START_NS, END_NS = (pd.Timestamp(day, tz="UTC").value for day in ("2024-01-01", "2024-03-10"))
MODELS = Path(__file__).parents[2] / "catalog" / "models"
CONFIDENCE = 2e-6
"""The graph's float32 sums and the replay's are in different orders; a feature differs in its last bit now and then."""
EQUITY = 1e-9
"""Relative: the order of additions, and fees that are rounded to eight decimals."""


def zoo(folder: Path) -> list[Path]:
    """Random networks of every kind: recurrent and not, probabilities and a normal level, one of other widths."""
    kinds = {
        "plain": {"hidden": (64, 64)},
        "narrow": {"hidden": (16,), "activation": "Relu"},
        "level": {"head": "normal", "actions": 2},
        "recurrent": {"recurrent": 32},
        "recurrent-level": {"recurrent": 12, "head": "normal", "actions": 2},
    }
    return [artifact(folder / name, random_network(5 + i, **kind)) for i, (name, kind) in enumerate(kinds.items())]


def screened(catalog: Path, config, ensemble) -> tuple[np.ndarray, Evaluation]:
    spec = feature_spec()
    market = load_market(catalog, BTC, spec, start_ns=START_NS, end_ns=END_NS)
    rows = rows_between(market.tape, START_NS, END_NS)
    episode = hyperparameters.load().environment
    assert episode.starting_equity == config.backtest.starting_equity
    rules = rules_of(market, config.decision_params(), config.cost_params(), ActionSpec(), episode, rows)
    networks = [model.network for model in ensemble]
    return market.tape.ts_close[slice(*rows)], evaluate(networks, market.tape, rows, rules, config.tally_params())


def replayed(catalog: Path, config, policy, out: Path) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    replay = Replay(
        config=config,
        catalog=catalog,
        instruments=(BTC,),
        start_ns=START_NS,
        end_ns=END_NS,
        out=out,
        policies={BTC: policy},
        report=False,
    )
    return run_backtest(replay), *(pd.read_parquet(out / f"{kind}.parquet") for kind in ("decisions", "equity"))


@pytest.mark.parametrize("kind", ["trained", "zoo"])
def test_trained_policies_decide_and_earn_the_same_in_the_screening_replay_and_in_the_engine(history, tmp_path, kind):
    spec = feature_spec()
    paths = sorted(path for path in MODELS.iterdir() if path.is_dir()) if kind == "trained" else zoo(tmp_path)
    ensemble = [load_checked(path, spec=spec) for path in paths]
    judged_by_nobody = ["serving.max_loss=10.0", "serving.decay_alarm=0", "serving.max_disagreement=1.0"]
    config = configs.load("backtest", ["ensemble.quorum=1", *judged_by_nobody])  # screening serves, it does not judge
    ts, found = screened(history, config, ensemble)
    summary, decisions, equity = replayed(history, config, OnnxEnsemble(ensemble), tmp_path / "run")

    np.testing.assert_array_equal(decisions.ts_event.to_numpy(), ts)
    np.testing.assert_array_equal(decisions.position_lots.to_numpy(), found.lots)
    decided = decisions[:-1]  # nothing follows the last
    np.testing.assert_array_equal(decided.target_lots.to_numpy(), found.targets)
    np.testing.assert_array_equal(decided.tradable.to_numpy(), ~np.isnan(found.levels))
    signalled = decided.tradable.to_numpy()
    levels, confidences = decided.level.to_numpy(), decided.confidence.to_numpy()
    level = np.abs(levels - found.levels)[signalled].max()
    confidence = np.abs(confidences - found.confidences)[signalled].max()
    money = np.abs(equity.equity.to_numpy() / found.equity - 1.0).max()
    print(
        f"{kind}: {len(ts)} closes, {signalled.sum()} signals, {summary['fills']} fills; level within {level:.1e}, "
        f"confidence within {confidence:.1e}, lots equal, equity within {money:.1e} of {found.equity[-1]:.2f}"
    )
    assert level < CONFIDENCE
    assert confidence < CONFIDENCE
    assert money < EQUITY
    assert summary["fills"] == found.fills > 50
    assert summary["fees"] == pytest.approx(found.fees * config.backtest.starting_equity, abs=1e-5)
    assert summary["total_return"] == pytest.approx(found.total_return, abs=1e-9)
    assert summary["max_drawdown"] == pytest.approx(found.max_drawdown, abs=1e-9)
    assert summary["sharpe"] == pytest.approx(found.sharpe, abs=1e-5)


def test_the_comparison_is_seen_to_fail_when_one_model_forgets(history, tmp_path):
    """The same recurrent network whose memory is not carried from row to row decides otherwise."""
    spec = feature_spec()
    path = artifact(tmp_path / "recurrent", random_network(8, recurrent=32))
    model = load_checked(path, spec=spec)
    config = configs.load("backtest", ["ensemble.quorum=1"])
    policy = OnnxEnsemble([model])
    vote = policy.vote
    policy.vote = lambda observation: (policy.reset(), vote(observation))[1]
    _, found = screened(history, config, [model])
    _, decisions, _ = replayed(history, config, policy, tmp_path / "run")
    assert not np.array_equal(decisions.position_lots.to_numpy(), found.lots)
