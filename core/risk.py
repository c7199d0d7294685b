"""The limits of the gate and of the breaker, as numbers: one tuple, compiled code reads it."""

from typing import NamedTuple

__all__ = ["RiskParams"]


class RiskParams(NamedTuple):
    """Limits of the gate; fractions of equity unless said otherwise.

    ``loss_per_trade``: loss at the stop, fees and slippage included; ``daily_drawdown``: from the UTC day's
    high-water mark; ``max_capital``: gross notional over all instruments; ``exit_cost``: fee, half the spread and
    slippage of the way out, as a fraction of notional; ``min_entry_spacing_bars`` and ``max_entries_per_day``:
    frequency; ``volatility_quantile``: no entry while the volatility rank is above it; ``pyramiding`` (0 or 1):
    whether a position in profit may be added to; ``auto_rearm`` (0 or 1): whether a new UTC day re-arms a HALTED
    gate without a person (replays and training only).
    """

    loss_per_trade: float
    daily_drawdown: float
    max_capital: float
    exit_cost: float
    min_entry_spacing_bars: int
    max_entries_per_day: int
    volatility_quantile: float
    pyramiding: int
    auto_rearm: int
    total_drawdown: float = 1.0
