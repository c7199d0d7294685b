"""The canonical network as ONNX: written node by node, read back with suspicion, and stacked.

::

    observation [B, D] -> Sub mean -> Mul scale -> Clip +-10 -> (MatMul w0 -> Add b0 -> Tanh) ... -> MatMul -> Add
        softmax: -> Softmax -> probabilities [B, A]
        normal:  -> Split -> mean; Clip -> Exp -> std; Concat -> mean_std [B, 2]
    recurrent: state [B, 2H] -> Split h, c; gates = x Wi + h Wh + b -> Split i, f, g, o;
        c' = sigmoid(f) c + sigmoid(i) tanh(g); h' = sigmoid(o) tanh(c') -> first MatMul; Concat h', c' -> next_state

The graph is the same for every version of the library that trained the weights, its tensors have names, and N networks
of one kind are one graph of batched products.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

from adapters.network import CLIP, LOG_STD_HIGH, LOG_STD_LOW, Activation, Head, Lstm, Network
from core.errors import ArtifactError

__all__ = ["INPUT", "NEXT_STATE", "OUTPUTS", "STATE", "network_from_onnx", "network_to_onnx", "stacked_to_onnx"]

Float32Array = npt.NDArray[np.float32]

INPUT, STATE, NEXT_STATE = "observation", "state", "next_state"
OUTPUTS: dict[Head, str] = {"softmax": "probabilities", "normal": "mean_std"}
"""The name of a graph's answer by its head."""
_ACTIVATIONS: tuple[Activation, ...] = ("Tanh", "Relu")
_LSTM = {"lstm_input": "input_weights", "lstm_hidden": "hidden_weights", "lstm_bias": "bias"}
"""Tensors of a recurrent layer, and their names in `Lstm`."""
_OPSET, _IR_VERSION = 17, 8


def network_to_onnx(network: Network) -> bytes:
    """Return a network as the bytes of its ONNX model; equal weights give equal bytes."""
    graph = _Graph()
    graph.policy(network)
    graph.head(network.head, OUTPUTS[network.head])
    return graph.model(network, rows="B", answer_rows="B", answer_type=TensorProto.FLOAT, state=["B"])


