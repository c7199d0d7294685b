"""One decision of one account, as the environments see it: action, history, reward, observation.

`training.env` and `training.vec_env` both call these compiled functions, one account at a time or all at once.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import compiled
from core.costs import CostParams
from core.decision import DecisionParams, Instrument
from core.observation import observe, position_inputs
from core.simulation import X, advance
from core.tape import R, Tape

__all__ = ["RewardWeights", "Rules", "Terms", "act", "mean_drift", "start_rows", "write_observation"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]


class RewardWeights(NamedTuple):
    """``scale`` of everything; weights of drawdown growth, of turnover and of the drift (`Terms`)."""

    scale: float
    drawdown: float
    turnover: float
    drift: float


class Rules(NamedTuple):
    """What does not change within a training: filters, limits, costs, rewards, action map, equity to begin with.

    ``levels`` float64[A]: the signed level of each action; ``ruin``: share of the starting equity that ends an episode;
    ``drift``: mean log return a row of the range that is trained on (`mean_drift`).
    """

    instrument: Instrument
    params: DecisionParams
    costs: CostParams
    weights: RewardWeights
    levels: FloatArray
    starting_equity: float
    ruin: float
    drift: float


class Terms(NamedTuple):
    """The reward is the sum of these. Costs, funding and slippage are in the first.

    The last takes back what the position earned from the mean drift of the range: that a market fell for a year is no
    skill, and a policy that is paid for it learns to be short for ever.
    """

    log_equity_change: float
    drawdown_penalty: float
    turnover_penalty: float
    drift_adjustment: float


@compiled
def act(state: FloatArray, peak: float, tape: Tape, row: int, action: int, rules: Rules) -> tuple[Terms, float, bool]:
    """Take an action at ``row`` with full confidence; return the reward's terms, the new peak equity, and ruin.

    ``state`` (`core.simulation.State`) moves to ``row + 1``. ``peak`` is the highest equity of the episode so far.
    """
    before, turnover = state[X.equity], state[X.turnover]
    advance(state, tape, row, rules.levels[action], 1.0, True, rules.instrument, rules.params, rules.costs)
    equity = state[X.equity]
    ruined = not equity > rules.ruin * rules.starting_equity
    growth = np.log(max(equity, 1e-9) / before)
    grown = max(peak, equity)
    deeper = max((1.0 - equity / grown) - (1.0 - before / peak), 0.0)
    scale = rules.weights.scale
    exposure = state[X.lots] * rules.instrument.lot * tape.rows[row, R.close] / before
    terms = Terms(
        scale * growth,
        -scale * rules.weights.drawdown * deeper,
        -scale * rules.weights.turnover * (state[X.turnover] - turnover) / before,
        -scale * rules.weights.drift * exposure * rules.drift,
    )
    return terms, grown, ruined


@compiled
def write_observation(state: FloatArray, tape: Tape, row: int, rules: Rules, out: Float32Array) -> None:
    """Write what a policy sees at ``row`` into ``out`` float32[F + 5]."""
    exposure, unrealised, holding, stop_distance, drawdown = position_inputs(
        tape.rows[row, R.close],
        tape.rows[row, R.atr],
        int(state[X.lots]),
        state[X.entry_price],
        state[X.stop_price],
        int(state[X.holding_bars]),
        rules.instrument.lot,
        state[X.equity],
        state[X.drawdown],
        rules.params.exits.max_holding_bars,
    )
    observe(tape.features[row], exposure, unrealised, holding, stop_distance, drawdown, out)


def start_rows(tape: Tape, first: int, end: int, episode_bars: int) -> npt.NDArray[np.int64]:
    """Return the rows in [first, end) at which an episode may begin: ready, and whole before ``end``."""
    rows = np.arange(first, max(end - episode_bars, first), dtype=np.int64)
    return rows[tape.ready[rows]]


def mean_drift(tape: Tape, first: int, end: int) -> float:
    """Return the mean log return a row of the closes in [first, end); 0 for fewer than two rows."""
    closes = tape.rows[first:end, R.close]
    return float(np.log(closes[-1] / closes[0]) / (len(closes) - 1)) if len(closes) > 1 else 0.0
