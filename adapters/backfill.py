"""Bars that did not come by themselves, asked for by REST in a thread of their own."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np

from adapters.klines import floats, times_ns
from adapters.rest_history import RestHistory
from core.bars import Bars, interval_ns
from core.errors import AutotradeError

__all__ = ["RestBackfill", "rest_bars"]

_RETRY_SECONDS = 1.0


def rest_bars(history: RestHistory, symbol: str, interval: str, first_ns: int, last_ns: int) -> Bars:
    """Return the closed bars with closes of ``first_ns`` to ``last_ns`` (ns, both included).

    Raises
    ------
    DataError
        As `adapters.rest_history.RestHistory.klines`.
    """
    length = interval_ns(interval)
    columns: list[Bars] = []
    for table in history.klines(symbol, interval, first_ns - length, last_ns):
        volume = floats(table["volume"])
        columns.append(
            Bars(
                times_ns(table["open_time"]) + length,
                floats(table["open"]),
                floats(table["high"]),
                floats(table["low"]),
                floats(table["close"]),
                volume,
                np.minimum(floats(table["taker_buy_base"]), volume),
            )
        )
    if not columns:
        return Bars(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in range(6)))
    return Bars(*(np.concatenate(parts) for parts in zip(*columns, strict=True)))


class RestBackfill:
    """Looks for missing bars (`core.protocols.BarHistory`); what fails or is not there yet is asked for again.

    Parameters
    ----------
    history : RestHistory
        The venue's.
    interval : str
        Of the bars.
    symbol : Callable[[str], str]
        Turns an instrument's id into the venue's symbol.
    give_up_seconds : float
        A request ends after this, whatever it found.
    """

    def __init__(
        self, history: RestHistory, interval: str, symbol: Callable[[str], str], *, give_up_seconds: float
    ) -> None:
        self._history = history
        self._interval = interval
        self._symbol = symbol
        self._attempts = max(1, round(give_up_seconds / _RETRY_SECONDS))
        self._asked: queue.SimpleQueue[tuple[str, int, int] | None] = queue.SimpleQueue()
        self._found: deque[tuple[str, Bars]] = deque()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backfill", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._over.set()
        self._asked.put(None)

    def ask(self, instrument_id: str, first_ns: int, last_ns: int) -> None:
        """Begin to look for bars."""
        self._asked.put((instrument_id, first_ns, last_ns))

    def answers(self) -> Sequence[tuple[str, Bars]]:
        """Return what was found since the last call."""
        return [self._found.popleft() for _ in range(len(self._found))]

    def _run(self) -> None:
        while not self._over.is_set():
            asked = self._asked.get()
            if asked is not None:
                self._look(*asked)

    def _look(self, name: str, first_ns: int, last_ns: int) -> None:
        wanted = (last_ns - first_ns) // interval_ns(self._interval) + 1
        for _ in range(self._attempts):
            try:
                bars = rest_bars(self._history, self._symbol(name), self._interval, first_ns, last_ns)
            except AutotradeError:
                bars = None
            if bars is not None and len(bars.ts_close) > 0:
                self._found.append((name, bars))
                if len(bars.ts_close) == wanted:
                    return
            if self._over.wait(_RETRY_SECONDS):
                return
