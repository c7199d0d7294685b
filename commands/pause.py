"""``autotrade pause``: a running node opens nothing until a resume; exits and protection go on."""

import argparse

from commands.asking import add_options, carried_out

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("pause", help="stop opening positions; exits and stops go on")
    add_options(parser, instrument=True)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Ask."""
    return carried_out(args, "pause")
