"""One decision: exits, then size, then gate, to a signed target position in lots.

The same compiled function is called by the strategy on every closed decision bar, by the training environment and by
every replay. A position is held in whole lots (``int``), so that rounding happens once, here and towards zero.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.breaker import HALTED
from core.compiled import inlined
from core.exits import (
    BREAKER_EXIT,
    DUST,
    EXIT_NONE,
    PARTIAL_TAKE,
    SIGNAL_EXIT,
    TAKE_PROFIT,
    ExitParams,
    break_even,
    exit_reason,
    first_stop,
    has_room,
    moved_stop,
    taken_lots,
)
from core.gate import Proposal, allowed_lots
from core.risk import RiskParams
from core.rules import ADD_ROOM, ADD_SIZE, ADD_TAKEN, ALLOWED
from core.situation import Account, Instrument, Market, Position
from core.sizing import SizingParams, largest_add, signed_exposure

__all__ = ["BREAKER_EXIT", "SIGNAL_EXIT", "Decided", "DecisionParams", "decide"]

FloatArray = npt.NDArray[np.float64]

_DUST = 0.9
"""Share of the smallest order's worth below which a position is dust: one that filled a tick below is none."""


class DecisionParams(NamedTuple):
    """Everything that a decision may be tuned by."""

    sizing: SizingParams
    exits: ExitParams
    risk: RiskParams


class Decided(NamedTuple):
    """The outcome.

    ``target_lots`` signed total, never a delta; ``stop_price`` of the position after the decision (0 = none);
    ``exit_code`` why a position is closed, or that a part of its profit is taken (`core.exits`; 0 = neither);
    ``verdict`` what the gate said of an increase (`core.rules.ALLOWED`, or the rule that denied or cut it).
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

    Notes
    -----
    Adds: in profit alone, each at most ``add_fraction`` of the one before, none once a part of the profit was taken,
    and only where the stop of the whole can stand at break-even (costs included) and still be ``min_stop_fraction`` of
    the price away. A part that would leave less than the exchange's smallest order takes the whole with it.
    """
    lots = position.lots
    held = abs(lots)
    cost = params.risk.exit_cost
    unit = market.close * instrument.lot
    side = 1 if lots > 0 else -1
    stop = 0.0
    if held > 0:
        code = _closing(side, level, tradable, market, position, account, instrument, params)
        if code != EXIT_NONE:
            return Decided(0, 0.0, code, ALLOWED)
        stop = moved_stop(side, market.close, market.atr, position.entry_price, position.stop_price, cost, params.exits)
        taken = taken_lots(side, market.close, market.atr, position, params.exits)
        if taken > 0:
            rest = held - max(taken, instrument.min_lots)
            if rest < instrument.min_lots or rest * unit < instrument.min_notional:
                return Decided(0, 0.0, TAKE_PROFIT, ALLOWED)
            return Decided(side * rest, stop, PARTIAL_TAKE, ALLOWED)
    elif level == 0.0:
        return Decided(0, 0.0, EXIT_NONE, ALLOWED)
    else:
        side = 1 if level > 0.0 else -1
    if not tradable:
        return Decided(lots, stop, EXIT_NONE, ALLOWED)

    exposure = signed_exposure(level, confidence, market.volatility, params.sizing)
    size = int(np.floor(abs(exposure) * account.equity / unit + 1e-9))
    if held > 0 and abs(size - held) < params.sizing.rebalance_threshold * held:
        return Decided(lots, stop, EXIT_NONE, ALLOWED)
    if size < held:
        if size < instrument.min_lots or size * unit < instrument.min_notional:
            return Decided(0, 0.0, SIGNAL_EXIT, ALLOWED)
        if held - size < instrument.min_lots:
            return Decided(lots, stop, EXIT_NONE, ALLOWED)
        return Decided(side * size, stop, EXIT_NONE, ALLOWED)
    if size == held:
        return Decided(lots, stop, EXIT_NONE, ALLOWED)

    planned = first_stop(side, market.close, market.atr, params.exits)
    if held > 0:
        size = min(size, held + largest_add(position.last_lots, params.sizing))
        planned = _nearest(side, planned, stop, break_even(side, position.entry_price, cost))
        if size <= held:
            return Decided(lots, stop, EXIT_NONE, ADD_SIZE)
        if position.takes > 0:
            return Decided(lots, stop, EXIT_NONE, ADD_TAKEN)
        gains = side * (market.close - position.entry_price) > 0.0  # what loses is the gate's to refuse, by its name
        if gains and not has_room(side, market.close, planned, params.exits):
            return Decided(lots, stop, EXIT_NONE, ADD_ROOM)
    proposal = Proposal(side, size, held, position.entry_price, planned, position.adds)
    allowed, verdict = allowed_lots(proposal, market, account, memory, at, instrument, params.risk)
    if allowed <= held:
        return Decided(lots, stop, EXIT_NONE, verdict)
    if held > 0:
        average = (held * position.entry_price + (allowed - held) * market.close) / allowed
        planned = _nearest(side, planned, planned, break_even(side, average, cost))
        if not has_room(side, market.close, planned, params.exits):
            return Decided(lots, stop, EXIT_NONE, ADD_ROOM)
    return Decided(side * allowed, planned, EXIT_NONE, verdict)


@inlined
def _closing(
    side: int,
    level: float,
    tradable: bool,  # noqa: FBT001
    market: Market,
    position: Position,
    account: Account,
    instrument: Instrument,
    params: DecisionParams,
) -> int:
    """Return why a held position is closed at this bar, or ``EXIT_NONE``."""
    if account.state == HALTED:
        return BREAKER_EXIT
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
        return code
    held = abs(position.lots)
    worth = held * instrument.lot * max(market.close, position.entry_price)
    if held < instrument.min_lots or worth < _DUST * instrument.min_notional:
        return DUST
    if tradable and level * side <= 0.0:
        return SIGNAL_EXIT
    return EXIT_NONE


@inlined
def _nearest(side: int, first: float, second: float, third: float) -> float:
    """Return the stop that is nearest to the price, of a long the highest."""
    return side * max(side * first, side * second, side * third)
