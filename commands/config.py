"""``autotrade config``: the effective configuration of an environment, and what sets two apart."""

import argparse
import json

import msgspec

from configs import AppConfig, config_hash, leaves, load
from configs.schema import SECTIONS
from configs.section import settings_of

__all__ = ["add_parser", "rendered"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    commands = subparsers.add_parser("config", help="show or compare configurations").add_subparsers(
        dest="action", metavar="ACTION", required=True
    )
    show = commands.add_parser("show", help="print the effective configuration, its ranges and its hash")
    show.add_argument("environment", nargs="?", default="backtest", help="name of an overlay (default: backtest)")
    show.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                      help="override one value, repeatable")  # fmt: skip
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)
    diff = commands.add_parser("diff", help="print the values that differ between two environments")
    diff.add_argument("left", metavar="ENVIRONMENT")
    diff.add_argument("right", metavar="ENVIRONMENT")
    diff.add_argument("--json", action="store_true", help="print JSON")
    diff.set_defaults(run=_diff)


def rendered(config: AppConfig) -> str:
    """Return a configuration as TOML, with the range and the meaning of each value beside it."""
    lines = [f"# environment {config.environment}", f"# hash {config_hash(config)}"]
    values = leaves(config)
    for name, section in SECTIONS.items():
        lines += ["", f"[{name}]"]
        for setting in settings_of(section):
            entry = f"{setting.name} = {_literal(values[setting.path])}"
            choice = f" ({setting.choice()})" if setting.choice() else ""
            lines.append(f"{entry:<44}  # {setting.meaning}{choice}")
    return "\n".join(lines)


def _show(args: argparse.Namespace) -> int:
    """Print the effective configuration."""
    config = load(args.environment, args.overrides)
    if args.json:
        tree = msgspec.to_builtins(config)
        print(json.dumps({"environment": args.environment, "hash": config_hash(config), "config": tree}, indent=2))
    else:
        print(rendered(config))
    return 0


def _diff(args: argparse.Namespace) -> int:
    """Print the values that differ."""
    before, after = load(args.left), load(args.right)
    others = leaves(after)
    rows = [(path, value, others[path]) for path, value in leaves(before).items() if value != others[path]]
    if args.json:
        report = {
            "left": {"environment": args.left, "hash": config_hash(before)},
            "right": {"environment": args.right, "hash": config_hash(after)},
            "differences": [{"path": path, "left": left, "right": right} for path, left, right in rows],
        }
        print(json.dumps(report, indent=2))
        return 0
    table = [("path", args.left, args.right), *((path, _literal(left), _literal(right)) for path, left, right in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _literal(value: object) -> str:
    """Return a value as TOML writes it (of these types: as JSON does)."""
    return json.dumps(value, ensure_ascii=False)
