"""Artifacts: a directory with ``model.onnx`` and ``manifest.json``, written whole and read with suspicion.

`load_artifact` checks everything that can be checked without running the model; `adapters.onnx_policy` runs the golden
vectors. Nothing here unpickles anything.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np

from adapters.network import Network
from adapters.network_graph import network_from_onnx
from core.actions import ActionSpec
from core.bars import interval_ns
from core.errors import ArtifactError, ConfigError, UsageError
from core.features import FeatureSpec
from core.observation import POSITION_COLUMNS
from core.selection import Calibrated
from core.times import iso, parse_time

__all__ = [
    "MANIFEST",
    "MODEL",
    "Artifact",
    "ExportCheck",
    "Golden",
    "Manifest",
    "TrainedWith",
    "Training",
    "check_past",
    "load_artifact",
    "load_manifest",
    "seal",
    "sha256_of",
    "write_artifact",
]

MODEL, MANIFEST = "model.onnx", "manifest.json"

_HEADS = {"softmax": "discrete", "normal": "continuous"}
"""The kind of actions that a network's head gives."""
_GOLDEN_STEPS = 8
"""Fewest golden observations of a recurrent model: a state that is never read twice proves nothing."""
_NO_GRAPHS = {b"PK": "a zip archive", b"\x80": "a pickle", b"\x1f\x8b": "a gzip archive"}
"""What else trainers save, by its first bytes."""


class TrainedWith(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Costs of training as fractions of notional (`core.costs.CostParams`), and the hash of the configuration."""

    taker: float
    maker: float
    away: float
    config_hash: str


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model came about.

    All ranges are ISO times (UTC) of decision closes: the weights were fitted on (start, fit_end], the checkpoint and
    the calibration were chosen on (validation_start, end]; (test_start, test_end] is where the model will be judged,
    None where nobody planned that. At least ``purge_bars`` decision bars lie between two of them. ``data_hash`` covers
    the bars and fundings of (start, end]. ``candidate`` names the algorithm with its settings. ``timesteps`` decisions
    trained on, ``chosen_timesteps`` those of the checkpoint kept; ``warm_start``: they began from imitation.
    """

    algorithm: Literal["ppo", "a2c", "dqn", "qrdqn", "sac", "recurrent_ppo"]
    seed: int
    trial_id: str
    candidate: str
    start: str
    fit_end: str
    validation_start: str
    end: str
    test_start: str | None
    test_end: str | None
    purge_bars: int
    data_hash: str
    timesteps: int
    chosen_timesteps: int
    warm_start: bool
    hyperparameters: dict[str, Any]
    command: str


class ExportCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest difference between the trainer's network and the exported one over ``rows`` observations."""

    rows: int
    max_abs_difference: float


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Observations [k, D], and what the model gave for them at export: ``answers`` [k, A].

    A recurrent model took them one after the other from a state of zeros; ``states`` [k, 2H] are those after each. For
    other models it is empty.
    """

    observations: list[list[float]]
    answers: list[list[float]]
    states: list[list[float]]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of a model.

    ``recurrent_width`` of the hidden state, 0 without one. ``calibration`` None where the confidence is the network's
    own. ``sha256`` is that of ``model.onnx``; ``manifest_sha256`` that of this manifest without it (`seal`).
    """

    format: Literal[2]
    model_id: str
    features: FeatureSpec
    features_digest: str
    position_columns: tuple[str, ...]
    actions: ActionSpec
    recurrent_width: int
    instruments: tuple[str, ...]
    bar_types: tuple[str, ...]
    decision_interval: str
    training: Training
    costs: TrainedWith
    versions: dict[str, str]
    git_revision: str
    selection: dict[str, float]
    calibration: Calibrated | None
    export: ExportCheck
    golden: Golden
    sha256: str
    signature: str | None
    manifest_sha256: str = ""


class Artifact(NamedTuple):
    """A model that is what its manifest says, not yet run."""

    manifest: Manifest
    model_bytes: bytes
    network: Network


def sha256_of(content: bytes) -> str:
    """Return the SHA-256 (hex) of bytes."""
    return hashlib.sha256(content).hexdigest()


def load_manifest(directory: Path) -> Manifest:
    """Return the manifest of an artifact.

    Raises
    ------
    ArtifactError
        Where there is none, or where it is not of this form.
    """
    content = _read(directory, MANIFEST)
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, ConfigError) as error:
        raise ArtifactError(f"{directory / MANIFEST} is no manifest: {error}; restore it or train anew") from None
    sealed = seal(manifest).manifest_sha256
    if sealed != manifest.manifest_sha256:
        raise ArtifactError(
            f"{directory / MANIFEST} has SHA-256 {sealed[:16]}, it says {manifest.manifest_sha256[:16]}: it was "
            "changed; restore it or train anew"
        )
    return manifest


