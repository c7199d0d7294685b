"""The decision kernel against its written promises."""

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from core.breaker import ACTIVE, HALTED, REDUCING
from core.decision import (
    BREAKER_EXIT,
    SIGNAL_EXIT,
    DecisionParams,
    decide,
)
from core.exits import MAX_HOLDING, STOP_LOSS, TAKE_PROFIT, ExitParams
from core.protections import new_memory, open_bar, record_entry
from core.risk import RiskParams
from core.rules import (
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
    bars_before=100,
    entries=0,
):
    memory = new_memory(params.risk)
    open_bar(memory, 0, TS, 0.5, params.risk)
    for _ in range(entries):
        record_entry(memory, 0, params.risk)
    for _ in range(bars_before if entries else 0):
        open_bar(memory, 0, TS, 0.5, params.risk)
    return decide(level, confidence, tradable, market, position, account, memory, 0, INSTRUMENT, params)


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
    reducing = decided(position=long, account=ACCOUNT._replace(state=REDUCING))
    assert (reducing.target_lots, reducing.verdict) == (50, NOT_ACTIVE)
    assert decided(level=0.2, position=long, account=ACCOUNT._replace(state=REDUCING)).target_lots == 20


def test_each_entry_rule_names_itself():
    assert decided(market=MARKET._replace(volatility_rank=0.99)).verdict == VOLATILITY
    assert decided(entries=8).verdict == ENTRY_COUNT
    assert decided(entries=1, bars_before=0).verdict == ENTRY_SPACING
    assert decided(position=Position(30, 50_100.0, 49_000.0, 5)).verdict == PYRAMIDING
    assert decided(account=ACCOUNT._replace(equity=300.0), level=0.5).verdict == MIN_NOTIONAL


def test_a_trailing_stop_moves_only_towards_the_price():
    long = Position(60, 49_500.0, 49_300.0, 5)
    assert decided(position=long).stop_price == 50_000.0 - 3 * 200.0
    assert decided(position=long._replace(stop_price=49_600.0)).stop_price == 49_600.0


def test_a_small_change_of_size_is_left_alone():
    held = Position(45, 49_900.0, 49_000.0, 5)
    assert decided(level=0.5, position=held).target_lots == 45, "50 are wanted, within a quarter of 45"
    assert decided(level=0.5, position=held._replace(lots=39)).target_lots == 50
    assert decided(level=0.3, position=held).target_lots == 30


@dataclass
class Case:
    level: float
    confidence: float
    tradable: bool
    market: Market
    position: Position
    account: Account


@st.composite
def cases(draw):
    close = draw(st.floats(10.0, 100_000.0))
    atr = close * draw(st.floats(1e-5, 0.05))
    lots = draw(st.integers(-400, 400))
    entry = close * draw(st.floats(0.8, 1.2)) if lots else 0.0
    stop = close * draw(st.floats(0.8, 1.2)) if lots else 0.0
    return Case(
        draw(st.floats(-1.0, 1.0)), draw(st.floats(0.0, 1.0)), draw(st.booleans()),
        Market(close, atr, draw(st.floats(0.0, 3.0)), draw(st.floats(0.0, 1.0))),
        Position(lots, entry, stop, draw(st.integers(0, 200))),
        Account(draw(st.floats(0.0, 1e6)), draw(st.floats(0.0, 1e5)), draw(st.sampled_from(range(3)))),
    )  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(cases())
def test_whatever_comes_in_no_limit_is_broken(case):
    memory = new_memory(PARAMS.risk)
    open_bar(memory, 0, TS, case.market.volatility_rank, PARAMS.risk)
    result = decide(
        case.level,
        case.confidence,
        case.tradable,
        case.market,
        case.position,
        case.account,
        memory,
        0,
        INSTRUMENT,
        PARAMS,
    )
    before, after = case.position.lots, result.target_lots
    risk = PARAMS.risk
    assert before * after >= 0, "a decision never reverses"
    if abs(after) > abs(before):
        notional = abs(after) * INSTRUMENT.lot * case.market.close
        assert case.account.state == ACTIVE
        assert case.tradable
        assert case.level * after > 0
        assert notional + case.account.other_notional <= risk.max_capital * case.account.equity * (1 + 1e-6)
        assert (abs(after) - abs(before)) * INSTRUMENT.lot * case.market.close >= INSTRUMENT.min_notional * (1 - 1e-9)
        side = 1 if after > 0 else -1
        added = abs(after) - abs(before)
        loss = (
            added
            * INSTRUMENT.lot
            * (side * (case.market.close - result.stop_price) + 2 * risk.exit_cost * case.market.close)
        )
        held_loss = side * (case.position.entry_price - result.stop_price) + risk.exit_cost * case.market.close
        loss += abs(before) * INSTRUMENT.lot * max(held_loss, 0.0) if before else 0.0
        assert loss <= risk.loss_per_trade * case.account.equity * (1 + 1e-6)
        assert side * (case.market.close - result.stop_price) > 0, "the stop stands on the losing side"
    if before != 0 and after != 0 and case.position.stop_price > 0:
        assert (result.stop_price - case.position.stop_price) * before >= 0, "a stop never moves away"
    if after == 0:
        assert result.stop_price == 0.0
