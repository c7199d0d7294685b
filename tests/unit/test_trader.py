"""The trader in closed scenarios."""

import pytest

from core.breaker import HALTED, REDUCING
from core.commands import Cancel, Modify, Query, Submit
from core.exits import BREAKER_EXIT, STOP_LOSS
from core.messages import Flatten, Freeze, OrderOutcome
from tests.unit.trading_session import NAME, SECOND
from tests.unit.trading_table import Table, only


def submits(commands):
    return [(c.purpose, c.side * c.lots) for c in commands if isinstance(c, Submit)]


def test_the_stop_is_placed_with_the_first_fill_and_grows_with_every_further_one():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    assert not entry.reduce_only
    stop = only(table.fill(entry, 3), "stop")
    assert (stop.side, stop.lots, stop.reduce_only, stop.style) == (-1, 3, True, "stop")
    assert table.fill(entry, 2)[1:] == [], "one request about a stop at a time"
    assert table.accept(stop) == [Modify(stop.order_id, 5, stop.trigger_ticks)]
    table(table.trader.on_modified(stop.order_id, 5, stop.trigger_ticks, table.now))
    assert table.trader.desk.orders.live[stop.order_id].left == table.trader.position.lots == 5


def test_no_second_order_is_sent_while_one_is_under_way():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    assert submits(table.signal(1.0)) == []
    table.fill(entry, entry.lots)
    assert table.trader.desk.orders.under_way() is None


def test_a_part_filled_entry_whose_stop_is_refused_is_cancelled_and_what_it_held_closed_at_once():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    stop = only(table.fill(entry, 3), "stop")
    asked = table.end(stop, "rejected", "-4045: Reach max stop order limit.")
    assert Cancel(entry.order_id) in asked
    leave = only(asked, "exit")
    assert (leave.side, leave.lots, leave.reduce_only) == (-1, 3, True)
    assert asked.index(Cancel(entry.order_id)) < asked.index(leave)
    assert submits(table.fill(entry, 2)) == [], "one close at a time"
    assert submits(table.fill(leave, 3)) == [("exit", -2)], "and closed again"


def test_a_stop_that_would_trigger_at_once_is_moved_once_and_then_the_position_is_closed():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    stop = only(table.fill(entry, entry.lots), "stop")
    second = only(table.end(stop, "rejected", "-2021: Order would immediately trigger."), "stop")
    assert second.trigger_ticks == stop.trigger_ticks - int(stop.trigger_ticks * 0.001)
    leave = only(table.end(second, "rejected", "-2021: Order would immediately trigger."), "exit")
    assert leave.lots == entry.lots
    assert table.trader.desk.closing.exit_code == STOP_LOSS


def test_a_stop_that_the_venue_ends_by_itself_closes_the_position_and_one_that_we_withdraw_does_not():
    table = Table()
    entry, stop = table.enter()
    assert submits(table.end(stop, "expired")) == [("exit", -entry.lots)]
    calm = Table()
    entry, stop = calm.enter()
    leave = only(calm.signal(-1.0), "exit")
    assert calm.fill(leave, entry.lots)[-1] == Cancel(stop.order_id)
    assert submits(calm.end(stop, "canceled")) == []


def test_a_venue_that_refuses_changes_gets_a_new_stop_only_after_the_old_one_has_ended():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    stop = only(table.fill(entry, 3), "stop")
    table.fill(entry, 2)
    table.accept(stop)
    asked = table(table.trader.on_modify_rejected(stop.order_id, "not supported", table.now))
    assert asked[-1] == Cancel(stop.order_id)
    assert submits(asked) == []
    assert submits(table.end(stop, "canceled")) == [("stop", -5)]


def test_a_position_that_stays_bare_for_too_long_is_closed():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.fill(entry, entry.lots)
    table.wait(10)
    assert submits(table.wait(9)) == []
    assert submits(table.wait(2)) == [("exit", -entry.lots)]


def test_an_answer_that_does_not_come_freezes_entries_until_the_fate_is_known():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    assert table.wait(10) == [Query(entry.order_id)]
    assert table.trader.desk.frozen
    assert "fate is unknown" in table.alerts()
    assert submits(table.signal(1.0)) == []
    table(table.trader.on_resolved(entry.order_id, "absent", 0, 0.0, table.now, table.now))
    assert not table.trader.desk.frozen
    assert submits(table.signal(1.0)) == [("entry", entry.lots)]


def test_a_refusal_that_says_the_status_is_unknown_is_no_end():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    asked = table.end(entry, "rejected", "-1007: Timeout, execution status unknown")
    assert Query(entry.order_id) in asked
    assert submits(table.fill(entry, entry.lots)) == [("stop", -entry.lots)]
    assert not table.trader.desk.frozen


def test_an_exit_is_possible_while_the_fate_of_orders_is_unknown():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.fill(entry, 3)
    table.wait(10)
    assert table.trader.desk.frozen
    first = only(table(table.trader.on_flatten(Flatten("a limit", table.now), table.now)), "exit")
    table.wait(10)
    assert submits(table.wait(1)) == [("exit", -3)], f"{first.order_id} is lost: another that only reduces"


def test_a_fill_reported_twice_counts_once():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.fill(entry, 3)
    table.trades -= 1
    assert table.fill(entry, 3) == []
    assert table.trader.position.lots == 3


