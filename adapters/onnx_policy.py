"""An ensemble of ONNX models as one policy: checked at load, evaluated as one stacked graph for each kind."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from adapters.model_store import Artifact, load_artifact
from adapters.network import Network
from adapters.network_graph import INPUT, NEXT_STATE, OUTPUTS, STATE, network_to_onnx, stacked_to_onnx
from core.actions import decode_continuous, decode_discrete
from core.errors import ArtifactError, AutotradeError
from core.features import FeatureSpec
from core.serving import Candidate

__all__ = ["GOLDEN_TOLERANCE", "OnnxEnsemble", "answers", "at_once", "candidate", "load_checked", "open_session"]

GOLDEN_TOLERANCE = 1e-5
"""Largest difference between a golden answer or state and what the model says of it here."""

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

type Build = Callable[[Callable[[], _Set]], Future[_Set]]
"""Has a set of models built, now or in another thread."""


def at_once[T](job: Callable[[], T]) -> Future[T]:
    """Do a job before returning: what an executor's ``submit`` is where nobody may wait and nothing may be random."""
    done: Future[T] = Future()
    try:
        done.set_result(job())
    except Exception as error:  # noqa: BLE001 - handed on to who asks for the result, as an executor does
        done.set_exception(error)
    return done


def candidate(artifact: Artifact) -> Candidate:
    """Return a checked artifact as what the roster takes in."""
    manifest = artifact.manifest
    horizon = manifest.calibration.horizon_bars if manifest.calibration is not None else 0
    return Candidate(manifest.model_id, manifest.sha256, horizon, artifact)


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

    Another set of models is built by `prepare` and taken by `swap`, which rebinds one name: a vote sees either set
    whole. A model of both sets goes on remembering, a new one begins from zero.

    Parameters
    ----------
    artifacts : Sequence[Artifact]
        At least one, checked.
    build : Callable
        Runs the building of a set: ``submit`` of an executor where decisions must not wait for it.

    Raises
    ------
    ArtifactError
        For no model at all, or one that is in the ensemble twice.
    """

    def __init__(self, artifacts: Sequence[Artifact], build: Build = at_once) -> None:
        self._build = build
        self._set = _Set(artifacts)
        self._next: Future[_Set] | None = None

    @classmethod
    def load(cls, directories: Sequence[Path], *, spec: FeatureSpec) -> Self:
        """Load and check artifacts, one directory each.

        Raises
        ------
        ArtifactError
            For the first artifact that is refused (`load_checked`).
        """
        return cls([load_checked(Path(directory), spec=spec) for directory in directories])

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models, in the order of the votes."""
        return self._set.candidates

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Name of each model, in the order of the votes."""
        return tuple(candidate.model_id for candidate in self._set.candidates)

    @property
    def model_hashes(self) -> tuple[str, ...]:
        """SHA-256 of each model, in the order of the votes."""
        return tuple(candidate.sha256 for candidate in self._set.candidates)

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Begin to build the set of models that `swap` will take; it replaces one that was not taken yet."""
        artifacts = [cast("Artifact", candidate.content) for candidate in candidates]
        self._next = self._build(lambda: _Set(artifacts))

    def swap(self) -> bool:
        """Take the prepared set if it is whole and return whether that was done.

        Raises
        ------
        AutotradeError
            What the building of it raised; the set stays as it is.
        """
        if self._next is None or not self._next.done():
            return False
        done, self._next = self._next, None
        try:
            fresh = done.result()
        except AutotradeError:
            raise
        except Exception as error:
            raise ArtifactError(f"the ensemble could not be built: {error}; the old one stays") from error
        fresh.remember(self._set)
        self._set = fresh
        return True

    def reset(self) -> None:
        """Forget all observations."""
        self._set.forget()

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
        return self._set.vote(observation)


class _Set:
    """Models that vote together: their groups, and the arrays that the graphs read and write."""

    def __init__(self, artifacts: Sequence[Artifact]) -> None:
        self.candidates = tuple(candidate(artifact) for artifact in artifacts)
        self._hashes = tuple(member.sha256 for member in self.candidates)
        if not artifacts:
            raise ArtifactError("an ensemble of no models; name at least one artifact")
        twice = next((i for i, h in enumerate(self._hashes) if h in self._hashes[:i]), None)
        if twice is not None:
            name = self.candidates[twice].model_id
            raise ArtifactError(f"model {name} is in the ensemble twice; name each model once")
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
        self.forget()

    def vote(self, observation: Float32Array) -> tuple[FloatArray, FloatArray]:
        """Return the votes of all groups, in the order of the models."""
        self._row[0] = observation
        if len(self._groups) == 1:
            return self._groups[0].vote()
        for group in self._groups:
            levels, confidences = group.vote()
            self._levels[group.places] = levels
            self._confidences[group.places] = confidences
        return self._levels, self._confidences

    def forget(self) -> None:
        """Set the memory of all models to zero."""
        for group in self._groups:
            group.state[:] = 0.0

    def remember(self, other: "_Set") -> None:
        """Take over what the models of another set remember."""
        states = other.states
        for sha256, state in self.states.items():
            if sha256 in states:
                state[:] = states[sha256]

    @property
    def states(self) -> dict[str, Float32Array]:
        """What each model remembers, by hash: views float32[1, 2H]."""
        return {self._hashes[place]: group.state[i] for group in self._groups for i, place in enumerate(group.places)}


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
