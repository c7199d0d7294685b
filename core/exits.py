"""Why a position is closed or shrunk, and where its protective stop stands."""

from typing import NamedTuple

import numpy as np

from core.compiled import inlined
from core.situation import Position

__all__ = [
    "BREAKER_EXIT",
    "BREAK_EVEN",
    "DUST",
    "EXIT_NONE",
    "EXIT_REASONS",
    "INHERITED",
    "MAX_HOLDING",
    "MAX_TAKES",
    "PARTIAL_TAKE",
    "SIGNAL_EXIT",
    "STOP_LOSS",
    "TAKE_PROFIT",
    "TRAILING_STOP",
    "ExitParams",
    "break_even",
    "exit_reason",
    "first_stop",
    "has_room",
    "moved_stop",
    "stop_reason",
    "taken_lots",
]

EXIT_NONE = 0
STOP_LOSS = 1
TRAILING_STOP = 2
TAKE_PROFIT = 3
MAX_HOLDING = 4
PARTIAL_TAKE = 5
BREAK_EVEN = 6
DUST = 7
SIGNAL_EXIT = 10
BREAKER_EXIT = 11
INHERITED = 12

EXIT_REASONS: dict[int, str] = {
    EXIT_NONE: "",
    STOP_LOSS: "stop_loss",
    TRAILING_STOP: "trailing_stop",
    TAKE_PROFIT: "take_profit",
    MAX_HOLDING: "max_holding",
    PARTIAL_TAKE: "partial_take",
    BREAK_EVEN: "break_even",
    DUST: "dust",
    SIGNAL_EXIT: "signal",
    BREAKER_EXIT: "breaker",
    INHERITED: "inherited",
}
"""Closed list of exit reasons by code.

``partial_take`` is the one that leaves a position; ``break_even`` and ``trailing_stop`` are stops that had been moved;
``signal``: the ensemble no longer wants it; ``breaker``: trading is HALTED; ``dust``: it is worth less than the
exchange's smallest order; ``inherited``: it was found at the start, and the configuration closes such.
"""

MAX_TAKES = 3
"""Most partial take-profits of a position."""


class ExitParams(NamedTuple):
    """Exits; distances in average true ranges of the decision bar.

    ``stop_atr``: of the first stop; ``trail_atr``: of the trailing stop (0 = off), once the close is
    ``trail_start_atr`` beyond the entry; ``take_profit_atr``: profit at which the position is closed (0 = off);
    ``max_holding_bars``: decision bars; ``min_stop_fraction`` and ``max_stop_fraction``: the first stop is no nearer
    and no farther than these shares of the price, and none is moved nearer than the former; ``break_even_atr``:
    profit from which the stop stands at least at break-even (0 = off); ``take_atr`` and ``take_fraction``: profits at
    which a share of the first size is taken, one after the other (0 = off).
    """

    stop_atr: float
    trail_atr: float
    trail_start_atr: float
    take_profit_atr: float
    max_holding_bars: int
    min_stop_fraction: float = 0.0
    max_stop_fraction: float = 1.0
    break_even_atr: float = 0.0
    take_atr: tuple[float, float, float] = (0.0, 0.0, 0.0)
    take_fraction: tuple[float, float, float] = (0.0, 0.0, 0.0)


@inlined
def exit_reason(
    side: int,
    close: float,
    atr: float,
    entry_price: float,
    stop_price: float,
    holding_bars: int,
    params: ExitParams,
) -> int:
    """Return why a position is to be closed at this decision bar, or ``EXIT_NONE``.

    Parameters
    ----------
    side : int
        +1 long, -1 short.
    close, atr, entry_price, stop_price : float
        Quote currency. A stop that the close has passed without its order having filled closes at once.
    holding_bars : int
        Decision bars since the entry.
    params : ExitParams
        The limits.
    """
    if stop_price > 0.0 and side * (close - stop_price) <= 0.0:
        return STOP_LOSS
    if params.take_profit_atr > 0.0 and side * (close - entry_price) >= params.take_profit_atr * atr:
        return TAKE_PROFIT
    if holding_bars >= params.max_holding_bars:
        return MAX_HOLDING
    return EXIT_NONE


@inlined
def first_stop(side: int, close: float, atr: float, params: ExitParams) -> float:
    """Return the stop of a position opened at the close: so many ATR away, within shares of the price."""
    distance = max(params.stop_atr * atr, params.min_stop_fraction * close)
    return close - side * min(distance, params.max_stop_fraction * close)


@inlined
def break_even(side: int, entry_price: float, cost: float) -> float:
    """Return the price at which leaving pays for itself.

    ``cost``: fee, half the spread and slippage of one way, a fraction of notional, below 1. It is counted twice: at the
    entry price for the way in, at the answer for the way out.
    """
    return entry_price * (1.0 + side * cost) / (1.0 - side * cost)


@inlined
def moved_stop(
    side: int, close: float, atr: float, entry_price: float, stop_price: float, cost: float, params: ExitParams
) -> float:
    """Return the stop after this bar: trailing, at break-even, or where it was; it only ever moves towards the price.

    Shapes and units as in `exit_reason` and `break_even`. A stop of 0 (none known) is replaced by a fresh one.
    """
    if stop_price <= 0.0:
        return first_stop(side, close, atr, params)
    stop = stop_price
    profit = side * (close - entry_price)
    least = params.min_stop_fraction * close
    if params.break_even_atr > 0.0 and profit >= params.break_even_atr * atr:
        candidate = break_even(side, entry_price, cost)
        if side * (candidate - stop) > 0.0 and has_room(side, close, candidate, params):
            stop = candidate
    if params.trail_atr > 0.0 and profit >= params.trail_start_atr * atr:
        candidate = close - side * max(params.trail_atr * atr, least)
        if side * (candidate - stop) > 0.0 and side * (close - candidate) > 0.0:
            stop = candidate
    return stop


@inlined
def has_room(side: int, close: float, stop: float, params: ExitParams) -> bool:
    """Return whether a stop stands on the losing side of the close, and not so near that the venue would refuse it."""
    distance = side * (close - stop)
    return distance > 0.0 and distance >= params.min_stop_fraction * close


@inlined
def taken_lots(side: int, close: float, atr: float, position: Position, params: ExitParams) -> int:
    """Return the lots (unsigned) of the next partial take-profit that this bar has reached, 0 for none.

    A share of what the position was opened with, rounded down to a lot but at least one, at most what is held. One
    level a decision: a bar that passes two takes the second at the next.
    """
    if position.takes >= MAX_TAKES or not params.take_atr[position.takes] > 0.0:
        return 0
    if side * (close - position.entry_price) < params.take_atr[position.takes] * atr:
        return 0
    held = abs(position.lots)
    whole = position.first_lots if position.first_lots > 0 else held
    return min(max(int(np.floor(params.take_fraction[position.takes] * whole + 1e-9)), 1), held)


@inlined
def stop_reason(position: Position, cost: float) -> int:
    """Return what a filled stop is called: the first one, one at break-even exactly, or one that was moved otherwise.

    ``position`` before the fill; ``cost`` as in `break_even`.
    """
    if position.first_stop == 0.0 or position.stop_price == position.first_stop:  # noqa: PLR1714 - a set allocates
        return STOP_LOSS
    side = 1 if position.lots > 0 else -1
    if position.stop_price == break_even(side, position.entry_price, cost):
        return BREAK_EVEN
    return TRAILING_STOP
