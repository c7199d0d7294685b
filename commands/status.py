"""``autotrade status``: how a running node stands."""

import argparse
import secrets
from collections.abc import Iterator

import msgspec

from commands.asking import add_node_options, asked, node_of
from core.control import ControlRequest
from core.errors import AutotradeError
from core.node_status import InstrumentStatus, NodeStatus, problems
from core.times import iso

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("status", help="how a running node stands")
    add_node_options(parser)
    parser.add_argument("--check", action="store_true", help="exit code 1 where there is anything to look into")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Ask and print."""
    _, folder = node_of(args)
    status = asked(folder, ControlRequest(request_id=secrets.token_hex(8), command="status")).status
    if status is None:
        raise AutotradeError("the node answers but does not say how it stands: it is of another version")
    found = problems(status)
    if args.json:
        said = msgspec.json.encode(msgspec.structs.asdict(status) | {"problems": found})
        print(msgspec.json.format(said, indent=2).decode())
    else:
        print("\n".join(_lines(status, found)))
    return 1 if args.check and found else 0


def _lines(status: NodeStatus, found: list[str]) -> Iterator[str]:
    """Yield all of it in plain words."""
    yield f"node       {status.environment}, session {status.session}, process {status.pid}"
    yield f"           up {_span(status.uptime_seconds)}, market time {iso(status.market_ns)}"
    looked = "never" if status.evaluated_age_seconds is None else f"{_span(status.evaluated_age_seconds)} ago"
    yield f"breaker    {status.state}, looked {looked}"
    for cause in status.causes:
        yield f"           {cause.trigger} since {iso(cause.since_ns)}: {cause.reason}"
    if status.evaluated_age_seconds is None:
        yield "equity     not marked so far"
    else:
        high = f"below the day's high {status.high_water_mark:,.2f}"
        yield f"equity     {status.equity:,.2f}, balance {status.balance:,.2f}"
        yield f"           {status.day_loss:.2%} of {status.day_limit:.2%} {high}"
    yield f"streams    {status.mode}{f': {status.mode_reason}' if status.mode_reason else ''}"
    for pause in status.pauses:
        yield f"paused     {pause.instrument_id or 'everything'} since {iso(pause.since_ns)}: {pause.reason}"
    if status.stopping:
        yield f"stopping   {status.stopping}"
    for one in status.instruments:
        yield one.instrument_id
        yield from _instrument(one)
    yield from (f"look into  {line}" for line in found)


def _instrument(one: InstrumentStatus) -> Iterator[str]:
    if float(one.quantity) == 0.0:
        yield "  position flat"
    else:
        stop = f"stop {one.resting_stop:g} at the venue" if one.resting_stop else "NO STOP AT THE VENUE"
        held = f"{one.quantity} at {one.entry_price:g} for {one.holding_bars} bars, {one.unrealised:+,.2f}"
        yield f"  position {held}; {stop}"
        if one.closing:
            yield "           it is being closed"
    for order in one.orders:
        if order.purpose != "stop":
            side = "buy" if order.side > 0 else "sell"
            how = f"{side} {order.quantity}, {order.filled} filled, {order.state}"
            yield f"  order    {order.order_id}: {order.purpose}, {how}"
    decided = "nothing so far"
    if one.decision_age_seconds is not None:
        decided = f"{_span(one.decision_age_seconds)} ago, level {one.level:+.2f}"
    yield f"  decided  {decided}"
    known = one.decision_age_seconds is not None
    weights = ", ".join(f"{name} {weight:.2f}" if known else name for name, weight in one.models.items())
    yield f"  models   {weights or 'none'}"
    if one.bar_age_seconds is not None:
        yield f"  bars     the last closed {_span(one.bar_age_seconds)} ago"
    for source, why in one.frozen.items():
        yield f"  frozen   by {source}: {why}"


def _span(seconds: float) -> str:
    """Return a span of time in the two units that matter."""
    whole = max(int(seconds), 0)
    for size, name, below, part in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {name} {whole % size // below} {part}"
    return f"{whole} s"
