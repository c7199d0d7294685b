"""A venue made of a recording: what an order would have got, assumption by assumption.

- An order reaches the venue ``LATENCY_NS`` after it is sent, and so does a cancel.
- Taking, with a book: the order walks the recorded book; what it took is there again at the next update.
- Taking, without one: the impact model. From its arrival on it gets half (``TAKEN``) of every trade of its own side,
  at that trade's price but never better than bid or ask at its arrival, one trade used once by a parent, until it is
  filled; an immediate one only within a second. The bound matters: without it an order that takes is paid for waiting
  (a buy waits until somebody else buys, which is after prices have come down), and a single market order in APEUSDT
  seemed to earn half a basis point. With it the model is a little pessimistic for what takes.
- Resting: filled by nothing but trades of the other side. At its price they first eat the size displayed there when
  it arrived; through its price they fill it at once, never more than was traded. Without displayed sizes, or behind
  the best price, only trades through its price fill it. Nobody ahead of it ever cancels, which is pessimistic.
- Nobody reacts to our orders, and parents do not see each other.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.recordings import Recording
from core.chase import Order
from core.parent import Cancel, Parent, Touch

LATENCY_NS = 10_000_000
TAKEN = 0.5
PATIENCE_NS = 1_000_000_000


class Fill(NamedTuple):
    """A fill: ns UTC, lots, quote currency, and whether it rested."""

    ts: int
    lots: int
    price: float
    maker: bool


class Resting(NamedTuple):
    """An order in the book since ``cursor`` (row of the trades), behind ``queue`` lots."""

    number: int
    limit: float
    left: int
    queue: float
    cursor: int


class Tape:
    """One parent against the recording."""

    def __init__(self, market: Recording, parent: Parent) -> None:
        self.fills: list[Fill] = []
        self.ended_ns = parent.order.start_ns
        self._market = market
        self._parent = parent
        self._side = parent.order.side
        self._lot, self._tick = parent.order.instrument.lot, parent.order.instrument.tick
        self._resting: Resting | None = None
        self._used = int(np.searchsorted(market.trade_ts, parent.order.start_ns, side="right"))
        self._start = self._used
        self._sent = 0
        self._traded = np.cumsum(market.size)

    def play(self) -> list[Fill]:
        """Work the parent to its end, or the recording to its."""
        parent, now = self._parent, self._parent.order.start_ns
        while not parent.outcome and parent.wake_ns > 0 and now <= self._market.ts[-1]:
            self._rest_until(now)
            self._look(now)
            now = max(parent.wake_ns, now + 1)
        self.ended_ns = max([self.ended_ns, now, *(fill.ts for fill in self.fills)])
        return self.fills

    def mid(self, now: int) -> float:
        """Return the middle of the market."""
        row = self._row(now)
        return float(self._market.bid[row] + self._market.ask[row]) / 2.0

    def _row(self, now: int) -> int:
        return max(int(np.searchsorted(self._market.ts, now, side="right")) - 1, 0)

    def _touch(self, now: int) -> Touch:
        row = self._row(now)
        seen = int(np.searchsorted(self._market.trade_ts, now, side="right")) - 1
        before = self._traded[self._start - 1] if self._start else 0.0
        lots = max(float(self._traded[seen] - before), 0.0) / self._lot if seen >= 0 else 0.0
        return Touch(round(self._market.bid[row] / self._tick), round(self._market.ask[row] / self._tick), lots)

    def _look(self, now: int) -> None:
        if self._parent.outcome:
            return
        for command in self._parent.look(now, self._touch(now)):
            if isinstance(command, Cancel):
                self._cancel(now + LATENCY_NS)
            elif command.kind == "post_only":
                self._place(command, now + LATENCY_NS)
            else:
                self._take(command, now + LATENCY_NS)

    def _take(self, order: Order, at: int) -> None:
        self._sent += 1
        limit = order.ticks * self._tick if order.kind == "immediate" else self._side * np.inf
        walk = self._from_book if len(self._market.book_ts) else self._from_trades
        for fill in walk(order, at, limit):
            self._fill(self._sent, fill)
        if self._parent.outcome == "":
            self._parent.on_ended(self._sent)

    def _from_book(self, order: Order, at: int, limit: float) -> list[Fill]:
        book = self._market.levels[max(int(np.searchsorted(self._market.book_ts, at, side="right")) - 1, 0)]
        left, found = order.lots, []
        for price, size in book[1 if self._side > 0 else 0]:
            lots = min(left, round(size / self._lot)) if np.isfinite(price) else 0
            if lots == 0 or self._side * price > self._side * limit + 1e-9:
                break
            found.append(Fill(at, lots, float(price), maker=False))
            left -= lots
        return found

    def _from_trades(self, order: Order, at: int, limit: float) -> list[Fill]:
        market, left, found = self._market, order.lots, []
        touch = (market.ask if self._side > 0 else market.bid)[self._row(at)]
        row = max(self._used, int(np.searchsorted(market.trade_ts, at, side="left")))
        while left > 0 and row < len(market.trade_ts):
            if order.kind == "immediate" and market.trade_ts[row] > at + PATIENCE_NS:
                break
            price = self._side * max(self._side * market.price[row], self._side * touch)
            if market.buyer[row] == (self._side > 0) and self._side * price <= self._side * limit + 1e-12:
                lots = min(left, int(TAKEN * market.size[row] / self._lot))
                if lots > 0:
                    found.append(Fill(int(market.trade_ts[row]), lots, float(price), maker=False))
                    left -= lots
            row += 1
        self._used = row
        return found

    def _place(self, order: Order, at: int) -> None:
        self._sent += 1
        row, market, limit = self._row(at), self._market, order.ticks * self._tick
        best, other = (market.bid, market.ask) if self._side > 0 else (market.ask, market.bid)
        if self._side * limit >= self._side * other[row] - 1e-12:
            self._parent.on_ended(self._sent, refusal="would take", post_only=True)
            return
        ahead = self._side * (limit - best[row])
        displayed = (market.bid_size if self._side > 0 else market.ask_size)[row]
        queue = 0.0 if ahead > 1e-12 else displayed / self._lot if displayed > 0.0 and ahead > -1e-12 else np.inf
        cursor = int(np.searchsorted(market.trade_ts, at, side="right"))
        self._resting = Resting(self._sent, limit, order.lots, float(queue), cursor)

    def _cancel(self, at: int) -> None:
        self._rest_until(at)
        if self._resting is not None:
            number, self._resting = self._resting.number, None
            self._parent.on_ended(number)
            self._look(at)

    def _rest_until(self, now: int) -> None:
        """Fill what rests by the trades up to now."""
        market = self._market
        while self._resting is not None and self._resting.cursor < len(market.trade_ts):
            number, limit, left, queue, row = self._resting
            if market.trade_ts[row] > now:
                return
            self._resting = self._resting._replace(cursor=row + 1)
            beyond = self._side * (limit - market.price[row])
            if market.buyer[row] == (self._side > 0) or beyond < -1e-12:
                continue
            size = market.size[row] / self._lot
            if beyond <= 1e-12:
                eaten = min(queue, size)
                queue, size = queue - eaten, size - eaten
            else:
                queue = 0.0
            lots = min(left, int(size + 1e-6))
            self._resting = self._resting._replace(queue=queue, left=left - lots)
            if left == lots:
                self._resting = None
            if lots > 0:
                self._fill(number, Fill(int(market.trade_ts[row]), lots, limit, maker=True))

    def _fill(self, number: int, fill: Fill) -> None:
        self.fills.append(fill)
        self._parent.on_filled(number, fill.lots)
