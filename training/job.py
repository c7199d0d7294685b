"""Everything that determines one model, and the function that makes it."""

import functools
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import configs
from adapters.catalog import data_hash
from adapters.model_store import Manifest, TrainedWith, Training
from adapters.onnx_policy import load_checked
from configs.schema import AppConfig
from core.errors import ArtifactError, AutotradeError
from core.features import feature_spec
from core.times import iso
from training.algorithms import actions_of
from training.export import export
from training.hyperparameters import Hyperparameters
from training.train import Prepared, Span, Trained, prepare, sample_observations, train

__all__ = ["Job", "PrunedError", "find_made", "run_job"]

_SECTIONS = ("ensemble", "sizing", "exits", "risk", "costs")
"""Sections of the configuration that a training reads, but for the intervals of its market."""

_data_hash = functools.lru_cache(maxsize=64)(data_hash)
"""A study asks for the data of one range once a candidate and seed; it does not change under a running program."""


class PrunedError(AutotradeError):
    """A training that its caller ended early: there is no artifact, because it would not be that of its trial."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One model to be made, picklable.

    ``fit``, ``validation`` and ``test`` are ranges (start, end] of decision closes, ns; ``purge_bars`` decision bars
    lie between two of them. The test range is written down, never read. ``timesteps``: None for those of the
    algorithm's hyper-parameters. ``out`` is the artifact's directory, ``checkpoint`` and ``log`` are directories or
    None, ``command`` is the command line that asked for it.
    """

    config: AppConfig
    catalog: str
    instruments: tuple[str, ...]
    fit: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int] | None
    purge_bars: int
    algorithm: str
    seed: int
    hyperparameters: Hyperparameters
    timesteps: int | None
    warm_start: bool
    out: str
    checkpoint: str | None
    log: str | None
    command: str

    @property
    def data_hash(self) -> str:
        """The SHA-256 of the bars and fundings from the start of the fit to the end of the validation."""
        market = self.config.market
        return _data_hash(
            Path(self.catalog), self.instruments, market.base_interval, start_ns=self.fit[0], end_ns=self.validation[1]
        )

    @property
    def trial_id(self) -> str:
        """16 hex digits of all that determines the result: equal for equal inputs, wherever they lie."""
        market = self.config.market
        spec = feature_spec(market.base_interval, market.decision_interval)
        return _digest(
            {
                "config": {name: getattr(self.config, name) for name in _SECTIONS},
                "features": spec.digest,
                "data": self.data_hash,
                "instruments": self.instruments,
                "spans": (self.fit, self.validation, self.test, self.purge_bars),
                "algorithm": self.algorithm,
                "seed": self.seed,
                "settings": self._settings,
            }
        )[:16]

    @property
    def candidate(self) -> str:
        """The algorithm and 6 hex digits of its settings: a changed setting is another candidate."""
        return f"{self.algorithm}-{_digest(self._settings)[:6]}"

    @property
    def _settings(self) -> dict[str, Any]:
        used = self.hyperparameters.used(self.algorithm, warm_start=self.warm_start)
        timesteps = self.timesteps or used[self.algorithm]["timesteps"]
        return used | {"timesteps": timesteps, "warm_start": self.warm_start}


def run_job(
    job: Job,
    *,
    progress: Callable[[int, int], None] | None = None,
    judged: Callable[[int, float], bool] | None = None,
) -> Manifest:
    """Make the model of a job, or find that it is already made.

    An artifact of the same trial at ``job.out`` is checked and returned. Otherwise the training begins, or goes on from
    its checkpoint; the artifact is written and the checkpoint removed.

    Raises
    ------
    ArtifactError
        For another artifact at ``job.out``.
    DataError
        Where the catalog does not hold the range, or too little of it.
    UsageError
        For an algorithm that is not known, or one that cannot be warm-started.
    PrunedError
        Where ``judged`` ended the training.
    """
    actions = actions_of(job.algorithm)
    out, trial_id = Path(job.out), job.trial_id
    made = find_made(job)
    if made is not None:
        _forget(job.checkpoint)
        return made
    prepared = _prepared(job.catalog, job.instruments, job.config, Span(job.fit, job.validation))
    trained = train(
        prepared,
        job.config,
        job.hyperparameters,
        algorithm=job.algorithm,
        seed=job.seed,
        timesteps=job.timesteps,
        warm_start=job.warm_start,
        checkpoint=None if job.checkpoint is None else Path(job.checkpoint),
        trial_id=trial_id,
        log=None if job.log is None else Path(job.log),
        progress=progress,
        judged=judged,
    )
    if trained.pruned:
        _forget(job.checkpoint)
        raise PrunedError(
            f"{out.name} was ended by its caller after {trained.timesteps} decisions; nothing was written"
        )
    costs = job.config.cost_params()
    manifest = export(
        out,
        model=trained.model,
        network=trained.network,
        observations=sample_observations(prepared, job.config, job.hyperparameters, actions=actions, seed=0),
        spec=prepared.spec,
        actions=actions,
        instruments=job.instruments,
        training=_record(job, trained),
        costs=TrainedWith(
            taker=costs.taker, maker=costs.maker, away=costs.away, config_hash=configs.config_hash(job.config)
        ),
        selection=trained.selection,
        calibration=trained.calibration,
    )
    _forget(job.checkpoint)
    return manifest


def find_made(job: Job) -> Manifest | None:
    """Return the manifest of a job that is already done, or None; raises as `run_job` for another artifact there."""
    out = Path(job.out)
    if not out.exists():
        return None
    market = job.config.market
    found = load_checked(out, spec=feature_spec(market.base_interval, market.decision_interval)).manifest
    if found.training.trial_id != job.trial_id:
        raise ArtifactError(
            f"{out} exists, of trial {found.training.trial_id} and not {job.trial_id}, and an artifact never changes; "
            "remove it or choose another name"
        )
    return found


@functools.lru_cache(maxsize=1)
def _prepared(catalog: str, instruments: tuple[str, ...], config: AppConfig, span: Span) -> Prepared:
    """Read and lay out history once for jobs that follow each other on the same ranges."""
    return prepare(Path(catalog), instruments, config, span=span)


def _record(job: Job, trained: Trained) -> Training:
    """Return how the model came about."""
    return Training(
        algorithm=job.algorithm,  # type: ignore[arg-type]  # `actions_of` has refused every other name
        seed=job.seed,
        trial_id=job.trial_id,
        candidate=job.candidate,
        start=iso(job.fit[0]),
        fit_end=iso(job.fit[1]),
        validation_start=iso(job.validation[0]),
        end=iso(job.validation[1]),
        test_start=None if job.test is None else iso(job.test[0]),
        test_end=None if job.test is None else iso(job.test[1]),
        purge_bars=job.purge_bars,
        data_hash=job.data_hash,
        timesteps=trained.timesteps,
        chosen_timesteps=trained.chosen_timesteps,
        warm_start=job.warm_start,
        hyperparameters=job.hyperparameters.used(job.algorithm, warm_start=job.warm_start),
        command=job.command,
    )


def _forget(checkpoint: str | None) -> None:
    """Remove a checkpoint that nobody needs any more."""
    if checkpoint is not None:
        shutil.rmtree(checkpoint, ignore_errors=True)


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()
