"""What has happened, as REST tells it: orders, trades, income; ``startTime`` and ``endTime`` are the client's time."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from venue.algo_orders import algo_row
from venue.amounts import money
from venue.arguments import Arguments, integer, optional_integer, required
from venue.holdings import Holdings, Trade
from venue.orders import order_row
from venue.refusals import refused

__all__ = ["History"]

_USUAL, _MOST = 500, 1_000


class History:
    """Answers what asks for the past.

    Parameters
    ----------
    holdings : Holdings
        The account.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def open_orders(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the orders that live."""
        return [order_row(each) for one in self._asked(params) for each in one.orders.values()]

    def all_orders(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the orders of a symbol, from ``orderId`` or ``startTime`` on, else the last."""
        symbol = self._holdings.holding(required(params, "symbol")).filters.symbol
        orders = [each for each in self._holdings.orders.values() if each.filters.symbol == symbol]
        first = optional_integer(params, "orderId")
        if first is not None:
            orders = [each for each in orders if each.order_id >= first]
        chosen = _chosen(params, orders, lambda each: each.real_ms, ahead=first is not None)
        return [order_row(each) for each in chosen]

    def trades(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the fills of a symbol, from ``fromId`` or ``startTime`` on, else the last."""
        symbol = self._holdings.holding(required(params, "symbol")).filters.symbol
        rows = [each for each in self._holdings.trades if each.order.filters.symbol == symbol]
        first, order_id = optional_integer(params, "fromId"), optional_integer(params, "orderId")
        if first is not None:
            rows = [each for each in rows if each.trade_id >= first]
        if order_id is not None:
            rows = [each for each in rows if each.order.order_id == order_id]
        return [_trade_row(each) for each in _chosen(params, rows, lambda each: each.real_ms, ahead=first is not None)]

    def income(self, params: Arguments) -> list[dict[str, Any]]:
        """Return what came into the wallet and what went out."""
        rows: Iterable[dict[str, Any]] = self._holdings.income
        for name, key in (("symbol", "symbol"), ("incomeType", "incomeType")):
            if wanted := params.get(name):
                rows = [each for each in rows if each[key] == wanted]
        chosen = _chosen(params, list(rows), lambda each: int(each["real_ms"]), usual=100)
        return [{key: value for key, value in each.items() if key != "real_ms"} for each in chosen]

    def open_algos(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the conditional orders that wait."""
        return [algo_row(each) for one in self._asked(params) for each in one.algos.values()]

    def all_algos(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the conditional orders of a symbol."""
        symbol = self._holdings.holding(required(params, "symbol")).filters.symbol
        algos = [each for each in self._holdings.algos.values() if each.filters.symbol == symbol]
        first = optional_integer(params, "algoId")
        if first is not None:
            algos = [each for each in algos if each.algo_id >= first]
        return [algo_row(each) for each in _chosen(params, algos, lambda each: each.real_ms, ahead=first is not None)]

    def _asked(self, params: Arguments) -> list[Any]:
        if params.get("symbol"):
            return [self._holdings.holding(params["symbol"])]
        return list(self._holdings.by_symbol.values())


def _chosen[T](
    params: Arguments, rows: Sequence[T], when: Callable[[T], int], *, ahead: bool = False, usual: int = _USUAL
) -> Sequence[T]:
    """Return the rows between ``startTime`` and ``endTime``: the first ones from a start on, else the last ones."""
    limit = integer(params, "limit", usual)
    if not 0 < limit <= _MOST:
        raise refused(-1130, "limit")
    start, end = optional_integer(params, "startTime"), optional_integer(params, "endTime")
    if start is not None:
        rows = [each for each in rows if when(each) >= start]
    if end is not None:
        rows = [each for each in rows if when(each) <= end]
    return rows[:limit] if ahead or start is not None else rows[-limit:]


def _trade_row(trade: Trade) -> dict[str, Any]:
    order, form = trade.order, trade.order.filters
    return {
        "buyer": order.buy,
        "commission": f"{trade.commission:.8f}",
        "commissionAsset": form.asset,
        "id": trade.trade_id,
        "maker": trade.maker,
        "marginAsset": form.asset,
        "orderId": order.order_id,
        "positionSide": "BOTH",
        "price": form.price(trade.price),
        "qty": form.size(trade.quantity),
        "quoteQty": f"{money(trade.price * trade.quantity).normalize():f}",
        "realizedPnl": f"{trade.realized:.8f}",
        "side": order.side,
        "symbol": form.symbol,
        "time": trade.time_ms,
    }
