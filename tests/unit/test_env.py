"""One account as an environment: gymnasium's checker, rewards that add up, costs that vary, episodes that end."""

import math

import gymnasium as gym
import msgspec
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from core.actions import ActionSpec
from core.bars import Bars, Funding
from core.costs import CostParams
from core.errors import ConfigError, DataError
from core.features import FeatureFrame
from core.simulation import X, replay
from core.situation import Instrument
from core.tape import R, new_tape
from training import hyperparameters
from training.env import TradingEnv
from training.episode import SHARPE_LIMIT
from training.market import MarketData
from training.vec_env import CompiledVecEnv

MINUTE = 60_000_000_000
ORIGIN = 19_700 * 1440 * MINUTE
PER_DECISION = 5
BTC = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=100_000, min_notional=5.0)
CONFIG = configs.load("train")
PARAMS, COSTS = CONFIG.decision_params(), CONFIG.cost_params()
HYPER = hyperparameters.load()
ACTIONS = ActionSpec()
LEVEL = ActionSpec(kind="continuous")


def market(seed=1, *, decisions=400, width=6, drift=None, name="BTCUSDT-PERP.BINANCE"):
    """A random market; ``drift`` float[decisions] moves each decision bar, and its sign is a feature one bar early."""
    rng = np.random.default_rng(seed)
    n = decisions * PER_DECISION
    moves = rng.normal(0, 0.0008, n)
    if drift is not None:
        moves += np.repeat(drift, PER_DECISION) / PER_DECISION
    close = 2_000.0 * np.exp(np.cumsum(moves))
    open_ = np.concatenate([[2_000.0], close[:-1]])
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.0003, n)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.0003, n)))
    prices = [np.rint(x * 10) / 10 for x in (open_, high, low, close)]
    ts_close = ORIGIN + MINUTE * np.arange(1, n + 1, dtype=np.int64)
    bars = Bars(ts_close, *prices, np.ones(n), np.full(n, np.nan))
    last = np.arange(PER_DECISION - 1, n, PER_DECISION, dtype=np.int64)
    features = rng.normal(size=(decisions, width)).astype(np.float32)
    if drift is not None:
        features[:-1, 0] = np.sign(drift[1:])
    frame = FeatureFrame(
        ts_close[last], features, bars.close[last], np.full(decisions, 15.0), np.full(decisions, 0.5),
        rng.random(decisions) * 0.9, np.zeros(decisions), np.zeros(decisions), rng.random(decisions) > 0.03, last,
    )  # fmt: skip
    due = ts_close[96:n:97]
    funding = Funding(due, rng.normal(0.0001, 0.0003, len(due)))
    return MarketData(name, BTC, new_tape(bars, frame, funding, base_ns=MINUTE))


def episode(**changes):
    return msgspec.structs.replace(
        HYPER.environment, **({"accounts": 7, "episode_bars": 50, "cost_low": 1.0, "cost_high": 1.0} | changes)
    )


def single(data, *, actions=ACTIONS, costs=COSTS, **changes):
    return TradingEnv(data, params=PARAMS, costs=costs, actions=actions, episode=episode(**changes))


def dearer(factor):
    return CostParams(*(factor * cost for cost in COSTS))


@pytest.mark.filterwarnings("ignore:.*Box.*infinity", "ignore:.*not within the observation space")
@pytest.mark.parametrize("actions", [ACTIONS, LEVEL])
def test_gymnasium_s_own_checker_finds_nothing(actions):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gym.logger, "min_level", gym.logger.ERROR)
        check_env(single(market(), actions=actions, cost_low=0.5, cost_high=2.0), skip_render_check=True)


@pytest.mark.parametrize("actions", [ACTIONS, LEVEL])
def test_the_environment_s_equity_is_the_replay_of_its_levels(actions):
    data = market(3)
    env = single(data, actions=actions, ruin=0.0, cost_low=0.5, cost_high=2.0)
    _, info = env.reset(seed=5)
    first, factor = info["row"], info["cost_factor"]
    rng = np.random.default_rng(0)
    if actions is ACTIONS:
        given = np.repeat(rng.integers(5, size=10), 5)
        levels = np.array(ACTIONS.levels)[given]
    else:
        given = np.repeat(rng.uniform(-1.3, 1.3, (10, 1)).astype(np.float32), 5, axis=0)
        levels = np.clip(given[:, 0].astype(float), -1.0, 1.0)
    equities = [info["equity"]]
    rewards = []
    for action in given:
        _, reward, _, truncated, info = env.step(action)
        equities.append(info["equity"])
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        rewards.append(info["reward_terms"]["log_equity_change"])
    assert truncated
    assert 0.5 < factor < 2.0
    start = HYPER.environment.starting_equity
    path = replay(data.tape, first, levels, np.ones(50), start, BTC, PARAMS, dearer(factor))
    assert np.array_equal(path[:, X.equity], equities)
    assert sum(rewards) == pytest.approx(100.0 * math.log(equities[-1] / equities[0]))


