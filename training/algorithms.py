"""The six algorithms of stable-baselines3 and sb3-contrib: which actions each takes, and how each is built."""

import contextlib
import warnings
from typing import Any

import torch
from sb3_contrib import QRDQN, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO, SAC

from core.actions import ActionSpec
from core.errors import UsageError
from training.hyperparameters import Hyperparameters
from training.vec_env import CompiledVecEnv

__all__ = ["ALGORITHMS", "ON_POLICY", "actions_of", "build", "check_warm_start", "pin_threads"]

_CLASSES: dict[str, Any] = {
    "ppo": PPO,
    "a2c": A2C,
    "dqn": DQN,
    "qrdqn": QRDQN,
    "sac": SAC,
    "recurrent_ppo": RecurrentPPO,
}
ALGORITHMS = tuple(_CLASSES)
ON_POLICY = ("ppo", "a2c", "recurrent_ppo")
"""Those whose policy is a distribution over the levels that is trained by its own probabilities."""
_ACTIVATIONS: dict[str, Any] = {"Tanh": torch.nn.Tanh, "Relu": torch.nn.ReLU}


def pin_threads() -> None:
    """Let torch use the calling thread alone: two are ten times slower on networks of this size."""
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):  # it can be said once, and has been by an earlier training
        torch.set_num_interop_threads(1)


def actions_of(algorithm: str) -> ActionSpec:
    """Return the action map of an algorithm: a level for SAC, one of the standard levels for the others.

    Raises
    ------
    UsageError
        For a name that is not known.
    """
    if algorithm not in _CLASSES:
        raise UsageError(f"algorithm {algorithm!r} is not known; choose one of {', '.join(ALGORITHMS)}")
    return ActionSpec(kind="continuous") if algorithm == "sac" else ActionSpec()


def check_warm_start(algorithm: str) -> None:
    """Refuse to warm-start an algorithm whose network is no policy to imitate with.

    Raises
    ------
    UsageError
        For one that learns values.
    """
    if algorithm not in ON_POLICY:
        raise UsageError(f"--warm-start is for {', '.join(ON_POLICY)}; {algorithm} learns values, leave it out")


def build(algorithm: str, env: CompiledVecEnv, hyperparameters: Hyperparameters, *, seed: int) -> Any:
    """Return an untrained algorithm on an environment; it seeds the environment and all global generators.

    Parameters
    ----------
    algorithm : str
        One of `ALGORITHMS`.
    env : CompiledVecEnv
        With the actions of `actions_of`.
    hyperparameters : Hyperparameters
        The algorithm's section and that of the network are read.
    seed : int
        Of weights, starts, actions and batches.
    """
    pin_threads()
    arguments = hyperparameters.of(algorithm)
    del arguments["timesteps"]
    layers = list(hyperparameters.network.layers)
    policy: dict[str, Any] = {"activation_fn": _ACTIVATIONS[hyperparameters.network.activation]}
    policy["net_arch"] = {"pi": layers, "vf": layers} if algorithm in ON_POLICY else layers
    if algorithm == "recurrent_ppo":
        policy |= {"lstm_hidden_size": arguments.pop("lstm_hidden_size"), "enable_critic_lstm": False}
    elif algorithm == "qrdqn":
        policy["n_quantiles"] = arguments.pop("n_quantiles")
    if algorithm not in ON_POLICY:
        arguments["train_freq"] = 1
    name = "MlpLstmPolicy" if algorithm == "recurrent_ppo" else "MlpPolicy"
    with warnings.catch_warnings():
        # a last batch that is smaller, and a target network that follows at every step, are meant
        warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
        warnings.filterwarnings("ignore", message="The number of environments used is greater than the target network")
        return _CLASSES[algorithm](name, env, seed=seed, device="cpu", verbose=0, policy_kwargs=policy, **arguments)
