"""The gate: every rule of `core.rules`, asked of every proposed increase of exposure.

Closing and shrinking a position never pass through these rules: they are always allowed.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core import rules as r
from core.breaker import ACTIVE
from core.compiled import inlined
from core.protections import JUDGED, NUMBERS, M, recall
from core.risk import RiskParams
from core.situation import Account, Instrument, Market

__all__ = ["LEAST_SCALE", "Proposal", "RuleResult", "allowed_lots", "explained", "limit_scale", "spoken"]

FloatArray = npt.NDArray[np.float64]

LEAST_SCALE = 0.1
"""Dynamic limits never shrink below this share of what is configured."""
_ROUNDING = 1e-9
"""Share of a lot by which a quotient of floats may lie below the whole number that it means."""
_NAMES = tuple((rule.code, rule.name) for rule in r.RULES)


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


class RuleResult(NamedTuple):
    """What a rule said of an increase.

    ``verdict``: "passed", "cut", "denied", "off" (by configuration) or "idle" (nothing to judge; ``value`` is NaN),
    whatever other rules said; ``value`` and ``limit`` as `core.rules.RULES` describes them, the limit as tightened;
    ``lots`` of the whole position that this rule and those before it leave.
    """

    name: str
    verdict: str
    value: float
    limit: float
    lots: int


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
        `core.protections`; the rules' numbers are left there for `explained`.

    Returns
    -------
    tuple[int, int]
        Lots that the whole position may have (unsigned; ``held`` where the increase is denied), and the rule that
        denied or cut it last (``ALLOWED`` where none did).

    Notes
    -----
    A value that is NaN passes no rule. Where nobody asks for an explanation, the rules after a denial are left out:
    they could not change what is left.
    """
    held, explain = proposal.held, memory[at + M.explain] == 1.0
    memory[at + M.judged_ts] = memory[at + M.ts]
    memory[at + M.wanted] = proposal.size
    memory[at + M.held] = held
    left = proposal.size, r.ALLOWED
    left = _judge_situation(left, proposal, market, account, memory, at, params)
    if left[0] == held and not explain:
        return left
    left = _judge_history(left, proposal, memory, at, params)
    if left[0] == held and not explain:
        return left
    left = _judge_position(left, proposal, market, memory, at, params)
    if left[0] == held and not explain:
        return left
    scale = limit_scale(market.volatility_rank, int(memory[at + M.streak]), account.drawdown, params)
    left = _judge_capital(left, proposal, market, account, scale, memory, at, instrument, params)
    left = _judge_loss(left, proposal, market, account, scale, memory, at, instrument, params)
    return _judge_order(left, proposal, market, memory, at, instrument, params)


@inlined
def limit_scale(volatility_rank: float, loss_streak: int, drawdown: float, params: RiskParams) -> float:
    """Return the share of the limits of loss and capital that is left, in [`LEAST_SCALE`, 1].

    Each share of volatility above its calm quantile, loss in a row and share of the day's drawdown takes its part, as a
    factor; what is NaN takes all of its part.
    """
    calm = params.volatility_calm_quantile
    wild = _share((volatility_rank - calm) / (1.0 - calm)) if volatility_rank != calm else 0.0
    scale = 1.0 - params.tighten_volatility * wild
    scale *= 1.0 - params.tighten_drawdown * _share(drawdown / params.daily_drawdown)
    if loss_streak > 0:
        scale *= (1.0 - params.tighten_loss) ** loss_streak
    return max(scale, LEAST_SCALE)


def explained(memory: FloatArray, at: int, params: RiskParams) -> tuple[RuleResult, ...]:
    """Return what every rule said at the bar that was opened last.

    Empty where no increase was proposed at it, and of a memory that does not explain (`core.protections.new_memory`).
    """
    return tuple(RuleResult(*said) for said in spoken(memory, at, params))


def spoken(memory: FloatArray, at: int, params: RiskParams) -> list[tuple[str, str, float, float, int]]:
    """Return the same as plain tuples: a decision a minute has no time for more."""
    if memory[at + M.explain] == 0.0 or memory[at + M.judged_ts] != memory[at + M.ts]:
        return []
    wanted, held = int(memory[at + M.wanted]), int(memory[at + M.held])
    numbers = memory[at + JUDGED : at + JUDGED + NUMBERS * len(r.RULES)].tolist()
    left = wanted
    said = []
    for (code, name), value, limit, lots in zip(_NAMES, numbers[0::3], numbers[1::3], numbers[2::3], strict=True):
        if params.rules_off >> code & 1:
            verdict = "off"
        elif lots < wanted:
            verdict = "cut" if lots > held else "denied"
            left = min(left, int(lots))
        else:
            verdict = "passed" if value == value else "idle"  # noqa: PLR0124 - NaN
        said.append((name, verdict, value, limit, left))
    return said


