"""Train policies on history and choose the checkpoint that is exported; deterministic for a seed on one machine."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.logger import Logger, configure

from adapters.network import CLIP, Network
from configs.schema import AppConfig
from core.actions import ActionSpec
from core.selection import Calibrated
from training import checkpoint as checkpoints
from training.algorithms import actions_of, build, check_warm_start
from training.course import Course
from training.env import TradingEnv
from training.export import EQUALITY_ROWS
from training.hyperparameters import Hyperparameters
from training.imitate import demonstrate, imitate
from training.judge import Judge
from training.market import MarketData, normalised
from training.policy_network import network_of
from training.prepared import Prepared, Span, prepare, prepare_markets
from training.reward_terms import mean_reward_terms
from training.vec_env import CompiledVecEnv

__all__ = ["Prepared", "Span", "Trained", "prepare", "prepare_markets", "sample_observations", "train"]

Float32Array = npt.NDArray[np.float32]


class Trained(NamedTuple):
    """A policy at its chosen checkpoint, and what it did on both ranges (means over the markets).

    ``network`` is the policy's with its confidence calibrated; ``timesteps`` decisions trained on, ``chosen_timesteps``
    those of the checkpoint; ``pruned`` where the caller ended the training.
    """

    model: Any
    network: Network
    timesteps: int
    chosen_timesteps: int
    selection: dict[str, float]
    calibration: Calibrated
    pruned: bool


def train(
    prepared: Prepared,
    config: AppConfig,
    hyperparameters: Hyperparameters,
    *,
    algorithm: str,
    seed: int,
    timesteps: int | None = None,
    warm_start: bool = False,
    checkpoint: Path | None = None,
    trial_id: str = "",
    log: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    judged: Callable[[int, float], bool] | None = None,
) -> Trained:
    """Train one policy.

    Parameters
    ----------
    prepared : Prepared
        History; it is fitted on the first part and judged on the second.
    config : AppConfig
        Limits, costs and the rules of the vote.
    hyperparameters : Hyperparameters
        Everything else.
    algorithm : str
        One of `training.algorithms.ALGORITHMS`.
    seed : int
        Of weights, starts, actions and batches.
    timesteps : int, optional
        Decisions, in place of the algorithm's own; whole updates are done, so a few more may be.
    warm_start : bool
        Imitate a teacher first (`training.imitate`).
    checkpoint : Path, optional
        A directory: a training that was interrupted goes on from it, to the same result.
    trial_id : str
        Names the training in its checkpoint.
    log : Path, optional
        A directory for TensorBoard: reward terms, validation, losses.
    progress : Callable[[int, int], None], optional
        Told decisions done and wanted.
    judged : Callable[[int, float], bool], optional
        Told the decisions done and the validation score of each checkpoint; False ends the training.

    Raises
    ------
    DataError
        Where no episode fits into the range.
    UsageError
        For an algorithm that is not known, or that cannot be warm-started.
    RefusedError
        For a checkpoint of another training.
    """
    actions = actions_of(algorithm)
    if warm_start:
        check_warm_start(algorithm)
    wanted = timesteps or hyperparameters.of(algorithm)["timesteps"]
    markets = [
        market._replace(tape=normalised(market.tape, prepared.normaliser, clip=CLIP)) for market in prepared.markets
    ]
    world: dict[str, Any] = {
        "params": config.decision_params(),
        "costs": config.cost_params(),
        "actions": actions,
        "episode": hyperparameters.environment,
    }
    env = CompiledVecEnv(markets, rows=prepared.fit_rows, **world)
    model = build(algorithm, env, hyperparameters, seed=seed)
    model.set_logger(Logger(None, []) if log is None else configure(str(log), ["tensorboard"]))
    fits = zip(markets, prepared.fit_rows, strict=True)
    witnesses = [TradingEnv(market, rows=rows, **world) for market, rows in fits]
    judge = Judge(prepared, config, hyperparameters, actions)
    course = Course(
        lambda: judge.score(network_of(model, prepared.normaliser)),
        wanted,
        hyperparameters.selection,
        details=None if log is None else functools.partial(mean_reward_terms, model, witnesses),
        save=None if checkpoint is None else functools.partial(checkpoints.save, checkpoint, trial_id=trial_id),
        progress=progress,
        judged=judged,
    )
    state = None if checkpoint is None else checkpoints.load(checkpoint, trial_id=trial_id)
    if state is not None:
        checkpoints.restore(model, env, state["model"])
        course.resume(state["course"])
    elif warm_start:
        _warm_up(model, markets, judge, prepared, hyperparameters, seed=seed)
        course.state.marks = -1  # the imitation itself is judged, too
    model.learn(wanted - model.num_timesteps, callback=course, reset_num_timesteps=state is None)
    course.finish()
    model.policy.load_state_dict(course.state.weights)
    network, calibration = judge.calibrated(network_of(model, prepared.normaliser))
    return Trained(
        model=model,
        network=network,
        timesteps=course.timesteps,
        chosen_timesteps=course.state.chosen,
        selection=judge.figures(network),
        calibration=calibration,
        pruned=course.state.pruned,
    )


def sample_observations(
    prepared: Prepared, config: AppConfig, hyperparameters: Hyperparameters, *, actions: ActionSpec, seed: int
) -> Float32Array:
    """Return at least `training.export.EQUALITY_ROWS` observations, not normalised, of accounts that act at random."""
    env = CompiledVecEnv(
        prepared.markets,
        params=config.decision_params(),
        costs=config.cost_params(),
        actions=actions,
        episode=hyperparameters.environment,
        rows=prepared.fit_rows,
    )
    env.seed(seed)
    generator = np.random.default_rng(seed)
    seen = [env.reset()]
    held = _random_actions(generator, actions, env.num_envs)
    while len(seen) * env.num_envs < EQUALITY_ROWS:
        changed = generator.random(env.num_envs) < 0.1
        held[changed] = _random_actions(generator, actions, env.num_envs)[changed]
        seen.append(env.step(held)[0])
    return np.concatenate(seen)


def _warm_up(
    model: Any,
    markets: Sequence[MarketData],
    judge: Judge,
    prepared: Prepared,
    hyperparameters: Hyperparameters,
    *,
    seed: int,
) -> None:
    """Let a policy imitate the teacher of each market's fit; the lessons are shared out among the markets."""
    params, bars = hyperparameters.warm_start, hyperparameters.environment.episode_bars
    episodes = max(params.episodes // len(markets), 1)
    parts = zip(markets, judge.rules, prepared.fit_rows, strict=True)
    lessons = [
        demonstrate(market, rules, rows, episodes=episodes, bars=bars, slip=params.slip, seed=seed + place)
        for place, (market, rules, rows) in enumerate(parts)
    ]
    agreement = imitate(model, lessons, params, seed=seed)
    model.logger.record("imitation/agreement", agreement)
    model.logger.dump(0)


def _random_actions(generator: np.random.Generator, actions: ActionSpec, count: int) -> npt.NDArray[Any]:
    """Return an action for each account: the index of a level, or a level (one column)."""
    if actions.kind == "continuous":
        return generator.uniform(-1.0, 1.0, size=(count, 1)).astype(np.float32)
    return np.asarray(generator.integers(actions.width, size=count))
