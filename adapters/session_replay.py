"""A recorded session, taken apart for its replay: what it began with, and turn by turn what it was told.

A turn is what one event of the engine gave rise to: the event, the answers to all questions that were asked because of
it, the calls of the traders, and what was decided and wanted of the venue.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from nautilus_trader.model import Bar as EngineBar
from nautilus_trader.model import BarType, FundingRateUpdate, InstrumentId, Price, Quantity

import core.messages
from adapters.instruments import InstrumentInfo
from adapters.session_log import Row
from configs.schema import AppConfig
from core.errors import DataError
from core.messages import ClosedBar
from core.parity import Bar, Decision
from core.slices import parent_of

__all__ = ["Begin", "Call", "Decisions", "Told", "Turn", "bar_of", "replayed_argument", "turns"]


class Begin(msgspec.Struct, frozen=True):
    """What a process of the session began with (`composition`); ``models`` by instrument: name, hash, horizon."""

    config: AppConfig
    config_hash: str
    instruments: tuple[InstrumentInfo, ...]
    models: dict[str, tuple[tuple[str, str, int], ...]]
    windows: dict[str, bytes]
    trade_from_ns: int
    store: bool
    program: dict[str, str]


class Told(msgspec.Struct, frozen=True):
    """A handler was called from outside: of which component, and what it was told (kind, plain)."""

    component: str
    handler: str
    arguments: tuple[tuple[str, Any], ...]


class Call(msgspec.Struct, frozen=True):
    """A trader's method was called: ``follows`` out of another component, whose message is not among the arguments."""

    seq: int
    trader: str
    method: str
    follows: bool
    arguments: tuple[Any, ...]

    @property
    def order_id(self) -> str:
        """The order that it is about, empty where it is about none."""
        first = self.arguments[0] if self.arguments else ""
        if isinstance(first, dict):
            first = first.get("order_id", "")
        return parent_of(first) if isinstance(first, str) else ""


class Turn(msgspec.Struct):
    """One event and all that followed of it.

    ``told`` first the event itself, then what came from outside while it was dealt with; ``calls`` of traders by
    outsiders, ``following`` those that were the consequence of a message, both in order; ``answers`` by component,
    question and arguments; ``decided`` the number of the row of each decision, by instrument.
    """

    seq: int
    told: list[Told] = msgspec.field(default_factory=list)
    calls: deque[Call] = msgspec.field(default_factory=deque)
    following: list[Call] = msgspec.field(default_factory=list)
    answers: dict[Any, deque[tuple[Any, bool]]] = msgspec.field(default_factory=dict)
    decided: dict[str, int] = msgspec.field(default_factory=dict)


class Decisions:
    """Gathers the decisions of a run out of what it says in passing, one of the two that are compared."""

    def __init__(self) -> None:
        self.made: list[Decision] = []
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.unfinished: dict[str, list[tuple[str, Any]]] = {}
        self._observed: dict[str, bytes] = {}
        self._bars: dict[str, list[Bar]] = {}
        self._taken: dict[str, tuple[Bar, ...]] = {}
        self._turn: list[dict[str, Any]] = []

    def bar(self, instrument_id: str, bar: Bar) -> None:
        """Take note of a base bar that came in."""
        self._bars.setdefault(instrument_id, []).append(bar)

    def observed(self, instrument_id: str, observation: bytes, bars: Sequence[Sequence[float]] | None = None) -> None:
        """Take note of what the models saw, and of which bars: those that are given, or those that came in."""
        came = self._bars.pop(instrument_id, [])
        self._observed[instrument_id] = observation
        self._taken[instrument_id] = tuple(came if bars is None else map(Bar._make, bars))

    def wanted(self, instrument_id: str, kind: str, fields: Any) -> None:
        """Take note of what a trader wanted of the venue."""
        self.unfinished.setdefault(instrument_id, []).append((kind, fields))

    def row(self, kind: str, row: dict[str, Any]) -> None:
        """Take a row of the journal."""
        if kind == "decisions":
            self._turn.append(row)
        else:
            self.rows.setdefault(kind, []).append(row)

    def turn_over(self) -> None:
        """Finish the decisions of a turn: what was wanted in it is theirs."""
        for row in self._turn:
            name = row["instrument_id"]
            seen = np.frombuffer(self._observed.pop(name, b""), dtype=np.float32)
            one = Decision(
                instrument_id=name,
                ts_event=row["ts_event"],
                row=row,
                observation=tuple(seen.tolist()),
                bars=self._taken.pop(name, ()),
                orders=tuple(self.unfinished.pop(name, ())),
            )
            self.made.append(one)
        self._turn.clear()


