"""The formula of every feature: dimensionless, finite, mostly within [-5, 5], cut at [-10, 10].

Distances are in units of the average true range (ATR, 14 bars, Wilder) or of the volatility a bar (EWMA of squared
log returns, half-life 96 bars), so that prices and volumes of any year look alike.
"""

import math

import numpy as np
import numpy.typing as npt

from core.bars import DAY_NS
from core.compiled import compiled
from core.feature_state import (
    AT,
    CLOSES,
    EMA_21,
    EMA_55,
    HIGHS,
    LOG_CLOSES,
    LOWS,
    RANGES,
    RETURNS,
    TIMEFRAME_SIZE,
    TIMEFRAMES,
    TIMEFRAMES_AT,
    F,
    S,
)
from core.indicators import RING, clip, extremes, log_ratio, ratio, sum_squares

__all__ = ["write_columns"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_LIMIT = 10.0
_SLOPE_LAG = 16
_USUAL_VOLATILITY = 0.5
_SETTLEMENT_NS = 8 * 3_600_000_000_000
_FOUR_LOG_TWO = 4.0 * math.log(2.0)
_X4, _X16, _X96 = (TIMEFRAMES_AT + i * TIMEFRAME_SIZE for i in range(3))


@compiled
def _position(value: float, low: float, high: float) -> float:
    """Return where a value stands in a range: -1 at its low, 1 at its high, 0 in a range of no width."""
    return ratio(2.0 * value - high - low, high - low)


@compiled
def _write_returns(state: FloatArray, last: int, out: Float32Array) -> None:
    """Log returns over n bars in units of what a random walk of the same volatility travels in n bars."""
    now = state[LOG_CLOSES + last % RING]
    deviation = np.sqrt(state[S.variance_slow])
    for column, lag in (
        (F.return_1, 1),
        (F.return_2, 2),
        (F.return_4, 4),
        (F.return_8, 8),
        (F.return_16, 16),
        (F.return_32, 32),
        (F.return_96, 96),
    ):
        then = state[LOG_CLOSES + (last - min(lag, last)) % RING]
        out[column] = clip(ratio(now - then, deviation * np.sqrt(lag)), _LIMIT)


@compiled
def _write_volatility(
    state: FloatArray, last: int, squares_16: float, squares_96: float, below_96: float, out: Float32Array
) -> None:
    """Volatility: its level, its terms against each other, its rank, and the share of it that is downwards."""
    parkinson = sum_squares(state, RANGES, last, 0, 16)[0] / (16.0 * _FOUR_LOG_TWO)
    out[F.volatility_level] = clip(log_ratio(state[S.volatility], _USUAL_VOLATILITY), _LIMIT)
    out[F.volatility_fast_slow] = clip(log_ratio(state[S.variance_fast], state[S.variance_slow]), _LIMIT)
    out[F.parkinson_16] = clip(log_ratio(parkinson, state[S.variance_slow]), _LIMIT)
    out[F.realised_16_96] = clip(log_ratio(6.0 * squares_16, squares_96), _LIMIT)
    out[F.downside_share_96] = _position(below_96, 0.0, squares_96)
    out[F.volatility_rank] = 2.0 * state[S.volatility_rank] - 1.0


@compiled
def _write_bar(state: FloatArray, open_: float, out: Float32Array) -> None:
    """Shape of the last bar and the size of bars of late."""
    high, low, close, atr = state[S.high], state[S.low], state[S.close], state[S.atr]
    upper = high - max(open_, close)
    lower = min(open_, close) - low
    usual = _USUAL_VOLATILITY * close / np.sqrt(state[S.bars_per_year])
    out[F.bar_range] = clip(log_ratio(high - low, atr), _LIMIT)
    out[F.bar_close_position] = clip(_position(close, low, high), _LIMIT)
    out[F.bar_shadow_balance] = clip(ratio(lower - upper, high - low), _LIMIT)
    out[F.atr_level] = clip(log_ratio(atr, usual), _LIMIT)


@compiled
def _write_trend(state: FloatArray, last: int, out: Float32Array) -> None:
    """Distance to exponential means and their slopes, MACD, directional movement, Kaufman's efficiency."""
    close, atr = state[S.close], state[S.atr]
    out[F.ema_distance_8] = clip(ratio(close - state[S.ema_8], atr), _LIMIT)
    out[F.ema_distance_21] = clip(ratio(close - state[S.ema_21], atr * 2.0), _LIMIT)
    out[F.ema_distance_55] = clip(ratio(close - state[S.ema_55], atr * 3.0), _LIMIT)
    out[F.ema_distance_200] = clip(ratio(close - state[S.ema_200], atr * 5.0), _LIMIT)
    then = (last - min(_SLOPE_LAG, last)) % RING
    out[F.ema_slope_21] = clip(ratio(state[S.ema_21] - state[EMA_21 + then], atr * 3.0), _LIMIT)
    out[F.ema_slope_55] = clip(ratio(state[S.ema_55] - state[EMA_55 + then], atr * 2.0), _LIMIT)
    histogram = state[S.ema_12] - state[S.ema_26] - state[S.macd_signal]
    out[F.macd_histogram] = clip(ratio(4.0 * histogram, atr), _LIMIT)
    plus, minus = state[S.plus_move], state[S.minus_move]
    out[F.adx_14] = clip(4.0 * (state[S.adx] - 0.25), _LIMIT)
    out[F.direction_14] = clip(ratio(2.0 * (plus - minus), plus + minus), _LIMIT)
    travel = 0.0
    path = 0.0
    for age in range(min(32, last + 1)):
        value = state[RETURNS + (last - age) % RING]
        travel += abs(value)
        path += value
    out[F.efficiency_32] = ratio(abs(path), travel)


@compiled
def _write_oscillators(state: FloatArray, last: int, out: Float32Array) -> None:
    """Channels (Donchian, stochastic, Bollinger) and relative strength, centred on 0."""
    close, atr = state[S.close], state[S.atr]
    high, low = extremes(state, HIGHS, LOWS, last, 0, 14, state[S.high], state[S.low])
    out[F.stochastic_14] = clip(_position(close, low, high), _LIMIT)
    high, low = extremes(state, HIGHS, LOWS, last, 14, 20, high, low)
    out[F.donchian_20] = clip(_position(close, low, high), _LIMIT)
    high, low = extremes(state, HIGHS, LOWS, last, 20, 55, high, low)
    out[F.donchian_55] = clip(_position(close, low, high), _LIMIT)
    high, low = extremes(state, HIGHS, LOWS, last, 55, 96, high, low)
    out[F.donchian_96] = clip(_position(close, low, high), _LIMIT)

    bars = min(20, last + 1)
    total = 0.0
    squares = 0.0
    for age in range(bars):
        deviation = state[CLOSES + (last - age) % RING] - close
        total += deviation
        squares += deviation * deviation
    mean = total / bars
    deviation = np.sqrt(max(squares / bars - mean * mean, 0.0))
    out[F.bollinger_position_20] = clip(ratio(-mean, deviation), _LIMIT)
    out[F.bollinger_width_20] = clip(log_ratio(deviation, atr), _LIMIT)

    gain, loss = state[S.gain_7], state[S.loss_7]
    out[F.rsi_7] = clip(ratio(2.0 * (gain - loss), gain + loss), _LIMIT)
    gain, loss = state[S.gain_14], state[S.loss_14]
    out[F.rsi_14] = clip(ratio(2.0 * (gain - loss), gain + loss), _LIMIT)


@compiled
def _write_volume(state: FloatArray, log_volume: float, imbalance: float, out: Float32Array) -> None:
    """Volume against its own means, signed by the bar's return, and the taker's side of it."""
    spread = np.sqrt(state[S.log_volume_variance])
    out[F.volume_fast] = clip(log_ratio(state[S.volume_16], state[S.volume_288]), _LIMIT)
    out[F.volume_slow] = clip(log_volume, _LIMIT)
    out[F.volume_z] = clip(ratio(log_volume - state[S.log_volume_mean], spread), _LIMIT)
    out[F.signed_volume_32] = clip(ratio(4.0 * state[S.signed_32], state[S.volume_32]), _LIMIT)
    out[F.taker_imbalance] = 4.0 * imbalance
    out[F.taker_imbalance_8] = clip(8.0 * state[S.imbalance_8], _LIMIT)
    out[F.taker_imbalance_32] = clip(16.0 * state[S.imbalance_32], _LIMIT)


@compiled
def _write_clock(state: FloatArray, out: Float32Array) -> None:
    """Time of the day and of the week of the close, funding and how near the next settlement is (1: just settled)."""
    ts = int(state[S.period]) * int(state[S.per_decision]) * int(state[S.base_ns])
    day = 2.0 * np.pi * (ts % DAY_NS) / DAY_NS
    week = 2.0 * np.pi * (ts % (7 * DAY_NS)) / (7 * DAY_NS)
    out[F.hour_sin] = np.sin(day)
    out[F.hour_cos] = np.cos(day)
    out[F.weekday_sin] = np.sin(week)
    out[F.weekday_cos] = np.cos(week)
    out[F.funding_rate] = clip(1e4 * state[S.funding_rate], _LIMIT)
    out[F.funding_mean] = clip(1e4 * state[S.funding_mean], _LIMIT)
    out[F.funding_due] = 1.0 - (ts % _SETTLEMENT_NS) / _SETTLEMENT_NS


@compiled
def _write_timeframes(state: FloatArray, out: Float32Array) -> None:
    """Higher timeframes: the close against their mean in their ATR, relative strength, last return, range."""
    close = state[S.close]
    deviation = np.sqrt(state[S.variance_slow])
    for begin, distance, rsi in (
        (_X4, F.x4_distance, F.x4_rsi),
        (_X16, F.x16_distance, F.x16_rsi),
        (_X96, F.x96_distance, F.x96_rsi),
    ):
        above = close - state[begin + AT.last_close] - state[begin + AT.deviation]
        out[distance] = clip(ratio(above, 2.0 * state[begin + AT.atr]), _LIMIT)
        out[rsi] = 2.0 * state[begin + AT.rsi]
    for begin, length, change, position in (
        (_X16, TIMEFRAMES[1], F.x16_return, F.x16_position),
        (_X96, TIMEFRAMES[2], F.x96_return, F.x96_position),
    ):
        out[change] = clip(ratio(state[begin + AT.last_return], deviation * np.sqrt(length)), _LIMIT)
        out[position] = clip(_position(close, state[begin + AT.lowest], state[begin + AT.highest]), _LIMIT)


@compiled
def write_columns(
    state: FloatArray,
    open_: float,
    squares_16: float,
    squares_96: float,
    below_96: float,
    log_volume: float,
    imbalance: float,
    out: Float32Array,
) -> None:
    """Write every column of the decision bar that the state has just taken in.

    Parameters
    ----------
    state : float64[STATE_SIZE]
        After the bar.
    open_ : float
        The bar's open, quote currency.
    squares_16, squares_96, below_96 : float
        Sums of squared log returns over 16 and 96 bars, and of the negative ones over 96.
    log_volume, imbalance : float
        Logarithm of the bar's volume over its mean, and the taker imbalance in [-1, 1].
    out : float32[F]
        Overwritten.
    """
    last = int(state[S.bars]) - 1
    _write_returns(state, last, out)
    _write_volatility(state, last, squares_16, squares_96, below_96, out)
    _write_bar(state, open_, out)
    _write_trend(state, last, out)
    _write_oscillators(state, last, out)
    _write_volume(state, log_volume, imbalance, out)
    _write_clock(state, out)
    _write_timeframes(state, out)
