"""A state store that trading never waits for longer than it was told to, whatever the disk or the server does.

Theory of operation. One thread does all the work on the store behind it. ``save`` waits for it, but not for long: what
is not durable by then is not kept, and says so; the value stays queued, for it is still the newest. ``put`` waits for
nothing. Of values that wait for one key only the newest is written. What a thread could not write it writes again,
every ``retry_seconds``, until it succeeds: so that an outage ends by itself.
"""

import queue
import threading
from typing import Self

from core.errors import StateError
from core.protocols import StateStore

__all__ = ["StateKeeper"]


_LAST_SECONDS = 10.0
"""Longest time that the last values are written for at the end: a disk may be slow, and one that fails says so."""


class _Read:
    """A question to the store, and its answer."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.done = threading.Event()
        self.value: bytes | None = None
        self.error: StateError | None = None


class StateKeeper:
    """Keeps state behind a thread (`core.protocols.StateStore`).

    Parameters
    ----------
    store : StateStore
        Where it is kept; used by the thread alone from now on.
    wait_seconds : float
        Longest time that ``save`` and ``load`` take.
    retry_seconds : float
        Between two attempts to write what could not be written.
    """

    def __init__(self, store: StateStore, *, wait_seconds: float = 0.25, retry_seconds: float = 1.0) -> None:
        self._store = store
        self._wait = wait_seconds
        self._retry = retry_seconds
        self._lock = threading.Condition()
        self._waiting: dict[str, tuple[int, bytes]] = {}
        self._written: dict[str, int] = {}
        self._number = 0
        self._failed = ""
        self._reads: queue.SimpleQueue[_Read] = queue.SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="state-keeper", daemon=True)

    def __enter__(self) -> Self:
        """Begin to work."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, if it can be written, and end."""
        with self._lock:
            self._stopping = True
            self._lock.notify_all()
        self._thread.join(timeout=_LAST_SECONDS)

    def load(self, key: str) -> bytes | None:
        """Return the value of a key, None where there is none; one that waits to be written counts.

        Raises
        ------
        StateError
            Where it cannot be read, or not in time; at once, where nothing can be written either.
        """
        with self._lock:
            if key in self._waiting:
                return self._waiting[key][1]
            if self._failed:
                raise StateError(self._failed)
            read = _Read(key)
            self._reads.put(read)
            self._lock.notify_all()
        if not read.done.wait(self._wait):
            raise StateError(f"{key}: no answer within {self._wait:g} s; the state of the last run is not known")
        if read.error is not None:
            raise read.error
        return read.value

    def save(self, key: str, value: bytes) -> None:
        """Replace the value of a key, and wait until it is durable; once one failed, for no time at all.

        Raises
        ------
        StateError
            Where it is not durable in time; it is tried again until it is.
        """
        with self._lock:
            number = self._queue(key, value)
            if not self._failed:
                self._lock.wait_for(lambda: self._written.get(key, 0) >= number or bool(self._failed), self._wait)
            if self._written.get(key, 0) >= number:
                return
            self._failed = self._failed or f"{key}: not written within {self._wait:g} s; the state cannot be kept"
            raise StateError(self._failed)

    def put(self, key: str, value: bytes) -> None:
        """Replace the value of a key, soon.

        Raises
        ------
        StateError
            Where the last value of any key could not be written so far.
        """
        with self._lock:
            self._queue(key, value)
            if self._failed:
                raise StateError(self._failed)

    def _queue(self, key: str, value: bytes) -> int:
        self._number += 1
        self._waiting[key] = (self._number, value)
        self._lock.notify_all()
        return self._number

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(self._wanted)
                waiting = dict(sorted(self._waiting.items(), key=lambda each: each[1][0]))  # older values first
                if self._stopping and not waiting:
                    return
            while not self._reads.empty():
                self._answer(self._reads.get())
            failed = ""
            for key, (number, value) in waiting.items():
                failed = failed or self._write(key, number, value)
            with self._lock:
                self._failed = failed
                self._lock.notify_all()
                if failed and self._stopping:
                    return
                if failed:
                    self._lock.wait_for(lambda: self._stopping or not self._reads.empty(), self._retry)

    def _wanted(self) -> bool:
        return self._stopping or bool(self._waiting) or not self._reads.empty()

    def _answer(self, read: _Read) -> None:
        try:
            read.value = self._store.load(read.key)
        except StateError as error:
            read.error = error
        read.done.set()

    def _write(self, key: str, number: int, value: bytes) -> str:
        """Write a value; return what went wrong."""
        try:
            self._store.save(key, value)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the thread must live
            return str(error) or type(error).__name__
        with self._lock:
            self._written[key] = number
            if self._waiting[key][0] == number:
                del self._waiting[key]
            self._lock.notify_all()
        return ""
