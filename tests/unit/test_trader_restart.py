"""A trader that begins with what was there before."""

import msgspec
import numpy as np
import pytest

from core.commands import Cancel, Modify, Query, Reconcile, Submit, WriteOrder
from core.messages import Flatten, Freeze
from core.protections import M
from core.trader import OpenOrder, Trader, TraderState
from tests.unit.trading_table import Table, only


def submits(commands):
    return [(c.purpose, c.side * c.lots) for c in commands if isinstance(c, Submit)]


def inherit(table, lots, *open_orders, price=30_000.0):
    return table(table.trader.inherit(lots, price, open_orders, table.now))


def opened(order, filled=0):
    return OpenOrder(order.order_id, order.side, order.lots, filled, order.trigger_ticks, order.reduce_only)


def test_a_position_found_at_the_start_is_adopted_and_protected_at_once():
    table = Table()
    asked = inherit(table, -7)
    assert submits(asked) == [("stop", 7)]
    assert asked[0].trigger_ticks == 306_000, "two per cent away"
    assert table.trader.position.entry_price == 30_000.0


def test_a_position_found_at_the_start_is_closed_where_the_configuration_says_so():
    table = Table(inherited="flatten")
    assert submits(inherit(table, -7)) == [("exit", 7), ("stop", 7)]
    own = Table(inherited="flatten")
    entry, stop = own.enter()
    own.restart()
    assert submits(inherit(own, entry.lots, opened(stop))) == [], "one's own is no inheritance"


def test_everything_comes_back():
    table = Table()
    table.enter(3)
    table(table.trader.on_freeze(Freeze("", "monitor", True, "why", 0), table.now))
    table(table.trader.on_flatten(Flatten("a limit", table.now), table.now))
    kept = msgspec.msgpack.encode(table.trader.snapshot())
    again = Trader(table.params)
    again.restore(msgspec.msgpack.decode(kept, type=TraderState))
    assert msgspec.msgpack.encode(again.snapshot()) == kept
    np.testing.assert_array_equal(again.desk.holding.memory, table.trader.desk.holding.memory)


def test_an_order_known_here_and_absent_there_is_of_unknown_fate_until_asked():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.restart()
    assert inherit(table, 0) == [Query(entry.order_id)]
    assert table.trader.desk.frozen
    asked = table(table.trader.on_resolved(entry.order_id, "filled", entry.lots, 30_000.0, table.now, table.now))
    assert any(isinstance(command, Reconcile) for command in asked), "before or after the restart? the venue knows"
    assert submits(table(table.trader.on_position(entry.lots, 30_000.0, table.now))) == [("stop", -entry.lots)]
    assert table.trader.position.lots == entry.lots


def test_a_fill_of_before_the_restart_is_in_the_position_already_and_one_after_it_counts():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.restart()
    inherit(table, 3)
    before, table.now = table.now, table.now - 5
    table.fill(entry, 3)
    table.now = before
    assert table.trader.position.lots == 3
    table.fill(entry, 2)
    assert table.trader.position.lots == 5


def test_an_open_stop_goes_on_as_the_venue_has_it():
    table = Table()
    entry, stop = table.enter()
    table.restart()
    (written,) = inherit(table, entry.lots, opened(stop))
    assert (written.order_id, written.status) == (stop.order_id, "inherited"), "the new journal knows it, too"
    table.restart()
    asked = inherit(table, entry.lots - 2, opened(stop, filled=1))
    assert Query(stop.order_id) in asked, "at what price, the venue says"
    (asked,) = (command for command in asked if isinstance(command, Modify))
    assert asked.lots == entry.lots - 2 + 1, "in total, what has filled included"


def test_a_stop_whose_acceptance_was_not_kept_is_no_bare_position_after_a_restart():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    stop = only(table.fill(entry, entry.lots), "stop")
    table.restart()
    table.now += 3_600_000_000_000
    asked = inherit(table, entry.lots, opened(stop))
    assert submits(asked) == []
    assert "without a working stop" not in table.alerts()


def test_an_open_order_that_is_not_ours_is_told_of_and_left_alone():
    table = Table()
    assert inherit(table, 0, OpenOrder("by-hand", 1, 5, 0, 0, False)) == []
    assert "not ours" in table.alerts()


def test_what_is_open_of_a_sliced_order_is_cancelled_after_a_restart():
    table = Table("twap")
    entry = only(table.signal(1.0), "entry")
    table.restart()
    piece = f"{entry.order_id}-E1"
    asked = inherit(table, 0, OpenOrder(piece, 1, 3, 0, 0, False))
    assert [type(each) for each in asked] == [WriteOrder, Cancel], "the new journal knows it, too"
    assert asked[1] == Cancel(piece)
    assert submits(table.fill(piece, 1, side=1)) == [("stop", -1)], "what it still fills counts"


@pytest.mark.parametrize("there", [0, 5])
def test_the_venue_is_right_about_what_is_held(there):
    table = Table()
    _, stop = table.enter()
    table.restart()
    inherit(table, there, opened(stop))
    assert table.trader.position.lots == there
    assert "the venue holds" in table.alerts()


def test_a_close_goes_on_after_a_restart():
    table = Table()
    entry, stop = table.enter()
    table(table.trader.on_flatten(Flatten("a limit", table.now), table.now))
    lost = next(c for c in table.asked if isinstance(c, Submit) and c.purpose == "exit")
    table.restart()
    asked = inherit(table, entry.lots, opened(stop))
    assert Query(lost.order_id) in asked
    assert submits(asked) == [("exit", -entry.lots)]


@pytest.mark.parametrize("told_before", [0, 2])
def test_what_filled_while_nobody_lived_counts_as_if_it_had_been_heard(told_before):
    heard, killed = Table(), Table()
    for table in (heard, killed):
        entry, stop = table.enter()
        if told_before:
            table.fill(stop, told_before, price=29_700.0)
        if table is killed:
            table.restart()
            known = table.trader.desk.holding.realised
            inherit(table, 0)
            assert table.trader.position.lots == 0, "the venue is right at once"
        left = entry.lots - told_before
        average = (told_before * 29_700.0 + left * 29_640.0) / entry.lots
        table.now += 1_000_000_000
        table(table.trader.on_resolved(stop.order_id, "filled", entry.lots, average, table.now, table.now, 0.0005))
    ours, theirs = killed.trader.desk.holding, heard.trader.desk.holding
    assert ours.realised == pytest.approx(theirs.realised)
    assert ours.realised < 0
    np.testing.assert_allclose(ours.memory, theirs.memory)
    assert ours.memory[M.streak] == ours.memory[M.stops] == ours.memory[M.trades] == 1
    assert ours.behind is None
    assert ours.unopened == pytest.approx(ours.realised - known), "the account was first seen without it"


def test_an_entry_that_filled_while_nobody_lived_has_the_stop_that_was_planned():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    planned = table.trader.desk.orders.find(entry.order_id).planned_stop
    table.restart()
    assert submits(inherit(table, entry.lots)) == [("stop", -entry.lots)]
    assert table.trader.position.stop_price == planned > 0.0
