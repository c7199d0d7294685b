"""Carries out what a trader asks for: its commands as calls of the engine and rows of the journal."""

from collections import deque
from typing import Any, Self

import msgspec
from nautilus_trader.model import ClientOrderId, InstrumentId, OrderFilled, OrderSide, StrategyId
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
    WritePosition,
)
from core.errors import StateError
from core.faults import Faults, recorded
from core.messages import Freeze
from core.protocols import Journal, StateStore, Timekeeper
from core.timekeeping import EngineTime
from core.trader import Trader, TraderParams
from core.venue_words import Request, VenueDesk
from strategies.orders import OrderDesk
from strategies.rows import counted_row, decision_row, fill_row, order_row, position_row

__all__ = ["Carrier", "RLStrategyParams"]

STATE = "state"
"""Who freezes entries while the state cannot be kept."""
_WAKE, _KEEP = "wake", "keep"
_ON = frozenset({"submitted", "unknown", "inherited"})
"""What is written of an order that goes on."""
_AT_ONCE_NS = 1_000_000_000
"""What is tried again so soon is waited for, where time jumps from bar to bar; a bar must not pass it by."""
_AGAIN_NS = 1_000_000_000


class RLStrategyParams(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's strategy: what its trader is made with, a lot as a decimal string, and the fee (fraction of
    notional) of a fill whose commission nobody told.
    """  # noqa: D205 - one sentence

    trader: TraderParams
    lot: str
    fee: float


class Carrier(Strategy):
    """A strategy that does what its trader says; parameters as of `strategies.rl.RLStrategy`.

    Notes
    -----
    Commands are carried out in the order in which they were asked for: what one of them gives rise to at once, inside
    the call, waits its turn.

    What a restart must know is durable before an order is sent. Where it cannot be kept, entries are frozen and none is
    sent; what closes and protects is sent all the same. It is tried again until it succeeds, which frees them.
    """

    def __new__(cls, params: RLStrategyParams, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        owned = [InstrumentId.from_str(params.trader.instrument_id)]
        config = StrategyConfig(strategy_id=StrategyId(params.trader.strategy_id), external_order_instrument_ids=owned)
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: RLStrategyParams,
        *,
        journal: Journal,
        faults: Faults,
        store: StateStore | None = None,
        time: Timekeeper | None = None,
        venue: VenueDesk | None = None,
    ) -> None:
        self.faults = faults
        self.trader = Trader(params.trader)
        self._journal = journal
        self._store = store
        self._time = time or EngineTime()
        self._venue = venue
        self._fee = params.fee
        self._unkept = ""
        self._inherited = self._reconciling = self._by_rest = False
        self._differed = 0
        self._difference = (0, 0)
        self._asked_lots = 0
        self._due: set[str] = set()
        self._beside: dict[str, Any] = {}
        self._key = f"trader.{params.trader.instrument_id}"
        self._name = params.trader.instrument_id
        self._desk = OrderDesk(params.trader.instrument_id, params.lot, params.trader.tick)
        self._todo: deque[Command] = deque()
        self._busy = False
        self._alarm_ns = 0
        self._fills: dict[str, OrderFilled] = {}
        self._asked: set[str] = set()

    def _carry_out(self, commands: tuple[Command, ...]) -> None:
        """Carry commands out after those that were asked for before; then see to the alarm."""
        if commands and not self._kept(durable=any(isinstance(command, Submit) for command in commands)):
            commands = self._without_entries(commands)
        self._todo.extend(commands)
        if self._busy:
            return
        self._busy = True
        try:
            while self._todo:
                self._do(self._todo.popleft())
        finally:
            self._busy = False
            self._fills.clear()
        wake_ns = self.trader.wake_ns
        if wake_ns > 0 and (self._alarm_ns == 0 or wake_ns < self._alarm_ns):
            self._alarm_ns = wake_ns
            self._time.alarm(self.clock, _WAKE, wake_ns, self._on_wake)

    def _kept(self, *, durable: bool) -> bool:
        """Keep what a restart must know; where that fails freeze entries and try again, where it succeeds free them."""
        if self._store is None:
            return True
        value, failed = msgspec.msgpack.encode(self.trader.snapshot()), ""
        try:
            if durable:
                self._store.save(self._key, value)
            else:
                self._store.put(self._key, value)
        except StateError as error:
            failed = str(error)
        before, self._unkept = self._unkept, failed
        if failed:
            self._time.alarm(self.clock, _KEEP, self._now() + _AGAIN_NS, self._on_keep)
        if bool(failed) != bool(before):
            now_ns = self._now()
            reason = failed or "the state is kept again"
            self._todo.append(self.trader.desk.alert(f"{self._name}: {reason}", now_ns))
            freeze = Freeze(self._name, STATE, frozen=bool(failed), reason=reason, ts_event=now_ns)
            self._todo.extend(self.trader.on_freeze(freeze, now_ns))
        return not failed

    def _without_entries(self, commands: tuple[Command, ...]) -> tuple[Command, ...]:
        """Return commands without the orders that open or increase; their owner is told that they came to nothing."""
        sent: list[Command] = []
        for command in commands:
            if isinstance(command, Submit) and command.purpose in {"entry", "increase"}:
                reason = f"not sent: {self._unkept}"
                sent.extend(self.trader.on_ended(command.order_id, "denied", reason, self._now()))
            else:
                sent.append(command)
        return tuple(sent)

    @recorded
    def _on_keep(self, _: int) -> None:
        """Try again to keep the state."""
        if self._unkept:
            self._kept(durable=True)
            self._carry_out(())

    @recorded
    def _on_wake(self, ts_ns: int) -> None:
        """Look after what did not happen."""
        self._alarm_ns = 0
        self._carry_out(self.trader.on_timer(max(ts_ns, self._now())))

    @recorded
    def _do(self, command: Command) -> None:
        """Carry one out; where that fails those after it are carried out all the same: a stop may be among them."""
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
                    params=self.trader.desk.params.decision,
                )
                self._journal.record("decisions", row)
            case Submit():
                self._submit(command)
            case Modify():
                self._modify(command)
            case Cancel():
                self._cancel(command.order_id)
            case WriteFill():
                self._write_fill(command)
            case WriteOrder():
                order = self._order(command.order_id) or self._beside.get(command.order_id)
                if order is not None:
                    if command.status not in _ON:
                        self._beside.pop(command.order_id, None)
                    self._write_order(order, command.purpose, command.status, command.reason, command.ts_event)
            case Query():
                self._query(command.order_id)
            case WritePosition():
                row = position_row(command, self._name, str(self._desk.size(command.lots)))
                self._journal.record("positions", row)
            case Reconcile():
                self._reconcile()

    def _reconcile(self) -> None:
        """Have the position taken as it is: by the venue's own word, or as the engine knows it where nobody asks."""
        if self._venue is None:
            self._carry_out(self.trader.on_position(*self._desk.held(self.cache), self._now()))
        else:
            self._reconciling, self._asked_lots = True, self.trader.position.lots
            self._due = set(self.trader.desk.orders.live)  # what filled unheard is booked as what it was, before
            for order_id in self._due:
                self._venue.ask_order(self._name, order_id)
            self._venue.ask_positions()

    def _submit(self, command: Submit) -> None:
        order = self._desk.build(command, self.order_factory)
        self._write_order(order, command.purpose, "submitted", "", command.ts_event)
        if self._by_rest and command.purpose == "exit" and self._venue is not None:
            self._beside[command.order_id] = order
            self._venue.send(Request(self._name, command.order_id, command.side, str(order.quantity)))
        else:
            self.submit_order(order)

    def _cancel(self, order_id: str) -> None:
        """Withdraw an order; one that is over for the engine, but not for its owner, beside the engine."""
        order = self._order(order_id)
        if self._venue is not None and order is not None and order.is_closed:
            self._venue.send(Request(self._name, order_id, 0, "0"))
        else:
            self.cancel_order(ClientOrderId(order_id))

    def _modify(self, command: Modify) -> None:
        """Have an order changed; one that stands as it is wanted is changed already."""
        quantity, trigger = self._desk.quantity(command.lots), self._desk.price(command.trigger_ticks)
        order = self._order(command.order_id)
        if order is not None and order.quantity == quantity and order.trigger_price == trigger:
            now_ns = self._now()
            changed = self.trader.on_modified(command.order_id, command.lots, command.trigger_ticks, now_ns)
            self._carry_out(changed)
        else:
            self.modify_order(ClientOrderId(command.order_id), quantity=quantity, trigger_price=trigger)

    @property
    def at_rest(self) -> bool:
        """Whether what was there before is inherited, no answer is waited for, and nothing is tried again at once."""
        awaited = self.trader.desk.orders.wake_ns() != 0
        again = abs(self.trader.wake_ns - self._now()) < _AT_ONCE_NS
        return self._inherited and not self._reconciling and not awaited and not again

    def held(self) -> dict[str, str]:
        """Return what is held, signed, base asset as decimal strings: as the engine has it, and as its owner."""
        engine, _ = self._desk.held(self.cache)
        return {"engine": str(self._desk.size(engine)), "owner": str(self._desk.size(self.trader.position.lots))}

    def _query(self, order_id: str) -> None:
        """Have the venue asked about an order; what the engine knows for certain is the answer at once.

        The venue's answer comes as its word (`core.venue_words`). Where nobody asks it beside the engine, it comes as
        an event, if it says something new; where none has come by the next time, the order works, as the engine says.
        """
        order = self._order(order_id)
        if self._venue is not None:
            self._venue.ask_order(self._name, order_id)
            known = self.trader.desk.orders.find(order_id)
            counted = known is not None and known.submitted_ns <= self.trader.desk.holding.counted_until_ns
            # So that the engine's cache follows; but what it has in its position already it would count twice.
            if order is not None and not order.is_closed and order.exec_algorithm_id is None and not counted:
                self.query_order(order)
            return
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
        """Write a fill down; one that the venue only told of when asked has no event."""
        event = self._fills.pop(command.trade_id, None)
        if event is None:
            row = counted_row(command, self._name, str(self._desk.quantity(command.lots)))
        else:
            row = fill_row(
                event,
                side="BUY" if command.side > 0 else "SELL",
                purpose=command.purpose,
                commission=command.commission,
                arrival_price=command.arrival_price,
                exit_code=command.exit_code,
                lots_after=command.lots_after,
            )
        self._journal.record("fills", row)

    def _order(self, order_id: str) -> Any:
        return self.cache.order(ClientOrderId(order_id))

    def _now(self) -> int:
        """Return the market's time."""
        clock: Any = self.clock
        return self._time.now_ns(int(clock.timestamp_ns()))
