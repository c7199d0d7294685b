"""The ledger: one row for every trial ever begun, whatever became of it (SQLite, one file).

Selection is only as honest as the number of trials it knows of. A trial is therefore written down before it begins;
what ends it is written over that row. A trial that was killed stays ``running``: it is abandoned, and it counts.

Theory of operation. Every call is one immediate transaction with a rollback journal and full synchronisation, so that
a kill at any moment leaves whole rows, and processes of one machine take turns. No connection is kept between calls.
"""

import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from core.errors import AutotradeError, DataError

__all__ = ["Entry", "Ledger", "Purpose", "Status"]

type Purpose = Literal["train", "study", "tune", "self_test", "ensemble"]
type Status = Literal["running", "finished", "failed"]

_APPLICATION = 0x6175746F  # "auto"
_FORMAT = 1
_MARKS = ("application_id", "user_version")
_PATIENCE_SECONDS = 30.0
_TABLE = """
CREATE TABLE IF NOT EXISTS trials (
    trial_id    TEXT    PRIMARY KEY,
    purpose     TEXT    NOT NULL,
    study       TEXT    NOT NULL,
    candidate   TEXT    NOT NULL,
    algorithm   TEXT    NOT NULL,
    seed        INTEGER NOT NULL,
    fold        INTEGER NOT NULL,
    instruments TEXT    NOT NULL,
    parameters  TEXT    NOT NULL,
    status      TEXT    NOT NULL CHECK (status IN ('running', 'finished', 'failed')),
    attempts    INTEGER NOT NULL,
    began_ns    INTEGER NOT NULL,
    ended_ns    INTEGER,
    outcome     TEXT    NOT NULL,
    reason      TEXT    NOT NULL
)
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trial.

    ``trial_id`` names all that determines the trial, so that the same one is begun again rather than written twice.
    ``study`` is empty and ``fold`` 0 where there is none. ``parameters`` and ``outcome`` are plain JSON objects. The
    rest is the ledger's own: ``attempts`` counts beginnings, ``began_ns`` is the first, ``ended_ns`` is None while
    running, and ``reason`` says why a trial failed.
    """

    trial_id: str
    purpose: Purpose
    candidate: str
    algorithm: str
    seed: int
    study: str = ""
    fold: int = 0
    instruments: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    status: Status = "running"
    attempts: int = 0
    began_ns: int = 0
    ended_ns: int | None = None
    outcome: dict[str, Any] = {}
    reason: str = ""


_COLUMNS = Entry.__struct_fields__
_JSON = ("instruments", "parameters", "outcome")


class Ledger:
    """The ledger in a file, which is made where there is none.

    Parameters
    ----------
    path : Path
        SQLite file, on a local disk: the locks of network disks are not to be relied on.

    Raises
    ------
    DataError
        Where the file is something else, cannot be written, or is held by another process for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._transaction() as rows:
            application, form = (rows.execute(f"PRAGMA {name}").fetchone()[0] for name in _MARKS)
            tables = rows.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if tables and (application, form) != (_APPLICATION, _FORMAT):
                raise DataError(
                    f"{path} is a database, but no ledger of format {_FORMAT}; move it away or set catalog.ledger_path"
                )
            if not tables:
                rows.execute(_TABLE)
                rows.execute(f"PRAGMA application_id = {_APPLICATION}")
                rows.execute(f"PRAGMA user_version = {_FORMAT}")

    def begin(self, entry: Entry) -> Entry:
        """Write down that a trial begins; return its row as it now stands.

        A trial that failed or was abandoned begins again: one more attempt, the outcome cleared. One that is finished
        stays as it is and is returned as such: there is nothing to do again.
        """
        new = msgspec.structs.replace(
            entry, status="running", attempts=1, began_ns=time.time_ns(), ended_ns=None, outcome={}, reason=""
        )
        marks = ", ".join("?" * len(_COLUMNS))
        with self._transaction() as rows:
            rows.execute(
                f"INSERT INTO trials ({', '.join(_COLUMNS)}) VALUES ({marks}) "  # noqa: S608 - names of ours
                "ON CONFLICT (trial_id) DO UPDATE SET status = 'running', attempts = attempts + 1, ended_ns = NULL, "
                "outcome = '{}', reason = '' WHERE status <> 'finished'",
                _to_row(new),
            )
            return _one(rows, entry.trial_id)

    def finish(self, trial_id: str, outcome: Mapping[str, Any]) -> None:
        """Write down what a running trial came to.

        Raises
        ------
        ValueError
            Where no such trial is running: a fault of the program.
        """
        self._end(trial_id, "finished", msgspec.json.encode(outcome).decode(), "")

    def fail(self, trial_id: str, reason: str) -> None:
        """Write down why a running trial failed, in one line; raises as `finish`."""
        self._end(trial_id, "failed", "{}", " ".join(reason.split()))

    def entry(self, trial_id: str) -> Entry | None:
        """Return a trial, or None where it was never begun."""
        with self._transaction() as rows:
            found = rows.execute(f"{_SELECT} WHERE trial_id = ?", (trial_id,)).fetchone()
        return None if found is None else _from_row(found)

    def entries(self) -> tuple[Entry, ...]:
        """Return all trials in the order in which they were first begun."""
        with self._transaction() as rows:
            return tuple(map(_from_row, rows.execute(f"{_SELECT} ORDER BY began_ns, rowid").fetchall()))

    def _end(self, trial_id: str, status: Status, outcome: str, reason: str) -> None:
        with self._transaction() as rows:
            changed = rows.execute(
                "UPDATE trials SET status = ?, outcome = ?, reason = ?, ended_ns = ? "
                "WHERE trial_id = ? AND status = 'running'",
                (status, outcome, reason, time.time_ns(), trial_id),
            )
            if changed.rowcount != 1:
                raise ValueError(f"trial {trial_id} is not running, it cannot be {status}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection within one transaction, which is undone whole where anything raises."""
        try:
            connection = sqlite3.connect(self._path, timeout=_PATIENCE_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise self._refused(error) from None
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._refused(error) from None
        finally:
            connection.close()

    def _refused(self, error: sqlite3.Error) -> AutotradeError:
        text = str(error)
        if "not a database" in text or "malformed" in text:
            advice = "is no ledger: restore it from a copy, or move it away and the counting starts anew"
        elif "locked" in text:
            advice = f"is held by another process for {_PATIENCE_SECONDS:g} s: end that one, or try again"
        else:
            advice = "cannot be written: mend its permissions or set catalog.ledger_path"
        return DataError(f"{self._path} {advice} ({text})")


_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM trials"  # noqa: S608 - names of ours


def _one(rows: sqlite3.Connection, trial_id: str) -> Entry:
    return _from_row(rows.execute(f"{_SELECT} WHERE trial_id = ?", (trial_id,)).fetchone())


def _to_row(entry: Entry) -> list[Any]:
    values = msgspec.structs.asdict(entry)
    return [
        msgspec.json.encode(value, order="sorted").decode() if name in _JSON else value
        for name, value in values.items()
    ]


def _from_row(row: tuple[Any, ...]) -> Entry:
    named = dict(zip(_COLUMNS, row, strict=True))
    return msgspec.convert(named | {name: msgspec.json.decode(named[name]) for name in _JSON}, Entry)
