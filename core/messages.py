"""What the components tell each other: frozen plain structs on topics, one nested synchronous call each."""

import msgspec

__all__ = ["Mark", "PositionState", "RiskState", "Signal", "mark_topic", "position_topic", "risk_topic", "signal_topic"]


def signal_topic(instrument_id: str) -> str:
    """Topic of the ensemble's signals for an instrument."""
    return f"signals.{instrument_id}"


def mark_topic() -> str:
    """Topic of the request to mark the account to market."""
    return "risk.mark"


def risk_topic() -> str:
    """Topic of the risk actor's state."""
    return "risk.state"


def position_topic(instrument_id: str) -> str:
    """Topic of the strategy's position for an instrument."""
    return f"positions.{instrument_id}"


class Mark(msgspec.Struct, frozen=True):
    """A decision bar closed: the account is to be marked to market, now, before anything is decided on it."""

    instrument_id: str
    ts_event: int
    close: float


class PositionState(msgspec.Struct, frozen=True):
    """A position as its owner knows it after a fill or a decision.

    ``lots`` signed; prices in quote currency; ``stop_price`` 0 where none; ``holding_bars`` decision bars;
    ``committed_lots`` unsigned, the larger of what is held and what an order under way may make of it; ``realised``
    the sum of all realised profits less commissions so far, quote currency.
    """

    instrument_id: str
    lots: int
    committed_lots: int
    entry_price: float
    stop_price: float
    holding_bars: int
    realised: float
    ts_event: int


class RiskState(msgspec.Struct, frozen=True):
    """The account marked to market at a closed decision bar.

    Money in quote currency; ``drawdown`` fraction of the UTC day's high-water mark; ``state`` a code of `core.risk`;
    ``gross_notional`` of all instruments, orders under way included.
    """

    ts_event: int
    equity: float
    balance: float
    high_water_mark: float
    drawdown: float
    state: int
    gross_notional: float


class Signal(msgspec.Struct, frozen=True):
    """The ensemble's word at a closed decision bar.

    ``level`` in [-1, 1]; ``tradable`` False where the ensemble abstained or the window is not fit; ``levels`` and
    ``confidences`` the votes in model order; market context as in `core.decision.Market`.
    """

    instrument_id: str
    ts_event: int
    level: float
    confidence: float
    agreement: float
    voters: int
    abstention: str
    tradable: bool
    close: float
    atr: float
    volatility: float
    volatility_rank: float
    levels: tuple[float, ...]
    confidences: tuple[float, ...]
    observation_hash: str
