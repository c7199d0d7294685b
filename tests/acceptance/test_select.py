"""Selection from the outside: the verdict on a study, what it rests on, and what may be promoted."""

import json
import math
import shutil

import msgspec
import numpy as np
import pandas as pd
import pytest

import cli
import run_study
from adapters.ledger import Entry, Ledger
from adapters.onnx_policy import OnnxEnsemble
from adapters.study_store import StudyStore
from configs import golden_rule
from core.features import feature_spec
from core.golden_rule import Profile
from core.selection import Selection
from tests.acceptance.tiny_study import BTC, entries, places

HOLDOUT = ("--holdout-start", "2024-01-31", "--holdout-end", "2024-02-10")


@pytest.fixture(autouse=True)
def passed_self_test(monkeypatch):
    """The self-test has tests of its own."""
    monkeypatch.setattr("training.self_test.require_passed", lambda path: None)


def select(root, *further, name="tiny", members="3"):
    return cli.main(["select", name, *places(root), "--members", members, *further])


def verdict(root) -> Selection:
    return msgspec.json.decode((root / "studies" / "tiny" / "selection.json").read_bytes(), type=Selection)


@pytest.fixture(scope="module")
def selected(tiny, tmp_path_factory):
    root = tmp_path_factory.mktemp("selected") / "copy"
    shutil.copytree(tiny, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.self_test.require_passed", lambda path: None)
        assert select(root) == 3
    return root


@pytest.fixture
def root(selected, tmp_path):
    """A copy of the study that a test may change."""
    shutil.copytree(selected, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def lenient(monkeypatch):
    """A profile that these models pass."""
    monkeypatch.setattr(golden_rule, "load", lambda name: Profile("lenient", {"max_drawdown": 0.9}))


def summaries(root, selection, multiple):
    (folder,) = (root / "studies" / "tiny" / "selection").iterdir()
    outs = [folder / f"fold-{fold.number}-x{multiple}" for fold in selection.folds]
    return [json.loads((out / "summary.json").read_text()) for out in outs], outs


def test_every_rule_is_judged_and_the_refused_study_is_told_so(root, capsys):
    assert select(root) == 3
    out = capsys.readouterr().out
    selection = verdict(root)
    limits = golden_rule.load("default").limits
    assert [rule.rule for rule in selection.rules] == list(limits)
    for rule in selection.rules:
        assert rule.limit == limits[rule.rule]
        assert f"│ {rule.rule} " in out
        kept = rule.value is not None and (
            rule.value >= rule.limit if rule.sense == "at_least" else rule.value <= rule.limit
        )
        assert rule.passed == kept
    failed = sum(not rule.passed for rule in selection.rules)
    assert not selection.passed
    assert f"FAIL: {failed} of {len(selection.rules)} rules" in out
    assert str(root / "studies" / "tiny" / "selection.html") in out
    page = (root / "studies" / "tiny" / "selection.html").read_text()
    assert all(member.model_id in page for member in selection.members)
    assert (selection.override, selection.holdout, selection.instruments) == ("", {}, (BTC,))


def test_the_figures_are_those_of_the_replays_put_one_after_the_other(selected):
    selection = verdict(selected)
    runs, outs = summaries(selected, selection, 1)
    figures = selection.figures
    assert figures["total_return"] == pytest.approx(math.prod(1 + run["total_return"] for run in runs) - 1, rel=1e-9)
    assert figures["fees"] == pytest.approx(sum(run["fees"] for run in runs), rel=1e-9)
    assert figures["round_trips"] == sum(run["round_trips"] for run in runs)
    assert figures["worst_fold_return"] == pytest.approx(min(run["total_return"] for run in runs), rel=1e-9)
    assert figures["profitable_folds"] == np.mean([run["total_return"] > 0 for run in runs])
    wins = sum(run["win_rate"] * run["round_trips"] for run in runs)
    assert figures["win_rate"] == pytest.approx(wins / figures["round_trips"], rel=1e-9)

    daily = []
    for out, fold in zip(outs, selection.folds, strict=True):
        marks = pd.read_parquet(out / "equity.parquet")
        curve = pd.Series(marks["equity"].astype(float).to_numpy(), pd.to_datetime(marks["ts_event"], utc=True))
        curve = pd.concat([pd.Series([10_000.0], [pd.Timestamp(fold.test[0])]), curve])
        daily.append(curve.resample("1D", closed="right", label="right").last().dropna().pct_change().dropna())
    returns = pd.concat(daily)
    assert len(returns) == returns.index.nunique() == 20
    assert figures["sharpe"] == pytest.approx(returns.mean() / returns.std() * np.sqrt(365), rel=1e-6)
    assert selection.overfitting.sharpe == pytest.approx(figures["sharpe"], rel=1e-9)


def test_costs_are_replayed_and_not_estimated(selected):
    selection = verdict(selected)
    for row, name in zip(selection.stress, ("0.5", "1", "2"), strict=True):
        runs, outs = summaries(selected, selection, name)
        assert row.multiple == float(name)
        assert row.total_return == pytest.approx(math.prod(1 + run["total_return"] for run in runs) - 1, rel=1e-9)
        costs = json.loads((outs[0] / "config.json").read_text())["config"]["costs"]
        assert costs["taker_bps"] == 5.0 * row.multiple
        assert costs["slippage_bps"] == 0.5 * row.multiple
        assert costs["latency_ms"] == 1
    assert selection.figures["double_cost_return"] == selection.stress[2].total_return


def test_each_fold_is_traded_by_models_of_that_fold_alone(selected):
    selection = verdict(selected)
    for fold, run in enumerate(summaries(selected, selection, 1)[0], start=1):
        assert len(run["model_ids"]) == 3
        assert all(name.endswith(f"-f{fold}") for name in run["model_ids"])
        assert not run["in_sample"]
        assert (run["start"], run["end"]) == selection.folds[fold - 1].test
    assert [member.model_id for member in selection.members] == run["model_ids"]
    table = np.array(selection.correlation)
    assert table.shape == (3, 3)
    assert selection.figures["member_correlation"] == pytest.approx(table[np.triu_indices(3, 1)].mean())


def test_every_trial_is_counted_the_abandoned_ones_and_the_ensembles_too(root):
    before = verdict(root).overfitting
    assert (before.trials, before.abandoned) == (4 + 1, 0)
    assert len(before.trial_sharpes) == 4
    ledger = Ledger(root / "ledger.sqlite")
    lost = Entry(trial_id="lost", purpose="tune", candidate="ppo-1", algorithm="ppo", seed=9, instruments=(BTC,))
    ledger.begin(lost)
    ledger.begin(msgspec.structs.replace(lost, trial_id="other", instruments=("XRPUSDT-PERP.BINANCE",)))
    assert select(root) == 3
    after = verdict(root).overfitting
    assert (after.trials, after.abandoned) == (6, 1)
    assert after.expected_max_sharpe > before.expected_max_sharpe
    assert after.deflated_sharpe < before.deflated_sharpe
    assert select(root, members="2") == 3
    assert verdict(root).overfitting.trials == 7, "another ensemble is another trial"


def test_no_test_range_is_replayed_for_the_same_ensemble_twice(root, monkeypatch):
    before, ledger = verdict(root), entries(root)

    def never(_):
        raise AssertionError("the test range was looked at twice")

    monkeypatch.setattr(run_study, "run_backtest", never)
    assert select(root) == 3
    assert msgspec.structs.replace(verdict(root), created=before.created) == before
    assert entries(root) == ledger


def test_what_fails_is_promoted_only_by_an_override_that_is_recorded(root, capsys):
    assert select(root, "--promote", "first") == 3
    assert "not promoted: a rule failed; --override REASON" in capsys.readouterr().err
    assert not (root / "models").exists()

    reason = "to see <how> it trades on paper"
    assert select(root, "--promote", "first", "--override", reason, *HOLDOUT) == 0
    assert f"promoted by override: {reason}" in capsys.readouterr().out
    selection = verdict(root)
    assert (selection.passed, selection.override) == (False, reason)
    assert "to see &lt;how&gt; it trades" in (root / "studies" / "tiny" / "selection.html").read_text()
    assert (selection.holdout["start"], selection.holdout["end"]) == ("2024-01-31T00:00:00Z", "2024-02-10T00:00:00Z")

    models = sorted((root / "models").iterdir())
    assert len(models) == 3
    ensemble = OnnxEnsemble.load(models, spec=feature_spec())
    assert sorted(ensemble.model_hashes) == sorted(member.sha256 for member in selection.members)
    for model in models:
        promotion = json.loads((model / "promotion.json").read_text())
        assert (promotion["override"], promotion["passed"], promotion["study"]) == (reason, False, "tiny")
        assert sorted(promotion["models"]) == [path.name for path in models]
        assert promotion["holdout"] == selection.holdout
        assert len(promotion["rules"]) == len(selection.rules)
    (row,) = (e for e in entries(root) if e.parameters.get("part") == "promotion")
    assert row.outcome == {"passed": False, "override": reason}

    assert select(root, "--promote", "first", "--override", reason) == 3
    assert "exists and an artifact never changes" in capsys.readouterr().err


def test_what_passes_is_promoted_without_a_word(root, lenient, capsys):
    assert select(root, "--promote", "good") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "PASS"
    assert len(list((root / "models").glob("good-*/promotion.json"))) == 3
    assert (verdict(root).passed, verdict(root).override) == (True, "")


def test_the_holdout_is_looked_at_once(root, lenient, capsys):
    def shown(name, start, end, members="3"):
        return select(root, "--promote", name, "--holdout-start", start, "--holdout-end", end, members=members)

    assert shown("one", "2024-01-30T23:45", "2024-02-10") == 3
    assert "what the study has seen is no holdout" in capsys.readouterr().err
    assert shown("one", "2024-02-10", "2024-02-10") == 2
    assert shown("one", "2024-01-31", "2024-02-10") == 0
    (seen,) = (e for e in entries(root) if e.parameters.get("part") == "holdout")
    assert verdict(root).holdout["total_return"] == pytest.approx(seen.outcome["total_return"], rel=1e-9)
    capsys.readouterr()
    for changed in (("2024-01-31", "2024-02-20", "3"), ("2024-01-31", "2024-02-10", "2")):
        assert shown("two", *changed) == 3
        refused = capsys.readouterr().err
        assert "a second look is a choice" in refused
        assert refused.count("\n") == 1
    assert not list((root / "models").glob("two-*"))
    assert select(root) == 0
    assert verdict(root).holdout["end"] == "2024-02-10T00:00:00Z", "once shown it stays in the report"


def test_json_is_the_verdict_itself(root, capsys):
    assert select(root, "--json") == 3
    told = msgspec.json.decode(capsys.readouterr().out, type=Selection)
    assert told == verdict(root)


def test_nothing_is_selected_before_the_self_test_has_passed(root, monkeypatch, capsys):
    monkeypatch.undo()
    before = entries(root)
    assert select(root) == 3
    refused = capsys.readouterr().err
    assert str(root / "studies" / "self_test.json") in refused
    assert refused.count("\n") == 1
    assert entries(root) == before


def test_a_study_with_a_hole_is_refused(root, capsys):
    store = StudyStore(root / "studies", "tiny")
    import sqlite3

    with sqlite3.connect(root / "ledger.sqlite") as rows:
        rows.execute("UPDATE trials SET status = 'running' WHERE fold = 2 AND purpose = 'study'")
    rows.close()
    assert select(root) == 3
    assert "has no seed with a finished trial in each of its 2 folds" in capsys.readouterr().err
    store.record_path.write_text("{}")
    assert select(root) == 1
    assert "is no record of a study" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("further", "code", "said"),
    [
        (("--members", "0"), 2, "--members is 0"),
        (("--members", "1"), 2, "1 members never reach the quorum of 2"),
        (("--profile", "dream"), 2, 'no profile "dream"'),
        (("--override", "because"), 2, "--override goes with --promote"),
        (("--holdout-start", "2024-02-01"), 2, "--holdout-start goes with --promote"),
        (("--promote", "x", "--holdout-start", "2024-02-01"), 2, "go together"),
        (("--promote", "a/b"), 2, "is no plain name"),
        (("--env", "mars"), 2, "mars"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(root, capsys, further, code, said):
    assert select(root, *further) == code
    refused = capsys.readouterr().err
    assert said in refused
    assert refused.count("\n") == 1


def test_a_study_that_is_not_there_is_one_line(root, capsys):
    assert select(root, name="absent") == 1
    assert "no study 'absent'" in capsys.readouterr().err
