"""Exact numbers: decimals as they stand on the wire, money to eight places."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

__all__ = ["SMALLEST", "ZERO", "down", "exact", "money", "nearest", "text"]

ZERO = Decimal(0)
SMALLEST = Decimal("0.00000001")
"""The smallest amount of money that is booked."""


def exact(value: float | str) -> Decimal:
    """Return the decimal that a float is written as."""
    return Decimal(str(value))


def money(value: Decimal) -> Decimal:
    """Return an amount as it is booked."""
    return value.quantize(SMALLEST, ROUND_HALF_EVEN)


def nearest(value: Decimal, step: Decimal) -> Decimal:
    """Return the nearest multiple of a step."""
    return (value / step).quantize(Decimal(1), ROUND_HALF_EVEN) * step


def down(value: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of a step that is not above a value >= 0."""
    return (value / step).quantize(Decimal(1), ROUND_DOWN) * step


def text(value: Decimal, decimals: int = 8) -> str:
    """Write a number with so many decimals; no minus stands before zero."""
    rounded = round(value, decimals)
    return f"{abs(rounded) if rounded == 0 else rounded:.{decimals}f}"
