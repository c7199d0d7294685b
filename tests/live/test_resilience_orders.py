"""Order faults at the stand-in venue: nothing is lost, nothing is sent twice, nothing stays bare."""

import pytest

from tests.conftest import import_range
from tests.live.drill import drilled

SPAN = ("2023-03-09T19:40:00Z", "2023-03-09T21:30:00Z")
ORDER = {"by": "trading", "method": "POST", "path": "/fapi/v1/order"}
USER = {"channel": "user"}

FAULTS = {
    "a lost acknowledgement": ("lost_ack", {"match": ORDER, "count": 1}),
    "an unknown fate of what was executed": ("timeout_executed", {"match": ORDER, "count": 1}),
    "events that come twice": ("duplicate", {"match": USER}),
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, shared_data):
    """A fall of Bitcoin, with the days before it."""
    return import_range(shared_data, tmp_path_factory.mktemp("catalog"), ("BTCUSDT",), "2023-02-20", "2023-03-10")


def venue_fills(session):
    """Return what the venue filled, by the engine's name of the order: side and quantity, in order."""
    rows = [row for row in session.ledger["exchange"] if row["kind"] == "fill"]
    return [(row["client_order_id"].rpartition("-R")[2], row["side"], float(row["quantity"])) for row in rows]


def journal_fills(session):
    return [(row["client_order_id"], row["side"], float(row["quantity"])) for row in session.rows["fills"]]


def names_sent(session):
    rows = [row for row in session.ledger["exchange"] if row["kind"] == "request"]
    return [row["params"].get("newClientOrderId") or row["params"].get("clientAlgoId") for row in rows
            if row["method"] == "POST" and "rder" in row["path"]]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_of_an_order_journal_and_venue_are_equal_and_nothing_was_sent_twice(fault, catalog, tmp_path):
    kind, rule = FAULTS[fault]
    session = drilled(catalog, tmp_path, SPAN, lambda control: control.fault(kind, **rule))
    assert session.code == 0, session.output[-2_000:]
    assert journal_fills(session) == venue_fills(session) != []
    sent = names_sent(session)
    assert len(sent) == len(set(sent))
    assert session.rows["breaker"] == []
    assert session.held() == 0


def act_once(do, **what):
    """Return what acts once, when the first entry has filled."""

    def during(control, state):
        if state["sent"]["user"] < 4:
            return False
        control.act(do, **what)
        return True

    return during


def test_a_user_stream_that_drops_under_a_position_leaves_one_position(catalog, tmp_path):
    session = drilled(catalog, tmp_path, SPAN, lambda _: None, during=act_once("drop", channel="user"))
    assert session.code == 0, session.output[-2_000:]
    assert journal_fills(session) == venue_fills(session) != []
    assert session.rows["breaker"] == session.rows["positions"] == []


def test_a_liquidation_is_taken_over_and_its_stop_does_not_stay(catalog, tmp_path):
    session = drilled(catalog, tmp_path, SPAN, lambda _: None, during=act_once("liquidate", symbol="BTCUSDT"))
    assert session.code == 0, session.output[-2_000:]
    taken = session.rows["positions"]
    assert [float(row["quantity"]) for row in taken] == [0.0]
    assert session.held() == 0
    statuses = [row["status"] for row in session.rows["orders"] if "-S1" in row["client_order_id"]]
    assert "canceled" in statuses
