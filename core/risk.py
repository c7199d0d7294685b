"""The gate: trading states as one transition table, and the rules an increase of exposure must pass.

Closing and shrinking a position never pass through these rules: they are always allowed.
"""

from typing import NamedTuple

import numpy as np

from core.compiled import inlined

__all__ = [
    "ACTIVE",
    "ALLOWED",
    "EVENTS",
    "HALTED",
    "MIN_NOTIONAL",
    "REDUCING",
    "STATES",
    "TRANSITIONS",
    "VERDICTS",
    "DayRisk",
    "RiskParams",
    "drawdown_event",
    "entry_verdict",
    "next_state",
    "risk_lots",
    "update_day",
]

ACTIVE, REDUCING, HALTED = 0, 1, 2
STATES: tuple[str, ...] = ("ACTIVE", "REDUCING", "HALTED")

CALM, HALF_LIMIT, AT_LIMIT, NEW_DAY, REARM = 0, 1, 2, 3, 4
EVENTS: tuple[str, ...] = ("calm", "half_limit", "at_limit", "new_day", "rearm")

TRANSITIONS: dict[tuple[int, int], int] = {
    (ACTIVE, CALM): ACTIVE,
    (ACTIVE, HALF_LIMIT): REDUCING,
    (ACTIVE, AT_LIMIT): HALTED,
    (ACTIVE, NEW_DAY): ACTIVE,
    (ACTIVE, REARM): ACTIVE,
    (REDUCING, CALM): REDUCING,
    (REDUCING, HALF_LIMIT): REDUCING,
    (REDUCING, AT_LIMIT): HALTED,
    (REDUCING, NEW_DAY): ACTIVE,
    (REDUCING, REARM): ACTIVE,
    (HALTED, CALM): HALTED,
    (HALTED, HALF_LIMIT): HALTED,
    (HALTED, AT_LIMIT): HALTED,
    (HALTED, NEW_DAY): HALTED,
    (HALTED, REARM): ACTIVE,
}
"""(state, event) -> state. A day's drawdown never heals within the day; HALTED ends only by a re-arm."""

_TABLE = np.array([[TRANSITIONS[(s, e)] for e in range(len(EVENTS))] for s in range(len(STATES))], dtype=np.int64)

ALLOWED = 0
CAPITAL = 1
LOSS_PER_TRADE = 2
NOT_ACTIVE = 3
VOLATILITY = 4
ENTRY_COUNT = 5
ENTRY_SPACING = 6
PYRAMIDING = 7
MIN_NOTIONAL = 8

VERDICTS: dict[int, str] = {
    ALLOWED: "allowed",
    CAPITAL: "capital",
    LOSS_PER_TRADE: "loss_per_trade",
    NOT_ACTIVE: "not_active",
    VOLATILITY: "volatility",
    ENTRY_COUNT: "entry_count",
    ENTRY_SPACING: "entry_spacing",
    PYRAMIDING: "pyramiding",
    MIN_NOTIONAL: "min_notional",
}
"""Closed list of the gate's verdicts by code; CAPITAL and LOSS_PER_TRADE may cut an increase instead of denying it."""


class RiskParams(NamedTuple):
    """Limits of the gate; fractions of equity unless said otherwise.

    ``loss_per_trade``: loss at the stop, fees and slippage included; ``daily_drawdown``: from the UTC day's
    high-water mark; ``max_capital``: gross notional over all instruments; ``exit_cost``: fee, half the spread and
    slippage of the way out, as a fraction of notional; ``min_entry_spacing_bars`` and ``max_entries_per_day``:
    frequency; ``volatility_quantile``: no entry while the volatility rank is above it; ``pyramiding`` (0 or 1):
    whether a position in profit may be added to; ``auto_rearm`` (0 or 1): whether a new UTC day re-arms a HALTED
    gate without a person (replays and training only).
    """

    loss_per_trade: float
    daily_drawdown: float
    max_capital: float
    exit_cost: float
    min_entry_spacing_bars: int
    max_entries_per_day: int
    volatility_quantile: float
    pyramiding: int
    auto_rearm: int


class DayRisk(NamedTuple):
    """The gate's memory: UTC day number, the day's high-water mark (quote currency), drawdown (fraction), state."""

    day: int
    high_water_mark: float
    drawdown: float
    state: int


