"""A study from the outside: its folds, its trials, its ledger, and what it refuses."""

import json

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest

import run_study
from adapters.model_store import load_manifest
from adapters.study_store import StudyStore
from core.times import parse_time
from run_backtest import run_backtest
from tests.acceptance.tiny_study import BTC, command, entries, study, told, words

DAY = 86_400_000_000_000


@pytest.fixture(scope="module")
def record(tiny):
    return StudyStore(tiny / "studies", "tiny").load()


def test_every_fold_seed_and_algorithm_is_one_finished_trial(tiny, record):
    found = entries(tiny)
    assert {(e.algorithm, e.seed, e.fold) for e in found} == {
        (algorithm, seed, fold) for algorithm in ("ppo", "a2c") for seed in (1, 2) for fold in (1, 2)
    }
    assert len(found) == 8
    assert {(e.purpose, e.study, e.status, e.attempts, e.instruments) for e in found} == {
        ("study", "tiny", "finished", 1, (BTC,))
    }
    assert len({e.candidate for e in found}) == 2
    assert len({e.outcome["sha256"] for e in found}) == 8
    assert len(record.folds) == 2


def test_the_folds_leave_the_purge_out_and_test_each_day_once(record):
    purge = 48 * 15 * 60 * 1_000_000_000
    tests = []
    for fold in record.folds:
        (fit, fit_end), (validation, validation_end), (test, test_end) = (
            [parse_time(text, "fold") for text in part] for part in (fold.fit, fold.validation, fold.test)
        )
        assert (fit_end - fit, validation_end - validation, test_end - test) == (30 * DAY, 10 * DAY, 10 * DAY)
        assert (validation - fit_end, test - validation_end) == (purge, purge)
        tests.append((test, test_end))
    assert tests[0][1] == tests[1][0]


def test_a_trial_s_artifact_and_replays_are_those_that_the_ledger_tells(tiny):
    store = StudyStore(tiny / "studies", "tiny")
    for entry in entries(tiny):
        name = entry.parameters["name"]
        manifest = load_manifest(store.model(name))
        fold = store.load().folds[entry.fold - 1]
        training = manifest.training
        assert manifest.sha256 == entry.outcome["sha256"]
        assert (training.start, training.fit_end) == fold.fit
        assert (training.validation_start, training.end) == fold.validation
        assert (training.test_start, training.test_end) == fold.test
        assert training.purge_bars == 48
        assert (training.candidate, training.seed) == (entry.candidate, entry.seed)
        for part in ("validation", "test"):
            out = store.replay(name, part)
            summary = json.loads((out / "summary.json").read_text())
            assert (summary["start"], summary["end"]) == getattr(fold, part)
            assert summary["model_hashes"] == [manifest.sha256]
            assert entry.outcome[part] == {key: summary[key] for key in run_study.FIGURES}
            assert not (out / "report.html").exists()
            config = json.loads((out / "config.json").read_text())["config"]
            assert config["ensemble"]["quorum"] == 1
            closes = np.asarray(pq.read_table(out / "decisions.parquet", columns=["ts_event"])["ts_event"])
            start, end = (parse_time(text, part) for text in getattr(fold, part))
            assert start < closes.min() <= closes.max() <= end


def test_the_record_holds_the_whole_question(tiny, record):
    assert record.command.startswith(f"autotrade study tiny --instrument {BTC} --start 2023-12-01 --end 2024-01-31")
    assert "--purge-bars" not in record.command
    assert (record.purge_bars, record.algorithms, record.seeds, record.timesteps) == (48, ("ppo", "a2c"), (1, 2), 4000)
    assert record.hyperparameters["ppo"]["gamma"] == 0.99
    assert record.config.exits.max_holding_bars == 48
    assert {"torch", "numpy"} <= set(record.versions)
    assert len(record.data_hash) == 64


def test_a_finished_study_is_never_trained_or_replayed_again(history, tiny, monkeypatch, capsys):
    before = entries(tiny)

    def never(*_, **__):
        raise AssertionError("the test range was looked at twice")

    monkeypatch.setattr(run_study, "run_job", never)
    monkeypatch.setattr(run_study, "run_backtest", never)
    assert study(history, tiny, "--backend", "serial", "--json") == 0
    assert [trial["trial_id"] for trial in told(capsys.readouterr().out)["trials"]] == [e.trial_id for e in before]
    assert entries(tiny) == before


