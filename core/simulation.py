"""One account in one instrument, moved through history by the fill rule of `core.costs`.

Theory of operation. A row is a closed decision bar. `advance` decides at a row and moves the account to the next one,
in the order in which the engine sees the same events:

1. Funding that is due before the first base bar settles; the decision's market order is under way.
2. At that bar's open quote the resting stop is looked at first, with its old trigger; then the order fills. If the
   stop fired, a reduce-only order does nothing, and an increasing one opens a fresh position of the added lots.
3. The planned stop rests from then on: both extremes and the close of that bar, all four quotes of later bars. Funding
   settles between bars.
4. At the close of each base bar but the last, a position is held to the limits of drawdown (`core.breaker.guard_day`);
   at a limit trading is HALTED and a reduce-only order closes it at the next open quote, after its stop.
5. At the next row's close the account is marked to market and folded into the breaker's memory.

Most intervals touch neither stop nor limit and settle no funding; the extremes of each interval are known beforehand
(`core.tape`), so that these cost two comparisons and no walk through the bars.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.breaker import ACTIVE, HALTED, DayRisk, guard_day, update_day
from core.compiled import compiled, inlined
from core.costs import CostParams, ask_ticks, bid_ticks, commission, quote_path
from core.decision import Decided, DecisionParams, decide
from core.exits import PARTIAL_TAKE
from core.features import minutes_to_funding
from core.position import filled, realised
from core.protections import close_trade, memory_size, open_bar, record_entry, reset
from core.situation import Account, Instrument, Market, Position
from core.tape import MS_NS, C, R, Tape

__all__ = [
    "State",
    "X",
    "advance",
    "replay",
    "start",
    "state_size",
    "stop_ticks",
    "tick_price",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class State(NamedTuple):
    """Places in the state of one account, float64; the gate's memory (`core.protections`) follows.

    ``balance``, ``equity`` (marked to market at the row), ``entry_price``, ``stop_price`` (as decided, not rounded; 0
    = none), ``high_water_mark``, ``fees``, ``funding`` (paid > 0), ``turnover`` (notional) in quote currency; ``lots``
    to ``last_lots`` as in `core.situation.Position`; ``trade_profit`` what the position has realised less commissions,
    ``trade_equity`` the equity at the decision of its first entry, quote currency; ``day``, ``drawdown``, ``gate``,
    ``peak``, ``latched`` as in `core.breaker.DayRisk`; ``fills`` and ``stops`` (those of the fills that were stops) and
    ``entries`` counts.
    """

    balance: int
    equity: int
    lots: int
    entry_price: int
    stop_price: int
    holding_bars: int
    first_stop: int
    adds: int
    takes: int
    first_lots: int
    last_lots: int
    trade_profit: int
    trade_equity: int
    day: int
    high_water_mark: int
    drawdown: int
    gate: int
    peak: int
    latched: int
    fees: int
    funding: int
    turnover: int
    fills: int
    stops: int
    entries: int


X = State(*range(len(State._fields)))
"""Places of the state by name."""
_MEMORY = len(State._fields)
_ROUNDING = 1e-9
"""Share of the high-water mark by which a limit is looked at too early rather than too late."""


@inlined
def state_size(params: DecisionParams) -> int:
    """Return the length of an account's state."""
    return _MEMORY + memory_size(params.risk)


@inlined
def tick_price(count: float, tick: float) -> float:
    """Return the price of a whole number of ticks: the float nearest to the decimal, where 1 / tick is whole."""
    inverse = float(np.rint(1.0 / tick))
    if inverse > 0.0 and abs(inverse * tick - 1.0) < 1e-12:
        return count / inverse
    return count * tick


@inlined
def stop_ticks(price: float, side: int, tick: float) -> float:
    """Return a stop's trigger in ticks: a long's rounded up, a short's down, at least 1 (`core.orders.stop_price`)."""
    nearest = float(np.rint(price / tick))
    on_grid = tick_price(nearest, tick)
    if side > 0 and price > on_grid:
        nearest += 1.0
    elif side < 0 and price < on_grid:
        nearest -= 1.0
    return max(nearest, 1.0)


