"""One decision: exits, then size, then gate, to a signed target position in lots.

The same compiled function is called by the strategy on every closed decision bar, by the training environment and by
every replay. A position is held in whole lots (``int``), so that rounding happens once, here and towards zero.
"""

from typing import NamedTuple

import numpy as np

from core.compiled import inlined
from core.exits import EXIT_NONE, ExitParams, exit_reason, trailed_stop
from core.risk import ALLOWED, HALTED, MIN_NOTIONAL, RiskParams, entry_verdict, risk_lots
from core.sizing import SizingParams, signed_exposure

__all__ = [
    "BREAKER_EXIT",
    "SIGNAL_EXIT",
    "Account",
    "Decided",
    "DecisionParams",
    "Instrument",
    "Market",
    "Position",
    "decide",
]

SIGNAL_EXIT = 10
"""Exit code of a position closed because the ensemble no longer wants it (see `core.exits` for the others)."""
BREAKER_EXIT = 11
"""Exit code of a position closed because the gate is HALTED."""


class Instrument(NamedTuple):
    """Exchange filters of one instrument.

    Units: ``tick`` quote currency, ``lot`` base asset, ``min_notional`` quote currency; lots are counts.
    """

    tick: float
    lot: float
    min_lots: int
    max_lots: int
    min_notional: float


class Market(NamedTuple):
    """What a closed decision bar says of the market.

    ``close`` and ``atr`` in quote currency, ``volatility`` annualised (fraction), ``volatility_rank`` in [0, 1].
    """

    close: float
    atr: float
    volatility: float
    volatility_rank: float


class Position(NamedTuple):
    """The position before the decision: signed lots, average entry price, resting stop (0 = none), age in bars."""

    lots: int
    entry_price: float
    stop_price: float
    holding_bars: int


class Account(NamedTuple):
    """The account before the decision.

    ``equity`` mark-to-market and ``other_notional`` (gross, other instruments) in quote currency; ``state`` one of
    `core.risk.ACTIVE`, `REDUCING`, `HALTED`; ``entries_today`` entries in the last 24 hours;
    ``bars_since_entry`` decision bars since the last entry on this instrument.
    """

    equity: float
    other_notional: float
    state: int
    entries_today: int
    bars_since_entry: int


class DecisionParams(NamedTuple):
    """Everything that a decision may be tuned by."""

    sizing: SizingParams
    exits: ExitParams
    risk: RiskParams


class Decided(NamedTuple):
    """The outcome.

    ``target_lots`` signed total, never a delta; ``stop_price`` of the position after the decision (0 = none);
    ``exit_code`` why a position is closed (0 = it is not); ``verdict`` what the gate said of an increase
    (`core.risk.ALLOWED`, or the rule that denied or cut it).
    """

    target_lots: int
    stop_price: float
    exit_code: int
    verdict: int


@inlined
def decide(
    level: float,
    confidence: float,
    tradable: bool,  # noqa: FBT001
    market: Market,
    position: Position,
    account: Account,
    instrument: Instrument,
    params: DecisionParams,
) -> Decided:
    """Decide the target position at a closed decision bar.

    Parameters
    ----------
    level : float
        Signed strength of the wanted position in [-1, 1]; 0 wants none.
    confidence : float
        Confidence of the signal in [0, 1].
    tradable : bool
        False where the ensemble abstained, the window has a hole or is not warm: no new exposure, exits go on.
    market, position, account, instrument, params
        See the classes of this module.

    Returns
    -------
    Decided
        A reversal closes first and opens at a later decision: one order a decision, so that a stop that fires
        while the order is under way can never leave a position larger than was meant.
    """
    lots = position.lots
    if lots != 0:
        side = 1 if lots > 0 else -1
        if account.state == HALTED:
            return Decided(0, 0.0, BREAKER_EXIT, ALLOWED)
        code = exit_reason(
            side,
            market.close,
            market.atr,
            position.entry_price,
            position.stop_price,
            position.holding_bars,
            params.exits,
        )
        if code != EXIT_NONE:
            return Decided(0, 0.0, code, ALLOWED)
        if tradable and level * side <= 0.0:
            return Decided(0, 0.0, SIGNAL_EXIT, ALLOWED)
        stop = trailed_stop(side, market.close, market.atr, position.entry_price, position.stop_price, params.exits)
    else:
        side = 0 if level == 0.0 else (1 if level > 0.0 else -1)
        stop = 0.0
    if not tradable or side == 0:
        return Decided(lots, stop, EXIT_NONE, ALLOWED)

    exposure = signed_exposure(level, confidence, market.volatility, params.sizing)
    wanted = abs(exposure) * account.equity
    unit = market.close * instrument.lot
    size = int(np.floor(wanted / unit + 1e-9))
    held = abs(lots)
    if held > 0 and abs(size - held) < params.sizing.rebalance_threshold * held:
        return Decided(lots, stop, EXIT_NONE, ALLOWED)
    if size < held:
        if size < instrument.min_lots or size * unit < instrument.min_notional:
            return Decided(0, 0.0, SIGNAL_EXIT, ALLOWED)
        return Decided(side * size, stop, EXIT_NONE, ALLOWED)
    if size == held:
        return Decided(lots, stop, EXIT_NONE, ALLOWED)

    in_profit = held > 0 and side * (market.close - position.entry_price) > 0.0
    verdict = entry_verdict(
        account.state,
        market.volatility_rank,
        account.entries_today,
        account.bars_since_entry,
        held,
        in_profit,
        params.risk,
    )
    if verdict != ALLOWED:
        return Decided(lots, stop, EXIT_NONE, verdict)
    fresh = market.close - side * params.exits.stop_atr * market.atr
    planned = fresh if held == 0 or side * (fresh - stop) > 0.0 else stop
    capped, verdict = risk_lots(
        size,
        side,
        held,
        position.entry_price,
        market.close,
        planned,
        unit / market.close,
        account.equity,
        account.other_notional,
        params.risk,
    )
    capped = min(capped, instrument.max_lots)
    if capped <= held:
        return Decided(lots, stop, EXIT_NONE, verdict)
    added = capped - held
    if added < instrument.min_lots or added * unit < instrument.min_notional:
        return Decided(lots, stop, EXIT_NONE, MIN_NOTIONAL)
    return Decided(side * capped, planned, EXIT_NONE, verdict)
