"""What was there before: a snapshot of one's own, and the venue's word, which is right where the two differ."""

import msgspec
import numpy as np

from core.commands import Command, Query, WriteOrder, WritePosition
from core.desk import Closing, Desk
from core.exits import INHERITED, STOP_LOSS
from core.order_states import Event, OrderState
from core.protection import Protection
from core.protections import fits
from core.situation import Position
from core.tracking import Order, TrackedOrders

__all__ = ["OpenOrder", "TraderState", "inherit", "restore", "snapshot", "take_over"]


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that is open at the venue: ``side`` +1 buy, -1 sell; lots unsigned, in total and filled."""

    order_id: str
    side: int
    lots: int
    filled_lots: int
    trigger_ticks: int
    reduce_only: bool


class TraderState(msgspec.Struct):
    """All that a restart must know of a trader; times ns UTC, money in quote currency."""

    position: Position
    realised: float
    trade_profit: float
    trade_equity: float
    memory: list[float]
    counted_until_ns: int
    orders: TrackedOrders
    protection: Protection
    closing: Closing | None
    freezes: dict[str, str]
    last_price: float
    behind: Position | None = None


def snapshot(desk: Desk) -> TraderState:
    """Return all that a restart must know."""
    holding = desk.holding
    return TraderState(
        position=holding.position,
        realised=holding.realised,
        trade_profit=holding.trade_profit,
        trade_equity=holding.trade_equity,
        memory=holding.memory.tolist(),
        counted_until_ns=holding.counted_until_ns,
        orders=desk.orders.snapshot(),
        protection=desk.protection,
        closing=desk.closing,
        freezes=desk.freezes,
        last_price=desk.last_price,
        behind=holding.behind,
    )


def restore(desk: Desk, state: TraderState) -> None:
    """Go on from a snapshot; a memory of other limits than today's is forgotten.

    The state is taken over, not copied: decode it afresh for every use.
    """
    holding = desk.holding
    holding.position = state.position
    holding.realised = state.realised
    holding.trade_profit, holding.trade_equity = state.trade_profit, state.trade_equity
    holding.counted_until_ns = state.counted_until_ns
    holding.behind = state.behind
    memory = np.asarray(state.memory, dtype=np.float64)
    if fits(memory, desk.params.decision.risk):
        holding.memory[:] = memory
    desk.orders.restore(state.orders)
    desk.protection = state.protection
    desk.closing = state.closing
    desk.freezes = state.freezes
    desk.last_price = state.last_price


def inherit(
    desk: Desk, lots: int, entry_price: float, open_orders: tuple[OpenOrder, ...], now_ns: int
) -> tuple[Command, ...]:
    """Begin with what the venue holds and has open.

    Parameters
    ----------
    desk : Desk
        Fresh, or restored from a snapshot.
    lots, entry_price
        What the venue holds, signed, and its average price (quote currency).
    open_orders
        What is open there, slices of sliced orders among them.
    now_ns : int
        When the venue said so: earlier fills are in it.

    Notes
    -----
    A known order that is open goes on as the venue has it; one that is not has an unknown fate until the venue is
    asked. Nobody works a sliced order any more: what is open of it is cancelled. An open order that is not ours is told
    of and never touched. One that is, though nobody remembers it (its name says so, the state of before is lost), is
    cancelled, but for a stop of what is held: it goes on. A position of which nothing is known is adopted or closed, as
    the configuration says.
    """
    out: list[Command] = []
    known = desk.holding.position.lots * lots > 0
    found = {order.order_id: order for order in open_orders}
    there = set(found)
    for order in list(desk.orders.live.values()):
        if order.style not in {"market", "stop"}:
            desk.move(order, Event.CANCEL, now_ns, out)
            desk.ended(order, None, True, now_ns, out)
        elif order.order_id in found:
            _go_on(desk, order, found.pop(order.order_id), now_ns, out)
        else:
            desk.move(order, Event.TIMEOUT, now_ns, out)
            out.append(Query(order.order_id))
    for rest in found.values():
        parent = desk.orders.find(rest.order_id)
        purpose = parent.purpose if parent is not None else desk.orders.purpose_of(rest.order_id)
        if purpose is None:
            out.append(desk.alert(f"{rest.order_id}: an open order that is not ours; it is left alone", now_ns))
            continue
        order = Order(rest.order_id, purpose, rest.side, rest.lots, "market", rest.reduce_only)
        order.filled, order.state = rest.filled_lots, OrderState.ACCEPTED
        order.submitted_ns = order.since_ns = now_ns
        desk.orders.add(order)
        out.append(WriteOrder(order.order_id, order.purpose, "inherited", "", now_ns))
        if parent is not None:
            order.planned_stop, order.equity = parent.planned_stop, parent.equity
        elif purpose == "stop" and rest.side * lots < 0 and desk.protection.order_id not in there:
            _adopt(desk, order, rest)
            continue
        order.abandoned = True
        desk.withdraw(order, now_ns, out)
    if lots != desk.holding.position.lots:
        text = f"{desk.params.instrument_id}: the venue holds {lots} lots, we knew of {desk.holding.position.lots}"
        out.append(desk.alert(text, now_ns))
    held = lots != 0 or desk.holding.position.lots != 0
    written = (WritePosition(lots, entry_price, "found at the start", now_ns),) if held else ()
    _hold(desk, lots, entry_price, now_ns, earlier=True)
    stop = desk.orders.live.get(desk.protection.order_id)
    rests = stop is not None and stop.order_id in there and stop.trigger_ticks > 0
    if stop is not None and rests and not known and stop.side * lots < 0:
        price = stop.trigger_ticks * desk.params.instrument.tick
        desk.holding.position = desk.holding.position._replace(stop_price=price, first_stop=price)
    if lots != 0 and not known and desk.params.orders.inherited == "flatten":
        desk.want_flat(INHERITED)
    desk.protection.bare_since_ns = 0  # how long it was bare before, a snapshot may not know; it counts from here on
    desk.settle(now_ns, out)
    out += [*written, desk.published(now_ns)]
    return tuple(out)


def take_over(desk: Desk, lots: int, entry_price: float, now_ns: int) -> tuple[Command, ...]:
    """Hold what the venue says, where that differs from what was known."""
    if lots == desk.holding.position.lots:
        return ()
    text = f"{desk.params.instrument_id}: the venue holds {lots} lots, not {desk.holding.position.lots}; so be it"
    out: list[Command] = [desk.alert(text, now_ns)]
    _hold(desk, lots, entry_price, now_ns)
    desk.settle(now_ns, out)
    out += [WritePosition(lots, entry_price, "the venue's word", now_ns), desk.published(now_ns)]
    return tuple(out)


def _hold(desk: Desk, lots: int, entry_price: float, now_ns: int, *, earlier: bool = False) -> None:
    equity = desk.risk.equity if desk.risk is not None else 0.0
    orders = desk.orders.live.values()
    plan = next((order.planned_stop for order in orders if order.increases and order.side * lots > 0), 0.0)
    desk.holding.take_over(lots, entry_price or desk.last_price, equity, now_ns, plan=plan, earlier=earlier)


def _adopt(desk: Desk, order: Order, found: OpenOrder) -> None:
    """Let a stop that nobody remembers protect what is held."""
    order.style, order.exit_code, order.trigger_ticks = "stop", STOP_LOSS, found.trigger_ticks
    order.arrival_price = found.trigger_ticks * desk.params.instrument.tick
    desk.protection.order_id = order.order_id


def _go_on(desk: Desk, order: Order, found: OpenOrder, now_ns: int, out: list[Command]) -> None:
    """Take a known order as the venue has it."""
    missed = found.filled_lots - order.filled
    order.counted_ns = now_ns
    order.trades[f"found-{now_ns}"] = (now_ns, missed)
    order.lots, order.filled, order.trigger_ticks = found.lots, found.filled_lots, found.trigger_ticks
    desk.move(order, Event.FOUND_WORKING, now_ns, out)
    if missed > 0:  # at what price, the venue says when asked
        out.append(Query(order.order_id))
    out.append(WriteOrder(order.order_id, order.purpose, "inherited", "", now_ns))
