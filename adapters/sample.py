"""A synthetic market for a first run without any download. Its prices are invented; its name says so everywhere.

The model: log volatility is the sum of a fast and a slow autoregression and a daily and weekly season; returns are
Student t with that volatility plus rare jumps; a Markov chain switches between range, rise and fall; a weak pull
towards the first price keeps years plausible. Highs and lows are those of a Brownian bridge from open to close.
Volume follows volatility and the size of the return, the takers' side follows its sign. Rises and falls are drawn
alike, so that nothing but the short-lived drift of a regime can be earned, and most of that is eaten by fees.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from adapters.catalog import write_bars, write_instruments
from adapters.funding import FUNDING_SCHEMA, write_funding
from adapters.instruments import InstrumentInfo
from adapters.klines import kline_table, times_ns
from core.bars import DAY_NS, interval_ns
from core.compiled import compiled

__all__ = ["SAMPLE_INSTRUMENT", "synthetic_bars", "synthetic_funding", "write_sample"]

SAMPLE_INSTRUMENT = InstrumentInfo(
    id="SYNTHBTCUSDT-PERP.BINANCE",
    raw_symbol="SYNTHBTCUSDT",
    base="BTC",
    quote="USDT",
    tick=Decimal("0.1"),
    lot=Decimal("0.001"),
    min_lots=1,
    max_lots=120_000,
    min_notional=Decimal(100),
    margin_init=Decimal("0.05"),
    margin_maint=Decimal("0.025"),
)
"""The filters of Binance's BTCUSDT perpetual under a name that no exchange has."""

_START_NS = 1_704_067_200_000_000_000  # 2024-01-01
_PRICE = 42_000.0
_INTERVAL = "1m"
_SETTLEMENT_NS = DAY_NS // 3

_DAILY_VOLATILITY = 0.026
_DAILY_DRIFT = 0.012
_REGIME_DAYS = 2.0
_ANCHOR_DAYS = 90.0
_FAST_DAYS, _SLOW_DAYS = 0.08, 4.0
_FAST_SPREAD, _SLOW_SPREAD = 0.35, 0.40
_TAIL = 4.0
_JUMPS_A_DAY, _JUMP_SIZE = 0.3, 0.006
_VOLUME_A_DAY = 200_000.0

FloatArray = npt.NDArray[np.float64]


@compiled
def _walk(
    shocks: FloatArray,
    fast: FloatArray,
    slow: FloatArray,
    season: FloatArray,
    switches: FloatArray,
    jumps: FloatArray,
    day: float,
) -> tuple[FloatArray, FloatArray]:
    """Return log returns and volatilities bar by bar; ``day`` is the length of a bar in days."""
    n = len(shocks)
    returns = np.empty(n)
    volatility = np.empty(n)
    keep_fast, keep_slow = np.exp(-day / _FAST_DAYS), np.exp(-day / _SLOW_DAYS)
    new_fast, new_slow = np.sqrt(1.0 - keep_fast**2), np.sqrt(1.0 - keep_slow**2)
    quick, lasting, level, regime = fast[0], slow[0], 0.0, 0
    normal = _DAILY_VOLATILITY * np.sqrt(day) * np.exp(-(_FAST_SPREAD**2) - _SLOW_SPREAD**2)
    for i in range(n):
        quick = keep_fast * quick + new_fast * fast[i]
        lasting = keep_slow * lasting + new_slow * slow[i]
        u = switches[i] * _REGIME_DAYS / day
        if u < 1.0:  # half of the regimes are ranges, a quarter each rises and falls
            regime = 0 if u < 0.5 else (1 if u < 0.75 else -1)
        volatility[i] = normal * season[i] * np.exp(_FAST_SPREAD * quick + _SLOW_SPREAD * lasting)
        drift = day * (regime * _DAILY_DRIFT - level / _ANCHOR_DAYS)
        returns[i] = drift + volatility[i] * shocks[i] + jumps[i]
        level += returns[i]
    return returns, volatility