def test_penalties_are_what_they_are_called():
    data = market(4)
    env = single(data, growth_weight=0.7, drawdown_weight=2.0, turnover_weight=0.5, drift_weight=1.0)
    _, info = env.reset(seed=1)
    peak = before = info["equity"]
    closes = data.tape.rows[:, R.close]
    drift = np.log(closes[-1] / closes[0]) / (len(closes) - 1)
    for action in [4, 4, 4, 2, 0, 0, 0, 0, 4, 4] * 4:
        row = info["row"]
        _, _, _, _, info = env.step(action)
        equity, terms = info["equity"], info["reward_terms"]
        deeper = max((1 - equity / max(peak, equity)) - (1 - before / peak), 0.0)
        assert terms["log_equity_change"] == pytest.approx(100.0 * 0.7 * math.log(equity / before), abs=1e-12)
        assert terms["drawdown_penalty"] == pytest.approx(-100.0 * 2.0 * deeper, abs=1e-9)
        assert terms["turnover_penalty"] <= 0.0
        exposure = info["lots"] * BTC.lot * closes[row] / before
        assert terms["drift_adjustment"] == pytest.approx(-100.0 * exposure * drift, abs=1e-12)
        assert terms["differential_sharpe"] == 0.0
        peak, before = max(peak, equity), equity


def sharpe_ratio(rate, mean, square, change):
    """The ratio of returns that are forgotten at a rate, one return later."""
    mean, square = mean + rate * (change - mean), square + rate * (change**2 - square)
    return mean / math.sqrt(square - mean**2)


@given(seed=st.integers(0, 1_000), rate=st.sampled_from([0.01, 0.05, 0.3]))
@settings(max_examples=15, deadline=None)
def test_the_differential_sharpe_ratio_is_the_derivative_of_the_ratio_by_its_rate(seed, rate):
    env = single(market(4), sharpe_weight=0.5, sharpe_rate=rate)
    _, info = env.reset(seed=seed)
    before, mean, square = info["equity"], 0.0, 0.0
    rng = np.random.default_rng(seed)
    compared = 0
    for action in np.repeat(rng.integers(5, size=10), 5):
        _, _, _, _, info = env.step(action)
        change = math.log(info["equity"] / before)
        got = info["reward_terms"]["differential_sharpe"] / 50.0
        assert abs(got) <= SHARPE_LIMIT
        if square - mean**2 > 1e-12 and abs(got) < SHARPE_LIMIT:
            small = 1e-5
            up, down = (sharpe_ratio(step, mean, square, change) for step in (small, -small))
            assert got == pytest.approx((up - down) / (2 * small), rel=1e-3, abs=1e-6)
            compared += 1
        before, mean, square = info["equity"], mean + rate * (change - mean), square + rate * (change**2 - square)
    assert compared > 10


def test_costs_are_drawn_anew_for_each_episode_and_evenly():
    env = single(market(2), cost_low=0.5, cost_high=2.0)
    factors = np.sort([env.reset(seed=seed)[1]["cost_factor"] for seed in range(400)])
    expected = np.linspace(0.5, 2.0, 400)
    assert np.abs(factors - expected).max() < 1.5 * 1.63 / math.sqrt(400), "Kolmogorov-Smirnov at 1 %"
    assert {env.reset()[1]["cost_factor"] for _ in range(20)}.isdisjoint([1.0])


def test_a_range_of_one_leaves_the_costs_as_configured():
    env = single(market(2))
    assert {env.reset(seed=seed)[1]["cost_factor"] for seed in range(20)} == {1.0}


def test_an_episode_at_twice_the_costs_pays_twice_the_fee():
    data = market(10)
    paid = []
    for factor in (1.0, 2.0):
        env = single(data, costs=COSTS._replace(away=0.0))
        env.reset(seed=2, options={"cost_factor": factor, "row": int(np.flatnonzero(data.tape.ready)[5])})
        _, _, _, _, info = env.step(4)
        lots = info["lots"]
        paid.append(env._state[X.fees])
    assert lots > 0
    assert paid[1] == pytest.approx(2.0 * paid[0], abs=2e-8)
    assert paid[0] > 0.0


def test_a_level_that_is_no_number_opens_nothing():
    env = single(market(2), actions=LEVEL)
    env.reset(seed=1)
    for _ in range(20):
        _, reward, _, _, info = env.step(np.array([np.nan], np.float32))
        assert (info["lots"], reward) == (0, 0.0)


def test_an_account_that_is_ruined_ends_its_episode():
    env = single(market(6), ruin=0.999)
    ends = []
    for seed in range(5):
        env.reset(seed=seed)
        for k in range(50):
            _, _, terminated, truncated, info = env.step(4 if k % 2 == 0 else 2)
            if terminated or truncated:
                ends.append((terminated, truncated, info["equity"] <= 9_990.0))
                break
    assert (True, False, True) in ends
    assert all(t == low and t != c for t, c, low in ends)


@pytest.mark.parametrize("kind", [TradingEnv, lambda data, **rest: CompiledVecEnv([data], **rest)])
def test_a_range_too_short_for_an_episode_and_costs_that_fall_are_refused(kind):
    given = {"params": PARAMS, "costs": COSTS, "actions": ACTIONS}
    with pytest.raises(DataError, match="no episode of 50 decision bars fits"):
        kind(market(decisions=40), **given, episode=episode())
    with pytest.raises(ConfigError, match=r"cost_low is 2.0, above cost_high 1.0"):
        kind(market(), **given, episode=episode(cost_low=2.0))


def test_costs_of_the_environment_are_those_of_the_configuration():
    data = market(10)
    totals = []
    for env in (single(data, costs=CostParams(0.0, 0.0, 0.0)), single(data)):
        env.reset(seed=2)
        for k in range(50):
            _, _, _, _, info = env.step(0 if k % 2 else 4)
        totals.append(info["equity"])
    assert totals[0] > totals[1]
