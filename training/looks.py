"""What the ledger says was looked at already: a second look at a test range is a choice, whoever takes it."""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from adapters.ledger import Entry
from adapters.study_store import StudyRecord
from core.errors import RefusedError
from core.times import iso, parse_time

__all__ = ["HOLDOUT", "check_ended", "check_holdout", "check_name", "check_tuned"]

HOLDOUT = "holdout"
"""What the replay of a holdout is called in the ledger."""


def check_name(record: StudyRecord, trial_ids: Collection[str], entries: Sequence[Entry]) -> None:
    """Refuse a study that has no directory yet and the name of another one, whose trials would be taken for its own.

    Raises
    ------
    RefusedError
        Where the ledger knows trials of this name that are not among ``trial_ids``.
    """
    others = [entry for entry in _trials(record, entries) if entry.trial_id not in trial_ids]
    if others:
        raise RefusedError(
            f"the ledger knows {len(others)} trials of another study of this name, {record.name!r}, begun on "
            f"{iso(others[0].began_ns)}: they count, though its directory is gone; choose another name"
        )


def check_tuned(record: StudyRecord, entries: Sequence[Entry]) -> None:
    """Refuse hyper-parameters that were chosen on what a study is to be tested on.

    Raises
    ------
    RefusedError
        Where a tuning tried these very hyper-parameters on a range that ends after the first test has begun.
    """
    first = record.folds[0].test[0]
    used = msgspec.json.decode(msgspec.json.encode(record.hyperparameters))
    for entry in entries:
        span = entry.parameters.get("span")
        if entry.purpose != "tune" or span is None or parse_time(span[1], "span") <= parse_time(first, "fold"):
            continue
        values = {name.partition("."): value for name, value in entry.parameters.items() if "." in name}
        same = all(used.get(section, {}).get(field) == value for (section, _, field), value in values.items())
        if same and entry.algorithm in record.algorithms and set(entry.instruments) & set(record.instruments):
            raise RefusedError(
                f"these hyper-parameters of {entry.algorithm} were tuned by {entry.study} on {' to '.join(span)} and "
                f"the first test begins on {first}: it would judge what it chose; tune on what lies before it"
            )


def check_ended(record: StudyRecord, entries: Sequence[Entry]) -> None:
    """Refuse to judge a study that is not over: to stop while it looks well is a choice.

    Raises
    ------
    RefusedError
        Where a trial has not begun, or has neither finished nor failed.
    """
    total = len(record.folds) * len(record.algorithms) * len(record.seeds)
    left = total - sum(entry.status != "running" for entry in _trials(record, entries))
    if left > 0:
        raise RefusedError(
            f"{left} of {total} trials of study {record.name!r} have not ended: run its command again (study.json has "
            "it) until all are done"
        )


def check_holdout(record: StudyRecord, ensemble: str, span: tuple[int, int], entries: Sequence[Entry]) -> None:
    """Refuse a holdout that anybody's choice may rest on.

    Raises
    ------
    RefusedError
        Where this study was shown another holdout or another ensemble on it, or where models of any study were tested
        on a part of it, on any of these instruments.
    """
    asked = list(map(iso, span))
    for entry in entries:
        seen = entry.parameters.get("span")
        if entry.purpose not in {"study", "ensemble"} or seen is None:
            continue
        own = entry.study == record.name and entry.parameters.get("part") == HOLDOUT
        if own and (entry.candidate, seen) != (ensemble, asked):
            raise RefusedError(
                f"the holdout of study {record.name!r} was shown on {iso(entry.began_ns)} for {entry.candidate} from "
                f"{' to '.join(seen)}: a second look is a choice; study later data"
            )
        if not own and _overlap(seen, asked) and set(entry.instruments) & set(record.instruments):
            raise RefusedError(
                f"the holdout was seen: {entry.candidate} of study {entry.study!r} was tested on {' to '.join(seen)}; "
                "give a later --holdout-start"
            )


def _trials(record: StudyRecord, entries: Sequence[Entry]) -> Iterator[Entry]:
    """Yield what the ledger has under the name of a study."""
    return (entry for entry in entries if entry.purpose == "study" and entry.study == record.name)


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Return whether two ranges (start, end] of ISO times have a moment in common."""
    (start, end), (first, last) = ([parse_time(text, "span") for text in each] for each in (one, other))
    return start < last and first < end
