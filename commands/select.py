"""``autotrade select``: choose an ensemble of a study, hold it to the golden rule, and promote it where it passes."""

import argparse
import hashlib
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import configs
from adapters.ledger import Entry, Ledger
from adapters.promotion import Promotion, check_free, promote
from adapters.study_store import StudyRecord, StudyStore, alone, write_whole
from configs import golden_rule
from core.errors import RefusedError, UsageError
from core.golden_rule import Profile
from core.selection import Selection
from core.times import iso, parse_time

if TYPE_CHECKING:
    from run_study import Study
    from training.candidates import Candidate

__all__ = ["add_parser", "run"]

_MULTIPLES = (0.5, 1.0, 2.0)
"""Of all costs, at which the ensemble is replayed."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("select", help="hold a study to the golden rule and choose an ensemble")
    add = parser.add_argument
    add("study", metavar="STUDY", help="its name in catalog.studies_path")
    add("--profile", default="default", metavar="NAME", help="limits of configs/golden_rule.toml (default: default)")
    add("--members", type=int, default=5, metavar="N", help="models of the ensemble (default: 5)")
    add("--promote", metavar="NAME", help="copy the models of the last fold to catalog.models_path as NAME-...")
    add("--override", default="", metavar="REASON", help="promote although a rule failed; the reason is recorded")
    add("--holdout-start", metavar="ISO", help="after the last fold: replayed once, for what is promoted")
    add("--holdout-end", metavar="ISO", help="end of that range (UTC)")
    add("--catalog", type=Path, metavar="DIR", help="market data (default: that of the study)")
    add("--env", default="train", metavar="ENV", help="configuration that says where studies are (default: train)")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, repeatable")
    add("--json", action="store_true", help="print selection.json")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge a study; return 0 where it passes or is promoted by override, 3 where it is refused."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError("selecting needs packages that are not installed; run `uv sync --extra train`")
    from run_study import Study  # noqa: PLC0415 - the parser must load neither the engine
    from training.self_test import require_passed  # noqa: PLC0415 - nor torch

    config = configs.load(args.env, args.overrides)
    profile = golden_rule.load(args.profile)
    models, studies = Path(config.catalog.models_path), Path(config.catalog.studies_path)
    _check(args)
    store = StudyStore(studies, args.study)
    record = store.load()
    holdout = _holdout_range(args, record)
    if args.promote is not None:
        check_free(models, args.promote, begun=_begun(Path(config.catalog.ledger_path), record.name))
    require_passed(studies / "self_test.json")
    study = Study(record, store, args.catalog or Path(record.catalog), Path(config.catalog.ledger_path))
    _check_data(study)
    with alone(store.directory / ".lock"):
        selection, ensemble, last = _judged(study, profile, args.members, quiet=args.json)
        wanted = args.promote is not None and (selection.passed or bool(args.override))
        if wanted:
            selection = msgspec.structs.replace(selection, override="" if selection.passed else args.override)
            if holdout is not None:
                _replay_holdout(study, ensemble, last, holdout)
        elif not selection.passed:
            selection = msgspec.structs.replace(selection, override=_overridden(study, ensemble, profile))
        selection = msgspec.structs.replace(selection, holdout=_held_out(study, ensemble))
        _write(store, selection)
        places = _promote(study, models, args.promote, selection, ensemble, last) if wanted else ()
    if args.json:
        print(msgspec.json.format(msgspec.json.encode(selection), indent=2).decode())
    else:
        _print(selection, store, places)
    if args.promote is not None and not wanted:
        print("not promoted: a rule failed; --override REASON promotes all the same and is recorded", file=sys.stderr)
    return 0 if selection.passed or wanted else 3


def _check(args: argparse.Namespace) -> None:
    """Refuse arguments that could not have been meant."""
    if not 1 <= args.members <= 99:
        raise UsageError(f"--members is {args.members}; give 1 to 99")
    for option in ("override", "holdout_start", "holdout_end"):
        if getattr(args, option) and args.promote is None:
            raise UsageError(f"--{option.replace('_', '-')} goes with --promote NAME; give it, or leave the other out")
    if (args.holdout_start is None) != (args.holdout_end is None):
        raise UsageError("--holdout-start and --holdout-end go together; give both or none")


def _check_data(study: "Study") -> None:
    """Refuse data that is not what the study was run on: its trials and its ensemble would be of two markets."""
    from adapters.catalog import data_hash  # noqa: PLC0415

    record = study.record
    start_ns, end_ns = parse_time(record.start, "start"), parse_time(record.end, "end")
    base = record.config.market.base_interval
    found = data_hash(study.catalog, record.instruments, base, start_ns=start_ns, end_ns=end_ns)
    if found != record.data_hash:
        raise RefusedError(
            f"{study.catalog} holds other data from {record.start} to {record.end} than study {record.name!r} was run "
            f"on (hash {found[:12]}, was {record.data_hash[:12]}); restore it, or study under another name"
        )


def _holdout_range(args: argparse.Namespace, record: StudyRecord) -> tuple[int, int] | None:
    """Return the holdout in ns, refusing one that a choice may have seen."""
    if args.holdout_start is None:
        return None
    start, end = parse_time(args.holdout_start, "--holdout-start"), parse_time(args.holdout_end, "--holdout-end")
    last = parse_time(record.folds[-1].test[1], "fold")
    if start >= end:
        raise UsageError(f"the holdout {args.holdout_start} to {args.holdout_end} is empty; give a later --holdout-end")
    if start < last:
        raise RefusedError(
            f"the holdout begins on {iso(start)}, the last fold ends on {iso(last)}: what the study has seen is no "
            "holdout; give a later --holdout-start"
        )
    return start, end


def _judged(
    study: "Study", profile: Profile, count: int, *, quiet: bool
) -> "tuple[Selection, str, tuple[Candidate, ...]]":
    """Choose an ensemble and hold it to a profile; return the verdict, its name, and its members of the last fold."""
    from run_study import replay_ensemble  # noqa: PLC0415
    from training.candidates import candidates, chosen, counted, replayed  # noqa: PLC0415
    from training.looks import check_ended  # noqa: PLC0415
    from training.verdict import Ensemble, verdict  # noqa: PLC0415

    record = study.record
    entries = Ledger(study.ledger).entries()
    found = candidates(record, study.store, entries)
    check_ended(record, entries)
    members = chosen(found, count=count)
    quorum, equity = record.config.ensemble.quorum, record.config.backtest.starting_equity
    if len(members[-1]) < quorum:
        raise UsageError(
            f"{len(members[-1])} members never reach the quorum of {quorum} that this study trades with: give more "
            "--members, or study more seeds"
        )
    names = [[found[index].trials[fold].parameters["name"] for index in who] for fold, who in enumerate(members)]
    ensemble = f"ensemble-{hashlib.sha256(msgspec.json.encode(names)).hexdigest()[:6]}"
    outs: dict[float, list[Path]] = {multiple: [] for multiple in _MULTIPLES}
    with _progress(len(_MULTIPLES) * len(record.folds), quiet=quiet) as step:
        for multiple, places in outs.items():
            for fold, models in zip(record.folds, names, strict=True):
                span = parse_time(fold.test[0], "fold"), parse_time(fold.test[1], "fold")
                part = f"fold-{fold.number}"
                places.append(replay_ensemble(study, ensemble, models, part=part, span=span, multiple=multiple))
                step()
    starts = [parse_time(fold.test[0], "fold") for fold in record.folds]
    runs = {
        multiple: tuple(replayed(out, start, equity) for out, start in zip(places, starts, strict=True))
        for multiple, places in outs.items()
    }
    selection = verdict(
        record,
        study.store,
        found,
        Ensemble(ensemble, members, runs, tuple(outs[1.0])),
        catalog=study.catalog,
        profile=profile,
        counted=counted(Ledger(study.ledger).entries(), record.instruments),
        created=iso(time.time_ns()),
    )
    return selection, ensemble, tuple(found[index] for index in members[-1])


def _replay_holdout(study: "Study", ensemble: str, last: "Sequence[Candidate]", span: tuple[int, int]) -> None:
    """Replay the ensemble over the holdout, unless it was looked at already."""
    from run_study import replay_ensemble  # noqa: PLC0415
    from training.looks import HOLDOUT, check_holdout  # noqa: PLC0415

    check_holdout(study.record, ensemble, span, Ledger(study.ledger).entries())
    replay_ensemble(study, ensemble, [each.trials[-1].parameters["name"] for each in last], part=HOLDOUT, span=span)


def _parts(ledger: Path, study: str, part: str) -> list[Entry]:
    """Return what the ledger has of a study's ensembles: replays of a part, or promotions."""
    return [
        entry
        for entry in Ledger(ledger).entries()
        if entry.purpose == "ensemble" and entry.study == study and entry.parameters["part"] == part
    ]


