"""The simulated account as places of one float64 array: what a fill, a funding and a mark do to it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.breaker import HALTED, DayRisk, guard_day, update_day
from core.compiled import inlined
from core.costs import CostParams, ask_ticks, bid_ticks, commission
from core.decision import DecisionParams
from core.position import filled, realised
from core.protections import close_trade, memory_size
from core.situation import Instrument, Position
from core.tape import Tape

__all__ = [
    "MEMORY",
    "State",
    "X",
    "close_position",
    "fill",
    "guard",
    "mark",
    "position",
    "settle_funding",
    "state_size",
    "stop_ticks",
    "tick_price",
    "within_reach",
]

FloatArray = npt.NDArray[np.float64]


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
MEMORY = len(State._fields)
"""Place at which the gate's memory begins."""
_ROUNDING = 1e-9
"""Share of the high-water mark by which a limit is looked at too early rather than too late."""


@inlined
def state_size(params: DecisionParams) -> int:
    """Return the length of an account's state."""
    return MEMORY + memory_size(params.risk)


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
def mark(state: FloatArray, ts: int, params: DecisionParams) -> None:
    """Fold the row's equity into the breaker's memory."""
    _remember(state, update_day(_day(state), ts, state[X.equity], params.risk))


@inlined
def guard(state: FloatArray, ts: int, close: float, instrument: Instrument, params: DecisionParams) -> bool:
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
def position(state: FloatArray) -> Position:
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
def fill(
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
    before = position(state)
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
        close_trade(state, MEMORY, state[X.trade_profit] / state[X.trade_equity], stopped, params.risk)


@inlined
def close_position(
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
    fill(state, -lots, bid if lots > 0 else ask, 0.0, False, stopped, instrument, params, costs)
    state[X.stops] += int(stopped)


@inlined
def settle_funding(state: FloatArray, tape: Tape, due: int, instrument: Instrument, costs: CostParams) -> None:
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
def within_reach(
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
