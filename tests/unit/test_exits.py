"""Stops and partial profits against their closed forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.exits import (
    BREAK_EVEN,
    EXIT_REASONS,
    MAX_TAKES,
    STOP_LOSS,
    TRAILING_STOP,
    ExitParams,
    break_even,
    first_stop,
    moved_stop,
    stop_reason,
    taken_lots,
)
from core.situation import Position

PARAMS = ExitParams(
    stop_atr=3.0, trail_atr=3.0, trail_start_atr=2.0, take_profit_atr=0.0, max_holding_bars=96,
    min_stop_fraction=0.002, max_stop_fraction=0.1, break_even_atr=1.0, take_atr=(1.0, 2.0, 3.0),
    take_fraction=(0.25, 0.25, 0.5),
)  # fmt: skip
SIDES = pytest.mark.parametrize("side", [1, -1])


@SIDES
@pytest.mark.parametrize(("atr", "distance"), [(1.0, 3.0), (0.01, 0.2), (80.0, 10.0), (0.0, 0.2)])
def test_the_first_stop_is_so_many_atr_away_within_shares_of_the_price(side, atr, distance):
    assert first_stop(side, 100.0, atr, PARAMS) == 100.0 - side * distance


@SIDES
@settings(deadline=None)
@given(entry=st.floats(0.01, 1e5), cost=st.floats(0.0, 0.01), quantity=st.floats(0.001, 1e3))
def test_leaving_at_break_even_pays_for_both_ways(side, entry, cost, quantity):
    price = break_even(side, entry, cost)
    profit = side * quantity * (price - entry) - cost * quantity * (entry + price)
    assert profit == pytest.approx(0.0, abs=1e-9 * quantity * entry)


@SIDES
def test_the_stop_goes_to_break_even_once_the_profit_is_reached_and_the_price_is_beyond(side):
    def moved(close, atr=1.0, stop=100.0 - side * 3.0):
        return moved_stop(side, close, atr, 100.0, stop, 0.001, PARAMS._replace(trail_atr=0.0))

    level = break_even(side, 100.0, 0.001)
    assert moved(100.0 + side * 0.99) == 100.0 - side * 3.0
    assert moved(100.0 + side * 1.0) == level
    assert moved(100.0 + side * 0.1, atr=0.1) == 100.0 - side * 3.0, "it would stand beyond the price"
    assert moved(100.0 + side * 0.39, atr=0.1) == 100.0 - side * 3.0, "or nearer than a fifth of a percent"
    assert moved(100.0 + side * 0.41, atr=0.1) == level
    assert moved(100.0 + side * 1.5, stop=100.0 + side * 0.5) == 100.0 + side * 0.5, "it is nearer already"


@SIDES
def test_the_nearer_of_the_trailing_and_the_break_even_stop_stands(side):
    level = break_even(side, 100.0, 0.001)
    assert moved_stop(side, 100.0 + side * 2.5, 1.0, 100.0, 100.0 - side * 3.0, 0.001, PARAMS) == level
    assert moved_stop(side, 100.0 + side * 5.0, 1.0, 100.0, level, 0.001, PARAMS) == 100.0 + side * 2.0
    near = moved_stop(side, 100.0 + side * 5.0, 0.001, 100.0, level, 0.001, PARAMS)
    assert near == pytest.approx(100.0 + side * (5.0 - 0.002 * (100.0 + side * 5.0)))


@settings(deadline=None)
@given(
    side=st.sampled_from([1, -1]),
    close=st.floats(1.0, 1e4),
    atr=st.floats(0.0, 100.0),
    entry=st.floats(1.0, 1e4),
    stop=st.floats(1.0, 1e4),
)
def test_a_stop_never_moves_away_and_never_beyond_the_price(side, close, atr, entry, stop):
    after = moved_stop(side, close, atr, entry, stop, 0.001, PARAMS)
    assert side * (after - stop) >= 0.0
    assert after == stop or side * (close - after) >= 0.002 * close * (1 - 1e-9)


def test_an_unknown_stop_is_replaced_by_a_first_one():
    assert moved_stop(-1, 100.0, 1.0, 100.0, 0.0, 0.001, PARAMS) == first_stop(-1, 100.0, 1.0, PARAMS)


def test_a_stop_that_fills_is_called_by_where_it_stood():
    long = Position(10, 100.0, 97.0, 5, first_stop=97.0)
    assert stop_reason(long, 0.001) == STOP_LOSS
    assert stop_reason(long._replace(first_stop=0.0), 0.001) == STOP_LOSS, "an inherited one"
    assert stop_reason(long._replace(stop_price=98.0), 0.001) == TRAILING_STOP
    assert stop_reason(long._replace(stop_price=break_even(1, 100.0, 0.001)), 0.001) == BREAK_EVEN
    short = Position(-10, 100.0, break_even(-1, 100.0, 0.001), 5, first_stop=103.0)
    assert stop_reason(short, 0.001) == BREAK_EVEN


@SIDES
def test_each_level_takes_its_share_of_the_first_size_and_a_lot_at_least(side):
    def taken(lots, takes, profit, first=40):
        held = Position(side * lots, 100.0, 97.0, 5, takes=takes, first_lots=first)
        return taken_lots(side, 100.0 + side * profit, 1.0, held, PARAMS)

    assert [taken(40, takes, 9.0) for takes in range(4)] == [10, 10, 20, 0]
    assert [taken(40, takes, takes + 0.99) for takes in range(3)] == [0, 0, 0]
    assert [taken(40, takes, takes + 1.0) for takes in range(3)] == [10, 10, 20]
    assert taken(7, 2, 3.0) == 7, "never more than is held"
    assert taken(3, 0, 1.0, first=3) == 1
    assert taken(8, 0, 1.0, first=0) == 2, "of an unknown first size what is held counts"
    assert MAX_TAKES == len(PARAMS.take_atr) == len(PARAMS.take_fraction)


def test_every_exit_has_a_name_of_its_own():
    assert len(set(EXIT_REASONS.values())) == len(EXIT_REASONS)
