"""Networks traded through history by the live rules: decode, tally, decide; compiled, one row after the other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.network import CLIP, Network
from core.actions import decode_discrete
from core.compiled import compiled
from core.ensemble import SIGNALLED, TallyParams, tally
from core.simulation import X, advance, start
from core.tape import R, Tape
from training.episode import Rules, write_observation

__all__ = ["Evaluation", "evaluate", "one_voter"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]


class Evaluation(NamedTuple):
    """What trading a range came to.

    ``equity`` float64[k] at each row; ``total_return`` and ``max_drawdown`` fractions; ``sharpe`` annualised from
    daily returns (365 days, no risk-free rate; 0 where they do not vary); ``fees``, ``funding`` (paid > 0) and
    ``turnover`` in multiples of the starting equity; ``fills`` count; ``exposed`` share of rows with a position and
    ``long`` share of those that were long (0 without any).
    """

    equity: FloatArray
    total_return: float
    max_drawdown: float
    sharpe: float
    fees: float
    funding: float
    turnover: float
    fills: float
    exposed: float
    long: float

    def figures(self) -> dict[str, float]:
        """Return everything but the curve, rounded for people."""
        return {name: round(float(value), 6) for name, value in self._asdict().items() if name != "equity"}


def one_voter(params: TallyParams) -> TallyParams:
    """Return the rules of a tally for a single model: a quorum of one, all else alike."""
    return params._replace(quorum=1)


def evaluate(
    networks: Sequence[Network], tape: Tape, rows: tuple[int, int], rules: Rules, params: TallyParams
) -> Evaluation:
    """Trade an ensemble of networks of one shape over a range of rows and measure the outcome.

    Parameters
    ----------
    networks : Sequence[Network]
        All with the action map ``rules.levels``.
    tape : Tape
        Features not normalised.
    rows : tuple[int, int]
        Half-open range, at least two rows.
    rules : Rules
        Filters, limits, costs, starting equity.
    params : TallyParams
        How votes become a signal; all weights 1.

    Raises
    ------
    ValueError
        For networks of different shapes or fewer than two rows.
    """
    first, end = rows
    if len({(n.shape, n.activation) for n in networks}) != 1 or end - first < 2:
        raise ValueError(f"{len(networks)} networks over rows {first} to {end} cannot be evaluated together")
    layers = range(len(networks[0].weights))
    path = _trade(
        tape,
        first,
        end,
        rules,
        params,
        np.stack([n.mean for n in networks]),
        np.stack([n.scale for n in networks]),
        tuple(np.stack([n.weights[i] for n in networks]) for i in layers),
        tuple(np.stack([n.biases[i] for n in networks]) for i in layers),
        networks[0].activation == "Tanh",
    )
    return _measured(path, tape.ts_close[first:end], rules.starting_equity)


def _measured(path: FloatArray, ts_close: npt.NDArray[np.int64], starting_equity: float) -> Evaluation:
    equity, lots, last = path[:, X.equity], path[:, X.lots], path[-1]
    day = (ts_close - 1) // 86_400_000_000_000
    daily = equity[np.append(np.flatnonzero(np.diff(day)), len(day) - 1)]
    returns = np.diff(daily) / daily[:-1]
    spread = float(np.std(returns, ddof=1)) if len(returns) > 1 else 0.0
    held = lots != 0.0
    return Evaluation(
        equity=equity,
        total_return=float(equity[-1] / starting_equity - 1.0),
        max_drawdown=float(np.max(1.0 - equity / np.maximum.accumulate(equity))),
        sharpe=float(np.mean(returns) / spread * np.sqrt(365.0)) if spread > 0.0 else 0.0,
        fees=float(last[X.fees] / starting_equity),
        funding=float(last[X.funding] / starting_equity),
        turnover=float(last[X.turnover] / starting_equity),
        fills=float(last[X.fills]),
        exposed=float(held.mean()),
        long=float((lots[held] > 0.0).mean()) if held.any() else 0.0,
    )


@compiled
def _layer(x: Float32Array, weights: Float32Array, biases: Float32Array, out: Float32Array) -> None:
    """Write ``x @ weights + biases`` into ``out``."""
    for j in range(biases.shape[0]):
        out[j] = biases[j]
    for i in range(x.shape[0]):
        for j in range(biases.shape[0]):
            out[j] += x[i] * weights[i, j]


@compiled
def _trade(
    tape: Tape,
    first: int,
    end: int,
    rules: Rules,
    params: TallyParams,
    mean: Float32Array,
    scale: Float32Array,
    weights: tuple[Float32Array, ...],
    biases: tuple[Float32Array, ...],
    tanh: bool,  # noqa: FBT001
) -> FloatArray:
    """Return the state of the account at each row, float64[end - first, len(State)]."""
    models, width = mean.shape
    actions = rules.levels.shape[0]
    state = np.zeros(len(X) + max(rules.params.risk.max_entries_per_day, 1))
    start(state, tape, first, rules.starting_equity, rules.params)
    path = np.empty((end - first, len(X)))
    path[0] = state[: len(X)]
    observation = np.empty(width, dtype=np.float32)
    probabilities = np.empty((models, actions))
    voters = np.ones(models)
    for row in range(first, end - 1):
        level, confidence, tradable = 0.0, 0.0, False
        if tape.rows[row, R.ready] == 1.0:
            write_observation(state, tape, row, rules, observation)
            for m in range(models):
                x = np.empty(width, dtype=np.float32)
                for i in range(width):
                    value = (observation[i] - mean[m, i]) * scale[m, i]
                    x[i] = min(max(value, np.float32(-CLIP)), np.float32(CLIP))
                for i in range(len(weights)):
                    out = np.empty(biases[i].shape[1], dtype=np.float32)
                    _layer(x, weights[i][m], biases[i][m], out)
                    if i < len(weights) - 1:
                        for j in range(out.shape[0]):
                            out[j] = np.tanh(out[j]) if tanh else max(out[j], np.float32(0.0))
                    x = out
                highest = x.max()
                total = 0.0
                for j in range(actions):
                    probabilities[m, j] = np.exp(x[j] - highest)
                    total += probabilities[m, j]
                for j in range(actions):
                    probabilities[m, j] /= total
            levels, confidences = decode_discrete(probabilities, rules.levels)
            result = tally(levels, confidences, voters, params)
            level, confidence, tradable = result.level, result.confidence, result.abstention == SIGNALLED
        advance(state, tape, row, level, confidence, tradable, rules.instrument, rules.params, rules.costs)
        path[row - first + 1] = state[: len(X)]
    return path
