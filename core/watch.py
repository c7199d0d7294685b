"""One instrument under watch: what was held when, how long things have been out of step, and when to look again."""

from collections import deque
from collections.abc import Iterable, Sequence
from math import nan
from typing import NamedTuple

from core.invariants import Limits, Look, StandingOrder

__all__ = ["OpenOrder", "Watch", "Words"]

_SECOND_NS = 1_000_000_000
_STOPS = 256
"""Stops whose triggers are remembered: one that is not seen at every look has not been placed again."""
_ANY = 2**62
"""Lots, where any may have been held."""


class OpenOrder(NamedTuple):
    """An order of the engine's cache; members as of `core.invariants.StandingOrder`."""

    order_id: str
    known: bool
    resting: bool
    protective: bool
    side: int
    lots: int
    reduce_only: bool
    trigger: float


class Words(NamedTuple):
    """What others say of an instrument; members as of `core.invariants.Look`, ``breaker_ns`` of its last evaluation."""

    cache_lots: int
    owner_lots: int
    journal_lots: int
    venue_lots: int | None
    close: float
    breaker_ns: int
    decision_age_seconds: float = nan

    @property
    def believed_lots(self) -> int:
        """What is held: the owner's word where the venue confirms it, whatever the engine has in its cache, else that.

        A fill that is told late can be in the cache twice for a while, and one that was never told, not at all.
        """
        return self.owner_lots if self.venue_lots == self.owner_lots else self.cache_lots


