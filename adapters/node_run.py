"""The life of a live node in its process: signals, a deadline for coming up, and whose thread collects garbage."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nautilus_trader.live import LiveNode

from core.errors import AutotradeError
from core.stop_request import StopRequest

__all__ = ["NodeRun"]


_DOUBTS = "unresolved client order IDs"


class NodeRun:
    """Runs a node until somebody wishes its end, or it does not come up.

    Parameters
    ----------
    node : LiveNode
        With all its components.
    connect_seconds : float
        It must trade within.
    ready : Callable[[], None]
        Called when it does.

    Attributes
    ----------
    request : StopRequest
        The wish that it ends; the first signal utters it, a second one ends the node at once.
    ready_at : float
        When it traded, by `time.perf_counter`; 0 before.
    doubts : str
        Orders whose fate the engine did not learn before its end: their owner has asked the venue, or will at the next
        start.
    """

    def __init__(self, node: LiveNode, *, connect_seconds: float, ready: Callable[[], None]) -> None:
        self.request = StopRequest()
        self.ready_at = 0.0
        self.doubts = ""
        self._node = node
        self._connect_seconds = connect_seconds
        self._ready = ready
        self._handle = node.handle()

    def run(self) -> None:
        """Run the node to its end.

        Raises
        ------
        AutotradeError
            Where it did not come up, or ended by itself.
        """
        with self._deadline(), _signals(self._signalled), _collecting_here():
            asyncio.run(self._until_stopped())
        if self.ready_at == 0.0:
            if self.request.reason:
                raise AutotradeError(f"stopped by {self.request.reason} before the node was ready")
            raise AutotradeError(
                f"the node did not come up within {self._connect_seconds:g} s: the venue answers, but not all of its "
                "streams and questions; try `autotrade doctor`"
            )
        if not (self.request.carried_out or self.request.reason):
            raise AutotradeError(
                "the node has ended and nobody wished it: see what the engine printed, and start again"
            )

    def started(self) -> None:
        """Take note that the node trades."""
        self.ready_at = time.perf_counter()
        self._ready()

    def end(self) -> None:
        """Stop the node."""
        self._handle.stop()

    def tidy(self) -> None:
        """Collect garbage, in the engine's thread."""
        gc.collect()

    async def _until_stopped(self) -> None:
        try:
            await self._node.run_async()
        except RuntimeError as error:
            if self.ready_at == 0.0 or _DOUBTS not in str(error):
                raise
            self.doubts = str(error).partition(_DOUBTS)[2].strip(" :")

    def _signalled(self, name: str) -> None:
        if self.request.reason or self.ready_at == 0.0:
            self._handle.stop()
        self.request.ask(name)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """Stop a node that does not come up: the engine would wait for ever."""

        def late() -> None:
            if self.ready_at == 0.0:
                self._handle.stop()

        timer = threading.Timer(self._connect_seconds, late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


@contextmanager
def _collecting_here() -> Iterator[None]:
    """Leave the collecting of garbage to the engine's thread: objects of the engine must not end in another one.

    What is there at the start stays for good, so that a collection is short.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.collect()
        gc.enable()


@contextmanager
def _signals(told: Callable[[str], None]) -> Iterator[None]:
    """Hand SIGTERM and SIGINT on while a node runs."""
    before = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, lambda caught, _: told(signal.Signals(caught).name))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
