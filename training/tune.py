"""Search hyper-parameters: every trial trains, is judged on the validation range, and stands in the ledger.

Theory of operation. A study lives in a database, which several processes and machines may share. A trial is asked
for, trained with every seed, and told. The sampler of a trial is seeded by the trial's place in the study, so that one
worker suggests the same trials however often it was interrupted. A worker that was killed leaves a trial under way: the
next worker marks it failed and queues its hyper-parameters again, at the same place.
"""

import hashlib
import itertools
import math
import os
import socket
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import optuna
import sqlalchemy.exc
from optuna.trial import FrozenTrial, TrialState

from adapters.ledger import Entry, Ledger
from configs.schema import AppConfig
from core.errors import AutotradeError, DataError, UsageError
from core.times import iso
from training.hyperparameters import Hyperparameters
from training.job import Job
from training.judge import IDLE_PENALTY
from training.prepared import Prepared, Span, prepare
from training.search import Dimension, applied, suggest
from training.train import train

__all__ = ["Tuned", "Tuning", "importance", "results", "work"]

_STATES = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
_STALE_SECONDS = 600.0
"""A trial of another machine that was not heard of for so long is taken to be abandoned."""
_ATTEMPTS = 5
"""How often a database is opened while others make its tables."""
_SEEN_SECONDS = 30.0
"""How often a trial says that it is alive."""
_PATIENCE_SECONDS = 60.0
"""How long a worker waits for the others to leave a SQLite file."""


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """A study to be made, picklable.

    ``storage``: URL of the database; ``ledger``: path; ``fit`` and ``validation``: ranges (start, end] of decision
    closes, ns, ``purge_bars`` between them; ``trials`` in all, whoever makes them; the rest as in `training.job.Job`.
    """

    name: str
    storage: str
    ledger: str
    config: AppConfig
    catalog: str
    instruments: tuple[str, ...]
    fit: tuple[int, int]
    validation: tuple[int, int]
    purge_bars: int
    algorithm: str
    seeds: tuple[int, ...]
    trials: int
    timesteps: int | None
    hyperparameters: Hyperparameters
    space: dict[str, Dimension]
    command: str

    def job(self, hyperparameters: Hyperparameters, seed: int) -> Job:
        """Return the training of one seed of a trial."""
        return Job(
            config=self.config,
            catalog=self.catalog,
            instruments=self.instruments,
            fit=self.fit,
            validation=self.validation,
            test=None,
            purge_bars=self.purge_bars,
            algorithm=self.algorithm,
            seed=seed,
            hyperparameters=hyperparameters,
            timesteps=self.timesteps,
            warm_start=False,
            out="",
            checkpoint=None,
            log=None,
            command=self.command,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What may not change while a study goes on, as a database gives it back."""
        settings = {
            "instruments": self.instruments,
            "algorithm": self.algorithm,
            "seeds": self.seeds,
            "space": self.space,
            "trial_id": self.job(self.hyperparameters, self.seeds[0]).trial_id,
        }
        plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
        return plain


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """A trial as it ended: ``place`` in the study from 0 on, ``score`` the median of the seeds' ``scores``.

    ``values``: hyper-parameters that were searched. A score is the Sharpe ratio on the validation range, less
    `training.judge.IDLE_PENALTY` for a policy that hardly trades; None for a trial that was not brought to its end.
    """

    place: int
    state: str
    score: float | None
    scores: tuple[float, ...]
    values: dict[str, Any]


def work(tuning: Tuning, *, told: Callable[[int], None] | None = None) -> int:
    """Make trials until the study has all of them; return how many this worker made.

    Any number of workers may do so at the same time. Two that ask for the last trial at once find out, and the later
    one leaves it.

    Parameters
    ----------
    tuning : Tuning
        The study, which is made where there is none.
    told : Callable[[int], None], optional
        Told the number of trials that have ended, at the start and after each.

    Raises
    ------
    UsageError
        Where the database cannot be used, or the study in it was begun with other settings.
    DataError
        Where the catalog does not hold the range.
    """
    study = _open(tuning)
    prepared = prepare(
        Path(tuning.catalog), tuning.instruments, tuning.config, span=Span(tuning.fit, tuning.validation)
    )
    ledger = Ledger(Path(tuning.ledger))
    made = 0
    while True:
        if told is not None:
            told(sum(trial.state.is_finished() for trial in _originals(study)))
        trial = _claim(study, tuning.trials)
        if trial is None:
            return made
        _make(study, trial, tuning, prepared, ledger)
        made += 1


def results(tuning: Tuning) -> tuple[Tuned, ...]:
    """Return the trials of a study that have ended, the best first.

    Raises
    ------
    DataError
        Where none gave a score.
    """
    study = _open(tuning)
    ended = {
        _place(study, trial): trial  # the last, of one that was made again
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and "surplus" not in trial.user_attrs
    }
    found = [
        Tuned(
            place=place,
            state=_STATES[trial.state],
            score=trial.value if trial.state == TrialState.COMPLETE else None,
            scores=tuple(trial.user_attrs.get("scores", ())),
            values=dict(trial.user_attrs.get("values", trial.params)),
        )
        for place, trial in ended.items()
    ]
    if all(trial.score is None for trial in found):
        reasons = [trial.user_attrs["reason"] for trial in ended.values() if "reason" in trial.user_attrs]
        raise DataError(
            f"study {tuning.name}: none of {len(found)} trials gave a score "
            f"({reasons[-1] if reasons else 'none was brought to its end'}); mend the search space"
        )
    return tuple(sorted(found, key=lambda trial: (trial.score is None, -(trial.score or 0.0), trial.place)))


def importance(tuning: Tuning) -> dict[str, float]:
    """Return how much of the difference between trials each hyper-parameter explains; empty for too few trials."""
    study = _open(tuning)
    finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < 4:
        return {}
    return dict(optuna.importance.get_param_importances(study))


def _make(study: optuna.Study, trial: optuna.Trial, tuning: Tuning, prepared: Prepared, ledger: Ledger) -> None:
    """Train a trial with every seed, and tell what came of it."""
    place = _place(study, study.get_trials(deepcopy=False)[trial.number])
    seed = int.from_bytes(hashlib.sha256(f"{tuning.name} {place}".encode()).digest()[:4], "big")
    study.sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=False)
    values = suggest(tuning.space, trial)
    trial.set_user_attr("values", values)
    scores: list[float] = []
    try:
        for order, seed in enumerate(tuning.seeds):
            scores.append(_score(trial, tuning, prepared, ledger, scores, order, seed, place, values))
            trial.set_user_attr("scores", scores)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (AutotradeError, ValueError, ArithmeticError) as error:  # the hyper-parameters are not fit for a training
        trial.set_user_attr("reason", " ".join(str(error).split()))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, statistics.median(scores))


def _score(
    trial: optuna.Trial,
    tuning: Tuning,
    prepared: Prepared,
    ledger: Ledger,
    before: list[float],
    order: int,
    seed: int,
    place: int,
    values: dict[str, Any],
) -> float:
    """Train one seed of a trial and return its score; the ledger knows of it before it begins."""
    hyperparameters = applied(tuning.hyperparameters, values)
    job = tuning.job(hyperparameters, seed)
    entry = ledger.begin(
        Entry(
            trial_id=job.trial_id,
            purpose="tune",
            study=tuning.name,
            candidate=job.candidate,
            algorithm=tuning.algorithm,
            seed=seed,
            instruments=tuning.instruments,
            parameters={"trial": place, "span": [iso(tuning.fit[0]), iso(tuning.validation[1])], **values},
        )
    )
    judgements = itertools.count(order * (hyperparameters.selection.checkpoints + 2))
    seen = time.monotonic()

    def progress(_: int, __: int) -> None:
        nonlocal seen
        if time.monotonic() - seen >= _SEEN_SECONDS:
            seen = time.monotonic()
            trial.set_user_attr("seen", time.time())

    def judged(_: int, score: float) -> bool:
        trial.report(statistics.median([*before, score]), next(judgements))
        return not trial.should_prune()

    running = entry.status == "running"
    try:
        trained = train(
            prepared,
            tuning.config,
            hyperparameters,
            algorithm=tuning.algorithm,
            seed=seed,
            timesteps=tuning.timesteps,
            progress=progress,
            judged=judged,
        )
    except Exception as error:
        if running:
            ledger.fail(job.trial_id, str(error))
        raise
    if trained.pruned:
        if running:
            ledger.fail(job.trial_id, f"pruned after {trained.timesteps} decisions")
        raise optuna.TrialPruned
    if running:
        ledger.finish(job.trial_id, trained.selection)
    if not math.isfinite(trained.selection["validation_sharpe"]):
        raise ArithmeticError("the validation Sharpe ratio is no number")
    idle = trained.selection["validation_exposed"] < hyperparameters.selection.min_exposed
    return trained.selection["validation_sharpe"] - (IDLE_PENALTY if idle else 0.0)


def _open(tuning: Tuning) -> optuna.Study:
    """Return the study, made where there is none; refuse one of other settings."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for attempt in range(_ATTEMPTS):
        try:
            study = _connect(tuning)
            break
        except Exception as error:
            if attempt < _ATTEMPTS - 1 and isinstance(error, sqlalchemy.exc.DBAPIError):
                continue  # another worker makes the tables at this moment
            if not isinstance(error, sqlalchemy.exc.SQLAlchemyError | ImportError):
                raise
            where = tuning.storage.partition("@")[2] or tuning.storage
            advice = "install the driver that the URL names" if isinstance(error, ImportError) else "give another URL"
            first = str(error).strip().splitlines()[0].rstrip(".")
            raise UsageError(f"--storage {where}: {first}; {advice}") from None
    known, settings = study.user_attrs.get("settings"), tuning.settings
    if known is None:
        study.set_user_attr("settings", settings)
    elif known != settings:
        changed = next(name for name in settings if known.get(name) != settings[name])
        what = {"trial_id": "range, data, limits or other hyper-parameters"}.get(changed, changed)
        raise UsageError(f"study {tuning.name} was begun with other {what}; choose another NAME or the same options")
    return study


def _connect(tuning: Tuning) -> optuna.Study:
    """Return the study of a database, both made where they are absent."""
    local = tuning.storage.startswith("sqlite")
    return optuna.create_study(
        study_name=tuning.name,
        storage=optuna.storages.RDBStorage(
            tuning.storage,
            engine_kwargs={"connect_args": {"timeout": _PATIENCE_SECONDS}} if local else {"pool_pre_ping": True},
        ),
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
        load_if_exists=True,
    )


def _claim(study: optuna.Study, trials: int) -> optuna.Trial | None:
    """Return a trial to be made, an abandoned one first; None where the study has all of them."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if _abandoned(trial):
            _queue_again(study, trial)
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if not waiting and len(_originals(study)) >= trials:
        return None
    trial = study.ask()
    trial.set_user_attr("worker", f"{socket.gethostname()} {os.getpid()}")
    trial.set_user_attr("seen", time.time())
    if _place(study, study.get_trials(deepcopy=False)[trial.number]) >= trials:
        trial.set_user_attr("surplus", True)
        study.tell(trial, state=TrialState.FAIL)
        return None
    return trial


def _abandoned(trial: FrozenTrial) -> bool:
    """Return whether the worker of a trial under way is gone."""
    host, _, process = trial.user_attrs.get("worker", "").partition(" ")
    if host == socket.gethostname() and process:
        return int(process) == os.getpid() or not _alive(int(process))
    began = trial.datetime_start.timestamp() if trial.datetime_start is not None else 0.0
    return time.time() - float(trial.user_attrs.get("seen", began)) > _STALE_SECONDS


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Mark an abandoned trial failed and queue what it was to try, at its place; of several workers one does."""
    place = _place(study, trial)
    try:
        study.tell(trial.number, state=TrialState.FAIL)
    except ValueError:
        return
    whole = "values" in trial.user_attrs
    study.enqueue_trial(trial.params if whole else {}, user_attrs={"place": place})


def _originals(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that count: not those that were queued again, nor those beyond the last."""
    return [t for t in study.get_trials(deepcopy=False) if not {"place", "surplus"} & t.user_attrs.keys()]


def _place(study: optuna.Study, trial: FrozenTrial) -> int:
    """Return the place of a trial in its study: its number, had no trial ever been queued again."""
    if "place" in trial.user_attrs:
        return int(trial.user_attrs["place"])
    return sum(other.number < trial.number for other in _originals(study))
