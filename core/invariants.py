"""What must hold at every moment, as one table: each invariant with its meaning, what it looks at, and its check.

Nothing here decides or trades. A check compares what the venue, the cache, the journal and the owner of a position say
with each other and with the limits; where something does not hold there is a defect, in the program or at the venue.
What is on its way is given the time that `Limits` states: `core.watch` sees to that.
"""

from collections.abc import Callable
from math import isnan
from typing import NamedTuple

__all__ = ["INVARIANTS", "Invariant", "Limits", "Look", "StandingOrder", "Violation", "violations"]

_ROUNDING = 1e-9
"""Relative slack of sums of floats."""


class Limits(NamedTuple):
    """Limits of the checks.

    ``unprotected_seconds`` that lots may be held without a stop; ``settle_seconds`` that answers may be under way;
    ``decision_seconds`` without a decision while data flow; ``breaker_seconds`` without a look of the breaker while
    something is held; ``max_capital`` fraction of equity.
    """

    unprotected_seconds: float
    settle_seconds: float
    decision_seconds: float
    breaker_seconds: float
    max_capital: float


class StandingOrder(NamedTuple):
    """An order that is open at the venue, or on its way there (not ``resting``).

    ``known``: its owner has written it down; ``protective``: a stop; ``side`` +1 buy, -1 sell; ``lots`` left to fill;
    ``trigger`` of a stop, quote currency, else 0; ``placed``: it stands where the last look did not find it.
    """

    order_id: str
    known: bool
    resting: bool
    protective: bool
    side: int
    lots: int
    reduce_only: bool
    trigger: float
    placed: bool


class Look(NamedTuple):
    """What one look finds of an instrument; lots signed.

    ``kept_lots``: of the present side, held throughout the last ``unprotected_seconds``; ``covered_lots`` (unsigned):
    the most that stops against that side covered in this time; ``most_long`` and ``most_short`` (unsigned) within the
    last ``settle_seconds``; ``cache_lots`` of the engine, ``owner_lots`` of the strategy, ``journal_lots`` summed
    over the journal's fills, ``venue_lots`` by the venue's own word (None: not asked); ``apart_seconds`` since these
    began to differ, 0 where they agree; the engine's are none of these where the venue confirms the strategy's, and
    ``astray_seconds`` since then they differ; ``close`` of the last decision, quote currency, 0 before any;
    ``decision_age_seconds`` while data have flowed all along, else NaN; ``breaker_age_seconds`` while something is
    held, else NaN; ``committed`` notional of all instruments and ``equity`` when an increase was last ordered, quote
    currency, NaN where none was since the last look.
    """

    instrument_id: str
    cache_lots: int
    owner_lots: int
    journal_lots: int
    venue_lots: int | None
    kept_lots: int
    most_long: int
    most_short: int
    apart_seconds: float
    orders: tuple[StandingOrder, ...]
    close: float
    decision_age_seconds: float
    breaker_age_seconds: float
    committed: float
    equity: float
    covered_lots: int = 0
    astray_seconds: float = 0.0

    @property
    def believed_lots(self) -> int:
        """What is held (`core.watch.Words`)."""
        return self.owner_lots if self.venue_lots == self.owner_lots else self.cache_lots


class Violation(NamedTuple):
    """An invariant that does not hold: which, of what, and a line with the numbers."""

    name: str
    instrument_id: str
    detail: str

    @property
    def text(self) -> str:
        """The whole of it in one line."""
        return f"invariant {self.name} violated: {self.instrument_id}: {self.detail}"


class Invariant(NamedTuple):
    """One invariant; ``check`` says in one line what does not hold, and nothing where it does."""

    name: str
    meaning: str
    inputs: tuple[str, ...]
    check: Callable[[Look, Limits], str]


def violations(look: Look, limits: Limits) -> tuple[Violation, ...]:
    """Return every invariant that does not hold at a look."""
    found = ((invariant.name, invariant.check(look, limits)) for invariant in INVARIANTS)
    return tuple(Violation(name, look.instrument_id, detail) for name, detail in found if detail)


def _stops(look: Look) -> list[StandingOrder]:
    """Return the stops that rest at the venue."""
    return [order for order in look.orders if order.protective and order.resting]


def _unprotected(look: Look, limits: Limits) -> str:
    side = -1 if look.kept_lots > 0 else 1
    covered = max(look.covered_lots, sum(order.lots for order in _stops(look) if order.side == side))
    if covered >= abs(look.kept_lots):
        return ""
    return (
        f"{look.kept_lots} lots have been held for {limits.unprotected_seconds:g} seconds or longer, "
        f"stops for {covered} lots rest"
    )


