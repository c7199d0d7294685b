"""The course of a training: the best of its judgements is kept, and it ends when nothing improves."""

import numpy as np
import pytest

from core.errors import UsageError
from tests.unit.small_training import CONFIG, STEPS, halves, small_hyperparameters
from tests.unit.test_env import market
from training.algorithms import ALGORITHMS, actions_of
from training.judge import IDLE_PENALTY, Judge
from training.policy_network import network_of
from training.train import train

DATA = halves(market(3))


def scripted(monkeypatch, scores):
    """Let every judgement say what is written here; return the networks that were judged."""
    left, seen = iter(scores), []

    def score(self, network):
        seen.append(network)
        return next(left)

    monkeypatch.setattr(Judge, "score", score)
    return seen


def course(monkeypatch, scores, *, judged=None, **selection):
    seen = scripted(monkeypatch, scores)
    hyper = small_hyperparameters(**selection)
    return train(DATA, CONFIG, hyper, algorithm="ppo", seed=1, timesteps=STEPS, judged=judged), seen


def test_the_weights_of_the_best_judgement_are_kept(monkeypatch):
    trained, seen = course(monkeypatch, [1.0, 5.0, 2.0, 3.0])
    assert trained.timesteps == STEPS
    assert trained.chosen_timesteps == STEPS // 2
    kept = network_of(trained.model, DATA.normaliser)
    assert [all(map(np.array_equal, kept.weights, network.weights)) for network in seen] == [False, True, False, False]
    assert trained.network.weights[0].tobytes() == kept.weights[0].tobytes()


def test_a_training_ends_when_patience_does(monkeypatch):
    trained, seen = course(monkeypatch, [2.0, 1.0, 3.0, 2.5, 2.9, 2.8, 9.0, 9.0], checkpoints=8, patience=3)
    assert len(seen) == 6
    assert (trained.chosen_timesteps, trained.timesteps) == (STEPS * 3 // 8, STEPS * 6 // 8)
    assert not trained.pruned


def test_who_is_told_of_each_judgement_may_end_the_training(monkeypatch):
    told = []
    trained, seen = course(monkeypatch, [1.0, 2.0, 3.0, 4.0], judged=lambda *fact: told.append(fact) or len(told) < 2)
    assert told == [(STEPS // 4, 1.0), (STEPS // 2, 2.0)]
    assert len(seen) == 2
    assert trained.pruned


def test_progress_is_told_from_the_beginning_to_near_the_end():
    told = []
    train(
        DATA, CONFIG, small_hyperparameters(), algorithm="a2c", seed=1, timesteps=STEPS,
        progress=lambda *fact: told.append(fact),
    )  # fmt: skip
    assert told == [(done, STEPS) for done in range(0, STEPS, 64)]


def test_a_policy_that_hardly_trades_scores_below_any_that_does():
    hyper = small_hyperparameters(min_exposed=1.0)
    judge = Judge(DATA, CONFIG, hyper, actions_of("ppo"))
    eager = Judge(DATA, CONFIG, small_hyperparameters(min_exposed=0.0), actions_of("ppo"))
    network = train(DATA, CONFIG, hyper, algorithm="ppo", seed=1, timesteps=64).network
    assert judge.score(network) == pytest.approx(eager.score(network) - IDLE_PENALTY)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_trains_and_the_same_seed_trains_the_same(algorithm):
    def weights(seed):
        trained = train(DATA, CONFIG, small_hyperparameters(), algorithm=algorithm, seed=seed, timesteps=256)
        assert trained.chosen_timesteps > 0
        assert {"validation_sharpe", "fit_sharpe"} <= set(trained.selection)
        return np.concatenate([w.ravel() for w in trained.network.weights])

    first = weights(1)
    assert np.isfinite(first).all()
    assert np.array_equal(first, weights(1))
    assert not np.array_equal(first, weights(2))


def test_an_algorithm_that_is_not_known_is_refused():
    with pytest.raises(UsageError, match="algorithm 'sarsa' is not known; choose one of ppo, a2c"):
        train(DATA, CONFIG, small_hyperparameters(), algorithm="sarsa", seed=1)


def test_logs_hold_reward_terms_validation_and_losses(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(DATA, CONFIG, small_hyperparameters(), algorithm="ppo", seed=1, timesteps=STEPS, log=tmp_path / "log")
    events = EventAccumulator(str(tmp_path / "log"))
    events.Reload()
    names = set(events.Tags()["scalars"])
    terms = {"log_equity_change", "drawdown_penalty", "turnover_penalty", "drift_adjustment", "differential_sharpe"}
    assert {"validation/score", "validation/best", "train/value_loss", *(f"reward/{term}" for term in terms)} <= names
    assert [e.step for e in events.Scalars("validation/score")] == [STEPS // 4, STEPS // 2, STEPS * 3 // 4, STEPS]