def seal(manifest: Manifest) -> Manifest:
    """Return a manifest with the digest of its own content: no word of it can change unnoticed."""
    bare = msgspec.structs.replace(manifest, manifest_sha256="")
    return msgspec.structs.replace(bare, manifest_sha256=sha256_of(msgspec.json.encode(bare)))


def load_artifact(directory: Path, *, spec: FeatureSpec) -> Artifact:
    """Return a checked artifact.

    Parameters
    ----------
    directory : Path
        Holds ``model.onnx`` and ``manifest.json``.
    spec : FeatureSpec
        The features that will be fed to it.

    Raises
    ------
    ArtifactError
        For a file that is absent, changed or of another form; for other features, inputs or actions; for ranges of
        training, validation and test that overlap.
    """
    manifest = load_manifest(directory)
    model_bytes = _read(directory, MODEL)
    kind = next((name for start, name in _NO_GRAPHS.items() if model_bytes.startswith(start)), None)
    if kind is not None:
        raise ArtifactError(
            f"{directory / MODEL} is {kind}, no ONNX graph, and is never opened; restore it or train anew"
        )
    found = sha256_of(model_bytes)
    if found != manifest.sha256:
        raise ArtifactError(
            f"{directory / MODEL} has SHA-256 {found[:16]}, its manifest says {manifest.sha256[:16]}: the file was "
            "changed; restore it or train anew"
        )
    _check_features(directory, manifest, spec)
    network = network_from_onnx(model_bytes, where=str(directory / MODEL))
    widths = (spec.observation_width, manifest.actions.width)
    if (network.shape[0], network.shape[-1]) != widths:
        raise ArtifactError(
            f"{directory / MODEL} maps {network.shape[0]} inputs to {network.shape[-1]} outputs, its manifest says "
            f"{widths[0]} to {widths[1]}; train anew"
        )
    if manifest.actions.kind != _HEADS[network.head]:
        raise ArtifactError(
            f"{directory} has {manifest.actions.kind} actions, its graph gives {_HEADS[network.head]} ones; train anew"
        )
    if network.state_width != 2 * manifest.recurrent_width:
        raise ArtifactError(
            f"{directory / MODEL} has a recurrent state of {network.state_width}, its manifest says "
            f"{2 * manifest.recurrent_width}; train anew"
        )
    _check_ranges(directory, manifest)
    _check_golden(directory, manifest, widths)
    return Artifact(manifest, model_bytes, network)


def check_past(directory: Path, manifest: Manifest, *, now_ns: int) -> None:
    """Refuse a model that says it has seen data of the future.

    Raises
    ------
    ArtifactError
        Where its training or its test ends after ``now_ns``.
    """
    training = manifest.training
    for name, end in (("training", training.end), ("test", training.test_end)):
        if end is not None and parse_time(end, name) > now_ns:
            raise ArtifactError(
                f"{directory}: its {name} range ends on {end}, which is in the future (it is {iso(now_ns)}): "
                "the manifest or this machine's clock is wrong; train anew"
            )


