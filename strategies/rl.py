"""The shell of `core.trader`: the engine's events in, its commands out as calls of the engine."""

from collections import deque
from typing import Any, Self

import msgspec
from nautilus_trader.common import TimeEvent
from nautilus_trader.model import (
    ClientOrderId,
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderModifyRejected,
    OrderRejected,
    OrderSide,
    OrderUpdated,
    StrategyId,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from core.commands import (
    Cancel,
    Command,
    Modify,
    Publish,
    Query,
    Reconcile,
    Submit,
    WriteDecision,
    WriteFill,
    WriteOrder,
)
from core.faults import Faults, guarded, recorded
from core.messages import (
    Flatten,
    Freeze,
    ParentEnded,
    RiskState,
    Signal,
    ended_topic,
    flatten_topic,
    freeze_topic,
    risk_topic,
    signal_topic,
)
from core.protocols import Journal, StateStore
from core.trader import Trader, TraderParams, TraderState
from strategies.orders import OrderDesk, is_slice
from strategies.rows import decision_row, fill_row, order_row

__all__ = ["RLStrategy", "RLStrategyParams"]

_WAKE = "wake"


class RLStrategyParams(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's strategy: what its trader is made with, and a lot as a decimal string."""

    trader: TraderParams
    lot: str


class RLStrategy(Strategy):
    """Owns one instrument's position and every order on it.

    Parameters
    ----------
    params : RLStrategyParams
        The instrument and the limits.
    journal : Journal
        Takes the rows of ``decisions``, ``orders`` and ``fills``.
    faults : Faults
        Where handler errors are kept.
    store : StateStore, optional
        Keeps what a restart must know, at every change and before anything is sent.

    Notes
    -----
    Commands are carried out in the order in which they were asked for: what one of them gives rise to at once, inside
    the call, waits its turn.
    """

    def __new__(cls, params: RLStrategyParams, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        config = StrategyConfig(strategy_id=StrategyId(params.trader.strategy_id))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self, params: RLStrategyParams, *, journal: Journal, faults: Faults, store: StateStore | None = None
    ) -> None:
        self.faults = faults
        self.trader = Trader(params.trader)
        self._decision = params.trader.decision
        self._journal = journal
        self._store = store
        self._key = f"trader.{params.trader.instrument_id}"
        self._name = params.trader.instrument_id
        self._desk = OrderDesk(params.trader.instrument_id, params.lot, params.trader.tick)
        self._todo: deque[Command] = deque()
        self._busy = False
        self._alarm_ns = 0
        self._last_fill: OrderFilled | None = None
        self._asked: set[str] = set()

    @recorded
    def on_start(self) -> None:
        """Listen to the ensemble, to the risk actor and to whoever may stop entries; go on with what was there."""
        name = self._name
        self.subscribe_topic(risk_topic(), self._on_risk)
        self.subscribe_topic(signal_topic(name), self.on_decision)
        self.subscribe_topic(flatten_topic(name), self._on_flatten)
        self.subscribe_topic(freeze_topic(), self._on_freeze)
        self.subscribe_topic(ended_topic(name), self._on_parent_ended)
        kept = self._store.load(self._key) if self._store is not None else None
        if kept is not None:
            self.trader.restore(msgspec.msgpack.decode(kept, type=TraderState))
        (lots, price), rest = self._desk.held(self.cache), self._desk.open_orders(self.cache)
        if kept is not None or lots != 0 or rest:
            self._carry_out(self.trader.inherit(lots, price, rest, self._now()))

    @recorded
    def _on_risk(self, message: object) -> None:
        if isinstance(message, RiskState):
            self._carry_out(self.trader.on_risk(message))

    @guarded
    def on_decision(self, message: object) -> None:
        """Decide on a signal."""
        if isinstance(message, Signal):
            self._carry_out(self.trader.on_signal(message, self._now()))

    @recorded
    def _on_flatten(self, message: object) -> None:
        if isinstance(message, Flatten):
            self._carry_out(self.trader.on_flatten(message, self._now()))

    @recorded
    def _on_freeze(self, message: object) -> None:
        if isinstance(message, Freeze):
            self._carry_out(self.trader.on_freeze(message, self._now()))

    @recorded
    def _on_parent_ended(self, message: object) -> None:
        if isinstance(message, ParentEnded):
            outcome = {"timed_out": "expired"}.get(message.outcome, message.outcome)
            now_ns = self._now()
            self._carry_out(self.trader.on_ended(message.client_order_id, outcome, message.reason, now_ns))

    @recorded
    def on_time_event(self, event: TimeEvent) -> None:
        """Look after what did not happen."""
        self._alarm_ns = 0
        self._carry_out(self.trader.on_timer(event.ts_event))

    @recorded
    def on_order_filled(self, event: OrderFilled) -> None:
        """Report a fill, of an order or of a slice."""
        self._last_fill = event
        self._carry_out(self.trader.on_filled(self._desk.fill(event), event.ts_event))

    @recorded
    def on_order_accepted(self, event: OrderAccepted) -> None:
        """Report an acceptance."""
        if not is_slice(event.client_order_id):
            self._carry_out(self.trader.on_accepted(str(event.client_order_id), event.ts_event))

    @recorded
    def on_order_updated(self, event: OrderUpdated) -> None:
        """Report a change."""
        if not is_slice(event.client_order_id) and event.trigger_price is not None:
            lots, ticks = self._desk.lots(event.quantity), self._desk.ticks(event.trigger_price)
            self._carry_out(self.trader.on_modified(str(event.client_order_id), lots, ticks, event.ts_event))

    @recorded
    def on_order_modify_rejected(self, event: OrderModifyRejected) -> None:
        """Report a refused change."""
        if not is_slice(event.client_order_id):
            name = str(event.client_order_id)
            self._carry_out(self.trader.on_modify_rejected(name, str(event.reason), event.ts_event))

    @recorded
    def on_order_cancel_rejected(self, event: OrderCancelRejected) -> None:
        """Report a refused cancel."""
        if not is_slice(event.client_order_id):
            name = str(event.client_order_id)
            self._carry_out(self.trader.on_cancel_rejected(name, str(event.reason), event.ts_event))

    @recorded
    def on_order_rejected(self, event: OrderRejected) -> None:
        """Report a rejection."""
        self._ended(event, "rejected", str(event.reason))

    @recorded
    def on_order_denied(self, event: OrderDenied) -> None:
        """Report a denial of the engine."""
        self._ended(event, "denied", str(event.reason))

    @recorded
    def on_order_expired(self, event: OrderExpired) -> None:
        """Report an expiry."""
        self._ended(event, "expired", "")

    @recorded
    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Report a cancellation; that of a sliced order is not its end."""
        order = self._order(str(event.client_order_id))
        if order is None or order.exec_algorithm_id is None:
            self._ended(event, "canceled", "")

    def _ended(self, event: Any, outcome: str, reason: str) -> None:
        if not is_slice(event.client_order_id):
            name = str(event.client_order_id)
            self._carry_out(self.trader.on_ended(name, outcome, reason, event.ts_event))

    def _carry_out(self, commands: tuple[Command, ...]) -> None:
        """Carry commands out after those that were asked for before; then see to the alarm."""
        if self._store is not None and commands:
            self._store.save(self._key, msgspec.msgpack.encode(self.trader.snapshot()))
        self._todo.extend(commands)
        if self._busy:
            return
        self._busy = True
        try:
            while self._todo:
                self._do(self._todo.popleft())
        finally:
            self._busy = False
        wake_ns = self.trader.wake_ns
        if wake_ns > 0 and (self._alarm_ns == 0 or wake_ns < self._alarm_ns):
            self._alarm_ns = wake_ns
            clock: Any = self.clock
            clock.set_time_alert_ns(_WAKE, wake_ns)

    def _do(self, command: Command) -> None:
        match command:
            case Publish():
                self.publish_message(command.topic, command.message)
            case WriteDecision():
                row = decision_row(
                    command.signal,
                    command.before,
                    command.account,
                    command.decided,
                    risk=command.risk,
                    order_id=command.order_id,
                    busy=command.busy,
                    memory=self.trader.desk.holding.memory,
                    params=self._decision,
                )
                self._journal.record("decisions", row)
            case Submit():
                self._submit(command)
            case Modify():
                quantity, trigger = self._desk.quantity(command.lots), self._desk.price(command.trigger_ticks)
                self.modify_order(ClientOrderId(command.order_id), quantity=quantity, trigger_price=trigger)
            case Cancel():
                self.cancel_order(ClientOrderId(command.order_id))
            case WriteFill():
                self._write_fill(command)
            case WriteOrder():
                order = self._order(command.order_id)
                if order is not None:
                    self._write_order(order, command.purpose, command.status, command.reason, command.ts_event)
            case Query():
                self._query(command.order_id)
            case Reconcile():
                self._carry_out(self.trader.on_position(*self._desk.held(self.cache), self._now()))

    def _submit(self, command: Submit) -> None:
        order = self._desk.build(command, self.order_factory)
        self._write_order(order, command.purpose, "submitted", "", command.ts_event)
        self.submit_order(order)

    def _query(self, order_id: str) -> None:
        """Have the venue asked about an order; what the engine knows for certain is the answer at once.

        The venue's answer comes as an event, where it says something new. Where none has come by the next time, the
        order works, as the engine says.
        """
        order = self._order(order_id)
        status, filled_lots, price = self._desk.status(order)
        if status == "working" and order_id not in self._asked:
            status = ""
        if status:
            self._asked.discard(order_id)
            now_ns = self._now()
            self._carry_out(self.trader.on_resolved(order_id, status, filled_lots, price, now_ns, now_ns))
        elif order.exec_algorithm_id is None:
            self._asked.add(order_id)
            self.query_order(order)

    def _write_order(self, order: Any, purpose: str, status: str, reason: str, ts_event: int) -> None:
        side = "BUY" if order.side == OrderSide.BUY else "SELL"
        row = order_row(order, ts_event=ts_event, side=side, purpose=purpose, status=status, reason=reason)
        self._journal.record("orders", row)

    def _write_fill(self, command: WriteFill) -> None:
        """Write a fill down; one that the venue only told of when asked has no event and no row."""
        event = self._last_fill
        if event is None or str(event.trade_id) != command.trade_id:
            return
        row = fill_row(
            event,
            side="BUY" if command.side > 0 else "SELL",
            purpose=command.purpose,
            arrival_price=command.arrival_price,
            exit_code=command.exit_code,
            lots_after=command.lots_after,
        )
        self._journal.record("fills", row)

    def _order(self, order_id: str) -> Any:
        return self.cache.order(ClientOrderId(order_id))

    def _now(self) -> int:
        clock: Any = self.clock
        return int(clock.timestamp_ns())
