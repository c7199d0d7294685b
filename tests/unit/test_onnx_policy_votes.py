"""The ensemble: stacked graphs vote as each model does alone, whatever its kind, and remember what they should."""

import numpy as np
import pytest

from adapters.model_store import MODEL, sha256_of
from adapters.onnx_policy import OnnxEnsemble, answers, load_checked
from adapters.scripted_policy import ScriptedPolicy
from core.actions import ActionSpec, decode_continuous, decode_discrete
from core.errors import ArtifactError
from tests.unit.networks import KINDS, SPEC, artifact, by_hand, observations, random_network

LEVELS = np.array(ActionSpec().levels)


def alone(network, x):
    """Votes of one network over a sequence from a fresh state, by its own graph: levels and confidences."""
    said = answers(network, x[:, np.newaxis])[0][:, 0].astype(float)
    return decode_discrete(said, LEVELS) if network.head == "softmax" else decode_continuous(said)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_stacked_graph_votes_as_its_members_do_alone(tmp_path, kind, count):
    networks = [random_network(seed, **KINDS[kind]) for seed in range(count)]
    ensemble = OnnxEnsemble.load([artifact(tmp_path / f"m{i}", n) for i, n in enumerate(networks)], spec=SPEC)
    x = observations(200)
    votes = [np.stack(ensemble.vote(row)) for row in x]
    for i, network in enumerate(networks):
        levels, confidences = alone(network, x)
        found = np.stack([vote[:, i] for vote in votes])
        assert np.abs(found[:, 0] - levels).max() < 1e-5
        assert np.abs(found[:, 1] - confidences).max() < 1e-5


def mixed(tmp_path):
    """An ensemble of all kinds, some twice and not beside each other."""
    kinds = ["recurrent", "softmax", "normal", "recurrent normal", "softmax", "recurrent", "normal"]
    networks = [random_network(seed, **KINDS[kind]) for seed, kind in enumerate(kinds)]
    return networks, [load_checked(artifact(tmp_path / f"m{i}", n), spec=SPEC) for i, n in enumerate(networks)]


def test_all_kinds_vote_together_and_the_recurrent_ones_remember(tmp_path):
    networks, artifacts = mixed(tmp_path)
    ensemble = OnnxEnsemble(artifacts)
    x = observations(60, seed=3)
    votes = np.stack([np.stack(ensemble.vote(row)) for row in x])
    wanted = np.stack([np.stack(alone(network, x)) for network in networks], axis=2)
    assert np.abs(votes - wanted.swapaxes(0, 1)).max() < 1e-5


def test_a_reset_forgets_and_two_ensembles_share_no_memory(tmp_path):
    _, artifacts = mixed(tmp_path)
    one, other = OnnxEnsemble(artifacts), OnnxEnsemble(artifacts)
    x = observations(20, seed=4)
    first = [np.stack(one.vote(row)) for row in x]
    assert np.array_equal([np.stack(other.vote(row)) for row in x], first)
    again = [np.stack(one.vote(row)) for row in x]
    remembered = [i for i, a in enumerate(artifacts) if a.network.lstm]
    assert np.abs(again[0] - first[0])[1, remembered].min() > 1e-6
    assert np.array_equal(np.delete(again, remembered, axis=2), np.delete(first, remembered, axis=2))
    one.reset()
    assert np.array_equal([np.stack(one.vote(row)) for row in x], first)


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
            level, confidence = decode_discrete(
                by_hand(network, x[np.newaxis, np.newaxis])[0], np.array(maps[i].levels)
            )
            assert got[0, i] == level[0]
            assert got[1, i] == pytest.approx(confidence[0], abs=1e-5)


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
