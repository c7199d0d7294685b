"""Another set of models between two votes: what stays goes on as if nothing had happened, to the last bit."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from adapters.onnx_policy import OnnxEnsemble, candidate, load_checked
from core.errors import ArtifactError
from core.serving import Candidate
from tests.unit.networks import KINDS, SPEC, artifact, observations, random_network

ORDER = ["recurrent", "softmax", "normal", "recurrent normal", "softmax", "recurrent"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [
        load_checked(artifact(folder / f"m{i}", random_network(i, **KINDS[kind])), spec=SPEC)
        for i, kind in enumerate(ORDER)
    ]


def voted(ensemble, x):
    """Votes by name: float64[k, 2] each."""
    votes = [(ensemble.model_ids, np.stack(ensemble.vote(row))) for row in x]
    names = votes[0][0]
    return {name: np.stack([vote[:, i] for _, vote in votes]) for i, name in enumerate(names)}


@pytest.mark.parametrize("members", [[0, 1, 2, 3, 4, 5], [5, 3, 0, 4], [1, 4], [0, 1, 2, 3]])
def test_a_model_votes_the_same_bits_whoever_votes_beside_it(artifacts, members):
    x = observations(40)
    together = voted(OnnxEnsemble([artifacts[m] for m in members]), x)
    for m in members:
        assert np.array_equal(together[f"m{m}"], voted(OnnxEnsemble([artifacts[m]]), x)[f"m{m}"])


def test_a_swap_carries_over_what_models_remember_and_a_new_one_begins_from_zero(artifacts):
    x = observations(60, seed=5)
    ensemble = OnnxEnsemble(artifacts[:4])
    undisturbed = voted(OnnxEnsemble(artifacts), x)
    first = voted(ensemble, x[:30])
    ensemble.prepare([candidate(artifacts[i]) for i in (5, 3, 0, 1)])
    assert ensemble.model_ids == ("m0", "m1", "m2", "m3"), "a set that is ready waits for the swap"
    assert ensemble.swap()
    assert not ensemble.swap()
    assert ensemble.model_ids == ("m5", "m3", "m0", "m1")
    then = voted(ensemble, x[30:])
    for name in ("m0", "m1", "m3"):
        assert np.array_equal(np.vstack([first[name], then[name]]), undisturbed[name]), name
    assert np.array_equal(then["m5"], voted(OnnxEnsemble([artifacts[5]]), x[30:])["m5"])
    assert not np.array_equal(then["m5"], undisturbed["m5"][30:])


def test_votes_go_on_while_a_set_is_built(artifacts):
    begun: list[Future] = []

    def later(job):
        begun.append((Future(), job))
        return begun[-1][0]

    ensemble = OnnxEnsemble(artifacts[:2], later)
    ensemble.prepare([candidate(a) for a in artifacts[:3]])
    assert not ensemble.swap()
    assert len(ensemble.vote(observations(1)[0])[0]) == 2
    done, job = begun[0]
    done.set_result(job())
    assert ensemble.swap()
    assert len(ensemble.vote(observations(1)[0])[0]) == 3


def test_a_set_that_cannot_be_built_leaves_the_old_one_voting(artifacts):
    ensemble = OnnxEnsemble(artifacts[:2])
    before = ensemble.vote(observations(1)[0])[0].copy()
    ensemble.prepare([Candidate("x", "x", 0, None)])
    with pytest.raises(ArtifactError, match=r"could not be built: .*; the old one stays"):
        ensemble.swap()
    assert np.array_equal(ensemble.vote(observations(1)[0])[0], before)
    assert not ensemble.swap()


def test_a_thousand_votes_under_swaps_are_each_of_one_whole_set(artifacts):
    """Sets of one model each, built in another thread: every answer is the one of the model that is named."""
    plain = [artifacts[i] for i in (1, 2, 4)]
    x = observations(1)[0]
    wanted = {a.manifest.model_id: np.stack(OnnxEnsemble([a]).vote(x)) for a in plain}
    with ThreadPoolExecutor(1) as pool:
        ensemble = OnnxEnsemble(plain[:1], pool.submit)
        swaps = 0
        for k in range(1_000_000):
            if k >= 1_000 and swaps > 3:
                break
            if ensemble._next is None:
                ensemble.prepare([candidate(plain[swaps % 3])])
            swaps += ensemble.swap()
            (name,) = ensemble.model_ids
            assert np.array_equal(np.stack(ensemble.vote(x)), wanted[name]), k
    assert swaps > 3
