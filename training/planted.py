"""Synthetic markets whose truth is known: random walks, with the next return planted in a feature or not."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from configs.schema import AppConfig
from core.bars import DAY_NS, Bars, Funding, interval_ns
from core.features import FeatureSpec
from core.simulation import X, replay
from core.situation import Instrument
from core.tape import R
from training.market import MarketData, from_bars

__all__ = ["FILTERS", "History", "leaked", "oracle_growth", "planted_market", "random_walk"]

FloatArray = npt.NDArray[np.float64]

FILTERS = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=1_000_000, min_notional=5.0)
"""Exchange filters of the planted markets."""

_ORIGIN_NS = 19_000 * DAY_NS
_START_PRICE = 30_000.0
_FUNDING_NS = 8 * 3_600_000_000_000
_FUNDING_RATE = 1e-4
_THRESHOLDS = np.linspace(0.0, 3.0, 13)
"""Foreseen moves, in standard deviations, below which an oracle leaves its position alone."""


class History(NamedTuple):
    """Base bars and the fundings within them."""

    bars: Bars
    funding: Funding


def random_walk(seed: int, bars: int, *, base_interval: str, deviation: float) -> History:
    """Return a market that nobody can foresee.

    Parameters
    ----------
    seed : int
        The same seed, the same market.
    bars : int
        Base bars.
    base_interval : str
        Their interval.
    deviation : float
        Standard deviation of a base bar's log return, which is normal with mean 0.
    """
    rng = np.random.default_rng(seed)
    close = _START_PRICE * np.exp(np.cumsum(rng.normal(0.0, deviation, bars)))
    open_ = np.concatenate([[_START_PRICE], close[:-1]])
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.5 * deviation, bars)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.5 * deviation, bars)))
    volume = rng.lognormal(2.0, 0.5, bars)
    base_ns = interval_ns(base_interval)
    ts_close = _ORIGIN_NS + base_ns * np.arange(1, bars + 1, dtype=np.int64)
    due = np.arange(_ORIGIN_NS + _FUNDING_NS, ts_close[-1], _FUNDING_NS, dtype=np.int64)
    prices = (np.rint(price / FILTERS.tick) / round(1.0 / FILTERS.tick) for price in (open_, high, low, close))
    columns = (*prices, volume, volume * rng.random(bars))
    return History(
        Bars(ts_close, *columns),
        Funding(due, rng.normal(0.0, _FUNDING_RATE, len(due))),
    )


def planted_market(seed: int, decisions: int, spec: FeatureSpec, *, deviation: float) -> MarketData:
    """Return a random walk with the product's own features.

    Parameters
    ----------
    seed : int
        Of the walk.
    decisions : int
        Decision bars that are ready; those that warm up come before.
    spec : FeatureSpec
        Intervals and features.
    deviation : float
        Standard deviation of a decision bar's log return.
    """
    per_decision = interval_ns(spec.decision_interval) // interval_ns(spec.base_interval)
    bars = (decisions + spec.warmup_bars + 2) * per_decision
    history = random_walk(
        seed, bars, base_interval=spec.base_interval, deviation=deviation / float(np.sqrt(per_decision))
    )
    return from_bars(f"WALK{seed}USDT-PERP.BINANCE", FILTERS, history.bars, history.funding, spec)


def leaked(market: MarketData, *, bars: int = 1, noise: float = 0.0) -> MarketData:
    """Return a market whose first feature is the log return of the decision bar that comes next.

    Parameters
    ----------
    market : MarketData
        Its feature is overwritten in a copy.
    bars : int
        How far ahead the feature looks: 1 is the next bar, 0 the one that has just closed, which is worth nothing.
    noise : float
        Standard deviation of what is added to the return, in those of the return.
    """
    log_close = np.log(market.tape.rows[:, R.close])
    returns = np.diff(log_close, prepend=log_close[0])
    ahead = np.concatenate([returns[bars:], np.zeros(bars)])
    added = np.random.default_rng(0).normal(0.0, float(np.std(returns)), len(returns))
    features = market.tape.features.copy()
    features[:, 0] = ahead + noise * added
    return market._replace(tape=market.tape._replace(features=features))


def oracle_growth(market: MarketData, rows: tuple[int, int], config: AppConfig, equity: float) -> float:
    """Return the log growth of the best rule that reads a leak, under all rules and costs of trading.

    The rule is long where the first feature is above a threshold and short where it is as far below zero, and leaves
    its position alone otherwise; of the thresholds the best is taken, by brute force (`core.simulation.replay`).
    """
    first, end = rows
    known = market.tape.features[first : end - 1, 0].astype(np.float64)
    ready = market.tape.ready[first : end - 1]
    growths = []
    for threshold in _THRESHOLDS * float(np.std(known)):
        levels = np.where(ready, _held(np.sign(known), np.abs(known) > threshold), np.nan)
        path = replay(
            market.tape,
            first,
            levels,
            np.ones(len(levels)),
            equity,
            market.instrument,
            config.decision_params(),
            config.cost_params(),
        )
        growths.append(float(np.log(path[-1, X.equity] / equity)))
    return max(growths)


def _held(sides: FloatArray, taken: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the sides where they are taken, and the last taken one in between (0 before the first)."""
    last = np.maximum.accumulate(np.where(taken, np.arange(len(sides)), -1))
    return np.where(last >= 0, sides[last], 0.0)
