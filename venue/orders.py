"""Orders: their states as a table, and their rows.

::

    (nothing) -NEW-> NEW -TRADE-> PARTIALLY_FILLED -TRADE-> FILLED
                     NEW, PARTIALLY_FILLED -CANCELED-> CANCELED, -EXPIRED-> EXPIRED, -AMENDMENT-> (stays)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from venue.amounts import ZERO
from venue.filters import Filters

__all__ = ["LIVE", "TRANSITIONS", "IllegalTransitionError", "Order", "order_row"]

TRANSITIONS: Mapping[tuple[str, str], frozenset[str]] = {
    ("", "NEW"): frozenset({"NEW"}),
    ("NEW", "TRADE"): frozenset({"PARTIALLY_FILLED", "FILLED"}),
    ("NEW", "CALCULATED"): frozenset({"FILLED"}),
    ("NEW", "AMENDMENT"): frozenset({"NEW"}),
    ("NEW", "CANCELED"): frozenset({"CANCELED"}),
    ("NEW", "EXPIRED"): frozenset({"EXPIRED"}),
    ("PARTIALLY_FILLED", "TRADE"): frozenset({"PARTIALLY_FILLED", "FILLED"}),
    ("PARTIALLY_FILLED", "AMENDMENT"): frozenset({"PARTIALLY_FILLED"}),
    ("PARTIALLY_FILLED", "CANCELED"): frozenset({"CANCELED"}),
    ("PARTIALLY_FILLED", "EXPIRED"): frozenset({"EXPIRED"}),
}
"""By status and execution type (``x`` of the user stream): the statuses that may follow."""

LIVE = frozenset({"NEW", "PARTIALLY_FILLED"})


class IllegalTransitionError(RuntimeError):
    """A state that can't follow: a defect of the exchange."""


@dataclass(slots=True)
class Order:
    """An order of the account; prices and quantities exact, times market time but for ``real_ms``."""

    filters: Filters
    order_id: int
    client_id: str
    side: str
    kind: str
    quantity: Decimal
    price: Decimal = ZERO
    tif: str = "GTC"
    reduce_only: bool = False
    close_position: bool = False
    orig_kind: str = ""
    stop_price: Decimal = ZERO
    working: str = "CONTRACT_PRICE"
    protect: bool = False
    price_match: str = "NONE"
    stp: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    algo_id: int = 0
    time_ms: int = 0
    update_ms: int = 0
    real_ms: int = 0
    status: str = ""
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    changes: int = field(default=0)

    @property
    def buy(self) -> bool:
        """Whether it buys."""
        return self.side == "BUY"

    @property
    def live(self) -> bool:
        """Whether it can still be filled."""
        return self.status in LIVE

    @property
    def left(self) -> Decimal:
        """What is not filled."""
        return self.quantity - self.filled

    @property
    def average(self) -> Decimal:
        """Average price of what is filled, 0 before."""
        return self.quote / self.filled if self.filled else ZERO

    def move(self, execution: str, status: str) -> None:
        """Enter a state.

        Raises
        ------
        IllegalTransitionError
            Where the table does not allow it; nothing changes.
        """
        if status not in TRANSITIONS.get((self.status, execution), ()):
            raise IllegalTransitionError(f"order {self.client_id}: {self.status or 'nothing'} -{execution}-> {status}")
        self.status = status

    def fill(self, quantity: Decimal, price: Decimal, execution: str = "TRADE") -> None:
        """Add a fill."""
        if not ZERO < quantity <= self.left:
            raise IllegalTransitionError(f"order {self.client_id}: a fill of {quantity}, {self.left} is left")
        self.move(execution, "FILLED" if quantity == self.left else "PARTIALLY_FILLED")
        self.filled += quantity
        self.quote += quantity * price


def order_row(order: Order) -> dict[str, Any]:
    """Return an order as REST and the trading websocket answer it."""
    form = order.filters
    return {
        "orderId": order.order_id,
        "symbol": form.symbol,
        "status": order.status,
        "clientOrderId": order.client_id,
        "price": form.price(order.price),
        "avgPrice": f"{order.average:.{max(form.price_decimals, 5) if order.filled else form.price_decimals}f}",
        "origQty": form.size(order.quantity),
        "executedQty": form.size(order.filled),
        "cumQty": form.size(order.filled),
        "cumQuote": f"{order.quote.normalize() + ZERO:f}",
        "timeInForce": order.tif,
        "type": order.kind,
        "reduceOnly": order.reduce_only,
        "closePosition": order.close_position,
        "side": order.side,
        "positionSide": "BOTH",
        "stopPrice": form.price(order.stop_price),
        "workingType": order.working,
        "priceProtect": order.protect,
        "origType": order.orig_kind or order.kind,
        "priceMatch": order.price_match,
        "selfTradePreventionMode": order.stp,
        "goodTillDate": order.good_till_ms,
        "time": order.time_ms,
        "updateTime": order.update_ms,
    }
