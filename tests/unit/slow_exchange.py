"""An exchange written from the words of the fill rule, event by event: the judge of the compiled simulation."""

import math
from decimal import Decimal

import numpy as np

from core.bars import Bars, Funding
from core.breaker import ACTIVE, HALTED, DayRisk, update_day
from core.costs import QUOTE_OFFSETS_NS
from core.decision import decide
from core.exits import PARTIAL_TAKE
from core.features import FeatureFrame
from core.orders import stop_price
from core.protections import close_trade, new_memory, open_bar, record_entry
from core.situation import Account, Market, Position
from core.tape import new_tape

MINUTE = 60_000_000_000
DAY = 1440 * MINUTE
ORIGIN = 19_700 * DAY
WATCHED = (
    "equity", "lots", "balance", "entry_price", "stop_price", "holding_bars", "first_stop", "adds", "takes",
    "first_lots", "last_lots", "trade_profit", "trade_equity", "gate",
)  # fmt: skip


class Exchange:
    """One position, one balance, one resting stop, told of events in time order."""

    def __init__(self, balance, instrument, params, costs):
        self.balance, self.instrument, self.params, self.costs = balance, instrument, params, costs
        self.trigger = self.pending = self.quote = None
        self.flatten = False
        self.memory = new_memory(params.risk)
        self.day = DayRisk(-1, 0.0, 0.0, ACTIVE, 0.0, 0)
        self.fees = self.funding = self.trade_profit = self.trade_equity = 0.0
        self.fills, self.trades = [], []
        self.forget()

    def forget(self):
        self.lots = self.holding_bars = self.adds = self.takes = self.first_lots = self.last_lots = 0
        self.entry_price = self.stop_price = self.first_stop = 0.0
        self.trigger = None

    @property
    def gate(self):
        return self.day.state

    def fill(self, lots, price, why, stop=0.0):
        fee = round(abs(lots) * self.instrument.lot * price * self.costs.taker, 8)
        self.fees += fee
        self.fills.append((lots, price, why))
        if self.lots == 0:
            self.trade_profit, self.trade_equity = 0.0, self.equity
            self.first_lots = self.last_lots = abs(lots)
            self.first_stop = stop
        elif self.lots * lots > 0:
            self.adds += 1
            self.last_lots = abs(lots)
        profit = -fee
        if self.lots * lots >= 0:
            held, added = abs(self.lots), abs(lots)
            self.entry_price = (self.entry_price * held + price * added) / (held + added)
        else:
            assert abs(lots) <= abs(self.lots), "reduce-only"
            profit -= lots * self.instrument.lot * (price - self.entry_price)
            self.takes += why == "take"
        self.balance += profit
        self.trade_profit += profit
        self.lots += lots
        if self.lots == 0:
            self.trades.append((self.trade_profit / self.trade_equity, why))
            close_trade(self.memory, 0, self.trades[-1][0], why == "stop", self.params.risk)
            self.forget()

    def on_quote(self, price):
        tick, away = self.instrument.tick, self.costs.away
        bid = math.floor(price * (1 - away) / tick + 1e-6) * tick
        ask = math.ceil(price * (1 + away) / tick - 1e-6) * tick
        self.quote = (bid, ask)
        fired = False
        if self.trigger is not None:
            fired = bid <= self.trigger + 1e-9 if self.lots > 0 else ask >= self.trigger - 1e-9
            if fired:
                self.fill(-self.lots, bid if self.lots > 0 else ask, "stop")
        if self.flatten and self.lots != 0:
            self.fill(-self.lots, bid if self.lots > 0 else ask, "breaker")
        self.flatten = False
        if self.pending is not None:
            delta, reduces, stop, why = self.pending
            self.pending = None
            if delta != 0 and not (fired and reduces):
                self.fill(delta, ask if delta > 0 else bid, why, stop)
            if self.lots != 0:
                self.stop_price = stop
                self.trigger = float(stop_price(stop, lots=self.lots, tick=Decimal(repr(tick))))

    def on_funding(self, rate):
        if self.lots != 0:
            paid = self.lots * self.instrument.lot * (self.quote[0] + self.quote[1]) / 2 * rate
            self.balance -= paid
            self.funding += paid

    def worth(self, close):
        return self.balance + self.lots * self.instrument.lot * (close - self.entry_price)

    def on_bar(self, ts, close):
        """Look at what is held between two decisions; a day begins with the last decision's mark."""
        if self.lots == 0:
            return
        new_day = (ts - 1) // DAY != self.day.day
        high = self.equity if new_day else self.day.high_water_mark
        equity, risk = self.worth(close), self.params.risk
        total = equity <= self.day.peak * (1 - risk.total_drawdown)
        if equity <= high * (1 - risk.daily_drawdown) or total:
            drawdown = 0.0 if new_day else self.day.drawdown
            latched = 1 if total else self.day.latched
            self.day = DayRisk((ts - 1) // DAY, high, drawdown, HALTED, self.day.peak, latched)
            self.flatten = True

    def mark(self, ts, close):
        self.equity = self.worth(close)
        self.day = update_day(self.day, ts, self.equity, self.params.risk)

    def on_decision(self, ts, level, ready, market):
        self.holding_bars += self.lots != 0
        open_bar(self.memory, 0, ts, market.volatility_rank, self.params.risk)
        account = Account(self.equity, 0.0, self.day.state, drawdown=self.day.drawdown)
        position = Position(
            self.lots, self.entry_price, self.stop_price, self.holding_bars, self.first_stop, self.adds, self.takes,
            self.first_lots, self.last_lots,
        )  # fmt: skip
        tradable = ready and not math.isnan(level)
        wanted = 0.0 if math.isnan(level) else level
        decided = decide(wanted, 1.0, tradable, market, position, account, self.memory, 0, self.instrument, self.params)
        if abs(decided.target_lots) > abs(self.lots):
            record_entry(self.memory, 0, self.params.risk)
        reduces = abs(decided.target_lots) < abs(self.lots)
        why = "take" if decided.exit_code == PARTIAL_TAKE else "order"
        self.pending = (decided.target_lots - self.lots, reduces, decided.stop_price, why)

    def seen(self):
        """Return what is compared; the age counts the bar that has just closed."""
        values = [getattr(self, name) for name in WATCHED]
        values[WATCHED.index("holding_bars")] += self.lots != 0
        return values


def slow_replay(bars, frame, funding, levels, first_row, equity, instrument, params, costs):
    """Return `WATCHED` at each decision close, by a sorted list of events, and the exchange."""
    events = []
    closes = set(bars.ts_close.tolist())
    rows = [i for i, ts in enumerate(frame.ts_close.tolist()) if ts in closes]
    decisions = set(frame.ts_close[rows].tolist())
    for i, ts in enumerate(bars.ts_close.tolist()):
        o, h, lo, c = (float(column[i]) for column in bars[1:5])
        path = (o, h, lo, c) if h - o < o - lo else (o, lo, h, c)
        events += [(ts - MINUTE + offset, 0, "quote", p) for offset, p in zip(QUOTE_OFFSETS_NS, path, strict=True)]
        events += [(ts, 2, "bar", c)] if ts not in decisions else []
    events += [(int(ts), 1, "funding", float(rate)) for ts, rate in zip(*funding, strict=True)]
    rows = rows[first_row:]
    script = dict(zip(rows, levels, strict=False))
    events += [(int(frame.ts_close[row]), 3, "decision", row) for row in rows[: len(levels) + 1]]
    begin, end = frame.ts_close[rows[0]], frame.ts_close[rows[len(levels)]]
    exchange = Exchange(equity, instrument, params, costs)
    path = []
    for ts, _, kind, value in sorted(event for event in events if begin <= event[0] <= end):
        if kind == "quote":
            exchange.on_quote(value)
        elif kind == "funding":
            exchange.on_funding(value)
        elif kind == "bar":
            exchange.on_bar(ts, value)
        else:
            market = Market(*(float(column[value]) for column in frame[2:8]), 480.0 - ts // MINUTE % 480)
            exchange.mark(ts, market.close)
            path.append(exchange.seen())
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
        previous_close=np.append(0.0, bars.close[last_base][:-1]),
        funding_rate=rng.normal(0.0001, 0.0003, m),
        ready=rng.random(m) > 0.05,
        last_base=last_base.astype(np.int64),
    )
    due = ORIGIN + MINUTE * np.sort(rng.choice(n, size=n // 12, replace=False)).astype(np.int64)
    return bars, frame, Funding(due[due > bars.ts_close[0]], rng.normal(0.0002, 0.001, (due > bars.ts_close[0]).sum()))


def steady(prices, *, funding=(), atr=10.0, per_decision=1):
    """Return a tape of so many base bars a decision bar, each flat unless given as a tuple (o, h, l, c)."""
    rows = [p if isinstance(p, tuple) else (p, p, p, p) for p in prices]
    columns = [np.array(c, dtype=float) for c in zip(*rows, strict=True)]
    n = len(rows)
    ts = ORIGIN + MINUTE * np.arange(1, n + 1, dtype=np.int64)
    bars = Bars(ts, *columns, np.ones(n), np.full(n, np.nan))
    last = np.arange(per_decision - 1, n, per_decision)
    m = len(last)
    frame = FeatureFrame(
        ts[last], np.zeros((m, 1), np.float32), columns[3][last], np.full(m, atr), np.full(m, 0.5), np.zeros(m),
        np.zeros(m), np.zeros(m), np.full(m, True), last,
    )  # fmt: skip
    due = Funding(np.array([t for t, _ in funding], np.int64), np.array([r for _, r in funding]))
    return new_tape(bars, frame, due, base_ns=MINUTE)
