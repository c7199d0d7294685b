"""What was seen already: by a study of the same name, by a tuning, by another study, by a run that was cut short."""

import json
import shutil
import sqlite3

import msgspec
import pytest

import cli
from adapters.ledger import Entry, Ledger
from adapters.study_store import StudyStore
from configs import golden_rule
from core.golden_rule import Profile
from core.selection import Selection
from tests.acceptance.tiny_study import BTC, entries, places, study

HOLDOUT = ("--holdout-start", "2024-01-31", "--holdout-end", "2024-02-10")
TUNED = {"ppo.gamma": 0.99}
"""As the program's own hyper-parameters have it."""


@pytest.fixture(autouse=True)
def passed_self_test(monkeypatch):
    monkeypatch.setattr("training.self_test.require_passed", lambda path: None)


@pytest.fixture
def root(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setattr(golden_rule, "load", lambda name: Profile("lenient", {"max_drawdown": 0.9}))


def select(root, *further):
    return cli.main(["select", "tiny", *places(root), "--members", "3", *further])


def verdict(root) -> Selection:
    return msgspec.json.decode((root / "studies" / "tiny" / "selection.json").read_bytes(), type=Selection)


def refused(capsys):
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


def test_a_deleted_study_s_name_is_not_given_to_another_question(history, root, capsys):
    before = entries(root)
    shutil.rmtree(root / "studies" / "tiny")
    assert study(history, root, "--backend", "serial", "--set", "sizing.max_exposure=0.4") == 3
    assert "the ledger knows 8 trials of another study of this name" in refused(capsys)
    assert not (root / "studies" / "tiny").exists()
    assert entries(root) == before


def tuning(root, start, end, **changes):
    fields = {"trial_id": "t", "purpose": "tune", "candidate": "ppo-1", "algorithm": "ppo", "seed": 1, "study": "mine"}
    fields |= {"instruments": (BTC,), "parameters": {"trial": 0, "span": [start, end], **TUNED}}
    Ledger(root / "ledger.sqlite").begin(Entry(**(fields | changes)))


def test_hyperparameters_that_were_tuned_on_a_test_range_are_no_study_s(history, tmp_path, capsys):
    tuning(tmp_path, "2023-11-01T00:00:00Z", "2024-01-20T00:00:00Z")
    assert study(history, tmp_path, "--backend", "serial", "--json") == 3
    said = refused(capsys)
    assert "tuned by mine on 2023-11-01T00:00:00Z to 2024-01-20T00:00:00Z" in said
    assert "the first test begins on 2024-01-11T00:00:00Z" in said
    assert not (tmp_path / "studies" / "tiny").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"trial": 0, "span": ["2023-11-01T00:00:00Z", "2024-01-11T00:00:00Z"], **TUNED}},
        {"parameters": {"trial": 0, "span": ["2023-11-01T00:00:00Z", "2024-01-20T00:00:00Z"], "ppo.gamma": 0.5}},
        {"parameters": {"trial": 0, **TUNED}},
        {"instruments": ("XRPUSDT-PERP.BINANCE",)},
        {"algorithm": "sac"},
    ],
)
def test_a_tuning_of_the_past_or_of_something_else_is_no_second_look(tmp_path, changes):
    from training.looks import check_tuned

    tuning(tmp_path, "2023-11-01T00:00:00Z", "2024-01-20T00:00:00Z", **changes)
    check_tuned(asked(), entries(tmp_path))


def asked():
    """Return as much of a study's record as the check of its tunings reads."""
    from types import SimpleNamespace

    fold = SimpleNamespace(test=("2024-01-11T00:00:00Z", "2024-01-21T00:00:00Z"))
    own = {"ppo": {"gamma": 0.99}}
    return SimpleNamespace(name="s", folds=(fold,), instruments=(BTC,), algorithms=("ppo",), hyperparameters=own)


