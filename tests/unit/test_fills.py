"""Round trips and costs against cash, counted another way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.fills import (
    Fills,
    average_holding_seconds,
    break_even_fee_bps,
    cost_sensitivity,
    notional,
    profit_factor,
    round_trips,
    slippage_bps,
    win_rate,
)

MINUTE_NS = 60_000_000_000
START = 1_704_067_200_000_000_000


def fills(*rows):
    """Each row: instrument, signed quantity, price, commission, arrival price; a minute apart."""
    names, quantity, price, commission, arrival = zip(*rows, strict=True) if rows else ((),) * 5
    ts = START + MINUTE_NS * np.arange(len(rows), dtype=np.int64)
    columns = (np.array(c, dtype=np.float64) for c in (quantity, price, commission, arrival))
    return Fills(ts, names, *columns)


def test_a_round_trip_pays_both_fees_and_averages_its_entries():
    trips = round_trips(
        fills(("B", 1.0, 100.0, 0.1, 100.0), ("B", 1.0, 110.0, 0.1, 110.0), ("B", -2.0, 120.0, 0.3, 120.0))
    )
    (trip,) = trips
    assert (trip.side, trip.quantity, trip.entry_price, trip.exit_price) == (1, 2.0, 105.0, 120.0)
    assert trip.profit == pytest.approx(30.0 - 0.5)
    assert trip.ts_exit - trip.ts_entry == 2 * MINUTE_NS
    assert average_holding_seconds(trips) == 120.0


def test_a_fill_through_zero_closes_one_round_trip_and_opens_the_next():
    first, second = round_trips(
        fills(("B", -1.0, 100.0, 1.0, 100.0), ("B", 3.0, 90.0, 3.0, 90.0), ("B", -2.0, 80.0, 2.0, 80.0))
    )
    assert (first.side, first.profit) == (-1, pytest.approx(10.0 - 2.0))
    assert (second.side, second.profit) == (1, pytest.approx(-20.0 - 4.0))


def test_decimals_held_as_floats_still_come_back_to_flat():
    (trip,) = round_trips(fills(("B", 0.1, 1.0, 0.0, 1.0), ("B", 0.2, 1.0, 0.0, 1.0), ("B", -0.3, 2.0, 0.0, 2.0)))
    assert trip.profit == pytest.approx(0.3)


lots = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(-5, 5).filter(bool), st.integers(90, 110)), min_size=1, max_size=40
)


@given(lots)
def test_round_trips_account_for_all_money_once_every_position_is_flat(orders):
    rows = [(name, q / 1000, float(p), 0.001 * abs(q), float(p)) for name, q, p in orders]
    for name in "AB":
        held = sum(q for n, q, _ in orders if n == name)
        if held:
            rows.append((name, -held / 1000, 100.0, 0.0, 100.0))
    table = fills(*rows)
    trips = round_trips(table)
    cash = -float(np.sum(table.quantity * table.price)) - float(np.sum(table.commission))
    assert sum(t.profit for t in trips) == pytest.approx(cash, abs=1e-9)
    assert sum(t.fees for t in trips) == pytest.approx(float(np.sum(table.commission)), abs=1e-9)


@given(lots)
def test_fees_at_the_break_even_rate_leave_nothing(orders):
    rows = [(name, q / 1000, float(p), 0.0005 * abs(q) * p / 1000, float(p)) for name, q, p in orders]
    table = fills(*rows, *[(name, -q, 101.0, 0.0, 101.0) for name, q, _, _, _ in rows])
    net = -float(np.sum(table.quantity * table.price)) - float(np.sum(table.commission))
    traded = notional(table)
    rate = break_even_fee_bps(net_profit=net, fees=float(np.sum(table.commission)), traded=traded)
    gross = net + float(np.sum(table.commission))
    assert gross - traded * rate / 1e4 == pytest.approx(0.0, abs=1e-9)


def test_slippage_is_a_cost_whichever_side_pays_it():
    assert slippage_bps(fills(("B", 1.0, 101.0, 0.0, 100.0))) == pytest.approx(100.0)
    assert slippage_bps(fills(("B", -1.0, 99.0, 0.0, 100.0))) == pytest.approx(100.0)
    assert slippage_bps(fills(("B", -1.0, 101.0, 0.0, 100.0))) == pytest.approx(-100.0)
    assert slippage_bps(fills(("B", 3.0, 101.0, 0.0, 100.0), ("B", 1.0, 100.0, 0.0, 100.0))) == pytest.approx(75.0)


def test_rates_without_trades_are_none():
    assert win_rate([]) is None
    assert profit_factor([]) is None
    assert average_holding_seconds([]) is None
    assert slippage_bps(fills()) is None
    assert break_even_fee_bps(net_profit=1.0, fees=0.0, traded=0.0) is None


def test_win_rate_and_profit_factor_count_after_fees():
    trips = round_trips(
        fills(
            ("B", 1.0, 100.0, 1.0, 100.0),
            ("B", -1.0, 101.0, 1.0, 101.0),
            ("B", 1.0, 100.0, 1.0, 100.0),
            ("B", -1.0, 106.0, 1.0, 106.0),
        )
    )
    assert win_rate(trips) == 0.5
    assert profit_factor(trips) == pytest.approx(4.0)


def test_costs_scale_the_result_with_decisions_held_fixed():
    half, same, double = cost_sensitivity(starting_equity=1000.0, ending_equity=1100.0, costs=80.0)
    assert (half.multiple, half.ending_equity, half.total_return) == (0.5, 1140.0, pytest.approx(0.14))
    assert (same.ending_equity, double.ending_equity) == (1100.0, 1020.0)