def synthetic_bars(
    *, seed: int, start_ns: int = _START_NS, bars: int, interval: str = _INTERVAL, price: float = _PRICE
) -> Any:
    """Return a synthetic market as raw klines.

    Parameters
    ----------
    seed : int
        The same seed gives the same table in every process.
    start_ns : int
        Open time of the first bar, ns since the epoch UTC.
    bars : int
        How many, at least one.
    interval : str
        Their interval.
    price : float
        The first open, quote currency.

    Returns
    -------
    pyarrow.Table
        Of `adapters.klines.KLINE_SCHEMA`, on the tick and lot of `SAMPLE_INSTRUMENT`.
    """
    tick, lot = float(SAMPLE_INSTRUMENT.tick), float(SAMPLE_INSTRUMENT.lot)
    step = interval_ns(interval)
    day = step / DAY_NS
    random = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(8)]
    open_time = start_ns + step * np.arange(bars, dtype=np.int64)

    shocks = random[0].standard_t(_TAIL, bars) / np.sqrt(_TAIL / (_TAIL - 2.0))
    fast, slow = random[1].standard_normal(bars), random[2].standard_normal(bars)
    jumps = np.where(random[3].random(bars) < _JUMPS_A_DAY * day, 1.0, 0.0)
    jumps *= _JUMP_SIZE * random[4].standard_normal(bars)
    season = _season(open_time)
    returns, volatility = _walk(shocks, fast, slow, season, random[5].random(bars), jumps, day)

    path = np.log(price) + np.concatenate([[0.0], np.cumsum(returns)])
    open_, close = np.rint(np.exp(path[:-1]) / tick), np.rint(np.exp(path[1:]) / tick)
    reach_up, reach_down = -2.0 * volatility**2 * np.log1p(-random[6].random((2, bars)))
    high = np.rint(np.exp(path[:-1] + 0.5 * (returns + np.sqrt(returns**2 + reach_up))) / tick)
    low = np.rint(np.exp(path[:-1] + 0.5 * (returns - np.sqrt(returns**2 + reach_down))) / tick)
    high = np.maximum(high, np.maximum(open_, close))
    low = np.maximum(np.minimum(low, np.minimum(open_, close)), 1.0)

    surprise = returns / volatility
    noise = random[7].standard_normal((2, bars))
    activity = season * np.sqrt(volatility / volatility.mean()) * (0.4 + np.abs(surprise)) ** 0.8
    volume = np.floor(_VOLUME_A_DAY * day * activity * np.exp(0.45 * noise[0] - 0.1) / lot)
    share = np.clip(0.5 + 0.12 * np.tanh(0.7 * surprise) + 0.1 * noise[1], 0.02, 0.98)
    taker_buy = np.floor(volume * share)
    mean_price = (open_ + high + low + close) * tick / 4.0
    scale = round(1.0 / lot)
    return kline_table(
        open_time=open_time,
        open=open_ / round(1.0 / tick),
        high=high / round(1.0 / tick),
        low=low / round(1.0 / tick),
        close=close / round(1.0 / tick),
        volume=volume / scale,
        quote_volume=volume / scale * mean_price,
        trades=(1.0 + np.floor(volume / scale * 12.0)).astype(np.int64),
        taker_buy_base=taker_buy / scale,
        taker_buy_quote=taker_buy / scale * mean_price,
        close_time=open_time + step - 1_000_000,
    )


def synthetic_funding(klines: Any, *, seed: int) -> Any:
    """Return the funding of synthetic klines: one rate each 8 hours, dearer after a rise, in `FUNDING_SCHEMA`."""
    close_ns = times_ns(klines["close_time"]) + 1_000_000
    close = np.log(klines["close"].to_numpy())
    settled = np.flatnonzero(close_ns % _SETTLEMENT_NS == 0)
    a_day = max(1, int(DAY_NS // (close_ns[1] - close_ns[0]))) if len(close_ns) > 1 else 1
    rise = close[settled] - close[np.maximum(settled - a_day, 0)]
    noise = np.random.default_rng([seed, 8]).standard_normal(len(settled))
    rate = np.clip(1e-4 + 4e-3 * rise + 3e-5 * noise, -3e-3, 3e-3)
    return pa.Table.from_arrays(
        [
            pa.array(close_ns[settled]).cast(FUNDING_SCHEMA.field("ts").type),
            pa.array([f"{value:.8f}" for value in rate], pa.string()),
            pa.array(np.full(len(settled), 480, dtype=np.uint64)),
        ],
        schema=FUNDING_SCHEMA,
    )


def write_sample(catalog: Path, *, seed: int, days: int) -> str:
    """Write a synthetic instrument, its bars of one minute and its funding to a catalog.

    Returns
    -------
    str
        The instrument's name, SYNTHBTCUSDT-PERP.BINANCE.
    """
    klines = synthetic_bars(seed=seed, bars=days * (DAY_NS // interval_ns(_INTERVAL)))
    write_instruments(catalog, [SAMPLE_INSTRUMENT])
    write_funding(catalog, SAMPLE_INSTRUMENT.id, synthetic_funding(klines, seed=seed))
    write_bars(catalog, SAMPLE_INSTRUMENT.id, _INTERVAL, [klines], exact=True)
    return SAMPLE_INSTRUMENT.id


def _season(open_time: npt.NDArray[np.int64]) -> FloatArray:
    """Return the usual activity at each time: busiest in the afternoon (UTC), calm at night and at weekends."""
    hour = (open_time % DAY_NS) / (DAY_NS / 24)
    weekday = (open_time // DAY_NS + 3) % 7  # 0 is Monday
    season: FloatArray = np.exp(0.35 * np.cos(2.0 * np.pi * (hour - 15.0) / 24.0)) * np.where(weekday >= 5, 0.75, 1.05)
    return season
