"""The one step that makes the features: a base bar into the state, and at a decision bar's close a row of columns.

History is a loop over `step`, a live feed calls it once a bar; nothing else computes a feature.
"""

import numpy as np
import numpy.typing as npt

from core.compiled import compiled
from core.feature_columns import write_columns
from core.feature_state import (
    CLOSES,
    EMA_21,
    EMA_55,
    HIGHS,
    LOG_CLOSES,
    LOWS,
    RANGES,
    RANK_WINDOW,
    RETURNS,
    TIMEFRAME_SIZE,
    TIMEFRAMES,
    TIMEFRAMES_AT,
    VARIANCES,
    S,
)
from core.indicators import RING, blend, half_life_weight, log_ratio, rank, ratio, span_weight, sum_squares
from core.timeframes import fold_timeframe

__all__ = ["BAD_PRICE", "BAD_TIME", "BAD_VOLUME", "CLOSED", "HOLE", "OFF_GRID", "OPEN", "add_funding", "step"]

OPEN, CLOSED, HOLE = 0, 1, 2
"""Outcomes of a step: no decision bar closed; a whole one closed; one closed that misses base bars."""
OFF_GRID, BAD_TIME, BAD_PRICE, BAD_VOLUME = -1, -2, -3, -4
"""Outcomes of a step that refused its bar and left the state as it was."""

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_EMA_8, _EMA_12, _EMA_21, _EMA_26, _EMA_55, _EMA_200 = (span_weight(n) for n in (8, 12, 21, 26, 55, 200))
_EMA_9, _EMA_16, _EMA_32, _EMA_96, _EMA_288 = (span_weight(n) for n in (9, 16, 32, 96, 288))
_WILDER_7, _WILDER_14 = 1.0 / 7.0, 1.0 / 14.0
_FAST, _SLOW = half_life_weight(8), half_life_weight(96)
_VOLUME_FLOOR = 0.01


@compiled
def add_funding(state: FloatArray, rate: float) -> None:
    """Take a settled funding rate (fraction of notional); it counts from the next closed decision bar on."""
    state[S.funding_count] += 1.0
    state[S.funding_rate] = rate
    state[S.funding_mean] = blend(state[S.funding_mean], rate, _EMA_9, state[S.funding_count])


@compiled
def _fold_price(state: FloatArray, open_: float, high: float, low: float, close: float, n: float) -> None:
    """Move everything that depends on prices by decision bar number ``n`` (from 1)."""
    first = n == 1.0
    last = int(n) - 1
    place = last % RING
    before = open_ if first else state[S.close]
    log_close = np.log(close)
    change = log_close - (log_close if first else state[LOG_CLOSES + (last - 1) % RING])
    true_range = max(high, before) - min(low, before)
    up = 0.0 if first else high - state[S.high]
    down = 0.0 if first else state[S.low] - low

    state[LOG_CLOSES + place] = log_close
    state[RETURNS + place] = change
    state[CLOSES + place] = close
    state[HIGHS + place] = high
    state[LOWS + place] = low
    state[RANGES + place] = np.log(high / low)

    state[S.variance_fast] = blend(state[S.variance_fast], change * change, _FAST, n)
    state[S.variance_slow] = blend(state[S.variance_slow], change * change, _SLOW, n)
    state[S.atr] = blend(state[S.atr], true_range, _WILDER_14, n)
    state[S.ema_8] = blend(state[S.ema_8], close, _EMA_8, n)
    state[S.ema_12] = blend(state[S.ema_12], close, _EMA_12, n)
    state[S.ema_21] = blend(state[S.ema_21], close, _EMA_21, n)
    state[S.ema_26] = blend(state[S.ema_26], close, _EMA_26, n)
    state[S.ema_55] = blend(state[S.ema_55], close, _EMA_55, n)
    state[S.ema_200] = blend(state[S.ema_200], close, _EMA_200, n)
    state[EMA_21 + place] = state[S.ema_21]
    state[EMA_55 + place] = state[S.ema_55]
    state[S.macd_signal] = blend(state[S.macd_signal], state[S.ema_12] - state[S.ema_26], _EMA_9, n)

    plus = up if up > down and up > 0.0 else 0.0
    minus = down if down > up and down > 0.0 else 0.0
    state[S.plus_move] = blend(state[S.plus_move], plus, _WILDER_14, n)
    state[S.minus_move] = blend(state[S.minus_move], minus, _WILDER_14, n)
    spread = abs(state[S.plus_move] - state[S.minus_move])
    state[S.adx] = blend(state[S.adx], ratio(spread, state[S.plus_move] + state[S.minus_move]), _WILDER_14, n)

    move = 0.0 if first else close - before
    gain, loss = max(move, 0.0), max(-move, 0.0)
    state[S.gain_7] = blend(state[S.gain_7], gain, _WILDER_7, n)
    state[S.loss_7] = blend(state[S.loss_7], loss, _WILDER_7, n)
    state[S.gain_14] = blend(state[S.gain_14], gain, _WILDER_14, n)
    state[S.loss_14] = blend(state[S.loss_14], loss, _WILDER_14, n)

    state[S.close] = close
    state[S.high] = high
    state[S.low] = low


