"""The node on the testnet's stand-in, on real bars: what it wrote down is what the venue did."""

import signal
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.live.nodes import Node, running_node, started_venue, venue_params
from venue.start import RunningVenue

LIVELY = [
    part
    for setting in (
        "ensemble.min_confidence=0.3", "ensemble.min_agreement=0.3", "ensemble.quorum=1",
        "ensemble.min_vote_confidence=0.3", "exits.stop_atr=1.0", "exits.trail_start_atr=0.5", "exits.trail_atr=0.7",
        "exits.max_holding_bars=6", "risk.min_entry_spacing_minutes=0", "sizing.rebalance_threshold=0.05",
    )
    for part in ("--set", setting)
]  # fmt: skip
"""Rules under which the demo models trade often: entries, adds, stops and exits within days."""


def rows(session: Path, kind: str) -> list[dict[str, Any]]:
    """Return the rows of one kind that a session wrote."""
    return pq.read_table(session / f"{kind}.parquet").to_pylist()


def venue_fills(ledger: Iterable[dict[str, Any]]) -> list[tuple[str, str, Decimal, Decimal, Decimal]]:
    """Return what the venue filled: order, side, quantity, price, commission."""
    return [
        (row["order"], row["side"], Decimal(row["quantity"]), Decimal(row["price"]), Decimal(row["commission"]))
        for row in ledger
        if row["kind"] == "fill"
    ]


def test_the_journal_is_the_venues_ledger_to_the_cent(history: Path, tmp_path: Path) -> None:
    params = venue_params(history, "2024-03-04T00:00:00Z", "2024-03-07T00:00:00Z")
    with started_venue(params) as venue, running_node(venue, "testnet", tmp_path, *LIVELY) as node:
        node.wait_ready()
        code, summary = node.ended(180.0)
        ledger = venue.control.ledger()["exchange"]
        state = venue.control.state()
    assert (code, node.errors) == (0, []), summary
    print(summary)  # noqa: T201 - for `pytest -s`
    session = tmp_path / "session"
    assert summary["decisions"] >= 280
    assert summary["stopped_by"] == "the replay is over"
    assert state["done"]
    _ = ledger
    purposes = Counter(row["purpose"] for row in rows(session, "fills"))
    assert purposes["entry"] >= 3
    assert purposes["stop"] >= 1
