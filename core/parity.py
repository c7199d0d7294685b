"""Two runs of the same decisions held against each other: the share that is identical, and the first cause of a gap.

Theory of operation. A decision is a chain: bars, features, what is held, what the account is worth, votes, verdicts,
orders. Where two decisions differ, the first link that does is the cause, and all later ones are consequences. Numbers
are compared exactly: decisions are pure, so that the same input has no reason to give another last digit.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from core.observation import POSITION_COLUMNS
from core.times import iso

__all__ = ["Cause", "Decision", "Difference", "Parity", "compare", "equal"]

type Cause = Literal["data", "feature", "model", "risk", "fill"]

_MARKET = ("close", "atr", "volatility", "volatility_rank")
_CHAIN: tuple[tuple[Cause, tuple[str, ...]], ...] = (
    ("feature", _MARKET),
    ("fill", ("position_lots", "entry_price", "stop_price")),
    ("risk", ("equity", "drawdown", "state")),
)
_AFTER: tuple[tuple[Cause, tuple[str, ...]], ...] = (
    (
        "model",
        (
            "models", "weights", "levels", "confidences", "level", "confidence", "agreement", "voters", "abstention",
            "tradable",
        ),
    ),
    ("risk", ("verdict", "rules", "target_lots", "new_stop_price", "exit_reason", "reason")),
    ("fill", ("client_order_id",)),
)  # fmt: skip
"""Columns of a decision's row by the cause that they speak of, in the order in which one leads to the next."""
_UPSTREAM: tuple[Cause, ...] = ("data", "feature", "fill", "risk", "model")
"""At one close, the account of all instruments follows from the fill of one."""
_SHOWN = 6
_AGES = frozenset({"stale_data", "stale_state"})
"""Rules whose numbers are how fast a machine was."""

type Row = Mapping[str, Any]
_NONE: Mapping[str, tuple[Sequence[Row], Sequence[Row]]] = {}