class Watch:
    """What must be remembered between two looks at an instrument.

    Parameters
    ----------
    instrument_id : str
        Its name.
    limits : Limits
        How long what may last.
    """

    def __init__(self, instrument_id: str, limits: Limits) -> None:
        self._instrument_id = instrument_id
        self._unprotected_ns = round(limits.unprotected_seconds * _SECOND_NS)
        self._settle_ns = round(limits.settle_seconds * _SECOND_NS)
        self._lots: deque[tuple[int, int]] = deque([(-(2**62), 0)])
        self._covers: deque[tuple[int, tuple[int, int]]] = deque([(-(2**62), (0, 0))])
        self._begun_ns = -(2**62)
        self._apart_since = self._astray_since = -1
        self._triggers: dict[str, float] = {}
        self._ordered = (nan, nan)
        self.due_ns = 0
        """When to look again though nothing happens; 0 for not at all."""

    def begin(self, now_ns: int) -> None:
        """Begin to watch: what was held before is unknown, and stops of before have their time to be withdrawn."""
        self._begun_ns = now_ns

    def held(self, now_ns: int, lots: int) -> None:
        """Take note of signed lots that are held from now on."""
        if lots != self._lots[-1][1]:
            self._lots.append((now_ns, lots))

    def ordered(self, committed: float, equity: float) -> None:
        """Take note of an increase: what is committed with it, in all instruments, and the equity, quote currency."""
        worst, against = self._ordered
        if not committed * against <= worst * equity:
            self._ordered = (committed, equity)

    def look(self, now_ns: int, words: Words, orders: Sequence[OpenOrder]) -> Look:
        """Return what is to be judged now, and set when to look again."""
        held = words.believed_lots
        self.held(now_ns, held)
        self._cover(now_ns, orders)
        self._forget(now_ns)
        settled = [lots for _, lots in _since(self._lots, now_ns - self._settle_ns)]
        known = now_ns - self._begun_ns >= self._settle_ns
        spoken = {held, words.owner_lots, words.journal_lots, words.venue_lots} - {None}
        self._apart_since = _since_when(self._apart_since, now_ns, lasts=len(spoken) > 1)
        self._astray_since = _since_when(self._astray_since, now_ns, lasts=words.cache_lots != held)
        standing = tuple(StandingOrder(*order, self._placed(order)) for order in orders)
        self._triggers |= {order.order_id: order.trigger for order in orders if order.protective}
        while len(self._triggers) > _STOPS:
            del self._triggers[next(iter(self._triggers))]
        committed, equity = self._ordered
        self._ordered = (nan, nan)
        self._schedule(now_ns, held, orders)
        return Look(
            instrument_id=self._instrument_id,
            cache_lots=words.cache_lots,
            owner_lots=words.owner_lots,
            journal_lots=words.journal_lots,
            venue_lots=words.venue_lots,
            kept_lots=self._kept(now_ns, held),
            covered_lots=self._covered(now_ns, held),
            most_long=max(0, *settled) if known else _ANY,
            most_short=-min(0, *settled) if known else _ANY,
            apart_seconds=(now_ns - self._apart_since) / _SECOND_NS if self._apart_since >= 0 else 0.0,
            astray_seconds=(now_ns - self._astray_since) / _SECOND_NS if self._astray_since >= 0 else 0.0,
            orders=standing,
            close=words.close,
            decision_age_seconds=words.decision_age_seconds,
            breaker_age_seconds=(now_ns - words.breaker_ns) / _SECOND_NS if held != 0 else nan,
            committed=committed,
            equity=equity,
        )

    def _placed(self, order: OpenOrder) -> bool:
        """Return whether a stop stands where no look has found it yet."""
        return order.protective and self._triggers.get(order.order_id) != order.trigger

    def _cover(self, now_ns: int, orders: Sequence[OpenOrder]) -> None:
        """Take note of the lots that resting stops sell and buy from now on."""
        stops = [order for order in orders if order.protective and order.resting]
        covers = tuple(sum(order.lots for order in stops if order.side == side) for side in (-1, 1))
        if covers != self._covers[-1][1]:
            self._covers.append((now_ns, (covers[0], covers[1])))

    def _covered(self, now_ns: int, lots: int) -> int:
        """Return the most lots of the present side that stops covered within the time in which one must rest.

        A stop that is replaced is gone for a moment; a position is bare once none has rested for all that time.
        """
        return max(covers[0 if lots > 0 else 1] for _, covers in _since(self._covers, now_ns - self._unprotected_ns))

    def _kept(self, now_ns: int, lots: int) -> int:
        """Return the lots of the present side that were held throughout the time in which a stop must rest."""
        kept = [held for _, held in _since(self._lots, now_ns - self._unprotected_ns)]
        return min(kept) if min(kept) > 0 else max(kept) if lots < 0 and max(kept) < 0 else 0

    def _forget(self, now_ns: int) -> None:
        """Drop stretches that ended before anything that is asked for."""
        oldest = now_ns - max(self._unprotected_ns, self._settle_ns)
        for stretches in (self._lots, self._covers):
            while len(stretches) > 1 and stretches[1][0] <= oldest:
                stretches.popleft()

    def _schedule(self, now_ns: int, lots: int, orders: Sequence[OpenOrder]) -> None:
        """Set when something that is out of step will have been so for too long."""
        due = []
        stops = [order for order in orders if order.protective and order.resting]
        if sum(order.lots for order in stops if order.side * lots < 0) < abs(lots):
            due += [begun + self._unprotected_ns for begun, _ in (*self._lots, *self._covers)]
        if sum(order.lots for order in stops) > abs(lots) or any(order.side * lots > 0 for order in stops):
            due += [begun + self._settle_ns for begun in (self._begun_ns, *(begun for begun, _ in self._lots))]
        due += [since + self._settle_ns for since in (self._apart_since, self._astray_since) if since >= 0]
        self.due_ns = min((at for at in due if at > now_ns), default=0)


def _since_when(since_ns: int, now_ns: int, *, lasts: bool) -> int:
    """Return since when something has been so, -1 where it is not."""
    return -1 if not lasts else since_ns if since_ns >= 0 else now_ns


def _since[T](stretches: deque[tuple[int, T]], ts_ns: int) -> Iterable[tuple[int, T]]:
    """Return what was so from a time on: the stretch that it lies in, and all later ones."""
    first = max(i for i, (begun, _) in enumerate(stretches) if begun <= ts_ns or i == 0)
    return list(stretches)[first:]