@inlined
def _judge_situation(
    left: tuple[int, int],
    proposal: Proposal,
    market: Market,
    account: Account,
    memory: FloatArray,
    at: int,
    params: RiskParams,
) -> tuple[int, int]:
    """Ask whether the program, its data and the market are in a state to open anything."""
    held = proposal.held
    state, frozen = float(account.state), float(account.frozen)
    left = _deny(left, held, r.NOT_ACTIVE, state == ACTIVE, state, float(ACTIVE), memory, at, params)
    left = _deny(left, held, r.FROZEN, frozen == 0.0, frozen, 0.0, memory, at, params)
    age, limit = account.data_age_seconds, params.max_data_age_seconds
    left = _deny(left, held, r.STALE_DATA, age <= limit, age, limit, memory, at, params)
    age, limit = account.state_age_seconds, params.max_state_age_seconds
    left = _deny(left, held, r.STALE_STATE, age <= limit, age, limit, memory, at, params)
    known = market.previous_close != 0.0
    distance = abs(market.close / market.previous_close - 1.0) if known else np.nan
    limit = params.max_price_distance
    left = _deny(left, held, r.PRICE_DISTANCE, not known or distance <= limit, distance, limit, memory, at, params)
    rank, limit = market.volatility_rank, params.volatility_quantile
    return _deny(left, held, r.VOLATILITY, rank <= limit, rank, limit, memory, at, params)


@inlined
def _judge_history(
    left: tuple[int, int], proposal: Proposal, memory: FloatArray, at: int, params: RiskParams
) -> tuple[int, int]:
    """Ask what the memory holds against another entry."""
    known = recall(memory, at, params)
    held = proposal.held
    value = float(known.calm_bars_missing)
    left = _deny(left, held, r.VOLATILITY_PAUSE, value <= 0.0, value, 0.0, memory, at, params)
    value, limit = float(known.entries_24h), float(params.max_entries_24h)
    left = _deny(left, held, r.ENTRY_COUNT, value < limit, value, limit, memory, at, params)
    value, limit = float(known.entries_today), float(params.max_entries_per_day)
    left = _deny(left, held, r.ENTRY_COUNT_DAY, value < limit, value, limit, memory, at, params)
    value, limit = float(known.bars_since_entry), float(params.min_entry_spacing_bars)
    left = _deny(left, held, r.ENTRY_SPACING, value >= limit, value, limit, memory, at, params)
    value = float(known.streak_bars_left)
    left = _deny(left, held, r.LOSS_STREAK, value <= 0.0, value, 0.0, memory, at, params)
    value = float(known.stop_bars_left)
    left = _deny(left, held, r.STOP_GUARD, value <= 0.0, value, 0.0, memory, at, params)
    value = float(known.profit_bars_left)
    return _deny(left, held, r.LOW_PROFIT, value <= 0.0, value, 0.0, memory, at, params)


@inlined
def _judge_position(
    left: tuple[int, int], proposal: Proposal, market: Market, memory: FloatArray, at: int, params: RiskParams
) -> tuple[int, int]:
    """Ask whether the position may be added to, what funding it would pay, and how far its stop is from liquidation."""
    side, held = proposal.side, proposal.held
    adds = held > 0
    value = np.nan
    if adds and proposal.entry_price > 0.0:
        value = side * (market.close / proposal.entry_price - 1.0)
    left = _deny(left, held, r.PYRAMIDING, not adds or value > 0.0, value, 0.0, memory, at, params)
    limit = float(params.max_adds if params.pyramiding == 1 else 0)
    value = float(proposal.adds) if adds else np.nan
    left = _deny(left, held, r.ADD_COUNT, not adds or value < limit, value, limit, memory, at, params)

    due = not market.minutes_to_funding >= params.funding_minutes
    value = side * market.funding_rate if due else np.nan
    limit = params.max_funding_rate
    left = _deny(left, held, r.FUNDING, not due or value <= limit, value, limit, memory, at, params)

    entry = market.close
    if adds and side * (proposal.entry_price - entry) > 0.0:
        entry = proposal.entry_price
    margin = params.maintenance_margin if side < 0 else 0.0
    value = side * (entry - proposal.stop_price) * (1.0 + margin) / (entry * (1.0 - margin))
    limit = params.max_liquidation_share
    return _deny(left, held, r.LIQUIDATION, value <= limit, value, limit, memory, at, params)


