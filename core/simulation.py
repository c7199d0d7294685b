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

import numpy as np
import numpy.typing as npt

from core.account import (
    MEMORY,
    State,
    X,
    close_position,
    fill,
    guard,
    mark,
    position,
    settle_funding,
    state_size,
    stop_ticks,
    tick_price,
    within_reach,
)
from core.breaker import ACTIVE
from core.compiled import compiled, inlined
from core.costs import CostParams, ask_ticks, bid_ticks, quote_path
from core.decision import Decided, DecisionParams, decide
from core.exits import PARTIAL_TAKE
from core.protections import open_bar, record_entry, reset
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


@inlined
def start(state: FloatArray, tape: Tape, row: int, equity: float, params: DecisionParams) -> None:
    """Begin an account at the close of ``row``: flat, with ``equity`` in cash, marked once."""
    state[:] = 0.0
    state[X.balance] = equity
    state[X.equity] = equity
    reset(state, MEMORY, params.risk)
    state[X.day] = -1.0
    state[X.gate] = ACTIVE
    mark(state, tape.clock[row, C.ts_close], params)


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
    before = position(state)
    open_bar(state, MEMORY, ts, tape.rows[row, R.volatility_rank], params.risk)
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
            tape.rows[row, R.minutes_to_funding],
        ),
        before,
        Account(state[X.equity], 0.0, int(state[X.gate]), 0.0, 0.0, 0.0, 0, state[X.drawdown]),
        state,
        MEMORY,
        instrument,
        params,
    )
    if abs(decided.target_lots) > abs(before.lots):
        record_entry(state, MEMORY, params.risk)
        state[X.entries] += 1.0
    if before.lots != 0 or decided.target_lots != 0:
        _trade(state, tape, row, before, decided, instrument, params, costs)
    profit = state[X.lots] * instrument.lot * (tape.rows[row + 1, R.close] - state[X.entry_price])
    state[X.equity] = state[X.balance] + profit
    mark(state, tape.clock[row + 1, C.ts_close], params)
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
    path = np.empty((levels.shape[0] + 1, MEMORY))
    path[0] = state[:MEMORY]
    for i in range(levels.shape[0]):
        tradable = not np.isnan(levels[i])
        level = levels[i] if tradable else 0.0
        advance(state, tape, first_row + i, level, confidences[i], tradable, instrument, params, costs)
        path[i + 1] = state[:MEMORY]
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
        settle_funding(state, tape, due, instrument, costs)
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
            close_position(state, bid, ask, True, instrument, params, costs)
    if delta != 0 and (increases or not stopped):
        counts = increases or decided.exit_code == PARTIAL_TAKE
        price = ask if delta > 0 else bid
        fill(state, delta, price, decided.stop_price, counts, False, instrument, params, costs)
    if state[X.lots] == 0.0:
        return
    state[X.stop_price] = decided.stop_price
    state[X.holding_bars] += 1.0

    low, high = tape.rows[row, R.low_after], tape.rows[row, R.high_after]
    if due < due_end or within_reach(state, low, high, instrument, params, costs):
        _walk(state, tape, first, tape.clock[row + 1, C.first_base], due, due_end, instrument, params, costs)


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
            settle_funding(state, tape, due, instrument, costs)
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
                close_position(state, bid, ask, reached, instrument, params, costs)
                return
        if bar + 1 < end:
            closed = int(tape.base[bar, 4])
            while due < due_end and tape.funding[due, 2] <= closed:
                settle_funding(state, tape, due, instrument, costs)
                due += 1
            flatten = guard(state, closed * MS_NS, tape.base[bar, 3], instrument, params)
    while due < due_end:
        settle_funding(state, tape, due, instrument, costs)
        due += 1
