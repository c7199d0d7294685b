"""Baselines: recomputed bar by bar, blind to the future, and as busy as they are told to be."""

import numpy as np
import pandas as pd
import pytest

import configs
from core.bars import Bars, Funding
from core.features import FeatureFrame
from core.outofsample import stitched
from core.performance import total_return
from core.simulation import X, replay
from core.situation import Instrument
from core.tape import R, new_tape
from training import baselines
from training.baselines import AVERAGES, FAST_BARS, HOLD, SLOW_BARS, Habits
from training.market import MarketData

MINUTE = 60_000_000_000
ORIGIN = 19_700 * 86_400_000_000_000
PER_DECISION = 15
DECISION = PER_DECISION * MINUTE
FILTERS = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=1_000_000, min_notional=5.0)
CONFIG = configs.load("train", ("risk.volatility_quantile=1.0",))
EQUITY = CONFIG.backtest.starting_equity
HABITS = Habits(holding_bars=20.0, exposed=0.4, level=0.8, confidence=0.9)


def market(seed=1, *, decisions=1_200, name="BTCUSDT-PERP.BINANCE"):
    """A random walk of minutes with some fundings; all rows but the first 50 are ready."""
    rng = np.random.default_rng(seed)
    n = decisions * PER_DECISION
    close = np.rint(20_000.0 * np.exp(np.cumsum(rng.normal(0, 0.0004, n)))) / 10
    open_ = np.concatenate([close[:1], close[:-1]]) + rng.integers(-3, 4, n) / 10
    high, low = np.maximum(open_, close) + 0.4, np.minimum(open_, close) - 0.4
    ts_close = ORIGIN + MINUTE * np.arange(1, n + 1, dtype=np.int64)
    bars = Bars(ts_close, *(np.rint(x * 10) / 10 for x in (open_, high, low, close)), np.ones(n), np.full(n, np.nan))
    last = np.arange(PER_DECISION - 1, n, PER_DECISION, dtype=np.int64)
    frame = FeatureFrame(
        ts_close[last], np.zeros((decisions, 3), dtype=np.float32), bars.close[last], np.full(decisions, 15.0),
        np.full(decisions, 0.4), np.full(decisions, 0.5), np.zeros(decisions), np.zeros(decisions),
        np.arange(decisions) >= 50, last,
    )  # fmt: skip
    due = ts_close[200:n:480]
    funding = Funding(due, rng.normal(0.0001, 0.0003, len(due)))
    return MarketData(name, FILTERS, new_tape(bars, frame, funding, base_ns=MINUTE))


def span(first, end):
    """Return the range whose decision closes are rows first ... end - 1."""
    return ORIGIN + first * DECISION, ORIGIN + end * DECISION


TESTS = (span(200, 500), span(500, 900))


def by_name(markets, tests=TESTS, config=CONFIG):
    return {rule.name: rule.curve for rule in baselines.rules(markets, tests, config)}


