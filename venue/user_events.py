"""The events of the user stream, as they stand on the wire."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from venue.algo_orders import TRAILING, AlgoOrder
from venue.amounts import ZERO, text
from venue.holdings import Holding, Holdings, Trade
from venue.margin import maintenance, order_notionals
from venue.orders import Order

__all__ = ["account_update", "algo_update", "config_update", "margin_call", "order_update", "trade_lite"]


def order_update(
    holding: Holding, order: Order, execution: str, time_ms: int, trade: Trade | None = None
) -> dict[str, Any]:
    """Return ``ORDER_TRADE_UPDATE``: ``execution`` is its ``x``, ``trade`` what a fill was."""
    form = order.filters
    bids, asks = order_notionals(holding)
    fill: dict[str, Any] = {}
    if trade is not None:
        fill = {"N": form.asset, "n": text(trade.commission)}
    return {
        "e": "ORDER_TRADE_UPDATE",
        "T": time_ms,
        "E": time_ms,
        "o": {
            "s": form.symbol,
            "c": order.client_id,
            "S": order.side,
            "o": order.kind,
            "f": order.tif,
            "q": form.size(order.quantity),
            "p": form.price(order.price),
            "ap": _average(order),
            "sp": form.price(order.stop_price),
            "x": execution,
            "X": order.status,
            "i": order.order_id,
            "l": form.size(trade.quantity if trade else ZERO),
            "z": form.size(order.filled),
            "L": form.price(trade.price if trade else ZERO),
            **fill,
            "T": time_ms,
            "t": trade.trade_id if trade else 0,
            "b": f"{bids.normalize():f}",
            "a": f"{asks.normalize():f}",
            "m": trade.maker if trade else False,
            "R": order.reduce_only,
            "wt": order.working,
            "ot": order.orig_kind or order.kind,
            "ps": "BOTH",
            "cp": order.close_position,
            "rp": text(trade.realized if trade else ZERO),
            "pP": order.protect,
            "si": order.algo_id,
            "ss": 0,
            "V": order.stp,
            "pm": order.price_match,
            "gtd": order.good_till_ms,
        },
    }


def trade_lite(trade: Trade) -> dict[str, Any]:
    """Return ``TRADE_LITE``."""
    order, form = trade.order, trade.order.filters
    return {
        "e": "TRADE_LITE",
        "E": trade.time_ms,
        "T": trade.time_ms,
        "s": form.symbol,
        "q": form.size(order.quantity),
        "p": form.price(order.price),
        "m": trade.maker,
        "c": order.client_id,
        "S": order.side,
        "L": form.price(trade.price),
        "l": form.size(trade.quantity),
        "t": trade.trade_id,
        "i": order.order_id,
    }


def account_update(
    holdings: Holdings, reason: str, symbols: Iterable[Holding], *, change: Decimal = ZERO, balance: bool = True
) -> dict[str, Any]:
    """Return ``ACCOUNT_UPDATE``: ``change`` of the balance apart from profit and fees."""
    now = holdings.now_ms()
    balances = [
        {
            "a": "USDT",
            "wb": text(holdings.wallet),
            "cw": text(holdings.cross_wallet),
            "bc": text(change) if change else "0",
        }
    ]
    positions = [_position(each) for each in symbols]
    told = {"m": reason, "B": balances if balance else [], "P": positions}
    return {"e": "ACCOUNT_UPDATE", "T": now, "E": now, "a": told}


def config_update(symbol: str, leverage: int, time_ms: int) -> dict[str, Any]:
    """Return ``ACCOUNT_CONFIG_UPDATE``."""
    return {"e": "ACCOUNT_CONFIG_UPDATE", "T": time_ms, "E": time_ms, "ac": {"s": symbol, "l": leverage}}


def margin_call(holdings: Holdings, endangered: Sequence[Holding]) -> dict[str, Any]:
    """Return ``MARGIN_CALL``."""
    rate = holdings.rates.maintenance
    rows = [
        {
            "s": each.filters.symbol,
            "ps": "BOTH",
            "pa": each.filters.size(each.position.amount),
            "mt": "ISOLATED" if each.isolated else "CROSSED",
            "iw": text(each.position.isolated_wallet),
            "mp": text(each.mark),
            "up": text(each.position.profit(each.mark)),
            "mm": text(maintenance(each, rate)),
        }
        for each in endangered
    ]
    return {"e": "MARGIN_CALL", "E": holdings.now_ms(), "cw": text(holdings.cross_wallet), "p": rows}


def algo_update(algo: AlgoOrder, time_ms: int) -> dict[str, Any]:
    """Return ``ALGO_UPDATE``."""
    form, child = algo.filters, algo.child
    told: dict[str, Any] = {
        "caid": algo.client_id,
        "aid": algo.algo_id,
        "at": "CONDITIONAL",
        "o": algo.kind,
        "s": form.symbol,
        "S": algo.side,
        "ps": "BOTH",
        "f": algo.tif,
        "q": form.size(algo.quantity),
        "X": algo.status,
        "ai": str(child.order_id) if child else "",
        "ap": _average(child) if child else "0.00000",
        "aq": form.size(child.filled) if child else "0.00000",
        "act": child.kind if child else "0",
        "tp": form.price(algo.trigger),
        "p": form.price(algo.price),
        "V": algo.stp,
        "wt": algo.working,
        "pm": algo.price_match,
        "cp": algo.close_position,
        "pP": algo.protect,
        "R": algo.reduce_only,
        "tt": algo.trigger_ms,
        "gtd": algo.good_till_ms,
    }
    if algo.kind == TRAILING:
        told |= {"AP": form.price(algo.activate or ZERO), "cr": f"{algo.callback.normalize():f}"}
    if algo.reason:
        told["rm"] = algo.reason
    return {"e": "ALGO_UPDATE", "T": time_ms, "E": time_ms, "o": told}


def _average(order: Order) -> str:
    return f"{order.average:.{max(order.filters.price_decimals, 5)}f}" if order.filled else "0"


def _position(holding: Holding) -> dict[str, Any]:
    position = holding.position
    return {
        "s": holding.filters.symbol,
        "pa": holding.filters.size(position.amount),
        "ep": text(position.entry),
        "bep": text(position.break_even),
        "cr": text(position.realized),
        "up": text(position.profit(holding.mark)),
        "mt": "isolated" if holding.isolated else "cross",
        "iw": text(position.isolated_wallet),
        "ps": "BOTH",
        "ma": "USDT",
    }
