"""``autotrade stop``: a running node ends in order; positions are kept under their stops, or closed first."""

import argparse

from adapters.control import is_running
from commands.asking import add_options, asked, node_of, request_of, tell, waited
from core.errors import AutotradeError

__all__ = ["add_parser"]

_GRACE_SECONDS = 10.0


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("stop", help="end a running node in order")
    parser.add_argument(
        "positions",
        nargs="?",
        choices=("keep", "flatten"),
        help="kept under their stops, or closed first (default: venue.stop)",
    )
    add_options(parser)
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="until it has ended; 0: do not (default: venue.stop_seconds + 10)"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Ask, and wait until it is so."""
    config, folder = node_of(args)
    answer = asked(folder, request_of(args, "stop", positions=args.positions or ""))
    seconds = config.venue.stop_seconds + _GRACE_SECONDS if args.wait is None else args.wait
    if seconds > 0.0 and not waited(lambda: not is_running(folder), seconds):
        raise AutotradeError(f"the node has not ended after {seconds:g} s; a second SIGTERM to its process forces it")
    tell(args, answer)
    return 0
