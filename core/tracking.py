"""The orders of one instrument: their names, their states, and when an answer is overdue."""

from collections.abc import Iterator

import msgspec

from core.commands import Purpose, Style
from core.order_states import OVER, WAITING, Event, OrderState, step
from core.slices import parent_of

__all__ = ["Order", "Orders", "TrackedOrders"]

_REMEMBERED = 64
"""Orders that are over and still known, so that a late or a second fill finds them."""
_MARKS: dict[Purpose, str] = {"entry": "N", "increase": "A", "reduce": "R", "exit": "X", "stop": "S"}
_PURPOSES: dict[str, Purpose] = {mark: purpose for purpose, mark in _MARKS.items()}
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MOST_DOUBLINGS = 5
_SECOND_LOOK_NS = 10_000_000


class Order(msgspec.Struct):
    """An order and all that is known of it.

    ``side`` +1 buy, -1 sell; lots unsigned, ``lots`` in total; ``trigger_ticks`` of a stop as the venue has it,
    ``wanted_lots`` and ``wanted_ticks`` as they were asked for; ``counts``: it adds to a position or takes a part of
    its profit; ``equity`` at its decision and prices in quote currency; ``since_ns`` when it came into its state;
    ``answered_ns`` -1 before the venue's first answer; ``counted_ns``: fills up to this time are counted, for the venue
    said how many there were; ``trades`` time and lots of each by its id; ``reminded_ns`` when its answer was found
    missing first;
    ``priced`` lots whose fills are known one by one, what they were ``worth`` (lots times price) and their ``fees``;
    ``unwanted``: what it fills from now on is closed again; ``cancel_asked``: its end may be our own wish;
    ``withdrawn``: the gate was told that it came to nothing; ``abandoned``: nobody minds it, and it is cancelled, as
    often as it takes.
    """

    order_id: str
    purpose: Purpose
    side: int
    lots: int
    style: Style = "market"
    reduce_only: bool = False
    arrival_price: float = 0.0
    exit_code: int = 0
    planned_stop: float = 0.0
    counts: bool = False
    equity: float = 0.0
    trigger_ticks: int = 0
    wanted_lots: int = 0
    wanted_ticks: int = 0
    state: OrderState = OrderState.SUBMITTED
    submitted_ns: int = 0
    since_ns: int = 0
    answered_ns: int = -1
    filled: int = 0
    priced: int = 0
    worth: float = 0.0
    fees: float = 0.0
    counted_ns: int = 0
    reminded_ns: int = 0
    queries: int = 0
    unwanted: bool = False
    cancel_asked: bool = False
    withdrawn: bool = False
    abandoned: bool = False
    trades: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)

    @property
    def left(self) -> int:
        """Lots that may still fill."""
        return self.lots - self.filled

    def count(self, trade_id: str, ts_ns: int, lots: int, price: float, fee: float) -> None:
        """Take note of a fill."""
        self.trades[trade_id] = (ts_ns, lots)
        self.filled += lots
        self.price(lots, price, fee)

    def price(self, lots: int, price: float, fee: float) -> None:
        """Take note of what lots cost that are counted already."""
        self.priced += lots
        self.worth += lots * price
        self.fees += fee

    def untold(self, lots: int, price: float, fees: float) -> tuple[float, float]:
        """Return average price and fees of the lots not told one by one, of ``lots`` in all at ``price``, ``fees``."""
        if lots > self.priced:
            price = (lots * price - self.worth) / (lots - self.priced)
        return price, fees - self.fees

    def filled_by(self, ts_ns: int) -> int:
        """Return the lots that are known to have filled up to a time."""
        return sum(lots for ts, lots in self.trades.values() if ts <= ts_ns)

    @property
    def increases(self) -> bool:
        """Whether it makes a position larger."""
        return self.purpose in {"entry", "increase"}


class TrackedOrders(msgspec.Struct):
    """What of `Orders` outlives a restart."""

    live: list[Order]
    over: list[Order]
    named_ns: int
    named: int


