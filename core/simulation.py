"""One account in one instrument, moved through history by the fill rule of `core.costs`.

Theory of operation. A row is a closed decision bar. `advance` decides at a row and moves the account to the next one,
in the order in which the engine sees the same events:

1. Funding that is due before the first base bar settles; the decision's market order is under way.
2. At that bar's open quote the resting stop is looked at first, with its old trigger; then the order fills. If the
   stop fired, a reduce-only order does nothing, and an increasing one opens a fresh position of the added lots.
3. The planned stop rests from then on: both extremes and the close of that bar, all four quotes of later bars. Funding
   settles between bars.
4. At the next row's close the account is marked to market and folded into the gate's memory.

Most intervals touch no stop and settle no funding; the extremes of each interval are known beforehand (`core.tape`), so
that these cost one comparison and no walk through the bars.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.breaker import ACTIVE, DayRisk, update_day
from core.compiled import compiled, inlined
from core.costs import CostParams, ask_ticks, bid_ticks, commission, quote_path
from core.decision import Decided, DecisionParams, decide
from core.protections import memory_size, open_bar, record_entry, reset
from core.situation import Account, Instrument, Market, Position
from core.tape import C, R, Tape

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
    signed; ``holding_bars`` decision bars; ``day``, ``drawdown``, ``gate``, ``peak``, ``latched`` as in
    `core.breaker.DayRisk`; ``fills`` and ``stops`` (those of the fills that were stops) and ``entries``
    counts.
    """

    balance: int
    equity: int
    lots: int
    entry_price: int
    stop_price: int
    holding_bars: int
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
    lots = int(state[X.lots])
    old_stop = state[X.stop_price]
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
            0.0,
            0.0,
            480.0,
        ),
        Position(lots, state[X.entry_price], old_stop, int(state[X.holding_bars]), 0.0, 0, 0),
        Account(state[X.equity], 0.0, int(state[X.gate]), 0.0, 0.0, 0.0, 0),
        state,
        _MEMORY,
        instrument,
        params,
    )
    if abs(decided.target_lots) > abs(lots):
        record_entry(state, _MEMORY, params.risk)
        state[X.entries] += 1.0
    if lots != 0 or decided.target_lots != 0:
        _trade(state, tape, row, lots, old_stop, decided, instrument, costs)
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
    lots: int,
    old_stop: float,
    decided: Decided,
    instrument: Instrument,
    costs: CostParams,
) -> None:
    """Move an account that holds something, or will, through the base bars between ``row`` and the next."""
    first = tape.clock[row, C.first_base]
    due, due_end = tape.clock[row, C.first_funding], tape.clock[row + 1, C.first_funding]
    while due < due_end and tape.funding[due, 0] <= first:
        _settle_funding(state, tape, due, instrument, costs)
        due += 1

    delta = decided.target_lots - lots
    increases = abs(decided.target_lots) > abs(lots)
    bid = bid_ticks(tape.rows[row, R.open_after], costs.away, instrument.tick)
    ask = ask_ticks(tape.rows[row, R.open_after], costs.away, instrument.tick)
    stopped = False
    if lots != 0 and old_stop > 0.0:
        trigger = stop_ticks(old_stop, lots, instrument.tick)
        stopped = bid <= trigger if lots > 0 else ask >= trigger
        if stopped:
            _stop_out(state, bid, ask, instrument, costs)
    if delta != 0 and (increases or not stopped):
        _fill(state, delta, ask if delta > 0 else bid, instrument, costs)
    state[X.stop_price] = decided.stop_price
    state[X.holding_bars] = 1.0 if lots == 0 or stopped else state[X.holding_bars] + 1.0

    low, high = tape.rows[row, R.low_after], tape.rows[row, R.high_after]
    if due < due_end or _within_reach(state, low, high, instrument.tick, costs.away):
        _walk(state, tape, first, tape.clock[row + 1, C.first_base], due, due_end, instrument, costs)
    if state[X.lots] == 0.0:
        state[X.stop_price] = 0.0
        state[X.holding_bars] = 0.0
        state[X.entry_price] = 0.0


@inlined
def _mark(state: FloatArray, ts: int, params: DecisionParams) -> None:
    """Fold the row's equity into the gate's memory."""
    before = DayRisk(
        int(state[X.day]),
        state[X.high_water_mark],
        state[X.drawdown],
        int(state[X.gate]),
        state[X.peak],
        int(state[X.latched]),
    )
    after = update_day(before, ts, state[X.equity], params.risk)
    state[X.day] = after.day
    state[X.high_water_mark] = after.high_water_mark
    state[X.drawdown] = after.drawdown
    state[X.gate] = after.state
    state[X.peak] = after.peak
    state[X.latched] = after.latched


@inlined
def _fill(state: FloatArray, lots: int, price_ticks: int, instrument: Instrument, costs: CostParams) -> None:
    """Fill signed lots at a price: average entry on the way in, realised profit on the way out, never a reversal."""
    price = tick_price(float(price_ticks), instrument.tick)
    held = state[X.lots]
    after = held + lots
    notional = abs(lots) * instrument.lot * price
    fee = commission(notional, costs.taker)
    if held * lots >= 0.0:
        state[X.entry_price] = (held * state[X.entry_price] + lots * price) / after
    else:
        state[X.balance] -= lots * instrument.lot * (price - state[X.entry_price])
    state[X.lots] = after
    state[X.balance] -= fee
    state[X.fees] += fee
    state[X.turnover] += notional
    state[X.fills] += 1.0


@inlined
def _stop_out(state: FloatArray, bid: int, ask: int, instrument: Instrument, costs: CostParams) -> None:
    """Close the whole position at the quote that reached its stop."""
    lots = int(state[X.lots])
    _fill(state, -lots, bid if lots > 0 else ask, instrument, costs)
    state[X.stops] += 1.0


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
def _within_reach(state: FloatArray, low: float, high: float, tick: float, away: float) -> bool:
    """Return whether prices between ``low`` and ``high`` can have reached the resting stop."""
    lots, stop = int(state[X.lots]), state[X.stop_price]
    if lots == 0 or stop <= 0.0:
        return False
    trigger = stop_ticks(stop, lots, tick)
    if lots > 0:
        return bid_ticks(low, away, tick) <= trigger
    return ask_ticks(high, away, tick) >= trigger


@inlined
def _walk(
    state: FloatArray,
    tape: Tape,
    first: int,
    end: int,
    due: int,
    due_end: int,
    instrument: Instrument,
    costs: CostParams,
) -> None:
    """Walk base bars ``first ... end - 1`` quote by quote, after the open quote of the first."""
    for bar in range(first, end):
        lots, stop = int(state[X.lots]), state[X.stop_price]
        if lots == 0:
            return
        while due < due_end and tape.funding[due, 0] <= bar:
            _settle_funding(state, tape, due, instrument, costs)
            due += 1
        if stop <= 0.0:
            continue
        trigger = stop_ticks(stop, lots, instrument.tick)
        path = quote_path(tape.base[bar, 0], tape.base[bar, 1], tape.base[bar, 2], tape.base[bar, 3])
        for i in range(4):
            if i == 0 and bar == first:
                continue
            bid = bid_ticks(path[i], costs.away, instrument.tick)
            ask = ask_ticks(path[i], costs.away, instrument.tick)
            if (lots > 0 and bid <= trigger) or (lots < 0 and ask >= trigger):
                _stop_out(state, bid, ask, instrument, costs)
                break
    while due < due_end:
        _settle_funding(state, tape, due, instrument, costs)
        due += 1
