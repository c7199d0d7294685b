"""The compiled simulation against a slow exchange written from the words of the fill rule, event by event."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bars import Bars, Funding
from core.breaker import ACTIVE, DayRisk, update_day
from core.costs import QUOTE_OFFSETS_NS, CostParams
from core.decision import DecisionParams, decide
from core.errors import DataError
from core.exits import ExitParams
from core.features import FeatureFrame
from core.orders import stop_price
from core.protections import new_memory, open_bar, record_entry
from core.risk import RiskParams
from core.simulation import X, replay, stop_ticks, tick_price
from core.situation import Account, Instrument, Market, Position
from core.sizing import SizingParams
from core.tape import new_tape

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE
ORIGIN = 19_700 * DAY
INSTRUMENT = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=100_000, min_notional=5.0)
COSTS = CostParams(taker=0.0005, maker=0.0002, away=0.0001)
PARAMS = DecisionParams(
    sizing=SizingParams(0.5, 0.8, 0.4, 0.7, 0.25),
    exits=ExitParams(stop_atr=2.0, trail_atr=2.0, trail_start_atr=1.0, take_profit_atr=6.0, max_holding_bars=12),
    risk=RiskParams(0.02, 0.05, 0.5, 0.0006, 1, 6, 0.95, 1, 1),
)


class Exchange:
    """One position, one balance, one resting stop, told of events in time order."""

    def __init__(self, balance, instrument, params, costs):
        self.balance, self.instrument, self.params, self.costs = balance, instrument, params, costs
        self.lots, self.entry, self.stop, self.age = 0, 0.0, 0.0, 0
        self.trigger = None
        self.pending = None
        self.memory = new_memory(params.risk)
        self.day = DayRisk(-1, 0.0, 0.0, ACTIVE, 0.0, 0)
        self.quote = None
        self.fees = self.funding = 0.0
        self.fills = []

    def fill(self, lots, price):
        fee = round(abs(lots) * self.instrument.lot * price * self.costs.taker, 8)
        self.fees += fee
        self.balance -= fee
        self.fills.append((lots, price))
        if self.lots * lots >= 0:
            self.entry = (self.entry * abs(self.lots) + price * abs(lots)) / (abs(self.lots) + abs(lots))
        else:
            self.balance += -lots * self.instrument.lot * (price - self.entry)
        self.lots += lots
        if self.lots == 0:
            self.stop, self.age, self.entry, self.trigger = 0.0, 0, 0.0, None

    def on_quote(self, price):
        tick, away = self.instrument.tick, self.costs.away
        bid = math.floor(price * (1 - away) / tick + 1e-6) * tick
        ask = math.ceil(price * (1 + away) / tick - 1e-6) * tick
        self.quote = (bid, ask)
        fired = False
        if self.trigger is not None:
            fired = bid <= self.trigger + 1e-9 if self.lots > 0 else ask >= self.trigger - 1e-9
            if fired:
                self.fill(-self.lots, bid if self.lots > 0 else ask)
        if self.pending is not None:
            delta, reduces, stop = self.pending
            self.pending = None
            if delta != 0 and not (fired and reduces):
                fresh = self.lots == 0
                self.fill(delta, ask if delta > 0 else bid)
                if fresh:
                    self.age = 0
            if self.lots != 0:
                self.stop = stop
                rounded = stop_price(stop, lots=self.lots, tick=Decimal(repr(tick)))
                self.trigger = float(rounded)

    def on_funding(self, rate):
        if self.lots != 0:
            paid = self.lots * self.instrument.lot * (self.quote[0] + self.quote[1]) / 2 * rate
            self.balance -= paid
            self.funding += paid

    def mark(self, ts, close):
        self.equity = self.balance + self.lots * self.instrument.lot * (close - self.entry)
        self.day = update_day(self.day, ts, self.equity, self.params.risk)

    def on_decision(self, ts, level, ready, market):
        self.age += self.lots != 0
        open_bar(self.memory, 0, ts, market.volatility_rank, self.params.risk)
        account = Account(self.equity, 0.0, self.day.state)
        position = Position(self.lots, self.entry, self.stop, self.age)
        tradable = ready and not math.isnan(level)
        wanted = 0.0 if math.isnan(level) else level
        decided = decide(wanted, 1.0, tradable, market, position, account, self.memory, 0, self.instrument, self.params)
        if abs(decided.target_lots) > abs(self.lots):
            record_entry(self.memory, 0, self.params.risk)
        reduces = abs(decided.target_lots) < abs(self.lots)
        self.pending = (decided.target_lots - self.lots, reduces, decided.stop_price)


def slow_replay(bars, frame, funding, levels, first_row, equity, instrument, params, costs):
    """Return (equity, lots, balance) at each decision close, by a sorted list of events."""
    events = []
    for i, ts in enumerate(bars.ts_close):
        o, h, lo, c = (float(column[i]) for column in bars[1:5])
        path = (o, h, lo, c) if h - o < o - lo else (o, lo, h, c)
        events += [(int(ts) - MINUTE + offset, 0, "quote", p) for offset, p in zip(QUOTE_OFFSETS_NS, path, strict=True)]
    events += [(int(ts), 1, "funding", float(rate)) for ts, rate in zip(*funding, strict=True)]
    closes = set(bars.ts_close.tolist())
    rows = [i for i, ts in enumerate(frame.ts_close.tolist()) if ts in closes][first_row:]
    script = dict(zip(rows, levels, strict=False))
    events += [(int(frame.ts_close[row]), 2, "decision", row) for row in rows[: len(levels) + 1]]
    begin, end = frame.ts_close[rows[0]], frame.ts_close[rows[len(levels)]]
    exchange = Exchange(equity, instrument, params, costs)
    path = []
    for ts, _, kind, value in sorted(event for event in events if begin <= event[0] <= end):
        if kind == "quote":
            exchange.on_quote(value)
        elif kind == "funding":
            exchange.on_funding(value)
        else:
            market = Market(*(float(column[value]) for column in frame[2:6]))
            exchange.mark(ts, market.close)
            path.append((exchange.equity, exchange.lots, exchange.balance))
            if value in script:
                exchange.on_decision(ts, script[value], bool(frame.ready[value]), market)
    return np.array(path), exchange


def random_market(seed, *, decisions=60, per_decision=5, missing=0.02, wildness=0.004):
    """Return bars with holes, a frame of decision bars over them and funding, all from a seed."""
    rng = np.random.default_rng(seed)
    n = decisions * per_decision
    close = 2_000.0 * np.exp(np.cumsum(rng.standard_t(3, n) * wildness / 3))
    open_ = np.concatenate([[2_000.0], close[:-1]]) * np.exp(rng.normal(0, 0.0003, n))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, wildness / 3, n)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, wildness / 3, n)))
    prices = [np.rint(x * 10) / 10 for x in (open_, high, low, close)]
    ts_close = ORIGIN + MINUTE * np.arange(1, n + 1, dtype=np.int64)
    period = np.arange(n) // per_decision
    kept = rng.random(n) >= missing
    kept[: 2 * per_decision] = True
    if decisions > 20:
        kept[10 * per_decision : 12 * per_decision + 2] = False
    bars = Bars(ts_close[kept], *(p[kept] for p in prices), np.ones(kept.sum()), np.full(kept.sum(), np.nan))
    last_base = np.flatnonzero(np.diff(np.append(period[kept], -1)) != 0)
    m = len(last_base)
    frame = FeatureFrame(
        ts_close=ORIGIN + MINUTE * per_decision * (period[kept][last_base] + 1).astype(np.int64),
        features=rng.normal(size=(m, 3)).astype(np.float32),
        close=bars.close[last_base],
        atr=np.abs(rng.normal(6.0, 3.0, m)) + 0.5,
        volatility=np.abs(rng.normal(0.6, 0.2, m)) + 0.05,
        volatility_rank=rng.random(m),
        ready=rng.random(m) > 0.05,
        last_base=last_base.astype(np.int64),
    )
    due = ORIGIN + MINUTE * np.sort(rng.choice(n, size=n // 12, replace=False)).astype(np.int64)
    return bars, frame, Funding(due[due > bars.ts_close[0]], rng.normal(0.0002, 0.001, (due > bars.ts_close[0]).sum()))


def compare(seed, *, first_row=1, params=PARAMS, instrument=INSTRUMENT, **shape):
    bars, frame, funding = random_market(seed, **shape)
    tape = new_tape(bars, frame, funding, base_ns=MINUTE)
    rng = np.random.default_rng(seed + 1)
    steps = len(tape.ts_close) - 1 - first_row
    levels = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0, np.nan], steps, p=[0.25, 0.1, 0.1, 0.1, 0.25, 0.2])
    levels = np.repeat(levels, 4)[:steps]
    got = replay(tape, first_row, levels, np.ones(steps), 10_000.0, instrument, params, COSTS)
    want, exchange = slow_replay(bars, frame, funding, levels, first_row, 10_000.0, instrument, params, COSTS)
    assert np.array_equal(got[:, X.lots], want[:, 1])
    np.testing.assert_allclose(got[:, X.equity], want[:, 0], rtol=1e-9)
    np.testing.assert_allclose(got[:, X.balance], want[:, 2], rtol=1e-9)
    assert got[-1, X.fills] == len(exchange.fills)
    assert got[-1, X.fees] == pytest.approx(exchange.fees, rel=1e-9)
    assert got[-1, X.funding] == pytest.approx(exchange.funding, rel=1e-9, abs=1e-9)
    return got


@given(seed=st.integers(0, 2**32 - 2), per_decision=st.integers(1, 7), wildness=st.sampled_from([0.001, 0.004, 0.015]))
@settings(max_examples=60, deadline=None)
def test_the_compiled_account_is_the_slow_exchange_s_on_any_market(seed, per_decision, wildness):
    compare(seed, per_decision=per_decision, wildness=wildness)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_a_long_market_with_many_stops_and_fundings_agrees_and_has_them(missing):
    tight = PARAMS._replace(risk=PARAMS.risk._replace(daily_drawdown=0.02, max_entries_per_day=50))
    got = compare(7, decisions=4_000, missing=missing, params=tight)
    assert got[-1, X.stops] > 20
    assert got[-1, X.fills] > 60
    assert got[-1, X.funding] != 0.0
    assert (got[:, X.gate] != ACTIVE).any(), "the breaker was reached"


def test_a_stop_that_is_never_looked_at_would_be_noticed():
    """The comparison above can fail: with stops ten times wider the path differs."""
    wide = PARAMS._replace(exits=PARAMS.exits._replace(stop_atr=20.0, trail_atr=0.0))
    near, far = compare(11, decisions=300), compare(11, decisions=300, params=wide)
    assert near[-1, X.equity] != far[-1, X.equity]


def steady(prices, *, funding=(), stop_atr=2.0, atr=10.0):
    """Return a tape of one base bar a decision bar, each open = last close unless given as a tuple (o, h, l, c)."""
    rows = [p if isinstance(p, tuple) else (p, p, p, p) for p in prices]
    columns = [np.array(c, dtype=float) for c in zip(*rows, strict=True)]
    n = len(rows)
    ts = ORIGIN + MINUTE * np.arange(1, n + 1, dtype=np.int64)
    bars = Bars(ts, *columns, np.ones(n), np.full(n, np.nan))
    frame = FeatureFrame(
        ts, np.zeros((n, 1), np.float32), columns[3], np.full(n, atr), np.full(n, 0.5), np.zeros(n), np.full(n, True),
        np.arange(n, dtype=np.int64),
    )  # fmt: skip
    due = Funding(np.array([t for t, _ in funding], np.int64), np.array([r for _, r in funding]))
    return new_tape(bars, frame, due, base_ns=MINUTE)


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
