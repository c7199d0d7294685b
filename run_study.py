"""Train and replay folds x seeds x algorithms, walking forward, every trial in the ledger.

Composition root of a study. A trial is one model: it is fitted and its checkpoint chosen on its fold's past, then it
trades its fold's validation and test range alone, through the engine. The driver alone writes the ledger; a worker
returns what its trial came to, so that it may run on any machine that sees the study's directory and the catalog.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import cli
import configs
from adapters.ledger import Entry, Ledger
from adapters.model_store import load_manifest
from adapters.study_store import StudyRecord, StudyStore, alone
from configs.schema import AppConfig
from core.errors import DataError
from core.selection import FoldSpan
from core.times import iso, parse_time
from core.walkforward import Fold
from run_backtest import Replay, run_backtest
from training.fan_out import Backend, map_jobs
from training.hyperparameters import Hyperparameters
from training.job import Job, run_job

__all__ = [
    "FIGURES",
    "Progress",
    "Study",
    "Trial",
    "TrialResult",
    "main",
    "replay_once",
    "run_study",
    "run_trial",
    "trials",
]

FIGURES = (
    "total_return", "annualised_return", "sharpe", "max_drawdown", "win_rate", "profit_factor", "round_trips",
    "turnover", "fees", "funding", "break_even_fee_bps", "fills", "decisions_sha256", "fills_sha256",
)  # fmt: skip
"""What the ledger keeps of a replay's summary."""

_LOCK = ".lock"
_ORPHAN_PATIENCE_SECONDS = 60.0
"""How long a trial waits for a worker that outlived its killed driver by a moment."""


class Study(NamedTuple):
    """What is to be run, and where: the record is the question, the rest does not change the answer."""

    record: StudyRecord
    store: StudyStore
    catalog: Path
    ledger: Path
    backend: Backend = "serial"
    workers: int = 1
    address: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One model of a study: picklable, and complete.

    ``trial_id`` is its name in the ledger, ``name`` that of its directories; ``validation_out`` and ``test_out`` are
    those of its replays.
    """

    trial_id: str
    name: str
    fold: int
    job: Job
    validation_out: str
    test_out: str
    lock: str


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a trial came to: its model, what chose its checkpoint, and its replays (`FIGURES`).

    ``seconds`` of wall time: less than the whole where it was resumed.
    """

    model_id: str
    training_trial_id: str
    sha256: str
    timesteps: int
    chosen_timesteps: int
    selection: dict[str, float]
    validation: dict[str, Any]
    test: dict[str, Any]
    seconds: float


class Progress(NamedTuple):
    """A trial that has ended: ``done`` of ``total``, its row in the ledger."""

    done: int
    total: int
    entry: Entry


def trials(study: Study) -> tuple[Trial, ...]:
    """Return all trials of a study, fold by fold."""
    record, store = study.record, study.store
    hyperparameters = msgspec.convert(record.hyperparameters, Hyperparameters)
    found = []
    for span in record.folds:
        fold = _fold(span)
        for algorithm in record.algorithms:
            for seed in record.seeds:
                job = Job(
                    config=record.config,
                    catalog=str(study.catalog),
                    instruments=record.instruments,
                    fit=fold.fit,
                    validation=fold.validation,
                    test=fold.test,
                    purge_bars=record.purge_bars,
                    algorithm=algorithm,
                    seed=seed,
                    hyperparameters=hyperparameters,
                    timesteps=record.timesteps,
                    warm_start=record.warm_start,
                    out="",
                    checkpoint=None,
                    log=None,
                    command=record.command,
                )
                name = f"{job.candidate}-s{seed}-f{fold.number}"
                places = {"out": str(store.model(name)), "checkpoint": str(store.checkpoint(name))}
                found.append(
                    Trial(
                        trial_id=_digest("study", record.name, job.trial_id),
                        name=name,
                        fold=fold.number,
                        job=msgspec.structs.replace(job, **places),
                        validation_out=str(store.replay(name, "validation")),
                        test_out=str(store.replay(name, "test")),
                        lock=str(store.directory / "locks" / name),
                    )
                )
    return tuple(found)


