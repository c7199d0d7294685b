"""The markets of the self-test: what is planted in them, and what an oracle can make of it."""

import itertools

import numpy as np
import pytest

import configs
from core.bars import Bars, Funding
from core.features import FeatureFrame, feature_spec
from core.simulation import X, replay
from core.tape import R, new_tape
from training.market import MarketData
from training.planted import FILTERS, leaked, oracle_growth, planted_market, random_walk

SPEC = feature_spec("15m", "1h")
CONFIG = configs.load("train", ["market.base_interval=15m", "market.decision_interval=1h"])
HOUR = 3_600_000_000_000


@pytest.fixture(scope="module")
def market():
    return planted_market(3, 2_000, SPEC, deviation=0.005)


def test_a_random_walk_is_one_and_its_bars_are_bars():
    history = random_walk(1, 20_000, base_interval="15m", deviation=0.002)
    bars, funding = history
    returns = np.diff(np.log(bars.close))
    assert np.std(returns) == pytest.approx(0.002, rel=0.03)
    assert abs(np.mean(returns)) < 3 * 0.002 / np.sqrt(len(returns))
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 3 / np.sqrt(len(returns))
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert np.array_equal(bars.open[1:], bars.close[:-1])
    assert (np.diff(bars.ts_close) == HOUR // 4).all()
    assert (np.diff(funding.ts) == 8 * HOUR).all()
    assert np.array_equal(random_walk(1, 20_000, base_interval="15m", deviation=0.002).bars.close, bars.close)
    assert not np.array_equal(random_walk(2, 20_000, base_interval="15m", deviation=0.002).bars.close, bars.close)


def test_a_planted_market_is_ready_for_as_many_rows_as_were_asked_for(market):
    ready = market.tape.ready
    assert 2_000 <= ready.sum() <= 2_003
    assert ready[np.argmax(ready) :].all()
    returns = np.diff(np.log(market.tape.rows[:, R.close]))
    assert np.std(returns) == pytest.approx(0.005, rel=0.05)


@pytest.mark.parametrize("bars", [0, 1, 2])
def test_a_leak_is_the_return_so_many_bars_ahead_and_nothing_else_changes(market, bars):
    close = market.tape.rows[:, R.close]
    found = leaked(market, bars=bars).tape.features
    for row in (10, 500, 1_999):
        at = row + bars
        assert found[row, 0] == pytest.approx(np.log(close[at] / close[at - 1]), rel=1e-6)
    assert np.array_equal(found[:, 1:], market.tape.features[:, 1:])
    assert not np.array_equal(found[:, 0], market.tape.features[:, 0])


def test_noise_hides_a_leak_by_its_share_of_the_variance(market):
    clear, hidden = (leaked(market, noise=noise).tape.features[:-1, 0] for noise in (0.0, 2.0))
    assert np.corrcoef(clear, hidden)[0, 1] == pytest.approx(1 / np.sqrt(5.0), abs=0.04)


def tiny(moves):
    """A market of hourly bars with these log returns, ready everywhere."""
    close = np.rint(300_000.0 * np.exp(np.cumsum(moves))) / 10
    open_ = np.concatenate([[30_000.0], close[:-1]])
    n = len(close)
    ts = HOUR * np.arange(400_001, 400_001 + n, dtype=np.int64)
    bars = Bars(ts, open_, np.maximum(open_, close), np.minimum(open_, close), close, np.ones(n), np.full(n, np.nan))
    frame = FeatureFrame(
        ts, np.zeros((n, 2), np.float32), close, np.full(n, 600.0), np.full(n, 0.5), np.full(n, 0.5),
        np.zeros(n), np.zeros(n), np.ones(n, np.bool_), np.arange(n),
    )  # fmt: skip
    tape = new_tape(bars, frame, Funding(np.empty(0, np.int64), np.empty(0)), base_ns=HOUR)
    return MarketData("TINYUSDT-PERP.BINANCE", FILTERS, tape)


@pytest.mark.parametrize("seed", range(4))
def test_an_oracle_earns_most_of_what_the_best_of_all_sequences_earns_and_never_more(seed):
    moves = np.repeat(np.random.default_rng(seed).choice([-0.01, 0.01], 4), 2)
    market = leaked(tiny(np.concatenate([[0.0], moves])))
    rules = (market.instrument, CONFIG.decision_params(), CONFIG.cost_params())
    best = max(
        replay(market.tape, 0, np.array(levels), np.ones(8), 10_000.0, *rules)[-1, X.equity]
        for levels in itertools.product([-1.0, 0.0, 1.0], repeat=8)
    )
    found = oracle_growth(market, (0, 9), CONFIG, 10_000.0)
    assert 0.6 * np.log(best / 10_000.0) <= found <= np.log(best / 10_000.0) + 1e-12


def test_a_leak_without_value_earns_nothing_and_one_without_noise_the_most(market):
    rows = (len(market.tape.ts_close) - 1_500, len(market.tape.ts_close))
    clear, hidden, late = (
        oracle_growth(leaked(market, **plant), rows, CONFIG, 10_000.0) for plant in ({}, {"noise": 2.0}, {"bars": 0})
    )
    assert clear > 2.0 * hidden > 0.1
    assert late < 0.1
