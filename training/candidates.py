"""The models of a study as what may be chosen from: one seed of one candidate, with a model in every fold."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.ledger import Entry
from adapters.run_files import read_run
from adapters.study_store import StudyRecord, StudyStore
from core.errors import RefusedError
from core.members import choose
from core.outofsample import Run, compounded, panel
from core.performance import EquityCurve, sharpe
from core.selection import TrialRow
from core.times import parse_time

__all__ = ["Candidate", "candidates", "chosen", "counted", "replayed", "trial_rows"]

FloatArray = npt.NDArray[np.float64]

CORRELATION_PENALTY = 1.0
"""What a member that moves exactly like the others must have more of annualised Sharpe ratio, to join all the same."""


class Candidate(NamedTuple):
    """One seed of one candidate: its trials and its replays, one of each a fold."""

    candidate: str
    algorithm: str
    seed: int
    trials: tuple[Entry, ...]
    validation: tuple[Run, ...]
    test: tuple[Run, ...]

    @property
    def name(self) -> str:
        """How it is shown."""
        return f"{self.candidate}-s{self.seed}"


def candidates(record: StudyRecord, store: StudyStore, entries: Sequence[Entry]) -> tuple[Candidate, ...]:
    """Return all seeds of candidates that have a finished trial in every fold, in the order of the ledger.

    Raises
    ------
    RefusedError
        Where there is none.
    DataError
        Where the files of a finished replay are gone.
    """
    equity = record.config.backtest.starting_equity
    own: dict[tuple[str, int], dict[int, Entry]] = {}
    for entry in entries:
        if entry.purpose == "study" and entry.study == record.name and entry.status == "finished":
            own.setdefault((entry.candidate, entry.seed), {})[entry.fold] = entry
    found = []
    for (candidate, seed), by_fold in own.items():
        if by_fold.keys() != {fold.number for fold in record.folds}:
            continue
        trials = tuple(by_fold[fold.number] for fold in record.folds)
        validation, test = (
            tuple(
                replayed(store.replay(trial.parameters["name"], part), parse_time(getattr(fold, part)[0], part), equity)
                for fold, trial in zip(record.folds, trials, strict=True)
            )
            for part in ("validation", "test")
        )
        found.append(Candidate(candidate, trials[0].algorithm, seed, trials, validation, test))
    if not found:
        raise RefusedError(
            f"study {record.name!r} has no seed with a finished trial in each of its {len(record.folds)} folds: run "
            "its command again (study.json has it) until all are done"
        )
    return tuple(found)


def replayed(out: Path, start_ns: int, starting_equity: float) -> Run:
    """Return a finished replay: marks from the starting equity at the start of its range on, and fills."""
    run = read_run(out)
    ts, equity = np.append(start_ns, run.curve.ts), np.append(starting_equity, run.curve.equity)
    return Run(EquityCurve(ts, equity), run.fills)


def chosen(found: Sequence[Candidate], *, count: int) -> tuple[tuple[int, ...], ...]:
    """Return who makes up the ensemble of each fold, as indices in the order in which they joined.

    Chosen for their Sharpe ratio and for low correlation, both on validation: on that of the fold itself and of those
    before it, never on a later one, because that overlaps in time with what the fold is tested on. What is tested is
    thus the choosing too.
    """
    folds = len(found[0].trials)
    daily = [panel([candidate.validation[fold].curve for candidate in found])[1] for fold in range(folds)]
    members = []
    for fold in range(folds):
        known = np.concatenate(daily[: fold + 1])
        scores = [sharpe(compounded(known[:, column])) for column in range(len(found))]
        members.append(tuple(choose(scores, known, count=count, penalty=CORRELATION_PENALTY)))
    return tuple(members)


def counted(entries: Sequence[Entry], instruments: Sequence[str]) -> tuple[int, int]:
    """Return how many trials the ledger knows of any of some instruments, and how many of them gave no figure.

    A trial here is what could have been chosen: one seed of one candidate of one study (of all its folds together), one
    model that was trained or tuned by itself, one ensemble that was replayed. Self-tests are none. Abandoned and failed
    ones count; they gave no figure where one of their parts did not finish.
    """
    done: dict[tuple[str, str, str, int], bool] = {}
    for entry in entries:
        if entry.purpose == "self_test" or not set(entry.instruments) & set(instruments):
            continue
        if entry.parameters.get("part") == "promotion":
            continue  # of an ensemble that was replayed
        whole = entry.study if entry.purpose in {"study", "ensemble"} else entry.trial_id
        key = (entry.purpose, whole, entry.candidate, entry.seed)
        done[key] = done.get(key, True) and entry.status == "finished"
    return len(done), sum(not finished for finished in done.values())


def trial_rows(found: Sequence[Candidate]) -> tuple[TrialRow, ...]:
    """Return every trial as it was alone on its fold's test range."""
    return tuple(
        TrialRow(
            trial_id=trial.trial_id,
            candidate=candidate.candidate,
            algorithm=candidate.algorithm,
            seed=candidate.seed,
            fold=trial.fold,
            validation_sharpe=trial.outcome["validation"]["sharpe"],
            **{name: trial.outcome["test"][name] for name in _TEST_FIGURES},
        )
        for candidate in found
        for trial in candidate.trials
    )


_TEST_FIGURES = (
    "total_return", "sharpe", "max_drawdown", "win_rate", "profit_factor", "round_trips", "fees", "break_even_fee_bps",
)  # fmt: skip
