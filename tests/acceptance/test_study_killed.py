"""A study that is interrupted and killed comes to the same as one that was left alone."""

import os
import signal
import subprocess

import pytest

from adapters.model_store import MODEL
from adapters.study_store import StudyStore
from tests.acceptance.tiny_study import ROOT, command, entries, study

SMALL = {"algorithms": ("ppo",), "seeds": ("1", "2")}
"""Four trials."""


def results(root):
    """Return everything of a study's finished trials that must not depend on how it was run."""
    store = StudyStore(root / "studies", "tiny")
    return {
        e.parameters["name"]: (
            e.trial_id, e.candidate, e.seed, e.fold, e.status, e.parameters["hyperparameters"],
            {key: value for key, value in e.outcome.items() if key != "seconds"},
            (store.model(e.parameters["name"]) / MODEL).read_bytes(),
        )
        for e in entries(root)
        if e.status == "finished"
    }  # fmt: skip


def begun(history, root):
    """Start a study in a process group of its own."""
    return subprocess.Popen(
        command(history, root, "--backend", "joblib", "--workers", "2", **SMALL), cwd=ROOT, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def ended(process, count):
    """Read a study's lines until so many trials have ended in this run."""
    lines = [process.stderr.readline() for _ in range(count)]
    assert all(" test " in line for line in lines), lines


@pytest.fixture(scope="module")
def undisturbed(tiny):
    return {name: result for name, result in results(tiny).items() if name.startswith("ppo-")}


def test_a_study_killed_in_the_middle_goes_on_and_equals_the_uninterrupted_one(history, tmp_path, undisturbed):
    with begun(history, tmp_path) as driver:
        ended(driver, 1)
        driver.kill()
        assert driver.wait(30) == -signal.SIGKILL
    left = entries(tmp_path)
    assert 2 <= len(left) <= 4
    assert sum(e.status == "finished" for e in left) >= 1
    abandoned = [e.trial_id for e in left if e.status == "running"]
    assert abandoned, "the kill came while a trial was under way"

    assert study(history, tmp_path, "--backend", "serial", "--json", **SMALL) == 0
    assert results(tmp_path) == undisturbed
    attempts = {e.trial_id: e.attempts for e in entries(tmp_path)}
    assert attempts == {name: 2 if name in abandoned else 1 for name in attempts}
    assert not any((tmp_path / "studies" / "tiny" / "checkpoints").glob("*/*"))


def test_ctrl_c_ends_a_study_in_one_line_and_loses_nothing(history, tmp_path, undisturbed):
    with begun(history, tmp_path) as driver:
        ended(driver, 1)
        os.killpg(driver.pid, signal.SIGINT)  # as a terminal does: to the driver and to its workers
        said = driver.stderr.read()
        assert driver.wait(30) == 130
    lines = said.splitlines()
    assert lines[-1] == "autotrade: interrupted"
    assert all("Traceback" not in line for line in lines)
    done = [e for e in entries(tmp_path) if e.status == "finished"]
    assert {e.status for e in entries(tmp_path)} <= {"finished", "running"}
    assert 1 <= len(done) < 4
    assert all(results(tmp_path)[e.parameters["name"]] == undisturbed[e.parameters["name"]] for e in done)
