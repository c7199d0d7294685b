"""The training environments: gymnasium's checker, many accounts equal to one, rewards that add up, what is learnt."""

import math

import gymnasium as gym
import msgspec
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from adapters.network import Network
from core.actions import ActionSpec
from core.bars import Bars, Funding
from core.costs import CostParams
from core.decision import Instrument
from core.errors import ConfigError, DataError
from core.features import FeatureFrame, feature_spec
from core.simulation import X, replay
from core.tape import R, new_tape
from training import hyperparameters
from training.env import TradingEnv, rules_of
from training.evaluate import evaluate, one_voter
from training.market import MarketData, fit_normaliser, normalised, rows_between
from training.train import prepare_markets, train
from training.vec_env import CompiledVecEnv

MINUTE = 60_000_000_000
ORIGIN = 19_700 * 1440 * MINUTE
PER_DECISION = 5
BTC = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=100_000, min_notional=5.0)
CONFIG = configs.load("train")
PARAMS, COSTS = CONFIG.decision_params(), CONFIG.cost_params()
HYPER = hyperparameters.load()
ACTIONS = ActionSpec()


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
        rng.random(decisions) * 0.9, rng.random(decisions) > 0.03, last,
    )  # fmt: skip
    due = ts_close[96:n:97]
    funding = Funding(due, rng.normal(0.0001, 0.0003, len(due)))
    return MarketData(name, BTC, new_tape(bars, frame, funding, base_ns=MINUTE))


def episode(**changes):
    return msgspec.structs.replace(HYPER.environment, accounts=7, episode_bars=50, **changes)


def single(data, **changes):
    return TradingEnv(data, params=PARAMS, costs=COSTS, actions=ACTIONS, episode=episode(**changes))


@pytest.mark.filterwarnings("ignore:.*Box.*infinity", "ignore:.*not within the observation space")
def test_gymnasium_s_own_checker_finds_nothing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gym.logger, "min_level", gym.logger.ERROR)
        check_env(single(market()), skip_render_check=True)


@given(seed=st.integers(0, 10_000), ruin=st.sampled_from([0.5, 0.995]))
@settings(max_examples=15, deadline=None)
def test_many_accounts_step_for_step_are_so_many_single_ones(seed, ruin):
    data, other = market(seed), market(seed + 1, decisions=300)
    shape = episode(ruin=ruin, drawdown_weight=0.3, turnover_weight=0.001)
    vector = CompiledVecEnv([data, other], params=PARAMS, costs=COSTS, actions=ACTIONS, episode=shape)
    singles = [
        TradingEnv(d, params=PARAMS, costs=COSTS, actions=ACTIONS, episode=shape) for d in [data] * 3 + [other] * 4
    ]
    vector.seed(seed)
    seen = vector.reset()
    for i, env in enumerate(singles):
        assert np.array_equal(env.reset(seed=seed + i)[0], seen[i])
    rng = np.random.default_rng(seed)
    ended = 0
    for _ in range(120):
        actions = rng.integers(5, size=7)
        seen, rewards, dones, infos = vector.step(actions)
        for i, env in enumerate(singles):
            last, reward, terminated, truncated, _ = env.step(int(actions[i]))
            assert np.float32(reward) == pytest.approx(rewards[i], rel=1e-5, abs=1e-7)
            assert (terminated or truncated) == dones[i]
            if dones[i]:
                ended += 1
                assert np.array_equal(infos[i]["terminal_observation"], last)
                assert infos[i]["TimeLimit.truncated"] == truncated
                last, _ = env.reset()
            else:
                assert infos[i] == {}
            assert np.array_equal(last, seen[i])
    assert ended >= 7


def test_the_environment_s_equity_is_the_replay_of_its_actions():
    data = market(3)
    env = single(data, ruin=0.0)
    _, info = env.reset(seed=5)
    first = info["row"]
    rng = np.random.default_rng(0)
    actions = np.repeat(rng.integers(5, size=10), 5)
    equities = [info["equity"]]
    rewards = []
    for action in actions:
        _, reward, _, truncated, info = env.step(int(action))
        equities.append(info["equity"])
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        rewards.append(info["reward_terms"]["log_equity_change"])
    assert truncated
    levels = np.array(ACTIONS.levels)[actions]
    path = replay(data.tape, first, levels, np.ones(50), HYPER.environment.starting_equity, BTC, PARAMS, COSTS)
    assert np.array_equal(path[:, X.equity], equities)
    assert sum(rewards) == pytest.approx(100.0 * math.log(equities[-1] / equities[0]))


