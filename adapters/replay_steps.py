"""Asks a venue that replays history for its next bar, in a thread of its own."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from core.protocols import ReplayStep

__all__ = ["VenueSteps"]


class VenueSteps:
    """Steps of a venue (`core.protocols.ReplaySteps`).

    Parameters
    ----------
    following : Callable[[], Mapping[str, Any]]
        Plays the next bar and answers with ``minute_ms`` (its close) and ``done``; called by one thread alone.
    """

    def __init__(self, following: Callable[[], Mapping[str, Any]]) -> None:
        self._following = following
        self._asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._taken: deque[ReplayStep] = deque()
        self._thread = threading.Thread(target=self._run, name="replay-steps", daemon=True)

    def __enter__(self) -> Self:
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Serve no more."""
        self._asked.put(False)

    def ask(self) -> None:
        """Begin a step."""
        self._asked.put(True)

    def taken(self) -> Sequence[ReplayStep]:
        """Return the steps finished since the last call."""
        return [self._taken.popleft() for _ in range(len(self._taken))]

    def _run(self) -> None:
        while self._asked.get():
            try:
                answer = self._following()
            except Exception:  # noqa: BLE001 - whatever ends the venue ends the replay
                self._taken.append(ReplayStep(0, done=True))
                return
            self._taken.append(ReplayStep(int(answer["minute_ms"]) * 1_000_000, done=bool(answer["done"])))
