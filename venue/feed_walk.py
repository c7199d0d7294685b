"""Prices that nobody ever paid: a seeded random walk, the same for a seed however it is asked for."""

from collections.abc import Mapping
from functools import lru_cache
from zlib import crc32

import numpy as np

from venue.bars import MINUTE_MS, Columns, concatenated
from venue.feed import FundingTime

__all__ = ["START_PRICES", "WalkFeed"]

START_PRICES = {
    "BTCUSDT": 42_000.0,
    "ETHUSDT": 2_300.0,
    "SOLUSDT": 100.0,
    "BNBUSDT": 310.0,
    "XRPUSDT": 0.62,
    "ADAUSDT": 0.60,
    "DOGEUSDT": 0.09,
    "LINKUSDT": 15.0,
}
_DAY_MS = 1_440 * MINUTE_MS
_FUNDING_MS = 8 * 60 * MINUTE_MS
_VOLATILITY = 0.0006
"""Standard deviation of a minute's logarithmic return: 2 % a day."""
_MINUTE_NOTIONAL = 2_000_000.0


class WalkFeed:
    """A random walk that returns to its start at every midnight, so that any day can be had without the days before.

    Parameters
    ----------
    ticks : Mapping[str, float]
        Tick of each symbol.
    lots : Mapping[str, float]
        Lot of each symbol.
    seed : int
        Which walk.
    start_ms : int
        Open of the first minute to be played.
    """

    def __init__(self, ticks: Mapping[str, float], lots: Mapping[str, float], seed: int, start_ms: int) -> None:
        self.start_ms = start_ms // MINUTE_MS * MINUTE_MS
        self.end_ms: int | None = None
        self._ticks, self._lots, self._seed = ticks, lots, seed
        self._day = lru_cache(maxsize=32 * len(ticks))(self._make_day)

    def bars(self, symbol: str, first_ms: int, last_ms: int) -> Columns:
        """Return the bars that open in ``first_ms <= t <= last_ms``."""
        days = range(first_ms // _DAY_MS, last_ms // _DAY_MS + 1)
        return concatenated([self._day(symbol, day).cut(first_ms, last_ms) for day in days])

    def funding(self, symbol: str, first_ms: int, last_ms: int) -> list[FundingTime]:
        """Return the settlements of ``first_ms <= t <= last_ms``: every eight hours, longs pay shorts or receive."""
        times = range(-(-first_ms // _FUNDING_MS) * _FUNDING_MS, last_ms + 1, _FUNDING_MS)
        rates = (self._chance(symbol, time_ms).normal(1e-4, 1e-4) for time_ms in times)
        return [FundingTime(time_ms, round(float(rate), 8)) for time_ms, rate in zip(times, rates, strict=True)]

    def _chance(self, symbol: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, crc32(symbol.encode()), number])

    def _make_day(self, symbol: str, day: int) -> Columns:
        chance = self._chance(symbol, day)
        tick, lot, minutes = self._ticks[symbol], self._lots[symbol], 1_440
        steps = chance.normal(0.0, _VOLATILITY, minutes).cumsum()
        bridge = steps - steps[-1] * np.arange(1, minutes + 1) / minutes
        closes = START_PRICES[symbol] * np.exp(bridge)
        opens = np.concatenate([[START_PRICES[symbol]], closes[:-1]])
        swing = np.abs(chance.normal(0.0, _VOLATILITY / 2, (2, minutes)))
        highs = np.maximum(opens, closes) * (1 + swing[0])
        lows = np.minimum(opens, closes) * (1 - swing[1])
        volume = np.maximum(_rounded(chance.exponential(_MINUTE_NOTIONAL, minutes) / closes, lot), lot)
        taker = _rounded(volume * chance.uniform(0.3, 0.7, minutes), lot)
        return Columns(
            open_ms=day * _DAY_MS + np.arange(minutes, dtype=np.int64) * MINUTE_MS,
            open=_rounded(opens, tick),
            high=_rounded(highs, tick),
            low=_rounded(lows, tick),
            close=_rounded(closes, tick),
            volume=volume,
            quote_volume=volume * closes,
            trades=chance.integers(4, 4_000, minutes),
            taker_buy=taker,
            taker_quote=taker * closes,
        )


def _rounded(values: "np.typing.NDArray[np.float64]", step: float) -> "np.typing.NDArray[np.float64]":
    """Return values as multiples of a step."""
    return np.round(np.rint(values / step) * step, 8)