class Bar(NamedTuple):
    """A base bar: its close (ns), prices in quote currency, volume in base asset."""

    ts_close: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it was made, or as it is made again.

    ``row`` as in the journal; ``observation`` what the models saw, empty where they were not asked; ``bars`` that came
    since they were last asked; ``orders`` what was wanted of the venue since the last decision, by kind, with all
    fields.
    """

    instrument_id: str
    ts_event: int
    row: Mapping[str, Any]
    observation: tuple[float, ...] = ()
    bars: tuple[Bar, ...] = ()
    orders: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first link that differs: its name and both values; ``bar_ns`` the base bar where one is to blame, else 0.

    ``features`` differ in the observation (name, recorded, replayed); ``consequences`` in words.
    """

    cause: Cause
    instrument_id: str
    ts_event: int
    name: str
    recorded: Any
    replayed: Any
    bar_ns: int = 0
    features: tuple[tuple[str, float, float], ...] = ()
    consequences: tuple[str, ...] = ()


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How two runs compare.

    ``missing`` decisions of the first that the second does not have, ``extra`` the reverse; ``rows`` of the journal by
    kind, all and identical; ``causes`` of the decisions that differ, counted.
    """

    decisions: int
    identical: int
    missing: int
    extra: int
    orders: int
    orders_identical: int
    rows: dict[str, tuple[int, int]]
    causes: dict[str, int]
    first: Difference | None

    @property
    def share(self) -> float:
        """Identical decisions over all, 1 where there are none."""
        return self.identical / self.decisions if self.decisions else 1.0

    @property
    def exact(self) -> bool:
        """Whether nothing differs at all."""
        return self.first is None and self.missing == self.extra == 0


def compare(
    recorded: Sequence[Decision],
    replayed: Sequence[Decision],
    columns: Sequence[str],
    rows: Mapping[str, tuple[Sequence[Row], Sequence[Row]]] = _NONE,
    *,
    named: bool = True,
) -> Parity:
    """Compare decisions made with those made again.

    Parameters
    ----------
    recorded, replayed : Sequence[Decision]
        Matched by instrument and time.
    columns : Sequence[str]
        Names of the market's features, in the order of the observation.
    rows : Mapping[str, tuple[Sequence[Row], Sequence[Row]]]
        Further rows of the journal, recorded and replayed, by kind; matched in order.
    named : bool
        Whether orders must bear the same names and times; a simulation cannot know them.
    """
    if not named:
        recorded, replayed = [_nameless(one) for one in recorded], [_nameless(one) for one in replayed]
    again = {(one.instrument_id, one.ts_event): one for one in replayed}
    met = [(one, again.get((one.instrument_id, one.ts_event))) for one in recorded]
    missing = [one for one, other in met if other is None]
    pairs = [(one, other) for one, other in met if other is not None]
    names = (*columns, *POSITION_COLUMNS)
    found = [(one, other, _difference(one, other, names)) for one, other in pairs]
    gaps = [(one, other, gap) for one, other, gap in found if gap is not None]
    causes: dict[str, int] = {}
    for _, _, gap in gaps:
        causes[gap.cause] = causes.get(gap.cause, 0) + 1
    first: Difference | None = None
    if gaps:
        at_once = [found for found in gaps if found[2].ts_event == gaps[0][2].ts_event]
        one, other, gap = min(at_once, key=lambda found: _UPSTREAM.index(found[2].cause))
        later = next((g for a, b, g in gaps if not equal(a.orders, b.orders)), None)
        first = msgspec.structs.replace(gap, consequences=_consequences(one, other, gap, later))
    elif missing:
        first = _missed(missing[0])
    else:
        first = next(filter(None, (_rows(kind, mine, others) for kind, (mine, others) in rows.items())), None)
    return Parity(
        decisions=len(recorded),
        identical=len(found) - len(gaps),
        missing=len(missing),
        extra=len(again) - len(pairs),
        orders=sum(len(one.orders) for one in recorded),
        orders_identical=sum(
            equal(a, b) for one, other in pairs for a, b in zip(one.orders, other.orders, strict=False)
        ),
        rows={kind: (len(a), sum(map(equal, a, b))) for kind, (a, b) in rows.items()},
        causes=causes,
        first=first,
    )


def _nameless(one: Decision) -> Decision:
    """Return a decision whose orders bear neither names nor times."""
    row = {name: value for name, value in one.row.items() if name != "client_order_id"}
    row["rules"] = [rule for rule in _judged(one.row) if rule[0] not in _AGES]
    orders = tuple(
        (kind, {name: value for name, value in fields.items() if name not in {"order_id", "ts_event"}})
        for kind, fields in one.orders
    )
    return msgspec.structs.replace(one, row=row, orders=orders)


def equal(one: Any, other: Any) -> bool:
    """Return whether two plain values are the same; NaN is, and a list is what a tuple is."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other)


def _difference(one: Decision, other: Decision, names: Sequence[str]) -> Difference | None:
    """Return the first link of the chain that differs."""
    features = _features(one, other, names)
    market = [gap for gap in features if gap[0] not in POSITION_COLUMNS]
    bar = _bar(one, other)
    if bar is not None:
        return _told("data", one, *bar, features)
    if market:
        return _told("feature", one, *market[0], features)
    link = _link(one, other, _CHAIN)
    if link is None and features:
        return _told("fill", one, *features[0], features)
    if link is None:
        link = _link(one, other, _AFTER)
    if link is None and not equal(one.orders, other.orders):
        link = ("fill", "orders", *_first_order(one, other))
    return None if link is None else _told(link[0], one, *link[1:], features)


def _told(cause: Cause, one: Decision, name: str, recorded: Any, replayed: Any, *rest: Any) -> Difference:
    *bar_ns, features = rest
    return Difference(
        cause=cause,
        instrument_id=one.instrument_id,
        ts_event=one.ts_event,
        name=name,
        recorded=recorded,
        replayed=replayed,
        bar_ns=bar_ns[0] if bar_ns else 0,
        features=tuple(features[:_SHOWN]),
    )


