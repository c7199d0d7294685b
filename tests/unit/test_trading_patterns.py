"""Trading that looks wrong: each detector speaks where it should and is silent where it should be."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.trading_patterns import Baseline, PatternLimits, PatternState, baseline_of, look, poisson_tails

MINUTE = 60_000_000_000
DAY = 1_440 * MINUTE
NAME = "BTCUSDT-PERP.BINANCE"


def limits(**more):
    values = {"rejections": 3, "rejections_ns": 10 * MINUTE, "flips": 2, "flips_ns": 360 * MINUTE,
              "slippage_bps": 20.0, "slippage_deviations": 8.0, "rate_odds": 1e-4, "size_factor": 1.5}  # fmt: skip
    return PatternLimits(**(values | more))


def order(ts, status="rejected"):
    return "orders", {"ts_event": ts, "instrument_id": NAME, "status": status, "reason": "-2019"}


def fill(ts, lots, *, side="BUY", price="100.0", arrival=100.0, purpose="entry", order_id="o", quantity="1"):
    return "fills", {
        "ts_event": ts, "instrument_id": NAME, "client_order_id": order_id, "side": side, "price": price,
        "quantity": quantity, "arrival_price": arrival, "purpose": purpose, "lots_after": lots,
    }  # fmt: skip


def decision(ts, target):
    return "decisions", {"ts_event": ts, "instrument_id": NAME, "target_lots": target}


def found(rows, **more):
    state, patterns = PatternState(), []
    for kind, row in rows:
        state, told = look(state, kind, row, limits(**more))
        patterns += told
    return patterns


def test_a_burst_of_rejections_is_told_and_as_many_over_a_day_are_not():
    burst = found([order(MINUTE * at) for at in (1, 2, 3)])
    assert [(one.pattern, one.value) for one in burst] == [("rejections", 3)]
    assert found([order(MINUTE * at) for at in (1, 200, 400, 900)]) == []
    assert found([order(MINUTE * at, "canceled") for at in (1, 2, 3, 4)]) == []


def test_a_position_that_changes_its_side_again_and_again_is_told():
    rows = [decision(1, 5)] + [fill(MINUTE * at, lots, purpose="exit") for at, lots in enumerate((5, 0, -5, 0, 5), 1)]
    assert [one.pattern for one in found(rows)] == ["flips"]
    slow = [fill(400 * MINUTE * at, lots, purpose="exit") for at, lots in enumerate((5, 0, -5, 0, 5), 1)]
    assert found(slow) == []


@pytest.mark.parametrize(("side", "price", "told"), [
    ("BUY", "100.3", True), ("BUY", "99.7", False), ("SELL", "99.7", True), ("SELL", "100.3", False),
    ("BUY", "100.19", False),
])  # fmt: skip
def test_a_fill_far_worse_than_its_decision_is_told_and_a_better_one_is_not(side, price, told):
    patterns = found([decision(0, 9), fill(1, 1, side=side, price=price, purpose="exit")])
    assert [one.pattern for one in patterns] == (["slippage"] if told else [])


def test_where_fills_are_always_worse_only_the_outlier_is_told():
    chance = random.Random(7)
    usual = [fill(at, 1, price=str(100.0 + chance.uniform(0.15, 0.19)), purpose="exit") for at in range(1, 60)]
    assert found([*usual, fill(99, 1, price="100.25", purpose="exit")], slippage_bps=10.0) != []
    told = found([*usual[:30], fill(99, 1, price="100.195", purpose="exit"),
                  fill(100, 1, price="101.0", purpose="exit")], slippage_bps=18.9)  # fmt: skip
    assert [round(one.value) for one in told][-1:] == [100]
    assert len([one for one in told if one.ts_event == 99]) == 0


def test_a_stop_may_be_filled_far_from_where_it_was_placed():
    assert found([fill(1, 0, side="SELL", price="97.0", purpose="stop")]) == []


def entries(count, first=DAY, size="1"):
    rows = [decision(first, 10**6)]
    rows += [fill(first + at * MINUTE, at + 1, order_id=f"o{at}", quantity=size) for at in range(count)]
    return [*rows, decision(first + 300 * MINUTE, 10**6)]


def test_a_day_with_far_more_entries_than_the_backtest_is_told_once():
    base = Baseline(entries_per_day=4.0)
    assert found(entries(6), baseline=base) == []
    told = found([*entries(20), decision(DAY + 301 * MINUTE, 0)], baseline=base)
    assert [(one.pattern, one.value, one.limit) for one in told] == [("entry rate", 20, 4.0)]


def test_a_whole_day_without_entries_is_told_where_the_backtest_had_many_and_half_a_day_is_not():
    rows = [decision(DAY + number * 15 * MINUTE, 0) for number in range(97)]
    assert [one.pattern for one in found(rows, baseline=Baseline(entries_per_day=20.0))] == ["entry rate"]
    assert found(rows[:60], baseline=Baseline(entries_per_day=20.0)) == []
    assert found(rows, baseline=Baseline()) == []


def test_an_entry_larger_than_any_of_the_backtest_is_told_its_parts_added():
    base = Baseline(entries_per_day=0.0, largest_entry=0.2)
    equity = ("equity", {"equity": 1_000.0})
    parts = [fill(at, at, order_id="big", quantity="1") for at in (1, 2, 3, 4)]
    assert [one.ts_event for one in found([equity, decision(0, 9), *parts], baseline=base)] == [4]


def test_a_position_that_no_decision_wanted_is_told():
    assert found([decision(1, 3), fill(2, 3)]) == []
    assert found([decision(1, 3), decision(2, 0), fill(3, 3)]) == []
    assert [one.pattern for one in found([decision(1, 3), fill(2, 4)])] == ["no signal"]
    assert [one.pattern for one in found([decision(1, 3), fill(2, -1, side="SELL")])] == ["no signal"]
    assert [one.pattern for one in found([fill(2, 1)])] == ["no signal"]
    taken = ("positions", {"ts_event": 1, "instrument_id": NAME, "quantity": "-2", "reason": "reconciled"})
    assert [one.pattern for one in found([taken])] == ["no signal"]


@given(st.integers(0, 60), st.floats(0.01, 40.0))
def test_the_odds_are_those_of_poisson_summed_term_by_term(count, mean):
    term, at_most, below = math.exp(-mean), 0.0, 0.0
    for k in range(count + 1):
        below, at_most = at_most, at_most + term
        term *= mean / (k + 1)
    got_most, got_least = poisson_tails(count, mean)
    assert got_most == pytest.approx(at_most, abs=1e-9)
    assert got_least == pytest.approx(1.0 - below, abs=1e-9)


def test_a_baseline_counts_orders_and_not_their_parts():
    rows = [fill(1, 1, order_id="a"), fill(2, 2, order_id="a"), fill(3, 3, order_id="b"),
            fill(4, 0, order_id="c", purpose="exit")]  # fmt: skip
    assert baseline_of([row for _, row in rows], [900.0, 1_000.0, 1_100.0], 4.0) == Baseline(0.5, 0.2)
    assert baseline_of([], [1.0], 1.0) == Baseline()
