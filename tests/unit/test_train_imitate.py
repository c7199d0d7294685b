"""The teacher of a warm start, held to brute force, and what a policy learns of it."""

import itertools

import msgspec
import numpy as np
import pytest

from core.costs import CostParams
from core.errors import UsageError
from core.tape import R
from tests.unit.small_training import CONFIG, halves, small_hyperparameters
from tests.unit.test_env import COSTS, market
from training.algorithms import ALGORITHMS, ON_POLICY, actions_of
from training.env import rules_of
from training.imitate import demonstrate, teach
from training.judge import Judge
from training.train import train

LEVELS = np.array([-1.0, 0.0, 0.5, 1.0])


def path_of(actions, levels, held):
    """Return the levels that are held after each action: a reversal closes first."""
    path = []
    for action in actions:
        held = 0.0 if levels[action] * held < 0.0 else levels[action]
        path.append(held)
    return path


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("away", [0.0, 0.001, 0.01])
def test_the_teacher_earns_what_the_best_of_all_paths_earns(seed, away):
    data = market(seed, decisions=60)
    dear = data.tape.funding * [1.0, 20.0, 1.0]
    data = data._replace(tape=data.tape._replace(funding=dear))
    costs = CostParams(0.0005, 0.0, away)
    rows = (15, 23)
    best = teach(data.tape, rows, LEVELS, costs)
    prices = data.tape.rows[rows[0] : rows[1] - 1, R.open_after]
    settled = [
        sum(rate for bar, rate, _ in data.tape.funding if first <= bar < end)
        for first, end in itertools.pairwise(data.tape.clock[rows[0] : rows[1] - 1, 1])
    ]
    assert any(settled)
    gains = np.diff(np.log(prices)) - settled
    ready = data.tape.ready[slice(*rows)]

    def earned(actions):
        total, held = 0.0, 0.0
        for k, level in enumerate(path_of(actions, LEVELS, 0.0)):
            total += level * gains[k] - (costs.taker + away) * abs(level - held)
            held = level
        return total - (costs.taker + away) * abs(held)

    def allowed(actions):
        """Where nothing may be decided, what is held stays."""
        held = [0.0, *path_of(actions, LEVELS, 0.0)]
        return all(ready[k] or LEVELS[actions[k]] == held[k] for k in range(len(actions)))

    paths = filter(allowed, itertools.product(range(len(LEVELS)), repeat=len(gains)))
    followed, held = [], 1
    for k in range(len(gains)):
        action = int(best[k, held])
        followed.append(action)
        held = 1 if LEVELS[action] * LEVELS[held] < 0.0 else action
    assert earned(followed) == pytest.approx(max(map(earned, paths)), abs=1e-12)


def test_the_teacher_knows_no_price_after_its_range():
    data = market(7, decisions=120)
    rows = (10, 90)
    known = teach(data.tape, rows, LEVELS, COSTS)
    later = data.tape.rows.copy()
    later[rows[1] - 1 :, R.open_after :] *= 3.0
    later[rows[1] :, : R.open_after] *= 3.0
    changed = data.tape._replace(rows=later)
    assert np.array_equal(teach(changed, rows, LEVELS, COSTS), known)
    later[rows[1] - 2 :, R.open_after] *= 3.0
    assert not np.array_equal(teach(changed, rows, LEVELS, COSTS), known)


def test_demonstrations_lie_within_the_range_and_slips_change_them():
    data = market(9, decisions=200)
    params, costs = CONFIG.decision_params(), CONFIG.cost_params()
    hyper = small_hyperparameters()
    rows = (20, 120)
    rules = rules_of(data, params, costs, actions_of("ppo"), hyper.environment, rows)
    arguments = {"episodes": 12, "bars": 30, "seed": 4}
    lessons = demonstrate(data, rules, rows, slip=0.0, **arguments)
    assert lessons.observations.shape == (12, 30, data.tape.features.shape[1] + 5)
    assert lessons.actions.shape == lessons.counted.shape == (12, 30)
    seen = {row.tobytes() for row in data.tape.features[slice(*rows)]}
    assert {row[:-5].tobytes() for row in lessons.observations.reshape(-1, lessons.observations.shape[-1])} <= seen
    again = demonstrate(data, rules, rows, slip=0.0, **arguments)
    assert all(map(np.array_equal, lessons, again))
    slipped = demonstrate(data, rules, rows, slip=0.5, **arguments)
    assert not np.array_equal(slipped.observations, lessons.observations)


@pytest.mark.parametrize("algorithm", ON_POLICY)
def test_a_warm_start_profits_from_a_planted_signal_before_it_has_traded(algorithm):
    rng = np.random.default_rng(3)
    drift = 0.005 * np.repeat(rng.choice([-1.0, 1.0], 750), 4)
    data = halves(market(2, decisions=3_000, drift=drift))
    hyper = small_hyperparameters()
    lessons = msgspec.structs.replace(hyper.warm_start, episodes=60, epochs=10, learning_rate=1e-2)
    hyper = msgspec.structs.replace(hyper, warm_start=lessons)
    warm, cold = (
        train(data, CONFIG, hyper, algorithm=algorithm, seed=1, timesteps=64, warm_start=warm_start)
        for warm_start in (True, False)
    )
    assert cold.chosen_timesteps == 64
    assert warm.selection["validation_total_return"] > 1.2
    assert cold.selection["validation_total_return"] < 0.5


def test_the_imitation_itself_is_judged(monkeypatch):
    monkeypatch.setattr(Judge, "score", lambda *_: 1.0)
    told = []
    trained = train(
        halves(market(1)), CONFIG, small_hyperparameters(), algorithm="ppo", seed=1, timesteps=256, warm_start=True,
        judged=lambda *fact: told.append(fact) or True,
    )  # fmt: skip
    assert [timesteps for timesteps, _ in told] == [0, 64, 128, 192, 256]
    assert trained.chosen_timesteps == 0


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - set(ON_POLICY)))
def test_value_learners_are_not_warm_started(algorithm):
    with pytest.raises(UsageError, match=f"{algorithm} learns values, leave it out"):
        train(halves(market(1)), CONFIG, small_hyperparameters(), algorithm=algorithm, seed=1, warm_start=True)
