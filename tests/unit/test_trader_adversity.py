"""The trader where clocks differ, news come late, and what it knows is lost."""

import msgspec
import pytest

from core.breaker import ACTIVE
from core.commands import Cancel, Modify, Query, Reconcile, Submit
from core.messages import Flatten, RiskState, Signal
from core.protections import recall
from core.trader import Fill, OpenOrder, Trader, TraderState
from tests.unit.trading_session import EQUITY, NAME, SECOND
from tests.unit.trading_table import Table, only

HOUR = 3_600 * SECOND


def submits(commands):
    return [(c.purpose, c.side * c.lots) for c in commands if isinstance(c, Submit)]


def opened(order, filled=0):
    return OpenOrder(order.order_id, order.side, order.lots, filled, order.trigger_ticks, order.reduce_only)


def heard(table, ts_event, level=1.0, price=31_500.0):
    table(table.trader.on_risk(RiskState(ts_event, EQUITY, EQUITY, EQUITY, 0.0, ACTIVE, 0.0)))
    signal = Signal(
        NAME, ts_event, level, 1.0, 1.0, 3, "", True, price, 120.0, 0.6, 0.5, price, 0.0, 480.0, (), (), ""
    )  # fmt: skip
    return table(table.trader.on_signal(signal, table.now))


def test_a_bar_is_decided_on_once_and_none_before_it():
    table = Table()
    entry = only(table.signal(0.3), "entry")
    bar = table.now
    table.accept(only(table.fill(entry, entry.lots), "stop"))
    entries = recall(table.trader.desk.holding.memory, 0, table.params.decision.risk)
    assert submits(heard(table, bar)) == submits(heard(table, bar - 60 * SECOND)) == []
    assert recall(table.trader.desk.holding.memory, 0, table.params.decision.risk) == entries
    assert "passed over" in table.alerts()
    table.now += 60 * SECOND
    assert [purpose for purpose, _ in submits(heard(table, bar + 60 * SECOND))] == ["increase"]


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_a_bar_far_from_the_clock_on_either_side_opens_nothing(ahead):
    table = Table()
    bar, table.now = table.now, table.now + ahead
    assert submits(heard(table, bar)) == []


def test_a_fill_that_was_under_way_when_the_venue_was_asked_is_not_lost():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.fill(entry, 3)
    table.restart()
    table(table.trader.inherit(3, 30_000.0, (), table.now))
    late = Fill(entry.order_id, "late", 1, 2, 30_000.0, 0.0, table.now - 5)
    assert Reconcile(table.now) in table(table.trader.on_filled(late, table.now))
    assert table.trader.position.lots == 3, "it may be in the three: the venue knows"
    table(table.trader.on_position(5, 30_000.0, table.now))
    assert table.trader.position.lots == 5


def test_a_fill_of_a_stop_that_was_under_way_has_the_stop_asked_about_too():
    table = Table()
    entry, stop = table.enter()
    table.restart()
    table(table.trader.inherit(entry.lots, 30_000.0, (opened(stop),), table.now))
    late = Fill(stop.order_id, "late", -1, 2, 29_640.0, 0.0, table.now - 5)
    assert table(table.trader.on_filled(late, table.now)) == [Query(stop.order_id), Reconcile(table.now)]


def test_what_filled_counts_once_though_the_venues_clock_is_ahead():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table(table.trader.on_filled(Fill(entry.order_id, "A", 1, 3, 30_000.0, 0.0, table.now + SECOND), table.now))
    table(table.trader.on_resolved(entry.order_id, "working", 3, 30_000.0, table.now, table.now))
    assert table.trader.position.lots == 3


def test_a_stop_that_was_said_not_to_exist_is_cancelled_until_it_is_gone():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    stop = only(table.fill(entry, entry.lots), "stop")
    table.wait(10)
    table(table.trader.on_resolved(stop.order_id, "absent", 0, 0.0, table.now, table.now))
    assert Cancel(stop.order_id) in table.accept(stop), "another stands in its place"
    table(table.trader.on_cancel_rejected(stop.order_id, "-1003: Too many requests", table.now))
    assert Cancel(stop.order_id) in table(
        table.trader.on_resolved(stop.order_id, "working", 0, 0.0, table.now, table.now)
    )
    table.end(stop, "canceled")
    assert stop.order_id not in table.trader.desk.orders.live


