"""What the venue says when it is asked directly, in the words that shells tell each other.

Silence is never an answer: where a request fails, `NoWord` says so, and nothing is concluded from it.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

__all__ = [
    "FundingListed",
    "FundingWord",
    "NoWord",
    "OrderWord",
    "PositionWord",
    "Request",
    "VenueDesk",
    "WalletWord",
    "Wanted",
    "Word",
    "wanted_topic",
    "word_topic",
]  # fmt: skip

type Status = Literal["working", "filled", "canceled", "expired", "rejected", "absent"]


def wanted_topic() -> str:
    """Topic of whoever wants the venue asked."""
    return "venue.wanted"


def word_topic(instrument_id: str) -> str:
    """Topic of what the venue said of an instrument when asked."""
    return f"venue.{instrument_id}"


class Wanted(msgspec.Struct, frozen=True):
    """Something of which the venue's own word is wanted now."""

    of: Literal["positions", "balance"]


class OrderWord(msgspec.Struct, frozen=True):
    """How an order stands: ``filled`` base asset in total as a decimal string, at an average ``price``.

    ``commission`` of it in quote currency, NaN where it was not told; ``absent``: the venue does not know it;
    ``ts_event`` of its last change.
    """

    instrument_id: str
    order_id: str
    status: Status
    filled: str
    price: float
    commission: float
    ts_event: int


class PositionWord(msgspec.Struct, frozen=True):
    """What is held: ``quantity`` base asset as a signed decimal string; ``ts_event`` of its last change."""

    instrument_id: str
    quantity: str
    entry_price: float
    ts_event: int


class FundingWord(msgspec.Struct, frozen=True):
    """A payment of funding: ``number`` of its own, ``amount`` quote currency as a decimal string, to the account."""

    instrument_id: str
    number: str
    amount: str
    ts_event: int


class FundingListed(msgspec.Struct, frozen=True):
    """Every payment of funding that was asked for has been told."""

    instrument_id: str = ""


class NoWord(msgspec.Struct, frozen=True):
    """A question or a request that got no answer, or a refusal; ``order_id`` empty where a position was asked for."""

    instrument_id: str
    order_id: str
    reason: str
    ts_event: int


class WalletWord(msgspec.Struct, frozen=True):
    """What the account holds, without open profits: ``balance`` quote currency."""

    instrument_id: str
    balance: float


type Word = OrderWord | PositionWord | FundingWord | FundingListed | WalletWord | NoWord


class Request(msgspec.Struct, frozen=True):
    """An order that only reduces, or the cancelling of one, sent beside the engine: ``quantity`` 0 cancels.

    ``side`` +1 buy, -1 sell. The same name is never carried out twice, so that it may be sent again and again.
    """

    instrument_id: str
    order_id: str
    side: int
    quantity: str


class VenueDesk(Protocol):
    """The venue, asked beside the engine. Nothing here blocks; what comes of it is found in ``words``, in order."""

    def ask_order(self, instrument_id: str, order_id: str) -> None:
        """Ask how an order stands."""

    def ask_positions(self) -> None:
        """Ask what is held of every instrument that is traded."""

    def ask_balance(self) -> None:
        """Ask what the account holds."""

    def ask_funding(self, since_ns: int) -> None:
        """Ask what funding was paid since a time of our own clock; a `FundingListed` ends the answer."""

    def send(self, request: Request) -> None:
        """Have an order carried out or cancelled, before all questions."""

    @property
    def idle(self) -> bool:
        """Whether nothing is asked, and every answer was fetched."""

    def words(self) -> Sequence[Word]:
        """Return what was answered since the last call."""