@inlined
def start(state: FloatArray, tape: Tape, row: int, equity: float, params: DecisionParams) -> None:
    """Begin an account at the close of ``row``: flat, with ``equity`` in cash, marked once."""
    state[:] = 0.0
    state[X.balance] = equity
    state[X.equity] = equity
    reset(state, _MEMORY, params.risk)
    state[X.day] = -1.0
    state[X.gate] = ACTIVE
    _mark(state, tape.clock[row, C.ts_close], params)


@inlined
def advance(
    state: FloatArray,
    tape: Tape,
    row: int,
    level: float,
    confidence: float,
    tradable: bool,  # noqa: FBT001
    instrument: Instrument,
    params: DecisionParams,
    costs: CostParams,
) -> Decided:
    """Decide at the close of ``row`` and move the account to the close of ``row + 1``.

    Parameters
    ----------
    state : float64[state_size(params)]
        The account at the close of ``row``; updated in place (`State`).
    tape : Tape
        History.
    row : int
        At most ``n - 2``.
    level, confidence, tradable
        The signal, as `core.decision.decide` takes it; never tradable on a row that is not ready.
    instrument, params, costs
        Exchange filters, limits, costs.

    Returns
    -------
    Decided
        What was decided. With one instrument the notional of others is 0.
    """
    ts = tape.clock[row, C.ts_close]
    before = _position(state)
    open_bar(state, _MEMORY, ts, tape.rows[row, R.volatility_rank], params.risk)
    decided = decide(
        level,
        confidence,
        tradable and tape.rows[row, R.ready] == 1.0,
        Market(
            tape.rows[row, R.close],
            tape.rows[row, R.atr],
            tape.rows[row, R.volatility],
            tape.rows[row, R.volatility_rank],
            tape.rows[row, R.previous_close],
            tape.rows[row, R.funding_rate],
            minutes_to_funding(ts),
        ),
        before,
        Account(state[X.equity], 0.0, int(state[X.gate]), 0.0, 0.0, 0.0, 0, state[X.drawdown]),
        state,
        _MEMORY,
        instrument,
        params,
    )
    if abs(decided.target_lots) > abs(before.lots):
        record_entry(state, _MEMORY, params.risk)
        state[X.entries] += 1.0
    if before.lots != 0 or decided.target_lots != 0:
        _trade(state, tape, row, before, decided, instrument, params, costs)
    profit = state[X.lots] * instrument.lot * (tape.rows[row + 1, R.close] - state[X.entry_price])
    state[X.equity] = state[X.balance] + profit
    _mark(state, tape.clock[row + 1, C.ts_close], params)
    return decided


@compiled
def replay(
    tape: Tape,
    first_row: int,
    levels: FloatArray,
    confidences: FloatArray,
    equity: float,
    instrument: Instrument,
    params: DecisionParams,
    costs: CostParams,
) -> FloatArray:
    """Replay a fixed sequence of signals.

    Parameters
    ----------
    tape : Tape
        History.
    first_row : int
        Row of the first decision; the account starts there with ``equity`` in cash.
    levels, confidences : float64[k]
        The signal at rows ``first_row ... first_row + k - 1``; NaN levels are not tradable.
    equity : float
        Quote currency.
    instrument, params, costs
        Exchange filters, limits, costs.

    Returns
    -------
    float64[k + 1, len(State)]
        The account at each row from ``first_row`` on (`State`); equity and ruin are for the caller to judge.
    """
    state = np.zeros(state_size(params))
    start(state, tape, first_row, equity, params)
    path = np.empty((levels.shape[0] + 1, _MEMORY))
    path[0] = state[:_MEMORY]
    for i in range(levels.shape[0]):
        tradable = not np.isnan(levels[i])
        level = levels[i] if tradable else 0.0
        advance(state, tape, first_row + i, level, confidences[i], tradable, instrument, params, costs)
        path[i + 1] = state[:_MEMORY]
    return path


