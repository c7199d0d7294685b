"""What the components tell each other: frozen plain structs on topics, one nested synchronous call each."""

from collections.abc import Mapping
from typing import Literal

import msgspec

__all__ = [
    "AccountBalance",
    "Alert",
    "Answered",
    "Asked",
    "ClosedBar",
    "Evaluated",
    "Flatten",
    "Freeze",
    "FundingPaid",
    "FundingSettled",
    "Mark",
    "OrderOutcome",
    "ParentEnded",
    "PositionState",
    "RiskState",
    "Severity",
    "Signal",
    "Trip",
    "alert_topic",
    "answered_topic",
    "asked_topic",
    "balance_topic",
    "bar_topic",
    "ended_topic",
    "evaluated_topic",
    "flatten_topic",
    "freeze_topic",
    "funding_topic",
    "mark_topic",
    "outcome_topic",
    "position_topic",
    "risk_topic",
    "signal_topic",
    "trip_topic",
]

NEVER_NS = 2**63 - 1

Severity = Literal["info", "warning", "critical"]


def signal_topic(instrument_id: str) -> str:
    """Topic of the ensemble's signals for an instrument."""
    return f"signals.{instrument_id}"


def bar_topic(instrument_id: str) -> str:
    """Topic of closed base bars that come with their taker-buy volume, each once and in order."""
    return f"closed_bars.{instrument_id}"


def funding_topic(instrument_id: str) -> str:
    """Topic of funding rates that were settled, told before the bar that closes at their time."""
    return f"settled_funding.{instrument_id}"


def mark_topic() -> str:
    """Topic of the request to mark the account to market."""
    return "risk.mark"


def evaluated_topic() -> str:
    """Topic of the breaker's word that it has looked at what is held, between decisions."""
    return "breaker.evaluated"


def risk_topic() -> str:
    """Topic of the risk actor's state."""
    return "risk.state"


def position_topic(instrument_id: str) -> str:
    """Topic of the strategy's position for an instrument."""
    return f"positions.{instrument_id}"


def trip_topic() -> str:
    """Topic of what the circuit breaker must hear of."""
    return "breaker.trip"


def balance_topic() -> str:
    """Topic of the account's balance as the venue itself says when it is asked."""
    return "account.balance"


def asked_topic() -> str:
    """Topic of what a person asks of the circuit breaker."""
    return "breaker.asked"


def answered_topic() -> str:
    """Topic of the breaker's answer to what a person asked, told before the question's call returns."""
    return "breaker.answered"


def flatten_topic(instrument_id: str) -> str:
    """Topic of the breaker's word to the owner of a position: close it, now."""
    return f"flatten.{instrument_id}"


def freeze_topic() -> str:
    """Topic of what stops and frees entries."""
    return "entries.freeze"


def outcome_topic() -> str:
    """Topic of how orders ended: the breaker counts errors, the monitor and the reports read the rest."""
    return "orders.outcome"


def ended_topic(instrument_id: str) -> str:
    """Topic of the execution algorithm's word to the owner of a parent order: it is over."""
    return f"execution.{instrument_id}"


def alert_topic() -> str:
    """Topic of what a person should be told."""
    return "alerts"


class ClosedBar(msgspec.Struct, frozen=True, gc=False):
    """A closed base bar: prices in quote currency, volumes in base asset, ``taker_buy`` NaN where unknown."""

    instrument_id: str
    ts_close: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    taker_buy: float


class FundingSettled(msgspec.Struct, frozen=True, gc=False):
    """Funding was settled: ``rate`` fraction of notional that longs pay, ``price`` the mark it was paid on.

    Not ``booked``: the account does not show it, since its venue is a simulation without funding. Not ``final``: rate
    and price are the last that were told, and what was paid comes as `FundingPaid`.
    """

    instrument_id: str
    ts_event: int
    rate: float
    price: float
    booked: bool = True
    final: bool = True


class FundingPaid(msgspec.Struct, frozen=True, gc=False):
    """What the venue booked for a settlement at ``ts_event`` whose ``rate`` was estimated.

    ``amount`` quote currency as a decimal string, the cash flow to the account; None: it never said, and what was
    booked stands.
    """

    instrument_id: str
    ts_event: int
    rate: float
    amount: str | None