def test_an_entry_that_was_said_not_to_exist_and_fills_beside_its_successor_is_closed():
    table = Table()
    first = only(table.signal(1.0), "entry")
    table.wait(10)
    table(table.trader.on_resolved(first.order_id, "absent", 0, 0.0, table.now, table.now))
    second = only(table.signal(1.0), "entry")
    table.fill(second, second.lots)
    assert ("exit", -first.lots - second.lots) in submits(table.fill(first, first.lots)), "twice what is allowed"


@pytest.mark.parametrize("kept", [False, True])
def test_a_stop_that_nobody_remembers_goes_on_and_what_else_is_ours_is_cancelled(kept):
    """The state of before is lost, or is older than the stop: it could not be kept."""
    table = Table()
    entry = only(table.signal(1.0), "entry")
    old = msgspec.msgpack.encode(table.trader.snapshot())
    stop = only(table.fill(entry, entry.lots), "stop")
    table.trader = Trader(table.params)
    if kept:
        table.trader.restore(msgspec.msgpack.decode(old, type=TraderState))
    table.now += SECOND
    piece = OpenOrder("RL-001-CWYVPMEM2SCG-N1-E4", 1, 7, 0, 0, False)
    other = OpenOrder("RL-001-CWYVPMEM2SCG-S9", 1, 7, 0, 310_000, True)
    found = (opened(stop), piece, other, OpenOrder("RL-0011-CWYVPMEM2SCG-S1", -1, 7, 0, 0, True))
    asked = table(table.trader.inherit(entry.lots, 30_000.0, found, table.now))
    assert [c.order_id for c in asked if isinstance(c, Cancel)] == [piece.order_id, other.order_id]
    assert "RL-0011-CWYVPMEM2SCG-S1: an open order that is not ours" in table.alerts()
    assert [c for c in asked if isinstance(c, Submit | Modify)] == [], "never two rest"
    assert table.trader.position.stop_price == pytest.approx(stop.trigger_ticks * 0.1)
    assert table.trader.desk.orders.live[stop.order_id].left == entry.lots


def test_an_order_of_ours_that_shows_up_after_its_memory_is_lost_is_cancelled_until_it_is_gone():
    table = Table()
    forgotten = "RL-001-CWYVPMEM2SCG-S1"
    assert table(table.trader.on_accepted("RL-0011-CWYVPMEM2SCG-S1", table.now)) == []
    assert table(table.trader.on_accepted(forgotten, table.now)) == [Cancel(forgotten)]
    assert Query(forgotten) in table(table.trader.on_cancel_rejected(forgotten, "-1003", table.now))
    assert table(table.trader.on_resolved(forgotten, "working", 0, 0.0, table.now, table.now)) == [Cancel(forgotten)]
    table(table.trader.on_ended(forgotten, "canceled", "", table.now))
    assert not table.trader.desk.orders.live
    entry = table(table.trader.on_resolved("RL-001-CWYVPMEM2SCG-N1", "working", 0, 0.0, table.now, table.now))
    assert [type(command) for command in entry] == [Cancel]
    assert submits(table.fill("RL-001-CWYVPMEM2SCG-N1", 3, side=-1)) == [("stop", 3)], "what it fills counts"


def test_a_leftover_is_cancelled_again_where_its_cancel_came_to_nothing():
    table = Table("twap")
    entry = only(table.signal(1.0), "entry")
    table.restart()
    piece = f"{entry.order_id}-E1"
    table(table.trader.inherit(0, 0.0, (OpenOrder(piece, 1, 3, 0, 0, False),), table.now))
    table(table.trader.on_cancel_rejected(piece, "-1003: Too many requests", table.now))
    assert Cancel(piece) in table(table.trader.on_resolved(piece, "working", 0, 0.0, table.now, table.now))


def test_a_failed_close_does_not_wait_for_a_clock_that_went_back():
    table = Table()
    entry, _ = table.enter()
    table(table.trader.on_flatten(Flatten("a limit", table.now), table.now))
    leave = next(c for c in table.asked if isinstance(c, Submit) and c.purpose == "exit")
    table.end(leave, "rejected", "-1003: Too many requests")
    table.now -= HOUR
    table.wait(1)
    assert submits(table.wait(31)) == [("exit", -entry.lots)], "the longest wait is half a minute"


def test_a_bare_position_is_closed_though_the_clock_went_back():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    stop = only(table.fill(entry, entry.lots), "stop")
    table.now -= HOUR
    table(table.trader.on_risk(RiskState(table.now, EQUITY, EQUITY, EQUITY, 0.0, ACTIVE, 0.0), table.now))
    assert table.trader.wake_ns <= table.now + 10 * SECOND
    assert Query(stop.order_id) in table.wait(10)
    assert submits(table.wait(11)) == [("exit", -entry.lots)]
