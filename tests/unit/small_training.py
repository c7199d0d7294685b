"""Trainings of a second, for the tests of training."""

import msgspec

import configs
from core.features import feature_spec
from training import hyperparameters
from training.algorithms import ALGORITHMS
from training.prepared import Span, prepare_markets

CONFIG = configs.load("train")
STEPS = 1_024


def small_hyperparameters(**selection):
    """Return few accounts, narrow networks, four judgements."""
    replace, given = msgspec.structs.replace, hyperparameters.load()
    rollout = {"n_steps": 8}
    batches = {"batch_size": 32}
    replay = batches | {"learning_starts": 64, "buffer_size": 512}
    targets = {"target_update_interval": 64}
    changes = {
        "ppo": rollout | batches | {"n_epochs": 2},
        "a2c": rollout,
        "dqn": replay | targets,
        "qrdqn": replay | targets | {"n_quantiles": 5},
        "sac": replay,
        "recurrent_ppo": rollout | batches | {"n_epochs": 2, "lstm_hidden_size": 8},
    }
    assert set(changes) == set(ALGORITHMS)
    return replace(
        given,
        environment=replace(given.environment, accounts=8, episode_bars=40),
        network=replace(given.network, layers=(8, 8)),
        selection=replace(given.selection, **({"checkpoints": 4, "patience": 4} | selection)),
        warm_start=replace(given.warm_start, episodes=8, epochs=2, batch_size=64),
        **{name: replace(getattr(given, name), **change) for name, change in changes.items()},
    )


def halves(market):
    """Return a market prepared: the first two thirds to fit on, the rest to validate on."""
    ts = market.tape.ts_close
    cut = int(ts[len(ts) * 2 // 3])
    return prepare_markets([market], feature_spec(), span=Span((int(ts[0]) - 1, cut), (cut, int(ts[-1]))))