def held_by_hand(data, first, end, share, equity):
    """Buy at the ask of the first minute after the first decision, then mark every row and pay every funding."""
    tape, costs = data.tape, CONFIG.cost_params()
    price = np.ceil(tape.base[(first + 1) * PER_DECISION, 0] * (1 + costs.away) / 0.1 - 1e-6) / 10
    quantity = np.floor(share * equity / (price * 0.001 * (1 + costs.taker))) * 0.001
    cash = equity - quantity * price - round(quantity * price * costs.taker, 8)
    marks = [equity, equity]
    for row in range(first + 1, end):
        for minute in range(row * PER_DECISION, (row + 1) * PER_DECISION):
            if minute % 480 == 200:  # settled at the close of this minute, on the middle of its last quote
                bid = np.floor(tape.base[minute, 3] * (1 - costs.away) / 0.1 + 1e-6) / 10
                ask = np.ceil(tape.base[minute, 3] * (1 + costs.away) / 0.1 - 1e-6) / 10
                cash -= quantity * (bid + ask) / 2 * tape.funding[minute // 480, 1]
        marks.append(cash + quantity * tape.base[(row + 1) * PER_DECISION - 1, 3])
    return np.array(marks)


@pytest.mark.parametrize(("name", "share"), [(HOLD, 1.0), (f"{HOLD} 50%", 0.5)])
def test_holding_pays_for_the_entry_and_every_funding_and_nothing_else(name, share):
    data = market(2)
    curve = by_name([data], (span(200, 500),))[name]
    by_hand = held_by_hand(data, 200, 500, share, EQUITY)
    assert curve.equity * EQUITY == pytest.approx(by_hand, rel=1e-10)
    assert len(curve.ts) == 301
    assert curve.ts[0] == span(200, 500)[0]


def test_holding_is_what_the_simulation_does_where_no_rule_interferes():
    config = configs.load(
        "train",
        (
            "exits.stop_atr=20", "exits.trail_atr=0", "exits.take_profit_atr=0", "exits.max_holding_bars=100000",
            "sizing.volatility_target=2.0", "sizing.rebalance_threshold=1.0", "risk.loss_per_trade=0.03",
            "risk.daily_drawdown=0.1", "risk.volatility_quantile=1.0", "risk.pyramiding=false",
        ),
    )  # fmt: skip
    data = market(4)
    first, end = 200, 500
    path = replay(
        data.tape, first, np.ones(end - first - 1), np.ones(end - first - 1), EQUITY, FILTERS,
        config.decision_params(), config.cost_params(),
    )  # fmt: skip
    lots = path[1, X.lots]
    assert lots > 0
    assert set(path[1:, X.lots]) == {lots}, "no rule interfered"
    price = path[1, X.entry_price]
    share = (lots + 0.5) * 0.001 * price * (1 + config.cost_params().taker) / EQUITY
    curve = baselines._hold(data, span(200, 500), EQUITY, share, config)
    assert curve.equity[1:] == pytest.approx(path[:, X.equity], rel=1e-12)


def test_a_flat_account_keeps_what_it_has():
    curve = by_name([market(1), market(2)])["flat"]
    assert set(curve.equity) == {1.0}
    assert (curve.ts[0], curve.ts[-1]) == (TESTS[0][0], TESTS[1][1])


def test_the_moving_averages_are_those_of_the_closes_and_know_no_future():
    data = market(5)
    closes = pd.Series(data.tape.rows[:, R.close])
    expected = np.where(closes.rolling(FAST_BARS).mean() > closes.rolling(SLOW_BARS).mean(), 1.0, -1.0)
    expected[: SLOW_BARS - 1] = np.nan
    assert np.array_equal(baselines.crossover(data, 0, 1_000), expected[:1_000], equal_nan=True)
    assert np.array_equal(baselines.crossover(data, 300, 700), expected[300:700])
    rows = data.tape.rows.copy()
    rows[600:, R.close] *= 3.0
    other = data._replace(tape=data.tape._replace(rows=rows))
    assert np.array_equal(baselines.crossover(other, 300, 700)[:300], expected[300:600])


def test_the_moving_averages_trade_by_the_rules_of_trading():
    data = market(5)
    levels = baselines.crossover(data, 200, 500)[:-1]
    path = replay(data.tape, 200, levels, np.ones(299), EQUITY, FILTERS, CONFIG.decision_params(), CONFIG.cost_params())
    curve = by_name([data], (span(200, 500),))[AVERAGES]
    assert curve.equity[1:] * EQUITY == pytest.approx(path[:, X.equity], rel=1e-12)
    assert path[-1, X.fills] >= 3


def test_an_account_is_split_equally_and_every_fold_begins_anew():
    one, two = market(1), market(2, name="ETHUSDT-PERP.BINANCE")
    whole = by_name([one, two])[AVERAGES]
    folds = []
    for test in TESTS:
        halves = [baselines._trade(data, test, EQUITY / 2, baselines.crossover, 1.0, CONFIG) for data in (one, two)]
        folds.append(halves[0].__class__(halves[0].ts, halves[0].equity + halves[1].equity))
    expected = stitched(folds)
    assert np.array_equal(whole.ts, expected.ts)
    assert whole.equity == pytest.approx(expected.equity, rel=1e-12)


@pytest.mark.parametrize("habits", [HABITS, Habits(3.0, 0.9, 1.0, 1.0), Habits(1.0, 0.1, 0.5, 1.0)])
def test_random_levels_are_held_as_long_and_as_often_as_they_are_told(habits):
    levels = baselines.random_levels(400_000, habits, np.random.default_rng(3))
    assert len(levels) == 400_000
    assert set(levels) == {0.0, habits.level, -habits.level}
    assert np.mean(levels != 0.0) == pytest.approx(habits.exposed, rel=0.03)
    assert np.mean(levels[levels != 0.0] > 0.0) == pytest.approx(0.5, abs=0.03)
    if habits.exposed < 0.5:  # holdings that follow each other at once cannot be told apart
        runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[0.0], levels != 0.0, [0.0]]))))[::2]
        apart = 1.0 - 1.0 / (1.0 + habits.holding_bars * (1.0 - habits.exposed) / habits.exposed)
        assert np.mean(runs) == pytest.approx(habits.holding_bars / apart, rel=0.05)


def test_an_ensemble_that_never_trades_is_compared_with_policies_that_never_do():
    still = Habits(0.0, 0.0, 0.0, 0.0)
    assert not baselines.random_levels(50, still, np.random.default_rng(1)).any()
    (policy,) = baselines.random_policies([market()], TESTS, CONFIG, still, count=1)
    assert total_return(policy.curve) == 0.0


def test_random_policies_differ_repeat_and_on_a_random_walk_pay_their_costs():
    markets = [market(seed, name=f"WALK{seed}USDT-PERP.BINANCE") for seed in range(3)]
    found = baselines.random_policies(markets, TESTS, CONFIG, HABITS, count=20)
    returns = np.array([total_return(policy.curve) for policy in found])
    assert len(set(returns)) == 20
    again = baselines.random_policies(markets, TESTS, CONFIG, HABITS, count=20)
    assert np.array_equal(returns, [total_return(policy.curve) for policy in again])
    nothing = [f"costs.{name}=0" for name in ("taker_bps", "half_spread_bps", "slippage_bps")]
    free = configs.load("train", ("risk.volatility_quantile=1.0", *nothing))
    gratis = [total_return(p.curve) for p in baselines.random_policies(markets, TESTS, free, HABITS, count=20)]
    assert np.mean(returns) < np.mean(gratis) - 0.001
    assert np.mean(returns) < 0.0
