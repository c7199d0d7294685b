"""``autotrade live``: trade on paper, on demo, on the testnet or on the real market."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

import configs
from adapters.credentials import Credentials, credentials
from adapters.instruments import instrument_id
from adapters.report import statistics_table
from commands.ranges import artifact_paths
from configs.schema import AppConfig
from core.errors import AutotradeError, UsageError
from run_live import Live, ReplayControl, check_start, run_live

__all__ = ["add_parser", "session_folder"]

ENVIRONMENTS = ("paper", "demo", "testnet", "mainnet")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("live", help="trade on paper, demo, testnet or mainnet")
    parser.add_argument("environment", choices=ENVIRONMENTS, help="one switch: which overlay and which credentials")
    parser.add_argument("--instrument", action="append", dest="instruments", metavar="ID",
                        help="instrument to trade, repeatable (default: the configuration's)")  # fmt: skip
    parser.add_argument("--models", nargs="+", type=Path, metavar="DIR", help="model artifacts (default: the demo's)")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                        help="override one value of the configuration, repeatable")  # fmt: skip
    parser.add_argument("--replay", action="store_true",
                        help="on history at a stand-in venue that is started for it; needs no key")  # fmt: skip
    parser.add_argument("--catalog", type=Path, help="with --replay: catalog directory (default: the configuration's)")
    parser.add_argument("--start", help="with --replay: from this ISO date or time (UTC) on (default: the last 7 days)")
    parser.add_argument("--end", help="with --replay: up to this ISO date or time (UTC) (default: the end of the data)")
    parser.add_argument("--out", type=Path, help="directory of the session (default: a new one of record.path)")
    parser.add_argument("--json", action="store_true", help="print what happens as lines of JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    config = configs.load(args.environment, args.overrides)
    if args.instruments:
        names = tuple(instrument_id(name, market="um") for name in args.instruments)
        config = msgspec.structs.replace(config, market=msgspec.structs.replace(config.market, instruments=names))
    out: Path = args.out or session_folder(config)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} exists and is not empty: a session is not overwritten, choose another directory")
    check_start(config, tuple(args.models or artifact_paths(config.catalog.models)))
    if not args.replay:
        for name in ("catalog", "start", "end"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name} says what is replayed: give --replay with it")
        with _control(config) as replay:
            return _trade(args, Live(config=config, models=(), out=out, keys=_keys(config), replay=replay), None)
    if args.environment == "mainnet":
        raise UsageError("mainnet is not replayed: choose paper, demo or testnet")
    from commands.replayed import replayed  # noqa: PLC0415 - only a replay needs the stand-in venue

    notes = Console(stderr=True, highlight=False)
    with replayed(config, args.catalog, (args.start, args.end), out, notes) as (changed, keys, replay, span):
        simulated = changed.venue.execution == "simulated"
        live = Live(config=changed, models=(), out=out, keys=None if simulated else keys, replay=replay)
        return _trade(args, live, span)


def _trade(args: argparse.Namespace, live: Live, span: tuple[int, int] | None) -> int:
    """Run a node, tell how it goes, and print what came of it."""
    notes = Console(stderr=True, highlight=False)
    models = tuple(args.models or artifact_paths(live.config.catalog.models))
    told = {"event": "ready", "environment": args.environment, "session": str(live.out)}
    with _progress(notes, span if not args.json and notes.is_terminal else None) as progress:
        live = msgspec.structs.replace(
            live, models=models, ready=lambda: _tell(told, notes, as_json=args.json), progress=progress
        )
        summary = run_live(live)
    if args.json:
        sys.stdout.write(msgspec.json.encode({"event": "stopped", **summary}).decode() + "\n")
    else:
        Console(highlight=False).print(statistics_table(summary))
        Console(highlight=False).print(f"session: {live.out}", soft_wrap=True)
    if summary["faults"]:
        raise AutotradeError(f"decisions ceased on a fault: {summary['faults']}")
    return 0


@contextmanager
def _progress(notes: Console, span: tuple[int, int] | None) -> Iterator[Callable[[int], None]]:
    """Yield what is told the time of every decision: a bar for a replay at a terminal, silence otherwise."""
    if span is None:
        yield lambda _: None
        return
    start, end = span
    columns = (TextColumn("replay"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=notes) as progress:
        task = progress.add_task("replay", total=end - start)
        yield lambda ts: progress.update(task, completed=ts - start)


def _tell(event: dict[str, Any], notes: Console, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
        sys.stdout.flush()
    else:
        notes.print(f"{event['environment']} is {event['event']}; session {event['session']}", soft_wrap=True)


def session_folder(config: AppConfig) -> Path:
    """Return the folder of a new session: its name is the time, the environment and a few random letters."""
    name = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{config.environment}-{os.urandom(3).hex()}"
    return Path(config.record.path) / name


def _keys(config: AppConfig) -> Credentials | None:
    """Return the credentials of an environment; none where fills are simulated."""
    if config.venue.execution == "simulated":
        return None
    return credentials(config.environment, os.environ, Path(".env"))


@contextmanager
def _control(config: AppConfig) -> Iterator[ReplayControl | None]:
    """Yield the controls of a venue that replays history and runs already, None where the venue is in the present."""
    if not config.venue.replay:
        yield None
        return
    from commands.replayed import controlled  # noqa: PLC0415 - only a replay needs the stand-in venue

    with controlled(config.venue.http_url) as control:
        yield control
