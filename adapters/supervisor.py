"""What a service manager is told: systemd's notify protocol, a datagram a word."""

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Self

__all__ = ["Supervisor"]


class Supervisor:
    """Tells the service manager how a node fares; without one it says nothing.

    The watchdog is fed by ``beat`` alone, which the engine's thread calls: where that thread hangs, the manager gets
    no word and ends the process. Nothing here blocks or raises into trading.

    Parameters
    ----------
    environ : Mapping[str, str]
        ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID`` as systemd sets them.
    monotonic : Callable[[], float]
        Seconds.
    """

    def __init__(self, environ: Mapping[str, str], monotonic: Callable[[], float] = time.monotonic) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None
        if self._socket is not None:
            self._socket.setblocking(False)
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        limit = environ.get("WATCHDOG_USEC", "") if ours and self._socket is not None else ""
        self._every = int(limit) / 3e6 if limit.isdecimal() else 0.0
        self._monotonic = monotonic
        self._fed = float("-inf")

    def __enter__(self) -> Self:
        """Be there while a block lasts."""
        return self

    def __exit__(self, *_: object) -> None:
        """Say that the end has begun, and nothing more."""
        self.stopping()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ready(self, status: str) -> None:
        """Say that the node trades."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Say that the node ends."""
        self._tell("STOPPING=1")

    def beat(self) -> None:
        """Feed the watchdog, three times within its limit."""
        if not self._every:
            return
        now = self._monotonic()
        if now - self._fed >= self._every:
            self._fed = now
            self._tell("WATCHDOG=1")

    def _tell(self, words: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(words.encode(), self._address)
        except OSError:  # a manager that takes no word must not stop trading
            return
