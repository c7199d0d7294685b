"""``autotrade live``: trade on paper, on demo, on the testnet or on the real market."""

import argparse
import glob
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

import configs
from adapters.instruments import instrument_id
from adapters.report import statistics_table
from adapters.venue import Keys
from configs.schema import AppConfig
from core.errors import AutotradeError, UsageError
from run_live import Live, ReplayControl, run_live
from venue.control_client import ControlClient, ControlError
from venue.start import TOKEN_VARIABLE

__all__ = ["add_parser"]

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
    parser.add_argument("--out", type=Path, help="directory of the session (default: a new one of catalog/live)")
    parser.add_argument("--json", action="store_true", help="print what happens as lines of JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    config = configs.load(args.environment, args.overrides)
    names = tuple(instrument_id(name, market="um") for name in args.instruments or config.market.instruments)
    config = msgspec.structs.replace(config, market=msgspec.structs.replace(config.market, instruments=names))
    out = args.out or Path(config.catalog.path).parent / "live" / _session(args.environment)
    with _control(config) as replay:
        live = Live(
            config=config,
            models=tuple(args.models or _models(config.catalog.models)),
            out=out,
            keys=_keys(config),
            replay=replay,
            ready=lambda: _tell(args, {"event": "ready", "environment": args.environment, "session": str(out)}),
        )
        summary = run_live(live)
    if args.json:
        sys.stdout.write(msgspec.json.encode({"event": "stopped", **summary}).decode() + "\n")
    else:
        Console(highlight=False).print(statistics_table(summary))
    if summary["faults"]:
        raise AutotradeError(f"decisions ceased on a fault: {summary['faults']}")
    return 0


def _tell(args: argparse.Namespace, event: dict[str, Any]) -> None:
    if args.json:
        sys.stdout.write(msgspec.json.encode(event).decode() + "\n")
        sys.stdout.flush()
    else:
        Console(stderr=True, highlight=False).print(" ".join(str(value) for value in event.values()), soft_wrap=True)


def _session(environment: str) -> str:
    return f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{environment}-{os.urandom(3).hex()}"


def _keys(config: AppConfig) -> Keys | None:
    """Return the credentials of an environment; none where fills are simulated."""
    if config.venue.execution == "simulated":
        return None
    prefix = f"AUTOTRADE_{config.environment.upper()}_API_"
    key, secret = os.environ.get(f"{prefix}KEY", ""), os.environ.get(f"{prefix}SECRET", "")
    if not key or not secret:
        raise UsageError(f"no credentials: set {prefix}KEY and {prefix}SECRET")
    return Keys(key, secret)


@contextmanager
def _control(config: AppConfig) -> Iterator[ReplayControl | None]:
    """Yield the controls of a venue that replays history, None where the venue is in the present."""
    if not config.venue.replay:
        yield None
        return
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise UsageError(f"venue.replay: the venue's control token is needed; set {TOKEN_VARIABLE}")
    client = ControlClient(config.venue.http_url, token)
    try:
        state = client.state()
    except (ControlError, OSError) as error:
        raise AutotradeError(f"{config.venue.http_url} is no venue that replays: {error}") from None
    try:
        yield ReplayControl(following=client.next, market_ns=int(state["market_ms"]) * 1_000_000)
    finally:
        client.close()


def _models(patterns: tuple[str, ...]) -> list[Path]:
    """Return the artifact directories that the configuration names, in the order of their names."""
    found = {Path(name) for pattern in patterns for name in glob.glob(pattern)}  # noqa: PTH207 - may be absolute
    return sorted(path for path in found if (path / "manifest.json").is_file())