def _bar(one: Decision, other: Decision) -> tuple[str, Any, Any, int] | None:
    """Return what of which base bar is not as it was when it was decided on, both values, and the bar's close."""
    for mine, again in zip(one.bars, other.bars, strict=False):
        for name, a, b in zip(Bar._fields, mine, again, strict=True):
            if not equal(a, b):
                return f"bar.{name}", a, b, mine.ts_close
    if len(one.bars) != len(other.bars):
        longer = max(one.bars, other.bars, key=len)
        return "bars", len(one.bars), len(other.bars), longer[min(len(one.bars), len(other.bars))].ts_close
    return None


def _features(one: Decision, other: Decision, names: Sequence[str]) -> list[tuple[str, float, float]]:
    """Return the entries of the observations that differ."""
    triples = zip(names, one.observation, other.observation, strict=False)
    return [(name, a, b) for name, a, b in triples if not equal(a, b)]


def _link(
    one: Decision, other: Decision, chain: Sequence[tuple[Cause, tuple[str, ...]]]
) -> tuple[Cause, str, Any, Any] | None:
    for cause, columns in chain:
        for name in columns:
            a, b = one.row.get(name), other.row.get(name)
            if not equal(a, b):
                return (cause, *_rule(one.row, other.row)) if name == "rules" else (cause, name, a, b)
    return None


def _judged(row: Row) -> Sequence[Any]:
    """Return what each rule said: its name, its word, the number, the limit, and the lots that are left."""
    rules = row.get("rules") or ()
    judged: Sequence[Any] = msgspec.json.decode(rules)["rules"] if isinstance(rules, str) else rules
    return judged


def _rule(one: Row, other: Row) -> tuple[str, Any, Any]:
    """Return the first rule that speaks otherwise."""
    for a, b in zip(_judged(one), _judged(other), strict=False):
        if not equal(a, b):
            return f"rule {a[0]}", a[1:], b[1:]
    return "rules", one["rules"], other["rules"]


def _first_order(one: Decision, other: Decision) -> tuple[Any, Any]:
    for a, b in zip(one.orders, other.orders, strict=False):
        if not equal(a, b):
            return a, b
    place = min(len(one.orders), len(other.orders))
    return (*one.orders, None)[place], (*other.orders, None)[place]


def _consequences(one: Decision, other: Decision, gap: Difference, later: Difference | None) -> tuple[str, ...]:
    """Return what followed of the first difference, in words."""
    said = [f"feature {name} {a} -> {b}" for name, a, b in gap.features] or ["no feature differs"]
    columns = [name for _, names in (*_CHAIN, *_AFTER) for name in names if name not in {gap.name, "rules"}]
    for name in columns:
        a, b = one.row.get(name), other.row.get(name)
        if not equal(a, b):
            said.append(f"{name} {a} -> {b}")
    if not equal(one.orders, other.orders):
        a, b = _first_order(one, other)
        said.append(f"order {a} -> {b}")
    elif later is not None:
        said.append(
            f"the first order that differs comes with the decision at {iso(later.ts_event)} on {later.instrument_id}"
        )
    else:
        said.append("no order differs")
    return tuple(said)


def _rows(kind: str, mine: Sequence[Row], again: Sequence[Row]) -> Difference | None:
    """Return the first row of a kind that differs."""
    for place in range(max(len(mine), len(again))):
        one, other = (*mine[place : place + 1], {})[0], (*again[place : place + 1], {})[0]
        if not equal(one, other):
            name = next((key for key in one if not equal(one.get(key), other.get(key))), "row")
            row = one or other
            return Difference(
                cause="risk",
                instrument_id=str(row.get("instrument_id", "")),
                ts_event=int(row["ts_event"]),
                name=f"{kind}.{name}",
                recorded=one.get(name),
                replayed=other.get(name),
            )
    return None


def _missed(one: Decision) -> Difference:
    return Difference(
        cause="data",
        instrument_id=one.instrument_id,
        ts_event=one.ts_event,
        name="decision",
        recorded="made",
        replayed="not made",
        bar_ns=one.ts_event,
    )
