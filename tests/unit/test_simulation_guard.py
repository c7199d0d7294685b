"""Marks between decisions: the limits of drawdown act at the close of every base bar, by the slow rule on paper."""

import numpy as np
import pytest

from core.breaker import ACTIVE, HALTED, REDUCING
from core.costs import CostParams
from core.decision import DecisionParams
from core.exits import ExitParams
from core.risk import RiskParams
from core.simulation import X, replay
from core.situation import Instrument
from core.sizing import SizingParams
from tests.unit.slow_exchange import MINUTE, ORIGIN, steady

INSTRUMENT = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=100_000, min_notional=5.0)
PARAMS = DecisionParams(
    SizingParams(0.5, 2.0, 0.4, 0.7, 0.25),
    ExitParams(stop_atr=30.0, trail_atr=0.0, trail_start_atr=0.0, take_profit_atr=0.0, max_holding_bars=100),
    RiskParams(0.9, 0.05, 0.5, 0.0, 0, 99, 1.0, 0, 1),
)
"""Half the equity is held, 5 at 1000, bought at the fourth bar's open: a price of 900 is the limit of 5 %."""


def drop(side=1, **bars):
    """Return the account at three rows of three bars each; a short's market is the long's upside down."""
    prices = []
    for price in (dict.fromkeys("abcdefghi", 1000.0) | bars).values():
        o, h, lo, c = price if isinstance(price, tuple) else (price,) * 4
        prices.append((o, h, lo, c) if side > 0 else (2000.0 - o, 2000.0 - lo, 2000.0 - h, 2000.0 - c))
    tape = steady(prices, per_decision=3)
    return replay(tape, 0, np.full(2, float(side)), np.ones(2), 10_000.0, INSTRUMENT, PARAMS, CostParams(0.0, 0.0, 0.0))


@pytest.mark.parametrize("side", [1, -1])
def test_at_the_limit_the_position_is_closed_at_the_next_open_and_trading_is_halted(side):
    path = drop(side, d=(1000.0, 1000.0, 890.0, 899.0), e=(880.0, 890.0, 870.0, 890.0))
    assert path[1, X.lots] == 0.0
    assert path[1, X.balance] == pytest.approx(10_000.0 - 5.0 * 120.0), "at 880, the open after the close of 899"
    assert (path[1, X.stops], path[1, X.fills]) == (0.0, 2.0)
    assert path[1, X.gate] == path[2, X.gate] == HALTED
    assert path[2, X.fills] == 2.0


@pytest.mark.parametrize("close", [900.0, 900.1])
def test_the_limit_itself_halts_and_a_tick_less_does_not(close):
    path = drop(d=(1000.0, 1000.0, close, close), e=(1000.0, 1000.0, 1000.0, 1000.0))
    assert (path[1, X.lots] == 0.0) == (close == 900.0)
    assert path[1, X.gate] == (HALTED if close == 900.0 else ACTIVE)


def test_the_close_of_a_base_bar_decides_and_not_its_low():
    path = drop(d=(1000.0, 1000.0, 800.0, 960.0), e=(960.0, 970.0, 800.0, 950.0))
    assert path[1, X.lots] == 5_000.0
    assert path[1, X.gate] == ACTIVE


def test_the_last_base_bar_is_the_decision_s_and_its_exit_fills_after_it():
    path = drop(f=(1000.0, 1000.0, 880.0, 880.0), g=(870.0, 880.0, 870.0, 880.0))
    assert path[1, X.lots] == 5_000.0
    assert path[1, X.gate] == HALTED
    assert path[2, X.balance] == pytest.approx(10_000.0 - 5.0 * 130.0)


def test_a_gap_through_the_stop_is_the_stop_s_fill_and_the_breaker_s_order_does_nothing():
    path = drop(d=(1000.0, 1000.0, 899.0, 899.0), e=(690.0, 700.0, 650.0, 700.0))
    assert (path[1, X.stops], path[1, X.fills], path[1, X.lots]) == (1.0, 2.0, 0.0)
    assert path[1, X.balance] == pytest.approx(10_000.0 - 5.0 * 310.0)


def test_a_guard_mark_raises_no_high_water_mark_and_half_the_limit_moves_nothing():
    path = drop(d=(1000.0, 1100.0, 1000.0, 1100.0), e=(1100.0, 1100.0, 940.0, 940.0), f=1000.0)
    assert path[1, X.high_water_mark] == 10_000.0, "1100 was no decision's close"
    assert path[1, X.lots] == 5_000.0, "940 is 3 % below the mark, 8 % below the highest close"
    assert path[1, X.gate] == ACTIVE


def test_what_a_decision_lost_still_counts_between_the_next_ones():
    path = drop(f=(1000.0, 1000.0, 940.0, 940.0), g=(940.0, 940.0, 899.0, 899.0), h=950.0, i=950.0)
    assert path[1, X.gate] == REDUCING
    assert path[2, X.balance] == pytest.approx(10_000.0 - 5.0 * 50.0), "closed at 950, the open after 899"
    assert path[2, X.gate] == HALTED


def test_funding_that_settles_at_a_close_is_in_its_mark():
    prices = [1000.0] * 3 + [(1000.0, 1000.0, 901.0, 901.0), 1000.0, 1000.0, 1000.0]
    paid = [(ORIGIN + 4 * MINUTE, 0.002)]
    rules = INSTRUMENT, PARAMS, CostParams(0.0, 0.0, 0.0)
    for funding, lots in ((paid, 0.0), ([], 5_000.0), ([(ORIGIN + 5 * MINUTE, 0.002)], 5_000.0)):
        tape = steady(prices + [1000.0] * 2, funding=funding, per_decision=3)
        path = replay(tape, 0, np.ones(2), np.ones(2), 10_000.0, *rules)
        assert path[1, X.lots] == lots, "5 * 99 lost, and 5 * 901 * 0.002 paid"
