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
from core.simulation import state_size
from core.tape import Tape
from training.env import action_space, cost_range, rules_of
from training.episode import M, Rules, act, begin, draw_start, start_rows, total, write_observation
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
    memories: FloatArray,
    rows: IntArray,
    end_rows: IntArray,
    levels: FloatArray,
    tape: Tape,
    rules: Rules,
    observations: Float32Array,
    rewards: Float32Array,
    truncated: BoolArray,
    ended: BoolArray,
) -> int:
    """Step every account; return how many episodes ended."""
    count = 0
    for i in range(states.shape[0]):
        terms, ruined = act(states[i], memories[i], tape, rows[i], levels[i], rules)
        rows[i] += 1
        rewards[i] = total(terms)
        write_observation(states[i], tape, rows[i], rules, observations[i])
        truncated[i] = not ruined and rows[i] >= end_rows[i]
        ended[i] = ruined or truncated[i]
        count += ended[i]
    return count


@compiled
def _restart(
    state: FloatArray,
    memory: FloatArray,
    tape: Tape,
    row: int,
    cost_factor: float,
    rules: Rules,
    observation: Float32Array,
) -> None:
    """Begin one account's next episode."""
    begin(state, memory, tape, row, cost_factor, rules)
    write_observation(state, tape, row, rules, observation)


class _Block:
    """The accounts of one instrument: places ``part`` among all."""

    def __init__(self, market: MarketData, rules: Rules, starts: IntArray, part: slice, size: int) -> None:
        self.tape, self.rules, self.starts, self.part = market.tape, rules, starts, part
        count = part.stop - part.start
        self.states = np.zeros((count, size))
        self.memories = np.zeros((count, len(M)))
        self.rows = np.zeros(count, dtype=np.int64)
        self.end_rows = np.zeros(count, dtype=np.int64)

    def accounts(self) -> dict[str, npt.NDArray[Any]]:
        """Return what changes, by name; the arrays themselves."""
        return {"states": self.states, "memories": self.memories, "rows": self.rows, "end_rows": self.end_rows}


class CompiledVecEnv(VecEnv):  # type: ignore[misc]  # stable-baselines3 is followed by no type checker here
    """`training.env.TradingEnv`, many times over, step for step.

    Account i draws starts and costs from the seed ``seed + i`` as a single environment does. Accounts are shared out
    evenly among the markets. Where an episode ends, the next begins at once; ``infos[i]["terminal_observation"]`` has
    what was seen last. The other infos are one empty dict, to be read only.

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
    ConfigError
        Where the range of costs falls.
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
        self._cost_range = cost_range(episode)
        self._map = np.array(actions.levels) if actions.kind == "discrete" else None
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
            part = slice(int(bounds[place]), int(bounds[place + 1]))
            self._blocks.append(_Block(market, rules, starts, part, state_size(params)))
        self._rewards = np.zeros(count, dtype=np.float32)
        self._truncated = np.zeros(count, dtype=np.bool_)
        self._ended = np.zeros(count, dtype=np.bool_)
        self._levels = np.zeros(count)
        self._blank: list[dict[str, Any]] = [{}] * count
        self._generators = [seeding.np_random(None)[0] for _ in range(count)]
        super().__init__(count, gym.spaces.Box(-np.inf, np.inf, (width,), np.float32), action_space(actions))

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed account i with ``seed + i``, as from the next `reset`."""
        seeds = [None if seed is None else seed + i for i in range(self.num_envs)]
        self._generators = [seeding.np_random(s)[0] for s in seeds]
        return seeds

    def reset(self) -> Float32Array:
        """Begin an episode in every account; return the observations float32[N, D]."""
        observations = np.empty((self.num_envs, *self.observation_space.shape), dtype=np.float32)
        for block in self._blocks:
            for i in range(block.part.start, block.part.stop):
                self._begin(block, i, observations)
        return observations

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Take the actions of the next step: indices [N], or levels [N, 1]."""
        if self._map is not None:
            self._levels[:] = self._map[actions]
        else:
            np.clip(actions[:, 0], -1.0, 1.0, out=self._levels)

    def step_wait(self) -> tuple[Float32Array, Float32Array, BoolArray, list[dict[str, Any]]]:
        """Step every account; return observations, rewards, ends and infos."""
        observations = np.empty((self.num_envs, *self.observation_space.shape), dtype=np.float32)
        count = 0
        for block in self._blocks:
            count += _step_all(
                block.states,
                block.memories,
                block.rows,
                block.end_rows,
                self._levels[block.part],
                block.tape,
                block.rules,
                observations[block.part],
                self._rewards[block.part],
                self._truncated[block.part],
                self._ended[block.part],
            )
        infos = self._begin_next(observations) if count else self._blank
        return observations, self._rewards.copy(), self._ended.copy(), infos

    def _begin_next(self, observations: Float32Array) -> list[dict[str, Any]]:
        """Begin the next episode where one ended; return the infos."""
        infos = list(self._blank)
        for block in self._blocks:
            for i in np.flatnonzero(self._ended[block.part]) + block.part.start:
                infos[i] = {
                    "terminal_observation": observations[i].copy(),
                    "TimeLimit.truncated": bool(self._truncated[i]),
                }
                self._begin(block, int(i), observations)
        return infos

    def _begin(self, block: _Block, i: int, observations: Float32Array) -> None:
        own = i - block.part.start
        row, factor = draw_start(self._generators[i], block.starts, self._cost_range)
        block.rows[own], block.end_rows[own] = row, row + self._episode_bars
        _restart(block.states[own], block.memories[own], block.tape, row, factor, block.rules, observations[i])

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of all that determines the future, of plain arrays and numbers: it can be pickled.

        Between two steps; history and rules are not in it, but belong to whoever makes the environment again.
        """
        return {
            "blocks": [{name: array.copy() for name, array in block.accounts().items()} for block in self._blocks],
            "generators": [generator.bit_generator.state for generator in self._generators],
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on from a `snapshot` of an environment that was made from the same markets and settings.

        Raises
        ------
        ValueError
            For a snapshot of other accounts.
        """
        shapes = [{name: array.shape for name, array in kept.items()} for kept in snapshot["blocks"]]
        if shapes != [{name: array.shape for name, array in block.accounts().items()} for block in self._blocks]:
            raise ValueError("the snapshot is of another environment; make this one from the same markets and settings")
        for block, kept in zip(self._blocks, snapshot["blocks"], strict=True):
            for name, array in block.accounts().items():
                array[:] = kept[name]
        for generator, state in zip(self._generators, snapshot["generators"], strict=True):
            generator.bit_generator.state = state

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
