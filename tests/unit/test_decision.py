"""The decision kernel against its written promises."""

import pytest

from core.breaker import ACTIVE, HALTED, REDUCING
from core.decision import (
    BREAKER_EXIT,
    SIGNAL_EXIT,
    DecisionParams,
    decide,
)
from core.exits import (
    DUST,
    EXIT_NONE,
    MAX_HOLDING,
    PARTIAL_TAKE,
    STOP_LOSS,
    TAKE_PROFIT,
    ExitParams,
    break_even,
)
from core.protections import new_memory, open_bar, record_entry
from core.risk import RiskParams
from core.rules import (
    ADD_ROOM,
    ADD_SIZE,
    ADD_TAKEN,
    ALLOWED,
    CAPITAL,
    ENTRY_COUNT,
    ENTRY_SPACING,
    LOSS_PER_TRADE,
    MIN_NOTIONAL,
    NOT_ACTIVE,
    PYRAMIDING,
    VOLATILITY,
)
from core.situation import Account, Instrument, Market, Position
from core.sizing import SizingParams

PARAMS = DecisionParams(
    SizingParams(
        max_exposure=0.5, volatility_target=0.4, min_confidence=0.3, full_confidence=0.6, rebalance_threshold=0.25
    ),
    ExitParams(stop_atr=4.0, trail_atr=3.0, trail_start_atr=2.0, take_profit_atr=8.0, max_holding_bars=96),
    RiskParams(
        loss_per_trade=0.01, daily_drawdown=0.05, max_capital=0.5, exit_cost=0.0008, min_entry_spacing_bars=1,
        max_entries_24h=8, volatility_quantile=0.98, pyramiding=1, auto_rearm=1,
    ),
)  # fmt: skip
INSTRUMENT = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=1_000_000, min_notional=100.0)
MARKET = Market(close=50_000.0, atr=200.0, volatility=0.5, volatility_rank=0.5)
FLAT = Position(0, 0.0, 0.0, 0)
TS = 19_700 * 86_400_000_000_000
ACCOUNT = Account(equity=10_000.0, other_notional=0.0, state=ACTIVE)


def decided(
    level=1.0,
    confidence=0.9,
    *,
    tradable=True,
    market=MARKET,
    position=FLAT,
    account=ACCOUNT,
    params=PARAMS,
    instrument=INSTRUMENT,
    bars_before=100,
    entries=0,
):
    memory = new_memory(params.risk)
    open_bar(memory, 0, TS, 0.5, params.risk)
    for _ in range(entries):
        record_entry(memory, 0, params.risk)
    for _ in range(bars_before if entries else 0):
        open_bar(memory, 0, TS, 0.5, params.risk)
    return decide(level, confidence, tradable, market, position, account, memory, 0, instrument, params)


def test_a_full_long_holds_the_volatility_targeted_share_of_equity_when_no_limit_binds():
    roomy = PARAMS._replace(risk=PARAMS.risk._replace(loss_per_trade=0.03))
    result = decided(params=roomy)
    assert result.target_lots == int(min(0.5, 0.4 / 0.5) * 10_000 / 50.0)
    assert result.verdict == ALLOWED
    assert result.stop_price == 50_000.0 - 4 * 200.0


def test_the_loss_at_the_stop_with_costs_stays_within_the_limit_and_is_used_up_to_a_lot():
    tight = PARAMS._replace(risk=PARAMS.risk._replace(loss_per_trade=0.005))
    result = decided(params=tight)
    at_stop = 4 * 200.0 + 2 * 0.0008 * 50_000.0
    assert result.verdict == LOSS_PER_TRADE
    assert result.target_lots == int(0.005 * 10_000 / (at_stop * 0.001))


def test_capital_in_other_instruments_leaves_only_the_rest():
    result = decided(account=ACCOUNT._replace(other_notional=4_000.0))
    assert (result.target_lots, result.verdict) == (20, CAPITAL)


def test_a_reversal_closes_first_and_opens_nothing():
    long = Position(50, 49_000.0, 48_000.0, 5)
    assert decided(level=-1.0, position=long) == (0, 0.0, SIGNAL_EXIT, ALLOWED)


def test_abstention_keeps_a_position_and_its_exits():
    long = Position(50, 49_900.0, 48_000.0, 5)
    assert decided(tradable=False, position=long) == (50, 48_000.0, 0, ALLOWED)
    assert decided(tradable=False, position=long._replace(holding_bars=96)).exit_code == MAX_HOLDING
    assert decided(tradable=False).target_lots == 0


