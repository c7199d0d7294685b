"""A position after fills against the sums that define it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.position import filled, realised
from core.situation import Position

FLAT = Position(0, 0.0, 0.0, 0)
LOT = 0.001
ORDERS = st.lists(
    st.tuples(st.integers(-50, 50).filter(bool), st.floats(1.0, 1e5), st.booleans()), min_size=1, max_size=30
)


@settings(deadline=None)
@given(ORDERS)
def test_cash_and_what_is_held_are_what_was_bought_and_sold(orders):
    """Whatever the fills, crossings of zero included: all profit = value of the lots - money paid for them."""
    position, profit, paid = FLAT, 0.0, 0.0
    for lots, price, counts in orders:
        profit += realised(position, lots, price, LOT)
        position = filled(position, lots, price, 7.0, counts)
        paid += lots * LOT * price
        unrealised = position.lots * LOT * (price - position.entry_price)
        assert profit + unrealised == pytest.approx(position.lots * LOT * price - paid, abs=1e-6)
    assert position.lots == sum(lots for lots, _, _ in orders)
    assert (position == FLAT) == (position.lots == 0)


def test_what_opens_is_remembered_and_the_parts_of_its_order_are_one_size():
    part = filled(FLAT, 3, 100.0, 95.0, False)
    assert part == Position(3, 100.0, 95.0, 0, 95.0, 0, 0, 3, 3)
    assert filled(part, 2, 105.0, 95.0, False) == Position(5, 102.0, 95.0, 0, 95.0, 0, 0, 5, 5)


def test_an_add_counts_once_an_order_and_leaves_age_and_stop():
    held = Position(-10, 100.0, 98.0, 7, 104.0, 1, 0, 8, 2)
    first = filled(held, -3, 90.0, 92.0, True)
    assert first == Position(-13, 1270.0 / 13, 98.0, 7, 104.0, 2, 0, 8, 3)
    assert filled(first, -1, 90.0, 92.0, False)[5:] == (2, 0, 8, 4)


def test_a_part_of_the_profit_counts_once_an_order_and_a_smaller_target_never():
    held = Position(10, 100.0, 98.0, 7, 95.0, 1, 0, 8, 2)
    assert filled(held, -3, 110.0, 0.0, True) == held._replace(lots=7, takes=1)
    assert filled(held, -3, 110.0, 0.0, False) == held._replace(lots=7)
    assert realised(held, -3, 110.0, LOT) == pytest.approx(0.03)


def test_going_flat_leaves_nothing_and_crossing_zero_begins_anew():
    held = Position(10, 100.0, 98.0, 7, 95.0, 1, 2, 8, 2)
    assert filled(held, -10, 110.0, 50.0, False) == FLAT
    assert filled(held, -12, 110.0, 0.0, False) == Position(-2, 110.0, 0.0, 0, 0.0, 0, 0, 2, 2)
    assert realised(held, -12, 110.0, LOT) == pytest.approx(10 * LOT * 10.0)
