"""One account as a gymnasium environment, on the same compiled functions as trading."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from core.actions import ActionSpec
from core.costs import CostParams
from core.decision import DecisionParams
from core.errors import ConfigError, DataError
from core.simulation import X, state_size
from training.episode import (
    M,
    RewardWeights,
    Rules,
    act,
    begin,
    draw_start,
    mean_drift,
    start_rows,
    total,
    write_observation,
)
from training.hyperparameters import EpisodeParams
from training.market import MarketData

__all__ = ["TradingEnv", "action_space", "cost_range", "rules_of"]

Float32Array = npt.NDArray[np.float32]


def rules_of(
    market: MarketData,
    params: DecisionParams,
    costs: CostParams,
    actions: ActionSpec,
    episode: EpisodeParams,
    rows: tuple[int, int],
) -> Rules:
    """Return the rules of an environment whose episodes lie in a half-open range of rows."""
    weights = RewardWeights(
        scale=episode.reward_scale,
        growth=episode.growth_weight,
        drawdown=episode.drawdown_weight,
        turnover=episode.turnover_weight,
        drift=episode.drift_weight,
        sharpe=episode.sharpe_weight,
        sharpe_rate=episode.sharpe_rate,
    )
    return Rules(
        instrument=market.instrument,
        params=params,
        costs=costs,
        weights=weights,
        levels=np.array(actions.levels, dtype=np.float64),
        starting_equity=episode.starting_equity,
        ruin=episode.ruin,
        drift=mean_drift(market.tape, *rows),
    )


def action_space(actions: ActionSpec) -> Any:
    """Return the space of one account's actions: an index of the map, or a level."""
    if actions.kind == "discrete":
        return gym.spaces.Discrete(len(actions.levels))
    return gym.spaces.Box(-1.0, 1.0, (1,), np.float32)


def cost_range(episode: EpisodeParams) -> tuple[float, float]:
    """Return the range of an episode's costs, as multiples of the configured ones.

    Raises
    ------
    ConfigError
        Where it falls.
    """
    if episode.cost_low > episode.cost_high:
        raise ConfigError(
            f"environment.cost_low is {episode.cost_low}, above cost_high {episode.cost_high}; exchange them"
        )
    return episode.cost_low, episode.cost_high


class TradingEnv(gym.Env):  # type: ignore[misc]  # gymnasium is followed by no type checker here
    """Trade one instrument, one decision a closed bar.

    ## Description

    An account moves through real history under the fill rule, the exits, the sizing, the gate and the costs of trading
    (`core.simulation`): an action is a wish that the same code turns into a position as live.

    ## Action Space

    ``Discrete(A)``: the index of a level in the action map, e.g. short, half short, flat, half long, long. With a
    continuous action map ``Box(-1, 1, (1,), float32)``: the level itself, clipped. It is taken with confidence 1.

    ## Observation Space

    ``Box(float32[D])``: the features of the closed bar and the account's own position (`core.observation`), not
    normalised.

    ## Starting State

    A random row of the range whose features are ready, drawn by the seed; flat, with the starting equity in cash.
    Then the episode's costs are drawn: all of them the configured ones times one factor, uniform between ``cost_low``
    and ``cost_high``. ``options={"row": k, "cost_factor": f}`` sets either.

    ## Reward

    The sum of the terms in ``info["reward_terms"]`` (`training.episode.Terms`), each with its own weight: change of log
    equity marked to market, after fees, spread, slippage and funding; growth of the episode's drawdown; turnover; drift
    of the range; differential Sharpe ratio.

    ## Episode End

    Terminated when equity is at or below ``ruin`` times the starting equity; at leverage 1 and at most half the equity
    in the market a liquidation cannot come first. Truncated after ``episode_bars`` decisions.

    ## Version History

    * v2: continuous actions, costs that vary from episode to episode, differential Sharpe ratio, weight of the growth.
    * v1: first version.

    Parameters
    ----------
    market : MarketData
        History of one instrument.
    params, costs
        Limits and costs, as `configs.AppConfig` gives them.
    actions : ActionSpec
        Discrete or continuous.
    episode : EpisodeParams
        Length, equity, range of costs and reward weights.
    rows : tuple[int, int], optional
        Half-open range of rows in which episodes lie; all by default.

    Raises
    ------
    DataError
        Where no episode fits into the range.
    ConfigError
        Where the range of costs falls.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(
        self,
        market: MarketData,
        *,
        params: DecisionParams,
        costs: CostParams,
        actions: ActionSpec,
        episode: EpisodeParams,
        rows: tuple[int, int] | None = None,
    ) -> None:
        self._tape = market.tape
        first, end = rows or (0, len(market.tape.ts_close))
        self._rules = rules_of(market, params, costs, actions, episode, (first, end))
        self._episode_bars = episode.episode_bars
        self._starts = start_rows(market.tape, first, end, episode.episode_bars)
        if len(self._starts) == 0:
            raise DataError(
                f"{market.instrument_id}: no episode of {episode.episode_bars} decision bars fits into "
                f"{end - first} rows after the warm-up; give a longer range"
            )
        self._cost_range = cost_range(episode)
        width = market.tape.features.shape[1] + 5
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = action_space(actions)
        self._discrete = actions.kind == "discrete"
        self._state = np.zeros(state_size(params))
        self._memory = np.zeros(len(M))
        self._row = self._end_row = -1

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode; return its first observation, and its row and costs."""
        super().reset(seed=seed)
        chosen = options or {}
        row, factor = draw_start(self.np_random, self._starts, self._cost_range)
        self._row = int(chosen.get("row", row))
        self._end_row = self._row + self._episode_bars
        factor = float(chosen.get("cost_factor", factor))
        begin(self._state, self._memory, self._tape, self._row, factor, self._rules)
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Decide; return observation, reward, terminated, truncated and what the reward is made of."""
        level = self._rules.levels[int(action)] if self._discrete else np.clip(np.float64(action[0]), -1.0, 1.0)
        terms, ruined = act(self._state, self._memory, self._tape, self._row, level, self._rules)
        self._row += 1
        truncated = not ruined and self._row >= self._end_row
        info = self._info() | {"reward_terms": terms._asdict()}
        return self._observation(), total(terms), bool(ruined), truncated, info

    def _observation(self) -> Float32Array:
        out = np.empty(self.observation_space.shape, dtype=np.float32)
        write_observation(self._state, self._tape, self._row, self._rules, out)
        return out

    def _info(self) -> dict[str, Any]:
        state = self._state
        return {
            "row": self._row,
            "ts_close": int(self._tape.ts_close[self._row]),
            "equity": float(state[X.equity]),
            "lots": int(state[X.lots]),
            "cost_factor": float(self._memory[M.cost_factor]),
        }
