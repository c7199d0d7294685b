"""The rules of the gate as one table: what each is called, looks at, compares and does.

A rule says of a proposed increase how many lots it would leave: all that are wanted, fewer (a cut), or none beyond
what is held (a denial). Each judges by itself, so that their order decides only which of two equal verdicts is named.
`core.gate` computes them in this order; a code is a place in this table, counted from 1.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from core.errors import ConfigError

__all__ = [
    "ADD_COUNT", "ADD_ROOM", "ADD_SIZE", "ADD_TAKEN", "ALLOWED", "CAPITAL", "ENTRY_COUNT", "ENTRY_COUNT_DAY",
    "ENTRY_SPACING", "FROZEN", "FUNDING", "GROUP", "INSTRUMENT", "LIQUIDATION", "LOSS_PER_TRADE", "LOSS_STREAK",
    "LOW_PROFIT", "MAX_LOTS", "MIN_NOTIONAL", "NOT_ACTIVE", "NO_ADD", "ORDER_NOTIONAL", "PRICE_DISTANCE",
    "PYRAMIDING", "RULES", "STALE_DATA", "STALE_STATE", "STOP_GUARD", "VERDICTS", "VOLATILITY", "VOLATILITY_PAUSE",
    "Rule", "off_mask",
]  # fmt: skip

ALLOWED = 0
NOT_ACTIVE = 1
FROZEN = 2
STALE_DATA = 3
STALE_STATE = 4
PRICE_DISTANCE = 5
VOLATILITY = 6
VOLATILITY_PAUSE = 7
ENTRY_COUNT = 8
ENTRY_COUNT_DAY = 9
ENTRY_SPACING = 10
LOSS_STREAK = 11
STOP_GUARD = 12
LOW_PROFIT = 13
PYRAMIDING = 14
ADD_COUNT = 15
FUNDING = 16
LIQUIDATION = 17
CAPITAL = 18
INSTRUMENT = 19
GROUP = 20
LOSS_PER_TRADE = 21
ORDER_NOTIONAL = 22
MAX_LOTS = 23
MIN_NOTIONAL = 24
ADD_SIZE = 25
ADD_TAKEN = 26
ADD_ROOM = 27


class Rule(NamedTuple):
    """One rule.

    ``meaning``: what it does, in a line; ``value`` that it measures and its ``unit``; ``passes``: how the value
    compares with the ``limit`` where nothing is taken away; ``inputs``: what it looks at; ``keys`` of the section
    ``[risk]`` that make the limit; ``cuts``: whether it may leave a part; ``switchable``: whether ``risk.disabled`` may
    name it.
    """

    code: int
    name: str
    meaning: str
    value: str
    unit: str
    passes: Literal["==", "<", "<=", ">", ">="]
    limit: str
    inputs: tuple[str, ...]
    keys: tuple[str, ...] = ()
    cuts: bool = False
    switchable: bool = True


RULES: tuple[Rule, ...] = (
    Rule(NOT_ACTIVE, "not_active", "nothing is opened unless the breaker is ACTIVE",
         "state of the breaker", "0 = ACTIVE", "==", "0", ("account.state",), switchable=False),
    Rule(FROZEN, "frozen", "nothing is opened while an order's fate is unknown or an invariant is violated",
         "whether entries are frozen", "0 or 1", "==", "0", ("account.frozen",)),
    Rule(STALE_DATA, "stale_data", "nothing is opened on an old bar",
         "age of the bar", "seconds", "<=", "max_data_age_seconds",
         ("account.data_age_seconds",), ("max_data_age_seconds",)),
    Rule(STALE_STATE, "stale_state", "nothing is opened on an old mark of the account",
         "age of the mark", "seconds", "<=", "max_state_age_seconds",
         ("account.state_age_seconds",), ("max_state_age_seconds",)),
    Rule(PRICE_DISTANCE, "price_distance", "nothing is opened on a price too far from the one before",
         "|close / previous close - 1|", "fraction", "<=", "max_price_distance",
         ("market.close", "market.previous_close"), ("max_price_distance",)),
    Rule(VOLATILITY, "volatility", "nothing is opened while volatility ranks high",
         "volatility rank", "quantile", "<=", "volatility_quantile",
         ("market.volatility_rank",), ("volatility_quantile",)),
    Rule(VOLATILITY_PAUSE, "volatility_pause", "after high volatility nothing is opened until it has been calm a while",
         "calm bars that are missing", "bars", "<=", "0",
         ("volatility ranks so far",), ("volatility_calm_quantile", "volatility_observation_bars")),
    Rule(ENTRY_COUNT, "entry_count", "entries in any 24 hours are limited",
         "entries in the last 24 hours", "entries", "<", "max_entries_24h", ("entries so far",), ("max_entries_24h",)),
    Rule(ENTRY_COUNT_DAY, "entry_count_day", "entries on a UTC day are limited",
         "entries since midnight UTC", "entries", "<", "max_entries_per_day",
         ("entries so far",), ("max_entries_per_day",)),
    Rule(ENTRY_SPACING, "entry_spacing", "two entries keep a distance in time",
         "bars since the last entry", "bars", ">=", "min_entry_spacing_minutes in bars",
         ("entries so far",), ("min_entry_spacing_minutes",)),
    Rule(LOSS_STREAK, "loss_streak", "losses in a row pause entries",
         "bars of the pause left", "bars", "<=", "0", ("closed trades",), ("loss_streak", "loss_streak_bars")),
    Rule(STOP_GUARD, "stop_guard", "many stop-outs in a short time pause entries",
         "bars of the pause left", "bars", "<=", "0",
         ("closed trades",), ("stop_guard_stops", "stop_guard_hours", "stop_guard_bars")),
    Rule(LOW_PROFIT, "low_profit", "recent trades that together lost too much pause entries",
         "bars of the pause left", "bars", "<=", "0",
         ("closed trades",), ("low_profit_trades", "low_profit_hours", "low_profit_return", "low_profit_bars")),
    Rule(PYRAMIDING, "pyramiding", "a position is added to only in profit",
         "profit of what is held", "fraction of its entry price", ">", "0", ("market.close", "position.entry_price")),
    Rule(ADD_COUNT, "add_count", "a position is added to only so often",
         "adds so far", "adds", "<", "max_adds, 0 without pyramiding", ("position.adds",), ("pyramiding", "max_adds")),
    Rule(FUNDING, "funding", "nothing is opened just before it pays a high funding",
         "funding that this side pays", "fraction of notional", "<=", "max_funding_rate",
         ("market.minutes_to_funding", "market.funding_rate"), ("funding_minutes", "max_funding_rate")),
    Rule(LIQUIDATION, "liquidation", "the stop stands well before the liquidation price (isolated margin, leverage 1)",
         "share of the way from entry to liquidation at which the stop stands", "fraction", "<=",
         "max_liquidation_share", ("stop price", "market.close", "position.entry_price"),
         ("maintenance_margin", "max_liquidation_share")),
    Rule(CAPITAL, "capital", "all positions and orders under way together use only a part of the equity",
         "gross notional of all instruments", "quote currency", "<=", "max_capital of equity, tightened",
         ("account.equity", "account.other_notional"), ("max_capital",), cuts=True),
    Rule(INSTRUMENT, "instrument", "one instrument uses only a part of the equity",
         "notional of the instrument", "quote currency", "<=", "max_instrument of equity, tightened",
         ("account.equity",), ("max_instrument",), cuts=True),
    Rule(GROUP, "group", "instruments that move together use only a part of the equity",
         "gross notional of the group", "quote currency", "<=", "max_group of equity, tightened",
         ("account.equity", "account.group_notional"), ("max_group", "groups"), cuts=True),
    Rule(LOSS_PER_TRADE, "loss_per_trade", "the stop, were it hit, costs only a part of the equity, all costs included",
         "loss at the stop, of what is held and what is added", "quote currency", "<=",
         "loss_per_trade of equity, tightened",
         ("account.equity", "stop price", "market.close", "position.entry_price", "costs"), ("loss_per_trade",),
         cuts=True),
    Rule(ORDER_NOTIONAL, "order_notional", "no single order is larger than this, whatever the equity",
         "notional of the order", "quote currency", "<=", "max_order_notional",
         ("market.close",), ("max_order_notional",), cuts=True),
    Rule(MAX_LOTS, "max_lots", "a position can be closed by one order at the exchange",
         "size of the position", "lots", "<=", "the exchange's largest market order", ("instrument.max_lots",),
         cuts=True, switchable=False),
    Rule(MIN_NOTIONAL, "min_notional", "an order that the exchange would refuse as too small is not sent",
         "notional of the order", "quote currency", ">=", "the exchange's smallest order",
         ("instrument.min_notional", "instrument.min_lots", "market.close"), switchable=False),
)  # fmt: skip
"""Every rule in the order of evaluation."""

NO_ADD: dict[int, str] = {ADD_SIZE: "add_size", ADD_TAKEN: "add_taken", ADD_ROOM: "add_room"}
"""Why a decision itself makes no add: too small a one, a part of the profit taken, a stop too near to the price."""

VERDICTS: dict[int, str] = {ALLOWED: "allowed"} | {rule.code: rule.name for rule in RULES} | NO_ADD
"""Closed list of verdicts by code."""


def off_mask(names: Iterable[str]) -> int:
    """Return the bit mask of the rules of these names.

    Raises
    ------
    ConfigError
        Where a name is no rule, or is that of a rule that is always on.
    """
    rules = {rule.name: rule for rule in RULES if rule.switchable}
    mask = 0
    for name in names:
        if name not in rules:
            raise ConfigError(f'risk.disabled: "{name}" is no rule that can be off; choose {" or ".join(rules)}')
        mask |= 1 << rules[name].code
    return mask
