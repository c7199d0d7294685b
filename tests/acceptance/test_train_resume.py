"""A training that is killed goes on from its checkpoint to the very bytes of one that was not."""

import itertools
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import msgspec
import pytest

import cli
import configs
from adapters.ledger import Ledger
from adapters.model_store import MODEL
from core.errors import ArtifactError, RefusedError
from core.times import parse_time
from tests.unit.small_training import small_hyperparameters
from training import checkpoint, course
from training.job import Job, PrunedError, run_job
from training.judge import Judge

BTC = "BTCUSDT-PERP.BINANCE"
FIT = ("2023-12-01", "2024-01-20")
VALIDATION = ("2024-01-23", "2024-02-10")


def ns(times):
    return tuple(parse_time(time, "test") for time in times)


def job(history, folder, *, algorithm="ppo", steps=2_048, **changes):
    """A model of some seconds; ``folder`` holds the artifact and its checkpoint."""
    return Job(
        **{
            "config": configs.load("train"), "catalog": str(history), "instruments": (BTC,), "fit": ns(FIT),
            "validation": ns(VALIDATION), "test": None, "purge_bars": 288, "algorithm": algorithm, "seed": 3,
            "hyperparameters": small_hyperparameters(checkpoints=8, patience=8), "timesteps": steps,
            "warm_start": False, "out": str(folder / "model"), "checkpoint": str(folder / "checkpoint"), "log": None,
            "command": "test",
        } | changes
    )  # fmt: skip


def model_bytes(job):
    return (Path(job.out) / MODEL).read_bytes()


