"""``autotrade study``: train and replay folds x seeds x algorithms, walking forward."""

import argparse
import importlib.util
import json
import re
import shlex
import statistics
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
from adapters.instruments import instrument_id
from adapters.ledger import Entry, Ledger
from adapters.study_store import StudyRecord, StudyStore
from core.bars import DAY_NS, interval_ns
from core.errors import UsageError
from core.selection import FoldSpan
from core.times import iso, parse_time
from core.walkforward import Plan, folds

if TYPE_CHECKING:
    from run_study import Progress as Ended
    from run_study import Study

__all__ = ["add_parser", "run"]

ALGORITHMS = ("ppo", "a2c", "dqn", "qrdqn", "sac", "recurrent_ppo")
_UNITS_NS = {"h": DAY_NS // 24, "d": DAY_NS, "w": 7 * DAY_NS}
_DECISIONS_A_SECOND = {"ppo": 20_000, "a2c": 20_000, "dqn": 5_000, "qrdqn": 4_000, "sac": 1_000, "recurrent_ppo": 2_000}
"""Trained in one process, as long as no finished trial in the ledger says better: an order of magnitude."""

_BASE_BARS_A_SECOND = 100_000
"""Replayed in one process, the same."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("study", help="train and replay folds x seeds x algorithms, walking forward")
    add = parser.add_argument
    add("name", metavar="NAME", help="its directory is made in catalog.studies_path; the same command goes on with it")
    add("--instrument", action="append", required=True, dest="instruments", metavar="ID", help="repeatable")
    add("--start", required=True, metavar="ISO", help="start of the first fold (UTC)")
    add("--end", required=True, metavar="ISO", help="no fold ends later (UTC)")
    for part, what in (("fit", "fitted on"), ("validation", "chosen on"), ("test", "tested on, once")):
        add(f"--{part}", required=True, metavar="LENGTH", help=f"length of what is {what}; 12h, 90d or 8w")
    add("--purge-bars", type=int, metavar="N", help="decision bars between parts (default: exits.max_holding_bars)")
    add("--embargo-bars", type=int, default=0, metavar="N", help="further decision bars between parts (default: 0)")
    add("--anchored", action="store_true", help="every fit begins at --start, and grows (default: it rolls)")
    add("--algorithm", required=True, nargs="+", dest="algorithms", choices=ALGORITHMS, metavar="NAME",
        help=f"one or more of {', '.join(ALGORITHMS)}")  # fmt: skip
    add("--seeds", required=True, nargs="+", type=int, metavar="SEED", help="one model a fold, algorithm and seed")
    add("--timesteps", type=int, metavar="N", help="decisions to train on (default: as the hyper-parameters say)")
    add("--hyperparameters", type=Path, metavar="FILE", help="default: configs/hyperparameters.toml")
    add("--warm-start", action="store_true", help="imitate a teacher of the fit range first")
    add("--backend", choices=("serial", "joblib", "ray"), default="joblib", help="default: joblib")
    add("--workers", type=int, default=2, metavar="N", help="trials at a time (default: 2)")
    add("--ray-address", metavar="HOST:PORT", help="a running Ray cluster (default: one on this machine)")
    add("--catalog", type=Path, metavar="DIR", help="market data (default: catalog.path)")
    add("--env", default="train", metavar="ENV", help="configuration (default: train)")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, repeatable")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run a study, or what is left of it; return the exit code."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("stable_baselines3") is None:
        raise UsageError("a study trains, which needs packages that are not installed; run `uv sync --extra train`")
    _check(args)
    names = tuple(instrument_id(name, market="um") for name in args.instruments)
    config = configs.load(args.env, args.overrides)
    config = msgspec.structs.replace(config, market=msgspec.structs.replace(config.market, instruments=names))
    catalog = args.catalog or Path(config.catalog.path)
    store = StudyStore(Path(config.catalog.studies_path), args.name)
    asked = _record(args, config, names, catalog)
    ledger = Ledger(Path(config.catalog.ledger_path))  # refused now, not after the first training

    from run_study import Study, run_study, trials  # noqa: PLC0415 - the parser must load neither the engine nor torch
    from training.looks import check_name, check_tuned  # noqa: PLC0415

    study = Study(
        record=asked,
        store=store,
        catalog=catalog,
        ledger=Path(config.catalog.ledger_path),
        backend=args.backend,
        workers=args.workers,
        address=args.ray_address,
    )
    if not store.record_path.exists():
        check_name(asked, {trial.trial_id for trial in trials(study)}, ledger.entries())
        check_tuned(asked, ledger.entries())
    record = store.open(asked)
    study = study._replace(record=record)
    console = Console(stderr=args.json, highlight=False)
    console.width = max(console.width, 120)
    _announce(study, console)
    with _progress(quiet=args.json) as progress:
        entries = run_study(study, progress=progress)
    failed = [entry for entry in entries if entry.status == "failed"]
    if args.json:
        print(
            json.dumps({"study": record.name, "directory": str(store.directory), "trials": _plain(entries)}, indent=2)
        )
    else:
        console.print(_results(entries))
        console.print(f"next: autotrade select {record.name}", soft_wrap=True)
    if failed:
        print(f"{len(failed)} of {len(entries)} trials failed: {failed[0].reason}", file=sys.stderr)
        return 1
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse arguments that could not have been meant."""
    if args.timesteps is not None and args.timesteps < 1:
        raise UsageError(f"--timesteps is {args.timesteps}, at least 1 is needed")
    if not 1 <= args.workers <= 1024:
        raise UsageError(f"--workers is {args.workers}; give 1 to 1024")
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise UsageError(f"--seeds {' '.join(map(str, args.seeds))}: give different seeds, none below 0")
    for option in ("instruments", "algorithms"):
        given = getattr(args, option)
        if len(set(given)) < len(given):
            raise UsageError(f"--{option[:-1]} {' '.join(given)}: give each once")
    if args.ray_address and args.backend != "ray":
        raise UsageError(f"--ray-address {args.ray_address} goes with --backend ray, which is {args.backend}")
    if args.embargo_bars < 0:
        raise UsageError(f"--embargo-bars is {args.embargo_bars}; give 0 or more")


def _record(args: argparse.Namespace, config: configs.AppConfig, names: tuple[str, ...], catalog: Path) -> StudyRecord:
    """Return what is asked, with the folds that follow from it."""
    from adapters.catalog import data_hash  # noqa: PLC0415 - the parser must load neither the engine
    from training import hyperparameters  # noqa: PLC0415 - nor torch
    from training.export import git_revision, versions  # noqa: PLC0415

    start_ns, end_ns = parse_time(args.start, "--start"), parse_time(args.end, "--end")
    if start_ns >= end_ns:
        raise UsageError(f"the range {args.start} to {args.end} is empty; give a later --end")
    holding = config.exits.max_holding_bars
    purge = holding if args.purge_bars is None else args.purge_bars
    if purge < holding:
        raise UsageError(
            f"--purge-bars is {purge}, below exits.max_holding_bars {holding}: a position of one part would earn in "
            f"the next; give at least {holding}, or shorten the holding"
        )
    bar_ns = interval_ns(config.market.decision_interval)
    plan = Plan(
        fit_ns=_length(args.fit, "--fit"),
        validation_ns=_length(args.validation, "--validation"),
        test_ns=_length(args.test, "--test"),
        purge_ns=purge * bar_ns,
        embargo_ns=args.embargo_bars * bar_ns,
        anchored=args.anchored,
    )
    spans = tuple(
        FoldSpan(number=fold.number, **{part: _told(getattr(fold, part)) for part in ("fit", "validation", "test")})
        for fold in folds(plan, start_ns=start_ns, end_ns=end_ns)
    )
    return StudyRecord(
        name=args.name,
        instruments=names,
        start=iso(start_ns),
        end=iso(end_ns),
        plan=plan,
        purge_bars=purge,
        embargo_bars=args.embargo_bars,
        folds=spans,
        algorithms=tuple(args.algorithms),
        seeds=tuple(args.seeds),
        timesteps=args.timesteps,
        warm_start=args.warm_start,
        hyperparameters=msgspec.to_builtins(hyperparameters.load(args.hyperparameters)),
        config=config,
        data_hash=data_hash(catalog, names, config.market.base_interval, start_ns=start_ns, end_ns=end_ns),
        catalog=str(catalog),
        command=_command(args),
        versions=versions(),
        git_revision=git_revision(Path(__file__).parents[1]),
        created=iso(time.time_ns()),
    )


def _length(text: str, option: str) -> int:
    """Return a length of time in ns."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([hdw])", text)
    if found is None:
        raise UsageError(f"{option} is {text!r}: give a whole number of hours, days or weeks such as 12h, 90d or 8w")
    return int(found[1]) * _UNITS_NS[found[2]]


def _told(span: tuple[int, int]) -> tuple[str, str]:
    return iso(span[0]), iso(span[1])


def _announce(study: "Study", console: Console) -> None:
    """Print the folds, the number of trainings and about how long they take, before anything runs."""
    record = study.record
    bar_ns = interval_ns(record.config.market.decision_interval)
    kind = "anchored" if record.plan.anchored else "rolling"
    table = Table(
        "fold", "fit", "bars", "validation", "bars", "test", "bars",
        title=f"{record.name}: {', '.join(record.instruments)}, {record.config.market.decision_interval} decisions, "
        f"{kind} folds, purge {record.purge_bars} and embargo {record.embargo_bars} bars", title_justify="left",
    )  # fmt: skip
    for fold in record.folds:
        cells = [str(fold.number)]
        for start, end in (fold.fit, fold.validation, fold.test):
            bars = (parse_time(end, "fold") - parse_time(start, "fold")) // bar_ns
            cells += [f"{start[:10]} .. {end[:10]}", f"{bars:,}"]
        table.add_row(*cells)
    console.print(table)
    each = len(record.folds) * len(record.seeds)
    total = each * len(record.algorithms)
    at_a_time = 1 if study.backend == "serial" else study.workers
    seconds = sum(each * _seconds(study, algorithm) for algorithm in record.algorithms) / at_a_time
    console.print(
        f"{total} trainings: {len(record.folds)} folds x {len(record.algorithms)} algorithms x {len(record.seeds)} "
        f"seeds, {study.backend}, {at_a_time} at a time; about "
        f"{_span(seconds)} for all of them",
        soft_wrap=True,
    )


def _seconds(study: "Study", algorithm: str) -> float:
    """Return how long a trial may take: as trials of the algorithm in the ledger did, by their length."""
    record = study.record
    wanted = record.timesteps or int(record.hyperparameters[algorithm]["timesteps"])
    known = [
        float(entry.outcome["seconds"] / entry.outcome["timesteps"])
        for entry in (Ledger(study.ledger).entries() if study.ledger.exists() else ())
        if entry.purpose == "study" and entry.status == "finished" and entry.algorithm == algorithm
    ]
    if known:
        return wanted * statistics.median(known)
    replayed_ns = (record.plan.validation_ns + record.plan.test_ns) * len(record.instruments)
    bars = replayed_ns / interval_ns(record.config.market.base_interval)
    return wanted / _DECISIONS_A_SECOND[algorithm] + bars / _BASE_BARS_A_SECOND


def _span(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < 120.0:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60.0:.0f} minutes" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} hours"


@contextmanager
def _progress(*, quiet: bool) -> Iterator["Callable[[Ended], None]"]:
    """Print a line for each trial and show how many are left and how long they take, on standard error."""
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task("trials", total=None)

        def update(ended: "Ended") -> None:
            bars.update(task, total=ended.total, completed=ended.done)
            if not quiet:
                console.print(f"{ended.done}/{ended.total} {_line(ended.entry)}", soft_wrap=True)

        yield update


def _line(entry: Entry) -> str:
    """Return what became of a trial, in one line."""
    name = entry.parameters["name"]
    if entry.status == "failed":
        return f"{name} FAILED: {entry.reason}"
    validation, test = entry.outcome["validation"], entry.outcome["test"]
    return (
        f"{name} validation Sharpe {_number(validation['sharpe'])}, test {test['total_return']:+.2%}, "
        f"Sharpe {_number(test['sharpe'])}, {test['round_trips']} round trips, {entry.outcome['seconds']:.0f} s"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _results(entries: Sequence[Entry]) -> Table:
    """Return the trials as a table."""
    table = Table(
        "trial", "status", "validation Sharpe", "test return", "test Sharpe", "drawdown", "round trips", "fees",
        title="every model alone, through the engine", title_justify="left",
    )  # fmt: skip
    for entry in entries:
        figures = ["-"] * 6
        if entry.status == "finished":
            test = entry.outcome["test"]
            figures = [
                _number(entry.outcome["validation"]["sharpe"]), f"{test['total_return']:+.2%}", _number(test["sharpe"]),
                f"{test['max_drawdown']:.2%}", str(test["round_trips"]), f"{test['fees']:,.0f}",
            ]  # fmt: skip
        table.add_row(entry.parameters["name"], entry.status, *figures)
    return table


def _plain(entries: Sequence[Entry]) -> object:
    return msgspec.to_builtins(entries)


def _command(args: argparse.Namespace) -> str:
    """Return the command line that does the same again."""
    words = ["autotrade", "study", args.name]
    for name in args.instruments:
        words += ["--instrument", name]
    for option in ("start", "end", "fit", "validation", "test", "purge_bars", "embargo_bars"):
        value = getattr(args, option)
        words += [f"--{option.replace('_', '-')}", str(value)] if value is not None else []
    words += ["--algorithm", *args.algorithms, "--seeds", *map(str, args.seeds)]
    words += ["--timesteps", str(args.timesteps)] if args.timesteps is not None else []
    words += ["--hyperparameters", str(args.hyperparameters)] if args.hyperparameters is not None else []
    words += ["--anchored"] if args.anchored else []
    words += ["--warm-start"] if args.warm_start else []
    words += ["--catalog", str(args.catalog)] if args.catalog is not None else []
    words += ["--env", args.env]
    for override in args.overrides:
        words += ["--set", override]
    return shlex.join(words)
