"""The threads that send: one a channel, so that one that hangs delays nobody, and one for the outside watchdog."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from adapters.alert_channels import SecretUrl, ping
from adapters.alert_queue import AlertQueue, Message
from core.alert_delivery import Patience, pause_ns
from core.times import iso

__all__ = ["Heartbeat", "Sender", "Senders", "written"]

_LOOK_SECONDS = 0.1
_MOST_SENT = 10_000


class Sender(Protocol):
    """One way to a person (`adapters.alert_channels.Channel`)."""

    name: str

    def send(self, title: str, body: str) -> str:
        """Send a message; return why it was not delivered, or nothing."""


def written(message: Message, environment: str) -> tuple[str, str]:
    """Return title and body of a message; its name tells a repetition from a new one."""
    title = f"{message.severity.upper()}: autotrade {environment}"
    return title, f"{message.text}\n\n{message.rule}, {iso(message.ts_ns)}, {message.session}, id {message.alert_id}"


class Senders:
    """Sends what the queues hold for each channel.

    Parameters
    ----------
    channels : Sequence[Sender]
        Ways to a person.
    queues : Sequence[AlertQueue]
        Looked at in this order.
    environment : str
        Named in every title.
    patience : Patience
        Between repetitions.
    """

    def __init__(
        self, channels: Sequence[Sender], queues: Sequence[AlertQueue], environment: str, patience: Patience
    ) -> None:
        self._queues = queues
        self._environment = environment
        self._patience = patience
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(channel,), name=f"alerts-{channel.name}", daemon=True)
            for channel in channels
        ]
        for thread in self._threads:
            thread.start()

    def close(self, seconds: float) -> None:
        """End; a message under way has so long to be done with."""
        self._stop.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0.0))

    def _run(self, channel: Sender) -> None:
        """Send until told to stop; what was sent and could not be noted is not sent again."""
        sent: dict[str, None] = {}
        while not self._stop.wait(_LOOK_SECONDS):
            for queue in self._queues:
                try:
                    while not self._stop.is_set() and self._one(channel, queue, sent):
                        pass
                except sqlite3.Error:  # the disk is full or gone: later
                    continue

    def _one(self, channel: Sender, queue: AlertQueue, sent: dict[str, None]) -> bool:
        """Send what is due first, if anything is."""
        message = queue.due(channel.name, time.time_ns())
        if message is None:
            return False
        problem = "" if message.alert_id in sent else channel.send(*written(message, self._environment))
        if problem:
            wait = pause_ns(message.failures + 1, self._patience)
            queue.failed(message.alert_id, channel.name, time.time_ns() + wait, problem)
        else:
            sent[message.alert_id] = None
            if len(sent) > _MOST_SENT:
                del sent[next(iter(sent))]
            queue.delivered(message.alert_id, channel.name, time.time_ns())
        return True


class Heartbeat:
    """Tells an outside watchdog, again and again, that the node lives, for as long as ``alive`` says so."""

    def __init__(
        self, url: SecretUrl, *, every_seconds: float, timeout_seconds: float, alive: Callable[[], bool]
    ) -> None:
        self._url, self._every, self._timeout, self._alive = url, every_seconds, timeout_seconds, alive
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alerts-heartbeat", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be silent from now on."""
        self._stop.set()

    def _run(self) -> None:
        while True:
            if self._alive():
                ping(self._url, timeout_seconds=self._timeout)
            if self._stop.wait(self._every):
                return
