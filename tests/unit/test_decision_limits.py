"""Whatever comes in: no limit is broken, adds shrink, parts only reduce, stops never move away, exits always pass."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from core.breaker import ACTIVE, HALTED, REDUCING
from core.decision import BREAKER_EXIT, DecisionParams, decide
from core.exits import EXIT_NONE, PARTIAL_TAKE, ExitParams
from core.position import filled, realised
from core.protections import new_memory, open_bar, record_entry
from core.risk import RiskParams
from core.situation import Account, Instrument, Market, Position
from core.sizing import SizingParams

PARAMS = DecisionParams(
    SizingParams(
        max_exposure=0.5, volatility_target=0.4, min_confidence=0.3, full_confidence=0.6, rebalance_threshold=0.25,
        add_fraction=0.6,
    ),
    ExitParams(
        stop_atr=4.0, trail_atr=3.0, trail_start_atr=2.0, take_profit_atr=8.0, max_holding_bars=96,
        min_stop_fraction=0.002, max_stop_fraction=0.1, break_even_atr=2.0, take_atr=(1.0, 2.5, 5.0),
        take_fraction=(0.2, 0.3, 0.4),
    ),
    RiskParams(
        loss_per_trade=0.01, daily_drawdown=0.05, max_capital=0.5, exit_cost=0.0008, min_entry_spacing_bars=1,
        max_entries_24h=1_000, volatility_quantile=0.98, pyramiding=1, auto_rearm=1, max_adds=2,
    ),
)  # fmt: skip
INSTRUMENT = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=1_000_000, min_notional=100.0)
TS = 19_700 * 86_400_000_000_000
FLAT = Position(0, 0.0, 0.0, 0)


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
    first, last = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    return Case(
        draw(st.floats(-1.0, 1.0)), draw(st.floats(0.0, 1.0)), draw(st.booleans()),
        Market(close, atr, draw(st.floats(0.0, 3.0)), draw(st.floats(0.0, 1.0))),
        Position(
            lots, entry, stop, draw(st.integers(0, 200)), draw(st.sampled_from([0.0, stop])), draw(st.integers(0, 3)),
            draw(st.integers(0, 3)), first, last,
        ),
        Account(draw(st.floats(0.0, 1e6)), draw(st.floats(0.0, 1e5)), draw(st.sampled_from(range(3)))),
    )  # fmt: skip


def checked(case, memory, params=PARAMS, instrument=INSTRUMENT):
    """Decide, and hold the outcome to every promise."""
    market, position, account = case.market, case.position, case.account
    result = decide(
        case.level, case.confidence, case.tradable, market, position, account, memory, 0, instrument, params
    )
    before, after = position.lots, result.target_lots
    held, size, unit = abs(before), abs(after), instrument.lot * market.close
    side = 1 if after > 0 else -1
    assert before * after >= 0, "a decision never reverses"
    if size > held:
        assert account.state == ACTIVE
        assert case.tradable
        assert case.level * after > 0
        assert result.exit_code == EXIT_NONE
        assert_within_limits(case, result, held, size, side, params, instrument)
    if held > 0 and account.state == HALTED:
        assert (after, result.exit_code) == (0, BREAKER_EXIT)
    if held > 0 and position.stop_price > 0 and side * (market.close - position.stop_price) <= 0 and after != 0:
        raise AssertionError("a stop that was passed closes")
    if result.exit_code == PARTIAL_TAKE:
        assert 0 < size < held
        assert side * (market.close - position.entry_price) > 0.0
    if 0 < size < held:
        assert size >= instrument.min_lots, "no rest below the smallest order"
        assert size * unit >= instrument.min_notional
    if before != 0 and after != 0 and position.stop_price > 0:
        assert (result.stop_price - position.stop_price) * before >= 0, "a stop never moves away"
    if after != 0:
        assert side * (market.close - result.stop_price) > 0, "the stop stands on the losing side"
    else:
        assert result.stop_price == 0.0
    return result


def assert_within_limits(case, result, held, size, side, params, instrument):
    market, position, equity, risk = case.market, case.position, case.account.equity, params.risk
    unit, added = instrument.lot * market.close, size - held
    assert size * unit + case.account.other_notional <= risk.max_capital * equity * (1 + 1e-6)
    assert added * unit >= instrument.min_notional * (1 - 1e-9)
    way_out = risk.exit_cost * max(market.close, result.stop_price)
    loss = (
        added * instrument.lot * (side * (market.close - result.stop_price) + way_out + risk.exit_cost * market.close)
    )
    if held > 0:
        held_loss = side * (position.entry_price - result.stop_price) + way_out
        loss += held * instrument.lot * max(held_loss, 0.0)
        assert side * (market.close - position.entry_price) > 0.0, "adds are in profit"
        assert added < position.last_lots, "each add is smaller"
        assert position.adds < risk.max_adds
        assert position.takes == 0
        average = (held * position.entry_price + added * market.close) / size
        at_stop = side * (result.stop_price - average) - risk.exit_cost * (average + result.stop_price)
        assert at_stop >= -1e-9 * average, "the stop of the whole is at break-even at least"
    assert loss <= risk.loss_per_trade * equity * (1 + 1e-6)


@settings(max_examples=1_500, deadline=None)
@given(cases())
def test_whatever_comes_in_no_limit_is_broken(case):
    memory = new_memory(PARAMS.risk)
    open_bar(memory, 0, TS, case.market.volatility_rank, PARAMS.risk)
    checked(case, memory)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), drift=st.sampled_from([-0.004, 0.0, 0.004]), min_lots=st.sampled_from([1, 3]))
def test_a_whole_life_of_a_position_keeps_every_promise(seed, drift, min_lots):
    """Markets, signals, breaker states and odd fills at random: decide, fill a part or all of it, and go on."""
    rng = np.random.default_rng(seed)
    instrument = INSTRUMENT._replace(min_lots=min_lots)
    memory = new_memory(PARAMS.risk)
    position, equity, close, most = FLAT, 20_000.0, 2_000.0, 0
    level = 0.0
    for bar in range(80):
        if rng.random() < 0.3:
            level = float(rng.choice([-1.0, -0.5, 0.0, 0.4, 0.7, 1.0]))
        moved = close * float(np.exp(drift + rng.standard_t(3) * 0.004))
        equity += position.lots * instrument.lot * (moved - close)
        close = moved
        side = 1 if position.lots > 0 else -1
        if position.lots != 0 and side * (close - position.stop_price) <= 0 and rng.random() < 0.8:
            position = filled(position, -position.lots, close, 0.0, False)
        position = position._replace(holding_bars=position.holding_bars + (position.lots != 0))
        open_bar(memory, 0, TS + bar * 900_000_000_000, 0.5, PARAMS.risk)
        state = int(rng.choice([ACTIVE, REDUCING, HALTED], p=[0.9, 0.06, 0.04]))
        market = Market(close, close * 0.004, 0.5, 0.5)
        account = Account(equity, 0.0, state)
        case = Case(level, float(rng.uniform(0.2, 1.0)), bool(rng.random() < 0.9), market, position, account)
        result = checked(case, memory, instrument=instrument)
        delta = result.target_lots - position.lots
        if delta == 0:
            position = position._replace(stop_price=result.stop_price)
            continue
        increases = abs(result.target_lots) > abs(position.lots)
        if increases:
            record_entry(memory, 0, PARAMS.risk)
        share = float(rng.choice([1.0, 0.0, 0.4], p=[0.8, 0.1, 0.1]))
        lots = int(np.sign(delta)) * int(abs(delta) * share)
        if position.lots != 0 and result.target_lots != 0:
            position = position._replace(stop_price=result.stop_price)
        if lots != 0:
            equity -= abs(lots) * instrument.lot * close * PARAMS.risk.exit_cost
            counts = increases or result.exit_code == PARTIAL_TAKE
            before = position
            assert realised(before, lots, close, instrument.lot) == 0.0 or not increases
            position = filled(before, lots, close, result.stop_price, counts)
            assert position.takes <= 3
            assert position.adds <= PARAMS.risk.max_adds
        most = max(most, position.adds)
        assert (position.lots == 0) == (position == FLAT)