def test_exits_come_before_the_signal():
    assert decided(position=Position(50, 48_000.0, 47_000.0, 5)).exit_code == TAKE_PROFIT
    assert decided(position=Position(50, 51_000.0, 50_500.0, 5)).exit_code == STOP_LOSS
    assert decided(level=-1.0, position=Position(-50, 52_000.0, 53_000.0, 5)).exit_code == TAKE_PROFIT


def test_a_halted_gate_closes_and_a_reducing_gate_opens_nothing():
    long = Position(50, 49_900.0, 48_000.0, 5)
    assert decided(position=long, account=ACCOUNT._replace(state=HALTED)) == (0, 0.0, BREAKER_EXIT, ALLOWED)
    assert decided(account=ACCOUNT._replace(state=HALTED)).verdict == NOT_ACTIVE
    winning = Position(50, 48_900.0, 48_000.0, 5, first_lots=50, last_lots=50)
    assert decided(position=winning).target_lots == 75
    reducing = decided(position=winning, account=ACCOUNT._replace(state=REDUCING))
    assert (reducing.target_lots, reducing.verdict) == (50, NOT_ACTIVE)
    assert decided(level=0.2, position=long, account=ACCOUNT._replace(state=REDUCING)).target_lots == 20


def test_each_entry_rule_names_itself():
    assert decided(market=MARKET._replace(volatility_rank=0.99)).verdict == VOLATILITY
    assert decided(entries=8).verdict == ENTRY_COUNT
    assert decided(entries=1, bars_before=0).verdict == ENTRY_SPACING
    losing = Position(30, 50_100.0, 49_000.0, 5, first_lots=30, last_lots=30)
    assert decided(position=losing).verdict == PYRAMIDING
    assert decided(account=ACCOUNT._replace(equity=300.0), level=0.5).verdict == MIN_NOTIONAL


def test_a_trailing_stop_moves_only_towards_the_price():
    long = Position(60, 49_500.0, 49_300.0, 5)
    assert decided(position=long).stop_price == 50_000.0 - 3 * 200.0
    assert decided(position=long._replace(stop_price=49_600.0)).stop_price == 49_600.0


def test_a_small_change_of_size_is_left_alone():
    held = Position(45, 49_900.0, 49_000.0, 5)
    assert decided(level=0.5, position=held).target_lots == 45, "50 are wanted, within a quarter of 45"
    winning = Position(39, 49_500.0, 49_000.0, 5, first_lots=39, last_lots=39)
    assert decided(level=0.5, position=winning).target_lots == 50
    assert decided(level=0.3, position=held).target_lots == 30


COST = 0.0008
WINNING = Position(40, 49_000.0, 48_200.0, 5, first_stop=48_200.0, first_lots=40, last_lots=40)
TAKING = PARAMS._replace(
    exits=PARAMS.exits._replace(trail_atr=0.0, take_atr=(2.0, 4.0, 0.0), take_fraction=(0.3, 0.5, 0.0))
)


@pytest.mark.parametrize("side", [1, -1])
def test_an_add_is_half_of_the_last_at_most_and_brings_the_stop_of_the_whole_to_break_even(side):
    entry = 50_000.0 - side * 1_000.0
    held = WINNING._replace(lots=side * 40, entry_price=entry, stop_price=entry - side * 800.0)
    result = decided(
        level=side, position=held, params=TAKING._replace(exits=PARAMS.exits._replace(take_profit_atr=0.0))
    )
    assert result.target_lots == side * 60, "80 are wanted, the last add was of 40"
    average = (40 * entry + 20 * 50_000.0) / 60
    leaving = average * (1 + side * COST) / (1 - side * COST)
    assert leaving == break_even(side, average, COST)
    fresh, trailed = 50_000.0 - side * 4 * 200.0, 50_000.0 - side * 3 * 200.0
    assert result.stop_price == side * max(side * fresh, side * trailed, side * leaving)
    paid = COST * (60 * average + 60 * leaving)
    assert side * 60 * (leaving - average) == pytest.approx(paid), "left at break-even nothing is lost"


def test_the_stop_of_an_add_is_at_break_even_of_the_whole_where_that_is_nearest():
    near = WINNING._replace(entry_price=49_700.0, stop_price=48_900.0)
    result = decided(position=near)
    assert result.target_lots == 60
    assert result.stop_price == break_even(1, (40 * 49_700.0 + 20 * 50_000.0) / 60, COST) > 49_700.0


