"""Higher timeframes inside the features: only their closed bars are ever seen.

A timeframe of ``m`` decision bars groups them on the grid since the epoch: decision bar number ``k`` (it closes at
``k`` decision intervals) belongs to group ``(k - 1) // m``, which closes with its last bar, ``k % m == 0``. Where a gap
swallowed that bar, the group closes when a bar of a later one arrives. The group in which the series begins may lack
its beginning; the warm-up outlasts it.
"""

import numpy as np
import numpy.typing as npt

from core.compiled import compiled
from core.feature_state import AT, TIMEFRAME_BARS
from core.indicators import ratio

__all__ = ["fold_timeframe"]

FloatArray = npt.NDArray[np.float64]

_HIGHS, _LOWS, _CLOSES, _CHANGES, _TRUE_RANGES = (len(AT) + i * TIMEFRAME_BARS for i in range(5))


@compiled
def _close_group(block: FloatArray) -> None:
    """Push the bar under way onto the rings and describe the closed bars anew."""
    bars = int(block[AT.bars])
    close, high, low = block[AT.close], block[AT.high], block[AT.low]
    before = block[AT.last_close] if bars > 0 else close
    place = bars % TIMEFRAME_BARS
    block[_HIGHS + place] = high
    block[_LOWS + place] = low
    block[_CLOSES + place] = close
    block[_CHANGES + place] = close - before
    block[_TRUE_RANGES + place] = max(high, before) - min(low, before)
    block[AT.last_return] = np.log(close / before)
    block[AT.last_close] = close
    bars += 1
    block[AT.bars] = bars
    block[AT.group] = 0.0

    known = min(bars, TIMEFRAME_BARS)
    deviation = 0.0
    true_range = 0.0
    rise = 0.0
    travel = 0.0
    for age in range(known):
        j = (bars - 1 - age) % TIMEFRAME_BARS
        deviation += block[_CLOSES + j] - close
        true_range += block[_TRUE_RANGES + j]
        rise += block[_CHANGES + j]
        travel += abs(block[_CHANGES + j])
        high = max(high, block[_HIGHS + j])
        low = min(low, block[_LOWS + j])
    block[AT.deviation] = deviation / known
    block[AT.atr] = true_range / known
    block[AT.rsi] = ratio(rise, travel)
    block[AT.highest] = high
    block[AT.lowest] = low


@compiled
def fold_timeframe(block: FloatArray, length: int, period: int, high: float, low: float, close: float) -> None:
    """Fold one decision bar into a timeframe.

    Parameters
    ----------
    block : float64[TIMEFRAME_SIZE]
        The timeframe's part of the state.
    length : int
        Decision bars a bar of the timeframe.
    period : int
        The decision bar's number on its grid; rising.
    high, low, close : float
        Quote currency.
    """
    group = (period - 1) // length + 1
    if block[AT.group] != 0.0 and block[AT.group] != group:
        _close_group(block)
    if block[AT.group] == 0.0:
        block[AT.group] = group
        block[AT.high] = high
        block[AT.low] = low
    else:
        block[AT.high] = max(block[AT.high], high)
        block[AT.low] = min(block[AT.low], low)
    block[AT.close] = close
    if period % length == 0:
        _close_group(block)
