"""From signals to orders: one decision a closed bar, one order a decision, a protective stop under every position."""

from decimal import Decimal
from typing import Any, Literal, Self

import msgspec
from nautilus_trader.model import (
    ClientOrderId,
    InstrumentId,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderModifyRejected,
    OrderRejected,
    OrderSide,
    Price,
    Quantity,
    StrategyId,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from core.breaker import REDUCING
from core.decision import BREAKER_EXIT, Decided, DecisionParams, decide
from core.exits import STOP_LOSS, TRAILING_STOP
from core.faults import Faults, guarded, recorded
from core.messages import (
    Flatten,
    PositionState,
    RiskState,
    Signal,
    flatten_topic,
    position_topic,
    risk_topic,
    signal_topic,
)
from core.orders import Intent, StopIntent, lots_to_quantity, order_intent, stop_intent
from core.protections import new_memory, open_bar, record_entry, withdraw_entry
from core.protocols import Journal
from core.situation import Account, Instrument, Market, Position
from strategies.rows import decision_row, fill_row, order_row

__all__ = ["RLStrategy", "RLStrategyParams"]

Purpose = Literal["entry", "increase", "reduce", "exit", "stop"]


class RLStrategyParams(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's strategy: its name, its exchange filters as floats and as decimal strings, its limits."""

    instrument_id: str
    strategy_id: str
    instrument: Instrument
    lot: str
    tick: str
    decision: DecisionParams


class Working(msgspec.Struct):
    """An order under way.

    Why it was sent, what the market stood at when it was decided, the stop planned for what it opens, the lots that
    are still to fill and those that have.
    """

    purpose: Purpose
    side: str
    arrival_price: float
    exit_code: int
    open_lots: int
    planned_stop: float = 0.0
    filled_lots: int = 0


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
    """

    def __new__(cls, params: RLStrategyParams, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        config = StrategyConfig(strategy_id=StrategyId(params.strategy_id))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(self, params: RLStrategyParams, *, journal: Journal, faults: Faults) -> None:
        self.faults = faults
        self._params = params
        self._journal = journal
        self._instrument_id = InstrumentId.from_str(params.instrument_id)
        self._lot = Decimal(params.lot)
        self._tick = Decimal(params.tick)
        self._topic = position_topic(params.instrument_id)
        self._position = Position(0, 0.0, 0.0, 0)
        self._risk: RiskState | None = None
        self._memory = new_memory(params.decision.risk)
        self._pending: ClientOrderId | None = None
        self._committed = 0
        self._first_stop = 0.0
        self._realised = 0.0
        self._working: dict[ClientOrderId, Working] = {}
        self._stop: tuple[ClientOrderId, StopIntent] | None = None

    @recorded
    def on_start(self) -> None:
        """Listen to the ensemble and to the risk actor."""
        self.subscribe_topic(risk_topic(), self._on_risk)
        self.subscribe_topic(signal_topic(self._params.instrument_id), self.on_decision)
        self.subscribe_topic(flatten_topic(self._params.instrument_id), self._on_flatten)

    @recorded
    def _on_risk(self, message: object) -> None:
        if isinstance(message, RiskState):
            self._risk = message

    @guarded
    def on_decision(self, message: object) -> None:
        """Decide on a signal, in order: exits, size, gate, orders."""
        if not isinstance(message, Signal):
            return
        signal = message
        before = self._position
        if before.lots != 0:
            before = before._replace(holding_bars=before.holding_bars + 1)
        open_bar(self._memory, 0, signal.ts_event, signal.volatility_rank, self._params.decision.risk)
        account = self._account(signal, before)
        market = Market(
            signal.close,
            signal.atr,
            signal.volatility,
            signal.volatility_rank,
            signal.previous_close,
            signal.funding_rate,
            signal.minutes_to_funding,
        )
        busy = self._pending is not None
        decided = decide(
            signal.level,
            signal.confidence,
            signal.tradable and not busy,
            market,
            before,
            account,
            self._memory,
            0,
            self._params.instrument,
            self._params.decision,
        )
        self._position = before
        order_id = self._act(signal, before, decided)
        row = decision_row(
            signal,
            before,
            account,
            decided,
            risk=self._risk,
            order_id=order_id,
            busy=busy,
            memory=self._memory,
            params=self._params.decision,
        )
        self._journal.record("decisions", row)
        self._publish(signal.ts_event)

    def _account(self, signal: Signal, position: Position) -> Account:
        """Return the account as the gate sees it; without a fresh risk state nothing may be opened."""
        risk = self._risk
        fresh = risk is not None and risk.ts_event == signal.ts_event
        own = max(abs(position.lots), self._committed) * self._params.instrument.lot * signal.close
        return Account(
            equity=risk.equity if risk is not None else 0.0,
            other_notional=max(risk.gross_notional - own, 0.0) if risk is not None else 0.0,
            state=risk.state if risk is not None and fresh else REDUCING,
        )

    def _act(self, signal: Signal, before: Position, decided: Decided) -> str:
        """Send what the decision asks for; return the order's id, empty where there is none.

        While an order is under way no second one is sent: what both would make of the position is not known.
        """
        ts_event = signal.ts_event
        intent = order_intent(before, decided, lot=self._lot)
        if intent is None or self._pending is not None:
            if decided.target_lots != 0:
                self._position = before._replace(stop_price=decided.stop_price)
                self._protect(ts_event)
            return ""
        purpose: Purpose = "exit" if decided.target_lots == 0 else "reduce"
        if not intent.reduce_only:
            purpose = "entry" if before.lots == 0 else "increase"
            record_entry(self._memory, 0, self._params.decision.risk)
        self._committed = max(abs(before.lots), abs(decided.target_lots))
        order_id = self._send_market(
            intent,
            Working(
                purpose,
                intent.side,
                signal.close,
                decided.exit_code,
                open_lots=abs(decided.target_lots - before.lots),
                planned_stop=decided.stop_price,
            ),
            ts_event,
        )
        if before.lots != 0 and decided.target_lots != 0:
            self._position = before._replace(stop_price=decided.stop_price)
            self._protect(ts_event)
        return order_id

    def _send_market(self, intent: Intent, working: Working, ts_event: int) -> str:
        order = self.order_factory.market(
            self._instrument_id,
            OrderSide.BUY if intent.side == "BUY" else OrderSide.SELL,
            Quantity.from_decimal(intent.quantity),
            reduce_only=intent.reduce_only,
        )
        self._pending = order.client_order_id
        self._send(order, working, ts_event)
        return str(order.client_order_id)

    @recorded
    def _on_flatten(self, message: object) -> None:
        if isinstance(message, Flatten):
            self._flatten(message.ts_event, BREAKER_EXIT)

    def _flatten(self, ts_event: int, exit_code: int = STOP_LOSS) -> None:
        """Close a position that could not be protected or must go, at once and whatever else has been decided."""
        lots = self._position.lots
        if lots == 0 or (self._pending is not None and self._working[self._pending].purpose == "exit"):
            return
        intent = Intent(
            side="SELL" if lots > 0 else "BUY", quantity=lots_to_quantity(lots, self._lot), reduce_only=True
        )
        price = self._position.stop_price
        self._send_market(intent, Working("exit", intent.side, price, exit_code, open_lots=abs(lots)), ts_event)

    def _protect(self, ts_event: int) -> None:
        """Bring the resting stop in line with the position: place, move, resize or cancel it."""
        wanted = stop_intent(self._position.lots, self._position.stop_price, lot=self._lot, tick=self._tick)
        if self._stop is not None and (wanted is None or wanted.side != self._stop[1].side):
            self.cancel_order(self._stop[0])
            self._stop = None
        if wanted is None or (self._stop is not None and self._stop[1] == wanted):
            return
        trigger = Price.from_decimal(wanted.trigger_price)
        quantity = Quantity.from_decimal(wanted.quantity)
        if self._stop is not None:
            self._stop = (self._stop[0], wanted)
            working = self._working[self._stop[0]]
            working.arrival_price = float(wanted.trigger_price)
            working.open_lots = abs(self._position.lots)
            total = Quantity.from_decimal(wanted.quantity + working.filled_lots * self._lot)
            self.modify_order(self._stop[0], quantity=total, trigger_price=trigger)
            return
        order = self.order_factory.stop_market(
            self._instrument_id,
            OrderSide.BUY if wanted.side == "BUY" else OrderSide.SELL,
            quantity,
            trigger,
            reduce_only=True,
        )
        self._stop = (order.client_order_id, wanted)
        working = Working(
            "stop", wanted.side, float(wanted.trigger_price), STOP_LOSS, open_lots=abs(self._position.lots)
        )
        self._send(order, working, ts_event)

    def _send(self, order: Any, working: Working, ts_event: int) -> None:
        self._working[order.client_order_id] = working
        self._record_order(order, ts_event, "submitted")
        self.submit_order(order)

    @recorded
    def on_order_filled(self, event: OrderFilled) -> None:
        """Fold a fill into the position and put the stop where it belongs."""
        working = self._working[event.client_order_id]
        before = self._position
        size = round(event.last_qty.as_decimal() / self._lot)
        signed = size if event.order_side == OrderSide.BUY else -size
        price = float(event.last_px.as_decimal())
        lots = before.lots + signed
        working.open_lots -= size
        working.filled_lots += size
        self._realised -= float(event.commission.as_decimal()) if event.commission is not None else 0.0
        if before.lots * signed < 0:
            closed = before.lots - lots if before.lots * lots >= 0 else before.lots
            self._realised += closed * self._params.instrument.lot * (price - before.entry_price)
        exit_code = working.exit_code
        if working.purpose == "stop" and before.stop_price != self._first_stop:
            exit_code = TRAILING_STOP
        if lots == 0:
            self._position = Position(0, 0.0, 0.0, 0)
        elif before.lots == 0:
            self._first_stop = working.planned_stop
            self._position = Position(lots, price, working.planned_stop, 0)
        elif abs(lots) > abs(before.lots):
            average = (before.lots * before.entry_price + signed * price) / lots
            self._position = before._replace(lots=lots, entry_price=average)
        else:
            self._position = before._replace(lots=lots)
        row = fill_row(
            event,
            side=working.side,
            purpose=working.purpose,
            arrival_price=working.arrival_price,
            exit_code=exit_code,
            lots_after=self._position.lots,
        )
        self._journal.record("fills", row)
        if working.open_lots <= 0:
            self._forget(event.client_order_id)
        if self._stop is not None and self._stop[0] == event.client_order_id and lots != 0:
            self._stop = (self._stop[0], msgspec.structs.replace(self._stop[1], quantity=abs(lots) * self._lot))
        else:
            self._protect(event.ts_event)
        self._publish(event.ts_event)

    @recorded
    def on_order_rejected(self, event: OrderRejected) -> None:
        """Write a rejection down; a position whose stop was refused is closed at once."""
        self._ended(event.client_order_id, event.ts_event, "rejected", str(event.reason))

    @recorded
    def on_order_denied(self, event: OrderDenied) -> None:
        """Write a denial of the engine down; as for a rejection."""
        self._ended(event.client_order_id, event.ts_event, "denied", str(event.reason))

    @recorded
    def on_order_expired(self, event: OrderExpired) -> None:
        """Write an expiry down; as for a rejection."""
        self._ended(event.client_order_id, event.ts_event, "expired", "")

    @recorded
    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Write a cancellation down; as for a rejection, where it was not ours."""
        self._ended(event.client_order_id, event.ts_event, "canceled", "")

    @recorded
    def on_order_modify_rejected(self, event: OrderModifyRejected) -> None:
        """Write a refused change of the stop down; it is asked for again at the next decision."""
        order: Any = self.cache.order(event.client_order_id)
        if self._stop is not None and self._stop[0] == event.client_order_id:
            standing = StopIntent(self._stop[1].side, order.leaves_qty.as_decimal(), order.trigger_price.as_decimal())
            self._stop = (event.client_order_id, standing)
        self._record_order(order, event.ts_event, "modify_rejected", str(event.reason))

    def _ended(self, order_id: ClientOrderId, ts_event: int, status: str, reason: str) -> None:
        """Take note of an order that ended unfilled."""
        self._record_order(self.cache.order(order_id), ts_event, status, reason)
        bare = self._stop is not None and self._stop[0] == order_id
        if bare:
            self._stop = None
        working = self._forget(order_id)
        if working is not None and working.purpose in {"entry", "increase"} and working.filled_lots == 0:
            withdraw_entry(self._memory, 0, self._params.decision.risk)
        self._publish(ts_event)
        if bare:
            self._flatten(ts_event)

    def _forget(self, order_id: ClientOrderId) -> Working | None:
        """Drop an order that is over; what was committed to it is free again."""
        if order_id == self._pending:
            self._pending = None
            self._committed = 0
        if self._stop is not None and self._stop[0] == order_id:
            self._stop = None
        return self._working.pop(order_id, None)

    def _publish(self, ts_event: int) -> None:
        position = self._position
        state = PositionState(
            instrument_id=self._params.instrument_id,
            lots=position.lots,
            committed_lots=max(abs(position.lots), self._committed),
            entry_price=position.entry_price,
            stop_price=position.stop_price,
            holding_bars=position.holding_bars,
            realised=self._realised,
            ts_event=ts_event,
        )
        self.publish_message(self._topic, state)

    def _record_order(self, order: Any, ts_event: int, status: str, reason: str = "") -> None:
        working = self._working.get(order.client_order_id)
        row = order_row(
            order,
            ts_event=ts_event,
            side="BUY" if order.side == OrderSide.BUY else "SELL",
            purpose=working.purpose if working is not None else "stop",
            status=status,
            reason=reason,
        )
        self._journal.record("orders", row)