@pytest.fixture(scope="module")
def processes():
    """Processes that are forked from a fresh one: it has imported what they need, and never had a second thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.job"])
    return context


def killed_in_the_middle(processes, job):
    """Run a job in a process of its own, and kill that as soon as there is a checkpoint."""
    process = processes.Process(target=run_job, args=(job,))
    process.start()
    state = Path(job.checkpoint) / checkpoint.STATE
    while not state.exists():
        process.join(timeout=0.005)
        assert process.is_alive()
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not Path(job.out).exists()


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "recurrent_ppo"])
def test_a_killed_training_goes_on_to_the_same_bytes(history, tmp_path, processes, algorithm):
    whole = job(history, tmp_path / "whole", algorithm=algorithm)
    run_job(whole)
    killed = job(history, tmp_path / "killed", algorithm=algorithm)
    killed_in_the_middle(processes, killed)
    told = []
    manifest = run_job(killed, progress=lambda *fact: told.append(fact))
    assert 0 < told[0][0] < 2_048
    assert model_bytes(killed) == model_bytes(whole)
    assert manifest.training.timesteps == 2_048
    assert not Path(killed.checkpoint).exists()


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn", "qrdqn", "sac", "recurrent_ppo"])
def test_a_training_goes_on_from_any_rollout(history, tmp_path, monkeypatch, algorithm):
    """Interrupted twice, at rollouts that only time asked to be written down; the last weights are those exported."""
    scores = itertools.count()
    monkeypatch.setattr(Judge, "score", lambda *_: float(next(scores)))
    whole = job(history, tmp_path / "whole", algorithm=algorithm, steps=512)
    assert run_job(whole).training.chosen_timesteps == 512
    monkeypatch.setattr(course, "SAVE_SECONDS", 0.0)
    broken = job(history, tmp_path / "broken", algorithm=algorithm, steps=512)
    for stop in (90, 350):
        with pytest.raises(KeyboardInterrupt):
            run_job(broken, progress=interrupting(stop))
    assert run_job(broken).training.chosen_timesteps == 512
    assert model_bytes(broken) == model_bytes(whole)


def interrupting(stop):
    def progress(done, _wanted):
        if done >= stop:
            raise KeyboardInterrupt

    return progress


def test_a_training_that_had_lost_patience_ends_where_it_did(history, tmp_path, monkeypatch):
    impatient = {"hyperparameters": small_hyperparameters(checkpoints=8, patience=1)}
    whole = job(history, tmp_path / "whole", **impatient)
    manifest = run_job(whole)
    assert manifest.training.chosen_timesteps < manifest.training.timesteps < 2_048
    monkeypatch.setattr(course, "SAVE_SECONDS", 0.0)
    broken = job(history, tmp_path / "broken", **impatient)
    monkeypatch.setattr("training.job.export", interrupting_export)
    with pytest.raises(KeyboardInterrupt):
        run_job(broken)
    monkeypatch.undo()
    again = run_job(broken)
    assert again.training == msgspec.structs.replace(manifest.training)
    assert model_bytes(broken) == model_bytes(whole)


def interrupting_export(*_, **__):
    raise KeyboardInterrupt


def test_a_checkpoint_of_another_training_is_refused(history, tmp_path):
    mine = job(history, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_job(mine, progress=interrupting(1_000))
    other = job(history, tmp_path, seed=4)
    with pytest.raises(RefusedError, match=f"is of trial {mine.trial_id}, this is {other.trial_id}; remove it"):
        run_job(other)
    state = Path(mine.checkpoint) / checkpoint.STATE
    state.write_bytes(state.read_bytes()[:-1_000])
    with pytest.raises(RefusedError, match="is no checkpoint"):
        run_job(mine)


def test_a_job_that_is_done_is_done_once(history, tmp_path):
    mine = job(history, tmp_path, steps=64)
    manifest = run_job(mine)
    made = Path(mine.out).stat().st_mtime_ns
    told = []
    assert run_job(mine, progress=lambda *fact: told.append(fact)) == manifest
    assert not told
    assert Path(mine.out).stat().st_mtime_ns == made
    with pytest.raises(ArtifactError, match="an artifact never changes; remove it or choose another name"):
        run_job(job(history, tmp_path, steps=65))


def test_a_pruned_job_leaves_nothing_behind(history, tmp_path):
    mine = job(history, tmp_path)
    with pytest.raises(PrunedError, match="was ended by its caller after 256 decisions"):
        run_job(mine, judged=lambda *_: False)
    assert not Path(mine.out).exists()
    assert not Path(mine.checkpoint).exists()


def test_what_a_job_is_told_of_judgements_survives_a_restart(history, tmp_path):
    def run(given, progress=None):
        told = []
        run_job(given, progress=progress, judged=lambda *fact: told.append(fact) or True)
        return told

    whole = run(job(history, tmp_path / "whole"))
    broken = job(history, tmp_path / "broken")
    with pytest.raises(KeyboardInterrupt):
        run(broken, progress=interrupting(1_000))
    assert run(broken) == whole
    assert [timesteps for timesteps, _ in whole] == [256 * k for k in range(1, 9)]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"out": "elsewhere"}, True),
        ({"checkpoint": None}, True),
        ({"log": "logs"}, True),
        ({"command": "another"}, True),
        ({"config": configs.load("train", ["catalog.models_path=elsewhere"])}, True),
        ({"config": configs.load("train", ["costs.taker_bps=4"])}, False),
        ({"instruments": (BTC, "ETHUSDT-PERP.BINANCE")}, False),
        ({"fit": ns(("2023-12-02", FIT[1]))}, False),
        ({"validation": ns((VALIDATION[0], "2024-02-11"))}, False),
        ({"test": ns(("2024-02-12", "2024-03-01"))}, False),
        ({"purge_bars": 200}, False),
        ({"algorithm": "a2c"}, False),
        ({"seed": 4}, False),
        ({"timesteps": 999}, False),
        ({"warm_start": True}, False),
        ({"hyperparameters": small_hyperparameters(checkpoints=7)}, False),
    ],
)
def test_a_trial_is_named_by_all_that_determines_it_and_by_nothing_else(history, tmp_path, change, same):
    assert (job(history, tmp_path, **change).trial_id == job(history, tmp_path).trial_id) == same


def test_equal_data_elsewhere_is_the_same_trial_and_other_data_another(history, tmp_path):
    shutil.copytree(history, tmp_path / "copy")
    mine = job(history, tmp_path)
    assert job(tmp_path / "copy", tmp_path).trial_id == mine.trial_id
    shutil.copytree(history, tmp_path / "poorer")
    shutil.rmtree(tmp_path / "poorer" / "data" / "funding_rates" / BTC)
    assert job(tmp_path / "poorer", tmp_path).trial_id != mine.trial_id
    ppo = mine.hyperparameters.ppo
    replace = msgspec.structs.replace
    unused = replace(mine.hyperparameters, dqn=replace(mine.hyperparameters.dqn, gamma=0.5))
    assert job(history, tmp_path, hyperparameters=unused).trial_id == mine.trial_id
    spelled = job(history, tmp_path, timesteps=ppo.timesteps)
    assert spelled.trial_id == job(history, tmp_path, timesteps=None).trial_id
    assert spelled.candidate == job(history, tmp_path, timesteps=None, seed=9).candidate
    assert spelled.candidate != mine.candidate
    assert mine.candidate.startswith("ppo-")


def test_the_ledger_knows_of_every_attempt(history, tmp_path, monkeypatch):
    args = [
        "train", "--instrument", BTC, "--start", FIT[0], "--end", VALIDATION[1], "--algorithm", "a2c", "--seeds", "1",
        "--timesteps", "2000", "--catalog", str(history), "--out", str(tmp_path), "--json",
        "--set", f"catalog.ledger_path={tmp_path / 'ledger.sqlite'}",
    ]  # fmt: skip
    monkeypatch.setattr("training.job.export", interrupting_export)
    assert cli.main(args) == 130
    ledger = Ledger(tmp_path / "ledger.sqlite")
    (entry,) = ledger.entries()
    assert (entry.status, entry.reason, entry.purpose) == ("failed", "KeyboardInterrupt", "train")
    monkeypatch.undo()
    assert cli.main(args) == 0
    (entry,) = ledger.entries()
    assert (entry.status, entry.attempts, entry.seed, entry.instruments) == ("finished", 2, 1, (BTC,))
    assert {"validation_sharpe", "fit_sharpe"} <= set(entry.outcome)
    assert entry.parameters["a2c"]["gamma"] == 0.99
    assert cli.main(args) == 0
    assert ledger.entries() == (entry,)
