"""Two runs of decisions held against each other: what is identical, and the first cause of what is not."""

import math

import msgspec
import pytest

from core.parity import Bar, Decision, compare, equal
from core.replay_gap import replay_gap

COLUMNS = ("return_1", "range_1")
ROW = {
    "close": 100.0, "atr": 1.0, "volatility": 0.2, "volatility_rank": 0.5, "position_lots": 3, "entry_price": 99.0,
    "stop_price": 97.0, "equity": 1e4, "drawdown": 0.0, "state": "ACTIVE", "models": ["a"], "weights": [1.0],
    "levels": [0.5], "confidences": [math.nan], "level": 0.5, "confidence": 0.6, "agreement": 1.0, "voters": 1,
    "abstention": "", "tradable": True, "verdict": "allowed", "rules": '{"rules":[["capital","passed",0.1,0.5,4]]}',
    "target_lots": 4, "new_stop_price": 98.0, "exit_reason": "", "reason": "", "client_order_id": "A-1",
}  # fmt: skip
SUBMIT = ("Submit", {"order_id": "A-1", "side": 1, "lots": 1, "style": "market", "ts_event": 7})


def decision(ts=60, name="BTC", **changes):
    made = Decision(
        instrument_id=name,
        ts_event=ts,
        row=ROW,
        observation=(0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 0.0),
        bars=(Bar(59, 1.0, 2.0, 0.5, 1.5, 10.0), Bar(60, 1.5, 2.0, 0.5, 1.6, 10.0)),
        orders=(SUBMIT,),
    )
    return msgspec.structs.replace(made, **changes)


def test_the_same_decisions_are_identical_though_a_number_is_no_number():
    parity = compare([decision(), decision(120)], [decision(), decision(120)], COLUMNS)
    assert parity.exact
    assert (parity.share, parity.decisions, parity.orders, parity.orders_identical) == (1.0, 2, 2, 2)


def row(**changes):
    return {"row": ROW | changes}


@pytest.mark.parametrize(
    ("changes", "cause", "name"),
    [
        ({"bars": (Bar(59, 1.0, 2.0, 0.5, 1.5, 10.0), Bar(60, 1.5, 2.1, 0.5, 1.6, 10.0))}, "data", "bar.high"),
        ({"bars": (Bar(59, 1.0, 2.0, 0.5, 1.5, 10.0),)}, "data", "bars"),
        ({"observation": (0.1, 0.25, 0.3, 0.0, 0.0, 0.0, 0.0)}, "feature", "range_1"),
        (row(volatility=0.21), "feature", "volatility"),
        (row(position_lots=4), "fill", "position_lots"),
        (row(equity=1e4 + 1e-9), "risk", "equity"),
        (row(state="HALTED"), "risk", "state"),
        ({"observation": (0.1, 0.2, 0.3, 0.0, 0.01, 0.0, 0.0)}, "fill", "holding"),
        (row(levels=[0.25]), "model", "levels"),
        (row(tradable=False), "model", "tradable"),
        (row(rules='{"rules":[["capital","denied",0.6,0.5,0]]}'), "risk", "rule capital"),
        (row(target_lots=5), "risk", "target_lots"),
        (row(client_order_id="A-2"), "fill", "client_order_id"),
        ({"orders": (("Submit", SUBMIT[1] | {"lots": 2}),)}, "fill", "orders"),
        ({"orders": ()}, "fill", "orders"),
    ],
)
def test_each_link_of_the_chain_is_named_as_what_it_is(changes, cause, name):
    parity = compare([decision(), decision(120)], [decision(), decision(120, **changes)], COLUMNS)
    assert (parity.first.cause, parity.first.name) == (cause, name)
    assert (parity.identical, parity.share, parity.causes) == (1, 0.5, {cause: 1})
    assert not parity.exact