@inlined
def _trade(
    state: FloatArray,
    tape: Tape,
    row: int,
    before: Position,
    decided: Decided,
    instrument: Instrument,
    params: DecisionParams,
    costs: CostParams,
) -> None:
    """Move an account that holds something, or will, through the base bars between ``row`` and the next."""
    first = tape.clock[row, C.first_base]
    due, due_end = tape.clock[row, C.first_funding], tape.clock[row + 1, C.first_funding]
    while due < due_end and tape.funding[due, 0] <= first:
        _settle_funding(state, tape, due, instrument, costs)
        due += 1

    lots = before.lots
    delta = decided.target_lots - lots
    increases = abs(decided.target_lots) > abs(lots)
    bid = bid_ticks(tape.rows[row, R.open_after], costs.away, instrument.tick)
    ask = ask_ticks(tape.rows[row, R.open_after], costs.away, instrument.tick)
    stopped = False
    if lots != 0 and before.stop_price > 0.0:
        trigger = stop_ticks(before.stop_price, lots, instrument.tick)
        stopped = bid <= trigger if lots > 0 else ask >= trigger
        if stopped:
            _close(state, bid, ask, True, instrument, params, costs)
    if delta != 0 and (increases or not stopped):
        counts = increases or decided.exit_code == PARTIAL_TAKE
        price = ask if delta > 0 else bid
        _fill(state, delta, price, decided.stop_price, counts, False, instrument, params, costs)
    if state[X.lots] == 0.0:
        return
    state[X.stop_price] = decided.stop_price
    state[X.holding_bars] += 1.0

    low, high = tape.rows[row, R.low_after], tape.rows[row, R.high_after]
    if due < due_end or _within_reach(state, low, high, instrument, params, costs):
        _walk(state, tape, first, tape.clock[row + 1, C.first_base], due, due_end, instrument, params, costs)


@inlined
def _mark(state: FloatArray, ts: int, params: DecisionParams) -> None:
    """Fold the row's equity into the breaker's memory."""
    _remember(state, update_day(_day(state), ts, state[X.equity], params.risk))


@inlined
def _guard(state: FloatArray, ts: int, close: float, instrument: Instrument, params: DecisionParams) -> bool:
    """Hold the account to the limits of drawdown at the close of a base bar; return whether one is reached."""
    equity = state[X.balance] + state[X.lots] * instrument.lot * (close - state[X.entry_price])
    after = guard_day(_day(state), ts, equity, params.risk)
    _remember(state, after)
    return after.state == HALTED


@inlined
def _day(state: FloatArray) -> DayRisk:
    return DayRisk(
        int(state[X.day]),
        state[X.high_water_mark],
        state[X.drawdown],
        int(state[X.gate]),
        state[X.peak],
        int(state[X.latched]),
    )


@inlined
def _remember(state: FloatArray, day: DayRisk) -> None:
    state[X.day] = day.day
    state[X.high_water_mark] = day.high_water_mark
    state[X.drawdown] = day.drawdown
    state[X.gate] = day.state
    state[X.peak] = day.peak
    state[X.latched] = day.latched


@inlined
def _position(state: FloatArray) -> Position:
    """Return the position as decisions and fills take it."""
    return Position(
        int(state[X.lots]),
        state[X.entry_price],
        state[X.stop_price],
        int(state[X.holding_bars]),
        state[X.first_stop],
        int(state[X.adds]),
        int(state[X.takes]),
        int(state[X.first_lots]),
        int(state[X.last_lots]),
    )


@inlined
def _fill(
    state: FloatArray,
    lots: int,
    price_ticks: int,
    planned_stop: float,
    counts: bool,  # noqa: FBT001
    stopped: bool,  # noqa: FBT001
    instrument: Instrument,
    params: DecisionParams,
    costs: CostParams,
) -> None:
    """Fill signed lots at a price (`core.position.filled`); what goes flat is told to the gate's memory."""
    price = tick_price(float(price_ticks), instrument.tick)
    before = _position(state)
    notional = abs(lots) * instrument.lot * price
    fee = commission(notional, costs.taker)
    if before.lots == 0:
        state[X.trade_profit] = 0.0
        state[X.trade_equity] = state[X.equity]
    profit = realised(before, lots, price, instrument.lot)
    after = filled(before, lots, price, planned_stop, counts)
    state[X.lots] = after.lots
    state[X.entry_price] = after.entry_price
    state[X.stop_price] = after.stop_price
    state[X.holding_bars] = after.holding_bars
    state[X.first_stop] = after.first_stop
    state[X.adds] = after.adds
    state[X.takes] = after.takes
    state[X.first_lots] = after.first_lots
    state[X.last_lots] = after.last_lots
    state[X.balance] += profit
    state[X.balance] -= fee
    state[X.trade_profit] += profit - fee
    state[X.fees] += fee
    state[X.turnover] += notional
    state[X.fills] += 1.0
    if after.lots == 0:
        close_trade(state, _MEMORY, state[X.trade_profit] / state[X.trade_equity], stopped, params.risk)


