"""What trading costs, and the one fill rule.

A decision at a close fills at the next executable price. Every base bar is four quotes in time order: its open, the
two extremes (the one nearer to the open first), its close. A buy pays the ask, a sell receives the bid; both stand
``half_spread + slippage`` away from the bar's price, rounded to the tick against the trader. A stop triggers at the
first quote that reaches it and fills at that quote, which is the extreme: pessimistic, since bars do not tell the path.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import inlined

__all__ = ["QUOTE_OFFSETS_NS", "CostParams", "ask_ticks", "bid_ticks", "commission", "quote_path", "ticks"]

QUOTE_OFFSETS_NS = (1_000_000, 20_000_000_000, 40_000_000_000, 59_000_000_000)
"""When the four quotes of a one-minute bar stand, after its open; longer bars stretch the last three in proportion."""


class CostParams(NamedTuple):
    """Costs as fractions of notional: ``taker`` and ``maker`` fee, ``away`` = half the spread plus slippage."""

    taker: float
    maker: float
    away: float


@inlined
def ticks(price: float, tick: float) -> int:
    """Return a price as a whole number of ticks, to the nearest."""
    return int(np.rint(price / tick))


@inlined
def bid_ticks(price: float, away: float, tick: float) -> int:
    """Return the price, in ticks, at which a market sell fills: rounded down."""
    return int(np.floor(price * (1.0 - away) / tick + 1e-6))


@inlined
def ask_ticks(price: float, away: float, tick: float) -> int:
    """Return the price, in ticks, at which a market buy fills: rounded up."""
    return int(np.ceil(price * (1.0 + away) / tick - 1e-6))


@inlined
def commission(notional: float, rate: float) -> float:
    """Return the fee on a notional (quote currency), rounded to 8 decimals as the venue books it."""
    return float(np.rint(abs(notional) * rate * 1e8) / 1e8)


@inlined
def quote_path(open_: float, high: float, low: float, close: float) -> tuple[float, float, float, float]:
    """Return a bar's four prices in the order in which they are taken to have traded."""
    if high - open_ < open_ - low:
        return open_, high, low, close
    return open_, low, high, close


FloatArray = npt.NDArray[np.float64]
