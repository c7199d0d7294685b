"""The console command ``autotrade``: one line per error, and an exit code that says what kind it was.

::

    0    done                                       1    failed, or an error inside autotrade itself
    2    bad usage or a refused configuration       3    refused by a safety check
    130  interrupted from the keyboard
"""

import argparse
import importlib
import importlib.metadata
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

from core.errors import AutotradeError, UsageError

__all__ = ["Parser", "guarded", "main"]

COMMANDS = {
    "config": "show or compare configurations",
    "risk": "show the rules of the gate",
    "data": "import, download, check and list market data",
    "train": "train an ensemble and export its artifacts",
    "tune": "search hyper-parameters, every trial in the ledger",
    "study": "train and replay folds x seeds x algorithms, walking forward",
    "select": "hold a study to the golden rule and choose an ensemble",
    "models": "list, show, compare and verify artifacts",
    "backtest": "replay a range of the catalog and write a report",
    "live": "trade on paper, demo, testnet or mainnet",
    "journal": "say why an order was sent, or why none was",
    "parity": "take every decision of a session again and name the first cause of a difference",
    "sessions": "list recorded sessions",
    "status": "how a running node stands",
    "pause": "stop opening positions; exits and stops go on",
    "resume": "open positions again",
    "flatten": "close what is held, now, and open nothing until a resume",
    "rearm": "arm a running node's circuit breaker again",
    "stop": "end a running node in order",
    "alerts": "show alerts, acknowledge them, and try every channel",
    "breaker": "show, trip and re-arm the circuit breaker",
    "doctor": "examine clock, venue, key, account, models, state and machine",
    "promote": "the gate from the testnet to real money",
    "venue": "run a stand-in exchange on this machine",
}
"""Commands by name; ``commands/<name>.py`` is loaded only when it is the one that was asked for."""


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are errors like all others: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def guarded(program: str, action: Callable[[], int]) -> int:
    """Run a command and turn whatever it raises into one line on standard error and an exit code.

    A traceback is printed only where the environment variable ``AUTOTRADE_DEBUG`` is 1.
    """
    try:
        code = action()
        sys.stdout.flush()
    except AutotradeError as error:
        return _failed(program, f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        return _failed(program, "interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(program, f"error: {where}{error.strerror or error}", 1)
    except Exception as error:  # noqa: BLE001 - the last resort of a command
        return _failed(program, f"internal error: {type(error).__name__}: {error}; AUTOTRADE_DEBUG=1 tells more", 1)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded("autotrade", lambda: _run(arguments))


def _run(arguments: Sequence[str]) -> int:
    """Parse a command line and run its command."""
    parser = Parser(prog="autotrade", description="Train, replay and inspect trading ensembles.")
    parser.add_argument("--version", action="version", version=f"autotrade {importlib.metadata.version('autotrade')}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, meaning in COMMANDS.items():
        if name == wanted:
            importlib.import_module(f"commands.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=meaning)
    try:
        args = parser.parse_args(arguments)
    except SystemExit as done:  # --help
        return int(done.code or 0)
    code: int = args.run(args)
    return code


def _failed(program: str, message: str, code: int) -> int:
    """Print an error as one line and return its exit code."""
    if os.environ.get("AUTOTRADE_DEBUG") == "1":
        traceback.print_exc()
    print(f"{program}: {' '.join(message.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
