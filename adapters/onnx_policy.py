"""An ensemble of ONNX models as one policy: checked at load, evaluated as one stacked graph for each kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from adapters.model_store import Artifact, load_artifact
from adapters.network import Network
from adapters.network_graph import INPUT, NEXT_STATE, OUTPUTS, STATE, network_to_onnx, stacked_to_onnx
from core.actions import decode_continuous, decode_discrete
from core.errors import ArtifactError
from core.features import FeatureSpec

__all__ = ["GOLDEN_TOLERANCE", "OnnxEnsemble", "answers", "load_checked", "open_session"]

GOLDEN_TOLERANCE = 1e-5
"""Largest difference between a golden answer or state and what the model says of it here."""

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]


def open_session(model_bytes: bytes) -> Any:
    """Return a session on the CPU that uses the calling thread alone and never spins."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(model_bytes, options, providers=["CPUExecutionProvider"])


def answers(network: Network, observations: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return what the ONNX graph of a network says of observations that follow each other.

    Parameters
    ----------
    network : Network
        Of any kind.
    observations : float32[k, B, D]
        k steps of B sequences that know nothing of each other; without a recurrent state each row stands alone.

    Returns
    -------
    tuple[float32[k, B, A], float32[k, B, 2H]]
        Answers of the head, and the recurrent states after each step, which are zero before the first.
    """
    session = open_session(network_to_onnx(network))
    output = OUTPUTS[network.head]
    steps, rows, width = observations.shape
    if network.lstm is None:
        flat = session.run([output], {INPUT: observations.reshape(-1, width)})[0]
        return flat.reshape(steps, rows, -1), np.zeros((steps, rows, 0), dtype=np.float32)
    said = np.empty((steps, rows, network.shape[-1]), dtype=np.float32)
    states = np.empty((steps, rows, network.state_width), dtype=np.float32)
    state: Float32Array = np.zeros((rows, network.state_width), dtype=np.float32)
    for step, row in enumerate(observations):
        said[step], state = session.run([output, NEXT_STATE], {INPUT: row, STATE: state})
        states[step] = state
    return said, states


def load_checked(directory: Path, *, spec: FeatureSpec) -> Artifact:
    """Return an artifact that passed every check, its golden vectors included.

    Raises
    ------
    ArtifactError
        As `adapters.model_store.load_artifact`, and where the model does not repeat its golden vectors.
    """
    artifact = load_artifact(directory, spec=spec)
    golden = artifact.manifest.golden
    given = np.array(golden.observations, dtype=np.float32)
    found = answers(artifact.network, given[:, np.newaxis, :])
    wanted = (golden.answers, golden.states)
    differences = [np.abs(a[:, 0, :] - np.array(b)).max(initial=0.0) for a, b in zip(found, wanted, strict=True)]
    difference = float(np.max(differences))
    if not difference <= GOLDEN_TOLERANCE:
        raise ArtifactError(
            f"{directory} differs from its golden vectors by {difference:.2g}, at most {GOLDEN_TOLERANCE} is allowed: "
            "its manifest was changed or this machine computes wrongly; restore it or train anew"
        )
    return artifact


class OnnxEnsemble:
    """N models as one callable (`core.protocols.Policy`) for one instrument.

    Models of one kind and one action map are evaluated as a single graph of batched products, whose weights are those
    of the artifacts; the order of the votes is the order of the models. What recurrent models remember of the
    observations so far is kept here, so every instrument needs an ensemble of its own.

    Parameters
    ----------
    artifacts : Sequence[Artifact]
        At least one, checked.

    Attributes
    ----------
    model_ids, model_hashes : tuple[str, ...]
        Name and SHA-256 of each model, in the order of the votes.

    Raises
    ------
    ArtifactError
        For no model at all, or one that is in the ensemble twice.
    """

    def __init__(self, artifacts: Sequence[Artifact]) -> None:
        self.model_ids = tuple(a.manifest.model_id for a in artifacts)
        self.model_hashes = tuple(a.manifest.sha256 for a in artifacts)
        if not artifacts:
            raise ArtifactError("an ensemble of no models; name at least one artifact")
        twice = next((i for i, h in enumerate(self.model_hashes) if h in self.model_hashes[:i]), None)
        if twice is not None:
            raise ArtifactError(f"model {self.model_ids[twice]} is in the ensemble twice; name each model once")
        groups: dict[Any, list[int]] = {}
        for place, artifact in enumerate(artifacts):
            groups.setdefault((artifact.network.kind, artifact.manifest.actions), []).append(place)
        self._row: Float32Array = np.zeros((1, artifacts[0].network.shape[0]), dtype=np.float32)
        self._groups = [
            _Group(np.array(places), [artifacts[place] for place in places], self._row) for places in groups.values()
        ]
        self._levels = np.empty(len(artifacts))
        self._confidences = np.empty(len(artifacts))
        self.vote(self._row[0])  # compiles and warms everything that a decision will touch
        self.reset()

    @classmethod
    def load(cls, directories: Sequence[Path], *, spec: FeatureSpec) -> Self:
        """Load and check artifacts, one directory each.

        Raises
        ------
        ArtifactError
            For the first artifact that is refused (`load_checked`).
        """
        return cls([load_checked(Path(directory), spec=spec) for directory in directories])

    def reset(self) -> None:
        """Forget all observations."""
        for group in self._groups:
            group.state[:] = 0.0

    def vote(self, observation: Float32Array) -> tuple[FloatArray, FloatArray]:
        """Return the level and the confidence of each model's vote; recurrent models remember the observation.

        Parameters
        ----------
        observation : float32[D]
            As `core.observation.observe` writes it.

        Returns
        -------
        tuple[float64[N], float64[N]]
            The next call may overwrite both.
        """
        self._row[0] = observation
        if len(self._groups) == 1:
            return self._groups[0].vote()
        for group in self._groups:
            levels, confidences = group.vote()
            self._levels[group.places] = levels
            self._confidences[group.places] = confidences
        return self._levels, self._confidences


class _Group:
    """Models of one kind and one action map: their places among the votes, and one graph for all of them.

    The graph reads the ensemble's only input ``row`` float32[1, D] and the group's ``state`` float32[n, 1, 2H], and
    writes float64[n, A] and the next state, all bound once: that takes a fifth off every call. The arrays are kept here
    because a binding does not own them.
    """

    def __init__(self, places: npt.NDArray[np.int64], artifacts: Sequence[Artifact], row: Float32Array) -> None:
        first = artifacts[0]
        count = len(artifacts)
        self.places = places
        self.state: Float32Array = np.zeros((count, 1, first.network.state_width), dtype=np.float32)
        self._next_state = np.zeros_like(self.state)
        self._recurrent = first.network.lstm is not None
        self._levels = np.array(first.manifest.actions.levels) if first.network.head == "softmax" else None
        self._answer = np.empty((count, first.network.shape[-1]))
        self._session = open_session(stacked_to_onnx([artifact.network for artifact in artifacts]))
        self._binding = self._session.io_binding()
        self._binding.bind_cpu_input(INPUT, row)
        bound: dict[str, npt.NDArray[Any]] = {OUTPUTS[first.network.head]: self._answer}
        if self._recurrent:
            self._binding.bind_cpu_input(STATE, self.state)
            bound[NEXT_STATE] = self._next_state
        for name, array in bound.items():
            self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)

    def vote(self) -> tuple[FloatArray, FloatArray]:
        """Return the votes on what stands in the input."""
        self._session.run_with_iobinding(self._binding)
        if self._recurrent:
            self.state[:] = self._next_state
        if self._levels is None:
            return decode_continuous(self._answer)
        return decode_discrete(self._answer, self._levels)
