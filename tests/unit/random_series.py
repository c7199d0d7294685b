"""Random bars for the tests of features."""

import numpy as np

from core.bars import Bars, interval_ns

START_NS = 1_709_254_800_000_000_000  # 2024-03-01T01:00, amid a day, at the beginning of an hour


def random_bars(seed, count, *, interval="5m", start_ns=START_NS, taker=True):
    """Return ``count`` bars of a random walk with clustered volatility; every value is finite and plausible."""
    random = np.random.default_rng(seed)
    step = interval_ns(interval)
    volatility = 0.001 * np.exp(0.5 * np.sin(np.arange(count) / 700.0) + 0.3 * random.standard_normal(count))
    close = 30_000.0 * np.exp(np.cumsum(volatility * random.standard_normal(count)))
    open_ = np.concatenate([[30_000.0], close[:-1]])
    high = np.maximum(open_, close) * (1.0 + volatility * random.random(count))
    low = np.minimum(open_, close) * (1.0 - volatility * random.random(count))
    volume = np.exp(3.0 + random.standard_normal(count))
    share = random.random(count) if taker else np.full(count, np.nan)
    ts_close = start_ns + step * np.arange(1, count + 1)
    return Bars(ts_close, open_, high, low, close, volume, volume * share)


def take(bars, rows):
    """Return some rows of ``bars`` (a mask, a slice or indices)."""
    return Bars(*(column[rows] for column in bars))
