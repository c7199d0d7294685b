"""Orders in force: placed, changed, cancelled, matched with what a quote shows."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from venue.amounts import ZERO
from venue.arguments import Arguments, decimal, optional_integer, required
from venue.holdings import Holding, Holdings
from venue.order_entry import check_margin, check_side, limit_price, new_order
from venue.orders import Order, order_row
from venue.refusals import refused
from venue.settlement import fill
from venue.user_events import order_update

__all__ = ["OrderDesk"]

_MOST_CHANGES = 10_000


class OrderDesk:
    """The desk of ordinary orders.

    Parameters
    ----------
    holdings : Holdings
        The account.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self.ended: Callable[[Order], None] = lambda _: None
        """Told of every order's end."""
        self.filled: Callable[[Holding], None] = lambda _: None
        """Told after every fill."""

    def place(self, params: Arguments) -> dict[str, Any]:
        """Take a new order; the answer is that of its acceptance, or of its result where that was asked for."""
        holding, order = new_order(self._holdings, params)
        check_margin(self._holdings, holding, order)
        self.check_book(holding, order)
        acknowledged: list[dict[str, Any]] = []
        self.submit(holding, order, lambda: acknowledged.append(order_row(order)))
        return order_row(order) if params.get("newOrderRespType") == "RESULT" else acknowledged[0]

    def check_book(self, holding: Holding, order: Order) -> None:
        """Refuse what the book does not allow: too many orders, post-only that takes, fill-or-kill that can't."""
        if len(holding.orders) >= holding.filters.most_orders:
            raise refused(-2025)
        depth = holding.quoted()
        if order.tif == "GTX" and depth.crosses(order.price, buy=order.buy):
            raise refused(-5022)
        if order.tif == "FOK" and depth.offered(buy=order.buy, limit=order.price) < order.quantity:
            raise refused(-5021)

    def submit(self, holding: Holding, order: Order, begun: Callable[[], None] = lambda: None) -> None:
        """Put an order in force: tell, then let it take what it meets."""
        now = self._holdings.now_ms()
        order.order_id = self._holdings.next_order()
        order.client_id = order.client_id or f"venue{order.order_id:017d}"
        order.time_ms = order.update_ms = now
        order.real_ms = self._holdings.real_ms()
        order.move("NEW", "NEW")
        self._holdings.orders[order.order_id] = order
        holding.orders[order.order_id] = order
        self._tell(holding, order, "NEW")
        begun()
        self._take(holding, order)

    def modify(self, params: Arguments) -> dict[str, Any]:
        """Change price and quantity of a limit order that lives; its place in the queue is lost."""
        holding, order = self.find_open(params)
        side = check_side(self._holdings, params)
        if order.kind != "LIMIT":
            raise refused(-5025)
        if side != order.side:
            raise refused(-1128)
        quantity = decimal(params, "quantity")
        if quantity is None:
            raise refused(-1102, "quantity")
        holding.filters.check_quantity(quantity, market=False)
        price = limit_price(holding, params, buy=order.buy)
        if (price, quantity) == (order.price, order.quantity):
            raise refused(-5027)
        if order.changes >= _MOST_CHANGES:
            raise refused(-5026)
        if not order.reduce_only:
            holding.filters.check_notional(quantity * price)
        if quantity <= order.filled or (order.tif == "GTX" and holding.quoted().crosses(price, buy=order.buy)):
            self.end(holding, order, "CANCELED")
            return order_row(order)
        before = order.price, order.quantity
        self._check_change(holding, order, price, quantity)
        order.price, order.quantity = price, quantity
        order.changes += 1
        order.update_ms = self._holdings.now_ms()
        order.move("AMENDMENT", order.status)
        self._tell(holding, order, "AMENDMENT", was=[f"{each:f}" for each in before])
        answer = order_row(order)
        self._take(holding, order)
        return answer

    def cancel(self, params: Arguments) -> dict[str, Any]:
        """Cancel an order that lives."""
        holding, order = self.find_open(params)
        self.end(holding, order, "CANCELED")
        return order_row(order)

    def cancel_all(self, params: Arguments) -> dict[str, Any]:
        """Cancel all orders of a symbol."""
        holding = self._holdings.holding(required(params, "symbol"))
        for order in list(holding.orders.values()):
            self.end(holding, order, "CANCELED")
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def end(self, holding: Holding, order: Order, status: str) -> None:
        """End an order: CANCELED by the client, EXPIRED by the exchange."""
        order.move(status, status)
        order.update_ms = self._holdings.now_ms()
        del holding.orders[order.order_id]
        self._tell(holding, order, status)
        self.ended(order)

    def match(self, holding: Holding) -> None:
        """Let what rests meet a new quote, the best prices first."""
        depth = holding.quoted()
        resting = sorted(
            holding.orders.values(), key=lambda each: (-each.price if each.buy else each.price, each.order_id)
        )
        for order in resting:
            if not order.live:
                continue
            if order.good_till_ms and self._holdings.real_ms() >= order.good_till_ms:
                self.end(holding, order, "EXPIRED")
            elif depth.crosses(order.price, buy=order.buy):
                part = depth.give(self._fillable(holding, order), buy=order.buy, limit=order.price)
                if part:
                    self._fill(holding, order, order.price, part, maker=True)

    def drop_useless(self, holding: Holding) -> None:
        """Expire reduce-only orders that have nothing left to reduce."""
        for order in list(holding.orders.values()):
            if order.reduce_only and not holding.position.reducible(buy=order.buy):
                self.end(holding, order, "EXPIRED")

    def find(self, params: Arguments) -> tuple[Holding, Order]:
        """Return an order by its number or its client's name: of those with one name the newest.

        Raises
        ------
        VenueError
            Where there is none.
        """
        holding = self._holdings.holding(required(params, "symbol"))
        number, name = optional_integer(params, "orderId"), str(params.get("origClientOrderId", ""))
        if number is None and not name:
            raise refused(-1102, "orderId")
        if number is not None:
            found = self._holdings.orders.get(number)
        else:
            named = (each for each in reversed(self._holdings.orders.values()) if each.client_id == name)
            found = next((each for each in named if each.filters.symbol == holding.filters.symbol), None)
        if found is None or found.filters.symbol != holding.filters.symbol:
            raise refused(-2013)
        return holding, found

    def find_open(self, params: Arguments) -> tuple[Holding, Order]:
        """Return an order that lives.

        Raises
        ------
        VenueError
            Where there is none.
        """
        holding = self._holdings.holding(required(params, "symbol"))
        number, name = optional_integer(params, "orderId"), str(params.get("origClientOrderId", ""))
        if number is None and not name:
            raise refused(-1102, "orderId")
        for order in holding.orders.values():
            if order.order_id == number or (number is None and order.client_id == name):
                return holding, order
        raise refused(-2011)

    def _check_change(self, holding: Holding, order: Order, price: Decimal, quantity: Decimal) -> None:
        """Refuse a change that margin does not allow, as if the order were new."""
        del holding.orders[order.order_id]
        before = order.price, order.quantity
        order.price, order.quantity = price, quantity
        try:
            check_margin(self._holdings, holding, order)
        finally:
            order.price, order.quantity = before
            holding.orders[order.order_id] = order

    def _take(self, holding: Holding, order: Order) -> None:
        limit = order.price or None
        if limit is None or holding.quoted().crosses(limit, buy=order.buy):
            wanted = self._fillable(holding, order)
            for price, part in holding.quoted().take(wanted, buy=order.buy, limit=limit):
                self._fill(holding, order, price, part, maker=False)
        if order.live and (order.kind == "MARKET" or order.tif in {"IOC", "FOK"}):
            self.end(holding, order, "EXPIRED")

    def _fillable(self, holding: Holding, order: Order) -> Decimal:
        return min(order.left, holding.position.reducible(buy=order.buy)) if order.reduce_only else order.left

    def _fill(self, holding: Holding, order: Order, price: Decimal, quantity: Decimal, *, maker: bool) -> None:
        if quantity <= ZERO:
            return
        fill(self._holdings, holding, order, price=price, quantity=quantity, maker=maker)
        if not order.live:
            self.ended(order)
        self.filled(holding)

    def _tell(self, holding: Holding, order: Order, execution: str, **more: Any) -> None:
        self._holdings.events.append(order_update(holding, order, execution, self._holdings.now_ms()))
        self._holdings.note(
            "order",
            execution=execution,
            symbol=order.filters.symbol,
            order_id=order.order_id,
            client_order_id=order.client_id,
            side=order.side,
            type=order.kind,
            price=f"{order.price:f}",
            quantity=f"{order.quantity:f}",
            filled=f"{order.filled:f}",
            reduce_only=order.reduce_only,
            status=order.status,
            **more,
        )
