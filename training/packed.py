"""Networks of any kinds laid out for compiled code, so that replaying them waits for no call into a library.

Theory of operation. Of an observation only the position depends on what was decided before. So the part of the
normalised features in every first layer, which is most of the work, is one matrix product for many rows at once
(`fed`); a row's own work is five position inputs and the layers after them (`answer`), which are loops over one flat
array of weights. The graph of `adapters.network_graph` says the same to 2e-6, as do float32 sums in any other order;
a test holds one to the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.network import CLIP, LOG_STD_HIGH, LOG_STD_LOW, Network
from core.compiled import inlined
from core.observation import POSITION_COLUMNS

__all__ = ["K", "Packed", "Place", "answer", "fed", "pack"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_OWN = len(POSITION_COLUMNS)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)
_LOW, _HIGH = np.float32(-CLIP), np.float32(CLIP)

# tanh as a quotient of polynomials on [-9, 9], as ONNX Runtime computes it (Eigen's generic_fast_tanh_float): within
# 4e-7 of the truth, and without a branch, so that a whole layer is computed at once.
_BOUND = np.float32(9.0)
_P1, _P3 = np.float32(4.89352455891786e-03), np.float32(6.37261928875436e-04)
_P5, _P7 = np.float32(1.48572235717979e-05), np.float32(5.12229709037114e-08)
_P9, _P11 = np.float32(-8.60467152213735e-11), np.float32(2.00018790482477e-13)
_P13 = np.float32(-2.76076847742355e-16)
_Q0, _Q2 = np.float32(4.89352518554385e-03), np.float32(2.26843463243900e-03)
_Q4, _Q6 = np.float32(1.18534705686654e-04), np.float32(1.19825839466702e-06)


class Place(NamedTuple):
    """Columns of `Packed.models`: where a model's parts are.

    ``fed`` and ``width``: its columns in the rows that are fed; ``own``: weights of the position inputs, followed by
    their means and scales; ``hidden``: width of the recurrent state (0 = none), ``recurrent`` its weights, ``state``
    its place among all states; ``layer`` and ``end``: rows of `Packed.layers`; ``tanh`` and ``normal``: 0 or 1.
    """

    fed: int
    width: int
    own: int
    hidden: int
    recurrent: int
    state: int
    layer: int
    end: int
    tanh: int
    normal: int


K = Place(*range(len(Place._fields)))
"""Columns of the models by name."""


class Packed(NamedTuple):
    """N networks as flat arrays.

    ``weights`` float32[w]; ``models`` int64[N, len(Place)]; ``layers`` int64[L, 4]: where the weights [inputs, outputs]
    and the biases are, inputs, outputs. ``widest``: width of the widest layer; ``states``: of all recurrent states.
    """

    weights: Float32Array
    models: IntArray
    layers: IntArray
    widest: int
    states: int


def pack(networks: Sequence[Network]) -> Packed:
    """Lay networks out; they may differ in everything but the observation."""
    parts: list[Float32Array] = []
    models: list[Place] = []
    layers: list[tuple[int, int, int, int]] = []
    filled = fed_width = states = 0

    def put(*tensors: Float32Array) -> int:
        nonlocal filled
        place = filled
        for tensor in tensors:
            parts.append(tensor.ravel())
            filled += tensor.size
        return place

    for network in networks:
        first = _first(network)[0]
        hidden = 0 if network.lstm is None else network.lstm.width
        rest = range(0 if network.lstm is not None else 1, len(network.weights))
        begin = len(layers)
        layers += [(put(network.weights[i]), put(network.biases[i]), *network.weights[i].shape) for i in rest]
        models.append(
            Place(
                fed=fed_width,
                width=first.shape[1],
                own=put(first[-_OWN:], network.mean[-_OWN:], network.scale[-_OWN:]),
                hidden=hidden,
                recurrent=put(network.lstm.hidden_weights) if network.lstm is not None else 0,
                state=states,
                layer=begin,
                end=len(layers),
                tanh=int(network.activation == "Tanh"),
                normal=int(network.head == "normal"),
            )
        )
        fed_width += first.shape[1]
        states += 2 * hidden
    return Packed(
        weights=np.concatenate(parts).astype(np.float32),
        models=np.array(models, dtype=np.int64),
        layers=np.array(layers, dtype=np.int64).reshape(-1, 4),
        widest=max(max(_first(n)[0].shape[1], *(w.shape[1] for w in n.weights)) for n in networks),
        states=states,
    )


def fed(networks: Sequence[Network], features: Float32Array) -> Float32Array:
    """Return the part of every first layer that the features decide, bias included.

    Parameters
    ----------
    networks : Sequence[Network]
        As they were packed.
    features : float32[n, F]
        Not normalised, finite.

    Returns
    -------
    float32[n, W]
        Side by side, in the order of the networks.
    """
    columns = features.shape[1]
    parts = []
    for network in networks:
        weight, bias = _first(network)
        scaled = np.clip((features - network.mean[:columns]) * network.scale[:columns], _LOW, _HIGH)
        parts.append(scaled @ weight[:columns] + bias)
    return np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=np.float32)


def _first(network: Network) -> tuple[Float32Array, Float32Array]:
    """Return weight and bias of what stands right behind the observation."""
    if network.lstm is not None:
        return network.lstm.input_weights, network.lstm.bias
    return network.weights[0], network.biases[0]


@inlined
def answer(
    packed: Packed,
    model: int,
    row: Float32Array,
    position: Float32Array,
    states: Float32Array,
    scratch: Float32Array,
    out: FloatArray,
) -> int:
    """Write what one model says of an observation, and move its recurrent state on.

    Parameters
    ----------
    packed, model
        The networks, and the place of one.
    row : float32[W]
        Of `fed`.
    position : float32[5]
        The position inputs of the observation.
    states : float32[packed.states]
        Updated; zeros before the first observation.
    scratch : float32[2, packed.widest]
        Overwritten.
    out : float64[packed.widest]
        The answer is at its beginning: probabilities, or mean and standard deviation before squashing.

    Returns
    -------
    int
        Length of the answer.
    """
    place, weights = packed.models[model], packed.weights
    width, tanh = place[K.width], place[K.tanh] == 1
    x, y = scratch[0], scratch[1]
    for j in range(width):
        x[j] = row[place[K.fed] + j]
    own, centre = place[K.own], place[K.own] + _OWN * width
    for i in range(_OWN):
        value = (position[i] - weights[centre + i]) * weights[centre + _OWN + i]
        value = min(max(value, _LOW), _HIGH)
        if value != _ZERO:
            for j in range(width):
                x[j] += value * weights[own + i * width + j]
    if place[K.hidden] > 0:
        width = place[K.hidden]
        _remember(x, weights, place[K.recurrent], width, states[place[K.state] : place[K.state] + 2 * width])
    elif place[K.layer] < place[K.end]:
        _activate(x, width, tanh)
    for layer in range(place[K.layer], place[K.end]):
        weight, bias, inputs, width = packed.layers[layer]
        _dense(x, weights, weight, bias, inputs, width, y)
        if layer < place[K.end] - 1:
            _activate(y, width, tanh)
        x, y = y, x
    if place[K.normal] == 1:
        out[0] = x[0]
        out[1] = np.exp(min(max(np.float64(x[1]), LOG_STD_LOW), LOG_STD_HIGH))
    else:
        _softmax(x, width, out)
    return int(width)


@inlined
def _dense(
    x: Float32Array, weights: Float32Array, weight: int, bias: int, inputs: int, outputs: int, out: Float32Array
) -> None:
    """Write ``x @ W + b`` into ``out``, four inputs at a time."""
    for j in range(outputs):
        out[j] = weights[bias + j]
    _add_product(x, weights, weight, inputs, outputs, out)


@inlined
def _add_product(
    x: Float32Array, weights: Float32Array, weight: int, inputs: int, outputs: int, out: Float32Array
) -> None:
    """Add ``x @ W`` to ``out``, four inputs at a time."""
    whole = inputs - inputs % 4
    for i in range(0, whole, 4):
        at = weight + i * outputs
        a, b, c, d = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(outputs):
            first = a * weights[at + j] + b * weights[at + outputs + j]
            second = c * weights[at + 2 * outputs + j] + d * weights[at + 3 * outputs + j]
            out[j] += first + second
    for i in range(whole, inputs):
        for j in range(outputs):
            out[j] += x[i] * weights[weight + i * outputs + j]


@inlined
def _remember(gates: Float32Array, weights: Float32Array, recurrent: int, width: int, state: Float32Array) -> None:
    """Finish the gates (input, forget, cell, output), move the state on and leave the hidden state in ``gates``."""
    hidden, cell = state[:width], state[width:]
    _add_product(hidden, weights, recurrent, width, 4 * width, gates)
    for j in range(width):
        written = _sigmoid(gates[j]) * _tanh(gates[2 * width + j])
        cell[j] = _sigmoid(gates[width + j]) * cell[j] + written
        hidden[j] = _sigmoid(gates[3 * width + j]) * _tanh(cell[j])
    for j in range(width):
        gates[j] = hidden[j]


@inlined
def _activate(x: Float32Array, width: int, tanh: bool) -> None:  # noqa: FBT001
    """Apply the activation in place."""
    if tanh:
        for j in range(width):
            x[j] = _tanh(x[j])
    else:
        for j in range(width):
            x[j] = max(x[j], _ZERO)


@inlined
def _tanh(x: np.float32) -> np.float32:
    x = min(max(x, -_BOUND), _BOUND)
    s = x * x
    p = (((((_P13 * s + _P11) * s + _P9) * s + _P7) * s + _P5) * s + _P3) * s + _P1
    q = ((_Q6 * s + _Q4) * s + _Q2) * s + _Q0
    return x * p / q


@inlined
def _sigmoid(x: np.float32) -> np.float32:
    return _HALF * (_tanh(_HALF * x) + _ONE)


@inlined
def _softmax(logits: Float32Array, width: int, out: FloatArray) -> None:
    highest = logits[0]
    for j in range(1, width):
        highest = max(highest, logits[j])
    total = 0.0
    for j in range(width):
        out[j] = np.exp(np.float64(logits[j]) - highest)
        total += out[j]
    for j in range(width):
        out[j] /= total
