"""Artifacts and the ensemble: what is refused, and that stacked graphs vote as each model does alone."""

import contextlib
import json
from itertools import pairwise

import msgspec
import numpy as np
import onnx
import pytest

from adapters.model_store import (
    MANIFEST,
    MODEL,
    ExportCheck,
    Golden,
    Manifest,
    TrainedWith,
    Training,
    load_manifest,
    seal,
    sha256_of,
    write_artifact,
)
from adapters.network import INPUT, OUTPUT, Network, network_from_onnx, network_to_onnx, stacked_to_onnx
from adapters.onnx_policy import OnnxEnsemble, load_checked, open_session
from adapters.scripted_policy import ScriptedPolicy
from core.actions import ActionSpec, decode_discrete
from core.errors import ArtifactError, ConfigError
from core.features import feature_spec
from core.observation import POSITION_COLUMNS

SPEC = feature_spec()
WIDTH = SPEC.observation_width


def random_network(seed, *, hidden=(16, 16), actions=5, activation="Tanh"):
    rng = np.random.default_rng(seed)
    shape = (WIDTH, *hidden, actions)
    return Network(
        rng.normal(size=WIDTH).astype(np.float32),
        rng.uniform(0.5, 2.0, WIDTH).astype(np.float32),
        tuple(rng.normal(0, 0.4, (a, b)).astype(np.float32) for a, b in pairwise(shape)),
        tuple(rng.normal(0, 0.2, b).astype(np.float32) for b in shape[1:]),
        activation,
    )


def by_hand(network, x):
    """The network in float64 numpy."""
    x = np.clip((x.astype(float) - network.mean) * network.scale, -10.0, 10.0)
    for i, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
        x = x @ w.astype(float) + b
        if i < len(network.weights) - 1:
            x = np.tanh(x) if network.activation == "Tanh" else np.maximum(x, 0.0)
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def observations(n, seed=0):
    return np.random.default_rng(seed).normal(0, 2.0, (n, WIDTH)).astype(np.float32)


def artifact(directory, network, *, actions=None, model_bytes=None, **changes):
    model_bytes = model_bytes or network_to_onnx(network)
    golden = observations(4, seed=99)
    answers = open_session(model_bytes).run([OUTPUT], {INPUT: golden})[0]
    manifest = Manifest(
        format=1,
        model_id=directory.name,
        features=SPEC,
        features_digest=SPEC.digest,
        position_columns=POSITION_COLUMNS,
        actions=actions or ActionSpec(),
        instruments=("BTCUSDT-PERP.BINANCE",),
        bar_types=("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL",),
        decision_interval="15m",
        training=Training(
            algorithm="ppo", seed=1, trial_id="t", start="a", end="c", validation_start="b", data_hash="d",
            timesteps=1, chosen_timesteps=1, hyperparameters={}, command="autotrade train",
        ),
        costs=TrainedWith(taker=0.0005, maker=0.0002, away=0.0001, config_hash="h"),
        versions={},
        git_revision="unknown",
        selection={},
        export=ExportCheck(rows=10_000, max_abs_difference=0.0),
        golden=Golden(observations=golden.tolist(), probabilities=answers.tolist()),
        sha256=sha256_of(model_bytes),
        signature=None,
    )  # fmt: skip
    write_artifact(directory, model_bytes=model_bytes, manifest=msgspec.structs.replace(manifest, **changes))
    return directory


def edit(directory, path, value, *, sealed=True):
    """Change one value of a manifest; a forger would seal it again, an accident does not."""
    tree = json.loads((directory / MANIFEST).read_text())
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    text = json.dumps(tree)
    with contextlib.suppress(msgspec.DecodeError, ConfigError):
        if sealed:
            text = msgspec.json.encode(seal(msgspec.json.decode(text, type=Manifest))).decode()
    (directory / MANIFEST).write_text(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("training", "end"), "2020-01-01T00:00:00Z"),
        (("instruments",), ["DOGEUSDT-PERP.BINANCE"]),
        (("actions", "levels"), [-0.9, -0.5, 0.0, 0.5, 0.9]),
        (("manifest_sha256",), ""),
    ],
)
def test_a_manifest_says_when_any_word_of_it_was_changed(tmp_path, path, value):
    place = artifact(tmp_path / "m", random_network(1))
    edit(place, path, value, sealed=False)
    with pytest.raises(ArtifactError, match=r"manifest\.json has SHA-256 \w+, it says \w*: it was changed"):
        load_checked(place, spec=SPEC)


