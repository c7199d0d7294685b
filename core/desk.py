"""What is wanted and what stands: the desk looks at both after every event, and asks for the difference.

Theory of operation. An increase that is no longer wanted is cancelled; a position that is to be flat is closed, by an
order that only reduces and whatever else may still fill, until it is flat; the stop is brought in line with what is
held (`core.protection`). Nothing is remembered of what was done about it before: no order of events, no lost answer
and no restart leaves anything undone.
"""

from decimal import Decimal

import msgspec

from core.breaker import ACTIVE, HALTED, REDUCING
from core.commands import Cancel, Command, Modify, Publish, Purpose, Query, Reconcile, Style, Submit, WriteOrder
from core.decision import DecisionParams
from core.exits import STOP_LOSS
from core.holding import Holding
from core.messages import (
    Alert,
    OrderOutcome,
    PositionState,
    RiskState,
    Signal,
    alert_topic,
    outcome_topic,
    position_topic,
)
from core.order_states import OVER, Event, OrderState
from core.orders import stop_trigger
from core.protection import Protection, ProtectionParams, Step
from core.protections import withdraw_entry
from core.rejections import Action, Rejection, action
from core.situation import Account, Instrument
from core.tracking import Order, Orders

__all__ = ["Closing", "Desk", "OrderParams", "TraderParams"]

_MOST_DOUBLINGS = 10


class OrderParams(msgspec.Struct, frozen=True, kw_only=True):
    """How orders are looked after.

    ``style`` of increases; ``timeout_ns`` in which the venue must answer; ``retry_ns`` before a failed close is sent
    again, doubling up to ``max_retry_ns``; ``inherited``: what becomes of a position found at the start (adopt or
    flatten); ``inherited_stop``: distance of the stop of one that has none, a fraction of the price.
    """

    style: Style
    timeout_ns: int
    retry_ns: int
    max_retry_ns: int
    protection: ProtectionParams
    inherited: str
    inherited_stop: float


