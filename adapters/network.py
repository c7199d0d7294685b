"""The canonical network of a policy: normaliser, perhaps a recurrent layer, multilayer perceptron, head.

::

    observation [D] -> (- mean) * scale -> clip +-10 -> LSTM [H] (recurrent ones) -> (w0, b0, activation) ... (wn, bn)
        softmax: -> probabilities [A]                 normal: -> mean and standard deviation [2] of a level before tanh

`adapters.network_graph` writes this as ONNX and reads it back.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["CLIP", "LOG_STD_HIGH", "LOG_STD_LOW", "Activation", "Head", "Kind", "Lstm", "Network", "tempered"]

type Activation = Literal["Tanh", "Relu"]
type Head = Literal["softmax", "normal"]
Float32Array = npt.NDArray[np.float32]

CLIP = 10.0
"""A normalised input is cut at this many standard deviations."""
LOG_STD_LOW, LOG_STD_HIGH = -20.0, 2.0
"""The logarithm of a normal head's standard deviation is cut at these, as stable-baselines3's SAC does it."""


class Lstm(NamedTuple):
    """A recurrent layer before the perceptron, float32, gates in the order input, forget, cell, output.

    ``input_weights`` [D, 4H], ``hidden_weights`` [H, 4H], ``bias`` [4H] (torch's two biases added).
    """

    input_weights: Float32Array
    hidden_weights: Float32Array
    bias: Float32Array

    @property
    def width(self) -> int:
        """Width H of the hidden state; the cell's is the same."""
        return int(self.hidden_weights.shape[0])


class Kind(NamedTuple):
    """What two networks must have in common to be stacked."""

    shape: tuple[int, ...]
    activation: Activation
    head: Head
    recurrent: bool


class Network(NamedTuple):
    """Weights of one policy, float32: ``mean``, ``scale`` [D]; layer i is ``x @ weights[i] + biases[i]``.

    ``head`` says what the last layer gives: logits of the actions (softmax), or the mean and the logarithm of the
    standard deviation of a normal level before it is squashed by tanh (normal). ``lstm`` stands before the first layer.
    """

    mean: Float32Array
    scale: Float32Array
    weights: tuple[Float32Array, ...]
    biases: tuple[Float32Array, ...]
    activation: Activation
    head: Head = "softmax"
    lstm: Lstm | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Widths from the observation to the output, that of a recurrent layer among them."""
        recurrent = () if self.lstm is None else (self.lstm.width,)
        return (self.mean.shape[0], *recurrent, *(w.shape[1] for w in self.weights))

    @property
    def kind(self) -> Kind:
        """What it must have in common with another to be stacked with it."""
        return Kind(self.shape, self.activation, self.head, self.lstm is not None)

    @property
    def state_width(self) -> int:
        """Width 2H of the recurrent state, hidden then cell; 0 without one."""
        return 0 if self.lstm is None else 2 * self.lstm.width


def tempered(network: Network, temperature: float) -> Network:
    """Return a network whose confidence is colder (above 1: less sure) and whose votes are the same.

    The temperature divides the logits, or multiplies the standard deviation of a normal level; either way it disappears
    in the last layer.

    Parameters
    ----------
    network : Network
        Not changed.
    temperature : float
        Above 0; 1 changes nothing.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    weight, bias = network.weights[-1].astype(np.float64), network.biases[-1].astype(np.float64)
    if network.head == "softmax":
        weight, bias = weight / temperature, bias / temperature
    else:
        bias = bias + np.array([0.0, math.log(temperature)])
    return network._replace(
        weights=(*network.weights[:-1], weight.astype(np.float32)),
        biases=(*network.biases[:-1], bias.astype(np.float32)),
    )