@pytest.mark.parametrize("activation", ["Tanh", "Relu"])
@pytest.mark.parametrize("hidden", [(16,), (16, 16), (8, 12, 4)])
def test_the_graph_computes_the_network(hidden, activation):
    network = random_network(3, hidden=hidden, activation=activation)
    x = observations(500)
    found = open_session(network_to_onnx(network)).run([OUTPUT], {INPUT: x})[0]
    assert np.abs(found - by_hand(network, x)).max() < 1e-5


def test_a_network_comes_back_from_its_graph_and_equal_weights_give_equal_bytes():
    network = random_network(4, activation="Relu")
    again = network_from_onnx(network_to_onnx(network), where="it")
    assert network_to_onnx(again) == network_to_onnx(network)
    assert again.shape == network.shape == (WIDTH, 16, 16, 5)
    for a, b in zip((*network.weights, *network.biases), (*again.weights, *again.biases), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_stacked_graph_votes_as_its_members_do_alone(tmp_path, count):
    networks = [random_network(seed) for seed in range(count)]
    ensemble = OnnxEnsemble.load([artifact(tmp_path / f"m{i}", n) for i, n in enumerate(networks)], spec=SPEC)
    sessions = [open_session(network_to_onnx(n)) for n in networks]
    levels = np.array(ActionSpec().levels)
    for x in observations(300):
        alone = np.stack([s.run([OUTPUT], {INPUT: x[np.newaxis]})[0][0] for s in sessions]).astype(float)
        wanted_levels, wanted_confidences = decode_discrete(alone, levels)
        got_levels, got_confidences = ensemble.vote(x)
        assert np.array_equal(got_levels, wanted_levels)
        assert np.abs(got_confidences - wanted_confidences).max() < 1e-6


def test_models_of_other_shapes_vote_in_the_order_they_were_named(tmp_path):
    thirds = ActionSpec(levels=(-1.0, 0.0, 1.0))
    networks = [
        random_network(1, hidden=(8,)),
        random_network(2),
        random_network(3, hidden=(8,)),
        random_network(4, actions=3),
        random_network(5, activation="Relu"),
    ]
    maps = [thirds if n.shape[-1] == 3 else ActionSpec() for n in networks]
    places = [artifact(tmp_path / f"m{i}", n, actions=maps[i]) for i, n in enumerate(networks)]
    ensemble = OnnxEnsemble.load(places, spec=SPEC)
    assert ensemble.model_ids == ("m0", "m1", "m2", "m3", "m4")
    assert ensemble.model_hashes == tuple(sha256_of((p / MODEL).read_bytes()) for p in places)
    for x in observations(100, seed=5):
        got = np.stack(ensemble.vote(x))
        for i, network in enumerate(networks):
            level, confidence = decode_discrete(by_hand(network, x[np.newaxis]), np.array(maps[i].levels))
            assert got[0, i] == level[0]
            assert got[1, i] == pytest.approx(confidence[0], abs=1e-5)


def test_stacking_networks_of_two_shapes_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="do not stack"):
        stacked_to_onnx([random_network(1), random_network(2, hidden=(8,))])


def test_every_byte_of_a_model_counts(tmp_path):
    place = artifact(tmp_path / "m", random_network(1))
    content = bytearray((place / MODEL).read_bytes())
    for at in (0, len(content) // 2, len(content) - 1):
        changed = content.copy()
        changed[at] ^= 1
        (place / MODEL).write_bytes(bytes(changed))
        with pytest.raises(ArtifactError, match="SHA-256") as refused:
            load_checked(place, spec=SPEC)
        assert refused.value.exit_code == 3
        assert "\n" not in str(refused.value)


def test_a_good_artifact_passes_every_check(tmp_path):
    place = artifact(tmp_path / "m", random_network(1))
    assert load_checked(place, spec=SPEC).manifest == load_manifest(place)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("features_digest",), "0" * 64, "the manifest says 000000000000"),
        (("features", "columns", 0), "return_2", "it was changed"),
        (("position_columns",), ["exposure"], "position inputs"),
        (("golden", "probabilities", 0, 0), 0.9, "golden vectors by"),
        (("golden", "observations", 2, 3), 5.0, "golden vectors by"),
        (("golden", "observations"), [], "do not have the shape"),
        (("golden", "probabilities", 0), [1.0], "do not have the shape"),
        (("actions", "levels"), [-1.0, 0.0, 1.0], "maps 64 inputs to 5 outputs"),
        (("actions", "kind"), "continuous", "maps 64 inputs to 5 outputs"),
        (("actions", "levels"), [1.0, 0.0], "is no manifest"),
        (("sha256",), "0" * 64, "its manifest says 0000"),
        (("format",), 2, "is no manifest"),
        (("surprise",), 1, "unknown field `surprise`"),
        (("training", "seed"), "one", r"\$.training.seed"),
    ],
)
def test_a_manifest_that_was_changed_is_refused_in_one_line(tmp_path, path, value, said):
    place = artifact(tmp_path / "m", random_network(1))
    edit(place, path, value)
    with pytest.raises(ArtifactError, match=said) as refused:
        load_checked(place, spec=SPEC)
    assert refused.value.exit_code == 3
    assert str(place) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_model_of_other_features_is_refused(tmp_path):
    place = artifact(tmp_path / "m", random_network(1))
    with pytest.raises(ArtifactError, match=r"wants features market v1 15m .* computes market v1 1h"):
        load_checked(place, spec=feature_spec("1m", "1h"))


