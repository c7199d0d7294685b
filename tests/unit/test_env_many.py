"""Many accounts as one environment: each is a single one, step for step, and it goes on where it was stopped."""

import gc
import pickle
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.test_env import ACTIONS, COSTS, LEVEL, PARAMS, episode, market
from training.env import TradingEnv
from training.vec_env import CompiledVecEnv


def many(markets, *, actions=ACTIONS, **changes):
    return CompiledVecEnv(markets, params=PARAMS, costs=COSTS, actions=actions, episode=episode(**changes))


def random_actions(rng, env, steps, *, held=1):
    """Return actions [steps, N(, 1)] that are held for some decisions, levels beyond the bounds among them."""
    times = -(-steps // held)
    if env.action_space.shape == ():
        return np.repeat(rng.integers(5, size=(times, env.num_envs)), held, axis=0)[:steps]
    return np.repeat(rng.uniform(-1.3, 1.3, (times, env.num_envs, 1)).astype(np.float32), held, axis=0)[:steps]


@given(seed=st.integers(0, 10_000), ruin=st.sampled_from([0.5, 0.995]), actions=st.sampled_from([ACTIONS, LEVEL]))
@settings(max_examples=20, deadline=None)
def test_many_accounts_step_for_step_are_so_many_single_ones(seed, ruin, actions):
    data, other = market(seed), market(seed + 1, decisions=300)
    weights = {"drawdown_weight": 0.3, "turnover_weight": 0.001, "sharpe_weight": 0.1, "growth_weight": 0.9}
    shape = episode(ruin=ruin, cost_low=0.5, cost_high=2.0, **weights)
    vector = CompiledVecEnv([data, other], params=PARAMS, costs=COSTS, actions=actions, episode=shape)
    singles = [
        TradingEnv(d, params=PARAMS, costs=COSTS, actions=actions, episode=shape) for d in [data] * 3 + [other] * 4
    ]
    vector.seed(seed)
    seen = vector.reset()
    for i, env in enumerate(singles):
        assert np.array_equal(env.reset(seed=seed + i)[0], seen[i])
    ended = 0
    for chosen in random_actions(np.random.default_rng(seed), vector, 120, held=1 + seed % 4):
        seen, rewards, dones, infos = vector.step(chosen)
        for i, env in enumerate(singles):
            last, reward, terminated, truncated, _ = env.step(chosen[i])
            assert np.float32(reward) == rewards[i]
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


@pytest.mark.parametrize("actions", [ACTIONS, LEVEL])
def test_a_restored_environment_goes_on_as_the_one_that_was_not_stopped(actions):
    markets = [market(1), market(2, decisions=300)]
    settings = {"actions": actions, "cost_low": 0.5, "cost_high": 2.0, "sharpe_weight": 0.1}
    env = many(markets, **settings)
    env.seed(3)
    env.reset()
    script = random_actions(np.random.default_rng(0), env, 180, held=3)
    for chosen in script[:70]:
        env.step(chosen)
    kept = pickle.dumps(env.snapshot())
    future = [env.step(chosen)[:3] for chosen in script[70:]]
    assert any(dones.any() for _, _, dones in future), "starts and costs are drawn after the restoration"

    other = many(markets, **settings)
    other.seed(99)
    other.reset()
    for again in (other, env):
        again.restore(pickle.loads(kept))
        for chosen, then in zip(script[70:], future, strict=True):
            assert all(a.tobytes() == b.tobytes() for a, b in zip(again.step(chosen)[:3], then, strict=True))


def test_a_snapshot_is_a_copy_and_fits_its_own_environment_only():
    env = many([market(1)])
    env.seed(1)
    env.reset()
    kept = env.snapshot()
    before = pickle.dumps(kept)
    env.step(np.full(7, 4))
    assert pickle.dumps(kept) == before
    with pytest.raises(ValueError, match="of another environment"):
        many([market(1)], accounts=6).restore(kept)
    with pytest.raises(ValueError, match="of another environment"):
        many([market(1), market(2)]).restore(kept)


def test_compiled_steps_keep_and_lose_no_reference():
    """The inlined functions count no references; the arrays that they work on must come out as they went in."""
    env, one = many([market(1)]), TradingEnv(market(1), params=PARAMS, costs=COSTS, actions=ACTIONS, episode=episode())
    env.seed(1)
    env.reset()
    one.reset(seed=1)
    arrays = [*env._blocks[0].accounts().values(), *env._blocks[0].tape, one._state, one._memory, *one._tape]
    counts = []
    for _ in range(2):
        for _ in range(60):
            env.step(np.full(7, 4))
            one.step(4)
        gc.collect()
        counts.append([sys.getrefcount(array) for array in arrays])
    assert counts[0] == counts[1]


def test_outputs_of_a_step_are_not_written_again():
    env = many([market(1)])
    env.seed(1)
    env.reset()
    observations, rewards, dones, _ = env.step(np.full(7, 4))
    copies = observations.copy(), rewards.copy(), dones.copy()
    for _ in range(60):
        env.step(np.full(7, 0))
    assert all(np.array_equal(a, b) for a, b in zip((observations, rewards, dones), copies, strict=True))
