"""The canonical network of a policy: normaliser, multilayer perceptron, softmax; to and from ONNX, and stacked.

::

    observation [B, D] -> Sub mean -> Mul scale -> Clip +-10 -> (MatMul w0 -> Add b0 -> Tanh) ...
                       -> MatMul -> Add -> Softmax -> probabilities [B, A]

The graph is written node by node, so it is the same for every version of the library that trained the weights, and its
weights can be read back by name and stacked: N networks of one shape are one graph of batched products.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

from core.errors import ArtifactError

__all__ = [
    "ACTIVATIONS",
    "CLIP",
    "INPUT",
    "OUTPUT",
    "Network",
    "network_from_onnx",
    "network_to_onnx",
    "stacked_to_onnx",
]

type Activation = Literal["Tanh", "Relu"]
Float32Array = npt.NDArray[np.float32]

INPUT, OUTPUT = "observation", "probabilities"
ACTIVATIONS: tuple[Activation, ...] = ("Tanh", "Relu")
CLIP = 10.0
"""A normalised input is cut at this many standard deviations."""
_OPSET, _IR_VERSION = 17, 8


class Network(NamedTuple):
    """Weights of one policy, float32: ``mean``, ``scale`` [D]; layer i is ``x @ weights[i] + biases[i]``."""

    mean: Float32Array
    scale: Float32Array
    weights: tuple[Float32Array, ...]
    biases: tuple[Float32Array, ...]
    activation: Activation

    @property
    def shape(self) -> tuple[int, ...]:
        """Widths from the observation to the actions."""
        return (self.weights[0].shape[0], *(w.shape[1] for w in self.weights))


def network_to_onnx(network: Network) -> bytes:
    """Return a network as the bytes of its ONNX model; equal weights give equal bytes."""
    nodes, initialisers = _body(network.mean, network.scale, network.weights, network.biases, network.activation)
    nodes.append(helper.make_node("Softmax", ["logits"], [OUTPUT], axis=-1))
    width, actions = network.shape[0], network.shape[-1]
    return _model(
        nodes,
        initialisers,
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["B", width]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["B", actions]),
    )


def stacked_to_onnx(networks: Sequence[Network]) -> bytes:
    """Return N networks of one shape as one model for one observation.

    Its input is ``observation`` float32[1, D], its output ``probabilities`` float64[N, A], a row a network.
    """
    if len({(n.shape, n.activation) for n in networks}) != 1:
        raise ValueError("networks of different shapes do not stack")
    first = networks[0]

    def stack(arrays: Sequence[Float32Array]) -> Float32Array:
        together = np.stack(arrays)
        return together if together.ndim == 3 else together[:, np.newaxis, :]

    nodes, initialisers = _body(
        stack([n.mean for n in networks]),
        stack([n.scale for n in networks]),
        [stack([n.weights[i] for n in networks]) for i in range(len(first.weights))],
        [stack([n.biases[i] for n in networks]) for i in range(len(first.biases))],
        first.activation,
    )
    initialisers.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "batch_axis"))
    nodes += [
        helper.make_node("Softmax", ["logits"], ["rows"], axis=-1),
        helper.make_node("Squeeze", ["rows", "batch_axis"], ["votes"]),
        helper.make_node("Cast", ["votes"], [OUTPUT], to=TensorProto.DOUBLE),
    ]
    return _model(
        nodes,
        initialisers,
        helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [1, first.shape[0]]),
        helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, [len(networks), first.shape[-1]]),
    )


def network_from_onnx(model_bytes: bytes, *, where: str) -> Network:
    """Read a canonical model back.

    Parameters
    ----------
    model_bytes : bytes
        An ONNX model.
    where : str
        What to call it in an error.

    Raises
    ------
    ArtifactError
        For a graph that `network_to_onnx` would not have written: other inputs, outputs, shapes, types or nodes.
    """
    try:
        model = onnx.load_model_from_string(model_bytes)
        graph = model.graph
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except Exception as error:  # noqa: BLE001 - protobuf and onnx raise what they like
        raise ArtifactError(f"{where} is no ONNX model: {error}; restore the artifact or train anew") from None
    activation = next((a for a in ACTIVATIONS if any(node.op_type == a for node in graph.node)), ACTIVATIONS[0])
    layers = sum(name.startswith("w") for name in weights)
    wanted = {"mean", "scale", "low", "high", *(f"{kind}{i}" for kind in "wb" for i in range(layers))}
    if set(weights) != wanted or layers == 0:
        raise ArtifactError(
            f"{where} holds tensors {sorted(weights)}, not those of a canonical network; export it anew"
        )
    wrong = sorted(name for name, value in weights.items() if value.dtype != np.float32)
    if wrong:
        raise ArtifactError(f"{where}: {wrong[0]} is {weights[wrong[0]].dtype}, float32 is wanted; export it anew")
    network = Network(
        weights["mean"],
        weights["scale"],
        tuple(weights[f"w{i}"] for i in range(layers)),
        tuple(weights[f"b{i}"] for i in range(layers)),
        activation,
    )
    if not _consistent(network) or not _same_graph(graph, network):
        raise ArtifactError(f"{where} is not the canonical graph of its weights; export it anew")
    return network


def _consistent(network: Network) -> bool:
    """Return whether the shapes of all tensors fit each other."""
    if any(w.ndim != 2 for w in network.weights):
        return False
    shape = network.shape
    chained = all(w.shape == (a, b) for w, a, b in zip(network.weights, shape, shape[1:], strict=False))
    biased = all(b.shape == (width,) for b, width in zip(network.biases, shape[1:], strict=True))
    return chained and biased and network.mean.shape == network.scale.shape == (shape[0],)


def _same_graph(graph: Any, network: Network) -> bool:
    """Return whether a graph has the nodes, inputs and outputs of the canonical one; its bytes may differ."""
    canonical = onnx.load_model_from_string(network_to_onnx(network)).graph
    return all(list(getattr(graph, part)) == list(getattr(canonical, part)) for part in ("node", "input", "output"))


def _body(
    mean: Float32Array,
    scale: Float32Array,
    weights: Sequence[Float32Array],
    biases: Sequence[Float32Array],
    activation: Activation,
) -> tuple[list[Any], list[Any]]:
    """Return the nodes from the input to ``logits``, and the tensors they name."""
    tensors: dict[str, Float32Array] = {
        "mean": mean,
        "scale": scale,
        "low": np.array(-CLIP, dtype=np.float32),
        "high": np.array(CLIP, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Sub", [INPUT, "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["x0"]),
    ]
    last = len(weights) - 1
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        tensors[f"w{i}"], tensors[f"b{i}"] = weight, bias
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"product{i}"]))
        nodes.append(helper.make_node("Add", [f"product{i}", f"b{i}"], ["logits" if i == last else f"sum{i}"]))
        if i != last:
            nodes.append(helper.make_node(activation, [f"sum{i}"], [f"x{i + 1}"]))
    return nodes, [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in tensors.items()]


def _model(nodes: list[Any], initialisers: list[Any], source: Any, result: Any) -> bytes:
    """Return a checked model as bytes."""
    graph = helper.make_graph(nodes, "policy", [source], [result], initializer=initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="autotrade")
    model.ir_version = _IR_VERSION
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
