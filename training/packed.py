"""Networks of any kinds laid out for compiled code, so that replaying them waits for no call into a library.

The graph of `adapters.network_graph` says the same to 2e-6, as do float32 sums in any other order; a test holds one to
the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.network import CLIP, LOG_STD_HIGH, LOG_STD_LOW, Network
from core.compiled import inlined

__all__ = ["K", "Packed", "Place", "answer", "pack"]

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

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
    """Columns of `Packed.models`: where a model's parts are among the weights.

    ``normaliser``: means, then scales; ``hidden``: width H of the recurrent state (0 = none), ``gates`` its input
    weights [D, 4H], hidden weights [H, 4H] and bias, ``state`` its place among all states; ``layer`` and ``end``: rows
    of `Packed.layers`; ``tanh`` and ``normal``: 0 or 1.
    """

    normaliser: int
    hidden: int
    gates: int
    state: int
    layer: int
    end: int
    tanh: int
    normal: int


K = Place(*range(len(Place._fields)))
"""Columns of the models by name."""


class Packed(NamedTuple):
    """N networks as flat arrays.

    ``weights`` float32[w]; ``models`` int64[N, len(Place)]; ``layers`` int64[L, 3]: where weights [inputs, outputs] and
    then bias are, inputs, outputs. ``widest``: width of the widest layer; ``states``: of all recurrent states.
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
    layers: list[tuple[int, int, int]] = []
    filled = states = 0

    def put(*tensors: Float32Array) -> int:
        nonlocal filled
        place = filled
        for tensor in tensors:
            parts.append(tensor.ravel())
            filled += tensor.size
        return place

    for network in networks:
        own = [(put(w, b), *w.shape) for w, b in zip(network.weights, network.biases, strict=True)]
        models.append(
            Place(
                normaliser=put(network.mean, network.scale),
                hidden=network.state_width // 2,
                gates=put(*(network.lstm or ())),
                state=states,
                layer=len(layers),
                end=len(layers) + len(own),
                tanh=int(network.activation == "Tanh"),
                normal=int(network.head == "normal"),
            )
        )
        layers += own
        states += network.state_width
    return Packed(
        weights=np.concatenate(parts).astype(np.float32),
        models=np.array(models, dtype=np.int64),
        layers=np.array(layers, dtype=np.int64),
        widest=max(max(*network.shape, 2 * network.state_width) for network in networks),
        states=states,
    )


@inlined
def answer(
    packed: Packed,
    model: int,
    observation: Float32Array,
    states: Float32Array,
    scratch: Float32Array,
    out: FloatArray,
) -> int:
    """Write what one model says of an observation, and move its recurrent state on.

    Parameters
    ----------
    packed, model
        The networks, and the place of one.
    observation : float32[D]
        Not normalised.
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
    width, tanh = observation.shape[0], place[K.tanh] == 1
    x, y = scratch[0], scratch[1]
    mean = weights[place[K.normaliser] :][:width]
    scale = weights[place[K.normaliser] + width :][:width]
    for i in range(width):
        x[i] = min(max((observation[i] - mean[i]) * scale[i], _LOW), _HIGH)
    if place[K.hidden] > 0:
        hidden = place[K.hidden]
        _remember(x[:width], weights[place[K.gates] :], states[place[K.state] :][: 2 * hidden], y[: 4 * hidden])
        x, y = y, x
    for layer in range(place[K.layer], place[K.end]):
        at, inputs, width = packed.layers[layer]
        result = y[:width]
        _copy(weights[at + inputs * width :][:width], result)
        _add_product(x[:inputs], weights[at:], result)
        if layer < place[K.end] - 1:
            _activate(result, tanh)
        x, y = y, x
    if place[K.normal] == 1:
        out[0] = x[0]
        out[1] = np.exp(min(max(np.float64(x[1]), LOG_STD_LOW), LOG_STD_HIGH))
    else:
        _softmax(x[:width], out)
    return int(width)


@inlined
def _add_product(x: Float32Array, weights: Float32Array, out: Float32Array) -> None:
    """Add ``x @ W`` to ``out``, four inputs at a time; W is at the beginning of ``weights``.

    Each row is a slice of its own: an index that is a sum might be negative for all that the compiler knows, and the
    loop would not be vectorised.
    """
    inputs, outputs = x.shape[0], out.shape[0]
    whole = inputs - inputs % 4
    for i in range(0, whole, 4):
        w0, w1 = weights[i * outputs :][:outputs], weights[(i + 1) * outputs :][:outputs]
        w2, w3 = weights[(i + 2) * outputs :][:outputs], weights[(i + 3) * outputs :][:outputs]
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        for j in range(outputs):
            out[j] += (x0 * w0[j] + x1 * w1[j]) + (x2 * w2[j] + x3 * w3[j])
    for i in range(whole, inputs):
        row = weights[i * outputs :][:outputs]
        for j in range(outputs):
            out[j] += x[i] * row[j]


@inlined
def _remember(x: Float32Array, weights: Float32Array, state: Float32Array, gates: Float32Array) -> None:
    """Move a recurrent state on, and leave the hidden part of it at the beginning of ``gates`` (scratch [4H])."""
    inputs, outputs = x.shape[0], gates.shape[0]
    width = outputs // 4
    hidden, cell = state[:width], state[width:]
    _copy(weights[(inputs + width) * outputs :][:outputs], gates)
    _add_product(x, weights, gates)
    _add_product(hidden, weights[inputs * outputs :], gates)
    entry, forget, write, leave = gates[:width], gates[width:], gates[2 * width :], gates[3 * width :]
    for j in range(width):
        cell[j] = _sigmoid(forget[j]) * cell[j] + _sigmoid(entry[j]) * _tanh(write[j])
        hidden[j] = _sigmoid(leave[j]) * _tanh(cell[j])
    _copy(hidden, entry)


@inlined
def _copy(source: Float32Array, target: Float32Array) -> None:
    for j in range(source.shape[0]):
        target[j] = source[j]


@inlined
def _activate(x: Float32Array, tanh: bool) -> None:  # noqa: FBT001
    """Apply the activation in place."""
    if tanh:
        for j in range(x.shape[0]):
            x[j] = _tanh(x[j])
    else:
        for j in range(x.shape[0]):
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
def _softmax(logits: Float32Array, out: FloatArray) -> None:
    highest = logits[0]
    for j in range(logits.shape[0]):
        highest = max(highest, logits[j])
    total = 0.0
    for j in range(logits.shape[0]):
        out[j] = np.exp(np.float64(logits[j]) - highest)
        total += out[j]
    for j in range(logits.shape[0]):
        out[j] /= total
