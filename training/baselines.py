"""What anybody could have done instead: flat, hold, follow a moving average, or trade at random, at the same costs.

Every instrument is a part of the account, equally large, and trades by itself; every fold's test range begins anew with
the starting equity, as the ensemble's replay does. All but holding go through the rules of trading (`core.simulation`):
sizing, stops, the gate, fees, spread and funding. Holding means buying once, at the first open of each range, and being
left alone: fees, spread and funding are paid, and no rule interferes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from configs.schema import AppConfig
from core.costs import ask_ticks, bid_ticks, commission
from core.outofsample import stitched
from core.performance import EquityCurve
from core.simulation import X, replay, tick_price
from core.tape import C, R, Tape
from training.market import MarketData, rows_between

__all__ = [
    "AVERAGES",
    "FAST_BARS",
    "HOLD",
    "SLOW_BARS",
    "Baseline",
    "Habits",
    "crossover",
    "random_levels",
    "random_policies",
    "rules",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FAST_BARS, SLOW_BARS = 24, 96
"""Of the moving averages, in decision bars: 6 and 24 hours at 15 minutes. Chosen beforehand, not tuned."""

HOLD, AVERAGES = "buy and hold", "moving averages"
"""Names of the rules that the golden rule compares with."""

type _Spans = Sequence[tuple[int, int]]
type _Levels = Callable[[MarketData, int, int], FloatArray]


class Habits(NamedTuple):
    """How an ensemble traded: decision bars a holding, share of bars in a position, mean size of levels, confidence."""

    holding_bars: float
    exposed: float
    level: float
    confidence: float


class Baseline(NamedTuple):
    """A rule and its curve over all test ranges, from 1 on."""

    name: str
    curve: EquityCurve


def rules(markets: Sequence[MarketData], tests: _Spans, config: AppConfig) -> tuple[Baseline, ...]:
    """Return what flat, holding and the moving averages came to.

    Parameters
    ----------
    markets : Sequence[MarketData]
        History of every instrument, with the test ranges and `SLOW_BARS` before them.
    tests : Sequence[tuple[int, int]]
        Test ranges (start, end] of decision closes, ns; oldest first, none overlapping.
    config : AppConfig
        Costs, limits, starting equity.

    Returns
    -------
    tuple[Baseline, ...]
        ``flat``; ``buy and hold`` with the whole account, and with the share that ``sizing.max_exposure`` allows;
        ``moving averages``: long while the fast one is above the slow one, else short.
    """
    limit = config.sizing.max_exposure
    parts = {
        "flat": lambda market, span, equity: _curve(market, span, equity, None),
        HOLD: lambda market, span, equity: _hold(market, span, equity, 1.0, config),
        f"{HOLD} {limit:.0%}": lambda market, span, equity: _hold(market, span, equity, limit, config),
        AVERAGES: lambda market, span, equity: _trade(market, span, equity, crossover, 1.0, config),
    }
    return tuple(Baseline(name, _account(markets, tests, config, part)) for name, part in parts.items())


def random_policies(
    markets: Sequence[MarketData], tests: _Spans, config: AppConfig, habits: Habits, *, count: int = 50, seed: int = 0
) -> tuple[Baseline, ...]:
    """Return what policies came to that know nothing, but trade as often and as much as an ensemble.

    Parameters
    ----------
    markets, tests, config
        As `rules`.
    habits : Habits
        Of the ensemble.
    count : int
        Policies.
    seed : int
        Of their draws.
    """
    found = []
    for number in range(count):
        generator = np.random.default_rng((seed, number))

        def levels(_: MarketData, first: int, end: int, generator: np.random.Generator = generator) -> FloatArray:
            return random_levels(end - first, habits, generator)

        def part(market: MarketData, span: tuple[int, int], equity: float, levels: _Levels = levels) -> EquityCurve:
            return _trade(market, span, equity, levels, habits.confidence, config)

        found.append(Baseline(f"random {number + 1}", _account(markets, tests, config, part)))
    return tuple(found)


def crossover(market: MarketData, first: int, end: int) -> FloatArray:
    """Return the levels float64[end - first] of the moving averages: +1, -1, NaN before the slow one is whole."""
    closes = market.tape.rows[:end, R.close]
    sums = np.concatenate(([0.0], np.cumsum(closes)))
    levels = np.full(end, np.nan)
    at = np.arange(SLOW_BARS, end + 1)
    fast = (sums[at] - sums[at - FAST_BARS]) / FAST_BARS
    slow = (sums[at] - sums[at - SLOW_BARS]) / SLOW_BARS
    levels[SLOW_BARS - 1 :] = np.where(fast > slow, 1.0, -1.0)
    return levels[first:]


def random_levels(count: int, habits: Habits, generator: np.random.Generator) -> FloatArray:
    """Return levels float64[count]: flat, then long or short by a coin, then flat, for geometric numbers of bars.

    Holdings last ``habits.holding_bars`` in the mean, and fill ``habits.exposed`` of the time.
    """
    if habits.exposed <= 0.0:
        return np.zeros(count)
    holding = max(habits.holding_bars, 1.0)
    idle = holding * (1.0 - habits.exposed) / habits.exposed
    runs = int(2.0 * count / (holding + idle)) + 16
    levels: FloatArray = np.empty(0)
    while len(levels) < count:
        held = generator.geometric(1.0 / holding, runs)
        flat = generator.geometric(1.0 / (1.0 + idle), runs) - 1
        side = generator.choice((-habits.level, habits.level), runs)
        pairs = np.column_stack([np.zeros(runs), side]).ravel()
        levels = np.concatenate([levels, np.repeat(pairs, np.column_stack([flat, held]).ravel())])
    return levels[:count]


def _account(
    markets: Sequence[MarketData],
    tests: _Spans,
    config: AppConfig,
    part: Callable[[MarketData, tuple[int, int], float], EquityCurve],
) -> EquityCurve:
    """Return the whole account over all test ranges, from 1 on."""
    equity = config.backtest.starting_equity / len(markets)
    return stitched([_sum([part(market, span, equity) for market in markets]) for span in tests])


def _sum(curves: Sequence[EquityCurve]) -> EquityCurve:
    """Return the sum of curves that begin together, at every time that any of them is marked."""
    ts = np.unique(np.concatenate([curve.ts for curve in curves]))
    total = np.zeros(len(ts))
    for curve in curves:
        total += curve.equity[np.searchsorted(curve.ts, ts, side="right") - 1]
    return EquityCurve(ts, total)


def _curve(market: MarketData, span: tuple[int, int], equity: float, marks: FloatArray | None) -> EquityCurve:
    """Return the account of one instrument: its equity when the range begins, and at every decision close."""
    first, end = rows_between(market.tape, *span)
    marked = np.full(end - first, equity) if marks is None else marks
    return EquityCurve(np.append(span[0], market.tape.ts_close[first:end]), np.append(equity, marked))


def _trade(
    market: MarketData,
    span: tuple[int, int],
    equity: float,
    levels: _Levels,
    confidence: float,
    config: AppConfig,
) -> EquityCurve:
    """Trade levels by the rules; the last close of the range decides nothing, as its order would fill after it."""
    first, end = rows_between(market.tape, *span)
    if end - first < 2:
        return _curve(market, span, equity, None)
    wanted = levels(market, first, end)[: end - first - 1]
    path = replay(
        market.tape,
        first,
        wanted,
        np.full(len(wanted), confidence),
        equity,
        market.instrument,
        config.decision_params(),
        config.cost_params(),
    )
    return _curve(market, span, equity, path[:, X.equity])


def _hold(market: MarketData, span: tuple[int, int], equity: float, share: float, config: AppConfig) -> EquityCurve:
    """Buy for a share of the account at the open after the first close, and hold."""
    tape, instrument, costs = market.tape, market.instrument, config.cost_params()
    first, end = rows_between(tape, *span)
    if end - first < 2:
        return _curve(market, span, equity, None)
    price = tick_price(float(ask_ticks(tape.rows[first, R.open_after], costs.away, instrument.tick)), instrument.tick)
    lots = np.floor(share * equity / (price * instrument.lot * (1.0 + costs.taker)))
    quantity = float(lots * instrument.lot)
    cash = equity - quantity * price - commission(quantity * price, costs.taker)
    marks = cash + quantity * tape.rows[first:end, R.close] - _funding_paid(tape, first, end, quantity, market, config)
    marks[0] = equity
    return _curve(market, span, equity, marks)


def _funding_paid(
    tape: Tape, first: int, end: int, quantity: float, market: MarketData, config: AppConfig
) -> FloatArray:
    """Return what a holding bought after row ``first`` has paid in funding by each row, float64[end - first]."""
    away, tick = config.cost_params().away, market.instrument.tick
    due = np.arange(tape.clock[first, C.first_funding], tape.clock[end - 1, C.first_funding])
    due = due[tape.funding[due, 0] > tape.clock[first, C.first_base]]
    last = tape.base[tape.funding[due, 0].astype(np.int64) - 1, 3]
    middle = [0.5 * (bid_ticks(price, away, tick) + ask_ticks(price, away, tick)) * tick for price in last]
    paid = np.concatenate(([0.0], np.cumsum(quantity * np.array(middle) * tape.funding[due, 1])))
    return paid[np.searchsorted(due, tape.clock[first:end, C.first_funding])]
