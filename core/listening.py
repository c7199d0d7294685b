"""What a component is told and what it asks of the outside, heard by whoever keeps a record of it.

A component is a function of what its handlers are told (`core.faults.recorded`) and of the answers to its questions
(`asked`). Whoever has both, in order, can have every decision taken again.
"""

import functools
from collections.abc import Callable
from typing import Any, Concatenate, Protocol

__all__ = ["HasListener", "Listener", "asked"]


class Listener(Protocol):
    """Hears every handler and every question of the components. It never raises into them but for an answer's sake."""

    def enter(self, component: object, handler: str, args: tuple[Any, ...]) -> None:
        """Hear that a handler begins, perhaps out of another one."""

    def leave(self) -> None:
        """Hear that the handler that began last is done."""

    def answer[T](self, component: object, question: str, args: tuple[Any, ...], ask: Callable[[], T]) -> T:
        """Return the answer to a question: that of ``ask``, or one that was heard before."""


class HasListener(Protocol):
    """What a component has where its listener, if any, is to be found (`core.faults.Faults`)."""

    listener: Listener | None


class _Asking(Protocol):
    @property
    def faults(self) -> HasListener: ...


def asked[S: _Asking, **P, T](question: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Wrap a method that looks at the engine's clock or cache, or anything else outside, and returns plain data."""

    @functools.wraps(question)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        listener = self.faults.listener
        if listener is None:
            return question(self, *args, **kwargs)
        return listener.answer(self, question.__name__, args, functools.partial(question, self, *args, **kwargs))

    return call
