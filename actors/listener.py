"""What the components are told, asked for the record of a session: handlers and answers, in the engine's order."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec
from nautilus_trader.model import Bar, FundingRateUpdate

from core.messages import ClosedBar
from core.protocols import Journal

__all__ = ["Receiver", "SessionListener"]


class Receiver(Protocol):
    """Where it is kept (`adapters.session_record.SessionRecord`); it is a journal too. Never blocks, never raises."""

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take a row of what was decided."""

    def received(self, kind: str, body: object) -> None:
        """Take what came in."""


class SessionListener:
    """Hears the components of one session (`core.listening.Listener`); everything in the engine's thread.

    What reaches a component that is followed, from the engine or from one that is not followed, is written down
    (``told``); what the followed tell each other is a consequence, and not. ``answer`` rows hold what they were
    answered when they asked.

    Parameters
    ----------
    record : Receiver
        Where it is written down.

    Attributes
    ----------
    failed : int
        Things that could not be written down.
    """

    def __init__(self, record: Receiver) -> None:
        self.failed = 0
        self._record = record
        self._names: dict[int, str] = {}
        self._stack: list[tuple[str, object]] = []
        self._followed = 0
        self._bars: dict[str, list[tuple[float, ...]]] = {}
        self._last: tuple[float, ...] = ()

    def follow(self, components: Mapping[str, object]) -> None:
        """Follow components from now on, by name."""
        self._names |= {id(component): name for name, component in components.items()}

    def journal(self, journal: Journal) -> Journal:
        """Return a journal whose rows go into the record too."""
        return journal if journal is self._record else _Both(self._record, journal)

    def follows(self, message: object) -> bool:
        """Return whether a message was told the handler that runs, by a component that is followed."""
        return bool(self._stack) and self._stack[-1][1] is message and message is not None

    def enter(self, component: object, handler: str, args: tuple[Any, ...]) -> None:
        """Hear that a handler begins."""
        name = self._names.get(id(component), "")
        stack = self._stack
        message = args[-1] if args and isinstance(args[-1], msgspec.Struct) else None
        if not (stack and stack[-1][0]):
            message = None  # it comes from somebody who is not followed
        if name and message is None and not (args and _is_estimate(args[-1])):
            try:
                self._record.received("told", (name, handler, self._followed > 0, [self._plain(arg) for arg in args]))
            except Exception:  # noqa: BLE001 - the record must not disturb what it records
                self.failed += 1
        stack.append((name, message))
        self._followed += name != ""

    def leave(self) -> None:
        """Hear that the handler that began last is done."""
        name, _ = self._stack.pop()
        self._followed -= name != ""

    def answer[T](self, component: object, question: str, args: tuple[Any, ...], ask: Callable[[], T]) -> T:
        """Ask, and write the answer down."""
        name = self._names.get(id(component), "")
        if not name:
            return ask()
        try:
            said = ask()
        except Exception as error:
            self.heard(name, question, args, str(error), raised=True)
            raise
        self.heard(name, question, args, said)
        return said

    def heard(self, name: str, question: str, args: tuple[Any, ...], said: object, *, raised: bool = False) -> None:
        """Write an answer down; a bar counts once its taker flow is known."""
        if question == "taker_buy" and said is not None:
            self._bars.setdefault(args[0], []).append(self._last)
        self._record.received("answer", (name, question, args, said, raised))

    def observed(self, instrument_id: str, observation: bytes) -> None:
        """Write down what the models saw, and the base bars since they were last asked."""
        self._record.received("observation", (instrument_id, observation, self._bars.pop(instrument_id, [])))

    def write(self, kind: str, body: object) -> None:
        """Write anything else down."""
        self._record.received(kind, body)

    def _plain(self, value: Any) -> tuple[str, object]:
        """Return an argument of a handler as plain data, and what it is."""
        if type(value) is Bar:
            return "bar", self._bar(value)
        if isinstance(value, int | str):
            return "value", value
        if type(value) is FundingRateUpdate:
            told = (str(value.instrument_id), str(value.rate), value.ts_event, value.ts_init, value.next_funding_ns)
            return "funding", told
        if isinstance(value, msgspec.Struct):
            if isinstance(value, ClosedBar):
                bar = (value.ts_close, value.open, value.high, value.low, value.close, value.volume)
                self._bars.setdefault(value.instrument_id, []).append(bar)
            return type(value).__name__, value
        return type(value).__name__, {key: _simple(one) for key, one in value.to_dict().items()}

    def _bar(self, bar: Bar) -> tuple[object, ...]:
        """Return a bar, its prices and its volume as decimal strings; keep it for when it counts."""
        prices = (str(bar.open), str(bar.high), str(bar.low), str(bar.close), str(bar.volume))
        self._last = (bar.ts_init, *map(float, prices))
        return (str(bar.bar_type), *prices, bar.ts_event, bar.ts_init)


def _is_estimate(value: object) -> bool:
    """Return whether it is a funding rate that is not settled yet: several come every minute, and nobody heeds them."""
    return type(value) is FundingRateUpdate and value.next_funding_ns is not None


class _Both:
    """A journal of two."""

    def __init__(self, first: Receiver, second: Journal) -> None:
        self._first = first
        self._second = second

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take one row."""
        self._first.record(kind, row)
        self._second.record(kind, row)


def _simple(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
