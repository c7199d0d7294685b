"""From a trained policy to an artifact: canonical graph, proof of equality, golden vectors, manifest."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from adapters.model_store import (
    ExportCheck,
    Golden,
    Manifest,
    TrainedWith,
    Training,
    sha256_of,
    write_artifact,
)
from adapters.network import CLIP, INPUT, OUTPUT, Activation, Network, network_to_onnx
from adapters.onnx_policy import load_checked, open_session
from core.actions import ActionSpec
from core.bars import bar_type
from core.errors import ArtifactError
from core.features import FeatureSpec
from core.observation import POSITION_COLUMNS
from training.market import Normaliser

__all__ = ["EQUALITY_ROWS", "EQUALITY_TOLERANCE", "check_equality", "export", "git_revision", "network_of", "versions"]

Float32Array = npt.NDArray[np.float32]

EQUALITY_ROWS = 10_000
EQUALITY_TOLERANCE = 1e-5
"""Largest difference of a probability between the trainer's network and the exported graph."""
_GOLDEN_ROWS = 16


def network_of(policy: Any, normaliser: Normaliser) -> Network:
    """Return the canonical network of a stable-baselines3 actor-critic policy.

    Its policy layers and its action layer are read; the value function stays behind.

    Raises
    ------
    ArtifactError
        For a policy that is not a plain perceptron with one kind of activation.
    """
    layers = [*policy.mlp_extractor.policy_net, policy.action_net]
    linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
    between = {type(layer).__name__ for layer in layers if not isinstance(layer, torch.nn.Linear)}
    names: dict[str, Activation] = {"Tanh": "Tanh", "ReLU": "Relu"}
    if len(between) != 1 or not between <= set(names) or len(layers) != 2 * len(linear) - 1:
        raise ArtifactError(f"a policy of layers {[type(layer).__name__ for layer in layers]} cannot be exported")
    return Network(
        normaliser.mean,
        normaliser.scale,
        tuple(np.ascontiguousarray(layer.weight.detach().numpy().T) for layer in linear),
        tuple(layer.bias.detach().numpy().copy() for layer in linear),
        names[between.pop()],
    )


def check_equality(policy: Any, network: Network, observations: Float32Array) -> ExportCheck:
    """Compare the trainer's probabilities with those of the exported graph.

    Parameters
    ----------
    policy : stable_baselines3 policy
        Takes normalised observations.
    network : Network
        As `network_of` returns it.
    observations : float32[n, D]
        Not normalised.

    Raises
    ------
    ArtifactError
        Where they differ by more than `EQUALITY_TOLERANCE`, or on too few rows.
    """
    if len(observations) < EQUALITY_ROWS:
        raise ArtifactError(f"equality was asked for on {len(observations)} rows, at least {EQUALITY_ROWS} are needed")
    found = open_session(network_to_onnx(network)).run([OUTPUT], {INPUT: observations})[0]
    scaled = np.clip((observations - network.mean) * network.scale, -CLIP, CLIP, dtype=np.float32)
    with torch.no_grad():
        wanted = policy.get_distribution(torch.from_numpy(scaled)).distribution.probs.numpy()
    difference = float(np.abs(found - wanted).max())
    if not difference <= EQUALITY_TOLERANCE:
        raise ArtifactError(
            f"the exported graph differs from the trained network by {difference:.2g} over {len(observations)} rows, "
            f"at most {EQUALITY_TOLERANCE} is allowed; nothing was written"
        )
    return ExportCheck(rows=len(observations), max_abs_difference=difference)


def versions() -> dict[str, str]:
    """Return the versions of everything that a training depends on."""
    names = ("numpy", "numba", "torch", "stable-baselines3", "gymnasium", "onnx", "onnxruntime", "autotrade")
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
    policy: Any,
    normaliser: Normaliser,
    observations: Float32Array,
    spec: FeatureSpec,
    actions: ActionSpec,
    instruments: tuple[str, ...],
    training: Training,
    costs: TrainedWith,
    selection: dict[str, float],
) -> Manifest:
    """Write a policy as an artifact, then load it back with every check.

    Parameters
    ----------
    directory : Path
        Made here; its name is the model's.
    policy : stable_baselines3 policy
        Takes normalised observations.
    observations : float32[n, D]
        At least `EQUALITY_ROWS`, not normalised; the golden vectors are spread over them.
    normaliser, spec, actions, instruments, training, costs, selection
        Written into the graph and the manifest.

    Raises
    ------
    ArtifactError
        Where the graph is not equal to the policy, or the directory exists.
    """
    network = network_of(policy, normaliser)
    checked = check_equality(policy, network, observations)
    model_bytes = network_to_onnx(network)
    golden = observations[np.linspace(0, len(observations) - 1, _GOLDEN_ROWS).astype(int)]
    answers = open_session(model_bytes).run([OUTPUT], {INPUT: golden})[0]
    manifest = Manifest(
        format=1,
        model_id=directory.name,
        features=spec,
        features_digest=spec.digest,
        position_columns=POSITION_COLUMNS,
        actions=actions,
        instruments=instruments,
        bar_types=tuple(bar_type(name, spec.base_interval) for name in instruments),
        decision_interval=spec.decision_interval,
        training=training,
        costs=costs,
        versions=versions(),
        git_revision=git_revision(Path(__file__).parent),
        selection=selection,
        export=checked,
        golden=Golden(observations=_rows(golden), probabilities=_rows(answers)),
        sha256=sha256_of(model_bytes),
        signature=None,
    )
    write_artifact(directory, model_bytes=model_bytes, manifest=manifest)
    load_checked(directory, spec=spec)
    return manifest


def _rows(values: Float32Array) -> list[list[float]]:
    """Return float32 rows as the shortest decimals that read back the same."""
    return [[float(str(value)) for value in row] for row in values]
