"""Train policies on history and choose the checkpoint that is exported; deterministic for a seed on one machine."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback

from adapters.network import CLIP, Network
from configs.schema import AppConfig
from core.actions import ActionSpec
from core.errors import DataError
from core.features import FeatureSpec, feature_spec
from core.observation import POSITION_COLUMNS
from training.env import rules_of
from training.evaluate import Evaluation, evaluate, one_voter
from training.export import EQUALITY_ROWS, network_of
from training.hyperparameters import Hyperparameters
from training.market import MarketData, Normaliser, fit_normaliser, load_market, normalised, rows_between
from training.vec_env import CompiledVecEnv

__all__ = ["Prepared", "Trained", "prepare", "prepare_markets", "sample_observations", "train"]

Float32Array = npt.NDArray[np.float32]

_ALGORITHMS: dict[str, Any] = {"ppo": PPO, "a2c": A2C}
_ACTIVATIONS: dict[str, Any] = {"Tanh": torch.nn.Tanh, "Relu": torch.nn.ReLU}


class Prepared(NamedTuple):
    """History in its parts: ``fit_rows`` and ``validation_rows`` are half-open ranges of each market's rows.

    The normaliser knows the first alone. ``validation_ns`` is the last close of the fit.
    """

    spec: FeatureSpec
    markets: tuple[MarketData, ...]
    normaliser: Normaliser
    fit_rows: tuple[tuple[int, int], ...]
    validation_rows: tuple[tuple[int, int], ...]
    validation_ns: int


class Trained(NamedTuple):
    """A policy at its chosen checkpoint, and what it did on the validation range (means over the markets)."""

    policy: Any
    network: Network
    timesteps: int
    chosen_timesteps: int
    selection: dict[str, float]


def prepare(
    catalog: Path, instruments: Sequence[str], config: AppConfig, *, start_ns: int, end_ns: int, validation_share: float
) -> Prepared:
    """Read the history of some instruments and split it in time.

    Parameters
    ----------
    catalog : Path
        Market data.
    instruments : Sequence[str]
        At least one.
    config : AppConfig
        Names the intervals.
    start_ns, end_ns : int
        Range of decision closes, (start, end]; features are warmed up on what lies before it.
    validation_share : float
        Last part of the range, on which nothing is fitted.

    Raises
    ------
    DataError
        Where the catalog does not hold the range, or too little of it is ready.
    """
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    markets = [load_market(catalog, name, spec, start_ns=start_ns, end_ns=end_ns) for name in instruments]
    return prepare_markets(markets, spec, start_ns=start_ns, end_ns=end_ns, validation_share=validation_share)


def prepare_markets(
    markets: Sequence[MarketData], spec: FeatureSpec, *, start_ns: int, end_ns: int, validation_share: float
) -> Prepared:
    """Split the history of markets in time and fit the normaliser on the first part; see `prepare`."""
    validation_ns = end_ns - int((end_ns - start_ns) * validation_share)
    fit_rows = [rows_between(market.tape, start_ns, validation_ns) for market in markets]
    validation_rows = [rows_between(market.tape, validation_ns, end_ns) for market in markets]
    ready = [
        market.tape.features[first:end][market.tape.ready[first:end]]
        for market, (first, end) in zip(markets, fit_rows, strict=True)
    ]
    for market, rows, (first, end) in zip(markets, ready, validation_rows, strict=True):
        if len(rows) < 2 or end - first < 2:
            raise DataError(
                f"{market.instrument_id}: {len(rows)} decision bars to fit on and {end - first} to validate on; the "
                f"first {spec.warmup_bars} of a history only warm up, give a longer range"
            )
    normaliser = fit_normaliser(np.concatenate(ready), position_inputs=len(POSITION_COLUMNS))
    return Prepared(spec, tuple(markets), normaliser, tuple(fit_rows), tuple(validation_rows), validation_ns)


def train(
    prepared: Prepared,
    config: AppConfig,
    hyperparameters: Hyperparameters,
    *,
    algorithm: str,
    seed: int,
    actions: ActionSpec,
    timesteps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
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
        ``ppo`` or ``a2c``.
    seed : int
        Of weights, starts and actions.
    actions : ActionSpec
        Discrete.
    timesteps : int, optional
        Decisions, in place of the algorithm's own; whole updates are done, so a few more may be.
    progress : Callable[[int, int], None], optional
        Told decisions done and wanted.

    Raises
    ------
    DataError
        Where no episode fits into the range.
    """
    torch.set_num_threads(1)
    arguments = hyperparameters.of(algorithm)
    wanted = timesteps or arguments["timesteps"]
    del arguments["timesteps"]
    markets = [
        market._replace(tape=normalised(market.tape, prepared.normaliser, clip=CLIP)) for market in prepared.markets
    ]
    params, costs = config.decision_params(), config.cost_params()
    env = CompiledVecEnv(
        markets,
        params=params,
        costs=costs,
        actions=actions,
        episode=hyperparameters.environment,
        rows=prepared.fit_rows,
    )
    layers = list(hyperparameters.network.layers)
    model = _ALGORITHMS[algorithm](
        "MlpPolicy",
        env,
        seed=seed,
        device="cpu",
        verbose=0,
        policy_kwargs={
            "net_arch": {"pi": layers, "vf": layers},
            "activation_fn": _ACTIVATIONS[hyperparameters.network.activation],
        },
        **arguments,
    )
    judge = _Judge(prepared, config, hyperparameters, actions)
    callback = _Checkpoints(judge, wanted, hyperparameters.selection.checkpoints, progress)
    model.learn(wanted, callback=callback)
    callback.judge_now()
    model.policy.load_state_dict(callback.best_weights)
    network = network_of(model.policy, prepared.normaliser)
    return Trained(model.policy, network, model.num_timesteps, callback.best_timesteps, judge.figures(network))


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
    held = np.asarray(generator.integers(actions.width, size=env.num_envs))
    while len(seen) * env.num_envs < EQUALITY_ROWS:
        changed = generator.random(env.num_envs) < 0.1
        held = np.where(changed, generator.integers(actions.width, size=env.num_envs), held)
        seen.append(env.step(held)[0])
    return np.concatenate(seen)


