"""Gathers what the components tell into how a node stands."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from core.breaker import STATES
from core.causes import BreakerState, trading_state
from core.degraded import Mode, ModeState
from core.desk import Desk
from core.messages import ClosedBar, Evaluated, RiskState, Signal
from core.node_status import CauseStatus, InstrumentStatus, NodeStatus, OrderStatus, Pause
from core.order_states import OrderState
from core.orders import lots_to_quantity

__all__ = ["NodeFacts", "StatusBoard"]

_NO_MODE = ModeState(Mode.LIVE, by_rest=False, shed=False, reason="", ts_event=0)
_RESTING = {OrderState.ACCEPTED, OrderState.PARTLY_FILLED, OrderState.MODIFYING, OrderState.CANCELING}


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while a node runs: ``lots`` and ``ticks`` as decimal strings, and models, by instrument."""

    environment: str
    session: str
    pid: int
    day_limit: float
    decision_seconds: float
    lots: Mapping[str, str]
    ticks: Mapping[str, str]
    models: Mapping[str, tuple[str, ...]]


class StatusBoard:
    """The newest word of everybody."""

    def __init__(self, facts: NodeFacts) -> None:
        self.started_ns = 0
        self._mode = _NO_MODE
        self._risk: RiskState | None = None
        self._evaluated_ns = 0
        self._signals: dict[str, Signal] = {}
        self._bars: dict[str, ClosedBar] = {}
        self._facts = facts

    def hear(self, message: object) -> None:
        """Take what was told; whatever it is not about is let pass."""
        match message:
            case Signal():
                self._signals[message.instrument_id] = message
            case ClosedBar():
                self._bars[message.instrument_id] = message
            case RiskState():
                self._risk, self._evaluated_ns = message, message.evaluated_ns
            case Evaluated():
                self._evaluated_ns = message.ts_event
            case ModeState():
                self._mode = message
            case _:
                pass

    def state_of(self, breaker: BreakerState) -> str:
        """Return the breaker's state in words."""
        return STATES[trading_state(breaker)]

    def status(
        self,
        breaker: BreakerState,
        desks: Mapping[str, Desk],
        *,
        engine_ns: int,
        now_ns: int,
        pauses: tuple[Pause, ...],
        others: Mapping[str, str],
        fault: str,
        stopping: str,
        health: Mapping[str, str],
    ) -> NodeStatus:
        """Return how the node stands at a time of the market."""
        facts, risk, high = self._facts, self._risk, breaker.day.high_water_mark
        equity = risk.equity if risk is not None else breaker.equity
        return NodeStatus(
            environment=facts.environment,
            session=facts.session,
            pid=facts.pid,
            market_ns=now_ns,
            uptime_seconds=(engine_ns - self.started_ns) / 1e9,
            state=self.state_of(breaker),
            causes=tuple(CauseStatus(one.trigger, one.reason, one.since_ns, one.rearm_at_ns) for one in breaker.causes),
            equity=equity,
            balance=risk.balance if risk is not None else 0.0,
            high_water_mark=high,
            day_loss=max(1.0 - equity / high, 0.0) if high > 0.0 else 0.0,
            day_limit=facts.day_limit,
            evaluated_age_seconds=(now_ns - self._evaluated_ns) / 1e9 if self._evaluated_ns else None,
            mode=self._mode.mode.name,
            mode_reason=self._mode.reason,
            decision_seconds=facts.decision_seconds,
            instruments=tuple(self._instrument(name, desk, now_ns) for name, desk in desks.items()),
            pauses=pauses,
            others=dict(others),
            fault=fault,
            stopping=stopping,
            health=dict(health),
        )

    def _instrument(self, name: str, desk: Desk, now_ns: int) -> InstrumentStatus:
        lot, tick = Decimal(self._facts.lots[name]), Decimal(self._facts.ticks[name])
        position, signal, bar = desk.holding.position, self._signals.get(name), self._bars.get(name)
        close = bar.close if bar is not None else desk.last_price
        moved = close - position.entry_price if position.lots != 0 and close > 0.0 else 0.0
        live = desk.orders.live
        stop = live.get(desk.protection.order_id)
        unknown = {"orders": "an order's fate is unknown"} if desk.orders.unknown() else {}
        voted = signal is not None and len(signal.models) == len(signal.weights) > 0
        models = dict(zip(signal.models, signal.weights, strict=True)) if voted and signal is not None else {}
        return InstrumentStatus(
            instrument_id=name,
            quantity=str(position.lots * lot),
            entry_price=position.entry_price if position.lots != 0 else 0.0,
            stop_price=position.stop_price if position.lots != 0 else 0.0,
            resting_stop=float(stop.trigger_ticks * tick) if stop is not None and stop.state in _RESTING else 0.0,
            holding_bars=position.holding_bars,
            unrealised=moved * position.lots * float(lot),
            closing=desk.closing is not None,
            orders=tuple(
                OrderStatus(
                    order.order_id,
                    order.purpose,
                    order.state.name,
                    order.side,
                    str(lots_to_quantity(order.lots, lot)),
                    str(lots_to_quantity(order.filled, lot)),
                    float(order.trigger_ticks * tick),
                )
                for order in live.values()
            ),
            frozen=desk.freezes | unknown,
            models=models or dict.fromkeys(self._facts.models.get(name, ()), 0.0),
            level=signal.level if signal is not None else 0.0,
            decision_age_seconds=None if signal is None else (now_ns - signal.ts_event) / 1e9,
            bar_age_seconds=None if bar is None else (now_ns - bar.ts_close) / 1e9,
        )
