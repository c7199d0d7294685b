"""Conditional orders: their states as a table, when they trigger, and their rows.

::

    (nothing) -> NEW -> TRIGGERING -> TRIGGERED -> FINISHED
                 NEW -> CANCELED, EXPIRED       TRIGGERING -> REJECTED
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from venue.amounts import ZERO, text
from venue.filters import Filters
from venue.orders import IllegalTransitionError, Order

__all__ = ["ALGO_TRANSITIONS", "TRAILING", "AlgoOrder", "algo_row", "cancelled_row"]

ALGO_TRANSITIONS: Mapping[str, frozenset[str]] = {
    "": frozenset({"NEW"}),
    "NEW": frozenset({"TRIGGERING", "CANCELED", "EXPIRED"}),
    "TRIGGERING": frozenset({"TRIGGERED", "REJECTED"}),
    "TRIGGERED": frozenset({"FINISHED"}),
}
"""The statuses that may follow each."""

TRAILING = "TRAILING_STOP_MARKET"
_HUNDRED = 100


@dataclass(slots=True)
class AlgoOrder:
    """A conditional order; its child is the order that it became."""

    filters: Filters
    algo_id: int
    client_id: str
    side: str
    kind: str
    quantity: Decimal
    trigger: Decimal
    price: Decimal = ZERO
    tif: str = "GTC"
    working: str = "CONTRACT_PRICE"
    reduce_only: bool = False
    close_position: bool = False
    protect: bool = False
    price_match: str = "NONE"
    stp: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    activate: Decimal | None = None
    callback: Decimal = ZERO
    active: bool = False
    extreme: Decimal = ZERO
    time_ms: int = 0
    update_ms: int = 0
    trigger_ms: int = 0
    real_ms: int = 0
    status: str = ""
    reason: str = ""
    child: Order | None = None

    @property
    def buy(self) -> bool:
        """Whether it buys."""
        return self.side == "BUY"

    @property
    def live(self) -> bool:
        """Whether it still waits."""
        return self.status == "NEW"

    def move(self, status: str) -> None:
        """Enter a state.

        Raises
        ------
        IllegalTransitionError
            Where the table does not allow it; nothing changes.
        """
        if status not in ALGO_TRANSITIONS.get(self.status, ()):
            raise IllegalTransitionError(f"algo order {self.client_id}: {self.status or 'nothing'} -> {status}")
        self.status = status

    def reached(self, price: Decimal) -> bool:
        """Return whether a price (mark or last, by ``working``) triggers it; a trailing stop follows the price."""
        if self.kind == TRAILING:
            return self._trailed(price)
        upwards = self.buy == self.kind.startswith("STOP")
        return price >= self.trigger if upwards else price <= self.trigger

    def _trailed(self, price: Decimal) -> bool:
        if not self.active:
            wanted = self.activate
            self.active = wanted is None or (price <= wanted if self.buy else price >= wanted)
            self.extreme = price
            if not self.active:
                return False
        self.extreme = min(self.extreme, price) if self.buy else max(self.extreme, price)
        away = self.extreme * self.callback / _HUNDRED
        self.trigger = self.extreme + away if self.buy else self.extreme - away
        return price >= self.trigger if self.buy else price <= self.trigger


def algo_row(algo: AlgoOrder) -> dict[str, Any]:
    """Return a conditional order as REST and the trading websocket answer it."""
    form, child = algo.filters, algo.child
    nothing = text(ZERO, form.price_decimals)
    row = {
        "algoId": algo.algo_id,
        "clientAlgoId": algo.client_id,
        "algoType": "CONDITIONAL",
        "orderType": algo.kind,
        "symbol": form.symbol,
        "side": algo.side,
        "positionSide": "BOTH",
        "timeInForce": algo.tif,
        "quantity": form.size(algo.quantity),
        "algoStatus": algo.status,
        "actualOrderId": str(child.order_id) if child else "",
        "actualPrice": f"{child.average if child else ZERO:.5f}",
        "triggerPrice": form.price(algo.trigger),
        "price": form.price(algo.price),
        "icebergQuantity": None,
        "tpTriggerPrice": nothing,
        "tpPrice": nothing,
        "slTriggerPrice": nothing,
        "slPrice": nothing,
        "tpOrderType": "",
        "selfTradePreventionMode": algo.stp,
        "workingType": algo.working,
        "priceMatch": algo.price_match,
        "closePosition": algo.close_position,
        "priceProtect": algo.protect,
        "reduceOnly": algo.reduce_only,
        "createTime": algo.time_ms,
        "updateTime": algo.update_ms,
        "triggerTime": algo.trigger_ms,
        "goodTillDate": algo.good_till_ms,
    }
    if algo.kind == TRAILING:
        row["activatePrice"] = form.price(algo.activate or ZERO)
        row["callbackRate"] = f"{algo.callback.normalize():f}"
    return row


def cancelled_row(algo: AlgoOrder) -> dict[str, Any]:
    """Return the answer to a cancel."""
    return {"algoId": algo.algo_id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}