class AccountBalance(msgspec.Struct, frozen=True):
    """What the venue says the account holds, without open profits: quote currency."""

    balance: float


class Trip(msgspec.Struct, frozen=True):
    """Something that the circuit breaker must hear of, by whoever found it.

    ``trigger`` a name of `core.causes.TRIGGERS`; ``detail`` one line with the numbers.
    """

    trigger: str
    detail: str
    ts_event: int


class Asked(msgspec.Struct, frozen=True):
    """A person asks something of the circuit breaker, now and once (`core.trips.Request`)."""

    action: Literal["halt", "reduce", "rearm"]
    reason: str
    ts_event: int
    new_anchor: bool = False


class Answered(msgspec.Struct, frozen=True):
    """What the circuit breaker made of it: why it was refused, empty where it was done."""

    refused: str
    ts_event: int


class Evaluated(msgspec.Struct, frozen=True):
    """The breaker looked at what is held and found nothing to tell."""

    ts_event: int


class Flatten(msgspec.Struct, frozen=True):
    """The position is to be closed at once, between decisions if need be."""

    reason: str
    ts_event: int


class Freeze(msgspec.Struct, frozen=True):
    """Entries of an instrument (empty: of all) are frozen, or free again as far as ``source`` is concerned.

    ``source`` names who froze them, so that one cause does not lift another's freeze.
    """

    instrument_id: str
    source: str
    frozen: bool
    reason: str
    ts_event: int


class OrderOutcome(msgspec.Struct, frozen=True):
    """How an order ended, or that nobody knows.

    ``outcome`` filled, canceled, expired, rejected, denied or unknown; ``rejection`` a class of `core.rejections`,
    empty where it was not refused; ``latency_ns`` from submission to the venue's first answer, -1 where there was none.
    """

    instrument_id: str
    client_order_id: str
    outcome: str
    rejection: str
    latency_ns: int
    ts_event: int


class ParentEnded(msgspec.Struct, frozen=True):
    """A parent order is over: nothing of it is at the venue any more, and nothing more is sent (`core.slices`).

    ``outcome`` filled (all of it), canceled (its owner's wish), timed_out (the rest would have cost more than the cap
    or is below the venue's minimum) or rejected (a slice was refused, for ``reason``); lots unsigned.
    """

    instrument_id: str
    client_order_id: str
    outcome: Literal["filled", "canceled", "timed_out", "rejected"]
    total_lots: int
    filled_lots: int
    unfilled_lots: int
    reason: str
    ts_event: int


class Alert(msgspec.Struct, frozen=True):
    """What a person should be told."""

    source: str
    severity: Severity
    text: str
    ts_event: int


class Mark(msgspec.Struct, frozen=True):
    """A bar closed: the account is to be marked to market, now.

    ``decision``: a decision follows on this mark; else it only guards what is held between decisions, and the day's
    high-water mark stays where the last decision left it.
    """

    instrument_id: str
    ts_event: int
    close: float
    decision: bool = True


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
    """The account marked to market, and what the breaker makes of it.

    Money in quote currency; ``drawdown`` of the last decision mark, fraction of the UTC day's high-water mark;
    ``state`` a code of `core.breaker`; ``gross_notional`` of all instruments, orders under way included, and
    ``notionals`` the same by instrument; ``evaluated_ns`` when the breaker last looked; ``stale`` instruments that are
    held and whose last price is old.
    """

    ts_event: int
    equity: float
    balance: float
    high_water_mark: float
    drawdown: float
    state: int
    gross_notional: float
    notionals: Mapping[str, float] = {}
    evaluated_ns: int = 0
    stale: tuple[str, ...] = ()


class Signal(msgspec.Struct, frozen=True):
    """The ensemble's word at a closed decision bar.

    ``level`` in [-1, 1]; ``tradable`` False where the ensemble abstained or the window is not fit; ``levels`` and
    ``confidences`` the votes, ``models`` whose they are and ``weights`` what each counted, in one order; from
    ``expires_ns`` on it is not to be traded any more; market context as in `core.decision.Market`.
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
    previous_close: float
    funding_rate: float
    minutes_to_funding: float
    levels: tuple[float, ...]
    confidences: tuple[float, ...]
    observation_hash: str
    models: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    expires_ns: int = NEVER_NS
