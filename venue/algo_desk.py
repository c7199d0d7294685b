"""Conditional orders in force: placed, cancelled, triggered by mark price or last trade, and what they become."""

from typing import Any

from venue.algo_orders import TRAILING, AlgoOrder, algo_row, cancelled_row
from venue.amounts import ZERO
from venue.arguments import Arguments, client_id, decimal, flag, integer, optional_integer, required
from venue.depth import Depth
from venue.errors import VenueError
from venue.holdings import Holding, Holdings
from venue.order_desk import OrderDesk
from venue.order_entry import CONDITIONAL, check_margin, check_side
from venue.orders import Order
from venue.refusals import refused
from venue.user_events import algo_update

__all__ = ["AlgoDesk"]

_CLOSING = frozenset({"STOP_MARKET", "TAKE_PROFIT_MARKET"})
_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "GTX", "GTD", "GTE_GTC"})


class AlgoDesk:
    """The desk of conditional orders.

    Parameters
    ----------
    holdings : Holdings
        The account.
    orders : OrderDesk
        Takes what was triggered, and tells its end.
    """

    def __init__(self, holdings: Holdings, orders: OrderDesk) -> None:
        self._holdings, self._orders = holdings, orders

    def place(self, params: Arguments) -> dict[str, Any]:
        """Take a conditional order: margin and position are looked at when it triggers, as at Binance."""
        required(params, "algoType", ("CONDITIONAL",))
        holding = self._holdings.holding(required(params, "symbol"))
        side, kind = check_side(self._holdings, params), required(params, "type")
        if kind not in CONDITIONAL:
            raise refused(-1116)
        name = client_id(params, "clientAlgoId")
        if name and any(
            each.client_id == name for one in self._holdings.by_symbol.values() for each in one.algos.values()
        ):
            raise refused(-4116)
        if len(holding.algos) >= holding.filters.most_algo_orders:
            raise refused(-4045)
        algo = AlgoOrder(
            holding.filters,
            algo_id=0,
            client_id=name,
            side=side,
            kind=kind,
            quantity=decimal(params, "quantity") or ZERO,
            trigger=decimal(params, "triggerPrice") or decimal(params, "stopPrice") or ZERO,
            tif=required(params, "timeInForce", _IN_FORCE, -1115) if params.get("timeInForce") else "GTC",
            working=_working(params),
            reduce_only=flag(params, "reduceOnly"),
            close_position=flag(params, "closePosition"),
            protect=flag(params, "priceProtect"),
            good_till_ms=integer(params, "goodTillDate", 0),
            stp=str(params.get("selfTradePreventionMode") or "EXPIRE_MAKER"),
        )
        self._check_size(holding, algo, params)
        self._check_prices(holding, algo, params)
        algo.algo_id = self._holdings.next_algo()
        algo.client_id = algo.client_id or f"algo{algo.algo_id:018d}"
        algo.time_ms = algo.update_ms = self._holdings.now_ms()
        algo.real_ms = self._holdings.real_ms()
        algo.move("NEW")
        self._holdings.algos[algo.algo_id] = algo
        holding.algos[algo.algo_id] = algo
        self._tell(algo)
        return algo_row(algo)

    def cancel(self, params: Arguments) -> dict[str, Any]:
        """Cancel a conditional order that waits."""
        algo = self.find(params, code=-2011)
        if not algo.live:
            raise refused(-2011)
        self.end(algo, "CANCELED")
        return cancelled_row(algo)

    def cancel_all(self, params: Arguments) -> dict[str, Any]:
        """Cancel all conditional orders of a symbol."""
        for algo in list(self._holdings.holding(required(params, "symbol")).algos.values()):
            self.end(algo, "CANCELED")
        return {"code": 200, "msg": "The operation of cancel all open order is done."}

    def end(self, algo: AlgoOrder, status: str, reason: str = "") -> None:
        """End a conditional order that waits."""
        algo.move(status)
        algo.reason = reason
        del self._holdings.holding(algo.filters.symbol).algos[algo.algo_id]
        self._tell(algo)

    def find(self, params: Arguments, code: int = -2013) -> AlgoOrder:
        """Return a conditional order by its number or its client's name: of those with one name the newest.

        Raises
        ------
        VenueError
            Where there is none.
        """
        number, name = optional_integer(params, "algoId"), str(params.get("clientAlgoId", ""))
        if number is None and not name:
            raise refused(-1102, "algoId")
        if number is not None:
            found = self._holdings.algos.get(number)
        else:
            found = next((each for each in reversed(self._holdings.algos.values()) if each.client_id == name), None)
        if found is None:
            raise refused(code)
        return found

    def match(self, holding: Holding) -> None:
        """Trigger what a new quote reaches, the oldest first."""
        depth = holding.quoted()
        for algo in list(holding.algos.values()):
            if not algo.live:
                continue
            if algo.good_till_ms and self._holdings.real_ms() >= algo.good_till_ms:
                self.end(algo, "EXPIRED")
            elif algo.reached(_price(depth, algo)) and not self._protected(depth, algo):
                self._trigger(holding, algo)

    def drop_useless(self, holding: Holding) -> None:
        """Expire what would close a position that has gone."""
        for algo in list(holding.algos.values()):
            if algo.close_position and not holding.position.reducible(buy=algo.buy):
                self.end(algo, "EXPIRED")

    def child_ended(self, order: Order) -> None:
        """Finish the conditional order that an order came from."""
        algo = self._holdings.algos.get(order.algo_id)
        if algo is not None and algo.status == "TRIGGERED":
            algo.move("FINISHED")
            self._tell(algo)

    def _check_size(self, holding: Holding, algo: AlgoOrder, params: Arguments) -> None:
        if not algo.close_position:
            if not params.get("quantity"):
                raise refused(-1102, "quantity")
            holding.filters.check_quantity(algo.quantity, market=algo.kind.endswith("MARKET"))
            return
        if algo.kind not in _CLOSING:
            raise refused(-4136, algo.kind)
        for useless in ("quantity", "reduceOnly"):
            if params.get(useless):
                raise refused(-1106, useless)
        if not holding.position.reducible(buy=algo.buy):
            raise refused(-4509)
        way = algo.kind.startswith("STOP")
        if any(
            each.close_position and each.buy == algo.buy and each.kind.startswith("STOP") == way
            for each in holding.algos.values()
        ):
            raise refused(-4130)

    def _check_prices(self, holding: Holding, algo: AlgoOrder, params: Arguments) -> None:
        form, depth = holding.filters, holding.quoted()
        if algo.kind in {"STOP", "TAKE_PROFIT"}:
            algo.price = decimal(params, "price") or ZERO
            if not algo.price:
                raise refused(-1102, "price")
            form.check_price(algo.price)
        elif params.get("price"):
            raise refused(-1106, "price")
        if algo.kind == TRAILING:
            self._check_trailing(holding, algo, params)
        else:
            if not algo.trigger:
                raise refused(-1102, "triggerPrice")
            form.check_price(algo.trigger)
            if algo.reached(_price(depth, algo)):
                raise refused(-2021)
        if not (algo.reduce_only or algo.close_position):
            form.check_notional(algo.quantity * (algo.price or algo.trigger or holding.mark))

    def _check_trailing(self, holding: Holding, algo: AlgoOrder, params: Arguments) -> None:
        algo.callback = decimal(params, "callbackRate") or ZERO
        if not algo.callback:
            raise refused(-1102, "callbackRate")
        if not 0.1 <= algo.callback <= 10:
            raise refused(-1130, "callbackRate")
        algo.activate = decimal(params, "activatePrice") or decimal(params, "activationPrice")
        if algo.activate is not None:
            holding.filters.check_price(algo.activate)
        algo.reached(_price(holding.quoted(), algo))

    def _protected(self, depth: Depth, algo: AlgoOrder) -> bool:
        return algo.protect and abs(depth.mark - depth.last) > depth.mark * algo.filters.protect

    def _trigger(self, holding: Holding, algo: AlgoOrder) -> None:
        """Make the order that a conditional order stands for."""
        algo.trigger_ms = self._holdings.now_ms()
        algo.move("TRIGGERING")
        del holding.algos[algo.algo_id]
        self._tell(algo)
        market = algo.kind.endswith("MARKET")
        order = Order(
            algo.filters,
            order_id=0,
            client_id=self._free_name(holding, algo.client_id),
            side=algo.side,
            kind="MARKET" if market else "LIMIT",
            quantity=algo.quantity,
            price=algo.price,
            tif="GTC" if market or algo.tif == "GTE_GTC" else algo.tif,
            reduce_only=algo.reduce_only or algo.close_position,
            close_position=algo.close_position,
            orig_kind=algo.kind,
            stop_price=algo.trigger,
            working=algo.working,
            protect=algo.protect,
            stp=algo.stp,
            good_till_ms=algo.good_till_ms,
            algo_id=algo.algo_id,
        )
        try:
            self._check_child(holding, order)
        except VenueError as refusal:
            algo.move("REJECTED")
            algo.reason = "Reduce Only reject" if refusal.code == -2022 else refusal.msg
            self._tell(algo)
            return
        algo.child = order
        self._orders.submit(holding, order, lambda: self._triggered(algo))

    def _check_child(self, holding: Holding, order: Order) -> None:
        if order.reduce_only:
            reducible = holding.position.reducible(buy=order.buy)
            if not reducible:
                raise refused(-2022)
            order.quantity = reducible if order.close_position else min(order.quantity, reducible)
        check_margin(self._holdings, holding, order)
        if order.kind == "LIMIT":
            self._orders.check_book(holding, order)

    def _triggered(self, algo: AlgoOrder) -> None:
        algo.move("TRIGGERED")
        self._tell(algo)

    def _free_name(self, holding: Holding, name: str) -> str:
        return "" if any(each.client_id == name for each in holding.orders.values()) else name

    def _tell(self, algo: AlgoOrder) -> None:
        algo.update_ms = self._holdings.now_ms()
        self._holdings.events.append(algo_update(algo, algo.update_ms))
        self._holdings.note(
            "algo",
            symbol=algo.filters.symbol,
            algo_id=algo.algo_id,
            client_algo_id=algo.client_id,
            side=algo.side,
            type=algo.kind,
            trigger=f"{algo.trigger:f}",
            quantity=f"{algo.quantity:f}",
            reduce_only=algo.reduce_only or algo.close_position,
            status=algo.status,
            order_id=algo.child.order_id if algo.child else None,
            reason=algo.reason,
        )


def _working(params: Arguments) -> str:
    if not params.get("workingType"):
        return "CONTRACT_PRICE"
    return required(params, "workingType", ("MARK_PRICE", "CONTRACT_PRICE"))


def _price(depth: Depth, algo: AlgoOrder) -> Any:
    return depth.mark if algo.working == "MARK_PRICE" else depth.last
