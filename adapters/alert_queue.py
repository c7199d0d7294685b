"""Alerts until they are delivered, and afterwards: an SQLite file of mode 0600 that survives whoever is killed.

The cursor of the record, what the rules remember and the alerts raised from the rows between two cursors are written in
one transaction: an alert is raised exactly once. It is sent at least once: whoever dies between sending and noting it
sends it again, under the same name.
"""

import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adapters.session_tail import Cursor
from core.alert_delivery import Attempt
from core.alert_rules import Raised
from core.errors import StateError

__all__ = ["AlertQueue", "Kept", "Message", "Session"]

_TABLES = """
CREATE TABLE IF NOT EXISTS sessions (
    folder TEXT PRIMARY KEY, begun_ns INTEGER NOT NULL, segment INTEGER NOT NULL DEFAULT 0,
    offset INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS memory (name TEXT PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS alerts (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, session TEXT NOT NULL,
    created_ns INTEGER NOT NULL, ts_ns INTEGER NOT NULL, rule TEXT NOT NULL, severity TEXT NOT NULL,
    source TEXT NOT NULL, text TEXT NOT NULL, path TEXT NOT NULL, status TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS open_alerts ON alerts (status);
CREATE TABLE IF NOT EXISTS attempts (
    id TEXT NOT NULL, channel TEXT NOT NULL, begun_ns INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    next_ns INTEGER NOT NULL, delivered_ns INTEGER NOT NULL DEFAULT 0, problem TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (id, channel));
CREATE TABLE IF NOT EXISTS acks (id TEXT PRIMARY KEY, reason TEXT NOT NULL, ts_ns INTEGER NOT NULL);
"""

WAITING, DELIVERED, GIVEN_UP, DROPPED, NOT_SENT = "waiting", "delivered", "given up", "dropped", "not sent"


