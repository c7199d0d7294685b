"""``autotrade sessions``: the recorded sessions, one a line."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

import configs
from adapters.session_log import SessionLog
from core.times import iso

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    command = subparsers.add_parser("sessions", help="list recorded sessions")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """List the sessions, oldest first."""
    place = Path(configs.load("backtest").record.path)
    found = [_about(path.parent.parent) for path in sorted(place.glob("*/record/00000001.log"))]
    if args.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return 0
    if not found:
        print(f"no session in {place}")
    for one in found:
        print(f"{one['session_id']:<40} {one['processes']:>3} starts  {one['size_mb']:>9.1f} MB  last {one['last']}")
    return 0


def _about(folder: Path) -> dict[str, Any]:
    """Return what a line says: every start of a process begins a segment of the record."""
    log = SessionLog(folder)
    files = [path.stat() for path in (folder / "record").glob("*.log")]
    return {
        "session_id": folder.name,
        "folder": str(folder),
        "processes": len(files),
        "size_mb": sum(one.st_size for one in files) / 1e6,
        "last": iso(max(one.st_mtime_ns for one in files)),
        "header": log.header,
    }
