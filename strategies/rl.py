"""From signals to orders: one decision a closed bar, one order a decision, a protective stop under every position."""

from collections import deque
from decimal import Decimal
from typing import Any, Literal, Self

import msgspec
from nautilus_trader.model import (
    ClientOrderId,
    InstrumentId,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderModifyRejected,
    OrderRejected,
    OrderSide,
    Price,
    Quantity,
    StrategyId,
)
from nautilus_trader.trading import Strategy, StrategyConfig

from core.bars import DAY_NS
from core.decision import Account, Decided, DecisionParams, Instrument, Market, Position, decide
from core.exits import EXIT_REASONS, STOP_LOSS, TRAILING_STOP
from core.faults import Faults, guarded
from core.messages import PositionState, RiskState, Signal, position_topic, risk_topic, signal_topic
from core.orders import StopIntent, order_intent, stop_intent
from core.protocols import Journal
from core.risk import REDUCING, STATES, VERDICTS

__all__ = ["RLStrategy", "RLStrategyParams"]

NEVER_BARS = 1_000_000

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
    """An order under way: why it was sent and what the market stood at when it was decided."""

    purpose: Purpose
    side: str
    arrival_price: float
    exit_code: int


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
        self._entries: deque[int] = deque()
        self._bars_since_entry = NEVER_BARS
        self._planned_stop = 0.0
        self._first_stop = 0.0
        self._realised = 0.0
        self._working: dict[ClientOrderId, Working] = {}
        self._stop: tuple[ClientOrderId, StopIntent] | None = None

    def on_start(self) -> None:
        """Listen to the ensemble and to the risk actor."""
        self.subscribe_topic(risk_topic(), self._on_risk)
        self.subscribe_topic(signal_topic(self._params.instrument_id), self.on_decision)

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
        self._bars_since_entry += 1
        account = self._account(signal, before)
        market = Market(signal.close, signal.atr, signal.volatility, signal.volatility_rank)
        decided = decide(
            signal.level,
            signal.confidence,
            signal.tradable,
            market,
            before,
            account,
            self._params.instrument,
            self._params.decision,
        )
        self._position = before
        order_id = self._act(signal, before, decided)
        self._record_decision(signal, before, account, decided, order_id)
        self._publish(signal.ts_event)

    def _account(self, signal: Signal, position: Position) -> Account:
        """Return the account as the gate sees it; without a fresh risk state nothing may be opened."""
        while self._entries and self._entries[0] <= signal.ts_event - DAY_NS:
            self._entries.popleft()
        risk = self._risk
        fresh = risk is not None and risk.ts_event == signal.ts_event
        own = abs(position.lots) * self._params.instrument.lot * signal.close
        return Account(
            equity=risk.equity if risk is not None else 0.0,
            other_notional=max(risk.gross_notional - own, 0.0) if risk is not None else 0.0,
            state=risk.state if risk is not None and fresh else REDUCING,
            entries_today=len(self._entries),
            bars_since_entry=self._bars_since_entry,
        )

    def _act(self, signal: Signal, before: Position, decided: Decided) -> str:
        """Send what the decision asks for; return the order's id, empty where there is none."""
        self._planned_stop = decided.stop_price
        intent = order_intent(before, decided, lot=self._lot)
        if intent is None:
            self._position = before._replace(stop_price=decided.stop_price)
            self._protect(signal.ts_event)
            return ""
        purpose: Purpose = "exit" if decided.target_lots == 0 else "reduce"
        if not intent.reduce_only:
            purpose = "entry" if before.lots == 0 else "increase"
            self._entries.append(signal.ts_event)
            self._bars_since_entry = 0
        order = self.order_factory.market(
            self._instrument_id,
            OrderSide.BUY if intent.side == "BUY" else OrderSide.SELL,
            Quantity.from_decimal(intent.quantity),
            reduce_only=intent.reduce_only,
        )
        self._send(order, Working(purpose, intent.side, signal.close, decided.exit_code), signal.ts_event)
        if before.lots != 0 and decided.target_lots != 0:
            self._position = before._replace(stop_price=decided.stop_price)
            self._protect(signal.ts_event)
        return str(order.client_order_id)

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
            self._working[self._stop[0]].arrival_price = float(wanted.trigger_price)
            self.modify_order(self._stop[0], quantity=quantity, trigger_price=trigger)
            return
        order = self.order_factory.stop_market(
            self._instrument_id,
            OrderSide.BUY if wanted.side == "BUY" else OrderSide.SELL,
            quantity,
            trigger,
            reduce_only=True,
        )
        self._stop = (order.client_order_id, wanted)
        self._send(order, Working("stop", wanted.side, float(wanted.trigger_price), STOP_LOSS), ts_event)

    def _send(self, order: Any, working: Working, ts_event: int) -> None:
        self._working[order.client_order_id] = working
        self._record_order(order.client_order_id, ts_event, "submitted", order=order)
        self.submit_order(order)

    @guarded
    def on_order_filled(self, event: OrderFilled) -> None:
        """Fold a fill into the position and put the stop where it belongs."""
        working = self._working[event.client_order_id]
        before = self._position
        signed = round(event.last_qty.as_decimal() / self._lot) * (1 if event.order_side == OrderSide.BUY else -1)
        price = float(event.last_px.as_decimal())
        lots = before.lots + signed
        exit_code = working.exit_code
        self._realised -= float(event.commission.as_decimal()) if event.commission is not None else 0.0
        if before.lots * signed < 0:
            closed = before.lots - lots if before.lots * lots >= 0 else before.lots
            self._realised += closed * self._params.instrument.lot * (price - before.entry_price)
        if working.purpose == "stop":
            exit_code = STOP_LOSS if before.stop_price == self._first_stop else TRAILING_STOP
            if lots == 0:
                self._stop = None
        if lots == 0:
            self._position = Position(0, 0.0, 0.0, 0)
        elif before.lots == 0:
            self._first_stop = self._planned_stop
            self._position = Position(lots, price, self._planned_stop, 0)
        elif abs(lots) > abs(before.lots):
            average = (before.lots * before.entry_price + signed * price) / lots
            self._position = before._replace(lots=lots, entry_price=average)
        else:
            self._position = before._replace(lots=lots)
        self._record_fill(event, working, exit_code)
        self._protect(event.ts_event)
        self._publish(event.ts_event)

    @guarded
    def on_order_rejected(self, event: OrderRejected) -> None:
        """Write a rejection down; a rejected stop is placed again at the next decision."""
        self._ended(event.client_order_id, event.ts_event, "rejected", str(event.reason))

    @guarded
    def on_order_denied(self, event: OrderDenied) -> None:
        """Write a denial of the engine down."""
        self._ended(event.client_order_id, event.ts_event, "denied", str(event.reason))

    @guarded
    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Write a cancellation down."""
        self._ended(event.client_order_id, event.ts_event, "canceled", "")

    @guarded
    def on_order_modify_rejected(self, event: OrderModifyRejected) -> None:
        """Write a refused change of the stop down; it is asked for again at the next decision."""
        if self._stop is not None and self._stop[0] == event.client_order_id:
            order: Any = self.cache.order(event.client_order_id)
            standing = StopIntent(self._stop[1].side, order.quantity.as_decimal(), order.trigger_price.as_decimal())
            self._stop = (event.client_order_id, standing)
        self._record_order(event.client_order_id, event.ts_event, "modify_rejected", reason=str(event.reason))

    def _ended(self, order_id: ClientOrderId, ts_event: int, status: str, reason: str) -> None:
        if self._stop is not None and self._stop[0] == order_id:
            self._stop = None
        self._record_order(order_id, ts_event, status, reason=reason)

    def _publish(self, ts_event: int) -> None:
        lots, entry_price, stop_price, holding_bars = self._position
        state = PositionState(
            self._params.instrument_id, lots, entry_price, stop_price, holding_bars, self._realised, ts_event
        )
        self.publish_message(self._topic, state)

    def _record_decision(
        self, signal: Signal, before: Position, account: Account, decided: Decided, order_id: str
    ) -> None:
        row = msgspec.structs.asdict(signal)
        row |= {
            "equity": account.equity,
            "drawdown": self._risk.drawdown if self._risk is not None else 0.0,
            "state": STATES[account.state],
            "position_lots": before.lots,
            "entry_price": before.entry_price,
            "stop_price": before.stop_price,
            "target_lots": decided.target_lots,
            "new_stop_price": decided.stop_price,
            "exit_reason": EXIT_REASONS[decided.exit_code],
            "verdict": VERDICTS[decided.verdict],
            "client_order_id": order_id,
        }
        self._journal.record("decisions", row)

    def _record_order(
        self, order_id: ClientOrderId, ts_event: int, status: str, *, order: Any = None, reason: str = ""
    ) -> None:
        order = order or self.cache.order(order_id)
        working = self._working[order_id]
        trigger = getattr(order, "trigger_price", None)
        self._journal.record(
            "orders",
            {
                "ts_event": ts_event,
                "instrument_id": self._params.instrument_id,
                "client_order_id": str(order_id),
                "order_type": order.order_type.name,
                "side": working.side,
                "quantity": str(order.quantity),
                "trigger_price": "" if trigger is None else str(trigger),
                "reduce_only": bool(order.is_reduce_only),
                "status": status,
                "reason": reason,
                "purpose": working.purpose,
            },
        )

    def _record_fill(self, event: OrderFilled, working: Working, exit_code: int) -> None:
        commission = event.commission
        self._journal.record(
            "fills",
            {
                "ts_event": event.ts_event,
                "instrument_id": self._params.instrument_id,
                "client_order_id": str(event.client_order_id),
                "side": working.side,
                "quantity": str(event.last_qty),
                "price": str(event.last_px),
                "commission": 0.0 if commission is None else float(commission.as_decimal()),
                "liquidity": event.liquidity_side.name,
                "arrival_price": working.arrival_price,
                "purpose": working.purpose,
                "exit_reason": EXIT_REASONS[exit_code],
                "lots_after": self._position.lots,
            },
        )
