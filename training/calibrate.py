"""Confidence held to what came of it: one temperature, fitted on the votes over the validation range."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from adapters.network import CLIP, LOG_STD_HIGH, LOG_STD_LOW, Head, Network, tempered
from core.actions import decode_continuous, decode_discrete
from core.compiled import compiled
from core.ensemble import SIGNALLED, TallyParams, tally
from core.selection import Bin, Calibrated
from core.simulation import advance, start, state_size
from core.tape import R, Tape
from training.episode import Rules, write_observation
from training.evaluate import one_voter

__all__ = ["calibrate", "fit_temperature", "outputs_met"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_LOWEST, _HIGHEST = 0.25, 10.0
"""Bounds of the temperature: beyond them a network is to be trained anew, not corrected."""
_GRID = 41
_BINS = 10
_FEWEST_VOTES = 100
"""Fewer votes than this say nothing of a temperature."""
_SURE = 1e-6
"""A confidence is held this far from 0 and 1 where its logarithm is taken."""


def calibrate(
    network: Network,
    tapes: Sequence[Tape],
    rows: Sequence[tuple[int, int]],
    rules: Sequence[Rules],
    params: TallyParams,
    *,
    horizon_bars: int,
) -> tuple[Network, Calibrated]:
    """Return a network with the same votes whose confidence says how often they are right, and the proof.

    Parameters
    ----------
    network : Network
        As trained.
    tapes, rows, rules
        The history of each market, its validation rows (half-open), and its rules.
    params : TallyParams
        How the network's votes are traded alone: what it sees depends on what it holds.
    horizon_bars : int
        A vote is right where the close this many decision bars later lies in its direction.

    Returns
    -------
    tuple[Network, Calibrated]
        The temperature is in the last layer. On these rows the calibration error is never above what it was.

    Notes
    -----
    Flat votes, and those whose later close is missing or outside the rows, are not counted. The observations are those
    met with the confidence before calibration; another confidence may hold other positions.
    """
    outputs: list[FloatArray] = []
    moves: list[FloatArray] = []
    for tape, span, rule in zip(tapes, rows, rules, strict=True):
        met, said = outputs_met(network, tape, span, rule, one_voter(params))
        move = _moves(tape, met, span[1], horizon_bars)
        outputs.append(said[np.isfinite(move)])
        moves.append(move[np.isfinite(move)])
    found = fit_temperature(
        np.concatenate(outputs), np.concatenate(moves), network.head, rules[0].levels, horizon_bars=horizon_bars
    )
    return tempered(network, found.temperature), found


def fit_temperature(
    outputs: FloatArray, moves: FloatArray, head: Head, levels: FloatArray, *, horizon_bars: int
) -> Calibrated:
    """Return the temperature at which stated confidences fit outcomes best, with the reliability table.

    Parameters
    ----------
    outputs : float64[n, A]
        Of the last layer: logits, or mean and logarithm of the deviation.
    moves : float64[n]
        By what the price moved; only the sign is read, and a vote on no move is wrong.
    head : Head
        Of the network.
    levels : float64[A]
        The action map of a softmax head.
    horizon_bars : int
        Written into the answer.

    Returns
    -------
    Calibrated
        Ten bins of equal width over [0, 1], empty ones left out; without votes no bins and no errors. The temperature
        is that of the least log loss in [0.25, 10], and 1 where it would not lower the calibration error or fewer than
        100 votes speak for it.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    voted, confidence = _votes(outputs, head, levels, 1.0)
    counted = np.isfinite(voted) & (voted != 0.0)
    outputs, confidence = outputs[counted], confidence[counted]
    right = np.sign(voted[counted]) == np.sign(moves[counted])
    if len(outputs) == 0:
        return Calibrated(horizon_bars=horizon_bars, temperature=1.0, before=None, error=None, bins=())
    temperature = 1.0
    before = error = _error(_reliability(confidence, right), len(right))
    if len(outputs) >= _FEWEST_VOTES:
        best = _least_loss(outputs, right, head, levels)
        after = _votes(outputs, head, levels, best)[1]
        if _error(_reliability(after, right), len(right)) < before:
            temperature, confidence = best, after
    bins = _reliability(confidence, right)
    error = _error(bins, len(right))
    return Calibrated(horizon_bars=horizon_bars, temperature=temperature, before=before, error=error, bins=bins)