def _begun(ledger: Path, study: str) -> set[str]:
    """Return the names of the models of promotions that were begun and not ended."""
    rows = _parts(ledger, study, "promotion")
    return {name for entry in rows if entry.status == "running" for name in entry.parameters["models"]}


def _overridden(study: "Study", ensemble: str, profile: Profile) -> str:
    """Return why an ensemble that failed a profile was promoted, the last time that it was; empty where never."""
    reasons = [
        str(entry.outcome["override"])
        for entry in _parts(study.ledger, study.record.name, "promotion")
        if (entry.candidate, entry.status, entry.parameters["profile"]) == (ensemble, "finished", profile.name)
    ]
    return reasons[-1] if reasons else ""


def _held_out(study: "Study", ensemble: str) -> dict[str, float | str | None]:
    """Return the figures of the ensemble on the holdout, or nothing where none was replayed."""
    from core.outofsample import figures  # noqa: PLC0415
    from training.candidates import replayed  # noqa: PLC0415
    from training.looks import HOLDOUT  # noqa: PLC0415

    equity = study.record.config.backtest.starting_equity
    for entry in _parts(study.ledger, study.record.name, HOLDOUT):
        if entry.candidate == ensemble and entry.status == "finished":
            start, end = entry.parameters["span"]
            run = replayed(study.store.ensemble(ensemble, f"{HOLDOUT}-x1"), parse_time(start, "holdout"), equity)
            return {"start": start, "end": end, **figures([run])}
    return {}


