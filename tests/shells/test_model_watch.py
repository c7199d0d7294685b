"""A directory of models watched while others serve: what is offered, what is not yet, what is refused, and once."""

import shutil
import time
from functools import partial

import pytest

from adapters.model_store import MANIFEST, MODEL
from adapters.model_watch import ModelWatch, ScriptedModels
from adapters.onnx_policy import load_checked
from tests.unit.networks import SPEC, artifact, edit, random_network

LOAD = partial(load_checked, spec=SPEC)


def looked(watch, seen=0, times=2):
    """Look until what is there has settled; return what is new as (kind, name)."""
    for _ in range(times):
        watch.look()
    return [(offer.kind, offer.candidate.model_id) for offer in watch.offers(0, seen)]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def test_what_serves_is_not_offered_what_comes_and_goes_is(folder):
    first = artifact(folder / "a", random_network(1))
    watch = ModelWatch(folder, LOAD, known=[first])
    assert looked(watch) == []
    artifact(folder / "b", random_network(2))
    assert looked(watch) == [("arrived", "b")]
    shutil.rmtree(first)
    assert looked(watch, seen=1) == [("withdrawn", "a")]
    assert looked(watch, seen=2) == []


def test_a_model_is_offered_with_its_hash_and_not_before_two_looks_agree(folder):
    watch = ModelWatch(folder, LOAD)
    artifact(folder / "a", random_network(1))
    assert looked(watch, times=1) == []
    assert looked(watch, times=1) == [("arrived", "a")]
    assert watch.offers(0, 0)[0].candidate.sha256 == LOAD(folder / "a").manifest.sha256


def test_half_a_model_is_left_alone_until_it_is_whole(folder, tmp_path):
    """Copied file by file, each in two halves, with any number of looks between."""
    source = artifact(tmp_path / "a", random_network(1))
    watch = ModelWatch(folder, LOAD)
    (folder / "a").mkdir()
    assert looked(watch, times=3) == []
    for name in (MODEL, MANIFEST):
        content = (source / name).read_bytes()
        with (folder / "a" / name).open("wb") as file:
            file.write(content[: len(content) // 2])
            file.flush()
            assert looked(watch, times=1) == []
            file.write(content[len(content) // 2 :])
        assert looked(watch, times=1) == []
    assert looked(watch, times=1) == [("arrived", "a")]


def test_an_artifact_that_is_being_written_by_us_is_not_seen(folder):
    artifact(folder / ".a-x1", random_network(1))
    assert looked(ModelWatch(folder, LOAD)) == []


def test_a_bad_model_is_refused_once_with_its_reason_and_again_only_when_it_changes(folder):
    place = artifact(folder / "bad", random_network(1))
    edit(place, ("golden", "answers", 0, 0), 0.9)
    watch = ModelWatch(folder, LOAD)
    assert looked(watch, times=6) == [("refused", "bad")]
    assert "differs from its golden vectors" in watch.offers(0, 0)[0].reason
    edit(place, ("golden", "answers", 0, 0), 0.8)
    assert looked(watch, seen=1, times=6) == [("refused", "bad")]
    shutil.rmtree(place)
    assert looked(watch, seen=2) == [], "what never served is not withdrawn"


def test_a_changed_directory_offers_its_new_model_and_the_old_one_stays_until_that_is_active(folder):
    place = artifact(folder / "a", random_network(1))
    watch = ModelWatch(folder, LOAD, known=[place])
    shutil.rmtree(place)
    artifact(place, random_network(2))
    assert looked(watch) == [("arrived", "a")]
    shutil.rmtree(place)
    artifact(place, random_network(3), model_id="other")
    assert looked(watch, seen=1) == [("withdrawn", "a"), ("arrived", "other")]


def test_a_model_that_cannot_be_read_again_after_a_bad_change_keeps_serving_and_the_change_is_refused(folder):
    place = artifact(folder / "a", random_network(1))
    watch = ModelWatch(folder, LOAD, known=[place])
    (place / MODEL).write_bytes(b"PK\x03\x04")
    assert looked(watch) == [("refused", "a")]


def test_a_folder_that_is_away_withdraws_nothing(folder):
    watch = ModelWatch(folder, LOAD, known=[artifact(folder / "a", random_network(1))])
    folder.rename(folder.with_name("away"))
    assert looked(watch) == []
    folder.with_name("away").rename(folder)
    assert looked(watch) == []


def test_the_thread_looks_by_itself_and_ends(folder):
    with ModelWatch(folder, LOAD, poll_seconds=0.01) as watch:
        artifact(folder / "a", random_network(1))
        until = time.monotonic() + 20.0
        while not watch.offers(0, 0):
            assert time.monotonic() < until, "it never looked"
    assert not watch._thread.is_alive()


def test_a_script_offers_each_model_at_its_time_and_to_everybody_alike(tmp_path):
    good, bad = artifact(tmp_path / "good", random_network(1)), artifact(tmp_path / "bad", random_network(2))
    edit(bad, ("sha256",), "0" * 64)
    script = ScriptedModels([(20, bad), (10, good)], LOAD)
    seen = [[(o.kind, o.candidate.model_id) for o in script.offers(ts, 0)] for ts in (9, 10, 19, 20)]
    assert seen == [[], [("arrived", "good")], [("arrived", "good")], [("arrived", "good"), ("refused", "bad")]]
    assert [o.kind for o in script.offers(20, 1)] == ["refused"]
    assert list(script.offers(10, 1)) == [], "a reader that is behind in time sees no more than it should"
