"""Errors raised inside handlers: kept, because the engine logs them and goes on."""

import functools
import traceback
from collections.abc import Callable
from typing import Concatenate, Protocol

from core.listening import Listener

__all__ = ["Faults", "HasFaults", "guarded", "recorded"]


class Faults:
    """What went wrong inside handlers of one run, in order, and whether a person wants it to end.

    ``listener``: who hears of every handler, where anybody does.
    """

    listener: Listener | None = None

    def __init__(self) -> None:
        self._found: list[str] = []
        self.interrupted = False

    def add(self, where: str, error: Exception) -> None:
        """Keep an error with the place it was raised at."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
        self._found.append(f"{where} raised {type(error).__name__}: {error} ({place})")

    def report(self, text: str) -> None:
        """Keep what was found wrong without an error having been raised."""
        self._found.append(text)

    def __bool__(self) -> bool:
        return bool(self._found) or self.interrupted

    def __len__(self) -> int:
        return len(self._found)

    @property
    def first(self) -> str:
        """The first error in one line, empty where there is none."""
        return self._found[0] if self._found else ""


class HasFaults(Protocol):
    """A component whose handlers are guarded."""

    @property
    def faults(self) -> Faults:
        """Where its errors are kept."""


def recorded[S: HasFaults, **P](handler: Callable[Concatenate[S, P], None]) -> Callable[Concatenate[S, P], None]:
    """Wrap a handler so that what it raises is kept. It always runs: fills are booked and protected after any fault."""

    @functools.wraps(handler)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        listener = self.faults.listener
        if listener is not None:
            listener.enter(self, handler.__name__, args)
        try:
            handler(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the engine would swallow it; the run is failed with it instead
            self.faults.add(f"{type(self).__name__}.{handler.__name__}", error)
        finally:
            if listener is not None:
                listener.leave()

    return call


def guarded[S: HasFaults, **P](
    handler: Callable[Concatenate[S, P], None],
) -> Callable[Concatenate[S, P], None]:
    """Wrap a deciding handler: what it raises is kept, and it does not run any more after the first error anywhere.

    A decision after an error would rest on a state that nobody can vouch for.
    """
    keeping = recorded(handler)

    @functools.wraps(handler)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if not self.faults:
            keeping(self, *args, **kwargs)

    return call
