"""What the trader asks of its shell, one plain struct a command, carried out in order."""

from typing import Literal

import msgspec

from core.decision import Decided
from core.messages import RiskState, Signal
from core.situation import Account, Position

__all__ = [
    "Cancel",
    "Command",
    "Modify",
    "Publish",
    "Purpose",
    "Query",
    "Reconcile",
    "Style",
    "Submit",
    "WriteDecision",
    "WriteFill",
    "WriteOrder",
    "WritePosition",
]

Purpose = Literal["entry", "increase", "reduce", "exit", "stop"]
Style = Literal["market", "stop", "limit", "twap", "participation"]


class Submit(msgspec.Struct, frozen=True, gc=False):
    """Send an order.

    ``side`` +1 buy, -1 sell; ``lots`` unsigned; ``trigger_ticks`` of a stop, else 0; ``arrival_price`` at the decision,
    quote currency.
    """

    order_id: str
    purpose: Purpose
    side: int
    lots: int
    style: Style
    reduce_only: bool
    trigger_ticks: int
    arrival_price: float
    ts_event: int


class Modify(msgspec.Struct, frozen=True, gc=False):
    """Change a resting stop: ``lots`` in total, those included that have filled; its trigger."""

    order_id: str
    lots: int
    trigger_ticks: int


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Take an order back."""

    order_id: str


class Query(msgspec.Struct, frozen=True, gc=False):
    """Ask the venue what became of an order; `core.trader.Trader.on_resolved` takes the answer."""

    order_id: str


class Reconcile(msgspec.Struct, frozen=True, gc=False):
    """Ask what the venue holds; `core.trader.Trader.on_position` takes the answer."""

    ts_event: int


class Publish(msgspec.Struct, frozen=True, gc=False):
    """Tell the others: a message of `core.messages` on its topic."""

    topic: str
    message: object


class WriteDecision(msgspec.Struct, frozen=True, gc=False):
    """Write a decision down; ``order_id`` is empty where it sent no order; ``busy``: an order was under way."""

    signal: Signal
    before: Position
    account: Account
    decided: Decided
    risk: RiskState | None
    order_id: str
    busy: bool


class WriteOrder(msgspec.Struct, frozen=True, gc=False):
    """Write an order's new status down."""

    order_id: str
    purpose: Purpose
    status: str
    reason: str
    ts_event: int


class WriteFill(msgspec.Struct, frozen=True, gc=False):
    """Write the fill down that was just reported, by its trade id; price and commission in quote currency."""

    order_id: str
    trade_id: str
    side: int
    purpose: Purpose
    arrival_price: float
    exit_code: int
    lots_after: int
    lots: int
    price: float
    commission: float
    ts_event: int


class WritePosition(msgspec.Struct, frozen=True, gc=False):
    """Write down that the venue's word of what is held was taken over, signed lots, and why."""

    lots: int
    entry_price: float
    reason: str
    ts_event: int


type Command = (
    Submit | Modify | Cancel | Query | Reconcile | Publish | WriteDecision | WriteOrder | WriteFill | WritePosition
)
