"""Training from the outside: the command, its artifacts, their determinism, and what it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import cli
import commands.train
from adapters.model_store import MODEL, load_manifest
from adapters.onnx_policy import OnnxEnsemble
from core.errors import ArtifactError
from core.features import feature_spec
from core.times import parse_time
from training import export
from training import train as module
from training.algorithms import ALGORITHMS

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
RANGE = ("--start", "2023-12-01", "--end", "2024-03-01")
SHORT = ("--timesteps", "8000")


def train(history, out, *args, algorithm="ppo", seeds=("1",), instrument=BTC):
    return cli.main(
        ["train", "--instrument", instrument, *RANGE, "--algorithm", algorithm, "--seeds", *seeds, *SHORT,
         "--catalog", str(history), "--out", str(out), "--json", *ledger(out), *args]
    )  # fmt: skip


def ledger(out):
    """Arguments that keep the tests out of the ledger that counts."""
    return "--set", f"catalog.ledger_path={out / '.ledger.sqlite'}"


def models_in(out):
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


@pytest.fixture(scope="module")
def models(history, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models")
    assert train(history, out, "--instrument", ETH, seeds=("1", "2")) == 0
    assert train(history, out, algorithm="a2c") == 0
    return out


def test_a_trained_ensemble_loads_and_votes(models):
    assert models_in(models) == ["model-a2c-1", "model-ppo-1", "model-ppo-2"]
    places = [models / name for name in models_in(models)]
    spec = feature_spec()
    ensemble = OnnxEnsemble.load(places, spec=spec)
    levels, confidences = ensemble.vote(np.zeros(spec.observation_width, dtype=np.float32))
    assert set(levels) <= {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert ((confidences > 0.0) & (confidences <= 1.0)).all()
    for place in places:
        assert sum(p.stat().st_size for p in place.iterdir()) < 100_000


def test_a_manifest_says_how_its_model_came_about(models):
    manifest = load_manifest(models / "model-ppo-2")
    training = manifest.training
    assert manifest.instruments == (BTC, ETH)
    assert manifest.bar_types == tuple(f"{name}-1-MINUTE-LAST-EXTERNAL" for name in (BTC, ETH))
    assert manifest.decision_interval == "15m"
    assert (training.start, training.end) == ("2023-12-01T00:00:00Z", "2024-03-01T00:00:00Z")
    assert training.start < training.fit_end < training.validation_start < training.end
    purge_ns = parse_time(training.validation_start, "test") - parse_time(training.fit_end, "test")
    assert purge_ns == training.purge_bars * 900_000_000_000
    assert training.purge_bars == 192
    assert training.test_start is None
    assert re.fullmatch(r"ppo-[0-9a-f]{6}", training.candidate)
    assert not training.warm_start
    assert manifest.calibration.horizon_bars == 16
    assert (training.algorithm, training.seed) == ("ppo", 2)
    assert training.timesteps >= training.chosen_timesteps > 0
    assert training.hyperparameters["ppo"]["gamma"] == 0.99
    assert training.command.startswith(f"autotrade train --instrument {BTC} --instrument {ETH} --start 2023-12-01")
    assert manifest.costs.taker == 0.0005
    assert manifest.export.rows >= 10_000
    assert manifest.export.max_abs_difference <= 1e-5
    assert len(manifest.golden.observations) == 16
    assert {"torch", "onnx", "numpy", "stable-baselines3", "sb3-contrib"} <= set(manifest.versions)
    assert re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", manifest.git_revision)
    assert re.fullmatch(r"[0-9a-f]{64}", training.data_hash)
    assert manifest.signature is None
    assert {"validation_sharpe", "validation_total_return", "fit_sharpe"} <= set(manifest.selection)
    assert load_manifest(models / "model-ppo-1").training.trial_id != training.trial_id


def test_the_same_command_makes_the_same_bytes(history, models, tmp_path, capsys):
    assert train(history, tmp_path, "--instrument", ETH) == 0
    told = json.loads(capsys.readouterr().out)["models"][0]
    assert (tmp_path / "model-ppo-1" / MODEL).read_bytes() == (models / "model-ppo-1" / MODEL).read_bytes()
    assert told["sha256"] == load_manifest(models / "model-ppo-1").sha256
    assert told["trial_id"] == load_manifest(models / "model-ppo-1").training.trial_id
    assert told["path"] == str(tmp_path / "model-ppo-1")
    assert (models / "model-ppo-1" / MODEL).read_bytes() != (models / "model-ppo-2" / MODEL).read_bytes()


def test_without_json_a_table_and_the_places_are_printed(history, tmp_path, capsys):
    args = ["train", "--instrument", BTC, *RANGE, "--algorithm", "a2c", "--seeds", "7", "--timesteps", "2000"]
    assert (
        cli.main([*args, "--catalog", str(history), "--out", str(tmp_path), "--name", "mine", *ledger(tmp_path)]) == 0
    )
    told = capsys.readouterr().out
    assert "mine-a2c-7" in told
    assert str(tmp_path / "mine-a2c-7") in told
    assert "flatter" in told


def test_a_graph_that_is_not_the_policy_is_never_written(history, tmp_path, monkeypatch, capsys):
    honest = module.network_of

    def planted(model, normaliser):
        network = honest(model, normaliser)
        network.weights[-1][0, 0] += 0.5
        return network

    monkeypatch.setattr(module, "network_of", planted)
    assert train(history, tmp_path) == 3
    assert "differs from the trained network" in capsys.readouterr().err
    assert models_in(tmp_path) == []


def test_the_command_offers_every_algorithm():
    assert commands.train.ALGORITHMS == ALGORITHMS


@pytest.mark.parametrize("algorithm", ["dqn", "qrdqn", "sac", "recurrent_ppo"])
def test_every_other_algorithm_trains_from_the_command_line(history, tmp_path, algorithm):
    assert train(history, tmp_path, "--log", str(tmp_path / ".log"), algorithm=algorithm) == 0
    manifest = load_manifest(tmp_path / f"model-{algorithm}-1")
    assert (manifest.training.algorithm, manifest.actions.kind) == (
        algorithm, "continuous" if algorithm == "sac" else "discrete",
    )  # fmt: skip
    assert manifest.export.max_abs_difference <= 1e-5
    OnnxEnsemble.load([tmp_path / f"model-{algorithm}-1"], spec=feature_spec())
    assert [path.suffix for path in (tmp_path / ".log").rglob("events*")] != []
    assert list(tmp_path.rglob("state.pt")) == []


def test_a_warm_start_is_another_candidate(history, tmp_path, models):
    assert train(history, tmp_path, "--instrument", ETH, "--warm-start") == 0
    warm = load_manifest(tmp_path / "model-ppo-1").training
    cold = load_manifest(models / "model-ppo-1").training
    assert warm.warm_start
    assert "warm_start" in warm.hyperparameters
    assert "--warm-start" in warm.command
    assert warm.candidate != cold.candidate
    assert warm.trial_id != cold.trial_id


def test_what_is_made_is_not_made_again(history, models, capsys):
    made = (models / "model-ppo-1").stat().st_mtime_ns
    assert train(history, models, "--instrument", ETH, seeds=("1",)) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["model_id"] == "model-ppo-1"
    assert (models / "model-ppo-1").stat().st_mtime_ns == made
    assert train(history, models, seeds=("1",)) == 3
    assert "an artifact never changes" in capsys.readouterr().err


def test_equality_on_a_handful_of_rows_proves_nothing():
    with pytest.raises(ArtifactError, match="at least 10000 are needed"):
        export.check_equality(None, None, np.zeros((99, 3), dtype=np.float32))


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"--catalog": "nowhere"}, 1, "no catalog at nowhere"),
        ({"--instrument": "XRPUSDT-PERP.BINANCE"}, 1, "XRPUSDT-PERP.BINANCE"),
        ({"--start": "2030-01-01", "--end": "2030-02-01"}, 1, "2030-01-01"),
        ({"--start": "2024-02-15"}, 1, "no episode of 1344 decision bars fits into"),
        ({"--start": "2024-02-29"}, 1, "96 decision bars, of which 24 validate and 192 are purged: nothing is left"),
        ({"--purge": "191"}, 2, "--purge is 191 decision bars, a position may be held 192; give at least 192"),
        ({"--algorithm": "dqn", "--warm-start": None}, 2, "--warm-start is for ppo, a2c, recurrent_ppo; dqn learns"),
        ({"--start": "soon"}, 2, "--start is 'soon'"),
        ({"--end": "2023-01-01"}, 2, "is empty"),
        ({"--timesteps": "0"}, 2, "--timesteps is 0"),
        ({"--algorithm": "sarsa"}, 2, "invalid choice: 'sarsa'"),
        ({"--seeds": "one"}, 2, "invalid int value: 'one'"),
        ({"--env": "mars"}, 2, "mars"),
        ({"--set": "risk.loss_per_trade=0.5"}, 2, "risk.loss_per_trade"),
        ({"--name": "taken"}, 3, "manifest.json cannot be read"),
        ({"--name": "../up"}, 2, "is no plain name"),
        ({"--seeds": "-1"}, 2, "none below 0"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(history, tmp_path, capsys, change, code, said):
    (tmp_path / "taken-ppo-1").mkdir()
    options = {
        "--instrument": BTC, "--start": "2023-12-01", "--end": "2024-03-01", "--algorithm": "ppo", "--seeds": "1",
        "--timesteps": "1000", "--catalog": str(history), "--out": str(tmp_path),
    } | change  # fmt: skip
    words = [word for pair in options.items() for word in pair if word is not None]
    assert cli.main(["train", *words, *ledger(tmp_path)]) == code
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
    assert models_in(tmp_path) == ["taken-ppo-1"]


def test_what_is_missing_is_named_at_once(capsys):
    assert cli.main(["train", "--start", "2024-01-01", "--seeds", "1"]) == 2
    assert "required: --instrument, --end, --algorithm; see" in capsys.readouterr().err