def test_no_add_is_made_without_profit_without_room_after_a_take_or_of_an_unknown_size():
    assert decided(position=WINNING).target_lots == 60
    for position, verdict in (
        (WINNING._replace(entry_price=50_010.0), PYRAMIDING),
        (WINNING._replace(entry_price=49_950.0), ADD_ROOM),
        (WINNING._replace(takes=1), ADD_TAKEN),
        (WINNING._replace(first_lots=0, last_lots=0), ADD_SIZE),
        (WINNING._replace(last_lots=1), ADD_SIZE),
    ):
        result = decided(position=position)
        assert (result.target_lots, result.verdict) == (40, verdict), position
    roomy = PARAMS._replace(exits=PARAMS.exits._replace(min_stop_fraction=0.02))
    assert decided(position=WINNING, params=roomy).verdict == ADD_ROOM, "break-even is nearer than 2 %"


@pytest.mark.parametrize("side", [1, -1])
def test_parts_of_the_profit_are_taken_level_by_level_and_shrink_alone(side):
    held = Position(side * 40, 50_000.0 - side * 900.0, 50_000.0 - side * 1_700.0, 5, first_lots=40, last_lots=40)
    first = decided(level=side, position=held, params=TAKING)
    assert (first.target_lots, first.exit_code) == (side * 28, PARTIAL_TAKE)
    second = decided(level=side, position=held._replace(lots=side * 28, takes=1), params=TAKING)
    assert (second.target_lots, second.exit_code) == (side * 8, PARTIAL_TAKE), "half of the first size"
    third = decided(level=side, position=held._replace(lots=side * 8, takes=2), params=TAKING)
    assert (third.target_lots, third.exit_code) == (side * 8, EXIT_NONE)
    assert decided(level=side, tradable=False, position=held, params=TAKING) == first, "an exit asks no signal"
    near = held._replace(entry_price=50_000.0 - side * 399.0)
    assert decided(level=side, position=near, params=TAKING).exit_code == EXIT_NONE
    exact = held._replace(entry_price=50_000.0 - side * 400.0)
    assert decided(level=side, position=exact, params=TAKING).exit_code == PARTIAL_TAKE


def test_a_part_that_would_leave_less_than_the_smallest_order_takes_the_whole():
    small = Position(4, 49_100.0, 48_300.0, 5, takes=1, first_lots=5, last_lots=5)
    assert decided(position=small, params=TAKING) == (2, 48_300.0, PARTIAL_TAKE, ALLOWED), "2 lots are worth 100"
    dearer = INSTRUMENT._replace(min_notional=101.0)
    assert decided(position=small, params=TAKING, instrument=dearer) == (0, 0.0, TAKE_PROFIT, ALLOWED)
    coarse = INSTRUMENT._replace(min_lots=3)
    assert decided(position=small, params=TAKING, instrument=coarse).exit_code == TAKE_PROFIT


def test_dust_is_closed_whole_whatever_the_smallest_order_is():
    dust = Position(1, 50_000.0, 49_000.0, 1, first_lots=1, last_lots=1)
    assert decided(level=0.01, position=dust) == (0, 0.0, DUST, ALLOWED), "50 of 100"
    assert decided(tradable=False, position=dust._replace(lots=-1, stop_price=51_000.0)).exit_code == DUST
    coarse = INSTRUMENT._replace(min_lots=3, min_notional=0.0)
    assert decided(position=dust._replace(lots=2), instrument=coarse).exit_code == DUST
    assert decided(tradable=False, position=dust._replace(lots=3), instrument=coarse).exit_code == EXIT_NONE


def test_a_position_that_filled_a_little_below_the_smallest_order_is_no_dust():
    least = Position(2, 49_990.0, 49_000.0, 1, first_lots=2, last_lots=2)
    market = MARKET._replace(close=49_900.0)
    assert decided(tradable=False, position=least, market=market).exit_code == EXIT_NONE
    fallen = MARKET._replace(close=49_100.0)
    assert decided(tradable=False, position=least, market=fallen).exit_code == EXIT_NONE, "worth it at its entry"


def test_a_shrinking_below_the_smallest_lot_is_left_alone():
    coarse = INSTRUMENT._replace(min_lots=12)
    held = Position(60, 49_900.0, 49_000.0, 5, first_lots=60, last_lots=60)
    still = PARAMS._replace(sizing=PARAMS.sizing._replace(rebalance_threshold=0.0))
    assert decided(level=0.5, position=held, params=still).target_lots == 50
    assert decided(level=0.5, position=held, params=still, instrument=coarse).target_lots == 60