def test_a_fill_that_crosses_its_cancel_still_counts_and_is_closed_where_nobody_wants_it():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table(table.trader.on_flatten(Flatten("a limit", table.now), table.now))
    table.end(entry, "canceled")
    assert table.trader.desk.closing is None
    assert submits(table.fill(entry, 4)) == [("exit", -4), ("stop", -4)]


def test_a_flatten_cancels_a_part_filled_entry_closes_what_is_held_and_tries_until_flat():
    table = Table()
    entry, _ = table.enter(4)
    asked = table(table.trader.on_flatten(Flatten("a limit", table.now), table.now))
    assert asked[0] == Cancel(entry.order_id)
    leave = only(asked, "exit")
    table.end(leave, "rejected", "-1003: Too many requests")
    assert submits(table.wait(0.5)) == []
    again = only(table.wait(0.6), "exit")
    table.end(again, "rejected", "-1003: Too many requests")
    assert submits(table.wait(1.5)) == [], "twice as long"
    last = only(table.wait(0.6), "exit")
    table.end(entry, "canceled")
    table.fill(last, 4)
    assert table.trader.desk.closing is None
    assert table.trader.position.lots == 0
    assert table.trader.desk.closing is None


def test_what_fills_while_halted_is_closed():
    table = Table()
    entry = only(table.signal(1.0), "entry")
    table.risk(HALTED)
    asked = table.fill(entry, entry.lots)
    assert ("exit", -entry.lots) in submits(asked)
    assert table.trader.desk.closing.exit_code == BREAKER_EXIT


def test_a_freeze_of_one_source_is_not_lifted_by_another():
    table = Table()
    table(table.trader.on_freeze(Freeze(NAME, "monitor", True, "", 0), table.now))
    table(table.trader.on_freeze(Freeze("", "person", True, "", 0), table.now))
    table(table.trader.on_freeze(Freeze("", "person", False, "", 0), table.now))
    assert submits(table.signal(1.0)) == []
    table(table.trader.on_freeze(Freeze("ETHUSDT-PERP.BINANCE", "monitor", False, "", 0), table.now))
    assert submits(table.signal(1.0)) == []
    table(table.trader.on_freeze(Freeze(NAME, "monitor", False, "", 0), table.now))
    assert len(submits(table.signal(1.0))) == 1


@pytest.mark.parametrize("state", [REDUCING, HALTED])
def test_a_sliced_entry_is_cancelled_when_trading_is_no_longer_active(state):
    table = Table("twap")
    entry = only(table.signal(1.0), "entry")
    table.fill(f"{entry.order_id}-E1", 2, side=1)
    assert table.risk(state) == [Cancel(entry.order_id)]


def test_a_sliced_entry_is_cancelled_when_the_signal_turns():
    table = Table("twap")
    entry = only(table.signal(1.0), "entry")
    assert Cancel(entry.order_id) in table.signal(-1.0)


def test_slices_count_for_their_parent_and_its_end_is_told_once():
    table = Table("twap")
    entry = only(table.signal(1.0), "entry")
    table.fill(f"{entry.order_id}-E1", 2, side=1)
    table.fill(f"{entry.order_id}-E2", entry.lots - 2, side=1)
    assert table.trader.position.lots == entry.lots
    assert table.end(entry, "filled") == []
    assert table.alerts() == ""


@pytest.mark.parametrize(("style", "latency_ns"), [("market", 5 * SECOND), ("twap", -1)])
def test_the_answer_to_a_worked_order_is_not_late_by_its_own_schedule(style, latency_ns):
    table = Table(style)
    entry = only(table.signal(1.0), "entry")
    table.now += 5 * SECOND - 1
    table.fill(entry.order_id if style == "market" else f"{entry.order_id}-E1", entry.lots, side=1)
    outcome = next(told for told in table.told if isinstance(told, OrderOutcome))
    assert outcome.latency_ns == latency_ns


def test_names_are_the_same_again_for_the_same_course_and_never_twice():
    names = []
    for _ in range(2):
        table = Table()
        entry, stop = table.enter()
        names.append((entry.order_id, stop.order_id))
        assert len({entry.order_id, stop.order_id}) == 2
        assert max(map(len, names[-1])) <= 31
    assert names[0] == names[1]


def test_a_fill_of_an_order_that_nobody_knows_counts_and_is_protected():
    table = Table()
    asked = table.fill("somebody-else", 3, side=1)
    assert table.trader.position.lots == 3
    assert submits(asked) == [("stop", -3)]
    assert "nobody knows" in table.alerts()


def test_the_stop_of_a_worked_add_waits_for_its_first_fill():
    table = Table("twap")
    entry = only(table.signal(0.3), "entry")
    stop = only(table.fill(f"{entry.order_id}-E1", entry.lots, side=1), "stop")
    table.accept(stop)
    table.end(entry, "filled")
    before = table.trader.position.stop_price
    add = only(table.signal(1.0, 31_500.0), "increase")
    assert table.trader.position.stop_price == before
    table.fill(f"{add.order_id}-E1", 1, 31_500.0, side=1)
    assert table.trader.position.stop_price > 30_000.0, "break-even of the whole, or better"
