"""A venue that errs, written from what exchanges do and not from what the trader expects.

Orders are accepted, refused for any reason, or done without a word; they fill in parts, and a cancel may come too late.
What only reduces never does more, and the name of an order is taken once.
"""

import random
from itertools import count
from typing import Protocol

import msgspec

from core.commands import Modify, Submit
from core.trader import Fill, OpenOrder

__all__ = ["ErringVenue", "Resting", "Tell"]

REASONS = (
    "-1003: Too many requests", "-1007: Timeout waiting for response", "-1021: Timestamp outside of recvWindow",
    "-1111: Precision is over the maximum", "-2019: Margin is insufficient", "-2021: Order would immediately trigger",
    "-2022: ReduceOnly Order is rejected", "-4045: Reach max stop order limit", "-4164: notional must be no smaller",
    "-5022: Post Only order will be rejected", "something nobody has seen before", "NOTIONAL_EXCEEDS_FREE_BALANCE",
)  # fmt: skip


class Tell(Protocol):
    """How news reach the trader: the name of its method, and what it takes before the time."""

    def __call__(self, method: str, *news: object, lossy: bool = True) -> None:
        """Send news."""


class Resting(msgspec.Struct):
    """An order at the venue: a market order, a stop, or a parent, of which slices are sent; ``worth`` of its fills."""

    order_id: str
    side: int
    lots: int
    kind: str
    reduce_only: bool
    trigger_ticks: int
    filled: int = 0
    status: str = "working"
    worth: float = 0.0

    @property
    def left(self) -> int:
        """Lots still to fill."""
        return self.lots - self.filled