def stacked_to_onnx(networks: Sequence[Network]) -> bytes:
    """Return N networks of one kind as one model for one observation.

    Its input is ``observation`` float32[1, D], its output the head's, float64[N, A], a row a network. Recurrent ones
    have ``state`` and ``next_state`` float32[N, 1, 2H] as well.

    Raises
    ------
    ValueError
        For networks of different kinds, which do not stack.
    """
    if len({n.kind for n in networks}) != 1:
        raise ValueError("networks of different kinds do not stack")
    first = networks[0]
    graph = _Graph()
    graph.policy(_stack(networks))
    graph.tensors["batch_axis"] = np.array([1], dtype=np.int64)
    graph.head(first.head, "rows")
    graph.node("Squeeze", ["rows", "batch_axis"], "votes")
    graph.node("Cast", ["votes"], OUTPUTS[first.head], to=TensorProto.DOUBLE)
    count = len(networks)
    return graph.model(first, rows=1, answer_rows=count, answer_type=TensorProto.DOUBLE, state=[count, 1])


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
        For a model that `network_to_onnx` would not have written: another graph, other tensors, anything besides.
    """
    try:
        model = onnx.load_model_from_string(model_bytes)
        outside = any(t.data_location != TensorProto.DEFAULT for t in model.graph.initializer)
        tensors = {} if outside else {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    except Exception as error:  # noqa: BLE001 - protobuf and onnx raise what they like
        raise ArtifactError(f"{where} is no ONNX model: {error}; restore the artifact or train anew") from None
    if outside:
        raise ArtifactError(f"{where} keeps tensors in another file, which is never opened; export it anew")
    graph = model.graph
    head: Head = "normal" if any(o.name == OUTPUTS["normal"] for o in graph.output) else "softmax"
    recurrent = any(name in tensors for name in _LSTM)
    layers = sum(name[:1] == "w" for name in tensors)
    wanted = {"mean", "scale", "low", "high", *(f"{kind}{i}" for kind in "wb" for i in range(layers))}
    wanted |= {"log_low", "log_high"} if head == "normal" else set()
    wanted |= set(_LSTM) if recurrent else set()
    if set(tensors) != wanted or layers == 0:
        raise ArtifactError(
            f"{where} holds tensors {sorted(tensors)}, not those of a canonical network; export it anew"
        )
    wrong = sorted(name for name, value in tensors.items() if value.dtype != np.float32)
    if wrong:
        raise ArtifactError(f"{where}: {wrong[0]} is {tensors[wrong[0]].dtype}, float32 is wanted; export it anew")
    network = Network(
        tensors["mean"],
        tensors["scale"],
        tuple(tensors[f"w{i}"] for i in range(layers)),
        tuple(tensors[f"b{i}"] for i in range(layers)),
        next((a for a in _ACTIVATIONS if any(n.op_type == a and n.output[0] == "x1" for n in graph.node)), "Tanh"),
        head,
        Lstm(**{field: tensors[name] for name, field in _LSTM.items()}) if recurrent else None,
    )
    if not _consistent(network) or model != onnx.load_model_from_string(network_to_onnx(network)):
        raise ArtifactError(f"{where} is not the canonical graph of its weights; export it anew")
    return network


def _consistent(network: Network) -> bool:
    """Return whether the shapes of all tensors fit each other."""
    width = network.mean.shape
    if len(width) != 1 or network.scale.shape != width or any(w.ndim != 2 for w in network.weights):
        return False
    inputs = width[0]
    if network.lstm is not None:
        if network.lstm.hidden_weights.ndim != 2:
            return False
        hidden = network.lstm.width
        shapes = tuple(tensor.shape for tensor in network.lstm)
        if shapes != ((inputs, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,)):
            return False
        inputs = hidden
    for weight, bias in zip(network.weights, network.biases, strict=True):
        if weight.shape[0] != inputs or bias.shape != weight.shape[1:]:
            return False
        inputs = weight.shape[1]
    return network.head == "softmax" or inputs == 2


def _stack(networks: Sequence[Network]) -> Network:
    """Return networks of one kind as one whose tensors have their number as the first axis."""

    def stack(arrays: Sequence[Float32Array]) -> Float32Array:
        together = np.stack(arrays)
        return together if together.ndim == 3 else together[:, np.newaxis, :]

    first = networks[0]
    lstms = [n.lstm for n in networks if n.lstm is not None]
    return first._replace(
        mean=stack([n.mean for n in networks]),
        scale=stack([n.scale for n in networks]),
        weights=tuple(stack(layer) for layer in zip(*(n.weights for n in networks), strict=True)),
        biases=tuple(stack(layer) for layer in zip(*(n.biases for n in networks), strict=True)),
        lstm=Lstm(*(stack(tensors) for tensors in zip(*lstms, strict=True))) if lstms else None,
    )


class _Graph:
    """Nodes and tensors as they are added."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: dict[str, npt.NDArray[Any]] = {}

    def node(self, op: str, inputs: list[str], output: str | list[str], **attributes: int) -> None:
        """Add one node."""
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(helper.make_node(op, inputs, outputs, **attributes))

    def policy(self, network: Network) -> None:
        """Add what leads from the observation to ``logits``: the last layer's sums, whatever the head."""
        self.tensors |= {"mean": network.mean, "scale": network.scale, "low": _scalar(-CLIP), "high": _scalar(CLIP)}
        self.node("Sub", [INPUT, "mean"], "centred")
        self.node("Mul", ["centred", "scale"], "scaled")
        self.node("Clip", ["scaled", "low", "high"], "x0" if network.lstm is None else "clipped")
        if network.lstm is not None:
            self.recurrent(network.lstm)
        last = len(network.weights) - 1
        for i, (weight, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
            self.tensors[f"w{i}"], self.tensors[f"b{i}"] = weight, bias
            self.node("MatMul", [f"x{i}", f"w{i}"], f"product{i}")
            self.node("Add", [f"product{i}", f"b{i}"], "logits" if i == last else f"sum{i}")
            if i != last:
                self.node(network.activation, [f"sum{i}"], f"x{i + 1}")

    def recurrent(self, lstm: Lstm) -> None:
        """Add one step of a recurrent layer, from ``clipped`` and ``state`` to ``x0`` and ``next_state``."""
        self.tensors |= {name: getattr(lstm, field) for name, field in _LSTM.items()}
        self.node("Split", [STATE], ["hidden", "cell"], axis=-1)
        self.node("MatMul", ["clipped", "lstm_input"], "from_input")
        self.node("MatMul", ["hidden", "lstm_hidden"], "from_hidden")
        self.node("Add", ["from_input", "from_hidden"], "together")
        self.node("Add", ["together", "lstm_bias"], "gates")
        self.node("Split", ["gates"], ["gate_i", "gate_f", "gate_g", "gate_o"], axis=-1)
        for gate, op in (("i", "Sigmoid"), ("f", "Sigmoid"), ("g", "Tanh"), ("o", "Sigmoid")):
            self.node(op, [f"gate_{gate}"], gate)
        self.node("Mul", ["f", "cell"], "kept")
        self.node("Mul", ["i", "g"], "new")
        self.node("Add", ["kept", "new"], "next_cell")
        self.node("Tanh", ["next_cell"], "shown")
        self.node("Mul", ["o", "shown"], "x0")
        self.node("Concat", ["x0", "next_cell"], NEXT_STATE, axis=-1)

    def head(self, head: Head, output: str) -> None:
        """Add what makes an answer of ``logits``."""
        if head == "softmax":
            self.node("Softmax", ["logits"], output, axis=-1)
            return
        self.tensors |= {"log_low": _scalar(LOG_STD_LOW), "log_high": _scalar(LOG_STD_HIGH)}
        self.node("Split", ["logits"], ["mu", "log_std"], axis=-1)
        self.node("Clip", ["log_std", "log_low", "log_high"], "bounded")
        self.node("Exp", ["bounded"], "std")
        self.node("Concat", ["mu", "std"], output, axis=-1)

    def model(
        self, network: Network, *, rows: int | str, answer_rows: int | str, answer_type: int, state: list[int | str]
    ) -> bytes:
        """Return the checked model as bytes; ``rows`` and ``state`` are the leading axes of its ends."""
        sources = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [rows, network.shape[0]])]
        answer = [answer_rows, network.shape[-1]]
        results = [helper.make_tensor_value_info(OUTPUTS[network.head], answer_type, answer)]
        if network.lstm is not None:
            shape = [*state, network.state_width]
            sources.append(helper.make_tensor_value_info(STATE, TensorProto.FLOAT, shape))
            results.append(helper.make_tensor_value_info(NEXT_STATE, TensorProto.FLOAT, shape))
        tensors = [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in self.tensors.items()]
        graph = helper.make_graph(self.nodes, "policy", sources, results, initializer=tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="autotrade")
        model.ir_version = _IR_VERSION
        checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def _scalar(value: float) -> Float32Array:
    return np.array(value, dtype=np.float32)
