"""Numbers of orders: whole lots and whole ticks become exact decimals, rounded once and for all."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

__all__ = ["lots_to_quantity", "stop_price", "stop_trigger"]


def lots_to_quantity(lots: int, lot: Decimal) -> Decimal:
    """Return an unsigned quantity for a signed number of lots."""
    return abs(lots) * lot


def stop_trigger(price: float, *, lots: int, tick: Decimal) -> int:
    """Return a stop's trigger in ticks, towards the position's entry: a stop never risks more than was sized for.

    A long's stop is rounded up, a short's down; the smallest is one tick.
    """
    rounding = ROUND_CEILING if lots > 0 else ROUND_FLOOR
    return max(int((Decimal(repr(price)) / tick).to_integral_value(rounding=rounding)), 1)


def stop_price(price: float, *, lots: int, tick: Decimal) -> Decimal:
    """Return a stop's trigger as a price, rounded as `stop_trigger` says."""
    return stop_trigger(price, lots=lots, tick=tick) * tick
