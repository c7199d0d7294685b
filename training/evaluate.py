"""Networks traded through history by the live rules: decode, tally, decide; compiled, one row after the other."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.network import Network
from core.actions import decode_continuous, decode_discrete
from core.compiled import compiled
from core.ensemble import SIGNALLED, TallyParams, tally
from core.performance import EquityCurve, daily_returns, max_drawdown, sharpe
from core.simulation import X, advance, start, state_size
from core.tape import R, Tape
from training.episode import Rules, write_observation
from training.packed import K, Packed, answer, pack

__all__ = ["Evaluation", "evaluate", "one_voter"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class Evaluation(NamedTuple):
    """What trading a range of k rows came to.

    ``equity`` float64[k] and ``lots`` int64[k] at each row; ``levels``, ``confidences`` float64[k - 1] the signal that
    was decided on at each row but the last (NaN and 0 where there was none), and ``targets`` int64[k - 1] the lots it
    became; ``daily`` float64[d] the daily returns (`core.performance`).

    ``total_return`` and ``max_drawdown`` fractions; ``sharpe`` annualised from daily returns (0 where they do not
    vary); ``fees``, ``funding`` (paid > 0) and ``turnover`` in multiples of the starting equity; ``fills`` count;
    ``exposed`` share of rows with a position and ``long`` share of those that were long (0 without any).
    """

    equity: FloatArray
    lots: IntArray
    levels: FloatArray
    confidences: FloatArray
    targets: IntArray
    daily: FloatArray
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
        """Return everything but the arrays, rounded for people."""
        figures = self._asdict().items()
        return {name: round(float(value), 6) for name, value in figures if not isinstance(value, np.ndarray)}


def one_voter(params: TallyParams) -> TallyParams:
    """Return the rules of a tally for a single model: a quorum of one, all else alike."""
    return params._replace(quorum=1)


def evaluate(
    networks: Sequence[Network], tape: Tape, rows: tuple[int, int], rules: Rules, params: TallyParams
) -> Evaluation:
    """Trade an ensemble of networks over a range of rows and measure the outcome.

    Parameters
    ----------
    networks : Sequence[Network]
        Of any kinds and shapes; those with a softmax head have the action map ``rules.levels``. Recurrent ones know
        nothing before the first row, and see the ready rows alone.
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
        For no network, one that does not fit the tape or the action map, or fewer than two rows.
    """
    first, end = rows
    if not networks or end - first < 2:
        raise ValueError(f"{len(networks)} networks over rows {first} to {end}: nothing can be evaluated")
    width = tape.features.shape[1] + 5
    for network in networks:
        actions = len(rules.levels) if network.head == "softmax" else 2
        if network.shape[0] != width or network.shape[-1] != actions:
            raise ValueError(f"a network of shape {network.shape} does not turn {width} inputs into {actions} outputs")
    path, signals = _trade(tape, first, end, rules, params, pack(networks))
    return _measured(path, signals, tape.ts_close[first:end], rules.starting_equity)


def _measured(path: FloatArray, signals: FloatArray, ts_close: IntArray, starting_equity: float) -> Evaluation:
    equity, lots, last = path[:, X.equity].copy(), path[:, X.lots].astype(np.int64), path[-1]
    curve = EquityCurve(ts_close, equity)
    held = lots != 0
    return Evaluation(
        equity=equity,
        lots=lots,
        levels=signals[:, 0],
        confidences=signals[:, 1],
        targets=signals[:, 2].astype(np.int64),
        daily=daily_returns(curve)[1],
        total_return=float(equity[-1] / starting_equity - 1.0),
        max_drawdown=max_drawdown(curve) or 0.0,
        sharpe=sharpe(curve) or 0.0,
        fees=float(last[X.fees] / starting_equity),
        funding=float(last[X.funding] / starting_equity),
        turnover=float(last[X.turnover] / starting_equity),
        fills=float(last[X.fills]),
        exposed=float(held.mean()),
        long=float((lots[held] > 0).mean()) if held.any() else 0.0,
    )


@compiled
def _trade(
    tape: Tape, first: int, end: int, rules: Rules, params: TallyParams, packed: Packed
) -> tuple[FloatArray, FloatArray]:
    """Return the account at each row, float64[k, len(State)], and each signal with its target, float64[k - 1, 3]."""
    models = packed.models.shape[0]
    state = np.zeros(state_size(rules.params))
    start(state, tape, first, rules.starting_equity, rules.params)
    path, signals = np.empty((end - first, len(X))), np.empty((end - first - 1, 3))
    path[0] = state[: len(X)]
    observation = np.empty(tape.features.shape[1] + 5, dtype=np.float32)
    memory = np.zeros(packed.states, dtype=np.float32)
    scratch, said = np.empty((2, packed.widest), dtype=np.float32), np.empty((1, packed.widest))
    levels, confidences, weights = np.empty(models), np.empty(models), np.ones(models)
    for row in range(first, end - 1):
        level, confidence, tradable = 0.0, 0.0, False
        if tape.rows[row, R.ready] == 1.0:
            write_observation(state, tape, row, rules, observation)
            for m in range(models):
                count = answer(packed, m, observation, memory, scratch, said[0])
                if packed.models[m, K.normal] == 1:
                    vote, trust = decode_continuous(said[:, :count])
                else:
                    vote, trust = decode_discrete(said[:, :count], rules.levels)
                levels[m], confidences[m] = vote[0], trust[0]
            result = tally(levels, confidences, weights, params)
            level, confidence, tradable = result.level, result.confidence, result.abstention == SIGNALLED
        decided = advance(state, tape, row, level, confidence, tradable, rules.instrument, rules.params, rules.costs)
        path[row - first + 1] = state[: len(X)]
        signals[row - first, 0] = level if tradable else np.nan
        signals[row - first, 1] = confidence if tradable else 0.0
        signals[row - first, 2] = decided.target_lots
    return path, signals