def _write(store: StudyStore, selection: Selection) -> None:
    """Write the verdict as data and as a page."""
    from adapters.selection_report import write_selection_report  # noqa: PLC0415

    write_whole(store.selection_path, msgspec.json.format(msgspec.json.encode(selection), indent=2))
    write_selection_report(store.report_path, selection)


def _promote(
    study: "Study", models: Path, name: str, selection: Selection, ensemble: str, last: "Sequence[Candidate]"
) -> tuple[Path, ...]:
    """Copy the members' artifacts of the last fold to where models trade from, and write it down."""
    promotion = Promotion(
        name=name,
        study=selection.study,
        ensemble=ensemble,
        models=tuple(f"{name}-{candidate.name}" for candidate in last),
        profile=selection.profile,
        passed=selection.passed,
        override=selection.override,
        rules=selection.rules,
        figures=selection.figures,
        holdout=selection.holdout,
        created=selection.created,
    )
    ledger = Ledger(study.ledger)
    entry = ledger.begin(
        Entry(
            trial_id=hashlib.sha256(msgspec.json.encode(("promotion", *promotion.identity))).hexdigest()[:16],
            purpose="ensemble",
            study=selection.study,
            candidate=ensemble,
            algorithm="ensemble",
            seed=0,
            instruments=selection.instruments,
            parameters={"part": "promotion", "models": list(promotion.models), "profile": promotion.profile},
        )
    )
    places = promote(models, [study.store.model(each.trials[-1].parameters["name"]) for each in last], promotion)
    if entry.status == "running":  # else the same was promoted before, and removed since
        ledger.finish(entry.trial_id, {"passed": promotion.passed, "override": promotion.override})
    return places


@contextmanager
def _progress(total: int, *, quiet: bool) -> Iterator[Callable[[], None]]:
    """Show how many replays are left, on standard error."""
    console = Console(stderr=True)
    columns = (TextColumn("replays"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task("replays", total=total)
        yield lambda: bars.advance(task)


def _print(selection: Selection, store: StudyStore, places: Sequence[Path]) -> None:
    """Print the rules with their numbers and limits, the members, and the verdict."""
    console = Console(highlight=False)
    console.width = max(console.width, 120)
    failed = sum(not result.passed for result in selection.rules)
    table = Table("rule", "value", "limit", "", "meaning", title=f"{selection.study}: profile {selection.profile}",
                  title_justify="left")  # fmt: skip
    for result in selection.rules:
        value = "undefined" if result.value is None else f"{result.value:.4g}"
        sign = ">=" if result.sense == "at_least" else "<="
        table.add_row(
            result.rule, value, f"{sign} {result.limit:g}", "PASS" if result.passed else "FAIL", result.meaning
        )
    console.print(table)
    console.print(f"members: {', '.join(member.model_id for member in selection.members)}", soft_wrap=True)
    luck = selection.overfitting
    console.print(f"trials in the ledger: {luck.trials}, {luck.abandoned} of them without a figure")
    if selection.holdout:
        held = selection.holdout
        console.print(f"holdout {held['start']} to {held['end']}: total return {held['total_return']:+.2%}")
    console.print(f"report: {store.report_path}", soft_wrap=True)
    for path in places:
        console.print(f"promoted: {path}", soft_wrap=True)
    console.print("PASS" if selection.passed else f"FAIL: {failed} of {len(selection.rules)} rules"
                  + (f", promoted by override: {selection.override}" if selection.override else ""))  # fmt: skip
