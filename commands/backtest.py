"""``autotrade backtest``: replay a range of the catalog, print what came of it, and write a report."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import configs
from adapters.instruments import instrument_id
from adapters.report import statistics_table
from adapters.sample import write_sample
from commands.ranges import artifact_paths, base_series, decision_range
from configs.schema import AppConfig
from core.errors import DataError, UsageError
from core.times import iso, parse_time
from run_backtest import Replay, run_backtest

__all__ = ["add_parser"]

_MOST_NOTES = 20


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("backtest", help="replay a range of the catalog and write a report")
    parser.add_argument("--env", default="backtest", help="configuration overlay (default: backtest)")
    parser.add_argument("--catalog", type=Path, help="catalog directory (default: the configuration's)")
    parser.add_argument("--instrument", action="append", dest="instruments", metavar="ID",
                        help="instrument to replay, repeatable (default: the configuration's)")  # fmt: skip
    parser.add_argument("--start", help="decide from this ISO date or time (UTC) on (default: all after warm-up)")
    parser.add_argument("--end", help="up to this ISO date or time (UTC) (default: the end of the data)")
    parser.add_argument("--models", nargs="+", type=Path, metavar="DIR", help="model artifacts (default: the demo's)")
    parser.add_argument("--arrive", action="append", default=[], dest="arrivals", metavar="TIME=DIR",
                        help="drop a model artifact in at this ISO time (UTC), repeatable")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                        help="override one value of the configuration, repeatable")  # fmt: skip
    parser.add_argument("--out", type=Path, help="directory of the run's files (default: a new one of catalog/runs)")
    parser.add_argument("--json", action="store_true", help="print summary.json instead of a table")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    config = configs.load(args.env, args.overrides)
    notes = Console(stderr=True, highlight=False)
    replay = _resolve(args, config, notes)
    with Progress(
        TextColumn("replay"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(),
        TimeRemainingColumn(), console=notes, disable=args.json or not notes.is_terminal,
    ) as progress:  # fmt: skip
        task = progress.add_task("replay", total=replay.end_ns - replay.start_ns)
        update = _every(64, lambda ts: progress.update(task, completed=ts - replay.start_ns))
        summary = run_backtest(msgspec.structs.replace(replay, progress=update))
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode() + "\n")
        return 0
    _print(summary)
    for note in _notes(replay, summary):
        Console(highlight=False).print(f"note: {note}", soft_wrap=True)
    Console(highlight=False).print(f"report: {replay.out / 'report.html'}", soft_wrap=True)
    return 0


def _notes(replay: Replay, summary: dict[str, Any]) -> list[str]:
    """Return what a person would otherwise look for: who came and went, and why nothing was ordered."""
    notes = []
    table = pq.read_table(replay.out / "members.parquet")
    members = [row for row in table.to_pylist() if row["reason"] != "founding"]
    for row in members[:_MOST_NOTES]:
        stages = f"{row['stage_from'].lower() or 'arrived'} -> {row['stage_to'].lower()}"
        notes.append(
            f"{iso(row['ts_event'])} {row['instrument_id']} model {row['model_id']}: {stages}: {row['reason']}"
        )
    if len(members) > _MOST_NOTES:
        notes.append(f"{len(members) - _MOST_NOTES} further changes of members are in {replay.out / 'members.parquet'}")
    if replay.arrivals and not members:
        notes.append("no model that arrived was taken in: each is in the ensemble already")
    if summary["orders"] == 0:
        decisions = pq.read_table(replay.out / "decisions.parquet", columns=["reason", "abstention", "verdict"])
        told = Counter(row["abstention"] or f"{row['reason']} {row['verdict']}" for row in decisions.to_pylist())
        notes.append("nothing was ordered: " + ", ".join(f"{why} {count:,}" for why, count in told.most_common()))
    return notes


def _print(summary: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(statistics_table(summary))
    foreign = sorted(set(summary["instruments"]) - set(summary["models_trained_on"]))
    if foreign:
        console.print(f"note: no model was trained on {', '.join(foreign)}", soft_wrap=True)
    if summary["missing_bars"] > 0:
        console.print(
            f"note: {summary['missing_bars']:,} bars of the range are missing; `autotrade data check` lists them"
        )
    if summary["in_sample"]:
        trained = summary["models_trained_until"]
        console.print(
            f"IN SAMPLE: a model was trained on bars up to {trained}; this is no evidence of anything.", soft_wrap=True
        )


def _resolve(args: argparse.Namespace, config: AppConfig, notes: Console) -> Replay:
    """Turn arguments and configuration into a replay; an empty default catalog is filled with a synthetic sample."""
    catalog: Path = args.catalog or Path(config.catalog.path)
    if args.catalog is not None and not catalog.is_dir():
        raise DataError(f"no catalog at {catalog}: fill one with `autotrade data import` or `autotrade data download`")
    series = base_series(catalog, config)
    asked = [instrument_id(name, market="um") for name in args.instruments or ()]
    names = tuple(asked or [n for n in config.market.instruments if n in series] or sorted(series))
    if not names and args.catalog is None:
        sample = config.sample
        notes.print(
            f"The catalog is empty: writing {sample.days} days of a SYNTHETIC market (seed {sample.seed}) "
            f"to {catalog}; no real price is in it.",
            soft_wrap=True,
        )
        names = (write_sample(catalog, seed=sample.seed, days=sample.days),)
        series = base_series(catalog, config)
    base = config.market.base_interval
    if not names:
        raise DataError(
            f"catalog {catalog} holds no {base} bars: fill it with `autotrade data import` or `data download`"
        )
    for name in names:
        if name not in series:
            held = ", ".join(sorted(series)) or "nothing"
            raise DataError(f"catalog {catalog} has no {base} bars of {name}, it holds {held}: import them first")
    start, end = decision_range(args.start, args.end, config, [series[name] for name in names])
    models = tuple(args.models or artifact_paths(config.catalog.models))
    if args.out is not None and args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UsageError(
            f"--out {args.out} exists and is not empty: a run is not overwritten, choose another directory"
        )
    arrivals = tuple(_arrival(text) for text in args.arrivals)
    for ts_ns, folder in arrivals:
        if not start < ts_ns <= end:
            raise UsageError(f"--arrive {iso(ts_ns)}={folder} is not within the run, {iso(start)} to {iso(end)}")
    out = args.out or Path(config.catalog.runs_path) / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return Replay(
        config=config,
        catalog=catalog,
        instruments=names,
        start_ns=start,
        end_ns=end,
        out=out,
        models=models,
        arrivals=arrivals,
    )


def _arrival(text: str) -> tuple[int, Path]:
    """Return the time and the directory of ``TIME=DIR``."""
    time, given, folder = text.partition("=")
    if not given or not Path(folder).is_dir():
        raise UsageError(
            f"--arrive {text!r} names no directory; give TIME=DIR, as in 2024-01-20T06:00=catalog/models/x"
        )
    return parse_time(time, "--arrive"), Path(folder)


def _every(count: int, call: Callable[[int], None]) -> Callable[[int], None]:
    """Thin a callback out to one call in ``count``."""
    seen = 0

    def thinned(ts: int) -> None:
        nonlocal seen
        seen += 1
        if seen % count == 0:
            call(ts)

    return thinned