class ErringVenue:
    """The truth of a session: orders, the position, the price (quote currency)."""

    def __init__(self, chance: random.Random, tell: Tell, tick: float) -> None:
        self.faults = 0.0
        self.price = 30_000.0
        self.lots = 0
        self.entry = 0.0
        self.orders: dict[str, Resting] = {}
        self._chance = chance
        self._tell = tell
        self._tick = tick
        self._trades = count()
        self._slices = count(1)
        self._now = 0

    def submit(self, command: Submit) -> None:
        """Take an order in, or not."""
        if command.order_id in self.orders:
            raise AssertionError(f"the name {command.order_id} was used twice")
        kind = {"market": "market", "stop": "stop"}.get(command.style, "parent")
        order = Resting(command.order_id, command.side, command.lots, kind, command.reduce_only, command.trigger_ticks)
        if kind == "parent":
            self.orders[order.order_id] = order
            return
        sell = command.side < 0
        at_once = kind == "stop" and (command.trigger_ticks * self._tick >= self.price) == sell
        refused = "-2021: Order would immediately trigger" if at_once else ""
        if order.reduce_only and self.lots * order.side >= 0:
            refused = "-2022: ReduceOnly Order is rejected"
        if not refused and self._chance.random() < self.faults:
            refused = self._chance.choice(REASONS)
            if refused.startswith("-1007") and self._chance.random() < 0.5:
                self.orders[order.order_id] = order  # nobody knows, and it is there
                self._tell("on_ended", order.order_id, "rejected", refused)
                return
        if refused:
            order.status = "rejected"
            self.orders[order.order_id] = order
            self._tell("on_ended", order.order_id, "rejected", refused)
            return
        self.orders[order.order_id] = order
        self._tell("on_accepted", order.order_id)

    def modify(self, command: Modify) -> None:
        """Change an order, or refuse to."""
        order = self.orders.get(command.order_id)
        if order is None or order.status != "working" or self._chance.random() < max(self.faults, 0.02):
            self._tell("on_modify_rejected", command.order_id, self._chance.choice(["-2013: no such order", "no"]))
            return
        order.lots, order.trigger_ticks = max(command.lots, order.filled), command.trigger_ticks
        self._tell("on_modified", order.order_id, order.lots, order.trigger_ticks)
        if order.left == 0:
            self._end(order, "canceled")

    def cancel(self, order_id: str) -> None:
        """Cancel an order and its slices, or refuse to."""
        order = self.orders.get(order_id)
        if order is not None and order.kind == "parent" and order.status == "working":
            for piece in self._pieces(order):
                self._end(piece, "canceled", tell=False)
            self._end(order, "canceled")
        elif order is None or order.status != "working" or self._chance.random() < self.faults:
            self._tell("on_cancel_rejected", order_id, "-2011: Unknown order sent")
        else:
            self._end(order, "canceled")

    def answer(self, order_id: str) -> None:
        """Say what became of an order."""
        order = self.orders.get(order_id)
        if order is None:
            self._tell("on_resolved", order_id, "absent", 0, 0.0, self._now)
        elif order.kind != "parent":
            price = order.worth / order.filled if order.filled else 0.0
            self._tell("on_resolved", order_id, order.status, order.filled, price, self._now)

    def match(self, now_ns: int) -> None:
        """Let the market work what is there; ``now_ns`` is later than ever before."""
        self._now = now_ns
        for order in list(self.orders.values()):
            if order.status != "working":
                continue
            if order.kind == "parent":
                self._slice(order)
            elif order.kind == "stop":
                passed = (self.price <= order.trigger_ticks * self._tick) == (order.side < 0)
                if passed:
                    order.kind = "market"
                    self._fill(order)
            else:
                self._fill(order)

    def open_orders(self) -> list[OpenOrder]:
        """Return what is open."""
        return [
            OpenOrder(order.order_id, order.side, order.lots, order.filled, order.trigger_ticks, order.reduce_only)
            for order in self.orders.values()
            if order.status == "working" and order.kind != "parent"
        ]

    def forget_parents(self) -> None:
        """The process is killed, and with it whatever cut orders into slices; the slices stay."""
        for order in self.orders.values():
            if order.kind == "parent" and order.status == "working":
                order.status = "dead"

    def stops(self) -> list[Resting]:
        """Return the stops that rest."""
        return [order for order in self.orders.values() if order.kind == "stop" and order.status == "working"]

    def _slice(self, parent: Resting) -> None:
        """Send a slice, or end a parent that is done."""
        pieces = self._pieces(parent)
        if parent.left == 0:
            self._end(parent, "filled")
        elif not pieces:
            lots = self._chance.randint(1, parent.left)
            name = f"{parent.order_id}-E{next(self._slices)}"
            self.orders[name] = Resting(name, parent.side, lots, "market", parent.reduce_only, 0)

    def _pieces(self, parent: Resting) -> list[Resting]:
        return [
            order
            for order in self.orders.values()
            if order.status == "working" and order.order_id.startswith(f"{parent.order_id}-E")
        ]

    def _fill(self, order: Resting) -> None:
        """Fill a part; what only reduces, fills what is held at most."""
        lots = order.left
        if self._chance.random() < 0.5:
            lots = self._chance.randint(0, lots)
        if order.reduce_only:
            lots = min(lots, max(-self.lots * order.side, 0))
            if self.lots * order.side >= 0:
                self._end(order, "expired")
                return
        if lots == 0:
            return
        before, self.lots = self.lots, self.lots + order.side * lots
        if order.reduce_only and before * self.lots < 0:
            raise AssertionError("what only reduces turned the position")
        if before * order.side >= 0:
            self.entry = (abs(before) * self.entry + lots * self.price) / abs(self.lots)
        order.filled += lots
        order.worth += lots * self.price
        parent = self.orders.get(order.order_id.rpartition("-E")[0])
        if parent is not None:
            parent.filled += lots
        self._now += 1
        trade = Fill(order.order_id, f"T{next(self._trades)}", order.side, lots, self.price, 0.01, self._now)
        self._tell("on_filled", trade)
        if order.left == 0:
            order.status = "filled"

    def _end(self, order: Resting, status: str, *, tell: bool = True) -> None:
        order.status = status
        if tell:
            self._tell("on_ended", order.order_id, status, "", lossy=order.kind != "parent")