class Orders:
    """Every order that is not over, and the last of those that are.

    Parameters
    ----------
    prefix : str
        First part of every name; at most 12 characters, so that slices can be named after an order.
    timeout_ns : int
        Time in which the venue must answer.
    """

    def __init__(self, prefix: str, timeout_ns: int) -> None:
        self.live: dict[str, Order] = {}
        self._prefix = prefix
        self._timeout_ns = timeout_ns
        self._over: dict[str, Order] = {}
        self._named_ns = 0
        self._named = 0

    def name(self, purpose: Purpose, ts_ns: int) -> str:
        """Return a name that no order had before: the same again for the same course of events.

        Time never goes back in it, and orders of one time are counted.
        """
        self._named = self._named + 1 if ts_ns <= self._named_ns else 1
        self._named_ns = max(ts_ns, self._named_ns)
        return f"{self._prefix}-{_base36(self._named_ns)}-{_MARKS[purpose]}{self._named}"

    def add(self, order: Order) -> None:
        """Track a new order, or one that was thought to be over."""
        self._over.pop(order.order_id, None)
        self.live[order.order_id] = order

    def purpose_of(self, order_id: str) -> Purpose | None:
        """Return what an order of ours is for, by its name or that of its slice; None for one that is not ours."""
        first, _, last = parent_of(order_id).rpartition("-")
        ours = first.startswith(f"{self._prefix}-")
        return _PURPOSES.get(last[:1]) if ours else None

    def set_back(self, now_ns: int) -> None:
        """Date nothing later than now: where the clock went back, an answer would be waited for until it is there."""
        for order in self.live.values():
            order.since_ns = min(order.since_ns, now_ns)
            order.reminded_ns = min(order.reminded_ns, now_ns)

    def find(self, order_id: str) -> Order | None:
        """Return an order by its name, or the parent of a slice by the slice's; None where nobody knows it."""
        for name in (order_id, parent_of(order_id)):
            order = self.live.get(name) or self._over.get(name)
            if order is not None:
                return order
        return None

    def apply(self, order: Order, event: Event, now_ns: int) -> bool:
        """Move an order by its table; return whether the event was legal."""
        after, legal = step(order.state, event)
        if after != order.state or event == Event.TIMEOUT:
            order.since_ns = now_ns
        order.reminded_ns = 0
        if event == Event.TIMEOUT:
            order.queries += 1
        elif order.answered_ns < 0 and event not in {Event.ASK_CANCEL, Event.ASK_MODIFY}:
            order.answered_ns = now_ns
        if after is not OrderState.UNKNOWN:
            order.queries = 0
        order.state = after
        if after in OVER and self.live.pop(order.order_id, None) is not None:
            self._over[order.order_id] = order
            while len(self._over) > _REMEMBERED:
                del self._over[next(iter(self._over))]
        return legal

    def under_way(self) -> Order | None:
        """Return the order that is to change the position, stops aside; None where there is none."""
        for order in self.live.values():
            if order.purpose != "stop":
                return order
        return None

    def unknown(self) -> bool:
        """Return whether the fate of any order is unknown."""
        return any(order.state is OrderState.UNKNOWN for order in self.live.values())

    def growing_lots(self) -> int:
        """Return the lots (unsigned) by which orders under way may still make the position larger."""
        return sum(order.left for order in self.live.values() if order.increases)

    def overdue(self, now_ns: int) -> Iterator[Order]:
        """Yield the orders whose answer should have come by now.

        An alarm may ring before news are handed on that have arrived: each order is looked at twice, a moment apart.
        """
        for order in list(self.live.values()):
            if not _awaited(order) or now_ns < self._deadline(order):
                continue
            if order.reminded_ns > 0:
                yield order
            else:
                order.reminded_ns = now_ns

    def wake_ns(self) -> int:
        """Return when the next answer is overdue, ns UTC; 0 where none is waited for."""
        return min((self._deadline(order) for order in self.live.values() if _awaited(order)), default=0)

    def snapshot(self) -> TrackedOrders:
        """Return what outlives a restart."""
        return TrackedOrders(list(self.live.values()), list(self._over.values()), self._named_ns, self._named)

    def restore(self, kept: TrackedOrders) -> None:
        """Go on from what outlived a restart."""
        self.live = {order.order_id: order for order in kept.live}
        self._over = {order.order_id: order for order in kept.over}
        self._named_ns, self._named = kept.named_ns, kept.named

    def _deadline(self, order: Order) -> int:
        if order.reminded_ns > 0:
            return order.reminded_ns + _SECOND_LOOK_NS
        return order.since_ns + (self._timeout_ns << min(order.queries, _MOST_DOUBLINGS))


def _awaited(order: Order) -> bool:
    """Return whether news of an order is due: an answer, or the end of a market order, which never rests."""
    return order.state in WAITING or order.style == "market"


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
