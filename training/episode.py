"""One decision of one account, as the environments see it: level, history, reward, observation.

`training.env` and `training.vec_env` both call these functions, one account at a time or all at once.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import inlined
from core.costs import CostParams
from core.decision import DecisionParams
from core.observation import observe, position_inputs
from core.simulation import X, advance, start
from core.situation import Instrument
from core.tape import R, Tape

__all__ = [
    "SHARPE_LIMIT",
    "M",
    "Memory",
    "RewardWeights",
    "Rules",
    "Terms",
    "act",
    "begin",
    "draw_start",
    "mean_drift",
    "start_rows",
    "total",
    "write_observation",
]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

SHARPE_LIMIT = 10.0
"""Largest differential Sharpe ratio: the first return after a long rest would have one without bound."""


class RewardWeights(NamedTuple):
    """``scale`` of everything; weights of the terms (`Terms`); ``sharpe_rate`` in (0, 1] at which the ratio forgets."""

    scale: float
    growth: float
    drawdown: float
    turnover: float
    drift: float
    sharpe: float
    sharpe_rate: float


class Rules(NamedTuple):
    """What does not change within a training: filters, limits, costs, rewards, action map, equity to begin with.

    ``levels`` float64[A]: the signed level of each discrete action; ``ruin``: share of the starting equity that ends an
    episode; ``drift``: mean log return a row of the range that is trained on (`mean_drift`).
    """

    instrument: Instrument
    params: DecisionParams
    costs: CostParams
    weights: RewardWeights
    levels: FloatArray
    starting_equity: float
    ruin: float
    drift: float


class Memory(NamedTuple):
    """Places of what an episode remembers of one account beside its state, float64.

    ``peak``: highest equity so far; ``mean`` and ``square``: moving averages of the change of log equity and of its
    square; ``cost_factor``: the episode's costs are those of the rules times this.
    """

    peak: int
    mean: int
    square: int
    cost_factor: int


M = Memory(*range(len(Memory._fields)))
"""Places of the memory by name."""


class Terms(NamedTuple):
    """The reward is the sum of these. Costs, funding and slippage are in the first.

    The drift adjustment takes back what the position earned from the mean drift of the range: that a market fell for a
    year is no skill, and a policy that is paid for it learns to be short for ever. The differential Sharpe ratio says
    what the last change of log equity did to a Sharpe ratio of exponentially forgotten changes.

    References
    ----------
    Moody and Saffell, Learning to trade via direct reinforcement, IEEE Transactions on Neural Networks 12(4), 2001.
    """

    log_equity_change: float
    drawdown_penalty: float
    turnover_penalty: float
    drift_adjustment: float
    differential_sharpe: float


@inlined
def begin(state: FloatArray, memory: FloatArray, tape: Tape, row: int, cost_factor: float, rules: Rules) -> None:
    """Begin an episode at the close of ``row`` with an account (`core.simulation.start`) that remembers nothing."""
    start(state, tape, row, rules.starting_equity, rules.params)
    memory[M.peak] = rules.starting_equity
    memory[M.mean] = 0.0
    memory[M.square] = 0.0
    memory[M.cost_factor] = cost_factor


@inlined
def act(state: FloatArray, memory: FloatArray, tape: Tape, row: int, level: float, rules: Rules) -> tuple[Terms, bool]:
    """Want a level at ``row`` with full confidence; return the reward's terms, and whether the account is ruined.

    ``state`` (`core.simulation.State`) moves to ``row + 1``, ``memory`` (`Memory`) with it. A level of NaN wants
    nothing new. The gate plans with the configured costs, whatever those of the episode are, as it does in trading.
    """
    before, turnover = state[X.equity], state[X.turnover]
    factor = memory[M.cost_factor]
    costs = CostParams(rules.costs.taker * factor, rules.costs.maker * factor, rules.costs.away * factor)
    advance(state, tape, row, level, 1.0, not np.isnan(level), rules.instrument, rules.params, costs)
    equity, weights = state[X.equity], rules.weights
    growth = np.log(max(equity, 1e-9) / before)
    peak = memory[M.peak]
    memory[M.peak] = max(peak, equity)
    deeper = max((1.0 - equity / memory[M.peak]) - (1.0 - before / peak), 0.0)
    exposure = state[X.lots] * rules.instrument.lot * tape.rows[row, R.close] / before
    sharpe = _differential_sharpe(memory, growth, weights.sharpe_rate) if weights.sharpe > 0.0 else 0.0
    terms = Terms(
        weights.scale * weights.growth * growth,
        -weights.scale * weights.drawdown * deeper,
        -weights.scale * weights.turnover * (state[X.turnover] - turnover) / before,
        -weights.scale * weights.drift * exposure * rules.drift,
        weights.scale * weights.sharpe * sharpe,
    )
    return terms, not equity > rules.ruin * rules.starting_equity


@inlined
def _differential_sharpe(memory: FloatArray, growth: float, rate: float) -> float:
    """Return D_t of Moody and Saffell's equation and move A and B on; 0 while the returns have not varied."""
    mean, square = memory[M.mean], memory[M.square]
    to_mean, to_square = growth - mean, growth * growth - square
    memory[M.mean] = mean + rate * to_mean
    memory[M.square] = square + rate * to_square
    variance = square - mean * mean
    if not variance > 1e-18:
        return 0.0
    ratio = (square * to_mean - 0.5 * mean * to_square) / (variance * np.sqrt(variance))
    return float(max(min(ratio, SHARPE_LIMIT), -SHARPE_LIMIT))


@inlined
def total(terms: Terms) -> float:
    """Return the reward."""
    growth, drawdown, turnover, drift, sharpe = terms
    return growth + drawdown + turnover + drift + sharpe


@inlined
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


def draw_start(generator: np.random.Generator, starts: IntArray, costs: tuple[float, float]) -> tuple[int, float]:
    """Return the row at which an episode begins and the factor of its costs, drawn from their ranges."""
    return int(starts[generator.integers(len(starts))]), float(generator.uniform(*costs))


def start_rows(tape: Tape, first: int, end: int, episode_bars: int) -> IntArray:
    """Return the rows in [first, end) at which an episode may begin: ready, and whole before ``end``."""
    rows = np.arange(first, max(end - episode_bars, first), dtype=np.int64)
    return rows[tape.ready[rows]]


def mean_drift(tape: Tape, first: int, end: int) -> float:
    """Return the mean log return a row of the closes in [first, end); 0 for fewer than two rows."""
    closes = tape.rows[first:end, R.close]
    return float(np.log(closes[-1] / closes[0]) / (len(closes) - 1)) if len(closes) > 1 else 0.0
