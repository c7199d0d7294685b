"""What a decision is taken on: the instrument, the market, the position and the account, as plain tuples."""

from typing import NamedTuple

__all__ = ["Account", "Instrument", "Market", "Position"]


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

    ``close`` and ``atr`` in quote currency, ``volatility`` annualised (fraction), ``volatility_rank`` in [0, 1];
    ``previous_close`` of the decision bar before (0 = unknown); ``funding_rate`` the last settled one (longs pay a
    positive rate); ``minutes_to_funding`` until the next settlement.
    """

    close: float
    atr: float
    volatility: float
    volatility_rank: float
    previous_close: float = 0.0
    funding_rate: float = 0.0
    minutes_to_funding: float = 480.0


class Position(NamedTuple):
    """The position before the decision.

    ``lots`` signed; ``entry_price`` average; ``stop_price`` of the resting stop (0 = none); ``holding_bars`` age in
    decision bars; ``first_stop`` the stop that it was opened with (0 = unknown); ``adds`` and ``takes``: increases and
    partial take-profits so far; ``first_lots`` what it was opened with and ``last_lots`` what was last added (the same
    before any add), unsigned, 0 = unknown. `core.position.filled` keeps them.
    """

    lots: int
    entry_price: float
    stop_price: float
    holding_bars: int
    first_stop: float = 0.0
    adds: int = 0
    takes: int = 0
    first_lots: int = 0
    last_lots: int = 0


class Account(NamedTuple):
    """The account before the decision.

    ``equity`` mark-to-market, ``other_notional`` (gross, other instruments) and ``group_notional`` (gross, other
    instruments of the same correlated group) in quote currency; ``state`` one of `core.breaker.ACTIVE`, `REDUCING`,
    `HALTED`; ``data_age_seconds`` and ``state_age_seconds``: age of the decision bar and of the marked account;
    ``frozen`` (0 or 1): an order's fate is unknown or an invariant is violated, so nothing may be opened;
    ``drawdown`` from the UTC day's high-water mark (fraction, >= 0).
    """

    equity: float
    other_notional: float
    state: int
    group_notional: float = 0.0
    data_age_seconds: float = 0.0
    state_age_seconds: float = 0.0
    frozen: int = 0
    drawdown: float = 0.0