class Message(NamedTuple):
    """What is sent to a channel."""

    alert_id: str
    session: str
    rule: str
    severity: str
    text: str
    ts_ns: int
    failures: int


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An alert as it is remembered; ``channel`` that delivered it; ``acknowledged`` what a person said of it."""

    alert_id: str
    session: str
    created_ns: int
    ts_ns: int
    rule: str
    severity: str
    source: str
    text: str
    status: str
    channel: str
    problem: str
    acknowledged: str


class Session(NamedTuple):
    """A session whose record is not read to its end."""

    folder: Path
    cursor: Cursor


class AlertQueue:
    """The queue; every method is one transaction and may be called from any thread.

    Parameters
    ----------
    path : Path or None
        The file, made where absent; None keeps it in memory.
    limit, history : int
        Alerts that wait, and that are remembered when they are done with.

    Raises
    ------
    StateError
        Where it cannot be opened. Other methods raise `sqlite3.Error` where the disk takes or gives nothing.
    """

    def __init__(self, path: Path | None, *, limit: int, history: int) -> None:
        self._limit, self._history = limit, history
        self._lock = threading.Lock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._base = sqlite3.connect(
                ":memory:" if path is None else path, timeout=10.0, check_same_thread=False, isolation_level=None
            )
            self._base.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise StateError(f"{path}: {error}; alerts cannot be kept there") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    def begin(self, folder: Path, now_ns: int) -> None:
        """Take note of a session; one that is known goes on."""
        self._do("INSERT INTO sessions (folder, begun_ns) VALUES (?, ?) ON CONFLICT DO UPDATE"
                 " SET done = 0, begun_ns = excluded.begun_ns",
                 (str(folder), now_ns))  # fmt: skip

    def newest(self) -> Path | None:
        """Return the folder of the session that began last."""
        rows = self._ask("SELECT folder FROM sessions ORDER BY begun_ns DESC, rowid DESC LIMIT 1")
        return Path(rows[0][0]) if rows else None

    def open_sessions(self) -> list[Session]:
        """Return the sessions that are not over, the oldest first."""
        rows = self._ask("SELECT folder, segment, offset FROM sessions WHERE done = 0 ORDER BY begun_ns")
        return [Session(Path(folder), Cursor(number, offset)) for folder, number, offset in rows]

    def memory(self, name: str) -> bytes | None:
        """Return what is remembered under a name."""
        rows = self._ask("SELECT content FROM memory WHERE name = ?", (name,))
        return bytes(rows[0][0]) if rows else None

    def commit(
        self,
        folder: Path,
        cursor: Cursor,
        memory: dict[str, bytes],
        raised: Sequence[tuple[Raised, tuple[str, ...]]],
        now_ns: int,
        *,
        done: bool = False,
    ) -> None:
        """Take alerts with their routes, and how far the record was read for them, at once or not at all."""
        with self._lock, _Transaction(self._base) as base:
            base.execute("UPDATE sessions SET segment = ?, offset = ?, done = ? WHERE folder = ?",
                         (*cursor, done, str(folder)))  # fmt: skip
            base.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?)", memory.items())
            for alert, path in raised:
                base.execute(
                    "INSERT OR IGNORE INTO alerts (id, session, created_ns, ts_ns, rule, severity, source, text, path,"
                    " status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (alert.alert_id, folder.name, now_ns, alert.ts_ns, alert.rule, alert.severity, alert.source,
                     alert.text, "\n".join(path), WAITING if path else NOT_SENT),
                )  # fmt: skip
            if raised:
                self._bound(base)

    def waiting(self) -> list[tuple[str, int, tuple[str, ...], list[Attempt]]]:
        """Return name, time of raising (ns), route and attempts of every alert that is not done with."""
        attempts: dict[str, list[Attempt]] = {}
        rows = self._ask(
            "SELECT id, channel, begun_ns, failures, delivered_ns FROM attempts WHERE id IN"
            " (SELECT id FROM alerts WHERE status = 'waiting') ORDER BY rowid"
        )
        for name, channel, begun, failures, delivered in rows:
            attempts.setdefault(name, []).append(Attempt(channel, begun, failures, delivered > 0))
        found = self._ask("SELECT id, created_ns, path FROM alerts WHERE status = 'waiting' ORDER BY number")
        return [(name, at, tuple(path.split("\n")), attempts.get(name, [])) for name, at, path in found]

    def start(self, alert_id: str, channel: str, now_ns: int) -> None:
        """Begin to try a channel."""
        self._do("INSERT OR IGNORE INTO attempts (id, channel, begun_ns, next_ns) VALUES (?, ?, ?, ?)",
                 (alert_id, channel, now_ns, now_ns))  # fmt: skip

    def finish(self, alert_id: str, *, delivered: bool) -> None:
        """Have done with an alert."""
        self._do("UPDATE alerts SET status = ? WHERE id = ?", (DELIVERED if delivered else GIVEN_UP, alert_id))

    def due(self, channel: str, now_ns: int) -> Message | None:
        """Return what a channel is to send now: the most urgent, the oldest of those."""
        rows = self._ask(
            "SELECT a.id, a.session, a.rule, a.severity, a.text, a.ts_ns, t.failures FROM attempts t JOIN alerts a"
            " ON a.id = t.id WHERE t.channel = ? AND t.delivered_ns = 0 AND t.next_ns <= ? AND a.status = 'waiting'"
            " ORDER BY a.severity = 'critical' DESC, a.number LIMIT 1",
            (channel, now_ns),
        )
        return Message(*rows[0]) if rows else None

    def delivered(self, alert_id: str, channel: str, now_ns: int) -> None:
        """Note that a channel has delivered an alert."""
        with self._lock, _Transaction(self._base) as base:
            base.execute("UPDATE attempts SET delivered_ns = ?, problem = '' WHERE id = ? AND channel = ?",
                         (now_ns, alert_id, channel))  # fmt: skip
            base.execute("UPDATE alerts SET status = ? WHERE id = ?", (DELIVERED, alert_id))

    def failed(self, alert_id: str, channel: str, next_ns: int, problem: str) -> None:
        """Note that a channel has not, why, and when it is tried again (ns)."""
        self._do("UPDATE attempts SET failures = failures + 1, next_ns = ?, problem = ? WHERE id = ? AND channel = ?",
                 (next_ns, problem, alert_id, channel))  # fmt: skip

    def recent(self, most: int) -> list[Kept]:
        """Return the last alerts, the newest first."""
        rows = self._ask(
            "SELECT a.id, a.session, a.created_ns, a.ts_ns, a.rule, a.severity, a.source, a.text, a.status,"
            " COALESCE((SELECT channel FROM attempts WHERE id = a.id AND delivered_ns > 0 LIMIT 1), ''),"
            " COALESCE((SELECT channel || ': ' || problem FROM attempts WHERE id = a.id AND problem != ''"
            " ORDER BY rowid DESC LIMIT 1), ''),"
            " COALESCE((SELECT reason FROM acks WHERE id = a.id), '') FROM alerts a ORDER BY a.number DESC LIMIT ?",
            (most,),
        )
        return [Kept(**dict(zip(Kept.__struct_fields__, row, strict=True))) for row in rows]

    def acknowledge(self, alert_id: str, reason: str, now_ns: int) -> None:
        """Note what a person said of an alert; it is not sent any more."""
        with self._lock, _Transaction(self._base) as base:
            base.execute("INSERT OR REPLACE INTO acks VALUES (?, ?, ?)", (alert_id, reason, now_ns))
            base.execute("UPDATE alerts SET status = ? WHERE id = ? AND status = ?", (NOT_SENT, alert_id, WAITING))

    def _bound(self, base: sqlite3.Connection) -> None:
        """Drop the oldest of the less urgent where too many wait, and forget the oldest that are done with."""
        (count,) = base.execute("SELECT COUNT(*) FROM alerts WHERE status = 'waiting'").fetchone()
        if count > self._limit:
            base.execute(
                "UPDATE alerts SET status = ? WHERE number IN (SELECT number FROM alerts WHERE status = 'waiting'"
                " ORDER BY severity = 'critical', number LIMIT ?)",
                (DROPPED, count - self._limit),
            )
        base.execute(
            "DELETE FROM alerts WHERE status != 'waiting' AND number <="
            " (SELECT number FROM alerts ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (self._history,),
        )
        base.execute("DELETE FROM attempts WHERE id NOT IN (SELECT id FROM alerts)")

    def _do(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            self._base.execute(statement, values)

    def _ask(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._base.execute(statement, values).fetchall()


class _Transaction:
    """All of a block's statements, or none of them."""

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def __enter__(self) -> sqlite3.Connection:
        self._base.execute("BEGIN IMMEDIATE")
        return self._base

    def __exit__(self, kind: object, *_: object) -> None:
        if self._base.in_transaction:
            self._base.execute("COMMIT" if kind is None else "ROLLBACK")