class _Judge:
    """Trades networks over the validation range with the rules of the vote."""

    def __init__(
        self, prepared: Prepared, config: AppConfig, hyperparameters: Hyperparameters, actions: ActionSpec
    ) -> None:
        params, costs, episode = config.decision_params(), config.cost_params(), hyperparameters.environment
        self._prepared = prepared
        self._rules = [
            rules_of(market, params, costs, actions, episode, rows)
            for market, rows in zip(prepared.markets, prepared.fit_rows, strict=True)
        ]
        self._tally = one_voter(config.tally_params())
        self._least_exposed = hyperparameters.selection.min_exposed

    def score(self, policy: Any) -> tuple[bool, float]:
        """Return a key to rank by: in the market often enough, then the mean Sharpe ratio."""
        network = network_of(policy, self._prepared.normaliser)
        results = self._evaluate(network, self._prepared.validation_rows)
        exposed = float(np.mean([result.exposed for result in results]))
        return exposed >= self._least_exposed, float(np.mean([result.sharpe for result in results]))

    def figures(self, network: Network) -> dict[str, float]:
        """Return mean figures over the markets, of the validation range and of the range that was fitted on."""
        found: dict[str, float] = {}
        for name, rows in (("validation", self._prepared.validation_rows), ("fit", self._prepared.fit_rows)):
            results = [result.figures() for result in self._evaluate(network, rows)]
            found |= {f"{name}_{key}": round(float(np.mean([r[key] for r in results])), 6) for key in results[0]}
        return found

    def _evaluate(self, network: Network, rows: Sequence[tuple[int, int]]) -> list[Evaluation]:
        parts = zip(self._prepared.markets, rows, self._rules, strict=True)
        return [evaluate([network], market.tape, span, rules, self._tally) for market, span, rules in parts]


class _Checkpoints(BaseCallback):  # type: ignore[misc]  # stable-baselines3 is followed by no type checker here
    """Judges the policy a few times on the way and keeps the weights of the best."""

    def __init__(self, judge: _Judge, wanted: int, count: int, progress: Callable[[int, int], None] | None) -> None:
        super().__init__()
        self._judge, self._wanted, self._count, self._progress = judge, wanted, count, progress
        self._best: tuple[bool, float] | None = None
        self._judged = 0
        self.best_timesteps = 0
        self.best_weights: dict[str, Any] = {}

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._progress is not None:
            self._progress(self.num_timesteps, self._wanted)
        if self.num_timesteps >= (self._judged + 1) * self._wanted / self._count:
            self.judge_now()

    def judge_now(self) -> None:
        """Judge the weights as they are."""
        self._judged = int(self.model.num_timesteps * self._count / self._wanted)
        key = self._judge.score(self.model.policy)
        if self._best is None or key > self._best:
            self._best = key
            self.best_timesteps = self.model.num_timesteps
            self.best_weights = {name: value.clone() for name, value in self.model.policy.state_dict().items()}
