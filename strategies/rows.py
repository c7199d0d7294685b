"""Rows of the journal, as the strategy sees a decision, an order and a fill (columns: `adapters.recorder`)."""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from nautilus_trader.model import OrderFilled

from core.breaker import STATES
from core.commands import WriteFill, WritePosition
from core.decision import Decided, DecisionParams
from core.exits import EXIT_REASONS
from core.gate import spoken
from core.messages import RiskState, Signal
from core.protections import M
from core.reasons import why_nothing
from core.rules import VERDICTS
from core.situation import Account, Position

__all__ = ["counted_row", "decision_row", "fill_row", "order_row", "position_row"]


_ENCODER = msgspec.json.Encoder()


def decision_row(
    signal: Signal,
    before: Position,
    account: Account,
    decided: Decided,
    *,
    risk: RiskState | None,
    order_id: str,
    busy: bool,
    memory: npt.NDArray[np.float64],
    params: DecisionParams,
) -> dict[str, object]:
    """Return the row of a decision, or of a decision to do nothing.

    ``busy``: an order was under way; ``memory`` of the gate, which holds what its rules said at this bar.
    """
    said = spoken(memory, 0, params.risk)
    row = msgspec.structs.asdict(signal)
    for name in ("previous_close", "funding_rate", "minutes_to_funding", "expires_ns"):
        del row[name]
    return row | {
        "equity": account.equity,
        "drawdown": risk.drawdown if risk is not None else 0.0,
        "state": STATES[account.state],
        "position_lots": before.lots,
        "entry_price": before.entry_price,
        "stop_price": before.stop_price,
        "target_lots": decided.target_lots,
        "new_stop_price": decided.stop_price,
        "exit_reason": EXIT_REASONS[decided.exit_code],
        "verdict": VERDICTS[decided.verdict],
        "reason": why_nothing(
            decided,
            order_id=order_id,
            held_lots=before.lots,
            level=signal.level,
            abstention=signal.abstention,
            tradable=signal.tradable,
            busy=busy,
            unsure=signal.confidence < params.sizing.min_confidence,
        ),
        "rules": _judgement(said, memory) if said else "",
        "client_order_id": order_id,
    }


def _judgement(said: list[tuple[str, str, float, float, int]], memory: npt.NDArray[np.float64]) -> str:
    """Return what the gate was asked and what each rule said, as JSON (`core.explain.Judgement`)."""
    wanted, held = int(memory[M.wanted]), int(memory[M.held])
    return _ENCODER.encode({"wanted": wanted, "held": held, "rules": said}).decode()


def order_row(order: Any, *, ts_event: int, side: str, purpose: str, status: str, reason: str) -> dict[str, object]:
    """Return the row of an order's new status."""
    trigger = getattr(order, "trigger_price", None)
    worked = (order.exec_algorithm_params or {}).get("style", "")
    return {
        "ts_event": ts_event,
        "instrument_id": str(order.instrument_id),
        "client_order_id": str(order.client_order_id),
        "order_type": worked.upper() or order.order_type.name,
        "side": side,
        "quantity": str(order.quantity),
        "trigger_price": "" if trigger is None else str(trigger),
        "reduce_only": bool(order.is_reduce_only),
        "status": status,
        "reason": reason,
        "purpose": purpose,
    }


def fill_row(
    event: OrderFilled,
    *,
    side: str,
    purpose: str,
    commission: float,
    arrival_price: float,
    exit_code: int,
    lots_after: int,
) -> dict[str, object]:
    """Return the row of a fill."""
    return {
        "ts_event": event.ts_event,
        "instrument_id": str(event.instrument_id),
        "client_order_id": str(event.client_order_id),
        "side": side,
        "quantity": str(event.last_qty),
        "price": str(event.last_px),
        "commission": commission,
        "liquidity": event.liquidity_side.name,
        "arrival_price": arrival_price,
        "purpose": purpose,
        "exit_reason": EXIT_REASONS[exit_code],
        "lots_after": lots_after,
    }


def counted_row(fill: WriteFill, instrument_id: str, quantity: str) -> dict[str, object]:
    """Return the row of what filled without an event: the venue told of it when it was asked."""
    return {
        "ts_event": fill.ts_event,
        "instrument_id": instrument_id,
        "client_order_id": fill.order_id,
        "side": "BUY" if fill.side > 0 else "SELL",
        "quantity": quantity,
        "price": repr(fill.price),
        "commission": fill.commission,
        "liquidity": "NO_LIQUIDITY_SIDE",
        "arrival_price": fill.arrival_price,
        "purpose": fill.purpose,
        "exit_reason": EXIT_REASONS[fill.exit_code],
        "lots_after": fill.lots_after,
    }


def position_row(taken: WritePosition, instrument_id: str, quantity: str) -> dict[str, object]:
    """Return the row of a position that was taken over; ``quantity`` signed."""
    return {
        "ts_event": taken.ts_event,
        "instrument_id": instrument_id,
        "quantity": quantity,
        "entry_price": taken.entry_price,
        "reason": taken.reason,
    }
