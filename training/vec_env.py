"""Many accounts as one stable-baselines3 environment: a step of all of them is one compiled call an instrument."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from stable_baselines3.common.vec_env import VecEnv

from core.actions import ActionSpec
from core.compiled import compiled
from core.costs import CostParams
from core.decision import DecisionParams
from core.errors import DataError
from core.simulation import start, state_size
from core.tape import Tape
from training.env import rules_of
from training.episode import Rules, act, start_rows, write_observation
from training.hyperparameters import EpisodeParams
from training.market import MarketData

__all__ = ["CompiledVecEnv"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@compiled
def _step_all(
    states: FloatArray,
    peaks: FloatArray,
    rows: IntArray,
    end_rows: IntArray,
    actions: IntArray,
    tape: Tape,
    rules: Rules,
    observations: Float32Array,
    rewards: Float32Array,
    ruined: BoolArray,
    truncated: BoolArray,
) -> int:
    """Step every account; return how many episodes ended."""
    ended = 0
    for i in range(states.shape[0]):
        terms, peaks[i], ruined[i] = act(states[i], peaks[i], tape, rows[i], actions[i], rules)
        rows[i] += 1
        truncated[i] = not ruined[i] and rows[i] >= end_rows[i]
        rewards[i] = terms[0] + terms[1] + terms[2] + terms[3]
        write_observation(states[i], tape, rows[i], rules, observations[i])
        if ruined[i] or truncated[i]:
            ended += 1
    return ended


@compiled
def _restart(state: FloatArray, tape: Tape, row: int, rules: Rules, observation: Float32Array) -> None:
    """Begin one account's next episode."""
    start(state, tape, row, rules.starting_equity, rules.params)
    write_observation(state, tape, row, rules, observation)


class _Block:
    """The accounts of one instrument: places ``first ... end - 1`` among all."""

    def __init__(self, market: MarketData, rules: Rules, starts: IntArray, first: int, end: int, size: int) -> None:
        self.tape, self.rules, self.starts = market.tape, rules, starts
        self.first, self.end = first, end
        count = end - first
        self.states = np.zeros((count, size))
        self.peaks = np.zeros(count)
        self.rows = np.zeros(count, dtype=np.int64)
        self.end_rows = np.zeros(count, dtype=np.int64)


class CompiledVecEnv(VecEnv):  # type: ignore[misc]  # stable-baselines3 is followed by no type checker here
    """`training.env.TradingEnv`, many times over, step for step.

    Account i draws its starts from the seed ``seed + i`` as a single environment does. Accounts are shared out evenly
    among the markets. Where an episode ends, the next begins at once; ``infos[i]["terminal_observation"]`` has what was
    seen last. The other infos are one empty dict, to be read only.

    Parameters
    ----------
    markets : Sequence[MarketData]
        One or more instruments with equal features.
    params, costs, actions, episode
        As for `TradingEnv`; ``episode.accounts`` says how many.
    rows : Sequence[tuple[int, int]], optional
        Half-open range of rows of each market; all by default.

    Raises
    ------
    DataError
        Where no episode fits into a market's range.
    """

    def __init__(
        self,
        markets: Sequence[MarketData],
        *,
        params: DecisionParams,
        costs: CostParams,
        actions: ActionSpec,
        episode: EpisodeParams,
        rows: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        count = max(episode.accounts, len(markets))
        width = markets[0].tape.features.shape[1] + 5
        self.render_mode = None
        self._episode_bars = episode.episode_bars
        self._starting_equity = episode.starting_equity
        self._blocks: list[_Block] = []
        bounds = np.linspace(0, count, len(markets) + 1).astype(int)
        for place, market in enumerate(markets):
            first_row, end_row = rows[place] if rows is not None else (0, len(market.tape.ts_close))
            starts = start_rows(market.tape, first_row, end_row, episode.episode_bars)
            if len(starts) == 0:
                raise DataError(
                    f"{market.instrument_id}: no episode of {episode.episode_bars} decision bars fits into "
                    f"{end_row - first_row} rows after the warm-up; give a longer range"
                )
            rules = rules_of(market, params, costs, actions, episode, (first_row, end_row))
            block = _Block(market, rules, starts, int(bounds[place]), int(bounds[place + 1]), state_size(params))
            self._blocks.append(block)
        self._rewards = np.zeros(count, dtype=np.float32)
        self._ruined = np.zeros(count, dtype=np.bool_)
        self._truncated = np.zeros(count, dtype=np.bool_)
        self._actions = np.zeros(count, dtype=np.int64)
        self._blank: list[dict[str, Any]] = [{}] * count
        self._generators = [seeding.np_random(None)[0] for _ in range(count)]
        super().__init__(
            count, gym.spaces.Box(-np.inf, np.inf, (width,), np.float32), gym.spaces.Discrete(len(actions.levels))
        )

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed account i with ``seed + i``, as from the next `reset`."""
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        self._generators = [seeding.np_random(s)[0] for s in seeds]
        return seeds

    def reset(self) -> Float32Array:
        """Begin an episode in every account; return the observations float32[N, D]."""
        observations = np.empty((self.num_envs, *self.observation_space.shape), dtype=np.float32)
        for block in self._blocks:
            for i in range(block.first, block.end):
                self._begin(block, i, observations)
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the actions of the next step."""
        self._actions[:] = actions

    def step_wait(self) -> tuple[Float32Array, Float32Array, BoolArray, list[dict[str, Any]]]:
        """Step every account; return observations, rewards, ends and infos."""
        observations = np.empty((self.num_envs, *self.observation_space.shape), dtype=np.float32)
        ended = 0
        for block in self._blocks:
            part = slice(block.first, block.end)
            ended += _step_all(
                block.states,
                block.peaks,
                block.rows,
                block.end_rows,
                self._actions[part],
                block.tape,
                block.rules,
                observations[part],
                self._rewards[part],
                self._ruined[part],
                self._truncated[part],
            )
        infos = self._blank
        dones = self._ruined | self._truncated
        if ended:
            infos = list(infos)
            for block in self._blocks:
                for i in np.flatnonzero(dones[block.first : block.end]) + block.first:
                    infos[i] = {
                        "terminal_observation": observations[i].copy(),
                        "TimeLimit.truncated": bool(self._truncated[i]),
                    }
                    self._begin(block, int(i), observations)
        return observations, self._rewards.copy(), dones, infos

    def _begin(self, block: _Block, i: int, observations: Float32Array) -> None:
        own = i - block.first
        row = block.starts[self._generators[i].integers(len(block.starts))]
        block.rows[own], block.end_rows[own] = row, row + self._episode_bars
        block.peaks[own] = self._starting_equity
        _restart(block.states[own], block.tape, row, block.rules, observations[i])

    def close(self) -> None:
        """Hold nothing that needs closing."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute, which all accounts share."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: accounts have no attributes of their own."""
        raise NotImplementedError(f"{attr_name} cannot be set: compiled accounts have no attributes of their own")

    def env_method(self, method_name: str, *_: Any, indices: Any = None, **__: Any) -> list[Any]:
        """Refuse: accounts have no methods of their own."""
        raise NotImplementedError(f"{method_name} cannot be called: compiled accounts have no methods of their own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ARG002
        """Return that no account is wrapped."""
        return [False for _ in self._get_indices(indices)]