@inlined
def next_state(state: int, event: int) -> int:
    """Return the state after ``event``, by the transition table."""
    return int(_TABLE[state, event])


@inlined
def drawdown_event(drawdown: float, limit: float) -> int:
    """Return what a day's drawdown (fraction, >= 0) means against its limit."""
    if drawdown >= limit:
        return AT_LIMIT
    if drawdown >= 0.5 * limit:
        return HALF_LIMIT
    return CALM


@inlined
def update_day(before: DayRisk, ts_ns: int, equity: float, params: RiskParams) -> DayRisk:
    """Fold one mark-to-market equity into the gate's memory.

    Parameters
    ----------
    before : DayRisk
        Memory so far; a ``day`` of -1 starts it.
    ts_ns : int
        Time of the mark, ns since the epoch (UTC).
    equity : float
        Quote currency. Zero or less, or NaN, halts.
    params : RiskParams
        The limits.

    Notes
    -----
    A day opens with the last mark of the day before: what is lost over midnight counts.
    """
    day = (ts_ns - 1) // 86_400_000_000_000
    state = before.state
    high = before.high_water_mark
    if day != before.day:
        high = 0.0
        if before.day >= 0:
            high = before.high_water_mark * (1.0 - before.drawdown)
            state = next_state(state, NEW_DAY)
            if params.auto_rearm == 1:
                state = next_state(state, REARM)
    if not equity > 0.0:
        return DayRisk(day, high, 1.0, HALTED)
    high = max(high, equity)
    drawdown = 1.0 - equity / high
    return DayRisk(day, high, drawdown, next_state(state, drawdown_event(drawdown, params.daily_drawdown)))


@inlined
def entry_verdict(
    state: int,
    volatility_rank: float,
    entries_today: int,
    bars_since_entry: int,
    held_lots: int,
    in_profit: bool,  # noqa: FBT001
    params: RiskParams,
) -> int:
    """Return ``ALLOWED`` or the first rule that denies an increase of exposure."""
    if state != ACTIVE:
        return NOT_ACTIVE
    if volatility_rank > params.volatility_quantile:
        return VOLATILITY
    if entries_today >= params.max_entries_per_day:
        return ENTRY_COUNT
    if bars_since_entry < params.min_entry_spacing_bars:
        return ENTRY_SPACING
    if held_lots > 0 and (params.pyramiding == 0 or not in_profit):
        return PYRAMIDING
    return ALLOWED


@inlined
def risk_lots(
    size: int,
    side: int,
    held: int,
    entry_price: float,
    close: float,
    stop_price: float,
    lot: float,
    equity: float,
    other_notional: float,
    params: RiskParams,
) -> tuple[int, int]:
    """Cut a wanted size to what the limits of loss and capital leave.

    Parameters
    ----------
    size, held : int
        Wanted and held lots, both unsigned, ``size > held``.
    side : int
        +1 long, -1 short.
    entry_price, close, stop_price : float
        Average entry of what is held, expected price of what is added, stop of the whole; quote currency.
    lot : float
        Base asset a lot.
    equity, other_notional : float
        Quote currency.
    params : RiskParams
        The limits.

    Returns
    -------
    tuple[int, int]
        Lots (unsigned, not below 0) and the rule that bound (``ALLOWED`` where none did).
    """
    verdict = ALLOWED
    room = params.max_capital * equity - other_notional
    most = int(np.floor(max(room, 0.0) / (close * lot) + 1e-9))
    if size > most:
        size = most
        verdict = CAPITAL
    cost = params.exit_cost * close
    at_stop_new = side * (close - stop_price) + 2.0 * cost
    at_stop_held = max(side * (entry_price - stop_price) + cost, 0.0) if held > 0 else 0.0
    budget = params.loss_per_trade * equity - held * lot * at_stop_held
    if not at_stop_new > 0.0:
        return held, LOSS_PER_TRADE
    most = held + int(np.floor(max(budget, 0.0) / (at_stop_new * lot) + 1e-9))
    if size > most:
        size = most
        verdict = LOSS_PER_TRADE
    return max(size, 0), verdict
