"""The limits of the gate and of the breaker, as numbers: one tuple, compiled code reads it."""

from typing import NamedTuple

__all__ = ["RiskParams"]

_NEVER = 1_000_000


class RiskParams(NamedTuple):
    """Limits of the gate and of the breaker; fractions of equity unless said otherwise.

    A limit left out is as wide as can be; `configs.risk.Risk.params` leaves none out.

    ``loss_per_trade``: loss at the stop, fees and slippage included; ``daily_drawdown``: from the UTC day's high-water
    mark, ``total_drawdown``: from the highest ever; ``max_capital``: gross notional over all instruments,
    ``max_instrument`` of one, ``max_group`` of correlated ones; ``max_order_notional`` of one order, quote currency;
    ``exit_cost``: fee, half the spread and slippage of the way out, fraction of notional.

    ``max_price_distance``: of the close from the one before, fraction of it; ``max_data_age_seconds`` and
    ``max_state_age_seconds``; ``min_entry_spacing_bars``, ``max_entries_24h`` (rolling) and ``max_entries_per_day``
    (UTC): frequency of entries in one instrument.

    ``volatility_quantile``: no entry while volatility ranks above it, nor after that until it has ranked at or below
    ``volatility_calm_quantile`` for ``volatility_observation_bars`` decision bars in a row. ``loss_streak`` losses in a
    row, ``stop_guard_stops`` stop-outs within ``stop_guard_ns``, or ``low_profit_trades`` trades within
    ``low_profit_ns`` whose returns sum to less than ``low_profit_return``: each pauses entries for its ``_bars``.

    ``pyramiding`` (0 or 1): whether a position in profit may be added to, ``max_adds`` times; ``funding_minutes``: no
    entry this close to a settlement that costs more than ``max_funding_rate`` of notional; ``maintenance_margin``:
    fraction of notional; ``max_liquidation_share``: how far on the way to liquidation the stop may stand.

    ``tighten_volatility``, ``tighten_loss``, ``tighten_drawdown``: share by which loss and capital limits shrink at the
    highest volatility rank, with each loss in a row, and at the day's limit of drawdown. ``rules_off``: bit mask of the
    rules switched off (`core.rules.off_mask`). ``auto_rearm`` (0 or 1): whether a new UTC day re-arms a HALTED breaker
    without a person (replays and training only).
    """

    loss_per_trade: float
    daily_drawdown: float
    max_capital: float
    exit_cost: float
    min_entry_spacing_bars: int
    max_entries_24h: int
    volatility_quantile: float
    pyramiding: int
    auto_rearm: int
    total_drawdown: float = 1.0
    max_instrument: float = 1.0
    max_group: float = 1.0
    max_order_notional: float = 1e15
    max_price_distance: float = 1e15
    max_data_age_seconds: float = 1e15
    max_state_age_seconds: float = 1e15
    max_entries_per_day: int = _NEVER
    volatility_calm_quantile: float = 1.0
    volatility_observation_bars: int = 1
    loss_streak: int = _NEVER
    loss_streak_bars: int = 0
    stop_guard_stops: int = 1
    stop_guard_ns: int = 0
    stop_guard_bars: int = 0
    low_profit_trades: int = 1
    low_profit_ns: int = 0
    low_profit_return: float = -1.0
    low_profit_bars: int = 0
    max_adds: int = _NEVER
    funding_minutes: float = 0.0
    max_funding_rate: float = 1.0
    maintenance_margin: float = 0.0
    max_liquidation_share: float = 1.0
    tighten_volatility: float = 0.0
    tighten_loss: float = 0.0
    tighten_drawdown: float = 0.0
    rules_off: int = 0
