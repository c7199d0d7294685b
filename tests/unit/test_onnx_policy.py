"""Artifacts: what is refused, and that nothing of them can change unnoticed."""

import io
import pickle
import zipfile

import pytest

from adapters.model_store import MANIFEST, MODEL, check_past, load_manifest
from adapters.network_graph import network_to_onnx
from adapters.onnx_policy import load_checked
from core.actions import ActionSpec
from core.errors import ArtifactError
from core.features import feature_spec
from core.times import parse_time
from tests.unit.networks import KINDS, SPEC, artifact, edit, random_network, trained


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("policy.pth", b"weights")
    return content.getvalue()


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
        (("golden", "answers", 0, 0), 0.9, "golden vectors by"),
        (("golden", "observations", 2, 3), 5.0, "golden vectors by"),
        (("golden", "observations"), [], "do not have the shape"),
        (("golden", "answers", 0), [1.0], "do not have the shape"),
        (("golden", "states"), [[0.0]], "do not have the shape"),
        (("recurrent_width",), 4, "has a recurrent state of 0, its manifest says 8"),
        (("actions", "levels"), [-1.0, 0.0, 1.0], "maps 64 inputs to 5 outputs"),
        (("actions", "kind"), "continuous", "maps 64 inputs to 5 outputs"),
        (("actions", "levels"), [1.0, 0.0], "is no manifest"),
        (("sha256",), "0" * 64, "its manifest says 0000"),
        (("format",), 1, "is no manifest"),
        (("training", "end"), "later", "validation end is 'later'"),
        (("training", "start"), "2023-07-01", "fit range 2023-07-01 to 2023-06-01 is empty"),
        (("training", "fit_end"), "2023-06-02", "validation range begins on 2023-06-03, its fit ends on 2023-06-02"),
        (("training", "end"), "2023-09-02", "test range begins on 2023-09-03, its validation ends on 2023-09-02"),
        (("training", "test_start"), "2023-08-01", "what was fitted on is no test"),
        (("training", "test_start"), None, "half a test range"),
        (("training", "purge_bars"), -1, "a purge below 0"),
        (("training", "purge_bars"), 193, "193 bars must lie between"),
        (("training", "algorithm"), "oracle", r"\$.training.algorithm"),
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


def test_a_forged_graph_is_refused_even_where_the_manifest_vouches_for_it(tmp_path):
    content = network_to_onnx(random_network(1)).replace(b"Softmax", b"Sigmoid")
    place = artifact(tmp_path / "m", random_network(1), model_bytes=content)
    with pytest.raises(ArtifactError, match=r"is no ONNX model|is not the canonical graph"):
        load_checked(place, spec=SPEC)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({"policy": [0.1]}), "is a pickle, no ONNX graph, and is never opened"),
        (zipped(), "is a zip archive, no ONNX graph, and is never opened"),
        (b"\x1f\x8b\x08\x00", "is a gzip archive, no ONNX graph"),
        (b"letters", "is no ONNX model"),
    ],
)
def test_what_other_trainers_save_is_never_opened(tmp_path, content, said):
    place = artifact(tmp_path / "m", random_network(1), model_bytes=content)
    with pytest.raises(ArtifactError, match=said):
        load_checked(place, spec=SPEC)


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_of_any_kind_passes_and_its_golden_vectors_are_run(tmp_path, kind):
    place = artifact(tmp_path / "m", random_network(1, **KINDS[kind]))
    assert load_checked(place, spec=SPEC).manifest == load_manifest(place)
    edit(place, ("golden", "answers", 9, 1), 0.7)
    with pytest.raises(ArtifactError, match="golden vectors by"):
        load_checked(place, spec=SPEC)


def test_a_recurrent_artifact_proves_its_memory(tmp_path):
    place = artifact(tmp_path / "m", random_network(1, recurrent=12))
    edit(place, ("golden", "states", 11, 20), 0.9)
    with pytest.raises(ArtifactError, match="golden vectors by"):
        load_checked(place, spec=SPEC)
    short = artifact(tmp_path / "short", random_network(1, recurrent=12), golden_rows=7)
    with pytest.raises(ArtifactError, match="7 golden vectors of a recurrent model, at least 8 are needed"):
        load_checked(short, spec=SPEC)


def test_a_head_that_does_not_fit_the_actions_is_refused(tmp_path):
    place = artifact(tmp_path / "m", random_network(1, **KINDS["normal"]), actions=ActionSpec(levels=(0.0, 1.0)))
    with pytest.raises(ArtifactError, match="has discrete actions, its graph gives continuous ones"):
        load_checked(place, spec=SPEC)


def test_a_purge_that_just_fits_passes(tmp_path):
    record = trained(fit_end="2023-06-01T00:00", validation_start="2023-06-03T00:00", purge_bars=192)
    load_checked(artifact(tmp_path / "m", random_network(1), training=record), spec=SPEC)
    untested = trained(test_start=None, test_end=None)
    load_checked(artifact(tmp_path / "n", random_network(1), training=untested), spec=SPEC)


@pytest.mark.parametrize(("now", "said"), [("2023-08-31", "training range ends"), ("2023-11-30", "test range ends")])
def test_a_model_that_has_seen_the_future_is_refused(tmp_path, now, said):
    place = artifact(tmp_path / "m", random_network(1))
    check_past(place, load_manifest(place), now_ns=parse_time("2023-12-01", "now"))
    with pytest.raises(ArtifactError, match=f"m: its {said} .* in the future"):
        check_past(place, load_manifest(place), now_ns=parse_time(now, "now"))


def test_an_artifact_never_changes_and_leaves_nothing_half_written(tmp_path):
    place = artifact(tmp_path / "m", random_network(1))
    with pytest.raises(ArtifactError, match="exists and an artifact never changes"):
        artifact(place, random_network(2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
    assert sorted(p.name for p in place.iterdir()) == [MANIFEST, MODEL]