def test_a_replay_that_ended_before_a_kill_is_taken_as_it_is(tiny, record, monkeypatch):
    from run_backtest import Replay

    store = StudyStore(tiny / "studies", "tiny")
    name = entries(tiny)[0].parameters["name"]
    replay = Replay(
        config=record.config, catalog=tiny, instruments=record.instruments, out=store.replay(name, "test"),
        start_ns=parse_time(record.folds[0].test[0], "x"), end_ns=parse_time(record.folds[0].test[1], "x"),
        models=(store.model(name),),
    )  # fmt: skip
    calls = []
    monkeypatch.setattr(run_study, "run_backtest", lambda replay: calls.append(replay) or {})
    assert run_study.replay_once(replay)["fills_sha256"] == entries(tiny)[0].outcome["test"]["fills_sha256"]
    assert calls == []
    run_study.replay_once(msgspec.structs.replace(replay, end_ns=replay.end_ns + DAY))
    run_study.replay_once(msgspec.structs.replace(replay, models=(store.model(entries(tiny)[1].parameters["name"]),)))
    assert len(calls) == 2, "another range or another model is another replay"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"timesteps": "5000"}, "timesteps was 4000 and is 5000"),
        ({"seeds": ("1", "3")}, "seeds was [1,2] and is [1,3]"),
        ({"test": "9d"}, "test_days was 10.0 and is 9.0"),
        ({"set": "risk.loss_per_trade=0.02"}, "risk.loss_per_trade was 0.01 and is 0.02"),
    ],
)
def test_another_question_under_the_same_name_is_refused_with_what_differs(history, tiny, capsys, change, said):
    before = entries(tiny)
    assert study(history, tiny, "--backend", "serial", **change) == 3
    refused = capsys.readouterr().err
    assert said in refused
    assert refused.count("\n") == 1
    assert entries(tiny) == before


def test_a_study_whose_directory_is_gone_is_not_tested_again(history, tiny, tmp_path, capsys):
    assert study(history, tiny, "--backend", "serial", "--set", f"catalog.studies_path={tmp_path}") == 1
    refused = capsys.readouterr().err
    assert "its test was seen and is not repeated" in refused
    assert refused.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"purge_bars": "47"}, 2, "--purge-bars is 47, below exits.max_holding_bars 48"),
        ({"fit": "1y"}, 2, "--fit is '1y': give a whole number of hours, days or weeks"),
        ({"fit": "300d"}, 2, "give a longer range or shorter parts"),
        ({"end": "2023-12-01"}, 2, "is empty"),
        ({"start": "soon"}, 2, "--start is 'soon'"),
        ({"embargo_bars": "-1"}, 2, "--embargo-bars is -1"),
        ({"timesteps": "0"}, 2, "--timesteps is 0"),
        ({"workers": "0"}, 2, "--workers is 0"),
        ({"seeds": ("1", "1")}, 2, "give different seeds"),
        ({"algorithms": ("ppo", "ppo")}, 2, "give each once"),
        ({"algorithms": ("magic",)}, 2, "invalid choice: 'magic'"),
        ({"name": "../up"}, 2, "study '../up': a name has letters"),
        ({"ray_address": "localhost:1"}, 2, "--ray-address localhost:1 goes with --backend ray"),
        ({"instrument": "XRPUSDT-PERP.BINANCE"}, 1, "XRPUSDT-PERP.BINANCE"),
        ({"start": "2030-01-01", "end": "2030-06-01"}, 1, "2030-01-01"),
        ({"set": "catalog.ledger_path=/dev/null"}, 1, "/dev/null"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code_and_leaves_nothing(history, tmp_path, capsys, change, code, said):
    further = ("--backend", "joblib")
    assert study(history, tmp_path, *further, **change) == code
    refused = capsys.readouterr().err
    assert said in refused
    assert refused.count("\n") == 1
    assert not (tmp_path / "studies").exists()


def test_what_fails_is_told_and_the_others_go_on(history, tmp_path, capsys):
    args = {"start": "2023-11-01", "fit": "8d", "validation": "6d", "test": "6d", "end": "2023-11-28"}
    assert study(history, tmp_path, "--backend", "serial", algorithms=("ppo",), seeds=("1",), **args) == 1
    out = capsys.readouterr()
    assert [(e.fold, e.status) for e in entries(tmp_path)] == [(1, "failed"), (2, "failed")]
    assert "2 of 2 trials failed" in out.err
    assert "FAILED" in out.err
    assert entries(tmp_path)[0].reason in out.err


def test_two_processes_cannot_run_one_study(history, tiny, capsys):
    from adapters.study_store import alone

    with alone(tiny / "studies" / "tiny" / ".lock"):
        assert study(history, tiny, "--backend", "serial") == 3
    assert "another process is at work in" in capsys.readouterr().err


def test_the_command_of_the_record_asks_the_same_again(history, tiny, record):
    import shlex

    again = shlex.split(record.command)[1:]
    assert set(again) <= set(words(history, tiny)) | {"--embargo-bars", "0", "--env", "train"}
    assert command(history, tiny)[3:5] == ["study", "tiny"]
    assert run_backtest is run_study.run_backtest
