"""Tasks over processes and over a cluster: equal results, and workers that die."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import DataError, UsageError
from training import fan_out
from training.fan_out import ATTEMPTS, map_jobs

ROOT = Path(__file__).parents[2]

FUNCTIONS = '''
import os
import signal
import time
from pathlib import Path


def square(task):
    if task == 5:
        raise ValueError("five\\nis refused")
    return task * task, os.environ.get("OMP_NUM_THREADS"), os.getpid()


def die_while_marked(task):
    """Kill this very worker as long as there are marks to be used up."""
    number, marks = task
    for mark in sorted(Path(marks).glob(f"{number}-*")):
        mark.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)
'''


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module that workers import by its name."""
    (tmp_path / "fanned.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "fanned", raising=False)
    import fanned

    return fanned


def marks(folder, counts):
    folder.mkdir()
    for number, count in counts.items():
        for i in range(count):
            (folder / f"{number}-{i}").touch()
    return str(folder)


def outcome(done):
    return {d.task: (None if d.result is None else d.result[0], d.error) for d in done}


EXPECTED = {n: (n * n, "") for n in range(8) if n != 5} | {5: (None, "ValueError: five is refused")}


@pytest.mark.parametrize("backend", ["serial", "joblib"])
def test_a_backend_returns_every_result_and_every_error(functions, backend):
    done = list(map_jobs(functions.square, range(8), backend=backend, workers=2))
    assert outcome(done) == EXPECTED
    if backend == "joblib":
        assert {d.result[1] for d in done if d.result} == {"1"}, "workers compute with one thread"
        assert os.getpid() not in {d.result[2] for d in done if d.result}


def test_a_task_is_taken_only_when_a_worker_is_free_for_it(functions):
    taken = []

    def tasks():
        for number in range(4):
            taken.append(number)
            yield number

    running = map_jobs(functions.square, tasks(), backend="joblib", workers=2)
    for ended, _ in enumerate(running):
        assert len(taken) <= ended + 2 + 1
    assert taken == [0, 1, 2, 3]


def test_the_task_of_a_worker_that_dies_is_begun_again(functions, tmp_path):
    folder = marks(tmp_path / "marks", {1: 1, 3: 1})  # one may see the other's death beside its own: two, of three
    done = list(map_jobs(functions.die_while_marked, [(n, folder) for n in range(5)], backend="joblib", workers=2))
    assert sorted(d.result[0] for d in done) == [0, 1, 4, 9, 16]
    assert list(Path(folder).iterdir()) == []


def test_tasks_that_always_kill_their_workers_are_given_up_and_take_no_other_with_them(functions, tmp_path):
    folder = marks(tmp_path / "marks", {1: 99, 3: 99})
    done = list(map_jobs(functions.die_while_marked, [(n, folder) for n in range(5)], backend="joblib", workers=2))
    lost = [d for d in done if d.error]
    assert sorted(d.task[0] for d in lost) == [1, 3]
    assert all(f"died {ATTEMPTS} times" in d.error for d in lost)
    assert sorted(d.result[0] for d in done if not d.error) == [0, 4, 16]
    left = len(list(Path(folder).iterdir()))
    assert 2 * (99 - ATTEMPTS) <= left <= 2 * (99 - ATTEMPTS) + 1, "what one did may be counted against both"


def test_an_error_for_people_arrives_as_it_is():
    def refuse(task):
        raise DataError("no bars\nin that range; import some")

    (done,) = map_jobs(refuse, ["x"])
    assert done.error == "no bars in that range; import some"


ORPHAN = """
import os, sys, time
from training.fan_out import map_jobs
import fanned_sleep
next(map_jobs(fanned_sleep.sleep, [sys.argv[1]], backend="joblib", workers=1))
"""
SLEEP = """
import os, time
from pathlib import Path
def sleep(path):
    Path(path).write_text(f"{os.getpid()} {os.getppid()}")
    os.kill(os.getppid(), 9)
    time.sleep(120)
"""


def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    (tmp_path / "fanned_sleep.py").write_text(SLEEP)
    pids = tmp_path / "pids"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    driver = subprocess.Popen([sys.executable, "-c", ORPHAN, str(pids)], env=environment, stderr=subprocess.DEVNULL)
    assert driver.wait(60) == -9
    worker, parent = map(int, pids.read_text().split())
    assert parent == driver.pid
    ended = subprocess.run(["tail", "--pid", str(worker), "-f", "/dev/null"], timeout=20, check=False)
    assert ended.returncode == 0


RAY = """
import json, sys
import fanned
from training.fan_out import map_jobs
tasks = [(number, sys.argv[1]) for number in range(8)]
done = map_jobs(fanned.die_while_marked, tasks, backend="ray", workers=2)
print(json.dumps([(d.task[0], d.result and d.result[:2], d.error) for d in done]))
"""


def test_ray_gives_the_same_and_begins_the_task_of_a_killed_worker_again(functions, tmp_path):
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    folder = marks(tmp_path / "marks", {1: 1, 2: 99})
    for _ in range(2):  # Ray gives its own start half a minute, which a busy machine may not keep
        ran = subprocess.run(
            [sys.executable, "-c", RAY, folder],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
            capture_output=True, text=True, check=False, timeout=180,
        )  # fmt: skip
        if "timed out during startup" not in ran.stderr:
            break
    assert ran.returncode == 0, ran.stderr[-3000:]
    done = json.loads(ran.stdout.splitlines()[-1])
    ended = {number: (result and result[0], error) for number, result, error in done}
    lost, error = ended.pop(2)
    assert ended == {number: expected for number, expected in EXPECTED.items() if number != 2}
    assert (lost, f"died {ATTEMPTS} times" in error) == (None, True)
    assert {result[1] for _, result, _ in done if result} == {"1"}, "workers compute with one thread"
    assert len(list(Path(folder).iterdir())) == 99 - ATTEMPTS, "begun again no more often than that"


def test_ray_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="uv sync --extra train --extra cluster"):
        list(map_jobs(fan_out._call, [], backend="ray"))
