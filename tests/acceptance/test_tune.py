"""Tuning from the outside: a study, killed and taken up again, shared by processes, counted in the ledger."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import optuna
import pytest

import cli
import configs
from adapters.ledger import Ledger
from commands import tune as command
from core.errors import ConfigError
from core.times import parse_time
from training import hyperparameters, search
from training.tune import Tuning, results, work

ROOT = Path(__file__).parents[2]
BTC = "BTCUSDT-PERP.BINANCE"
FIT = (parse_time("2023-12-15", "fit"), parse_time("2024-01-10", "fit"))
VALIDATION = (parse_time("2024-01-12", "validation"), parse_time("2024-01-25", "validation"))
SPACE = {
    "ppo.learning_rate": search.Dimension(1e-4, 1e-2, log=True),
    "ppo.n_epochs": search.Dimension(1, 3),
    "network.layers": search.Dimension(choices=([8], [16, 16])),
}


def small():
    base, replace = hyperparameters.load(), msgspec.structs.replace
    return replace(
        base,
        environment=replace(base.environment, accounts=16, episode_bars=96),
        network=replace(base.network, layers=(16,)),
        selection=replace(base.selection, checkpoints=4),
        ppo=replace(base.ppo, n_steps=32, batch_size=256, n_epochs=2, timesteps=2_048),
    )


def tuning(history, folder, **changes):
    asked = Tuning(
        name="small", storage=f"sqlite:///{folder / 'tune.sqlite'}", ledger=str(folder / "ledger.sqlite"),
        config=configs.load("train"), catalog=str(history), instruments=(BTC,), fit=FIT, validation=VALIDATION,
        purge_bars=192, algorithm="ppo", seeds=(1, 2, 3), trials=4, timesteps=None, hyperparameters=small(),
        space=SPACE, command="",
    )  # fmt: skip
    return msgspec.structs.replace(asked, **changes)


@pytest.fixture(scope="module")
def uninterrupted(history, tmp_path_factory):
    asked = tuning(history, tmp_path_factory.mktemp("uninterrupted"))
    assert work(asked) == 4
    return asked


def test_a_trial_s_score_is_the_median_of_its_seeds_on_the_validation_range(uninterrupted):
    found = results(uninterrupted)
    entries = {(e.parameters["trial"], e.seed): e for e in Ledger(Path(uninterrupted.ledger)).entries()}
    assert sorted(trial.place for trial in found) == [0, 1, 2, 3]
    assert len(entries) == 12
    for trial in found:
        figures = [entries[trial.place, seed].outcome for seed in (1, 2, 3)]
        scores = [f["validation_sharpe"] - (100 if f["validation_exposed"] < 0.3 else 0) for f in figures]
        assert trial.scores == pytest.approx(tuple(scores))
        assert trial.score == pytest.approx(sorted(scores)[1])
    assert [trial.score for trial in found] == sorted((trial.score for trial in found), reverse=True)


def test_every_training_is_in_the_ledger_with_what_was_tried(uninterrupted):
    for entry in Ledger(Path(uninterrupted.ledger)).entries():
        assert (entry.purpose, entry.study, entry.status, entry.attempts) == ("tune", "small", "finished", 1)
        tried = search.applied(small(), {name: entry.parameters[name] for name in SPACE})
        assert entry.trial_id == uninterrupted.job(tried, entry.seed).trial_id
        assert entry.candidate.startswith("ppo-")


def test_a_study_killed_in_the_middle_of_a_trial_ends_as_if_it_had_not_been(history, uninterrupted, tmp_path):
    asked = tuning(history, tmp_path)
    (tmp_path / "asked").write_bytes(msgspec.json.encode(asked))
    script = """
        import os, pathlib, signal, sys
        import msgspec
        from training import tune

        trainings, honest = 0, tune.train

        def train(*args, progress, **kwargs):
            global trainings
            trainings += 1

            def killing(done, wanted):
                if trainings == 5 and done > 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            return honest(*args, progress=killing, **kwargs)

        tune.train = train
        tune.work(msgspec.json.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=tune.Tuning))
    """
    killing = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "asked")]
    killed = subprocess.run(killing, cwd=ROOT, check=False, timeout=600)
    assert killed.returncode == -9
    before = Ledger(Path(asked.ledger)).entries()
    assert [e.status for e in before] == ["finished"] * 4 + ["running"]
    assert work(asked) == 3
    assert results(asked) == results(uninterrupted)
    ours, theirs = (Ledger(Path(one.ledger)).entries() for one in (asked, uninterrupted))
    assert [(e.trial_id, e.outcome) for e in ours] == [(e.trial_id, e.outcome) for e in theirs]
    assert [e.attempts for e in ours] == [1] * 4 + [2] + [1] * 7
    assert work(asked) == 0


def test_two_processes_share_a_study_and_make_no_trial_twice(history, uninterrupted, tmp_path):
    asked = tuning(history, tmp_path)
    command._work(asked, workers=2, quiet=True)
    assert results(asked) == results(uninterrupted)
    ours, theirs = (Ledger(Path(one.ledger)).entries() for one in (asked, uninterrupted))
    assert {(e.trial_id, e.attempts) for e in ours} == {(e.trial_id, e.attempts) for e in theirs}


def test_a_trial_below_the_median_is_pruned_and_counts(history, tmp_path):
    asked = tuning(history, tmp_path, trials=6, seeds=(1,))
    work(msgspec.structs.replace(asked, trials=0))
    study = optuna.load_study(study_name="small", storage=asked.storage)
    for _ in range(5):
        study.add_trial(
            optuna.create_trial(
                value=1_000.0,
                params={"ppo.learning_rate": 1e-3},
                distributions={"ppo.learning_rate": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True)},
                intermediate_values=dict.fromkeys(range(6), 1_000.0),
            )
        )
    assert work(asked) == 1
    last = results(asked)[-1]
    assert (last.place, last.state, last.score) == (5, "pruned", None)
    (entry,) = Ledger(Path(asked.ledger)).entries()
    assert entry.status == "failed"
    assert entry.reason.startswith("pruned after")


def test_hyperparameters_that_cannot_be_trained_are_a_failed_trial_and_the_study_goes_on(history, tmp_path):
    space = {"environment.episode_bars": search.Dimension(choices=(96, 1_000_000))}
    asked = tuning(history, tmp_path, space=space, seeds=(1,), trials=6)
    assert work(asked) == 6
    found = results(asked)
    assert {trial.state for trial in found} == {"finished", "failed"}
    for trial in found:
        assert (trial.state == "failed") == (trial.values["environment.episode_bars"] == 1_000_000)
    reasons = [e.reason for e in Ledger(Path(asked.ledger)).entries() if e.status == "failed"]
    assert all("no episode of 1000000 decision bars fits" in reason for reason in reasons)


@pytest.fixture(scope="module")
def told(history, tmp_path_factory):
    """The command, its files, and what it printed as JSON."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "small.toml").write_text(search.as_toml(small()))
    (folder / "space.toml").write_text('[ppo]\n"ppo.learning_rate" = { low = 1e-3, high = 1e-2, log = true }\n')
    words = [
        "tune", "mine", "--instrument", BTC, "--start", "2023-12-01", "--end", "2024-02-01", "--algorithm", "ppo",
        "--trials", "2", "--catalog", str(history), "--hyperparameters", str(folder / "small.toml"),
        "--space", str(folder / "space.toml"), "--set", f"catalog.studies_path={folder / 'studies'}",
        "--set", f"catalog.ledger_path={folder / 'ledger.sqlite'}",
    ]  # fmt: skip
    return folder, words


