"""Judges what a node did from what it wrote down, and from what the venue did."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fault_table import FAULTS, STREAMS
from nodes import ENGINE_MARK

__all__ = ["eager", "opened_in_doubt", "sent_twice", "unheard"]

MINUTE_NS = 60_000_000_000
DOUBTFUL = {(0, None), (400, -1000), (408, -1007), (500, -1001), (503, -1016)}
"""Answers (HTTP status, code) that leave open what became of an order."""
TIMEOUT_NS = 1_000_000_000
"""Of the nodes here: how long an answer may take."""
OPENS = frozenset({"entry", "increase"})


def unheard(names: Sequence[str], span: tuple[int, int], log: Sequence[Any]) -> list[str]:
    """Return the faults of which a person should have been told, from the beginning to a minute later, and was not."""
    begun, ended = span
    told = [
        str(row.body["text"])
        for row in log
        if row.kind == "alerts" and begun <= row.body["ts_event"] <= ended + MINUTE_NS
    ]
    wanted = {name: FAULTS[name].alert for name in names if FAULTS[name].alert}
    if len(names) > 1:
        told_first = {True: "-> (SUSPECT|CUT)", False: "fate is unknown|is rejected"}  # of two that strike at once
        wanted = {name: f"{text}|{told_first[text in STREAMS]}" for name, text in wanted.items()}
    return [
        f"{name}: nobody was told" for name, text in wanted.items() if not any(re.search(text, one) for one in told)
    ]


def eager(log: Sequence[Any]) -> list[str]:
    """Return what was opened while the node said that an order's fate was unknown, or that it was not to be trusted."""
    unknown: set[str] = set()
    mode, found = "LIVE", []
    for row in log:
        if row.kind == "modes":
            mode = row.body["mode_to"]
            if mode == "LIVE":  # which it is not before every order has been answered for, one that rests as well
                unknown.clear()
        elif row.kind == "alerts" and "its fate is unknown" in row.body["text"]:
            unknown.add(row.body["text"].partition(":")[0])
        elif row.kind == "fills":
            unknown.discard(row.body["client_order_id"])
        elif row.kind == "orders":
            order = row.body
            if order["status"] == "submitted" and order["purpose"] in OPENS and (unknown or mode != "LIVE"):
                found.append(f"{order['client_order_id']} opens while {unknown or mode}")
            if order["status"] not in {"submitted", "unknown"}:
                unknown.discard(order["client_order_id"])
    return found


def opened_in_doubt(log: Sequence[Any], wire: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what was opened while the venue had left it open what became of another order, whatever the node said.

    From the ledger: when an order was answered so that its fate was open. From the record: when it was first known.
    """
    known: dict[str, int] = {}
    opened: list[tuple[int, str]] = []
    for row in log:
        if row.kind not in {"orders", "fills"}:
            continue
        name, ts = row.body["client_order_id"], row.body["ts_event"]
        if row.kind == "fills" or row.body["status"] not in {"submitted", "unknown"}:
            known.setdefault(name, ts)
        elif row.body["status"] == "submitted" and row.body["purpose"] in OPENS:
            opened.append((ts, name))
    found = []
    for row in wire:
        if (
            row["method"] != "POST"
            or not row["path"].endswith("/order")
            or (row["status"], row["code"]) not in DOUBTFUL
        ):
            continue
        name = row["params"]["newClientOrderId"].removeprefix(ENGINE_MARK)
        since, until = row["market_ms"] * 1_000_000 + TIMEOUT_NS, known.get(name, 2**63)
        found += [f"{one} opens while the fate of {name} was unknown" for ts, one in opened if since < ts < until]
    return found


def sent_twice(ledger: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names under which the venue carried out more than one order, and names that are not ours."""
    seen: set[str] = set()
    found = []
    for row in ledger:
        if row["kind"] != "request" or row["method"] != "POST" or not row["path"].lower().endswith("order"):
            continue
        name = str(row["params"].get("newClientOrderId") or row["params"].get("clientAlgoId"))
        if name in seen or not name.startswith(ENGINE_MARK):
            found.append(f"sent twice or not ours: {name}")
        seen.add(name)
    return found
