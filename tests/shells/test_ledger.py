"""The ledger of trials: what it keeps through kills, several processes and files that are no ledgers."""

import multiprocessing
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from adapters.ledger import Entry, Ledger
from core.errors import DataError

ROOT = Path(__file__).parents[2]


def entry(trial_id="a1", **changes):
    fields = {"purpose": "study", "candidate": "ppo-abc123", "algorithm": "ppo", "seed": 1, "study": "first", "fold": 2}
    given = {"instruments": ("BTCUSDT-PERP.BINANCE",), "parameters": {"gamma": 0.99, "layers": [64, 64]}}
    return Entry(trial_id=trial_id, **(fields | given | changes))


def test_a_trial_is_kept_as_it_was_begun_and_as_it_ended(tmp_path):
    ledger = Ledger(tmp_path / "deep" / "ledger.sqlite")
    begun = ledger.begin(entry())
    assert (begun.status, begun.attempts, begun.ended_ns, begun.outcome) == ("running", 1, None, {})
    ledger.finish("a1", {"test": {"sharpe": 0.1 + 0.2, "returns": [1e-17, -0.5]}, "win_rate": None})
    kept = Ledger(tmp_path / "deep" / "ledger.sqlite").entry("a1")
    expected = msgspec.structs.replace(
        begun,
        status="finished",
        ended_ns=kept.ended_ns,
        outcome={"test": {"sharpe": 0.30000000000000004, "returns": [1e-17, -0.5]}, "win_rate": None},
    )
    assert kept == expected
    assert kept.ended_ns >= kept.began_ns > 1_600_000_000_000_000_000
    assert ledger.entry("b2") is None


def test_a_trial_that_is_begun_again_is_another_attempt_and_never_another_row(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    first = ledger.begin(entry())
    ledger.begin(entry("b2"))
    ledger.fail("b2", "no bars\nof that range")
    second = ledger.begin(entry())
    third = ledger.begin(entry("b2"))
    assert (second.attempts, second.began_ns) == (2, first.began_ns)
    assert (third.attempts, third.status, third.reason) == (2, "running", "")
    ledger.fail("b2", "no bars\nof that range")
    assert [(e.trial_id, e.status, e.attempts, e.reason) for e in ledger.entries()] == [
        ("a1", "running", 2, ""),
        ("b2", "failed", 2, "no bars of that range"),
    ]


def test_a_finished_trial_cannot_be_begun_again(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    ledger.begin(entry())
    ledger.finish("a1", {"sharpe": 1.5})
    again = ledger.begin(entry(parameters={}))
    assert (again.status, again.attempts, again.outcome) == ("finished", 1, {"sharpe": 1.5})
    assert again.parameters == entry().parameters


def test_a_trial_ends_once(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite")
    with pytest.raises(ValueError, match="a1 is not running"):
        ledger.finish("a1", {})
    ledger.begin(entry())
    ledger.fail("a1", "worker died")
    with pytest.raises(ValueError, match="cannot be finished"):
        ledger.finish("a1", {})


KILLED = """
import os, signal, sqlite3, sys
from pathlib import Path
from adapters.ledger import Entry, Ledger

def entry(name):
    return Entry(trial_id=name, purpose="study", candidate="ppo", algorithm="ppo", seed=1)

ledger = Ledger(Path(sys.argv[1]))
ledger.begin(entry("whole"))
ledger.finish("whole", {"sharpe": 1.0})
ledger.begin(entry("cut"))
with ledger._transaction() as rows:
    rows.execute("UPDATE trials SET status = 'finished', outcome = ?", ('"' + "x" * 9_000_000 + '"',))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_the_middle_of_a_transaction_leaves_whole_rows(tmp_path):
    path = tmp_path / "ledger.sqlite"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert path.with_name("ledger.sqlite-journal").exists(), "it was killed with pages of the file overwritten"
    ledger = Ledger(path)
    assert [(e.trial_id, e.status, e.outcome) for e in ledger.entries()] == [
        ("whole", "finished", {"sharpe": 1.0}),
        ("cut", "running", {}),
    ]
    assert ledger.begin(entry("cut")).attempts == 2
    assert len(ledger.entries()) == 2


def write_many(path, worker):
    ledger = Ledger(Path(path))
    for number in range(25):
        ledger.begin(entry(f"{worker}-{number}"))
        ledger.begin(entry("shared"))
        ledger.finish(f"{worker}-{number}", {"worker": worker})


def test_processes_take_turns_and_lose_nothing(tmp_path):
    path = tmp_path / "ledger.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_many, args=(str(path), n)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    found = {e.trial_id: e for e in Ledger(path).entries()}
    assert len(found) == 76
    assert found.pop("shared").attempts == 75
    assert all(e.status == "finished" and e.attempts == 1 for e in found.values())


def foreign_database(path):
    with sqlite3.connect(path) as rows:
        rows.execute("CREATE TABLE orders (id INTEGER)")
    rows.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"no database at all " * 100), "is no ledger"),
        (foreign_database, "is a database, but no ledger of format 1"),
        (lambda path: path.mkdir(), "cannot be written"),
    ],
)
def test_a_file_that_is_no_ledger_is_refused_in_one_line_and_left_alone(tmp_path, spoil, said):
    path = tmp_path / "ledger.sqlite"
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(DataError, match=said) as caught:
        Ledger(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert before is None or path.read_bytes() == before


def test_a_ledger_that_another_process_holds_is_waited_for_and_then_refused(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    monkeypatch.setattr("adapters.ledger._PATIENCE_SECONDS", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DataError, match=f"{path.name} is held by another process"):
        ledger.begin(entry())
    holder.execute("ROLLBACK")
    holder.close()
    assert ledger.begin(entry()).attempts == 1
