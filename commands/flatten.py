"""``autotrade flatten``: a running node closes what is held, cancels what is under way, and rests until a resume."""

import argparse

from adapters.control import ask
from commands.asking import add_options, asked, node_of, request_of, tell, waited
from core.control import ControlRequest
from core.errors import AutotradeError
from core.node_status import InstrumentStatus

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("flatten", help="close what is held, now, and open nothing until a resume")
    add_options(parser, instrument=True)
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="until nothing is held; 0: do not (default: control.flat_seconds)"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Ask, and wait until it is so."""
    config, folder = node_of(args)
    answer = asked(folder, request_of(args, "flatten"))
    seconds = config.control.flat_seconds if args.wait is None else args.wait
    if seconds <= 0.0:
        tell(args, answer)
        return 0
    left: list[str] = []

    def flat() -> bool:
        status = ask(folder, ControlRequest(request_id=f"{answer.request_id}-look", command="status")).status
        meant = () if status is None else status.instruments
        left[:] = [_said(one) for one in meant if args.instrument in {"", one.instrument_id} and not _flat(one)]
        return status is not None and not left

    if not waited(flat, seconds):
        raise AutotradeError(
            f"not flat after {seconds:g} s: {'; '.join(left) or 'the node does not say'}; it goes on trying, "
            "see `autotrade status`"
        )
    tell(args, answer, flat=True)
    return 0


def _flat(one: InstrumentStatus) -> bool:
    return float(one.quantity) == 0.0 and not any(order.purpose in {"entry", "increase"} for order in one.orders)


def _said(one: InstrumentStatus) -> str:
    return f"{one.instrument_id} holds {one.quantity} with {len(one.orders)} orders under way"
