"""The canonical graph: it computes its network, comes back from its bytes, stacks, and nothing else is taken for it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from adapters.network import tempered
from adapters.network_graph import (
    INPUT,
    NEXT_STATE,
    OUTPUTS,
    STATE,
    network_from_onnx,
    network_to_onnx,
    stacked_to_onnx,
)
from adapters.onnx_policy import answers, open_session
from core.errors import ArtifactError
from tests.unit.networks import KINDS, WIDTH, by_hand, observations, random_network


@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
@pytest.mark.parametrize("hidden", [(16,), (16, 16), (8, 12, 4)])
def test_the_graph_computes_the_network(hidden, activation):
    network = random_network(3, hidden=hidden, activation=activation)
    x = observations(500)
    found = open_session(network_to_onnx(network)).run(["probabilities"], {INPUT: x})[0]
    assert np.abs(found - by_hand(network, x[np.newaxis])[0]).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_of_any_kind_computes_its_network_over_a_sequence(kind):
    network = random_network(5, **KINDS[kind])
    x = observations(40 * 7).reshape(40, 7, WIDTH)
    found, states = answers(network, x)
    assert found.dtype == np.float32
    assert np.allclose(found, by_hand(network, x), rtol=2e-5, atol=1e-6)
    assert states.shape == (40, 7, network.state_width)


def test_a_recurrent_graph_remembers_and_its_sequences_do_not_mix():
    network = random_network(5, recurrent=12)
    x = observations(20).reshape(10, 2, WIDTH)
    together = answers(network, x)[0]
    alone = answers(network, x[:, 1:])[0]
    assert np.abs(together[:, 1:] - alone).max() < 1e-6
    fresh = answers(network, x[-1:])[0]
    assert np.abs(fresh[0] - together[-1]).max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_comes_back_from_its_graph_and_equal_weights_give_equal_bytes(kind):
    network = random_network(4, **KINDS[kind])
    again = network_from_onnx(network_to_onnx(network), where="it")
    assert network_to_onnx(again) == network_to_onnx(network)
    assert again.kind == network.kind
    assert again.shape == (WIDTH, *((12,) if network.lstm else ()), 16, 16, network.shape[-1])
    tensors = [(*n.weights, *n.biases, n.mean, n.scale, *(n.lstm or ())) for n in (network, again)]
    assert all(np.array_equal(a, b) for a, b in zip(*tensors, strict=True))


def test_the_bytes_of_a_perceptron_are_those_of_the_first_artifacts():
    for place in sorted(Path(__file__).parents[2].glob("catalog/models/demo-*")):
        content = (place / "model.onnx").read_bytes()
        assert network_to_onnx(network_from_onnx(content, where=str(place))) == content


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stacked_graph_computes_each_of_its_networks(kind, count):
    networks = [random_network(seed, **KINDS[kind]) for seed in range(count)]
    session = open_session(stacked_to_onnx(networks))
    output = OUTPUTS[networks[0].head]
    state = np.zeros((count, 1, networks[0].state_width), dtype=np.float32)
    x = observations(30)
    alone = np.stack([answers(network, x[:, np.newaxis])[0][:, 0] for network in networks], axis=1)
    for row, wanted in zip(x, alone, strict=True):
        if networks[0].lstm is None:
            found = session.run([output], {INPUT: row[np.newaxis]})[0]
        else:
            found, state = session.run([output, NEXT_STATE], {INPUT: row[np.newaxis], STATE: state})
        assert found.dtype == np.float64
        assert np.abs(found - wanted).max() < 1e-5


@pytest.mark.parametrize(
    "other",
    [{"hidden": (8,)}, {"activation": "Relu"}, {"recurrent": 12}, {"hidden": (12, 16, 16), "actions": 5}],
)
def test_stacking_networks_of_two_kinds_is_a_mistake_of_the_caller(other):
    with pytest.raises(ValueError, match="do not stack"):
        stacked_to_onnx([random_network(1), random_network(2, **other)])


def test_a_perceptron_does_not_stack_with_a_recurrent_one_of_the_same_widths():
    wide = random_network(1, hidden=(12, 16))
    recurrent = random_network(2, hidden=(16,), recurrent=12)
    assert wide.shape == recurrent.shape
    with pytest.raises(ValueError, match="do not stack"):
        stacked_to_onnx([wide, recurrent])


def test_a_temperature_divides_the_logits_and_moves_no_vote():
    network = random_network(6)
    x = observations(2_000)[np.newaxis]
    plain, warm = by_hand(network, x)[0], by_hand(tempered(network, 2.5), x)[0]
    wanted = plain ** (1 / 2.5)
    assert np.abs(warm - wanted / wanted.sum(axis=1, keepdims=True)).max() < 1e-5
    assert (warm.argmax(axis=1) == plain.argmax(axis=1)).all()


def test_a_temperature_widens_a_normal_level_and_leaves_its_mean():
    network = random_network(6, head="normal", actions=2)
    x = observations(2_000)[np.newaxis]
    plain, warm = by_hand(network, x)[0], by_hand(tempered(network, 1.5), x)[0]
    inside = plain[:, 1] * 1.5 < np.exp(2.0)
    assert (warm[:, 0] == plain[:, 0]).all()
    assert np.allclose(warm[inside, 1], 1.5 * plain[inside, 1], rtol=1e-5)
    assert inside.mean() > 0.9


def planted(change, kind="softmax"):
    """A canonical model that was tampered with."""
    model = onnx.load_model_from_string(network_to_onnx(random_network(1, **KINDS[kind])))
    change(model)
    return model.SerializeToString()


def node(model, op, number=0):
    return [n for n in model.graph.node if n.op_type == op][number]


def tensor(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def rename_input(model):
    model.graph.input[0].name = model.graph.node[0].input[0] = "x"


def drop_the_clip(model):
    clip = node(model, "Clip")
    clip.op_type = "Identity"
    del clip.input[1:]


def swap_softmax_axis(model):
    node(model, "Softmax").attribute[0].i = 0


def add_a_tensor(model):
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, dtype=np.float32), "stowaway"))


def widen_the_clip(model):
    tensor(model, "high").CopyFrom(onnx.numpy_helper.from_array(np.array(1e9, dtype=np.float32), "high"))


def redefine_an_operator(model):
    model.functions.append(onnx.helper.make_function("mine", "Add", ["a"], ["b"], [], []))


def change_the_opset(model):
    model.opset_import[0].version = 13


def leave_a_note(model):
    model.metadata_props.add(key="note", value="exported by hand")


def keep_a_tensor_outside(model):
    w0 = tensor(model, "w0")
    w0.ClearField("raw_data")
    w0.data_location = onnx.TensorProto.EXTERNAL
    w0.external_data.add(key="location", value="/etc/passwd")


def double_a_tensor(model):
    w0 = tensor(model, "w0")
    w0.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(w0).astype(float), "w0"))


def swap_two_gates(model):
    split = node(model, "Split", 1)
    split.output[0], split.output[1] = split.output[1], split.output[0]


def forget_the_cell(model):
    node(model, "Concat").input[1] = "x0"


def let_the_deviation_grow(model):
    tensor(model, "log_high").CopyFrom(onnx.numpy_helper.from_array(np.array(9, dtype=np.float32), "log_high"))


def bias_of_another_shape(model):
    tensor(model, "lstm_bias").CopyFrom(onnx.numpy_helper.from_array(np.zeros(4, dtype=np.float32), "lstm_bias"))


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (rename_input, "softmax", "is not the canonical graph"),
        (drop_the_clip, "softmax", "is not the canonical graph"),
        (swap_softmax_axis, "softmax", "is not the canonical graph"),
        (widen_the_clip, "softmax", "is not the canonical graph"),
        (redefine_an_operator, "softmax", "is not the canonical graph"),
        (change_the_opset, "softmax", "is not the canonical graph"),
        (leave_a_note, "softmax", "is not the canonical graph"),
        (add_a_tensor, "softmax", "stowaway"),
        (keep_a_tensor_outside, "softmax", "another file, which is never opened"),
        (double_a_tensor, "softmax", "w0 is float64"),
        (swap_two_gates, "recurrent", "is not the canonical graph"),
        (forget_the_cell, "recurrent", "is not the canonical graph"),
        (bias_of_another_shape, "recurrent", "is not the canonical graph"),
        (let_the_deviation_grow, "normal", "is not the canonical graph"),
    ],
)
def test_a_graph_that_is_not_the_canonical_one_is_refused(change, kind, said):
    with pytest.raises(ArtifactError, match=said):
        network_from_onnx(planted(change, kind), where="it")


@pytest.mark.parametrize("content", [b"letters", b"", b"\x80\x04K\x01."])
def test_bytes_that_are_no_graph_are_refused(content):
    with pytest.raises(ArtifactError, match=r"is no ONNX model|not those of a canonical network"):
        network_from_onnx(content, where="it")
