"""The directory of a study: what it was asked, what it made, and who is at work in it.

::

    NAME/
        study.json                          the question: ranges, folds, settings, command line, versions
        models/<candidate>-s<seed>-f<fold>/ artifacts
        checkpoints/<the same>/             of trainings under way
        runs/<the same>-validation|test/    replays of each model alone
        selection/                          replays of chosen ensembles
        selection.json, selection.html      the verdict
"""

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

import configs
from configs.schema import AppConfig
from core.bars import DAY_NS
from core.errors import ConfigError, DataError, RefusedError, UsageError
from core.selection import FoldSpan
from core.walkforward import Plan

__all__ = ["StudyRecord", "StudyStore", "alone", "write_whole"]

_OTHER_PLACES = ("catalog", "download", "sample")
"""Sections of the configuration that say where things lie, not what comes out."""
_MAY_DIFFER = ("config", "catalog", "command", "versions", "git_revision", "created")
_POLL_SECONDS = 0.1


class StudyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a study was asked, as ``study.json`` holds it.

    ``start``, ``end`` and ``created`` ISO times (UTC); ``hyperparameters`` all of them; ``timesteps`` None for those of
    the hyper-parameters; ``data_hash`` covers all bars and fundings from ``start`` to ``end``.
    """

    format: Literal[1] = 1
    name: str
    instruments: tuple[str, ...]
    start: str
    end: str
    plan: Plan
    purge_bars: int
    embargo_bars: int
    folds: tuple[FoldSpan, ...]
    algorithms: tuple[str, ...]
    seeds: tuple[int, ...]
    timesteps: int | None
    warm_start: bool
    hyperparameters: dict[str, Any]
    config: AppConfig
    data_hash: str
    catalog: str
    command: str
    versions: dict[str, str]
    git_revision: str
    created: str


class StudyStore:
    """A study's directory.

    Parameters
    ----------
    root : Path
        Directory of all studies.
    name : str
        Of this one; a plain name.

    Raises
    ------
    UsageError
        For a name that is none.
    """

    def __init__(self, root: Path, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise UsageError(
                f"study {name!r}: a name has letters, digits, dots, dashes and underscores; choose another"
            )
        self.name = name
        self.directory = root / name
        self.record_path = self.directory / "study.json"
        self.selection_path = self.directory / "selection.json"
        self.report_path = self.directory / "selection.html"

    def model(self, name: str) -> Path:
        """Return the directory of an artifact."""
        return self.directory / "models" / name

    def checkpoint(self, name: str) -> Path:
        """Return the directory of a training's checkpoint."""
        return self.directory / "checkpoints" / name

    def replay(self, name: str, part: str) -> Path:
        """Return the directory of a model's replay on a part of its fold."""
        return self.directory / "runs" / f"{name}-{part}"

    def ensemble(self, name: str, part: str) -> Path:
        """Return the directory of an ensemble's replay."""
        return self.directory / "selection" / name / part

    def load(self) -> StudyRecord:
        """Return what the study was asked.

        Raises
        ------
        DataError
            Where there is no such study, or its record is broken.
        """
        try:
            return msgspec.json.decode(self.record_path.read_bytes(), type=StudyRecord)
        except FileNotFoundError:
            raise DataError(
                f"no study {self.name!r} in {self.directory.parent}: run `autotrade study {self.name}` first"
            ) from None
        except (msgspec.DecodeError, UnicodeDecodeError, ConfigError, UsageError) as error:
            raise DataError(f"{self.record_path} is no record of a study: {error}; restore it") from None

    def open(self, record: StudyRecord) -> StudyRecord:
        """Begin the study, or go on with it where it was begun with the same question; return its first record.

        Raises
        ------
        RefusedError
            Where the study of this name was asked something else.
        DataError
            Where its record is broken.
        """
        if not self.record_path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            write_whole(self.record_path, msgspec.json.format(msgspec.json.encode(record), indent=2))
            return record
        begun = self.load()
        found = _differences(begun, record)
        if found:
            shown = "; ".join(f"{name} was {_short(was)} and is {_short(now)}" for name, was, now in found[:3])
            more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
            raise RefusedError(
                f"study {self.name!r} was begun with other settings: {shown}{more}; repeat its command (study.json has "
                "it) or choose another name"
            )
        return begun


def write_whole(path: Path, content: bytes) -> None:
    """Write a file in one step: it is there whole, or as it was."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def alone(path: Path, *, patience_seconds: float = 0.0) -> Iterator[None]:
    """Hold a lock file, which ends with its process however that ends.

    Raises
    ------
    RefusedError
        Where another process holds it for longer than the patience.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + patience_seconds
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise RefusedError(
                        f"another process is at work in {path.parent} (it holds {path.name}): wait for it, or end it"
                    ) from None
            time.sleep(_POLL_SECONDS)
        yield


def _differences(begun: StudyRecord, record: StudyRecord) -> list[tuple[str, object, object]]:
    """Return the settings that differ, with what they were and are."""
    was, now = _settings(begun), _settings(record)
    return [(key, was.get(key), now.get(key)) for key in [*was, *(now.keys() - was)] if was.get(key) != now.get(key)]


def _settings(record: StudyRecord) -> dict[str, object]:
    """Return all that determines a study's results, flat."""
    plain = msgspec.json.decode(msgspec.json.encode(record))
    told = {name: value for name, value in plain.items() if name not in _MAY_DIFFER}
    folds = told.pop("folds")
    told["folds"] = len(folds)
    for section, values in told.pop("hyperparameters").items():
        told |= {f"hyperparameters.{section}.{key}": value for key, value in values.items()}
    kept = {path: value for path, value in configs.leaves(record.config).items() if not path.startswith(_OTHER_PLACES)}
    lengths = {f"{part}_days": told["plan"][f"{part}_ns"] / DAY_NS for part in ("fit", "validation", "test")}
    told |= lengths | {"anchored": told.pop("plan")["anchored"]}
    return told | kept


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
