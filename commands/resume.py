"""``autotrade resume``: a running node that was paused opens positions again."""

import argparse

from commands.asking import add_options, carried_out

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("resume", help="open positions again")
    add_options(parser, instrument=True)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Ask."""
    return carried_out(args, "resume")
