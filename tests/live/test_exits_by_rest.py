"""What must close is closed by REST where the engine's own line to the venue is dead."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.nodes import EAGER
from tests.live.nodes import running_node, started_venue, venue_params
from tests.live.test_control import Person, until_held
from tests.live.test_run_live import journal_fills, of_kind, rows, venue_fills
from tests.unit.networks import artifact, random_network

QUICK = {
    **EAGER,
    "exits.stop_atr": "8.0", "exits.max_holding_bars": "1000", "exits.trail_start_atr": "50.0",
    "live.cut_seconds": "2.0", "live.check_seconds": "0.2", "live.rest_seconds": "2.0",
}  # fmt: skip
BTC = "BTCUSDT-PERP.BINANCE"
ROOT = Path(__file__).parents[2]
GIVEN = [part for name, value in QUICK.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(name="venue")
def _venue(history: Path) -> Iterator[Any]:
    with started_venue(venue_params(history, "2024-03-04T00:00:00Z", "2024-03-14T00:00:00Z")) as venue:
        yield venue


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(artifact(tmp_path_factory.mktemp("models") / "m1", random_network(3, hidden=(16, 16))))


def orders_by(control, since: int) -> list[tuple[str, str, str]]:
    """Return the orders that came over the wire from a row on: by what way, side and type, and what was answered."""
    rows = control.ledger(wire_since=since)["wire"]
    sent = [row for row in rows if (row["method"], row["path"]) == ("POST", "/fapi/v1/order")]
    return [(row["by"], f"{row['params']['side']} {row['params']['type']}", row["status"]) for row in sent]


def test_a_node_whose_line_for_orders_is_refused_closes_by_requests(venue, model, tmp_path, capsys) -> None:
    person, control = Person(tmp_path, capsys), venue.control
    with running_node(venue, "testnet", tmp_path, *GIVEN, "--models", model) as node:
        node.wait_ready()
        until_held(control, node)
        dead = control.fault("refuse", match={"channel": "trading"})
        control.act("drop", channel="trading")
        wire = control.ledger()["wire"][-1]["n"]
        assert person.says("flatten", "--reason", "out")[1]["flat"]
        assert orders_by(control, wire) == [("rest", "SELL MARKET", 200)]
        assert Decimal(of_kind(control, "fill")[-1]["position"]) == 0
        control.heal(dead)
        assert person.says("stop", "flatten", "--reason", "end")[0] == 0
        code, summary = node.ended()
        filled = venue_fills(control)
    assert (code, summary["engine_doubts"], node.errors) == (0, "", [])
    assert journal_fills(tmp_path / "session") == filled


def test_a_node_whose_orders_nobody_answers_closes_beside_its_engine_once(venue, model, tmp_path, capsys) -> None:
    person, control = Person(tmp_path, capsys), venue.control
    with running_node(venue, "testnet", tmp_path, *GIVEN, "--models", model) as node:
        node.wait_ready()
        until_held(control, node)
        order = {"path": "/fapi/v1/order"}
        control.fault("timeout", match={**order, "by": "trading", "method": "POST"})
        mute = control.fault("server_error", match={**order, "by": "rest", "method": "GET"})
        wire = control.ledger()["wire"][-1]["n"]
        state = str(tmp_path / "state" / "testnet")
        command = [sys.executable, "cli.py", "flatten", "--reason", "out", "--json", "--state", state]
        asked = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while person.sees()["mode"] != "CUT":
            time.sleep(0.1)
        assert Decimal(of_kind(control, "fill")[-1]["position"]) != 0
        control.heal(mute)
        assert json.loads(asked.communicate(timeout=60)[0])["flat"]
        *lost, last = orders_by(control, wire)
        assert last == ("rest", "SELL MARKET", 200)
        assert set(lost) == {("trading", "SELL MARKET", 408)}
        assert Decimal(of_kind(control, "fill")[-1]["position"]) == 0
        control.heal()
        while person.sees()["mode"] != "LIVE":
            time.sleep(0.1)
        assert person.says("stop", "flatten", "--reason", "end")[0] == 0
        code, summary = node.ended()
        filled = venue_fills(control)
    session = tmp_path / "session"
    assert (code, summary["held"][BTC]) == (0, {"engine": "0.000", "owner": "0.000"})
    assert journal_fills(session) == filled
    assert [row["mode_to"] for row in rows(session, "modes")] == ["SUSPECT", "CUT", "RECOVERING", "LIVE"]