@inlined
def _judge_capital(
    left: tuple[int, int],
    proposal: Proposal,
    market: Market,
    account: Account,
    scale: float,
    memory: FloatArray,
    at: int,
    instrument: Instrument,
    params: RiskParams,
) -> tuple[int, int]:
    """Cut to what the account, the instrument and its group may have in the market."""
    unit = market.close * instrument.lot
    others, equity = account.other_notional, scale * account.equity
    left = _cut(left, proposal, r.CAPITAL, 0, others, unit, params.max_capital * equity, memory, at, params)
    left = _cut(left, proposal, r.INSTRUMENT, 0, 0.0, unit, params.max_instrument * equity, memory, at, params)
    others = account.group_notional
    return _cut(left, proposal, r.GROUP, 0, others, unit, params.max_group * equity, memory, at, params)


@inlined
def _judge_loss(
    left: tuple[int, int],
    proposal: Proposal,
    market: Market,
    account: Account,
    scale: float,
    memory: FloatArray,
    at: int,
    instrument: Instrument,
    params: RiskParams,
) -> tuple[int, int]:
    """Cut to what the stop may cost.

    What is added loses from the close to the stop and pays both ways; what is held loses from its entry price and pays
    the way out, and a profit that its stop has locked in buys no further risk. The way out is charged at the dearer of
    close and stop. A stop that is none, or on the wrong side, bounds no loss.
    """
    side, held, stop = proposal.side, proposal.held, proposal.stop_price
    distance = side * (market.close - stop)
    way_out = params.exit_cost * max(market.close, stop)
    added = (distance + params.exit_cost * market.close + way_out) * instrument.lot
    if not (distance > 0.0 and stop > 0.0):
        added = np.inf
    kept = 0.0
    if held > 0:
        kept = held * max(side * (proposal.entry_price - stop) + way_out, 0.0) * instrument.lot
    limit = params.loss_per_trade * scale * account.equity
    return _cut(left, proposal, r.LOSS_PER_TRADE, held, kept, added, limit, memory, at, params)


@inlined
def _judge_order(
    left: tuple[int, int],
    proposal: Proposal,
    market: Market,
    memory: FloatArray,
    at: int,
    instrument: Instrument,
    params: RiskParams,
) -> tuple[int, int]:
    """Cut to what one order may be, and refuse one that is too small."""
    held = proposal.held
    unit = market.close * instrument.lot
    left = _cut(left, proposal, r.ORDER_NOTIONAL, held, 0.0, unit, params.max_order_notional, memory, at, params)
    left = _cut(left, proposal, r.MAX_LOTS, 0, 0.0, 1.0, float(instrument.max_lots), memory, at, params)
    added = left[0] - held
    value, limit = added * unit if added > 0 else np.nan, max(instrument.min_notional, instrument.min_lots * unit)
    return _deny(left, held, r.MIN_NOTIONAL, added == 0 or value >= limit, value, limit, memory, at, params)


@inlined
def _deny(
    left: tuple[int, int],
    held: int,
    rule: int,
    passes: bool,  # noqa: FBT001
    value: float,
    limit: float,
    memory: FloatArray,
    at: int,
    params: RiskParams,
) -> tuple[int, int]:
    """Leave what is left, or nothing beyond what is held."""
    most = int(memory[at + M.wanted]) if passes else held
    return _leave(left, rule, most, value, limit, memory, at, params)


@inlined
def _cut(
    left: tuple[int, int],
    proposal: Proposal,
    rule: int,
    free: int,
    used: float,
    unit: float,
    limit: float,
    memory: FloatArray,
    at: int,
    params: RiskParams,
) -> tuple[int, int]:
    """Leave as many lots as a limit has room for, and never less than what is held.

    ``used``: what others take of the limit, and the first ``free`` lots; ``unit``: what each lot beyond these takes.
    """
    value = used + (proposal.size - free) * unit
    most = proposal.size
    if not value <= limit:
        room = (limit - used) / unit + _ROUNDING
        most = free + int(min(np.floor(room), float(most))) if room > 0.0 else 0
        most = max(proposal.held, min(most, proposal.size))
    return _leave(left, rule, most, value, limit, memory, at, params)


@inlined
def _leave(
    left: tuple[int, int],
    rule: int,
    most: int,
    value: float,
    limit: float,
    memory: FloatArray,
    at: int,
    params: RiskParams,
) -> tuple[int, int]:
    """Write a rule's numbers down, and return what it leaves of the lots and the last rule that took some."""
    if memory[at + M.explain] == 1.0:
        place = at + JUDGED + NUMBERS * (rule - 1)
        memory[place] = value
        memory[place + 1] = limit
        memory[place + 2] = most
    if most < left[0] and params.rules_off >> rule & 1 == 0:
        return most, rule
    return left


@inlined
def _share(x: float) -> float:
    """Return a number cut to [0, 1]; NaN is 1."""
    if x <= 0.0:
        return 0.0
    return min(1.0, x)
