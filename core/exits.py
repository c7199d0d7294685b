"""Why a position is closed, and where its protective stop stands."""

from typing import NamedTuple

from core.compiled import inlined

__all__ = [
    "EXIT_NONE",
    "EXIT_REASONS",
    "MAX_HOLDING",
    "STOP_LOSS",
    "TAKE_PROFIT",
    "TRAILING_STOP",
    "ExitParams",
    "exit_reason",
    "trailed_stop",
]

EXIT_NONE = 0
STOP_LOSS = 1
TRAILING_STOP = 2
TAKE_PROFIT = 3
MAX_HOLDING = 4

EXIT_REASONS: dict[int, str] = {
    EXIT_NONE: "",
    STOP_LOSS: "stop_loss",
    TRAILING_STOP: "trailing_stop",
    TAKE_PROFIT: "take_profit",
    MAX_HOLDING: "max_holding",
    10: "signal",
    11: "breaker",
}
"""Closed list of exit reasons by code; 10 and 11 are `core.decision.SIGNAL_EXIT` and `BREAKER_EXIT`."""


class ExitParams(NamedTuple):
    """Exits.

    ``stop_atr``: distance of the first stop in average true ranges; ``trail_atr``: distance of the trailing stop
    (0 = off), once the close is ``trail_start_atr`` beyond the entry; ``take_profit_atr``: profit at which the
    position is closed (0 = off); ``max_holding_bars``: decision bars.
    """

    stop_atr: float
    trail_atr: float
    trail_start_atr: float
    take_profit_atr: float
    max_holding_bars: int


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
def trailed_stop(
    side: int, close: float, atr: float, entry_price: float, stop_price: float, params: ExitParams
) -> float:
    """Return the stop after this bar: it only ever moves towards the price.

    Shapes and units as in `exit_reason`. A stop of 0 (none known) is replaced by a fresh one.
    """
    if stop_price <= 0.0:
        return close - side * params.stop_atr * atr
    if params.trail_atr <= 0.0 or side * (close - entry_price) < params.trail_start_atr * atr:
        return stop_price
    candidate = close - side * params.trail_atr * atr
    return candidate if side * (candidate - stop_price) > 0.0 else stop_price
