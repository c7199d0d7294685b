"""An ensemble of ONNX models as one policy: checked at load, evaluated as one stacked graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from adapters.model_store import Artifact, load_artifact
from adapters.network import INPUT, OUTPUT, stacked_to_onnx
from core.actions import decode_discrete
from core.errors import ArtifactError
from core.features import FeatureSpec

__all__ = ["GOLDEN_TOLERANCE", "OnnxEnsemble", "load_checked", "open_session"]

GOLDEN_TOLERANCE = 1e-5
"""Largest difference between a golden probability and what the model says of it here."""

FloatArray = npt.NDArray[np.float64]


class _Group(NamedTuple):
    """Models of one shape and one action map: their places among the votes, and one graph for all of them.

    The graph reads the ensemble's only input and writes ``probabilities`` float64[n, A], both bound once: that takes a
    fifth off every call. The arrays are kept here because a binding does not own them.
    """

    places: npt.NDArray[np.int64]
    levels: FloatArray
    session: Any
    binding: Any
    probabilities: FloatArray

    def vote(self) -> tuple[FloatArray, FloatArray]:
        """Return the votes on what stands in the input."""
        self.session.run_with_iobinding(self.binding)
        return decode_discrete(self.probabilities, self.levels)


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


def load_checked(directory: Path, *, spec: FeatureSpec) -> Artifact:
    """Return an artifact that passed every check, its golden vectors included.

    Raises
    ------
    ArtifactError
        As `adapters.model_store.load_artifact`, and where the model does not repeat its golden vectors.
    """
    artifact = load_artifact(directory, spec=spec)
    golden = artifact.manifest.golden
    session = open_session(artifact.model_bytes)
    given = np.array(golden.observations, dtype=np.float32)
    found = session.run([OUTPUT], {INPUT: given})[0]
    difference = float(np.abs(found - np.array(golden.probabilities)).max())
    if not difference <= GOLDEN_TOLERANCE:
        raise ArtifactError(
            f"{directory} differs from its golden vectors by {difference:.2g}, at most {GOLDEN_TOLERANCE} is allowed: "
            "its manifest was changed or this machine computes wrongly; restore it or train anew"
        )
    return artifact


class OnnxEnsemble:
    """N models as one callable (`core.protocols.Policy`).

    Models of one shape and one action map are evaluated as a single graph of batched products, whose weights are those
    of the artifacts; the order of the votes is the order of the models.

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
            key = (artifact.network.shape, artifact.network.activation, artifact.manifest.actions)
            groups.setdefault(key, []).append(place)
        self._row: npt.NDArray[np.float32] = np.zeros((1, artifacts[0].network.shape[0]), dtype=np.float32)
        self._groups = [
            _bound(np.array(places), [artifacts[place] for place in places], self._row) for places in groups.values()
        ]
        self._levels = np.empty(len(artifacts))
        self._confidences = np.empty(len(artifacts))
        self.vote(self._row[0])  # compiles and warms everything that a decision will touch

    @classmethod
    def load(cls, directories: Sequence[Path], *, spec: FeatureSpec) -> Self:
        """Load and check artifacts, one directory each.

        Raises
        ------
        ArtifactError
            For the first artifact that is refused (`load_checked`).
        """
        return cls([load_checked(Path(directory), spec=spec) for directory in directories])

    def vote(self, observation: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
        """Return the level and the confidence of each model's vote.

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


def _bound(places: npt.NDArray[np.int64], artifacts: Sequence[Artifact], row: npt.NDArray[np.float32]) -> _Group:
    """Return a group whose graph reads from ``row`` float32[1, D] and writes into its own buffer."""
    levels = np.array(artifacts[0].manifest.actions.levels)
    session = open_session(stacked_to_onnx([artifact.network for artifact in artifacts]))
    probabilities = np.empty((len(artifacts), len(levels)))
    binding = session.io_binding()
    binding.bind_cpu_input(INPUT, row)
    binding.bind_output(OUTPUT, "cpu", 0, np.float64, probabilities.shape, probabilities.ctypes.data)
    return _Group(places, levels, session, binding, probabilities)