def test_a_holdout_that_another_study_was_tested_on_is_none(root, lenient, capsys):
    parameters = {"part": "holdout", "span": ["2024-02-05T00:00:00Z", "2024-03-01T00:00:00Z"]}
    other = Entry(
        trial_id="other", purpose="ensemble", study="elder", candidate="ensemble-1", algorithm="ensemble", seed=0,
        instruments=(BTC,), parameters=parameters,
    )  # fmt: skip
    Ledger(root / "ledger.sqlite").begin(other)
    assert select(root, "--promote", "one", *HOLDOUT) == 3
    assert "of study 'elder' was tested on 2024-02-05T00:00:00Z to 2024-03-01T00:00:00Z" in refused(capsys)
    assert not (root / "models").exists()
    assert not [e for e in entries(root) if e.parameters.get("part") == "holdout" and e.study == "tiny"]


def test_the_ledger_tells_the_test_range_of_every_trial(tiny):
    folds = StudyStore(tiny / "studies", "tiny").load().folds
    for entry in entries(tiny):
        assert tuple(entry.parameters["span"]) == folds[entry.fold - 1].test


def test_a_study_is_not_judged_before_its_last_trial_has_ended(root, capsys):
    with sqlite3.connect(root / "ledger.sqlite") as rows:
        rows.execute("DELETE FROM trials WHERE fold = 2 AND seed = 2 AND algorithm = 'a2c'")
    rows.close()
    assert select(root) == 3
    assert "1 of 8 trials of study 'tiny' have not ended" in refused(capsys)
    assert not (root / "studies" / "tiny" / "selection.json").exists()


def test_a_study_whose_data_has_changed_since_is_not_judged_on_the_new(history, root, tmp_path, capsys):
    changed = tmp_path / "changed"
    shutil.copytree(history, changed)
    files = sorted(changed.rglob("*.parquet"))
    for path in files:
        if "funding" in str(path).lower() and "BTCUSDT" in str(path):
            shutil.rmtree(path.parent)
            break
    else:
        raise AssertionError(files)
    assert select(root, "--catalog", str(changed)) == 3
    assert "holds other data from 2023-12-01T00:00:00Z to 2024-01-31T00:00:00Z" in refused(capsys)
    assert len(entries(root)) == 8


def test_a_promotion_that_was_cut_short_is_completed_by_the_same_command(root, lenient, monkeypatch, capsys):
    from pathlib import Path

    rename, done = Path.rename, []

    def cut(path, target):
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(target)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", cut)
        assert select(root, "--promote", "good") == 130
    assert len(list((root / "models").glob("good-*"))) == 1
    capsys.readouterr()
    assert select(root, "--promote", "good", "--json") == 0
    told = [json.loads(path.read_text()) for path in (root / "models").glob("good-*/promotion.json")]
    assert len(told) == 3
    rows = [e for e in entries(root) if e.parameters.get("part") == "promotion"]
    assert [(row.status, row.attempts) for row in rows] == [("finished", 2)]
    assert verdict(root).overfitting.abandoned == 0
    assert select(root, "--promote", "good") == 3
    assert "exists and an artifact never changes" in capsys.readouterr().err


def test_a_promotion_that_was_cut_short_before_it_was_written_down_is_written_down(root, lenient, monkeypatch):
    def cut(*_):
        raise KeyboardInterrupt

    finish = Ledger.finish
    with monkeypatch.context() as patch:
        patch.setattr(
            Ledger, "finish", lambda self, i, outcome: cut() if "override" in outcome else finish(self, i, outcome)
        )
        assert select(root, "--promote", "good") == 130
    assert len(list((root / "models").glob("good-*"))) == 3
    assert select(root, "--promote", "good") == 0
    assert [e.status for e in entries(root) if e.parameters.get("part") == "promotion"] == ["finished"]


def test_an_override_stays_in_the_report(root):
    assert select(root, "--promote", "first", "--override", "to see it") == 0
    assert select(root) == 3
    assert verdict(root).override == "to see it"
    assert "to see it" in (root / "studies" / "tiny" / "selection.html").read_text()