def outputs_met(
    network: Network, tape: Tape, rows: tuple[int, int], rules: Rules, params: TallyParams
) -> tuple[IntArray, FloatArray]:
    """Trade a network alone over a range and return what its last layer said on the way.

    Parameters
    ----------
    network, tape, rules, params
        As `training.evaluate.evaluate` takes them.
    rows : tuple[int, int]
        Half-open range of rows.

    Returns
    -------
    tuple[int64[k], float64[k, A]]
        The ready rows that were decided on, and the outputs there.
    """
    first, end = rows
    state = np.zeros(state_size(rules.params))
    start(state, tape, first, rules.starting_equity, rules.params)
    observation = np.empty(network.shape[0], dtype=np.float32)
    write_observation(state, tape, first, rules, observation)
    hidden: Float32Array = np.zeros(network.state_width, dtype=np.float32)
    ready = tape.ready
    met, said = [], []
    for row in range(first, end - 1):
        level, confidence = np.nan, 0.0
        if ready[row]:
            output, hidden = _output(network, observation, hidden)
            met.append(row)
            said.append(output.astype(np.float64))
            levels, confidences = _votes(said[-1][np.newaxis], network.head, rules.levels, 1.0)
            level, confidence = levels[0], confidences[0]
        _act(state, tape, row, rules, params, level, confidence, observation)
    return np.array(met, dtype=np.int64), np.array(said).reshape(-1, network.shape[-1])


@compiled
def _act(
    state: FloatArray,
    tape: Tape,
    row: int,
    rules: Rules,
    params: TallyParams,
    level: float,
    confidence: float,
    observation: Float32Array,
) -> None:
    """Act on one vote at ``row`` (NaN does not vote) and write what is seen at the next."""
    signal = tally(np.array([level]), np.array([confidence]), np.ones(1), params)
    tradable = signal.abstention == SIGNALLED
    advance(state, tape, row, signal.level, signal.confidence, tradable, rules.instrument, rules.params, rules.costs)
    write_observation(state, tape, row + 1, rules, observation)


def _output(network: Network, observation: Float32Array, state: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the last layer's sums for one observation, and the next recurrent state."""
    x = np.clip((observation - network.mean) * network.scale, np.float32(-CLIP), np.float32(CLIP))
    if network.lstm is not None:
        hidden, cell = np.split(state, 2)
        gates = x @ network.lstm.input_weights + hidden @ network.lstm.hidden_weights + network.lstm.bias
        i, f, g, o = np.split(gates, 4)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        x = _sigmoid(o) * np.tanh(cell)
        state = np.concatenate([x, cell])
    for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
        total = x @ weight + bias
        x = np.tanh(total) if network.activation == "Tanh" else np.maximum(total, np.float32(0.0))
    return x @ network.weights[-1] + network.biases[-1], state


def _sigmoid(x: Float32Array) -> Float32Array:
    return np.float32(0.5) * (np.tanh(np.float32(0.5) * x) + np.float32(1.0))


def _moves(tape: Tape, rows: IntArray, end: int, horizon_bars: int) -> FloatArray:
    """Return by what the close moved within ``horizon_bars`` after each row, NaN where ``end`` or a gap hides it."""
    later = rows + horizon_bars
    known = later < end
    later = np.where(known, later, rows)
    ts_close, close = tape.ts_close, tape.rows[:, R.close]
    bar_ns = int(np.diff(ts_close).min()) if len(ts_close) > 1 else 0
    whole = known & (ts_close[later] - ts_close[rows] == horizon_bars * bar_ns)
    return np.where(whole, close[later] - close[rows], np.nan)


def _votes(outputs: FloatArray, head: Head, levels: FloatArray, temperature: float) -> tuple[FloatArray, FloatArray]:
    """Return the votes that outputs [n, A] stand for at a temperature."""
    if head == "normal":
        log_std = np.clip(outputs[:, 1] + math.log(temperature), LOG_STD_LOW, LOG_STD_HIGH)
        return decode_continuous(np.column_stack([outputs[:, 0], np.exp(log_std)]))
    powers = np.exp((outputs - outputs.max(axis=1, keepdims=True)) / temperature)
    return decode_discrete(powers / powers.sum(axis=1, keepdims=True), levels)


def _least_loss(outputs: FloatArray, right: npt.NDArray[np.bool_], head: Head, levels: FloatArray) -> float:
    """Return the temperature within its bounds at which outcomes are least surprising."""

    def loss(temperature: float) -> float:
        confidence = np.clip(_votes(outputs, head, levels, temperature)[1], _SURE, 1.0 - _SURE)
        return -float(np.log(np.where(right, confidence, 1.0 - confidence)).mean())

    low, high = _LOWEST, _HIGHEST
    best = 1.0
    for _ in range(2):
        grid = np.geomspace(low, high, _GRID)
        place = int(np.argmin([loss(float(t)) for t in grid]))
        best = float(grid[place])
        low, high = float(grid[max(place - 1, 0)]), float(grid[min(place + 1, _GRID - 1)])
    return round(best, 4)


def _reliability(confidence: FloatArray, right: npt.NDArray[np.bool_]) -> tuple[Bin, ...]:
    """Return the bins that are not empty."""
    place = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    return tuple(
        Bin(count=int(own.sum()), confidence=float(confidence[own].mean()), hit_rate=float(right[own].mean()))
        for own in (place == number for number in range(_BINS))
        if own.any()
    )


def _error(bins: Sequence[Bin], votes: int) -> float:
    """Return the expected calibration error: the mean distance of confidence from hit rate, weighed by votes."""
    return sum(b.count * abs(b.confidence - b.hit_rate) for b in bins) / votes