def test_the_command_writes_hyperparameters_that_training_reads(told, capsys):
    folder, words = told
    assert cli.main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    best = hyperparameters.load(Path(found["hyperparameters"]))
    assert best == search.applied(small(), found["trials"][0]["values"])
    assert found["ledger_trials"] == len(found["trials"]) == 2
    assert (folder / "studies" / "tune.sqlite").exists()
    assert cli.main([*words, "--trials", "5"]) == 0
    printed = capsys.readouterr().out
    assert "mine: the best of 5 trials (5 finished, 0 pruned, 0 failed)" in printed
    assert "matters most: ppo.learning_rate 100%" in printed
    assert "the best of 5 validation figures flatters; all 5 trainings count in the ledger" in printed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--trials", "0"], "--trials is 0"),
        (["--seeds", "1", "1"], "give different seeds"),
        (["--storage", "nonsense"], "--storage nonsense: Could not parse"),
        (["--storage", "postgresql+nodriver://me:secret@127.0.0.1:1/x"], "nodriver"),
        (["--storage", "sqlite:////nowhere/at/all.sqlite"], "unable to open database file"),
        (["--seeds", "4"], "study mine was begun with other seeds"),
        (["--timesteps", "99"], "study mine was begun with other range, data, limits or other hyper-parameters"),
    ],
)
def test_bad_input_gets_one_line(told, capsys, change, said):
    _, words = told
    assert cli.main([*words, *change]) == 2
    found = capsys.readouterr().err
    assert said in found
    assert "secret" not in found
    assert found.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a2c]", "nothing to search for ppo"),
        ('[ppo]\n"ppo.gama" = { low = 0.1, high = 0.2 }', "ppo.gama is no hyper-parameter that ppo learns by"),
        ('[ppo]\n"a2c.gamma" = { low = 0.1, high = 0.2 }', "a2c.gamma is no hyper-parameter"),
        ('[ppo]\n"selection.checkpoints" = { low = 1, high = 2 }', "selection.checkpoints is no hyper-parameter"),
        ('[ppo]\n"ppo.gamma" = { low = 0.9, high = 1.5 }', "ppo.gamma may not be 1.5"),
        ('[ppo]\n"ppo.gamma" = { low = 0.9 }', "give a low below a high"),
        ('[ppo]\n"ppo.gamma" = { low = 0.0, high = 0.9, log = true }', "must be above 0"),
        ('[ppo]\n"ppo.gamma" = { low = 0.9, choices = [0.9] }', "choices stand alone"),
        ('[ppo]\n"ppo.gamma" = { lo = 0.9 }', "unknown field `lo`"),
        ("[ppo", "mend the file"),
    ],
)
def test_a_search_space_that_makes_no_sense_is_refused(tmp_path, text, said):
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        search.load("ppo", hyperparameters.load(), tmp_path / "space.toml")


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "qrdqn", "sac", "recurrent_ppo"])
def test_every_algorithm_has_a_search_space_around_its_hyperparameters(algorithm):
    base = hyperparameters.load()
    space = search.load(algorithm, base)
    for name, dimension in space.items():
        section, _, field = name.partition(".")
        value = getattr(getattr(base, section), field)
        if dimension.choices:
            assert value in [tuple(c) if isinstance(c, list) else c for c in dimension.choices]
        else:
            assert dimension.low <= value <= dimension.high


def test_hyperparameters_survive_being_written(tmp_path):
    (tmp_path / "h.toml").write_text(search.as_toml(small()))
    assert hyperparameters.load(tmp_path / "h.toml") == small()
