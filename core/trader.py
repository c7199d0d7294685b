"""One instrument's position and every order on it: events in, commands out, no engine, no clock, no I/O.

Theory of operation. An event is booked first: into the order it belongs to, by the table of `core.order_states`, and a
fill into the position. Then the desk settles (`core.desk`): it looks at what is wanted and at what stands, and asks for
the difference. Four rules hold:

1. One order that changes the position is under way at a time, the protective stop beside it. Closing alone needs not
   wait: what it sends only reduces, whatever else may still fill.
2. A fill always counts, once, whenever it comes. What an unwanted order fills is closed again.
3. An order whose fate is unknown freezes entries until it is known; so does a freeze of anybody else.
4. What cannot be protected is closed, and closing goes on until the position is flat.
"""

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from core import inheritance
from core.breaker import ACTIVE, HALTED
from core.commands import Command, Purpose, Query, Reconcile, Submit, WriteDecision, WriteFill
from core.decision import Decided, decide
from core.desk import Desk, OrderParams, TraderParams, told
from core.exits import BREAKER_EXIT, PARTIAL_TAKE
from core.inheritance import OpenOrder, TraderState
from core.messages import Flatten, Freeze, RiskState, Signal
from core.order_states import OVER, Event, OrderState
from core.protections import M, open_bar, record_entry
from core.rejections import Rejection, classify
from core.situation import Account, Market, Position
from core.tracking import Order

__all__ = ["Fill", "OpenOrder", "OrderParams", "Trader", "TraderParams", "TraderState"]

_OUTCOMES = {
    "filled": Event.FILL_WHOLE,
    "canceled": Event.CANCEL,
    "expired": Event.EXPIRE,
    "rejected": Event.REJECT,
    "denied": Event.DENY,
}


class Fill(msgspec.Struct, frozen=True, gc=False):
    """A fill: unsigned lots of an order or of a slice of it, ``side`` +1 bought, -1 sold; quote currency."""

    order_id: str
    trade_id: str
    side: int
    lots: int
    price: float
    commission: float
    ts_event: int


