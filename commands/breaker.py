"""``autotrade breaker status|halt|reduce|rearm``: the circuit breaker of a system that runs, or that will."""

import argparse
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import configs
from adapters.control import NoNodeError
from adapters.state_store import FileStateStore, open_store
from commands.asking import ENVIRONMENTS, asked, node_of, request_of, tell
from configs.schema import AppConfig
from core.breaker import ACTIVE, STATES
from core.causes import TRIGGERS, BreakerState, Cause, trading_state
from core.errors import RefusedError, StateError, UsageError
from core.protocols import StateStore
from core.times import iso
from core.trips import REQUESTS_KEY, STATE_KEY, Request, encoded, requested, requests_of, state_of

__all__ = ["add_parser"]

KEPT_REQUESTS = 16


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    breaker = subparsers.add_parser("breaker", help="show, trip and re-arm the circuit breaker")
    actions = breaker.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("status", help="the state, why, since when, and what it is measured against")
    meanings = {
        "halt": "close what is held and open nothing until a re-arm",
        "reduce": "open nothing until a re-arm; exits go on",
        "rearm": "end every cause; refused (exit code 3) while one persists",
    }
    for name, meaning in meanings.items():
        actions.add_parser(name, help=meaning).add_argument(
            "--reason", required=True, metavar="TEXT", help="goes into the journal"
        )
    actions.choices["rearm"].add_argument(
        "--new-anchor", action="store_true", help="although the day's limit is reached: measure it from now on"
    )
    for name, parser in actions.choices.items():
        parser.add_argument("--env", default="testnet", metavar="ENV", help="whose breaker (default: testnet)")
        parser.add_argument("--state", metavar="DIR", help="where its state is kept (default: breaker.state_path/ENV)")
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=_status if name == "status" else _ask)


def _status(args: argparse.Namespace) -> int:
    """Print the state."""
    _, store = _opened(args)
    if store.load(STATE_KEY) is None and store.load(REQUESTS_KEY) is None:
        raise StateError(f"nothing has run with the breaker of {_place(args)}: there is no state to show")
    state, pending = _read(store)
    print(json.dumps(_report(state, pending), indent=2) if args.json else "\n".join(_lines(state, pending)))
    return 0


def _ask(args: argparse.Namespace) -> int:
    """Have a running node do it; where none runs, write it down for the next one."""
    if args.env in ENVIRONMENTS:
        request = request_of(args, args.action, new_anchor=getattr(args, "new_anchor", False))
        try:
            tell(args, asked(node_of(args)[1], request))
        except NoNodeError:
            return _leave(args)
        return 0
    return _leave(args)


def _leave(args: argparse.Namespace) -> int:
    """Write a request down, unless it would be refused."""
    config, store = _opened(args)
    state, pending = _read(store)
    if not args.reason.strip():
        raise UsageError("--reason is empty: say why, it goes into the journal")
    action: Literal["halt", "reduce", "rearm"] = args.action
    now = time.time_ns()
    number = max([state.requests_done, *(request.number for request in pending)]) + 1
    request = Request(number, action, args.reason, now, getattr(args, "new_anchor", False))
    step = requested(state, request, now, state.equity, config.breaker_params())
    if step.refused:
        raise RefusedError(f"no {action}: {step.refused}")
    if action == "rearm" and trading_state(state) == ACTIVE and not pending:
        said = "the breaker is ACTIVE: there is nothing to re-arm"
    else:
        store.save(REQUESTS_KEY, encoded((*pending, request)[-KEPT_REQUESTS:]))
        said = f"{action} is asked for (request {number}): no node runs, the next one takes it at its start"
        if store.load(STATE_KEY) is None:
            said += f"; but nothing has run with the breaker of {_place(args)} so far: is that the place that is meant?"
        if action == "rearm" and state.day.latched:
            said += f"; after a total drawdown the peak begins anew, at about {state.equity:,.2f}"
        if action == "rearm" and request.new_anchor:
            said += f"; the day's drawdown is measured anew, from about {state.equity:,.2f}"
    print(json.dumps({"request": number, "action": action, "said": said}) if args.json else said)
    return 0


