"""``autotrade journal``: what was decided, and why, of every order and of every order that was not sent."""

import argparse
from pathlib import Path
from typing import Any

import msgspec

import configs
from adapters.run_journal import Row, RunJournal, newest_run
from adapters.session_view import refresh_view
from core.errors import DataError, UsageError
from core.explain import Evidence, brief, explain, judgement, orders_told, shown
from core.invariants import INVARIANTS
from core.slices import parent_of
from core.times import iso, parse_time

__all__ = ["add_parser"]

MINUTE_NS = 60_000_000_000
_END_NS = 2**63 - 1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    commands = subparsers.add_parser("journal", help="explain the decisions of a run").add_subparsers(
        dest="action", metavar="ACTION", required=True
    )
    why = commands.add_parser("why", help="say in plain words why an order was sent, or why none was")
    why.add_argument("what", metavar="ORDER_ID|TIME", help="an order's id, or the ISO time (UTC) of a bar's close")
    listed = commands.add_parser("list", help="print one line for each decision that did something")
    listed.add_argument("--last", type=int, metavar="N", help="only the last N of them")
    for command, run in ((why, _why), (listed, _list)):
        command.add_argument("--run", dest="directory", type=Path, metavar="DIR",
                             help="directory of a run or a session (default: the newest of catalog/runs)")  # fmt: skip
        command.add_argument("--instrument", metavar="ID", help="of this instrument only")
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(run=run)
    invariants = commands.add_parser("invariants", help="print what must hold at every moment")
    invariants.add_argument("--json", action="store_true", help="print JSON")
    invariants.set_defaults(run=_invariants)


def _why(args: argparse.Namespace) -> int:
    """Explain one order, or all decisions at one close."""
    journal = _journal(args)
    order_id = parent_of(args.what)
    orders = journal.orders(order_id)
    if orders:
        found = [_about_order(journal, order_id, orders)]
    else:
        found = [_about(journal, row) for row in _decisions_at(journal, args.what, args.instrument)]
    if args.json:
        print(_pretty(found))
    else:
        print("\n\n".join([f"run {journal.directory}", *("\n".join(one["text"]) for one in found)]))
    return 0


def _list(args: argparse.Namespace) -> int:
    """List the decisions that did something."""
    if args.last is not None and args.last < 1:
        raise UsageError(f"--last is {args.last}; ask for at least 1")
    journal = _journal(args)
    rows = [row for row in journal.acted() if args.instrument in {None, row["instrument_id"]}]
    rows = rows[-args.last :] if args.last is not None else rows
    if not rows and not args.json:
        print(f"no decision of {journal.directory} did anything; `autotrade journal why TIME` says why, bar by bar")
    if args.json:
        print(_pretty([_plain(row) for row in rows]))
    else:
        for row in rows:
            print(brief(row, journal.fills(row["client_order_id"]) if row["client_order_id"] else []))
    return 0


def _invariants(args: argparse.Namespace) -> int:
    """Print the table of invariants."""
    if args.json:
        print(_pretty([{"name": one.name, "meaning": one.meaning, "inputs": one.inputs} for one in INVARIANTS]))
    else:
        for one in INVARIANTS:
            print(f"{one.name:<18} {one.meaning}")
    return 0


def _journal(args: argparse.Namespace) -> RunJournal:
    """Return the run that is asked about."""
    run = args.directory if args.directory is not None else newest_run(Path(configs.load("backtest").catalog.runs_path))
    refresh_view(run)
    journal = RunJournal(run)
    if args.instrument is not None and args.instrument not in journal.instruments:
        raise DataError(f"{run} holds no decision on {args.instrument}, only on {', '.join(journal.instruments)}")
    return journal


def _decisions_at(journal: RunJournal, what: str, instrument: str | None) -> list[Row]:
    """Return the decisions at a time; a time between two closes is answered with the nearest ones."""
    try:
        ts_ns = parse_time(what, "TIME")
    except UsageError:
        raise UsageError(
            f"{what!r} is neither an order of {journal.directory} nor a time: give an order's id, the close of a bar "
            "such as 2024-01-31T12:00, or another run with --run"
        ) from None
    rows = journal.decisions(start_ns=ts_ns, end_ns=ts_ns, instrument=instrument)
    if not rows:
        near = " and ".join(iso(ts) for ts in journal.nearest(ts_ns, instrument))
        raise DataError(f"no decision at {iso(ts_ns)}: it is not the close of a decided bar; the nearest are {near}")
    return rows


def _about(journal: RunJournal, row: Row) -> dict[str, Any]:
    """Explain one decision."""
    order_id = row["client_order_id"]
    orders, fills = (journal.orders(order_id), journal.fills(order_id)) if order_id else ([], [])
    text = explain(Evidence(row, orders, fills, journal.model_ids, journal.sizing))
    return {"kind": "decision", "decision": _plain(row), "orders": orders, "fills": fills, "text": text}


def _about_order(journal: RunJournal, order_id: str, orders: list[Row]) -> dict[str, Any]:
    """Explain an order: by its decision, by what moved it if it is a stop, or by what was told at its time."""
    decision = journal.decision_of(order_id)
    if decision is not None:
        return _about(journal, decision)
    first, fills = orders[0], journal.fills(order_id)
    start = first["ts_event"]
    ended = [row["ts_event"] for row in (*orders[1:], *fills)]
    end = max(ended) if ended else _END_NS
    before = [r for r in journal.decisions(start_ns=0, end_ns=start, instrument=first["instrument_id"])
              if r["client_order_id"]][-1:]  # fmt: skip
    text = [f"{first['instrument_id']}, {first['purpose']} order {order_id}, sent at {iso(start)}"]
    moves: list[Row] = []
    if first["purpose"] == "stop":
        text += [f"  opened    {brief(row, journal.fills(row['client_order_id']))}" for row in before]
        moves = _moves(journal, first, end)
        text += [
            f"  moved     from {shown(row['stop_price'])} to {shown(row['new_stop_price'])} by the decision at "
            f"{iso(row['ts_event'])}, close {shown(row['close'])}"
            for row in moves
        ] or ["  moved     never"]
    else:
        text.append("  sent      between two decisions, of which it belongs to none")
        text += [f"  after     {brief(row, [])}" for row in before]
        told = [(row, f"breaker {row['state_from']} -> {row['state_to']}: {row['trigger']}: {row['reason']}")
                for row in journal.told("breaker", start - MINUTE_NS, start)]  # fmt: skip
        told += [(row, f"{row['source']}: {row['text']}") for row in journal.told("alerts", start - MINUTE_NS, start)]
        text += [f"  told      {iso(row['ts_event'])}  {said}" for row, said in told]
    text += orders_told(orders, fills)
    kind = "stop" if first["purpose"] == "stop" else "order"
    return {"kind": kind, "orders": orders, "fills": fills, "moves": [_plain(row) for row in moves], "text": text}


def _moves(journal: RunJournal, stop: Row, end_ns: int) -> list[Row]:
    """Return the decisions that moved a stop: those while its position was held."""
    rows = journal.decisions(start_ns=stop["ts_event"], end_ns=end_ns, instrument=stop["instrument_id"])
    side = 1 if stop["side"] == "SELL" else -1
    moves = []
    for row in rows:
        if row["position_lots"] * side <= 0:
            break
        if row["new_stop_price"] not in {0.0, row["stop_price"]}:
            moves.append(row)
    return moves


def _plain(row: Row) -> dict[str, Any]:
    """Return a decision with its rules taken apart, fit for JSON."""
    judged = judgement(row)
    return dict(row) | {"rules": None if judged is None else judged}


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
