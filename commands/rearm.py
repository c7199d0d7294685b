"""``autotrade rearm``: the circuit breaker of a running node lets trade again; refused while a cause persists."""

import argparse

from commands.asking import add_options, carried_out, request_of

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("rearm", help="arm a running node's circuit breaker again")
    add_options(parser)
    parser.add_argument(
        "--new-anchor", action="store_true", help="although the day's limit is reached: measure it from now on"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Ask."""
    return carried_out(args, "rearm", request_of(args, "rearm", new_anchor=args.new_anchor))