@inlined
def _close(
    state: FloatArray,
    bid: int,
    ask: int,
    stopped: bool,  # noqa: FBT001
    instrument: Instrument,
    params: DecisionParams,
    costs: CostParams,
) -> None:
    """Close the whole position at a quote: its stop was reached, or the breaker wants it closed."""
    lots = int(state[X.lots])
    _fill(state, -lots, bid if lots > 0 else ask, 0.0, False, stopped, instrument, params, costs)
    state[X.stops] += int(stopped)


@inlined
def _settle_funding(state: FloatArray, tape: Tape, due: int, instrument: Instrument, costs: CostParams) -> None:
    """Pay or receive a funding on the middle of the last quote before it; longs pay a positive rate."""
    lots = state[X.lots]
    if lots == 0.0:
        return
    last = tape.base[int(tape.funding[due, 0]) - 1, 3]
    bid = bid_ticks(last, costs.away, instrument.tick)
    ask = ask_ticks(last, costs.away, instrument.tick)
    paid = lots * instrument.lot * tick_price(0.5 * (bid + ask), instrument.tick) * tape.funding[due, 1]
    state[X.balance] -= paid
    state[X.funding] += paid


@inlined
def _within_reach(
    state: FloatArray, low: float, high: float, instrument: Instrument, params: DecisionParams, costs: CostParams
) -> bool:
    """Return whether prices between ``low`` and ``high`` can have reached the resting stop or a limit of drawdown.

    Without funding the worst mark is that at the worst price, and a new day's high-water mark is never above the old.
    """
    lots, stop = int(state[X.lots]), state[X.stop_price]
    worst = low if lots > 0 else high
    equity = state[X.balance] + lots * instrument.lot * (worst - state[X.entry_price])
    if not equity > state[X.high_water_mark] * (1.0 - params.risk.daily_drawdown + _ROUNDING):
        return True
    if not equity > state[X.peak] * (1.0 - params.risk.total_drawdown + _ROUNDING):
        return True
    if stop <= 0.0:
        return False
    trigger = stop_ticks(stop, lots, instrument.tick)
    if lots > 0:
        return bid_ticks(low, costs.away, instrument.tick) <= trigger
    return ask_ticks(high, costs.away, instrument.tick) >= trigger


@inlined
def _walk(
    state: FloatArray,
    tape: Tape,
    first: int,
    end: int,
    due: int,
    due_end: int,
    instrument: Instrument,
    params: DecisionParams,
    costs: CostParams,
) -> None:
    """Walk base bars ``first ... end - 1`` quote by quote, after the open quote of the first."""
    flatten = False
    for bar in range(first, end):
        while due < due_end and tape.funding[due, 0] <= bar:
            _settle_funding(state, tape, due, instrument, costs)
            due += 1
        lots, stop = int(state[X.lots]), state[X.stop_price]
        trigger = stop_ticks(stop, lots, instrument.tick) if stop > 0.0 else 0.0
        path = quote_path(tape.base[bar, 0], tape.base[bar, 1], tape.base[bar, 2], tape.base[bar, 3])
        for i in range(4):
            if i == 0 and bar == first:
                continue
            bid = bid_ticks(path[i], costs.away, instrument.tick)
            ask = ask_ticks(path[i], costs.away, instrument.tick)
            reached = stop > 0.0 and ((lots > 0 and bid <= trigger) or (lots < 0 and ask >= trigger))
            if reached or flatten:
                _close(state, bid, ask, reached, instrument, params, costs)
                return
        if bar + 1 < end:
            closed = int(tape.base[bar, 4])
            while due < due_end and tape.funding[due, 2] <= closed:
                _settle_funding(state, tape, due, instrument, costs)
                due += 1
            flatten = _guard(state, closed * MS_NS, tape.base[bar, 3], instrument, params)
    while due < due_end:
        _settle_funding(state, tape, due, instrument, costs)
        due += 1
