"""From a trained algorithm to an artifact: canonical network, proof of equality, golden vectors, manifest."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from adapters.model_store import (
    ExportCheck,
    Golden,
    Manifest,
    TrainedWith,
    Training,
    sha256_of,
    write_artifact,
)
from adapters.network import Network
from adapters.network_graph import network_to_onnx
from adapters.onnx_policy import answers, load_checked
from core.actions import ActionSpec
from core.bars import bar_type
from core.errors import ArtifactError
from core.features import FeatureSpec
from core.observation import POSITION_COLUMNS
from core.selection import Calibrated
from training.policy_network import network_of, policy_answers

__all__ = ["EQUALITY_ROWS", "EQUALITY_TOLERANCE", "check_equality", "export", "git_revision", "network_of", "versions"]

Float32Array = npt.NDArray[np.float32]

EQUALITY_ROWS = 10_000
EQUALITY_TOLERANCE = 1e-5
"""Largest difference of an answer between the trainer's network and the exported graph."""
_SEQUENCE = 50
"""Decisions in a row on which recurrent networks are compared."""
_GOLDEN_ROWS = 16


def check_equality(model: Any, network: Network, observations: Float32Array) -> ExportCheck:
    """Compare what the trainer's own layers say with what the exported graph says.

    Parameters
    ----------
    model : stable_baselines3 algorithm
        Any of the six; its policy takes normalised observations.
    network : Network
        As `network_of` returns it, its confidence calibrated or not.
    observations : float32[n, D]
        Not normalised. A recurrent network takes them as sequences of 50.

    Raises
    ------
    ArtifactError
        Where they differ by more than `EQUALITY_TOLERANCE`, or on too few rows.
    """
    rows = len(observations)
    if rows < EQUALITY_ROWS:
        raise ArtifactError(f"equality was asked for on {rows} rows, at least {EQUALITY_ROWS} are needed")
    steps = 1 if network.lstm is None else _SEQUENCE
    sequences = -(-rows // steps)
    given = np.resize(observations, (sequences, steps, observations.shape[1])).swapaxes(0, 1)
    given = np.ascontiguousarray(given)
    found = answers(network, given)[0]
    difference = float(np.abs(found - policy_answers(model, network, given)).max())
    if not difference <= EQUALITY_TOLERANCE:
        raise ArtifactError(
            f"the exported graph differs from the trained network by {difference:.2g} over {rows} rows, "
            f"at most {EQUALITY_TOLERANCE} is allowed; nothing was written"
        )
    return ExportCheck(rows=rows, max_abs_difference=difference)


def versions() -> dict[str, str]:
    """Return the versions of everything that a training depends on."""
    names = (
        "numpy", "numba", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "onnx", "onnxruntime", "autotrade",
    )  # fmt: skip
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def git_revision(directory: Path) -> str:
    """Return the revision of the code, ``-dirty`` behind it where it was changed, or ``unknown``."""
    command = ["git", "-C", str(directory), "describe", "--always", "--dirty", "--abbrev=40", "--match", ""]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip() if answer.returncode == 0 and answer.stdout.strip() else "unknown"


def export(
    directory: Path,
    *,
    model: Any,
    network: Network,
    observations: Float32Array,
    spec: FeatureSpec,
    actions: ActionSpec,
    instruments: tuple[str, ...],
    training: Training,
    costs: TrainedWith,
    selection: dict[str, float],
    calibration: Calibrated | None,
) -> Manifest:
    """Write a policy as an artifact, then load it back with every check.

    Parameters
    ----------
    directory : Path
        Made here; its name is the model's.
    model : stable_baselines3 algorithm
        What the network must be equal to; its policy takes normalised observations.
    network : Network
        What is written: `network_of` the model, its confidence calibrated.
    observations : float32[n, D]
        At least `EQUALITY_ROWS`, not normalised; the golden vectors of a recurrent network are the first of them, in
        their order, those of others are spread over them.
    spec, actions, instruments, training, costs, selection, calibration
        Written into the manifest.

    Returns
    -------
    Manifest
        As it was read back.

    Raises
    ------
    ArtifactError
        Where the graph is not equal to the policy, or the directory exists.
    """
    checked = check_equality(model, network, observations)
    model_bytes = network_to_onnx(network)
    spread = np.linspace(0, len(observations) - 1, _GOLDEN_ROWS).astype(int)
    golden = observations[spread if network.lstm is None else np.arange(_GOLDEN_ROWS)]
    said, states = answers(network, golden[:, np.newaxis, :])
    manifest = Manifest(
        format=2,
        model_id=directory.name,
        features=spec,
        features_digest=spec.digest,
        position_columns=POSITION_COLUMNS,
        actions=actions,
        recurrent_width=0 if network.lstm is None else network.lstm.width,
        instruments=instruments,
        bar_types=tuple(bar_type(name, spec.base_interval) for name in instruments),
        decision_interval=spec.decision_interval,
        training=training,
        costs=costs,
        versions=versions(),
        git_revision=git_revision(Path(__file__).parent),
        selection=selection,
        calibration=calibration,
        export=checked,
        golden=Golden(
            observations=_rows(golden),
            answers=_rows(said[:, 0, :]),
            states=_rows(states[:, 0, :]) if network.lstm is not None else [],
        ),
        sha256=sha256_of(model_bytes),
        signature=None,
    )
    write_artifact(directory, model_bytes=model_bytes, manifest=manifest)
    return load_checked(directory, spec=spec).manifest


def _rows(values: Float32Array) -> list[list[float]]:
    """Return float32 rows as the shortest decimals that read back the same."""
    return [[float(str(value)) for value in row] for row in values]