def _opened(args: argparse.Namespace) -> tuple[AppConfig, StateStore]:
    """Return the configuration and the store that are meant."""
    config = configs.load(args.env)
    if args.env in {"backtest", "train"}:
        raise UsageError(f"--env {args.env}: a replay keeps its own breaker and takes no requests; choose another")
    if args.state is None:
        return config, open_store(config.breaker.state_path, args.env)
    return config, open_store(args.state, args.env) if "://" in args.state else FileStateStore(Path(args.state))


def _place(args: argparse.Namespace) -> str:
    """Return whose breaker is meant, in words; a URL may hold a password and is not shown."""
    return f"--env {args.env}" if args.state is None or "://" in args.state else f"--state {args.state}"


def _read(store: StateStore) -> tuple[BreakerState, tuple[Request, ...]]:
    """Return the state, and the requests that have not been taken."""
    state = state_of(store.load(STATE_KEY))
    requests = requests_of(store.load(REQUESTS_KEY))
    return state, tuple(request for request in requests if request.number > state.requests_done)


def _report(state: BreakerState, pending: tuple[Request, ...]) -> dict[str, Any]:
    """Return all that is known, for programs."""
    day = state.day
    return {
        "state": STATES[trading_state(state)],
        "causes": [
            {
                "trigger": cause.trigger,
                "reason": cause.reason,
                "leads_to": STATES[cause.leads_to],
                "flattens": cause.flattens,
                "since": iso(cause.since_ns),
                "rearm_at": None if cause.rearm_at_ns is None else iso(cause.rearm_at_ns),
            }
            for cause in state.causes
        ],
        "day": _date(day.day),
        "high_water_mark": day.high_water_mark,
        "drawdown": day.drawdown,
        "peak": day.peak,
        "equity": state.equity,
        "trips": state.trips,
        "rearms": state.rearms,
        "order_errors": state.order_errors,
        "slow_answers": state.slow_answers,
        "pending": [{"request": r.number, "action": r.action, "reason": r.reason} for r in pending],
    }


def _lines(state: BreakerState, pending: tuple[Request, ...]) -> list[str]:
    """Return all that is known, in plain words."""
    day = state.day
    lines = [f"state      {STATES[trading_state(state)]}"]
    for cause in state.causes:
        lines += [f"cause      {cause.trigger}: {TRIGGERS[cause.trigger]}", f"           {cause.reason}", _until(cause)]
    if day.day < 0:
        lines.append("anchors    none: the account has not been marked yet")
    else:
        high, fell = f"high-water mark {day.high_water_mark:,.2f}", f"drawdown at the last decision {day.drawdown:.2%}"
        lines.append(f"anchors    UTC day {_date(day.day)}: {high}, {fell}")
        lines.append(f"           highest ever {day.peak:,.2f}; equity at the last decision {state.equity:,.2f}")
    lines.append(
        f"counters   {state.trips} trips, {state.rearms} re-arms, {state.order_errors} order errors, "
        f"{state.slow_answers} slow answers"
    )
    return lines + [f"asked for  {r.action}: {r.reason} (request {r.number}, not taken yet)" for r in pending]


def _until(cause: Cause) -> str:
    """Return since when a cause stands and what ends it."""
    ends = (
        "a re-arm ends it" if cause.rearm_at_ns is None else f"ends by itself at {iso(cause.rearm_at_ns)} if it is gone"
    )
    closes = "; positions are closed at once" if cause.flattens else ""
    return f"           {STATES[cause.leads_to]} since {iso(cause.since_ns)}; {ends}{closes}"


def _date(day: int) -> str:
    """Return the date of a UTC day number, empty before the first."""
    return "" if day < 0 else str((datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date())
