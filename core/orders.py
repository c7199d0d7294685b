"""Order intents: what the strategy asks of the venue, rounded to the exchange's filters once and for all."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

import msgspec

from core.decision import Decided
from core.situation import Position

__all__ = ["Intent", "StopIntent", "lots_to_quantity", "order_intent", "stop_intent", "stop_price"]

Side = Literal["BUY", "SELL"]


class Intent(msgspec.Struct, frozen=True):
    """A market order: side, quantity (base asset, a whole number of lots), reduce-only."""

    side: Side
    quantity: Decimal
    reduce_only: bool


class StopIntent(msgspec.Struct, frozen=True):
    """The protective stop a position should have: reduce-only, for the whole of it."""

    side: Side
    quantity: Decimal
    trigger_price: Decimal


def lots_to_quantity(lots: int, lot: Decimal) -> Decimal:
    """Return an unsigned quantity for a signed number of lots."""
    return abs(lots) * lot


def order_intent(position: Position, decided: Decided, *, lot: Decimal) -> Intent | None:
    """Return the one order that moves a position to its target, or None where nothing is to be done.

    Raises
    ------
    ValueError
        For a target on the other side of zero: a reversal closes first (`core.decision.decide`).
    """
    delta = decided.target_lots - position.lots
    if delta == 0:
        return None
    if position.lots * decided.target_lots < 0:
        raise ValueError(f"a decision must not reverse {position.lots} lots to {decided.target_lots} in one order")
    return Intent(
        side="BUY" if delta > 0 else "SELL",
        quantity=lots_to_quantity(delta, lot),
        reduce_only=abs(decided.target_lots) < abs(position.lots),
    )


def stop_price(price: float, *, lots: int, tick: Decimal) -> Decimal:
    """Round a stop to the tick, towards the position's entry: a stop never risks more than was sized for.

    A long's stop is rounded up, a short's down; the smallest price is one tick.
    """
    rounding = ROUND_CEILING if lots > 0 else ROUND_FLOOR
    count = (Decimal(repr(price)) / tick).to_integral_value(rounding=rounding)
    return max(count, Decimal(1)) * tick


def stop_intent(lots: int, price: float, *, lot: Decimal, tick: Decimal) -> StopIntent | None:
    """Return the protective stop for a signed position, or None for a flat one."""
    if lots == 0:
        return None
    return StopIntent(
        side="SELL" if lots > 0 else "BUY",
        quantity=lots_to_quantity(lots, lot),
        trigger_price=stop_price(price, lots=lots, tick=tick),
    )
