"""The process that tells people: it follows the record of a node's session, and outlives the node.

The record is the one source: rules and detectors of trading patterns look at its rows. What cannot be in it comes
through a pipe that the node holds: that the record itself has trouble, that the node ends, and, where the pipe closes
without a word, that it has died.
"""

import fcntl
import os
import select
import signal
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from adapters.alert_queue import AlertQueue
from adapters.session_tail import Cursor, SessionTail
from configs.alert_rules import AlertRules
from core.alert_delivery import Patience, plan, route
from core.alert_rules import AlertState, Raised, observe, tick
from core.trading_patterns import PatternLimits, PatternState, look

__all__ = ["Follower", "NodeWords", "Words", "exclusively", "unmoved"]

_COMMIT_SECONDS = 5.0
_COMMIT_ROWS = 20_000
_RULES, _PATTERNS = "rules", "patterns"


class Words(Protocol):
    """What the node says beside its record."""

    @property
    def open(self) -> bool:
        """Whether it lives."""

    def read(self, seconds: float) -> list[Mapping[str, Any]]:
        """Return what it has said, waiting so long for it."""


class NodeWords:
    """Lines of JSON from the node's end of a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._ended = False
        self._lines: list[bytes] = []
        self._rest = b""
        os.set_blocking(descriptor, False)

    @property
    def open(self) -> bool:
        """Whether there is a node, or anything of it that was not read."""
        return not self._ended or bool(self._lines)

    def first(self) -> bytes:
        """Return the first line, empty where there is none."""
        while self.open and not self._lines:
            self._fill(1.0)
        return self._lines.pop(0) if self._lines else b""

    def read(self, seconds: float) -> list[Mapping[str, Any]]:
        """Return what was said, waiting so long for it; what is no JSON is nothing."""
        self._fill(0.0 if self._lines else seconds)
        found: list[Mapping[str, Any]] = []
        for line in self._lines:
            with suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(line, type=dict[str, Any]))
        self._lines.clear()
        return found

    def _fill(self, seconds: float) -> None:
        if self._ended:
            time.sleep(seconds)
            return
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return
        with suppress(BlockingIOError):
            while content := os.read(self._descriptor, 1 << 16):
                self._rest += content
            self._ended = True
        *lines, self._rest = self._rest.split(b"\n")
        self._lines += lines


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Be the one follower of an environment; one of an earlier session makes room soon. A full disk stops nobody."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class Follower:
    """Follows a session, and the ends of earlier ones that nobody has told of.

    Parameters
    ----------
    folder : Path
        Of the session.
    words : Words
        The node's.
    queue, spare : AlertQueue
        Where alerts wait, and where they do while the first cannot be written.
    rules : AlertRules
        What is told, and to whom.
    limits : PatternLimits
        From where on trading is abnormal.
    patience : Patience
        With channels.
    configured : Sequence[str]
        Names of the channels that are there.
    poll_seconds, linger_seconds : float
        Between two looks; how long messages are sent after an orderly end.
    """

    def __init__(
        self,
        folder: Path,
        words: Words,
        queue: AlertQueue,
        spare: AlertQueue,
        *,
        rules: AlertRules,
        limits: PatternLimits,
        patience: Patience,
        configured: Sequence[str],
        poll_seconds: float,
        linger_seconds: float,
    ) -> None:
        self.silent = False
        self._folder, self._words, self._queue, self._spare = folder, words, queue, spare
        self._rules, self._limits, self._patience = rules, limits, patience
        self._configured = configured
        self._poll, self._linger = poll_seconds, linger_seconds
        self._raised: list[tuple[Raised, tuple[str, ...]]] = []
        self._since_commit = 0
        self._committed = time.monotonic()
        self._ended: Mapping[str, Any] | None = None
        self._market = (0, 0)
        self._direct = 0
        self._broken_rows = 0
        self._alerts = _decoded(self._remembered(_RULES), AlertState)
        self._patterns = _decoded(self._remembered(_PATTERNS), PatternState)
        with suppress(sqlite3.Error):
            queue.begin(folder, time.time_ns())

    def run(self) -> None:
        """Follow until the node has ended and all is told, or a later session has a follower of its own."""
        self._finish_earlier()
        tail = self._tail(self._folder)
        self._node("started", f"the node of {self._folder.name} starts")
        over = 0.0
        while True:
            for word in self._words.read(self._poll):
                self._hear(word)
            if not over:
                alive = self._words.open
                self._follow(self._folder, tail)
                if not alive:
                    self._tell_end()
                    over = time.monotonic()
                else:
                    self._tick()
                self._commit(self._folder, tail.cursor, done=bool(over))
            waits = self._deliver()
            if over and (self._followed_by_another() or not waits):
                return
            if over and self._orderly and time.monotonic() - over >= self._linger:
                return

    @property
    def _orderly(self) -> bool:
        return self._ended is not None and not self._ended.get("failed")

    def _finish_earlier(self) -> None:
        """Read to their ends the sessions that nobody has told the end of: their nodes and followers died together."""
        with suppress(sqlite3.Error):
            for folder, cursor in self._queue.open_sessions():
                if folder != self._folder:
                    tail = SessionTail(folder, cursor)
                    self._follow(folder, tail)
                    self._node("died", f"the node of {folder.name} had died, and nobody told of it", folder)
                    self._commit(folder, tail.cursor, done=True)

    def _follow(self, folder: Path, tail: SessionTail) -> None:
        """Hold every new row against the rules."""
        others = False
        for row in tail.rows():
            if row.body is None:
                others = True
            else:
                try:
                    self._row(row.kind, row.body, f"{folder.name}|{row.seq}")
                except (KeyError, TypeError, ValueError, ArithmeticError):  # a row of another version
                    self._broken_rows += 1
            self._since_commit += 1
            if self._since_commit >= _COMMIT_ROWS:
                self._commit(folder, tail.cursor)
        if others:
            self._observe("received", {}, self._now(), f"{folder.name}|{tail.cursor}")

    def _row(self, kind: str, row: Mapping[str, Any], origin: str) -> None:
        ts = int(row["ts_event"])
        self._market = (max(ts, self._market[0]), time.time_ns())
        self._patterns, found = look(self._patterns, kind, row, self._limits)
        for one in found:
            self._observe("patterns", msgspec.structs.asdict(one), ts, f"{origin}|{one.pattern}")
        self._observe(kind, row, ts, origin)

    def _observe(self, kind: str, row: Mapping[str, Any], ts: int, origin: str) -> None:
        self._alerts, raised = observe(
            self._rules.rule, self._rules.quiet, self._alerts, kind=kind, row=row, ts_ns=ts, origin=origin
        )
        self._take(raised)

    def _tick(self) -> None:
        """Let time pass for the rules."""
        self._alerts, raised = tick(self._rules.rule, self._rules.quiet, self._alerts, now_ns=self._now())
        self._take(raised)
        waited = [rule.name for rule in self._rules.rule if rule.absent_seconds]
        self.silent = any(self._alerts.standings[name].firing for name in waited if name in self._alerts.standings)

    def _take(self, raised: Sequence[Raised]) -> None:
        for alert in raised:
            self._raised.append((alert, route(alert.severity, self._rules.routes, self._configured)))

    def _hear(self, word: Mapping[str, Any]) -> None:
        """Take a word of the node."""
        if "ended" in word:
            self._ended = word
        elif "text" in word:
            self._direct += 1
            row = {"source": str(word.get("source", "node")), "text": str(word["text"])}
            self._observe("direct", row, self._now(), f"{self._folder.name}|direct|{self._direct}|{time.time_ns()}")

    def _tell_end(self) -> None:
        name = self._folder.name
        if self._ended is None:
            self._node("died", f"the node of {name} has died: it was killed, or it crashed; stops rest at the venue")
        elif self._ended.get("failed"):
            self._node("failed", f"the node of {name} has failed: {self._ended['ended']}")
        else:
            self._node("stopped", f"the node of {name} has stopped: {self._ended['ended']}")

    def _node(self, event: str, text: str, folder: Path | None = None) -> None:
        row = {"event": event, "text": text, "source": "node"}
        self._observe("node", row, self._now(), f"{(folder or self._folder).name}|{event}")

    def _now(self) -> int:
        """Return the market's time: that of the last row, and what has passed since it was read."""
        ts, read = self._market
        now = time.time_ns()
        return ts + now - read if ts else now

    def _commit(self, folder: Path, cursor: Cursor, *, done: bool = False) -> None:
        """Write down what was raised, and how far was read; without anything raised, now and then."""
        due = self._since_commit and time.monotonic() - self._committed >= _COMMIT_SECONDS
        if not (self._raised or done or due or self._since_commit >= _COMMIT_ROWS):
            return
        self._since_commit, self._committed = 0, time.monotonic()
        memory = {_RULES: msgspec.msgpack.encode(self._alerts), _PATTERNS: msgspec.msgpack.encode(self._patterns)}
        now = time.time_ns()
        try:
            self._queue.commit(folder, cursor, memory, self._raised, now, done=done)
        except sqlite3.Error:  # the disk is full or gone: sent all the same, and written down when it is back
            self._spare.commit(folder, cursor, {}, self._raised, now)
        else:
            self._raised.clear()

    def _deliver(self) -> bool:
        """Do what the table of delivery says; return whether anything waits."""
        waits = False
        for queue in (self._queue, self._spare):
            with suppress(sqlite3.Error):
                for name, created, path, attempts in queue.waiting():
                    now = time.time_ns()
                    action, channel = plan(now, created, path, attempts, self._patience)
                    if action == "start":
                        queue.start(name, channel, now)
                    elif action != "wait":
                        queue.finish(name, delivered=action == "done")
                    waits = waits or action in {"start", "wait"}
        return waits

    def _followed_by_another(self) -> bool:
        with suppress(sqlite3.Error):
            return self._queue.newest() != self._folder
        return False

    def _tail(self, folder: Path) -> SessionTail:
        """Return the session's record from where it was read last."""
        with suppress(sqlite3.Error):
            known = {session.folder: session.cursor for session in self._queue.open_sessions()}
            return SessionTail(folder, known.get(folder, Cursor()))
        return SessionTail(folder, Cursor())

    def _remembered(self, name: str) -> bytes | None:
        with suppress(sqlite3.Error):
            return self._queue.memory(name)
        return None


def _decoded[State](content: bytes | None, kind: type[State]) -> State:
    """Return what was remembered; of another version it is forgotten."""
    if content is not None:
        with suppress(msgspec.DecodeError):
            return msgspec.msgpack.decode(content, type=kind)
    return kind()


def unmoved() -> None:
    """Let the node's signals pass: who ends the node does not silence what tells of it."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(10)
