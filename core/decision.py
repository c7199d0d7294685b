"""One decision: exits, then size, then gate, to a signed target position in lots.

The same compiled function is called by the strategy on every closed decision bar, by the training environment and by
every replay. A position is held in whole lots (``int``), so that rounding happens once, here and towards zero.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.breaker import HALTED
from core.compiled import inlined
from core.exits import EXIT_NONE, ExitParams, exit_reason, trailed_stop
from core.gate import Proposal, allowed_lots
from core.risk import RiskParams
from core.rules import ALLOWED
from core.situation import Account, Instrument, Market, Position
from core.sizing import SizingParams, signed_exposure

__all__ = [
    "BREAKER_EXIT",
    "SIGNAL_EXIT",
    "Decided",
    "DecisionParams",
    "decide",
]

FloatArray = npt.NDArray[np.float64]

SIGNAL_EXIT = 10
"""Exit code of a position closed because the ensemble no longer wants it (see `core.exits` for the others)."""
BREAKER_EXIT = 11
"""Exit code of a position closed because the gate is HALTED."""


class DecisionParams(NamedTuple):
    """Everything that a decision may be tuned by."""

    sizing: SizingParams
    exits: ExitParams
    risk: RiskParams


class Decided(NamedTuple):
    """The outcome.

    ``target_lots`` signed total, never a delta; ``stop_price`` of the position after the decision (0 = none);
    ``exit_code`` why a position is closed (0 = it is not); ``verdict`` what the gate said of an increase
    (`core.rules.ALLOWED`, or the rule that denied or cut it).
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
    memory: FloatArray,
    at: int,
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
        See `core.situation` and `DecisionParams`.
    memory, at
        What the gate remembers (`core.protections`); this bar was opened in it.

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

    fresh = market.close - side * params.exits.stop_atr * market.atr
    planned = fresh if held == 0 or side * (fresh - stop) > 0.0 else stop
    proposal = Proposal(side, size, held, position.entry_price, planned, position.adds)
    allowed, verdict = allowed_lots(proposal, market, account, memory, at, instrument, params.risk)
    if allowed <= held:
        return Decided(lots, stop, EXIT_NONE, verdict)
    return Decided(side * allowed, planned, EXIT_NONE, verdict)