class Trader:
    """Owns one instrument's position and orders; every method returns the commands that its shell carries out in order.

    Parameters
    ----------
    params : TraderParams
        The instrument and the limits.

    Notes
    -----
    Times are ns UTC. What a method does is done when it returns: commands may be carried out one by one, and what they
    give rise to is reported afterwards.
    """

    def __init__(self, params: TraderParams) -> None:
        self.desk = Desk(params)
        self._params = params
        self._tick = Decimal(params.tick)

    @property
    def position(self) -> Position:
        """What is held."""
        return self.desk.holding.position

    @property
    def wake_ns(self) -> int:
        """When `on_timer` is wanted next, 0 for not at all."""
        return self.desk.wake_ns

    def on_risk(self, state: RiskState, now_ns: int = 0) -> tuple[Command, ...]:
        """Take the account as the risk actor marked it; ``now_ns`` 0 is the time of the mark, or later."""
        desk = self.desk
        desk.risk = state
        if now_ns > 0:
            desk.set_back(now_ns)
        if state.state == ACTIVE or not desk.orders.live:
            return ()
        out: list[Command] = []
        desk.settle(state.ts_event, out)
        return tuple(out)

    def on_signal(self, signal: Signal, now_ns: int) -> tuple[Command, ...]:
        """Decide at a closed bar, in order: exits, size, gate, orders. A bar is decided on once, and none before it."""
        desk, params = self.desk, self._params
        memory = desk.holding.memory
        if signal.ts_event <= memory[M.ts]:
            text = f"{params.instrument_id}: a signal of a bar that was decided on before is passed over"
            late: list[Command] = [desk.alert(text, now_ns)]
            desk.settle(now_ns, late)
            return tuple(late)
        before = self.position
        if before.lots != 0:
            before = before._replace(holding_bars=before.holding_bars + 1)
        desk.last_price = signal.close
        open_bar(memory, 0, signal.ts_event, signal.volatility_rank, params.decision.risk)
        account = desk.account(signal, now_ns)
        busy = desk.orders.under_way()
        tradable = signal.tradable and now_ns < signal.expires_ns
        # While an order is under way nothing is opened; that the signal has turned is still heard.
        hear = busy is None or (before.lots != 0 and signal.level * before.lots <= 0.0)
        decided = decide(
            signal.level,
            signal.confidence,
            tradable and hear,
            Market(
                signal.close,
                signal.atr,
                signal.volatility,
                signal.volatility_rank,
                signal.previous_close,
                signal.funding_rate,
                signal.minutes_to_funding,
            ),
            before,
            account,
            memory,
            0,
            params.instrument,
            params.decision,
        )
        desk.holding.position = before
        out: list[Command] = []
        if busy is not None and busy.increases and tradable and signal.level * busy.side <= 0.0:
            desk.withdraw(busy, now_ns, out)
        order_id = self._act(before, decided, account, now_ns, out)
        out.append(WriteDecision(signal, before, account, decided, desk.risk, order_id, busy is not None))
        out.append(desk.published(signal.ts_event))
        return tuple(out)

    def on_accepted(self, order_id: str, now_ns: int) -> tuple[Command, ...]:
        """Take note that the venue has an order."""
        return self._heard(order_id, Event.ACCEPT, now_ns)

    def on_modified(self, order_id: str, lots: int, trigger_ticks: int, now_ns: int) -> tuple[Command, ...]:
        """Take note that an order stands changed: its lots in total, the trigger of a stop."""
        order = self.desk.orders.find(order_id)
        if order is not None and order.state not in OVER:
            order.lots = lots
            if order.purpose == "stop":
                order.trigger_ticks = trigger_ticks
                order.arrival_price = float(trigger_ticks * self._tick)
        return self._heard(order_id, Event.MODIFIED, now_ns)

    def on_modify_rejected(self, order_id: str, reason: str, now_ns: int) -> tuple[Command, ...]:
        """Take note that an order stands unchanged: from now on stops are replaced, not changed."""
        self.desk.protection.changeable = False
        lost = classify(reason) is Rejection.UNKNOWN
        return self._heard(order_id, Event.TIMEOUT if lost else Event.MODIFY_REJECT, now_ns, reason)

    def on_cancel_rejected(self, order_id: str, reason: str, now_ns: int) -> tuple[Command, ...]:
        """Take note that an order was not cancelled: it may have filled, so its fate is unknown."""
        return self._heard(order_id, Event.CANCEL_REJECT, now_ns, reason)

    def on_filled(self, fill: Fill, now_ns: int) -> tuple[Command, ...]:
        """Fold a fill into its order and into the position; one that was seen before changes nothing.

        One of before the venue's last word should be counted in it. Clocks differ and news take their time: the venue
        is asked, so that none is lost.
        """
        desk = self.desk
        out: list[Command] = []
        order = desk.orders.find(fill.order_id)
        if order is None:
            order = self._stranger(fill, now_ns, out)
        if fill.trade_id in order.trades:
            return ()
        if fill.ts_event <= order.counted_ns:
            order.trades[fill.trade_id] = (fill.ts_event, 0)
            return (Query(fill.order_id), Reconcile(now_ns)) if order.state not in OVER else (Reconcile(now_ns),)
        order.count(fill.trade_id, min(fill.ts_event, now_ns), fill.lots, fill.price, fill.commission)
        if fill.ts_event > desk.holding.counted_until_ns:
            self._book(order, fill, out)
        else:
            desk.holding.catch_up(order, fill.side * fill.lots, fill.price, fill.commission)
            out.append(Reconcile(now_ns))
        desk.move(order, Event.FILL_WHOLE if order.left <= 0 else Event.FILL_PART, now_ns, out)
        desk.settle(now_ns, out)
        out.append(desk.published(fill.ts_event))
        return tuple(out)

    def on_ended(self, order_id: str, outcome: str, reason: str, now_ns: int) -> tuple[Command, ...]:
        """Take note that an order is over: filled, canceled, expired, rejected or denied, and why."""
        desk = self.desk
        order = desk.orders.find(order_id)
        if order is None:
            return (desk.alert(f"an order that nobody knows is {outcome}: {order_id} {reason}".rstrip(), now_ns),)
        refused = classify(reason) if outcome in {"rejected", "denied"} else None
        if refused is Rejection.UNKNOWN and outcome == "rejected":
            return self._heard(order_id, Event.TIMEOUT, now_ns, reason)
        return self._end(order, outcome, refused, reason, now_ns)

    def on_doubted(self, order_id: str, reason: str, now_ns: int) -> tuple[Command, ...]:
        """Take note that somebody only guesses how an order ended: its fate is unknown until the venue says."""
        return self._heard(order_id, Event.TIMEOUT, now_ns, reason)

    def on_resolved(
        self, order_id: str, status: str, filled_lots: int, price: float, as_of_ns: int, now_ns: int, fee: float = 0.0
    ) -> tuple[Command, ...]:
        """Take the venue's answer to a query.

        ``status`` working, absent, or how the order ended (as for `on_ended`); ``filled_lots`` in total, up to
        ``as_of_ns``. Fills that never arrived are counted at ``price`` (average, quote currency), with a commission of
        ``fee`` (fraction of notional), and not again should they still come. Where the venue's position was taken over
        after the order was sent, what is held is asked for instead.
        """
        desk = self.desk
        order = desk.orders.find(order_id)
        out: list[Command] = []
        if order is None:
            if status == "working":
                desk.take_up_forgotten(order_id, now_ns, out)
            return tuple(out)
        missed = filled_lots - order.filled_by(as_of_ns)
        fees = filled_lots * self._params.instrument.lot * price * fee
        price, paid = order.untold(filled_lots, price, fees)
        if missed > 0 and as_of_ns > order.counted_ns:
            fill = Fill(order_id, f"resolved-{as_of_ns}", order.side, missed, price, paid, as_of_ns)
            if order.submitted_ns <= desk.holding.counted_until_ns:
                order.trades[fill.trade_id] = (as_of_ns, missed)
                order.filled += missed
                out.append(Reconcile(now_ns))
            else:
                out.extend(self.on_filled(fill, now_ns))
            order.counted_ns = max(order.counted_ns, as_of_ns)
        desk.catch_up(order, filled_lots, price, paid, now_ns, out)
        if status == "working" and order.state is OrderState.REJECTED:
            desk.take_up(order, now_ns, out)
        if order.state in OVER or (status == "working" and order.state is not OrderState.UNKNOWN):
            return tuple(out)
        if status == "working":
            return (*out, *self._heard(order_id, Event.FOUND_WORKING, now_ns))
        if status == "absent":
            status = "canceled" if order.filled > 0 else "rejected"
            order.unwanted |= order.increases  # should it come yet, another may have been sent in its place
        return (*out, *self._end(order, status, None, "as the venue says when asked", now_ns))

    def on_position(self, lots: int, entry_price: float, now_ns: int) -> tuple[Command, ...]:
        """Take what the venue holds, signed: where it differs, the venue is right, and earlier fills are in it."""
        return inheritance.take_over(self.desk, lots, entry_price, now_ns)

    def on_flatten(self, message: Flatten, now_ns: int) -> tuple[Command, ...]:
        """Close whatever is held or still to come, now."""
        desk = self.desk
        out: list[Command] = [desk.alert(f"{self._params.instrument_id} is closed: {message.reason}", now_ns)]
        desk.want_flat(BREAKER_EXIT)
        desk.settle(now_ns, out)
        out.append(desk.published(now_ns))
        return tuple(out)

    def on_freeze(self, message: Freeze, now_ns: int) -> tuple[Command, ...]:
        """Freeze entries, or free them as far as the message's source is concerned."""
        if message.instrument_id not in {"", self._params.instrument_id}:
            return ()
        if message.frozen:
            self.desk.freezes[message.source] = message.reason
        else:
            self.desk.freezes.pop(message.source, None)
        return self.on_timer(now_ns)

    def on_timer(self, now_ns: int) -> tuple[Command, ...]:
        """Look after overdue answers, attempts to be made again, and a position that has been bare for too long."""
        desk = self.desk
        out: list[Command] = []
        for order in desk.orders.overdue(now_ns):
            desk.lost(order, now_ns, "no answer", out)
        desk.settle(now_ns, out)
        return tuple(out)

    def inherit(
        self, lots: int, entry_price: float, open_orders: Iterable[OpenOrder], now_ns: int
    ) -> tuple[Command, ...]:
        """Begin with what the venue holds and has open, before the first signal (`core.inheritance.inherit`)."""
        return inheritance.inherit(self.desk, lots, entry_price, tuple(open_orders), now_ns)

    def snapshot(self) -> TraderState:
        """Return all that a restart must know; `msgspec` encodes it."""
        return inheritance.snapshot(self.desk)

    def restore(self, state: TraderState) -> None:
        """Go on from a snapshot; `inherit` with the venue's own word must follow."""
        inheritance.restore(self.desk, state)

    def _act(self, before: Position, decided: Decided, account: Account, now_ns: int, out: list[Command]) -> str:
        """Send what the decision asks for; return the order's id, empty where there is none."""
        desk = self.desk
        target, lots = decided.target_lots, before.lots
        if target * lots < 0:
            raise ValueError(f"a decision must not reverse {lots} lots to {target} in one order")
        if target == 0 and lots != 0:
            sent = len(out)
            desk.want_flat(decided.exit_code)
            desk.settle(now_ns, out)
            submits = (command for command in out[sent:] if isinstance(command, Submit))
            return next((command.order_id for command in submits if command.purpose == "exit"), "")
        order_id = ""
        grows = abs(target) > abs(lots)
        worked = grows and self._params.orders.style != "market"  # may never fill: its stop waits for its first fill
        if lots != 0 and decided.stop_price != before.stop_price and not worked:
            desk.holding.position = before._replace(stop_price=decided.stop_price)
        barred = grows and (account.state != ACTIVE or account.frozen != 0 or desk.protection.bare_since_ns > 0)
        if target != lots and not barred and desk.orders.under_way() is None and desk.closing is None:
            purpose: Purpose = "reduce"
            if grows:
                purpose = "increase" if lots != 0 else "entry"
                record_entry(desk.holding.memory, 0, self._params.decision.risk)
            order = desk.submit(
                purpose,
                target - lots,
                now_ns,
                out,
                style=self._params.orders.style if grows else "market",
                exit_code=decided.exit_code,
                planned_stop=decided.stop_price,
                counts=grows or decided.exit_code == PARTIAL_TAKE,
            )
            order_id = order.order_id
        desk.settle(now_ns, out)
        return order_id

    def _heard(self, order_id: str, event: Event, now_ns: int, reason: str = "") -> tuple[Command, ...]:
        """Move an order by what the venue said that neither fills nor ends it."""
        desk = self.desk
        order = desk.orders.find(order_id)
        if order is None:
            lost: list[Command] = [desk.alert(f"{event.name} of an order that nobody knows: {order_id}", now_ns)]
            if event is Event.ACCEPT:
                desk.take_up_forgotten(order_id, now_ns, lost)
            return tuple(lost)
        out: list[Command] = []
        if reason:
            out.append(told(order, "unknown" if event is Event.TIMEOUT else event.name.lower() + "ed", reason, now_ns))
        if event is Event.TIMEOUT:
            desk.lost(order, now_ns, reason, out)
        else:
            desk.move(order, event, now_ns, out)
        if event is Event.CANCEL_REJECT and order.state is OrderState.UNKNOWN:
            desk.lost(order, now_ns, reason, out)
        if event is Event.ACCEPT and order.state is OrderState.REJECTED:
            desk.take_up(order, now_ns, out)
        if event is Event.FOUND_WORKING:
            order.trigger_ticks = -1  # a change may have been made or not: it is asked for again
        if event is Event.ACCEPT and order.purpose == "stop":
            desk.protection.accepted()
        desk.settle(now_ns, out)
        return tuple(out)

    def _end(
        self, order: Order, outcome: str, refused: Rejection | None, reason: str, now_ns: int
    ) -> tuple[Command, ...]:
        """Move an order to its end and act on it."""
        desk = self.desk
        if order.state.name.lower() == outcome:
            return ()
        out: list[Command] = [told(order, outcome, reason, now_ns)]
        known = order.state not in OVER
        desk.move(order, _OUTCOMES[outcome], now_ns, out, refused or "")
        if known:
            desk.ended(order, refused, order.cancel_asked and outcome == "canceled", now_ns, out)
        desk.settle(now_ns, out)
        out.append(desk.published(now_ns))
        return tuple(out)

    def _book(self, order: Order, fill: Fill, out: list[Command]) -> None:
        """Fold a fill into the position; close again what nobody wants."""
        desk = self.desk
        code = desk.holding.book(order, fill.side * fill.lots, fill.price, fill.commission)
        held = self.position.lots
        row = WriteFill(
            fill.order_id, fill.trade_id, fill.side, order.purpose, order.arrival_price, code, held,
            fill.lots, fill.price, fill.commission, fill.ts_event,
        )  # fmt: skip
        out.append(row)
        halted = desk.risk is not None and desk.risk.state == HALTED
        if held != 0 and order.increases and (order.unwanted or halted):
            desk.want_flat(BREAKER_EXIT)

    def _stranger(self, fill: Fill, now_ns: int, out: list[Command]) -> Order:
        """Return an order for a fill that belongs to none that is known; what it moved counts all the same."""
        desk = self.desk
        out.append(desk.alert(f"{fill.order_id}: {fill.lots} lots filled of an order that nobody knows", now_ns))
        purpose: Purpose = "exit" if fill.side * self.position.lots < 0 else "entry"
        order = Order(fill.order_id, purpose, fill.side, fill.lots, submitted_ns=now_ns, since_ns=now_ns)
        order.arrival_price = fill.price
        desk.orders.add(order)
        return order
