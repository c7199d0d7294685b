"""A running node is talked to by its real socket."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import cli
from tests.live.nodes import Node, running_node, started_venue, venue_params
from tests.live.test_run_live import LIVELY, PATIENT, journal_fills, of_kind, rows, venue_fills
from venue.control_client import ControlClient
from venue.start import RunningVenue

BTC = "BTCUSDT-PERP.BINANCE"


class Person:
    """Somebody who talks to a node."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._state = str(folder / "state" / "testnet")
        self._capsys = capsys

    def says(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Run a command; return its exit code, what it said as JSON, and its line of error."""
        code = cli.main([*words, "--json", "--state", self._state])
        out, error = self._capsys.readouterr()
        return code, json.loads(out or "{}"), error.strip()

    def sees(self) -> dict[str, Any]:
        """Return the status."""
        code, status, error = self.says("status")
        assert code == 0, error
        return status


def until_held(control: ControlClient, node: Node) -> None:
    """Wait until a stop rests at the venue."""
    while not any(row["status"] == "NEW" for row in of_kind(control, "algo")):
        assert node.process.poll() is None, node.errors


@pytest.fixture(name="venue")
def _venue(history: Path) -> Any:
    with started_venue(venue_params(history, "2024-03-04T18:00:00Z", "2024-03-14T00:00:00Z")) as venue:
        yield venue


@pytest.fixture(name="manager")
def _manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "6000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        yield listening


def heard(manager: socket.socket) -> list[str]:
    """Return what a service manager was told since it was asked last."""
    words = []
    with suppress(BlockingIOError):
        while True:
            words.append(manager.recv(4_096).decode())
    return words


def test_a_person_closes_and_pauses_and_the_node_obeys_and_writes_it_down(
    venue: RunningVenue, tmp_path: Path, capsys: pytest.CaptureFixture[str], manager: socket.socket
) -> None:
    person, control = Person(tmp_path, capsys), venue.control
    with running_node(venue, "testnet", tmp_path, *LIVELY, *PATIENT) as node:
        node.wait_ready()
        until_held(control, node)
        told = heard(manager)
        assert "READY=1\nSTATUS=testnet trades, session session" in told
        assert "WATCHDOG=1" in told
        code, said, _ = person.says("flatten", "--reason", "too hot", "--request", "mine")
        assert (code, said["flat"], said["request"]) == (0, True, "mine")
        fills = len(venue_fills(control))
        assert Decimal(of_kind(control, "fill")[-1]["position"]) == 0
        again = person.says("flatten", "--reason", "too hot", "--request", "mine")[1]["said"]
        assert "done before" in again
        assert person.says("pause", "--reason", "r", "--request", "mine")[0] == 2
        status = person.sees()
        (held,) = status["instruments"]
        assert (held["quantity"].strip("0."), held["frozen"]) == ("", {"pause": "too hot"})
        assert [pause["reason"] for pause in status["pauses"]] == ["too hot"]
        assert (status["state"], status["mode"], status["fault"]) == ("ACTIVE", "LIVE", "")
        assert held["decision_age_seconds"] < 1_000
        assert person.says("resume", "--instrument", BTC, "--reason", "r")[0] == 3
        assert person.says("pause", "--instrument", "DOGEUSDT", "--reason", "r")[0] == 2
        assert person.says("breaker", "reduce", "--reason", "news")[0] == 0
        code, said, _ = person.says("resume", "--reason", "cooler")
        assert (code, "the breaker, which is REDUCING" in said["said"]) == (0, True)
        assert [cause["reason"] for cause in person.sees()["causes"]] == ["news"]
        assert len(venue_fills(control)) == fills
        assert person.says("rearm", "--reason", "over")[0] == 0
        assert person.says("stop", "flatten", "--reason", "enough")[0] == 0
        code, summary = node.ended()
        assert Decimal(of_kind(control, "fill")[-1]["position"]) == 0
    assert (code, summary["stopped_by"], node.errors) == (0, "a person said so: enough", [])
    assert heard(manager)[-1] == "STOPPING=1"
    assert person.says("status")[0] == 1
    session = tmp_path / "session"
    assert journal_fills(session) == venue_fills(control)
    told = [(row["command"], row["reason"], row["code"]) for row in rows(session, "control")]
    assert told == [
        ("flatten", "too hot", 0),
        ("resume", "r", 3),
        ("reduce", "news", 0),
        ("resume", "cooler", 0),
        ("rearm", "over", 0),
        ("stop", "enough", 0),
    ]
    assert [(row["state_to"], row["trigger"]) for row in rows(session, "breaker")] == [
        ("REDUCING", "manual"),
        ("ACTIVE", "manual"),
    ]
    first, last = (row["ts_event"] for row in rows(session, "control") if row["code"] == 0 and row["command"] in
                   {"flatten", "rearm"})  # fmt: skip
    frozen = [row for row in rows(session, "decisions") if first < row["ts_event"] < last]
    assert all(row["target_lots"] == 0 for row in frozen)
    assert cli.main(["parity", str(session)]) == 0


def test_a_pause_outlives_a_killed_node_and_what_is_held_keeps_its_stop(
    venue: RunningVenue, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person, control = Person(tmp_path, capsys), venue.control
    with running_node(venue, "testnet", tmp_path, *LIVELY, *PATIENT) as node:
        node.wait_ready()
        until_held(control, node)
        assert person.says("pause", "--instrument", BTC, "--reason", "holiday")[0] == 0
        held = person.sees()["instruments"][0]
        assert Decimal(held["quantity"]) != 0
        assert held["resting_stop"] > 0.0
        node.signal(signal.SIGKILL)
        node.ended()
    code, _, error = person.says("pause", "--reason", "r")
    assert (code, "was killed" in error) == (1, True)
    with running_node(venue, "testnet", tmp_path / "second", *LIVELY, *PATIENT, "--set",
                      f"breaker.state_path={tmp_path / 'state'}") as node:  # fmt: skip
        node.wait_ready()
        status = person.sees()
        (again,) = status["instruments"]
        assert [(pause["instrument_id"], pause["reason"]) for pause in status["pauses"]] == [(BTC, "holiday")]
        assert again["frozen"][f"pause.{BTC}"] == "holiday"
        assert again["quantity"] == held["quantity"]
        assert again["resting_stop"] == held["resting_stop"]
        entries = [row for row in of_kind(control, "order") if "-N" in row["client_order_id"]]
        assert person.says("stop", "keep", "--reason", "that is all")[0] == 0
        assert node.ended()[0] == 0
        assert [row for row in of_kind(control, "order") if "-N" in row["client_order_id"]] == entries
    assert Decimal(of_kind(control, "fill")[-1]["position"]) != 0