def test_penalties_are_what_they_are_called():
    data = market(4)
    env = single(data, drawdown_weight=2.0, turnover_weight=0.5, drift_weight=1.0)
    _, info = env.reset(seed=1)
    peak = before = info["equity"]
    closes = data.tape.rows[:, R.close]
    drift = np.log(closes[-1] / closes[0]) / (len(closes) - 1)
    for action in [4, 4, 4, 2, 0, 0, 0, 0, 4, 4] * 4:
        row = info["row"]
        _, _, _, _, info = env.step(action)
        equity, terms = info["equity"], info["reward_terms"]
        deeper = max((1 - equity / max(peak, equity)) - (1 - before / peak), 0.0)
        assert terms["drawdown_penalty"] == pytest.approx(-100.0 * 2.0 * deeper, abs=1e-9)
        assert terms["turnover_penalty"] <= 0.0
        exposure = info["lots"] * BTC.lot * closes[row] / before
        assert terms["drift_adjustment"] == pytest.approx(-100.0 * exposure * drift, abs=1e-12)
        peak, before = max(peak, equity), equity


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


def test_a_range_too_short_for_an_episode_and_an_action_map_of_another_kind_are_refused():
    short = market(decisions=40)
    with pytest.raises(DataError, match="no episode of 50 decision bars fits"):
        single(short)
    with pytest.raises(DataError, match="no episode of 50 decision bars fits"):
        CompiledVecEnv([short], params=PARAMS, costs=COSTS, actions=ACTIONS, episode=episode())
    with pytest.raises(ConfigError, match="continuous"):
        rules_of(short, PARAMS, COSTS, ActionSpec(kind="continuous"), episode(), (0, 10))


def test_the_normaliser_knows_the_fit_range_alone_and_leaves_the_position_as_it_is():
    data = market(7)
    spec = feature_spec("1m", "5m")
    ts = data.tape.ts_close
    cut = prepare_markets([data], spec, start_ns=int(ts[0]), end_ns=int(ts[-1]), validation_share=0.25)
    (first, end), (later, last) = cut.fit_rows[0], cut.validation_rows[0]
    assert (first, last) == (1, len(ts))
    assert end == later
    assert ts[end - 1] <= cut.validation_ns < ts[later]
    rows = data.tape.features[first:end][data.tape.ready[first:end]]
    assert np.allclose(cut.normaliser.mean[:6], rows.mean(axis=0), atol=1e-6)
    assert np.allclose(cut.normaliser.scale[:6], 1 / rows.std(axis=0), rtol=1e-5)
    assert cut.normaliser.mean[6:].tolist() == [0.0] * 5
    assert cut.normaliser.scale[6:].tolist() == [1.0] * 5
    future = data.tape._replace(features=data.tape.features.copy())
    future.features[later:] += 100.0
    again = prepare_markets(
        [data._replace(tape=future)], spec, start_ns=int(ts[0]), end_ns=int(ts[-1]), validation_share=0.25
    )
    assert np.array_equal(again.normaliser.mean, cut.normaliser.mean)
    scaled = normalised(data.tape, cut.normaliser, clip=10.0)
    assert scaled.features.dtype == np.float32
    assert np.abs(scaled.features[first:end].mean(axis=0)).max() < 0.2


def test_a_feature_that_never_varies_is_not_blown_up():
    rows = np.ones((10, 2), dtype=np.float32)
    rows[:, 1] = np.arange(10)
    assert fit_normaliser(rows, position_inputs=0).scale[0] == 1.0


def test_rows_are_chosen_by_their_close():
    tape = market(decisions=10).tape
    ts = tape.ts_close
    assert rows_between(tape, int(ts[2]), int(ts[5])) == (3, 6)


