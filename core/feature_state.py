"""The shape of the features: their columns, and the array that remembers what the next bar needs."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.indicators import RING

__all__ = [
    "AT",
    "CLOSES",
    "EMA_21",
    "EMA_55",
    "HIGHS",
    "LOG_CLOSES",
    "LOWS",
    "RANGES",
    "RANK_WINDOW",
    "RETURNS",
    "STATE_SIZE",
    "TIMEFRAMES",
    "TIMEFRAMES_AT",
    "TIMEFRAME_BARS",
    "TIMEFRAME_SIZE",
    "VARIANCES",
    "Columns",
    "F",
    "S",
    "Slots",
    "TimeframeSlots",
    "new_state",
]

TIMEFRAMES = (4, 16, 96)
"""Lengths of the higher timeframes in decision bars: one hour, four hours and a day on bars of 15 minutes."""
TIMEFRAME_BARS = 14
"""Closed bars that a higher timeframe looks back on. Plain means, not exponential ones: a day's memory ends."""
RANK_WINDOW = 960
"""Decision bars among which the volatility is ranked."""


class Columns(NamedTuple):
    """The features in order; a field's value is its column. `core.feature_step` gives each formula."""

    return_1: int
    return_2: int
    return_4: int
    return_8: int
    return_16: int
    return_32: int
    return_96: int
    volatility_level: int
    volatility_fast_slow: int
    parkinson_16: int
    realised_16_96: int
    downside_share_96: int
    volatility_rank: int
    bar_range: int
    bar_close_position: int
    bar_shadow_balance: int
    atr_level: int
    donchian_20: int
    donchian_55: int
    donchian_96: int
    ema_distance_8: int
    ema_distance_21: int
    ema_distance_55: int
    ema_distance_200: int
    ema_slope_21: int
    ema_slope_55: int
    macd_histogram: int
    adx_14: int
    direction_14: int
    efficiency_32: int
    rsi_7: int
    rsi_14: int
    stochastic_14: int
    bollinger_position_20: int
    bollinger_width_20: int
    volume_fast: int
    volume_slow: int
    volume_z: int
    signed_volume_32: int
    taker_imbalance: int
    taker_imbalance_8: int
    taker_imbalance_32: int
    hour_sin: int
    hour_cos: int
    weekday_sin: int
    weekday_cos: int
    funding_rate: int
    funding_mean: int
    funding_due: int
    x4_distance: int
    x4_rsi: int
    x16_return: int
    x16_distance: int
    x16_rsi: int
    x16_position: int
    x96_return: int
    x96_distance: int
    x96_rsi: int
    x96_position: int


F = Columns(*range(len(Columns._fields)))
"""Column numbers by name."""


class Slots(NamedTuple):
    """Scalars of the state; a field's value is its place.

    ``base_ns``, ``per_decision`` (base bars a decision bar) and ``bars_per_year`` (decision bars) are set once.
    ``base_index`` is the number of the last base bar on its grid since the epoch; ``part_*`` the decision bar
    under way; ``bars`` the decision bars so far and ``period`` the last one's number on its grid; the rest are running
    means over decision bars. The market context is ``close``, ``atr``, ``volatility``, ``volatility_rank``.
    """

    base_ns: int
    per_decision: int
    bars_per_year: int
    warmup: int
    base_index: int
    part_count: int
    part_period: int
    part_open: int
    part_high: int
    part_low: int
    part_close: int
    part_volume: int
    part_taker: int
    bars: int
    period: int
    whole_period: int
    ready: int
    close: int
    high: int
    low: int
    atr: int
    volatility: int
    volatility_rank: int
    variance_fast: int
    variance_slow: int
    ema_8: int
    ema_12: int
    ema_21: int
    ema_26: int
    ema_55: int
    ema_200: int
    macd_signal: int
    plus_move: int
    minus_move: int
    adx: int
    gain_7: int
    loss_7: int
    gain_14: int
    loss_14: int
    volume_16: int
    volume_32: int
    volume_288: int
    signed_32: int
    log_volume_mean: int
    log_volume_variance: int
    imbalance_8: int
    imbalance_32: int
    funding_count: int
    funding_rate: int
    funding_mean: int


S = Slots(*range(len(Slots._fields)))
"""Places of the state's scalars by name."""


class TimeframeSlots(NamedTuple):
    """Scalars of one higher timeframe, relative to its block; five rings follow (see `core.timeframes`).

    ``group`` is the number of the bar under way on its grid, from 1 (0: none is), ``high``, ``low`` and ``close``
    are its own; ``bars`` counts the closed ones. The others describe the last closed bars (``deviation`` is their
    mean close less the last close) and stand still until the next one closes.
    """

    group: int
    high: int
    low: int
    close: int
    bars: int
    last_close: int
    last_return: int
    deviation: int
    atr: int
    rsi: int
    highest: int
    lowest: int


AT = TimeframeSlots(*range(len(TimeframeSlots._fields)))
"""Places of a timeframe's scalars within its block."""

TIMEFRAME_SIZE = len(AT) + 5 * TIMEFRAME_BARS
LOG_CLOSES, RETURNS, CLOSES, HIGHS, LOWS, RANGES, EMA_21, EMA_55 = (len(S) + i * RING for i in range(8))
TIMEFRAMES_AT = len(S) + 8 * RING
VARIANCES = TIMEFRAMES_AT + len(TIMEFRAMES) * TIMEFRAME_SIZE
STATE_SIZE = VARIANCES + RANK_WINDOW
"""The state: `Slots`, eight rings of decision bars, a block a timeframe, and the window of the rank."""


def new_state(*, base_ns: int, per_decision: int, bars_per_year: float, warmup: int) -> npt.NDArray[np.float64]:
    """Return the state before the first bar, float64[STATE_SIZE]."""
    state = np.zeros(STATE_SIZE)
    state[S.base_ns] = base_ns
    state[S.per_decision] = per_decision
    state[S.bars_per_year] = bars_per_year
    state[S.warmup] = warmup
    return state
