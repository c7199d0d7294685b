"""The gate: the rules that an increase of exposure must pass, one after the other.

Closing and shrinking a position never pass through these rules: they are always allowed.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.breaker import ACTIVE
from core.compiled import inlined
from core.protections import recall
from core.risk import RiskParams
from core.situation import Account, Instrument, Market

__all__ = [
    "ALLOWED",
    "CAPITAL",
    "ENTRY_COUNT",
    "ENTRY_SPACING",
    "LOSS_PER_TRADE",
    "MIN_NOTIONAL",
    "NOT_ACTIVE",
    "PYRAMIDING",
    "VERDICTS",
    "VOLATILITY",
    "Proposal",
    "allowed_lots",
]

FloatArray = npt.NDArray[np.float64]

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


class Proposal(NamedTuple):
    """An increase that sizing wants.

    ``side`` +1 long, -1 short; ``size`` and ``held`` wanted and held lots, unsigned, ``size > held``; ``entry_price``
    average of what is held (0 = nothing), ``stop_price`` planned for the whole; quote currency; ``adds`` increases so
    far.
    """

    side: int
    size: int
    held: int
    entry_price: float
    stop_price: float
    adds: int


@inlined
def allowed_lots(
    proposal: Proposal,
    market: Market,
    account: Account,
    memory: FloatArray,
    at: int,
    instrument: Instrument,
    params: RiskParams,
) -> tuple[int, int]:
    """Pass an increase through every rule.

    Parameters
    ----------
    proposal, market, account, instrument, params
        See their classes.
    memory, at
        `core.protections`; the rules' numbers are left there for whoever explains the decision.

    Returns
    -------
    tuple[int, int]
        Lots that the whole position may have (unsigned; ``held`` where the increase is denied), and the rule that
        denied or cut it last (``ALLOWED`` where none did).
    """
    side, size, held, entry_price, stop_price, _ = proposal
    known = recall(memory, at, params)
    in_profit = held > 0 and side * (market.close - entry_price) > 0.0
    verdict = entry_verdict(
        account.state, market.volatility_rank, known.entries_24h, known.bars_since_entry, held, in_profit, params
    )
    if verdict != ALLOWED:
        return held, verdict
    size, verdict = risk_lots(
        size,
        side,
        held,
        entry_price,
        market.close,
        stop_price,
        instrument.lot,
        account.equity,
        account.other_notional,
        params,
    )
    size = min(size, instrument.max_lots)
    if size <= held:
        return held, verdict
    added = size - held
    if added < instrument.min_lots or added * instrument.lot * market.close < instrument.min_notional:
        return held, MIN_NOTIONAL
    return size, verdict


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