def test_an_evaluated_network_trades_as_the_replay_of_its_votes():
    """A network of zeros but for the bias of one action always votes that action, at a known confidence."""
    data = market(9)
    rules = rules_of(data, PARAMS, COSTS, ACTIONS, episode(), (0, 400))
    bias = np.array([0, 0, 0, 0, 3.0], dtype=np.float32)
    network = Network(
        np.zeros(11, np.float32), np.ones(11, np.float32), (np.zeros((11, 5), np.float32),), (bias,), "Tanh"
    )
    result = evaluate([network], data.tape, (10, 300), rules, one_voter(CONFIG.tally_params()))
    p = np.exp(bias) / np.exp(bias).sum()
    levels = np.where(data.tape.ready[10:299], 1.0, np.nan)
    confidences = np.full(289, p[3] + p[4])
    path = replay(data.tape, 10, levels, confidences, 10_000.0, BTC, PARAMS, COSTS)
    assert np.allclose(result.equity, path[:, X.equity], rtol=1e-12)
    assert result.long == 1.0
    assert result.fills == path[-1, X.fills] > 0
    assert result.total_return == pytest.approx(path[-1, X.equity] / 10_000.0 - 1.0)


def learn(data, *, algorithm="ppo", timesteps=30_000, seed=1):
    """Train on a small market with small settings; return what was trained."""
    spec = feature_spec("1m", "5m")
    ts = data.tape.ts_close
    cut = prepare_markets([data], spec, start_ns=int(ts[0]) - 1, end_ns=int(ts[-1]), validation_share=0.25)
    hyper = msgspec.structs.replace(
        HYPER,
        environment=msgspec.structs.replace(HYPER.environment, accounts=16, episode_bars=100, turnover_weight=0.0),
        network=msgspec.structs.replace(HYPER.network, layers=(16,)),
        selection=msgspec.structs.replace(HYPER.selection, checkpoints=2),
        ppo=msgspec.structs.replace(HYPER.ppo, n_steps=64, batch_size=512, learning_rate=3e-3),
    )
    return train(cut, CONFIG, hyper, algorithm=algorithm, seed=seed, actions=ACTIONS, timesteps=timesteps)


def test_a_leaked_future_is_found_and_profited_from():
    """The oracle: the first feature says whether the next bar rises by 0.5 % or falls; costs are paid as always."""
    rng = np.random.default_rng(3)
    drift = 0.005 * np.repeat(rng.choice([-1.0, 1.0], 750), 4)
    trained = learn(market(2, decisions=3_000, drift=drift), timesteps=40_000)
    assert trained.selection["validation_total_return"] > 0.3
    assert trained.selection["validation_sharpe"] > 5.0


def test_noise_does_not_beat_the_fees():
    trained = learn(market(5, decisions=3_000), timesteps=20_000)
    assert trained.selection["validation_total_return"] < 0.02


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_the_same_seed_trains_the_same_weights_and_another_seed_others(algorithm):
    data = market(8, decisions=600)
    first, again = (learn(data, algorithm=algorithm, timesteps=4_096) for _ in range(2))
    for a, b in zip(first.network.weights, again.network.weights, strict=True):
        assert np.array_equal(a, b)
    assert first.selection == again.selection
    other = learn(data, algorithm=algorithm, timesteps=4_096, seed=2)
    assert not np.array_equal(first.network.weights[0], other.network.weights[0])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("gamma = 0.99", "gamma = 1.5", r"\$.ppo.gamma"),
        ("n_epochs = 5", "n_epoch = 5", "n_epoch"),
        ("accounts = 128", 'accounts = "many"', r"\$.environment.accounts"),
        ("[ppo]", "[ppo", "mend the file"),
    ],
)
def test_hyperparameters_that_make_no_sense_are_refused(tmp_path, old, new, said):
    from pathlib import Path

    text = (Path(configs.__file__).parent / "hyperparameters.toml").read_text()
    assert old in text
    (tmp_path / "h.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=said):
        hyperparameters.load(tmp_path / "h.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        hyperparameters.load(tmp_path / "absent.toml")


def test_costs_of_the_environment_are_those_of_the_configuration():
    data = market(10)
    free = TradingEnv(data, params=PARAMS, costs=CostParams(0.0, 0.0, 0.0), actions=ACTIONS, episode=episode())
    paid = single(data)
    totals = []
    for env in (free, paid):
        env.reset(seed=2)
        for k in range(50):
            _, _, _, _, info = env.step(0 if k % 2 else 4)
        totals.append(info["equity"])
    assert totals[0] > totals[1]
