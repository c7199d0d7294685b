"""The node on the testnet's stand-in, on real bars: what it wrote down is what the venue did."""

import signal
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import cli
from tests.live.nodes import running_node, started_venue, venue_params
from venue.control_client import ControlClient

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
PATIENT = ["--set", "exits.stop_atr=8.0", "--set", "exits.max_holding_bars=1000", "--set", "exits.trail_start_atr=50.0"]
"""Rules under which a position is held until somebody stops the node."""


def rows(session: Path, kind: str) -> list[dict[str, Any]]:
    """Return the rows of one kind that a session wrote."""
    return pq.read_table(session / f"{kind}.parquet").to_pylist()


def journal_fills(session: Path) -> list[tuple[str, str, Decimal, Decimal, float]]:
    """Return the fills of a session: order, side, quantity, price, commission."""
    return [
        (row["client_order_id"], row["side"], Decimal(row["quantity"]), Decimal(row["price"]), row["commission"])
        for row in rows(session, "fills")
    ]


def of_kind(control: ControlClient, kind: str) -> list[dict[str, Any]]:
    """Return what of one kind stands in the venue's ledger."""
    ledger: Iterable[dict[str, Any]] = control.ledger()["exchange"]
    return [row for row in ledger if row["kind"] == kind]


def venue_fills(control: ControlClient) -> list[tuple[str, str, Decimal, Decimal, float]]:
    """Return what the venue filled, in the journal's words; orders bear the engine's prefix there."""
    return [
        (
            row["client_order_id"].partition("-R")[2],
            row["side"],
            Decimal(row["quantity"]),
            Decimal(row["price"]),
            float(row["commission"]),
        )
        for row in of_kind(control, "fill")
    ]


def test_the_journal_is_the_venues_ledger_and_the_decisions_are_the_backtests(history: Path, tmp_path: Path) -> None:
    params = venue_params(history, "2024-03-04T00:00:00Z", "2024-03-07T00:00:00Z")
    with started_venue(params) as venue, running_node(venue, "testnet", tmp_path, *LIVELY) as node:
        node.wait_ready()
        code, summary = node.ended()
        filled, last = venue_fills(venue.control), of_kind(venue.control, "fill")[-1]
        assert venue.control.state()["done"]
    assert (code, node.errors) == (0, []), summary
    session = tmp_path / "session"
    assert (summary["stopped_by"], summary["decisions"]) == ("the replay is over", 288)
    assert journal_fills(session) == filled
    purposes = Counter(row["purpose"] for row in rows(session, "fills"))
    assert min(purposes[name] for name in ("entry", "increase", "reduce", "stop")) >= 1
    assert Decimal(last["position"]) == 0
    assert abs(summary["ending_equity"] - float(last["wallet"])) < 0.005
    assert rows(session, "breaker") == []

    arguments = ["--env", "testnet", "--catalog", str(history), "--instrument", "BTCUSDT", "--json", *LIVELY]
    span = ["--start", "2024-03-04", "--end", "2024-03-07", "--out", str(tmp_path / "backtest")]
    assert cli.main(["backtest", *arguments, *span]) == 0
    decided = [
        (row["ts_event"], row["reason"], row["verdict"], row["target_lots"]) for row in rows(session, "decisions")
    ]
    assert decided == [
        (row["ts_event"], row["reason"], row["verdict"], row["target_lots"])
        for row in rows(tmp_path / "backtest", "decisions")
    ]
    seen = [row["observation_hash"] for row in rows(session, "decisions")]
    wanted = [row["observation_hash"] for row in rows(tmp_path / "backtest", "decisions")]
    before = next(i for i, row in enumerate(rows(session, "decisions")) if row["target_lots"] != 0)
    assert seen[: before + 1] == wanted[: before + 1]  # fills differ by a tick of spread, and the equity is an input


def test_a_stopped_node_keeps_its_position_under_its_stop_and_the_next_one_inherits_both(
    history: Path, tmp_path: Path
) -> None:
    params = venue_params(history, "2024-03-04T18:00:00Z", "2024-03-07T00:00:00Z")
    with started_venue(params) as venue:
        control = venue.control
        with running_node(venue, "testnet", tmp_path / "first", *LIVELY, *PATIENT) as node:
            node.wait_ready()
            while not any(row["status"] == "NEW" for row in of_kind(control, "algo")):
                assert node.process.poll() is None, node.errors
            node.signal(signal.SIGTERM)
            code, summary = node.ended()
        assert (code, summary["stopped_by"], node.errors) == (0, "SIGTERM", [])
        held = Decimal(of_kind(control, "fill")[-1]["position"])
        assert held != 0
        assert journal_fills(tmp_path / "first" / "session") == venue_fills(control)
        (tmp_path / "first" / "state").rename(tmp_path / "state")
        flatten = ["--set", "venue.stop=flatten", "--set", f"breaker.state_path={tmp_path / 'state'}"]
        with running_node(venue, "testnet", tmp_path / "second", *LIVELY, *PATIENT, *flatten) as node:
            node.wait_ready()
            node.signal(signal.SIGINT)
            code, summary = node.ended()
        assert (code, summary["stopped_by"]) == (0, "SIGINT"), node.errors
        assert Decimal(of_kind(control, "fill")[-1]["position"]) == 0
        both = [*journal_fills(tmp_path / "first" / "session"), *journal_fills(tmp_path / "second" / "session")]
        assert both == venue_fills(control)
        orders = Counter(row["client_order_id"] for row in of_kind(control, "order") if row["execution"] == "NEW")
        assert max(orders.values()) == 1


def test_paper_needs_no_key_and_ends_with_a_summary(history: Path, tmp_path: Path) -> None:
    params = venue_params(history, "2024-03-05T12:00:00Z", "2024-03-06T00:00:00Z")
    with started_venue(params) as venue, running_node(venue, "paper", tmp_path, *LIVELY) as node:
        node.wait_ready()
        code, summary = node.ended()
        assert of_kind(venue.control, "order") == []
    assert (code, node.errors, summary["decisions"]) == (0, [], 48)
    assert summary["ready_seconds"] < 60.0
    assert summary["fills"] == len(rows(tmp_path / "session", "fills")) > 0
