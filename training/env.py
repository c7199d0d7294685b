"""One account as a gymnasium environment, on the same compiled functions as trading."""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from core.actions import ActionSpec
from core.costs import CostParams
from core.decision import DecisionParams
from core.errors import ConfigError, DataError
from core.simulation import X, start, state_size
from training.episode import RewardWeights, Rules, act, mean_drift, start_rows, write_observation
from training.hyperparameters import EpisodeParams
from training.market import MarketData

__all__ = ["TradingEnv", "rules_of"]

Float32Array = npt.NDArray[np.float32]


def rules_of(
    market: MarketData,
    params: DecisionParams,
    costs: CostParams,
    actions: ActionSpec,
    episode: EpisodeParams,
    rows: tuple[int, int],
) -> Rules:
    """Return the rules of an environment whose episodes lie in a half-open range of rows.

    Raises
    ------
    ConfigError
        For an action map that is not discrete.
    """
    if actions.kind != "discrete":
        raise ConfigError(f"actions.kind is {actions.kind!r}; training knows discrete actions alone")
    weights = RewardWeights(
        episode.reward_scale, episode.drawdown_weight, episode.turnover_weight, episode.drift_weight
    )
    levels = np.array(actions.levels, dtype=np.float64)
    return Rules(
        instrument=market.instrument,
        params=params,
        costs=costs,
        weights=weights,
        levels=levels,
        starting_equity=episode.starting_equity,
        ruin=episode.ruin,
        drift=mean_drift(market.tape, *rows),
    )


class TradingEnv(gym.Env):  # type: ignore[misc]  # gymnasium is followed by no type checker here
    """Trade one instrument, one decision a closed bar.

    ## Description

    An account moves through real history under the fill rule, the exits, the sizing, the gate and the costs of trading
    (`core.simulation`): an action is a wish that the same code turns into a position as live.

    ## Action Space

    ``Discrete(A)``: the index of a level in the action map, e.g. short, half short, flat, half long, long. It is taken
    with confidence 1.

    ## Observation Space

    ``Box(float32[D])``: the features of the closed bar and the account's own position (`core.observation`), not
    normalised.

    ## Starting State

    A random row of the range whose features are ready, drawn by the seed; flat, with the starting equity in cash.
    ``options={"row": k}`` starts at row k.

    ## Reward

    The sum of the terms in ``info["reward_terms"]`` (`training.episode.Terms`): change of log equity marked to market,
    after fees, spread, slippage and funding; growth of the episode's drawdown; turnover; drift of the range.

    ## Episode End

    Terminated when equity is at or below ``ruin`` times the starting equity; at leverage 1 and at most half the equity
    in the market a liquidation cannot come first. Truncated after ``episode_bars`` decisions.

    ## Version History

    * v1: first version.

    Parameters
    ----------
    market : MarketData
        History of one instrument.
    params, costs
        Limits and costs, as `configs.AppConfig` gives them.
    actions : ActionSpec
        Discrete.
    episode : EpisodeParams
        Length, equity and reward weights.
    rows : tuple[int, int], optional
        Half-open range of rows in which episodes lie; all by default.

    Raises
    ------
    DataError
        Where no episode fits into the range.
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
        width = market.tape.features.shape[1] + 5
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = gym.spaces.Discrete(len(actions.levels))
        self._state = np.zeros(state_size(params))
        self._row = self._end_row = -1
        self._peak = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32Array, dict[str, Any]]:
        """Begin an episode; return its first observation and its row."""
        super().reset(seed=seed)
        drawn = self._starts[self.np_random.integers(len(self._starts))]
        self._row = int((options or {}).get("row", drawn))
        self._end_row = self._row + self._episode_bars
        self._peak = self._rules.starting_equity
        start(self._state, self._tape, self._row, self._rules.starting_equity, self._rules.params)
        return self._observation(), self._info()

    def step(self, action: int) -> tuple[Float32Array, float, bool, bool, dict[str, Any]]:
        """Decide; return observation, reward, terminated, truncated and what the reward is made of."""
        terms, self._peak, ruined = act(self._state, self._peak, self._tape, self._row, int(action), self._rules)
        self._row += 1
        truncated = not ruined and self._row >= self._end_row
        info = self._info() | {"reward_terms": terms._asdict()}
        return self._observation(), float(sum(terms)), bool(ruined), truncated, info

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
        }
