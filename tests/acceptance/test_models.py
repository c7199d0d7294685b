"""``autotrade models``: what it lists, shows and compares, and each thing that verify refuses, in one line."""

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import cli
import configs
import run_backtest
from adapters.model_store import MODEL, load_manifest, sha256_of
from adapters.network import tempered
from adapters.network_graph import network_to_onnx
from core.features import feature_spec
from core.selection import Bin, Calibrated
from tests.unit.networks import SPEC, artifact, edit, observations, random_network, trained

DEMO = Path(__file__).parents[2] / "catalog" / "models"
CALIBRATED = Calibrated(
    horizon_bars=8, temperature=2.0, before=0.2, error=0.0123, bins=(Bin(count=1_234, confidence=0.61, hit_rate=0.57),)
)


@pytest.fixture
def home(tmp_path):
    """A directory with two models: a perceptron and a recurrent one."""
    artifact(
        tmp_path / "models" / "alpha", random_network(1), calibration=CALIBRATED,
        selection={"validation_sharpe": 1.25}, training=trained(hyperparameters={"ppo": {"gamma": 0.99}}),
    )  # fmt: skip
    artifact(
        tmp_path / "models" / "beta", random_network(2, recurrent=12),
        training=trained(algorithm="recurrent_ppo", seed=7, hyperparameters={"ppo": {"gamma": 0.9}}),
    )  # fmt: skip
    return tmp_path / "models"


