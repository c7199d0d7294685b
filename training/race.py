"""How soon a trainer makes the most of a leaked return: time to a score, not steps a second."""

import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

import configs
from adapters.network import CLIP
from training import hyperparameters
from training.algorithms import actions_of, build, pin_threads
from training.checks import ALGORITHM, Laboratory
from training.env import TradingEnv
from training.hyperparameters import Hyperparameters
from training.market import MarketData, normalised
from training.planted import leaked, oracle_growth
from training.policy_network import network_of
from training.vec_env import CompiledVecEnv

__all__ = ["Finish", "seconds_to_oracle_share"]

type Kind = Literal["vectorised", "sb3_defaults"]

SHARE, NOISE = 0.8, 2.0
"""Where a race ends, and how much noise hides the leak: a clear one is found by any trainer at once."""
_NEVER = 1_000_000_000


class Finish(NamedTuple):
    """Where a race ended: processor seconds and decisions of training, and the share of the oracle's log growth."""

    seconds: float
    steps: int
    share: float


def seconds_to_oracle_share(
    kind: Kind, *, share: float = SHARE, noise: float = NOISE, seed: int = 1, most_seconds: float = 60.0
) -> Finish:
    """Train until held-out rows of a market with a leaked return give a share of what an oracle earns there.

    Parameters
    ----------
    kind : {"vectorised", "sb3_defaults"}
        This product's environment, many accounts and short rollouts, or the defaults of stable-baselines3 on one
        gymnasium environment; both PPO with the same network on the same normalised market.
    share : float
        Where the race ends.
    noise : float
        As `training.planted.leaked` takes it.
    seed : int
        Of weights, starts and actions.
    most_seconds : float
        When it is broken off: a share below the wanted one says so.

    Notes
    -----
    The policy is judged before every rollout; the clock stands still meanwhile. What is compiled once and cached is on
    the clock: race once for warming up.
    """
    laboratory = Laboratory.of(configs.load("train"), hyperparameters.load())
    laboratory = laboratory._replace(hyperparameters=_short_rollouts(laboratory.hyperparameters))
    market = leaked(laboratory.market(1), noise=noise)
    prepared, rows = laboratory.prepare(market)
    equity = laboratory.hyperparameters.environment.starting_equity
    possible = oracle_growth(market, rows, laboratory.config, equity)
    scaled = market._replace(tape=normalised(market.tape, prepared.normaliser, clip=CLIP))
    model = _model(kind, laboratory, scaled, prepared.fit_rows[0], seed)

    def score() -> float:
        result = laboratory.trade(network_of(model, prepared.normaliser), market, rows)
        return float(np.log1p(result.total_return)) / possible

    race = _Race(score, share, most_seconds)
    model.learn(_NEVER, callback=race)
    return race.finish


def _model(kind: Kind, laboratory: Laboratory, market: MarketData, rows: tuple[int, int], seed: int) -> Any:
    """Return an untrained PPO."""
    config, settings = laboratory.config, laboratory.hyperparameters
    arguments: dict[str, Any] = {
        "params": config.decision_params(), "costs": config.cost_params(), "actions": actions_of(ALGORITHM),
        "episode": settings.environment,
    }  # fmt: skip
    if kind == "vectorised":
        return build(ALGORITHM, CompiledVecEnv([market], rows=[rows], **arguments), settings, seed=seed)
    layers = list(settings.network.layers)
    pin_threads()
    single = DummyVecEnv([lambda: TradingEnv(market, rows=rows, **arguments)])
    return PPO("MlpPolicy", single, seed=seed, device="cpu", policy_kwargs={"net_arch": {"pi": layers, "vf": layers}})


def _short_rollouts(given: Hyperparameters) -> Hyperparameters:
    """Return settings that learn from many small steps."""
    replace = msgspec.structs.replace
    ppo = replace(given.ppo, n_steps=8, batch_size=512, n_epochs=3, learning_rate=5e-3)
    return replace(given, environment=replace(given.environment, accounts=256), ppo=ppo)


class _Race(BaseCallback):  # type: ignore[misc]  # stable-baselines3 is followed by no type checker here
    """Stops a training that has reached the score, or run out of time."""

    def __init__(self, score: Callable[[], float], share: float, most_seconds: float) -> None:
        super().__init__()
        self._score, self._share, self._most = score, share, most_seconds
        self._judging = 0.0
        self._began = time.process_time()
        self.finish = Finish(0.0, 0, -np.inf)

    def _on_training_start(self) -> None:
        self._began = time.process_time()

    def _on_rollout_start(self) -> None:
        now = time.process_time()
        self.finish = Finish(now - self._began - self._judging, self.num_timesteps, self._score())
        self._judging += time.process_time() - now

    def _on_step(self) -> bool:
        return self.finish.share < self._share and self.finish.seconds < self._most