@compiled
def _fold_volume(state: FloatArray, volume: float, taker_buy: float, n: float) -> tuple[float, float]:
    """Move everything that depends on volume; return the bar's log volume (relative) and taker imbalance."""
    change = state[RETURNS + (int(n) - 1) % RING]
    signed = volume if change > 0.0 else (-volume if change < 0.0 else 0.0)
    state[S.volume_16] = blend(state[S.volume_16], volume, _EMA_16, n)
    state[S.volume_32] = blend(state[S.volume_32], volume, _EMA_32, n)
    state[S.volume_288] = blend(state[S.volume_288], volume, _EMA_288, n)
    state[S.signed_32] = blend(state[S.signed_32], signed, _EMA_32, n)

    normal = state[S.volume_288]
    log_volume = log_ratio(volume + _VOLUME_FLOOR * normal, (1.0 + _VOLUME_FLOOR) * normal)
    weight = max(_EMA_96, 1.0 / n)
    distance = log_volume - state[S.log_volume_mean]
    state[S.log_volume_mean] += weight * distance
    state[S.log_volume_variance] = (1.0 - weight) * (state[S.log_volume_variance] + weight * distance * distance)

    imbalance = 0.0
    if volume > 0.0 and taker_buy >= 0.0:
        imbalance = min(2.0 * taker_buy / volume - 1.0, 1.0)
    state[S.imbalance_8] = blend(state[S.imbalance_8], imbalance, _EMA_8, n)
    state[S.imbalance_32] = blend(state[S.imbalance_32], imbalance, _EMA_32, n)
    return log_volume, imbalance


@compiled
def _fold_part(state: FloatArray, out: Float32Array) -> int:
    """Close the decision bar under way: move the state, write the columns; return ``CLOSED`` or ``HOLE``."""
    period = int(state[S.part_period])
    whole = state[S.part_count] == state[S.per_decision]
    state[S.part_count] = 0.0
    open_, high, low, close = state[S.part_open], state[S.part_high], state[S.part_low], state[S.part_close]
    state[S.bars] += 1.0
    n = state[S.bars]
    last = int(n) - 1

    _fold_price(state, open_, high, low, close, n)
    log_volume, imbalance = _fold_volume(state, state[S.part_volume], state[S.part_taker], n)
    for i, length in enumerate(TIMEFRAMES):
        begin = TIMEFRAMES_AT + i * TIMEFRAME_SIZE
        fold_timeframe(state[begin : begin + TIMEFRAME_SIZE], length, period, high, low, close)

    squares_16, below_16 = sum_squares(state, RETURNS, last, 0, 16)
    squares_80, below_80 = sum_squares(state, RETURNS, last, 16, 96)
    squares_96 = squares_16 + squares_80
    state[VARIANCES + last % RANK_WINDOW] = squares_96
    state[S.volatility_rank] = rank(state[VARIANCES:], min(last + 1, RANK_WINDOW), squares_96)
    state[S.volatility] = np.sqrt(state[S.variance_slow] * state[S.bars_per_year])

    follows = state[S.whole_period] == period - 1
    state[S.period] = period
    if whole:
        state[S.whole_period] = period
    state[S.ready] = 1.0 if whole and follows and n > state[S.warmup] else 0.0

    write_columns(state, open_, squares_16, squares_96, below_16 + below_80, log_volume, imbalance, out)
    return CLOSED if whole else HOLE


@compiled
def step(
    state: FloatArray,
    ts_close: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    taker_buy: float,
    out: Float32Array,
) -> int:
    """Fold one base bar into the state.

    Parameters
    ----------
    state : float64[STATE_SIZE]
        From `core.feature_state.new_state`; changed in place.
    ts_close : int
        Close of the base bar, ns since the epoch UTC: on the grid of its interval and after the last one.
    open_, high, low, close : float
        Quote currency, positive.
    volume, taker_buy : float
        Base asset; ``taker_buy`` NaN where unknown.
    out : float32[F]
        Overwritten when a decision bar closes.

    Returns
    -------
    int
        ``OPEN``, ``CLOSED`` or ``HOLE``; negative where the bar was refused, the state untouched.

    Notes
    -----
    A decision bar closes with the base bar whose close is a multiple of the decision interval. Where a gap swallowed
    that base bar, the decision bar closes as ``HOLE`` when the next base bar arrives, and that one begins its own
    decision bar. If it also ends it (or the two intervals are equal), the late one is folded in silently and the
    outcome is that of the newer: a step reports one decision bar at most.
    """
    index = ts_close // int(state[S.base_ns])
    if index * int(state[S.base_ns]) != ts_close:
        return OFF_GRID
    if index <= int(state[S.base_index]):
        return BAD_TIME
    if not (low > 0.0 and high >= low and open_ > 0.0 and close > 0.0):
        return BAD_PRICE
    if not (high < np.inf and open_ < np.inf and close < np.inf):
        return BAD_PRICE
    if not 0.0 <= volume < np.inf:
        return BAD_VOLUME

    outcome = OPEN
    per_decision = int(state[S.per_decision])
    period = (index + per_decision - 1) // per_decision
    state[S.base_index] = index
    if state[S.part_count] > 0.0 and period != int(state[S.part_period]):
        outcome = _fold_part(state, out)
    if state[S.part_count] == 0.0:
        state[S.part_count] = 1.0
        state[S.part_period] = period
        state[S.part_open] = open_
        state[S.part_high] = high
        state[S.part_low] = low
        state[S.part_volume] = volume
        state[S.part_taker] = taker_buy
    else:
        state[S.part_count] += 1.0
        state[S.part_high] = max(state[S.part_high], high)
        state[S.part_low] = min(state[S.part_low], low)
        state[S.part_volume] += volume
        state[S.part_taker] += taker_buy
    state[S.part_close] = close
    if index == period * per_decision:
        outcome = _fold_part(state, out)
    return outcome