def models(capsys, *arguments):
    code = cli.main(["models", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_artifacts_that_come_with_the_project_pass(capsys):
    code, out, err = models(capsys, "verify", DEMO)
    assert (code, err) == (0, "")
    assert out.count("passed") == len(list(DEMO.glob("*/manifest.json"))) == out.count("\n")


def test_list_is_a_table_of_what_lies_there(home, capsys):
    code, out, _ = models(capsys, "list", home)
    assert code == 0
    lines = [line.split("│") for line in out.splitlines() if "alpha" in line or "beta" in line]
    cells = [[cell.strip() for cell in line[1:-1]] for line in lines]
    digests = [load_manifest(home / name).sha256[:12] for name in ("alpha", "beta")]
    assert cells == [
        ["alpha", "ppo", "1", "BTCUSDT", "2023-09-01", "1.25", "0.0123", digests[0]],
        ["beta", "recurrent_ppo", "7", "BTCUSDT", "2023-09-01", "-", "-", digests[1]],
    ]
    (home / "gamma").mkdir()
    (home / "gamma" / "manifest.json").write_text("{}")
    rows = json.loads(models(capsys, "list", home, "--json")[1])["models"]
    assert [row.get("model_id") for row in rows] == ["alpha", "beta", None]
    assert "is no manifest" in rows[2]["refused"]
    assert rows[0]["calibration_error"] == 0.0123
    assert "refused" in models(capsys, "list", home)[1]


def test_the_configured_directory_is_the_default(home, capsys):
    setting = ("--set", f'catalog.models_path="{home}"')
    assert len(json.loads(models(capsys, "list", "--json", *setting)[1])["models"]) == 2
    assert models(capsys, "verify", *setting)[0] == 0
    assert "alpha" in models(capsys, "show", "alpha", *setting)[1]
    code, _, err = models(capsys, "list", home.parent / "models" / "alpha" / "..", "--json")
    assert (code, err) == (0, "")
    (home.parent / "empty").mkdir()
    code, _, err = models(capsys, "list", home.parent / "empty")
    assert (code, err.count("\n")) == (2, 1)
    assert "no artifacts in" in err


def test_show_prints_all_but_what_only_a_machine_reads(home, capsys):
    code, out, _ = models(capsys, "show", home / "alpha")
    assert code == 0
    said = dict(line.split(maxsplit=1) for line in out.splitlines() if line[:1].isalpha())
    assert said["training.hyperparameters.ppo.gamma"] == "0.99"
    assert said["training.test_start"] == "2023-09-03"
    assert said["calibration.error"] == "0.0123"
    assert "golden" not in out
    assert [c.strip() for c in out.splitlines()[-2].split("│")[1:-1]] == ["1,234", "0.610", "0.570"]
    tree = json.loads(models(capsys, "show", home / "alpha", "--json")[1])
    assert tree["sha256"] == sha256_of((home / "alpha" / MODEL).read_bytes())
    assert "golden" not in tree
    code, _, err = models(capsys, "show", "nobody")
    assert (code, err.count("\n")) == (3, 1)
    assert "no model at" in err


def test_compare_says_what_differs_and_how_often_the_votes_agree(home, capsys):
    code, out, _ = models(capsys, "compare", home / "alpha", home / "beta")
    assert code == 0
    assert "training.hyperparameters.ppo.gamma" in out
    assert "on 32 golden observations of both they vote in the same direction in" in out
    answer = json.loads(models(capsys, "compare", home / "alpha", home / "beta", "--json")[1])
    changed = {row["path"]: (row["first"], row["second"]) for row in answer["differences"]}
    assert changed["training.hyperparameters.ppo.gamma"] == (0.99, 0.9)
    assert changed["training.seed"] == (1, 7)
    assert changed["recurrent_width"] == (0, 12)
    assert "training.start" not in changed
    assert 0.0 <= answer["votes"]["same_direction"] < 1.0


def test_a_model_agrees_with_itself_and_with_its_calibrated_twin(home, capsys):
    artifact(home / "warm", tempered(random_network(1), 3.0))
    same = json.loads(models(capsys, "compare", home / "alpha", home / "alpha", "--json")[1])
    assert same["differences"] == []
    assert (same["votes"]["same_direction"], same["votes"]["confidence_difference"]) == (1.0, 0.0)
    twin = json.loads(models(capsys, "compare", home / "alpha", home / "warm", "--json")[1])["votes"]
    assert (twin["same_direction"], twin["level_difference"]) == (1.0, 0.0)
    assert twin["confidence_difference"] > 0.05


def test_models_of_other_features_are_compared_without_votes(home, capsys):
    spec = feature_spec("1m", "1h")
    artifact(
        home / "hourly", random_network(3), features=spec, features_digest=spec.digest, training=trained(purge_bars=0)
    )
    assert json.loads(models(capsys, "compare", home / "alpha", home / "hourly", "--json")[1])["votes"] is None
    assert "they see other features" in models(capsys, "compare", home / "alpha", home / "hourly")[1]


def another_byte(place):
    content = bytearray((place / MODEL).read_bytes())
    content[-9] ^= 1
    (place / MODEL).write_bytes(content)


def put(content):
    """Put bytes in the place of the graph; a forger would put the hash right as well."""

    def change(place):
        (place / MODEL).write_bytes(content)
        edit(place, ("sha256",), sha256_of(content))

    return change


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("policy.pth", b"weights")
    return content.getvalue()


def rewritten(*path, value, sealed=True):
    return lambda place: edit(place, path, value, sealed=sealed)


def other_shape(place):
    put(network_to_onnx(random_network(1, actions=3)))(place)


def future(place):
    record = trained(end="2099-01-01", test_start=None, test_end=None)
    edit(place, ("training",), msgspec.to_builtins(record))


REFUSALS = [
    (another_byte, "the file was changed"),
    (rewritten("training", "seed", value=2, sealed=False), "it was changed"),
    (rewritten("golden", "answers", 3, 1, value=0.99), "differs from its golden vectors by"),
    (
        rewritten("training", "test_start", value="2023-08-01"),
        "its test range begins on 2023-08-01, its validation ends",
    ),
    (rewritten("training", "test_start", value="2023-09-02T12:00"), "192 bars must lie between"),
    (rewritten("training", "fit_end", value="2023-07-01"), "its validation range begins on 2023-06-03, its fit ends"),
    (future, "its training range ends on 2099-01-01, which is in the future"),
    (
        rewritten("training", "test_end", value="2099-01-01"),
        "its test range ends on 2099-01-01, which is in the future",
    ),
    (put(pickle.dumps({"weights": [1.0]})), "is a pickle, no ONNX graph"),
    (put(zipped()), "is a zip archive, no ONNX graph"),
    (other_shape, "maps 64 inputs to 3 outputs, its manifest says 64 to 5"),
    (rewritten("features", "decision_interval", value="7m"), "unknown interval '7m'"),
    (rewritten("features", "decision_interval", value="30m"), "it was changed"),
    (rewritten("format", value=1), "is no manifest"),
    (lambda place: (place / MODEL).unlink(), "cannot be read"),
    (shutil.rmtree, "no model at"),
]


@pytest.mark.parametrize(("change", "said"), REFUSALS)
def test_verify_refuses_in_one_line(change, said, home, capsys):
    change(home / "alpha")
    code, out, err = models(capsys, "verify", home / "alpha")
    assert (code, out) == (3, "")
    assert err.startswith("autotrade: refused: ")
    assert said in err
    assert str(home / "alpha") in err
    assert err.count("\n") == 1
    code, out, err = models(capsys, "verify", home / "alpha", "--json")
    assert (code, err) == (3, "")
    answer = json.loads(out)
    assert answer["passed"] is False
    assert said in answer["models"][0]["refused"]


def test_verify_reports_every_directory_and_refuses_if_one_is_refused(home, capsys):
    another_byte(home / "beta")
    code, out, err = models(capsys, "verify", home / "beta", home / "nowhere", home / "alpha")
    assert code == 3
    assert out.splitlines() == [line for line in out.splitlines() if line.startswith(f"passed {home / 'alpha'}: ")]
    assert [line.split(": ")[1] for line in err.splitlines()] == ["refused", "refused"]
    answer = json.loads(models(capsys, "verify", home, "--json")[1])
    assert [(Path(row["path"]).name, row["passed"]) for row in answer["models"]] == [("alpha", True), ("beta", False)]


def test_every_instrument_of_a_replay_has_a_memory_of_its_own(home):
    names = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE")
    config = configs.load("backtest", ["ensemble.quorum=1"])
    replay = run_backtest.Replay(
        config=config, catalog=home, instruments=names, start_ns=0, end_ns=1, out=home, models=(home / "beta",)
    )  # fmt: skip
    policies, ids, _ = run_backtest._policies(replay, SPEC)
    assert ids == ("beta",)
    x = observations(12)
    alone = [policies[names[0]].vote(row)[1][0] for row in x]
    assert [policies[names[1]].vote(row)[1][0] for row in x] == alone


def test_no_pickle_is_ever_opened(home, capsys):
    class Trap:
        def __reduce__(self):
            return np.save, (str(home / "sprung"), [1])

    put(pickle.dumps(Trap()))(home / "alpha")
    assert models(capsys, "verify", home / "alpha")[0] == 3
    assert not list(home.glob("sprung*"))