class Rows(Protocol):
    """A record (`adapters.session_log.SessionLog`)."""

    @property
    def folder(self) -> Path:
        """Where it is."""

    def rows(self) -> Iterator[Row]:
        """Yield every row in order."""


def turns(log: Rows, made: Decisions) -> Iterator[Begin | Turn]:
    """Yield what each process of the session began with, and its turns; what it decided goes to ``made``.

    Raises
    ------
    DataError
        Where the record does not begin with a process, or a row cannot be read.
    """
    turn: Turn | None = None
    for row in log.rows():
        if row.kind == "start":
            if turn is not None:
                yield turn
                made.turn_over()
            yield _converted(row, Begin)
            turn = Turn(row.seq)
            continue
        if turn is None:
            raise DataError(f"row {row.seq} of {log.folder} comes before any process began; the record is not whole")
        if row.kind == "told" and not row.body[2]:
            yield turn
            made.turn_over()
            turn = Turn(row.seq)
        _fold(row, turn, made)
    if turn is not None:
        yield turn
        made.turn_over()


def _fold(row: Row, turn: Turn, made: Decisions) -> None:
    """Add a row to its turn."""
    if row.source == "decided":
        made.row(row.kind, row.body)
        if row.kind == "decisions":
            turn.decided[row.body["instrument_id"]] = row.seq
        return
    match row.kind:
        case "told":
            turn.told.append(Told(row.body[0], row.body[1], tuple((kind, body) for kind, body in row.body[3])))
        case "answer":
            component, question, arguments, said, raised = row.body
            turn.answers.setdefault((component, question, str(arguments)), deque()).append((said, raised))
        case "call":
            name, method, follows, arguments = row.body
            call = Call(row.seq, name, method, follows, tuple(arguments))
            (turn.following if call.follows else turn.calls).append(call)
        case "wanted":
            name = row.body[0].removeprefix("trader.")
            for kind, fields in row.body[1]:
                made.wanted(name, kind, fields)
        case "observation":
            made.observed(*row.body)
        case _:
            pass


def bar_of(turn: Turn, told: Told) -> tuple[str, Bar, float] | None:
    """Return a base bar that a handler was told, its instrument and its taker-buy volume.

    None for anything else, and for a bar whose volume was not known yet: it is told once more.
    """
    if len(told.arguments) == 1:
        kind, body = told.arguments[0]
        if kind == "bar":
            name = body[0].rsplit("-", 4)[0]
            answers = turn.answers.get(("outside", "taker_buy", str([name, body[7]])))
            if answers and answers[0][0] is not None:
                return name, Bar(body[7], *(float(text) for text in body[1:6])), answers[0][0]
        elif kind == ClosedBar.__name__:
            return body["instrument_id"], Bar(*(body[name] for name in Bar._fields)), body["taker_buy"]
    return None


def replayed_argument(kind: str, body: Any) -> Any:
    """Return what a handler was told, as it was told it."""
    if kind == "value":
        return body
    if kind == "bar":
        name, *prices, volume, ts_event, ts_init = body
        first, high, low, close = map(Price.from_str, prices)
        return EngineBar(BarType.from_str(name), first, high, low, close, Quantity.from_str(volume), ts_event, ts_init)
    if kind == "funding":
        name, rate, ts_event, ts_init, next_ns = body
        return FundingRateUpdate(InstrumentId.from_str(name), Decimal(rate), ts_event, ts_init, next_funding_ns=next_ns)
    return msgspec.convert(body, getattr(core.messages, kind))


def _converted[T](row: Row, kind: type[T]) -> T:
    try:
        return msgspec.convert(row.body, kind)
    except msgspec.ValidationError as error:
        raise DataError(f"row {row.seq}: {error}; the record is of another version of the program") from error