def test_the_first_link_that_differs_is_the_cause_and_the_others_follow():
    other = decision(
        observation=(0.1, 0.25, 0.3, 0.0, 0.0, 0.0, 0.0), orders=(), row=ROW | {"levels": [0.25], "target_lots": 3}
    )
    first = compare([decision()], [other], COLUMNS).first
    assert (first.cause, first.name, first.recorded, first.replayed) == ("feature", "range_1", 0.2, 0.25)
    assert first.consequences[:3] == ("feature range_1 0.2 -> 0.25", "levels [0.5] -> [0.25]", "target_lots 4 -> 3")
    assert first.consequences[3].startswith("order ('Submit'")


def test_at_one_close_a_fill_of_one_instrument_is_the_cause_of_the_account_of_all():
    mine = [decision(), decision(name="ETH")]
    others = [decision(**row(equity=9e3)), decision(name="ETH", **row(entry_price=98.0, equity=9e3))]
    first = compare(mine, others, COLUMNS).first
    assert (first.cause, first.instrument_id, first.name) == ("fill", "ETH", "entry_price")


def test_decisions_that_only_one_side_made_are_counted():
    parity = compare([decision(), decision(120)], [decision(), decision(180)], COLUMNS)
    assert (parity.missing, parity.extra, parity.identical) == (1, 1, 1)
    assert (parity.first.cause, parity.first.ts_event) == ("data", 120)


def test_a_simulation_is_not_asked_for_names_times_and_the_speed_of_the_machine():
    quick = '{"rules":[["stale_data","passed",0.1,30.0,4],["capital","passed",0.1,0.5,4]]}'
    slow = quick.replace('passed",0.1,30', 'passed",0.2,30')
    later = decision(
        row=ROW | {"rules": slow, "client_order_id": "A-9"},
        orders=(("Submit", SUBMIT[1] | {"order_id": "A-9", "ts_event": 9}),),
    )
    mine = decision(row=ROW | {"rules": quick})
    assert compare([mine], [later], COLUMNS, named=False).exact
    assert not compare([mine], [later], COLUMNS).exact


def test_further_rows_are_compared_in_order():
    mine, others = [{"ts_event": 1, "equity": 1.0}, {"ts_event": 2, "equity": 2.0}], [{"ts_event": 1, "equity": 1.0}]
    parity = compare([decision()], [decision()], COLUMNS, {"equity": (mine, others)})
    assert parity.rows == {"equity": (2, 1)}
    assert (parity.first.name, parity.first.ts_event) == ("equity.ts_event", 2)
    assert parity.share == 1.0
    assert not parity.exact


def test_lists_and_tuples_are_alike_and_the_last_digit_counts():
    assert equal({"a": (1, [2.0, math.nan])}, {"a": [1, (2.0, math.nan)]})
    assert not equal(0.1 + 0.2, 0.3)
    assert not equal({"a": 1}, {"a": 1, "b": None})


def fill(side, price, at, quantity="1"):
    return {
        "instrument_id": "BTC", "side": side, "purpose": "entry", "price": price, "quantity": quantity,
        "decided_ns": at,
    }  # fmt: skip


def test_the_gap_of_fills_is_positive_where_the_venue_was_worse():
    """Bought 1 dearer than 100 and sold 2 dearer: 100 bps worse and about 98 better, weighted by quantity."""
    recorded = [fill("BUY", "100", 10), fill("SELL", "102", 20, "3"), fill("BUY", "100", 900)]
    simulated = [fill("BUY", "99", 12), fill("SELL", "101", 20, "3"), fill("SELL", "101", 21)]
    equity = [{"ts_event": 1, "equity": 100.0}, {"ts_event": 2, "equity": 101.0}]
    gap = replay_gap((recorded, simulated), (equity, [{"ts_event": 1, "equity": 99.0}]), within_ns=5)
    sold = -1e4 / 102.0
    assert (gap.matched, gap.only_recorded, gap.only_simulated) == (2, 1, 1)
    assert gap.fill_mean_bps == pytest.approx((100.0 + 3.0 * sold) / 4.0)
    assert gap.fill_worst_bps == pytest.approx(100.0)
    assert gap.equity_last_bps == gap.equity_worst_bps == pytest.approx(100.0)