def _overprotected(look: Look, limits: Limits) -> str:
    stops = _stops(look)
    loose = next((order for order in stops if not order.reduce_only), None)
    if loose is not None:
        return f"the stop {loose.order_id} of {loose.lots} lots is not reduce-only"
    for side, name, most, kind in ((-1, "sell", look.most_long, "long"), (1, "buy", look.most_short, "short")):
        lots = sum(order.lots for order in stops if order.side == side)
        if lots > most:
            return (
                f"stops that {name} {lots} lots rest, at most {most} lots have been {kind} "
                f"in the last {limits.settle_seconds:g} seconds"
            )
    return ""


def _used_capital(look: Look, limits: Limits) -> str:
    limit = limits.max_capital * look.equity
    if isnan(look.committed) or look.committed <= limit * (1.0 + _ROUNDING):
        return ""
    return (
        f"{look.committed:.2f} were committed when an increase was ordered, "
        f"the limit is {limits.max_capital:g} of {look.equity:.2f}, {limit:.2f}"
    )


def _reconciled(look: Look, limits: Limits) -> str:
    if look.apart_seconds < limits.settle_seconds:
        return ""
    venue = "" if look.venue_lots is None else f", {look.venue_lots} by the venue"
    return (
        f"{look.owner_lots} lots by the strategy, {look.cache_lots} by the cache, {look.journal_lots} by the journal"
        f"{venue}, for {look.apart_seconds:g} seconds"
    )


def _known_orders(look: Look, _: Limits) -> str:
    stranger = next((order for order in look.orders if not order.known), None)
    if stranger is None:
        return ""
    side = "buys" if stranger.side > 0 else "sells"
    return f"the order {stranger.order_id} is open and {side} {stranger.lots} lots, and nobody has written it down"


def _fresh_decision(look: Look, limits: Limits) -> str:
    if isnan(look.decision_age_seconds) or look.decision_age_seconds <= limits.decision_seconds:
        return ""
    return (
        f"no decision in the last {limits.decision_seconds:g} seconds, though no bar was missing; "
        f"the last is {look.decision_age_seconds:g} seconds old"
    )


def _breaker_evaluated(look: Look, limits: Limits) -> str:
    if isnan(look.breaker_age_seconds) or look.breaker_age_seconds <= limits.breaker_seconds:
        return ""
    return (
        f"{look.believed_lots} lots are held and the breaker was evaluated {look.breaker_age_seconds:g} seconds ago, "
        f"the limit is {limits.breaker_seconds:g}"
    )


def _stop_side(look: Look, _: Limits) -> str:
    if look.close <= 0.0:
        return ""
    for order in look.orders:
        if order.protective and order.placed and order.side * (order.trigger - look.close) <= 0.0:
            name, where = ("long", "below") if order.side < 0 else ("short", "above")
            return f"the stop of a {name} was placed at {order.trigger:g}, not {where} the close {look.close:g}"
    return ""


INVARIANTS: tuple[Invariant, ...] = (
    Invariant("unprotected", "no lot is held without a resting stop for longer than unprotected_seconds",
              ("kept_lots", "orders"), _unprotected),
    Invariant("overprotected", "resting stops are reduce-only, on the right side, and never more than is held",
              ("most_long", "most_short", "orders"), _overprotected),
    Invariant("used_capital", "when an increase is ordered, all that is committed is at most max_capital of the equity;"
              " what prices or losses do to it later is no violation",
              ("committed", "equity"), _used_capital),
    Invariant("reconciled", "the position is the same by venue, cache, journal and strategy, but for settle_seconds;"
              " where the venue confirms the strategy, a cache that lags freezes entries and violates nothing",
              ("cache_lots", "owner_lots", "journal_lots", "venue_lots", "apart_seconds"), _reconciled),
    Invariant("known_orders", "every open order has been written down by its owner", ("orders",), _known_orders),
    Invariant("fresh_decision", "while no bar is missing, the last decision is younger than two decision bars",
              ("decision_age_seconds",), _fresh_decision),
    Invariant("breaker_evaluated", "while anything is held, the breaker has been evaluated within breaker_seconds",
              ("breaker_age_seconds",), _breaker_evaluated),
    Invariant("stop_side", "a long's stop is placed below, a short's above the close that was decided on",
              ("orders", "close"), _stop_side),
)  # fmt: skip
"""Every invariant, in the order in which violations are named."""