class TraderParams(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's trading: names, exchange filters (``tick`` as a decimal string too), limits.

    ``peers``: the other instruments of its correlated group.
    """

    instrument_id: str
    strategy_id: str
    instrument: Instrument
    tick: str
    peers: tuple[str, ...]
    decision: DecisionParams
    orders: OrderParams


class Closing(msgspec.Struct):
    """The position is to be flat: why, how often it was tried in vain, and when the next attempt may be made."""

    exit_code: int
    attempts: int = 0
    not_before_ns: int = 0


class Desk:
    """Everything that one instrument's trader holds, and the one place that sends orders.

    Methods append to ``out`` what the shell is to carry out. Times are ns UTC.
    """

    def __init__(self, params: TraderParams) -> None:
        self.params = params
        self.holding = Holding(params.decision.risk, params.instrument.lot, params.orders.inherited_stop)
        self.orders = Orders(params.strategy_id, params.orders.timeout_ns)
        self.protection = Protection()
        self.closing: Closing | None = None
        self.freezes: dict[str, str] = {}
        self.risk: RiskState | None = None
        self.last_price = 0.0
        self._tick = Decimal(params.tick)
        self._trigger = (0.0, 0, 0)
        self._topic = position_topic(params.instrument_id)

    @property
    def frozen(self) -> bool:
        """Whether nothing may be opened: an order's fate is unknown, or somebody froze entries."""
        return bool(self.freezes) or self.orders.unknown()

    @property
    def wake_ns(self) -> int:
        """When to settle next though nothing happens; 0 for not at all."""
        lots = self.holding.position.lots
        if not self.orders.live and lots == 0:
            return 0
        retry = 0
        if lots != 0 and self.closing is not None and not self._leaving():
            retry = self.closing.not_before_ns
        stop = self.orders.live.get(self.protection.order_id)
        protect = self.protection.wake_ns(lots, stop, self.closing is not None, self.params.orders.protection)
        return min(filter(None, (self.orders.wake_ns(), retry, protect)), default=0)

    def settle(self, now_ns: int, out: list[Command]) -> None:
        """Ask for all that is missing."""
        self.set_back(now_ns)
        if self.closing is None and self.protection.too_long(now_ns, self.params.orders.protection):
            text = f"{self.params.instrument_id}: a position without a working stop for too long; it is closed"
            out.append(self.alert(text, now_ns))
            self.want_flat(STOP_LOSS)
        self._withdraw_unwanted(now_ns, out)
        if self.closing is not None:
            self._close(now_ns, out)
        self._protect(now_ns, out)

    def set_back(self, now_ns: int) -> None:
        """Wait for nothing longer than is meant: a clock that went back would hold it up by as much."""
        params, closing = self.params.orders, self.closing
        self.orders.set_back(now_ns)
        self.protection.set_back(now_ns, params.protection)
        if closing is not None:
            closing.not_before_ns = min(closing.not_before_ns, now_ns + params.max_retry_ns)

    def take_up(self, order: Order, now_ns: int, out: list[Command]) -> None:
        """Mind an order again that was said not to exist: it is cancelled, for another may stand in its place."""
        order.state, order.since_ns, order.abandoned = OrderState.ACCEPTED, now_ns, True
        self.orders.add(order)
        self.withdraw(order, now_ns, out)

    def take_up_forgotten(self, order_id: str, now_ns: int, out: list[Command]) -> None:
        """Mind an order of ours that nobody remembers, so that it is cancelled; what it fills counts."""
        purpose = self.orders.purpose_of(order_id)
        if purpose is not None:
            self.take_up(Order(order_id, purpose, side=0, lots=0), now_ns, out)

    def catch_up(
        self, order: Order, filled_lots: int, price: float, fees: float, now_ns: int, out: list[Command]
    ) -> None:
        """Learn what fills cost that are counted already: of ``filled_lots`` in all, those not told one by one."""
        lots = min(order.filled, filled_lots) - order.priced
        if lots > 0:
            order.price(lots, price, fees)
            self.holding.catch_up(order, order.side * lots, price, fees)
            self.settle(now_ns, out)
            out.append(self.published(now_ns))

    def want_flat(self, exit_code: int) -> None:
        """From now on the position is to be flat, and what still fills of an increase is closed again."""
        for order in self.orders.live.values():
            order.unwanted |= order.increases
        if self.closing is None:
            self.closing = Closing(exit_code)

    def submit(
        self,
        purpose: Purpose,
        lots: int,
        now_ns: int,
        out: list[Command],
        *,
        style: Style = "market",
        exit_code: int = 0,
        planned_stop: float = 0.0,
        counts: bool = False,
        trigger_ticks: int = 0,
    ) -> Order:
        """Send an order for signed lots, and track it."""
        price = float(trigger_ticks * self._tick) if style == "stop" else self.last_price
        order = Order(
            self.orders.name(purpose, now_ns),
            purpose,
            side=1 if lots > 0 else -1,
            lots=abs(lots),
            style=style,
            reduce_only=purpose not in {"entry", "increase"},
            arrival_price=price,
            exit_code=exit_code,
            planned_stop=planned_stop,
            counts=counts,
            equity=self.risk.equity if self.risk is not None else 0.0,
            trigger_ticks=trigger_ticks,
            state=OrderState.SUBMITTED if style in {"market", "stop"} else OrderState.ACCEPTED,
            submitted_ns=now_ns,
            since_ns=now_ns,
        )
        self.orders.add(order)
        out.append(
            Submit(
                order.order_id,
                purpose,
                order.side,
                order.lots,
                style,
                order.reduce_only,
                trigger_ticks,
                price,
                now_ns,
            )
        )
        return order

    def withdraw(self, order: Order, now_ns: int, out: list[Command]) -> None:
        """Ask the venue to cancel an order, where no answer to that is due; one of unknown fate but once."""
        if order.state is OrderState.CANCELING or (order.state is OrderState.UNKNOWN and order.cancel_asked):
            return
        order.cancel_asked = True
        self.move(order, Event.ASK_CANCEL, now_ns, out)
        out.append(Cancel(order.order_id))

    def move(self, order: Order, event: Event, now_ns: int, out: list[Command], refused: str = "") -> None:
        """Move an order by its table; tell of its end, and of what is not in the table."""
        was = order.state
        if not self.orders.apply(order, event, now_ns):
            text = f"{order.order_id}: {event.name} of an order that is {was.name} is not possible; it stays so"
            out.append(self.alert(text, now_ns))
        elif was not in OVER and order.state in OVER:
            out.append(self._outcome(order, order.state.name.lower(), refused, now_ns))

    def lost(self, order: Order, now_ns: int, reason: str, out: list[Command]) -> None:
        """Take note that nobody knows what became of an order, and ask."""
        first = order.state is not OrderState.UNKNOWN
        self.move(order, Event.TIMEOUT, now_ns, out)
        if order.state is not OrderState.UNKNOWN:
            return
        out.append(Query(order.order_id))
        if first:
            out.append(self.alert(f"{order.order_id}: its fate is unknown ({reason}); entries are frozen", now_ns))
            out.append(self._outcome(order, "unknown", Rejection.UNKNOWN, now_ns))
            self._failed_to_close(order, now_ns)

    def ended(self, order: Order, refused: Rejection | None, asked: bool, now_ns: int, out: list[Command]) -> None:  # noqa: FBT001
        """Act on an order's end: ``refused`` its class where it was, ``asked`` whether it ended by our own wish."""
        risk = self.params.decision.risk
        if order.increases and order.filled == 0:
            order.withdrawn = True
            withdraw_entry(self.holding.memory, 0, risk)
        if refused is not None and order.state is OrderState.REJECTED and order.purpose != "stop":
            out.append(self.alert(f"{order.order_id}: the {order.purpose} is rejected, {refused}", now_ns))
        act = Action.FLATTEN if refused is None else action(refused, order.purpose)
        if act is Action.RESYNC:
            out.append(Reconcile(now_ns))
        if order.state is OrderState.FILLED:
            return
        self._failed_to_close(order, now_ns)
        bare = order.order_id == self.protection.order_id and not asked and self.holding.position.lots != 0
        if bare and self.protection.refused(act, order, now_ns, self.params.orders.protection):
            text = f"{order.order_id}: the stop is {order.state.name.lower()} {refused or ''}".rstrip()
            out.append(self.alert(f"{text}; the position is closed", now_ns))
            self.want_flat(STOP_LOSS)

    def alert(self, text: str, now_ns: int) -> Publish:
        """Return what tells a person."""
        return Publish(alert_topic(), Alert(f"trader.{self.params.instrument_id}", "warning", text, now_ns))

    def published(self, ts_event: int) -> Publish:
        """Return what tells the others of the position."""
        position = self.holding.position
        state = PositionState(
            instrument_id=self.params.instrument_id,
            lots=position.lots,
            committed_lots=self.committed_lots,
            entry_price=position.entry_price,
            stop_price=position.stop_price,
            holding_bars=position.holding_bars,
            realised=self.holding.realised - self.holding.unopened,
            ts_event=ts_event,
        )
        return Publish(self._topic, state)

    @property
    def committed_lots(self) -> int:
        """The most (unsigned) that orders under way may make of the position."""
        return abs(self.holding.position.lots) + self.orders.growing_lots()

    def account(self, signal: Signal, now_ns: int) -> Account:
        """Return the account as the gate sees it; without a fresh risk state nothing may be opened."""
        risk = self.risk
        if risk is None:
            return Account(0.0, 0.0, REDUCING, frozen=int(self.frozen))
        own = self.committed_lots * self.params.instrument.lot * signal.close
        return Account(
            risk.equity,
            max(risk.gross_notional - own, 0.0),
            risk.state if risk.ts_event == signal.ts_event or risk.state == HALTED else REDUCING,
            sum(risk.notionals.get(name, 0.0) for name in self.params.peers),
            abs(now_ns - signal.ts_event) * 1e-9,
            abs(now_ns - risk.ts_event) * 1e-9,
            int(self.frozen),
            risk.drawdown,
        )

    def _withdraw_unwanted(self, now_ns: int, out: list[Command]) -> None:
        """Cancel what was left over, and increases that are no longer wanted: a market order only if all is closed."""
        if not self.orders.live:
            return
        calm = self.closing is None and self.risk is not None and self.risk.state == ACTIVE and not self.frozen
        for order in list(self.orders.live.values()):
            if order.increases:
                over = order.abandoned or (not calm and (self.closing is not None or order.style != "market"))
            else:
                over = order.abandoned or (order.purpose == "stop" and order.order_id != self.protection.order_id)
            if over:
                self.withdraw(order, now_ns, out)

    def _close(self, now_ns: int, out: list[Command]) -> None:
        """Close what is held, as long as anything is held or may still come."""
        closing, lots = self.closing, self.holding.position.lots
        live = self.orders.live.values()
        if closing is None:
            return
        if lots == 0:
            if not any(order.increases for order in live):
                self.closing = None
            return
        if not self._leaving() and now_ns >= closing.not_before_ns:
            most = min(abs(lots), self.params.instrument.max_lots)
            self.submit("exit", -most if lots > 0 else most, now_ns, out, exit_code=closing.exit_code)

    def _leaving(self) -> bool:
        """Return whether a close is under way whose fate is not unknown."""
        live = self.orders.live.values()
        return any(order.purpose == "exit" and order.state is not OrderState.UNKNOWN for order in live)

    def _failed_to_close(self, order: Order, now_ns: int) -> None:
        """Wait a little longer after each close that failed."""
        closing, params = self.closing, self.params.orders
        if order.purpose == "exit" and closing is not None:
            wait = params.retry_ns << min(closing.attempts, _MOST_DOUBLINGS)
            closing.attempts += 1
            closing.not_before_ns = now_ns + min(wait, params.max_retry_ns)

    def _protect(self, now_ns: int, out: list[Command]) -> None:
        """Bring the resting stop in line with the position."""
        position, protection = self.holding.position, self.protection
        stop = self.orders.live.get(protection.order_id)
        lots = max(min(position.lots, self.params.instrument.max_lots), -self.params.instrument.max_lots)
        trigger = self._trigger_ticks(lots, position.stop_price) if lots != 0 else 0
        match protection.step(lots, trigger, stop, now_ns):
            case Step.PLACE:
                placed = self.submit("stop", -lots, now_ns, out, style="stop", trigger_ticks=trigger)
                placed.exit_code = STOP_LOSS
                protection.order_id = placed.order_id
            case Step.CHANGE if stop is not None:
                self.move(stop, Event.ASK_MODIFY, now_ns, out)
                out.append(Modify(stop.order_id, stop.filled + abs(lots), trigger))
            case Step.WITHDRAW if stop is not None:
                self.withdraw(stop, now_ns, out)
            case _:
                pass

    def _trigger_ticks(self, lots: int, stop_price: float) -> int:
        """Return the trigger that the stop should have; it is rounded anew only where it changed."""
        price, side, ticks = self._trigger
        if price != stop_price or side * lots <= 0:
            if price != stop_price:
                self.protection.shift_ticks = 0
            ticks = stop_trigger(stop_price, lots=lots, tick=self._tick)
            self._trigger = (stop_price, 1 if lots > 0 else -1, ticks)
        return max(ticks + self.protection.shift_ticks, 1)

    def _outcome(self, order: Order, outcome: str, refused: str, now_ns: int) -> Publish:
        prompt = order.style in {"market", "stop"}  # one that is worked takes its time by intent
        latency = order.answered_ns - order.submitted_ns if prompt and order.answered_ns >= 0 else -1
        message = OrderOutcome(self.params.instrument_id, order.order_id, outcome, str(refused), latency, now_ns)
        return Publish(outcome_topic(), message)


def told(order: Order, outcome: str, reason: str, now_ns: int) -> WriteOrder:
    """Return the journal's row of an order's new status."""
    return WriteOrder(order.order_id, order.purpose, outcome, reason, now_ns)