def run_study(study: Study, *, progress: Callable[[Progress], None] | None = None) -> tuple[Entry, ...]:
    """Run what is left of a study; return the ledger's rows of all its trials.

    Parameters
    ----------
    study : Study
        Its record must be the one in its store (`adapters.study_store.StudyStore.open`).
    progress : Callable[[Progress], None], optional
        Told of every trial that ends, and of those that had ended before.

    Raises
    ------
    RefusedError
        Where another process runs this study.
    DataError
        Where the ledger knows trials of this study whose directories are gone.
    """
    with alone(study.store.directory / _LOCK):
        ledger = Ledger(study.ledger)
        wanted = {trial.trial_id: trial for trial in trials(study)}
        finished = [name for name in wanted if _is_finished(ledger.entry(name), wanted[name])]
        done = 0
        for name in finished:
            done += 1
            _tell(progress, done, len(wanted), ledger, name)
        left = [trial for name, trial in wanted.items() if name not in finished]
        with closing(
            map_jobs(
                run_trial,
                _begun(ledger, left, study.record),
                backend=study.backend,
                workers=study.workers,
                address=study.address,
            )
        ) as running:
            for trial, result, error in running:
                if result is None:
                    ledger.fail(trial.trial_id, error)
                else:
                    ledger.finish(trial.trial_id, msgspec.to_builtins(result))
                done += 1
                _tell(progress, done, len(wanted), ledger, trial.trial_id)
        return tuple(entry for entry in ledger.entries() if entry.trial_id in wanted)


def run_trial(trial: Trial) -> TrialResult:
    """Make a trial's model and replay it, going on from wherever it was left.

    Raises
    ------
    AutotradeError
        As `training.job.run_job` and `run_backtest.run_backtest`.
    """
    began = time.monotonic()
    job = trial.job
    assert job.test is not None, "a study's trials have one"
    with alone(Path(trial.lock), patience_seconds=_ORPHAN_PATIENCE_SECONDS):
        manifest = run_job(job)
        single = _single(job.config)
        replays = {}
        for part, span, out in (
            ("validation", job.validation, trial.validation_out),
            ("test", job.test, trial.test_out),
        ):
            summary = replay_once(
                Replay(
                    config=single,
                    catalog=Path(job.catalog),
                    instruments=job.instruments,
                    start_ns=span[0],
                    end_ns=span[1],
                    out=Path(out),
                    models=(Path(job.out),),
                    report=False,
                )
            )
            replays[part] = {name: summary[name] for name in FIGURES}
    return TrialResult(
        model_id=manifest.model_id,
        training_trial_id=manifest.training.trial_id,
        sha256=manifest.sha256,
        timesteps=manifest.training.timesteps,
        chosen_timesteps=manifest.training.chosen_timesteps,
        selection=manifest.selection,
        validation=replays["validation"],
        test=replays["test"],
        seconds=round(time.monotonic() - began, 3),
    )


