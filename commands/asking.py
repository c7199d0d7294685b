"""What all commands that talk to a running node share: their options, the question, and the answer as an exit code."""

import argparse
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import configs
from adapters.control import ask, control_folder
from configs.schema import AppConfig
from core.control import DONE, REFUSED, UNFIT, Command, ControlAnswer, ControlRequest
from core.errors import AutotradeError, RefusedError, UsageError

__all__ = ["add_options", "asked", "carried_out", "node_of", "waited"]

ENVIRONMENTS = ("paper", "demo", "testnet", "mainnet")
_LOOK_SECONDS = 0.1


def add_options(parser: argparse.ArgumentParser, *, instrument: bool = False) -> None:
    """Add what says which node is meant, and why."""
    parser.add_argument("--reason", required=True, metavar="TEXT", help="goes into the journal")
    if instrument:
        parser.add_argument("--instrument", default="", metavar="ID", help="this one only (default: all)")
    parser.add_argument(
        "--request",
        metavar="NAME",
        help="of the request: one of the same name is carried out once (default: a new one)",
    )
    add_node_options(parser)


def add_node_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which node is meant."""
    parser.add_argument("--env", default="testnet", metavar="ENV", help="whose node (default: testnet)")
    parser.add_argument("--state", metavar="DIR", help="where its socket is (default: breaker.state_path/ENV)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def node_of(args: argparse.Namespace) -> tuple[AppConfig, Path]:
    """Return the configuration of the node that is meant, and the folder of its socket."""
    if args.env not in ENVIRONMENTS:
        raise UsageError(f"--env {args.env}: no node runs in it; choose {', '.join(ENVIRONMENTS)}")
    config = configs.load(args.env)
    given = args.state is not None and "://" not in args.state
    return config, Path(args.state) if given else control_folder(config)


def asked(folder: Path, request: ControlRequest) -> ControlAnswer:
    """Ask a node.

    Raises
    ------
    AutotradeError
        Where it does not answer or could not do it; the kinds of `core.errors` by the answer's code.
    """
    answer = ask(folder, request)
    if answer.code != DONE:
        kind = {UNFIT: UsageError, REFUSED: RefusedError}.get(answer.code, AutotradeError)
        raise kind(answer.said)
    return answer


def carried_out(args: argparse.Namespace, command: Command, request: ControlRequest | None = None) -> int:
    """Ask the node that is meant for what a command line says, and print what became of it."""
    _, folder = node_of(args)
    answer = asked(folder, request or request_of(args, command))
    tell(args, answer)
    return 0


def request_of(args: argparse.Namespace, command: Command, **more: object) -> ControlRequest:
    """Return what a command line asks."""
    if not args.reason.strip():
        raise UsageError("--reason is empty: say why, it goes into the journal")
    fields = {"instrument_id": getattr(args, "instrument", ""), **more}
    name = getattr(args, "request", None) or secrets.token_hex(8)
    return ControlRequest(request_id=name, command=command, reason=args.reason, **fields)  # type: ignore[arg-type]


def tell(args: argparse.Namespace, answer: ControlAnswer, **more: object) -> None:
    """Print an answer."""
    said = {"request": answer.request_id, "said": answer.said, **more}
    print(json.dumps(said) if args.json else answer.said, flush=True)


def waited(done: Callable[[], bool], seconds: float) -> bool:
    """Return whether something comes true within a time."""
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