def test_a_directory_without_an_artifact_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"no model at .*nowhere"):
        load_checked(tmp_path / "nowhere", spec=SPEC)
    with pytest.raises(ArtifactError, match=r"manifest\.json cannot be read"):
        load_checked(tmp_path, spec=SPEC)
    place = artifact(tmp_path / "m", random_network(1))
    (place / MODEL).unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx cannot be read"):
        load_checked(place, spec=SPEC)


def planted(change):
    """A canonical model that was tampered with, its hash in the manifest put right again."""
    model = onnx.load_model_from_string(network_to_onnx(random_network(1)))
    change(model.graph)
    return model.SerializeToString()


def rename_input(graph):
    graph.input[0].name = graph.node[0].input[0] = "x"


def drop_the_clip(graph):
    clip = next(n for n in graph.node if n.op_type == "Clip")
    clip.op_type = "Identity"
    del clip.input[1:]


def swap_softmax_axis(graph):
    next(n for n in graph.node if n.op_type == "Softmax").attribute[0].i = 0


def add_a_tensor(graph):
    graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, dtype=np.float32), "stowaway"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (drop_the_clip, "is not the canonical graph"),
        (swap_softmax_axis, "is not the canonical graph"),
        (add_a_tensor, "stowaway"),
    ],
)
def test_a_graph_that_is_not_the_canonical_one_is_refused(tmp_path, change, said):
    place = artifact(tmp_path / "m", random_network(1), model_bytes=planted(change))
    with pytest.raises(ArtifactError, match=said):
        load_checked(place, spec=SPEC)


def test_a_graph_with_another_input_name_is_refused():
    with pytest.raises(ArtifactError, match="is not the canonical graph"):
        network_from_onnx(planted(rename_input), where="it")
    with pytest.raises(ArtifactError, match="is no ONNX model"):
        network_from_onnx(b"letters", where="it")


def test_an_artifact_never_changes_and_leaves_nothing_half_written(tmp_path):
    place = artifact(tmp_path / "m", random_network(1))
    with pytest.raises(ArtifactError, match="exists and an artifact never changes"):
        artifact(place, random_network(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
    assert sorted(p.name for p in place.iterdir()) == [MANIFEST, MODEL]


def test_an_ensemble_of_none_or_with_a_model_twice_is_refused(tmp_path):
    place = artifact(tmp_path / "m", random_network(1))
    with pytest.raises(ArtifactError, match="no models"):
        OnnxEnsemble.load([], spec=SPEC)
    with pytest.raises(ArtifactError, match="m is in the ensemble twice"):
        OnnxEnsemble.load([place, place], spec=SPEC)


def test_an_observation_with_a_nan_is_no_vote(tmp_path):
    ensemble = OnnxEnsemble.load([artifact(tmp_path / "m", random_network(1))], spec=SPEC)
    x = observations(1)[0]
    x[3] = np.nan
    levels, confidences = ensemble.vote(x)
    assert np.isnan(levels[0])
    assert confidences[0] == 0.0


def test_a_script_is_voted_in_order_and_its_end_goes_on():
    policy = ScriptedPolicy([1.0, -0.5])
    votes = [policy.vote(observations(1)[0]) for _ in range(3)]
    assert [float(levels[0]) for levels, _ in votes] == [1.0, -0.5, -0.5]
    assert all(confidences.tolist() == [1.0] for _, confidences in votes)
    with pytest.raises(ValueError, match="no levels"):
        ScriptedPolicy([])