def replay_once(replay: Replay) -> dict[str, Any]:
    """Replay models over a range, or return the summary of the very replay where its directory holds it.

    What a kill left half done is done again; what was finished is never looked at twice.
    """
    hashes = [load_manifest(path).sha256 for path in replay.models]
    try:
        summary: dict[str, Any] = msgspec.json.decode((replay.out / "summary.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return run_backtest(replay)
    asked = {"start": iso(replay.start_ns), "end": iso(replay.end_ns), "model_hashes": hashes}
    same = all(summary.get(name) == value for name, value in asked.items())
    return summary if same else run_backtest(replay)


def replay_ensemble(
    study: Study,
    ensemble: str,
    models: Sequence[str],
    *,
    part: str,
    span: tuple[int, int],
    multiple: float = 1.0,
) -> Path:
    """Replay an ensemble of a study's models over a range, or find that it was; return the directory of the run.

    Parameters
    ----------
    study : Study
        Where the models are, and what they are replayed with.
    ensemble : str
        Its name in the ledger.
    models : Sequence[str]
        Names of the members' directories.
    part : str
        What the range is, e.g. ``fold-1``; with the ensemble and the multiple it names the replay.
    span : tuple[int, int]
        Range (start, end] of decision closes, ns.
    multiple : float
        Of all costs.

    Raises
    ------
    DataError
        Where the ledger knows the replay but its files are gone.
    """
    record, config = study.record, study.record.config
    place = f"{part}-x{multiple:g}"
    out = study.store.ensemble(ensemble, place)
    ledger = Ledger(study.ledger)
    entry = ledger.begin(
        Entry(
            trial_id=_digest("ensemble", record.name, ensemble, place, *map(str, span)),
            purpose="ensemble",
            study=record.name,
            candidate=ensemble,
            algorithm="ensemble",
            seed=0,
            instruments=record.instruments,
            parameters={"part": part, "models": list(models), "multiple": multiple, "span": list(map(iso, span))},
        )
    )
    if entry.status == "finished":
        if not (out / "summary.json").is_file():
            raise DataError(f"the ledger knows the replay {out} as finished, but it is gone; restore the directory")
        return out
    costs = {name: multiple * value for name, value in msgspec.structs.asdict(config.costs).items() if "_bps" in name}
    summary = replay_once(
        Replay(
            config=msgspec.structs.replace(config, costs=msgspec.structs.replace(config.costs, **costs)),
            catalog=study.catalog,
            instruments=record.instruments,
            start_ns=span[0],
            end_ns=span[1],
            out=out,
            models=tuple(map(study.store.model, models)),
            report=False,
        )
    )
    ledger.finish(entry.trial_id, {name: summary[name] for name in FIGURES})
    return out


def main(argv: Sequence[str] | None = None) -> int:
    """Run a study from the command line."""
    return cli.main(["study", *(sys.argv[1:] if argv is None else argv)])


def _begun(ledger: Ledger, left: Sequence[Trial], record: StudyRecord) -> Iterator[Trial]:
    """Yield trials, each written down just before it begins."""
    for trial in left:
        job = trial.job
        ledger.begin(
            Entry(
                trial_id=trial.trial_id,
                purpose="study",
                study=record.name,
                candidate=job.candidate,
                algorithm=job.algorithm,
                seed=job.seed,
                fold=trial.fold,
                instruments=job.instruments,
                parameters={
                    "name": trial.name,
                    "span": list(map(iso, job.test or ())),
                    "timesteps": job.timesteps,
                    "warm_start": job.warm_start,
                    "hyperparameters": job.hyperparameters.used(job.algorithm, warm_start=job.warm_start),
                    "decision_interval": job.config.market.decision_interval,
                    "config_hash": configs.config_hash(job.config),
                },
            )
        )
        yield trial


def _is_finished(entry: Entry | None, trial: Trial) -> bool:
    """Return whether a trial is done, and refuse one that is done but whose results are gone."""
    if entry is None or entry.status != "finished":
        return False
    for place in (trial.job.out, trial.validation_out, trial.test_out):
        if not Path(place).is_dir():
            raise DataError(
                f"the ledger knows trial {trial.name} as finished, but {place} is gone: its test was seen and is not "
                "repeated; restore the directory or study under another name"
            )
    return True


def _single(config: AppConfig) -> AppConfig:
    """Return the configuration of a model that votes alone."""
    return msgspec.structs.replace(config, ensemble=msgspec.structs.replace(config.ensemble, quorum=1, weights=()))


def _fold(span: FoldSpan) -> Fold:
    """Return a fold in ns."""
    fit, validation, test = (
        (parse_time(start, "fold"), parse_time(end, "fold")) for start, end in (span.fit, span.validation, span.test)
    )
    return Fold(span.number, fit, validation, test)


def _tell(progress: Callable[[Progress], None] | None, done: int, total: int, ledger: Ledger, trial_id: str) -> None:
    entry = ledger.entry(trial_id)
    if progress is not None and entry is not None:
        progress(Progress(done, total, entry))


def _digest(*parts: str) -> str:
    """Return 16 hex digits that name what is made of these parts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


if __name__ == "__main__":
    sys.exit(cli.guarded("autotrade", main))
