"""The compiled simulation against a slow exchange written from the words of the fill rule, event by event."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.breaker import HALTED
from core.costs import CostParams
from core.decision import DecisionParams
from core.errors import DataError
from core.exits import ExitParams
from core.orders import stop_price
from core.risk import RiskParams
from core.simulation import X, replay, stop_ticks, tick_price
from core.situation import Instrument
from core.sizing import SizingParams
from core.tape import new_tape
from tests.unit.slow_exchange import MINUTE, ORIGIN, WATCHED, random_market, slow_replay, steady

INSTRUMENT = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=100_000, min_notional=5.0)
COSTS = CostParams(taker=0.0005, maker=0.0002, away=0.0001)
PARAMS = DecisionParams(
    sizing=SizingParams(0.5, 0.8, 0.4, 0.7, 0.25, 0.7),
    exits=ExitParams(
        stop_atr=2.0, trail_atr=2.0, trail_start_atr=1.0, take_profit_atr=6.0, max_holding_bars=12,
        min_stop_fraction=0.0005, max_stop_fraction=0.05, break_even_atr=1.5, take_atr=(2.0, 3.5, 0.0),
        take_fraction=(0.3, 0.4, 0.0),
    ),
    risk=RiskParams(
        0.02, 0.05, 0.5, 0.0006, 1, 6, 0.95, 1, 1, total_drawdown=0.3, loss_streak=3, loss_streak_bars=5,
        stop_guard_stops=3, stop_guard_ns=40 * MINUTE, stop_guard_bars=7, low_profit_trades=4,
        low_profit_ns=200 * MINUTE, low_profit_return=-0.004, low_profit_bars=6, max_adds=2, funding_minutes=10.0,
        max_funding_rate=0.0002, tighten_loss=0.1, tighten_drawdown=0.3,
    ),
)  # fmt: skip


def compare(seed, *, first_row=1, params=PARAMS, instrument=INSTRUMENT, **shape):
    bars, frame, funding = random_market(seed, **shape)
    tape = new_tape(bars, frame, funding, base_ns=MINUTE)
    rng = np.random.default_rng(seed + 1)
    steps = len(tape.ts_close) - 1 - first_row
    sides = np.repeat(rng.choice([-1.0, 0.0, 1.0, np.nan], steps, p=[0.4, 0.1, 0.4, 0.1]), 9)[:steps]
    levels = sides * np.repeat(rng.choice([0.3, 0.5, 0.7, 1.0], steps), 3)[:steps]
    got = replay(tape, first_row, levels, np.ones(steps), 10_000.0, instrument, params, COSTS)
    want, exchange = slow_replay(bars, frame, funding, levels, first_row, 10_000.0, instrument, params, COSTS)
    for name, column in zip(WATCHED, want.T, strict=True):
        np.testing.assert_allclose(got[:, getattr(X, name)], column, rtol=1e-9, atol=1e-9, err_msg=name)
    assert got[-1, X.fills] == len(exchange.fills)
    assert got[-1, X.fees] == pytest.approx(exchange.fees, rel=1e-9)
    assert got[-1, X.funding] == pytest.approx(exchange.funding, rel=1e-9, abs=1e-9)
    return got, exchange


@given(seed=st.integers(0, 2**32 - 2), per_decision=st.integers(1, 7), wildness=st.sampled_from([0.001, 0.004, 0.015]))
@settings(max_examples=60, deadline=None)
def test_the_compiled_account_is_the_slow_exchange_s_on_any_market(seed, per_decision, wildness):
    compare(seed, per_decision=per_decision, wildness=wildness)


LIVELY = PARAMS._replace(
    risk=PARAMS.risk._replace(
        daily_drawdown=0.004, max_entries_24h=99, loss_streak=5, stop_guard_stops=9, low_profit_return=-1.0,
        total_drawdown=1.0, tighten_drawdown=0.0,
    )
)  # fmt: skip
LONG = {"decisions": 6_000, "per_decision": 15, "wildness": 0.002}


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_long_market_with_every_kind_of_exit_agrees_and_has_them(missing):
    got, exchange = compare(2, params=LIVELY, missing=missing, **LONG)
    kinds = [why for _, _, why in exchange.fills]
    print({kind: kinds.count(kind) for kind in sorted(set(kinds))}, "adds", (np.diff(got[:, X.adds]) > 0).sum())
    assert kinds.count("stop") == got[-1, X.stops] > 50
    assert kinds.count("take") > 20
    assert kinds.count("breaker") > 3
    assert (np.diff(got[:, X.adds]) > 0).sum() > 3
    assert got[-1, X.fills] > 200
    assert got[-1, X.funding] != 0.0
    assert (got[:, X.gate] == HALTED).any(), "the breaker was reached"
    assert len(exchange.trades) > 100


@pytest.mark.parametrize(
    "wrong",
    [
        LIVELY._replace(exits=PARAMS.exits._replace(stop_atr=3.0)),
        LIVELY._replace(exits=PARAMS.exits._replace(take_fraction=(0.3, 0.3, 0.0))),
        LIVELY._replace(exits=PARAMS.exits._replace(break_even_atr=0.0)),
        LIVELY._replace(sizing=PARAMS.sizing._replace(add_fraction=0.4)),
        LIVELY._replace(risk=LIVELY.risk._replace(loss_streak=4)),
        LIVELY._replace(risk=LIVELY.risk._replace(daily_drawdown=0.005)),
    ],
)
def test_a_rule_that_is_another_would_be_noticed(wrong):
    """The comparisons above can fail: each of these rules changes what is compared."""
    (right, _), (other, _) = compare(2, params=LIVELY, **LONG), compare(2, params=wrong, **LONG)
    assert right[-1, X.equity] != other[-1, X.equity]


def lone(tape, levels, **exits):
    params = PARAMS._replace(exits=PARAMS.exits._replace(trail_atr=0.0, take_profit_atr=0.0, **exits))
    params = params._replace(risk=params.risk._replace(loss_per_trade=0.03))
    levels = np.array(levels, dtype=float)
    return replay(tape, 0, levels, np.ones(len(levels)), 10_000.0, INSTRUMENT, params, CostParams(0.001, 0.001, 0.0))


def test_an_entry_fills_at_the_next_open_not_at_the_close_it_was_decided_on():
    path = lone(steady([1000.0, (1003.0, 1003.0, 1003.0, 1003.0), 1003.0]), [1.0, 1.0])
    assert path[1, X.entry_price] == 1003.0
    assert path[1, X.fees] == pytest.approx(path[1, X.lots] * 0.001 * 1003.0 * 0.001)


def test_a_stop_fills_at_the_extreme_that_reached_it():
    path = lone(steady([1000.0, (1000.0, 1001.0, 975.0, 999.0), 999.0]), [1.0, 0.0])
    lots = path[1, X.fees] / (0.001 * 0.001 * (1000.0 + 975.0))
    assert path[1, X.lots] == 0.0
    assert path[1, X.stops] == 1.0
    assert path[1, X.balance] == pytest.approx(10_000.0 - 25.0 * lots * 0.001 - path[1, X.fees])


def test_a_fresh_stop_is_not_looked_at_on_the_open_quote_that_filled_its_entry():
    path = lone(steady([1000.0, (979.0, 990.0, 970.0, 990.0), 990.0]), [1.0, 1.0])
    lots = path[1, X.turnover] / (0.001 * (979.0 + 970.0))
    assert path[1, X.stops] == 1.0
    assert path[1, X.balance] == pytest.approx(10_000.0 - 9.0 * lots * 0.001 - path[1, X.fees]), "filled at the low"


def test_an_old_stop_that_fires_at_the_open_makes_an_exit_order_do_nothing():
    path = lone(steady([1000.0, 1000.0, (900.0, 900.0, 900.0, 900.0), 900.0]), [1.0, 0.0, 0.0])
    assert path[2, X.fills] == 2.0
    assert path[2, X.stops] == 1.0
    assert path[2, X.lots] == 0.0


def test_an_old_stop_that_fires_at_the_open_leaves_an_increase_its_added_lots_alone():
    tape = steady([1000.0, 1000.0, 1010.0, (970.0, 990.0, 960.0, 990.0), 990.0], atr=15.0)
    path = lone(tape, [0.5, 0.5, 1.0, 1.0])
    held = path[2, X.lots]
    assert path[3, X.stops] == 2.0, "the old stop at the open, that of the added lots at the low"
    added = (path[3, X.turnover] / 0.001 - held * (1000.0 + 970.0)) / (970.0 + 960.0)
    assert added == pytest.approx(round(added))
    assert 0 < added < held
    profit = 0.001 * (held * (970.0 - 1000.0) + added * (960.0 - 970.0))
    assert path[3, X.balance] == pytest.approx(10_000.0 + profit - path[3, X.fees])


def test_funding_at_a_decision_s_time_is_paid_before_it_on_the_last_quote():
    path = lone(steady([1000.0, 1002.0, 1002.0], funding=[(ORIGIN + 2 * MINUTE, 0.001)]), [1.0, 1.0])
    assert path[1, X.funding] == pytest.approx(path[1, X.lots] * 0.001 * 1002.0 * 0.001)
    assert path[2, X.funding] == path[1, X.funding]


def test_a_short_receives_positive_funding():
    path = lone(steady([1000.0, 1000.0, 1000.0], funding=[(ORIGIN + 2 * MINUTE, 0.001)]), [-1.0, -1.0])
    assert path[1, X.lots] < 0
    assert path[1, X.funding] < 0.0


def test_entries_of_the_last_day_are_counted_and_capped():
    params = PARAMS._replace(risk=PARAMS.risk._replace(max_entries_per_day=3))
    tape = steady([1000.0] * 200)
    levels = np.tile([1.0, 0.0], 99)
    path = replay(tape, 0, levels, np.ones(198), 10_000.0, INSTRUMENT, params, COSTS)
    assert path[-1, X.entries] == 3.0


@given(
    tick=st.sampled_from(["0.1", "0.01", "0.001", "0.0001", "0.05", "0.25", "1", "5"]),
    price=st.floats(1.0, 1e5),
    lots=st.sampled_from([1, -1]),
    on_grid=st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_a_trigger_is_the_one_that_is_sent_to_the_venue(tick, price, lots, on_grid):
    step = Decimal(tick)
    if on_grid:
        price = float((Decimal(price) / step).to_integral_value() * step) or float(step)
    sent = stop_price(price, lots=lots, tick=step)
    count = stop_ticks(price, lots, float(tick))
    assert Decimal(int(count)) * step == sent
    assert tick_price(count, float(tick)) == float(sent)


def test_a_history_that_closes_no_decision_bar_is_refused():
    bars, frame, funding = random_market(1)
    late = frame._replace(ts_close=frame.ts_close + 1)
    with pytest.raises(DataError, match="close no decision bar"):
        new_tape(bars, late, funding, base_ns=MINUTE)