def write_artifact(directory: Path, *, model_bytes: bytes, manifest: Manifest) -> None:
    """Write an artifact into a fresh directory: it is there whole, or not at all.

    Raises
    ------
    ArtifactError
        Where the directory exists: an artifact never changes.
    """
    if directory.exists():
        raise ArtifactError(f"{directory} exists and an artifact never changes; remove it or choose another --out")
    directory.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        for name, content in (
            (MODEL, model_bytes),
            (MANIFEST, msgspec.json.format(msgspec.json.encode(seal(manifest)), indent=1)),
        ):
            with (scratch / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        scratch.chmod(0o755)
        scratch.rename(directory)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _read(directory: Path, name: str) -> bytes:
    if not directory.is_dir():
        raise ArtifactError(f"no model at {directory}: name a directory with {MODEL} and {MANIFEST}")
    try:
        return (directory / name).read_bytes()
    except OSError as error:
        raise ArtifactError(f"{directory / name} cannot be read: {error.strerror}; restore it or train anew") from None


def _check_features(directory: Path, manifest: Manifest, spec: FeatureSpec) -> None:
    if manifest.features.digest != manifest.features_digest:
        raise ArtifactError(
            f"{directory}: the features have digest {manifest.features.digest[:12]}, the manifest says "
            f"{manifest.features_digest[:12]}: it was changed; restore it or train anew"
        )
    if manifest.features_digest != spec.digest:
        raise ArtifactError(
            f"{directory} wants features {manifest.features.name} v{manifest.features.version} "
            f"{manifest.features.decision_interval} ({manifest.features_digest[:12]}), this program computes "
            f"{spec.name} v{spec.version} {spec.decision_interval} ({spec.digest[:12]}); train anew, or use the "
            "version and the intervals it was trained with"
        )
    if manifest.position_columns != POSITION_COLUMNS:
        raise ArtifactError(
            f"{directory} wants position inputs {manifest.position_columns}, this program gives {POSITION_COLUMNS}; "
            "train anew"
        )


def _check_ranges(directory: Path, manifest: Manifest) -> None:
    """Refuse a model whose parts of history overlap, the purge between them included."""
    training = manifest.training
    purge_ns = training.purge_bars * interval_ns(manifest.features.decision_interval)
    parts = [("fit", training.start, training.fit_end), ("validation", training.validation_start, training.end)]
    if training.test_start is not None and training.test_end is not None:
        parts.append(("test", training.test_start, training.test_end))
    if training.purge_bars < 0 or (training.test_start is None) != (training.test_end is None):
        raise ArtifactError(f"{directory}: half a test range or a purge below 0; restore it or train anew")
    before, until_ns = "", -purge_ns
    for name, start, end in parts:
        try:
            start_ns, end_ns = parse_time(start, f"its {name} start"), parse_time(end, f"its {name} end")
        except UsageError as error:
            raise ArtifactError(f"{directory}: {error}; restore it or train anew") from None
        if end_ns <= start_ns:
            raise ArtifactError(f"{directory}: its {name} range {start} to {end} is empty; restore it or train anew")
        if start_ns < until_ns + purge_ns:
            raise ArtifactError(
                f"{directory}: its {name} range begins on {start}, its {before} ends on {iso(until_ns)} and "
                f"{training.purge_bars} bars must lie between: what was fitted on is no test; train anew"
            )
        before, until_ns = name, end_ns


def _check_golden(directory: Path, manifest: Manifest, widths: tuple[int, int]) -> None:
    """Refuse golden vectors that could prove nothing."""
    golden, recurrent = manifest.golden, manifest.recurrent_width
    count = len(golden.observations)
    wanted = (
        (golden.observations, count, widths[0]),
        (golden.answers, count, widths[1]),
        (golden.states, count if recurrent else 0, 2 * recurrent),
    )
    if count == 0 or any(len(rows) != k or {len(row) for row in rows} - {width} for rows, k, width in wanted):
        raise ArtifactError(f"{directory}: golden vectors do not have the shape of the model; restore it or train anew")
    if recurrent and count < _GOLDEN_STEPS:
        raise ArtifactError(
            f"{directory}: {count} golden vectors of a recurrent model, at least {_GOLDEN_STEPS} are needed; train anew"
        )
    if not all(np.isfinite(rows).all() for rows, _, _ in wanted):
        raise ArtifactError(f"{directory}: golden vectors are not finite; restore it or train anew")
