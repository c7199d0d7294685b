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

from adapters.network import Network, network_from_onnx
from core.actions import ActionSpec
from core.errors import ArtifactError, ConfigError
from core.features import FeatureSpec
from core.observation import POSITION_COLUMNS

__all__ = [
    "MANIFEST",
    "MODEL",
    "Artifact",
    "ExportCheck",
    "Golden",
    "Manifest",
    "TrainedWith",
    "Training",
    "load_artifact",
    "load_manifest",
    "seal",
    "sha256_of",
    "write_artifact",
]

MODEL, MANIFEST = "model.onnx", "manifest.json"


class TrainedWith(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Costs of training as fractions of notional (`core.costs.CostParams`), and the hash of the configuration."""

    taker: float
    maker: float
    away: float
    config_hash: str


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model came about.

    ``start``, ``end``, ``validation_start`` ISO times (UTC) of decision closes; the weights were fitted on
    (start, validation_start], the checkpoint was chosen on (validation_start, end]. ``data_hash`` covers the bars and
    fundings of the whole range. ``timesteps`` decisions trained on, ``chosen_timesteps`` those of the checkpoint kept.
    """

    algorithm: Literal["ppo", "a2c"]
    seed: int
    trial_id: str
    start: str
    end: str
    validation_start: str
    data_hash: str
    timesteps: int
    chosen_timesteps: int
    hyperparameters: dict[str, Any]
    command: str


class ExportCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Largest difference between the trainer's network and the exported one over ``rows`` observations."""

    rows: int
    max_abs_difference: float


class Golden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Observations [k, D] and the probabilities [k, A] that the model gave for them at export."""

    observations: list[list[float]]
    probabilities: list[list[float]]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that is known of a model.

    ``sha256`` is that of ``model.onnx``; ``manifest_sha256`` that of this manifest without it (`seal`).
    """

    format: Literal[1]
    model_id: str
    features: FeatureSpec
    features_digest: str
    position_columns: tuple[str, ...]
    actions: ActionSpec
    instruments: tuple[str, ...]
    bar_types: tuple[str, ...]
    decision_interval: str
    training: Training
    costs: TrainedWith
    versions: dict[str, str]
    git_revision: str
    selection: dict[str, float]
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
        For a file that is absent, changed or of another form; for other features, inputs or actions.
    """
    manifest = load_manifest(directory)
    model_bytes = _read(directory, MODEL)
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
    if manifest.actions.kind != "discrete":
        raise ArtifactError(
            f"{directory} has {manifest.actions.kind} actions, its graph gives discrete ones; train anew"
        )
    _check_golden(directory, manifest, widths)
    return Artifact(manifest, model_bytes, network)


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


def _check_golden(directory: Path, manifest: Manifest, widths: tuple[int, int]) -> None:
    """Refuse golden vectors that could prove nothing."""
    golden = manifest.golden
    count = len(golden.observations)
    shapes = {len(row) for row in golden.observations}, {len(row) for row in golden.probabilities}
    if count == 0 or len(golden.probabilities) != count or shapes != ({widths[0]}, {widths[1]}):
        raise ArtifactError(f"{directory}: golden vectors do not have the shape of the model; restore it or train anew")
    if not np.isfinite(golden.observations).all() or not np.isfinite(golden.probabilities).all():
        raise ArtifactError(f"{directory}: golden vectors are not finite; restore it or train anew")
