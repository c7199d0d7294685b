"""The exchange without a wire: one account, its orders and positions, and the matching of them.

Pure: no clock, no I/O. It takes requests as they stand on the wire (method, path, parameters as strings) and answers
with what stands in the body; what it tells unasked, on the user stream, is drained by whoever carries it.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from venue.account_rows import AccountRows
from venue.algo_desk import AlgoDesk
from venue.algo_orders import algo_row
from venue.amounts import exact, money
from venue.batches import cancelled, each_of
from venue.depth import Depth
from venue.errors import VenueError
from venue.filters import Filters
from venue.history import History
from venue.holdings import Holding, Holdings, Rates
from venue.liquidation import Liquidator
from venue.order_desk import OrderDesk
from venue.orders import order_row
from venue.refusals import refused
from venue.settings import Settings
from venue.settlement import pay_funding

__all__ = ["Exchange", "ExchangeParams", "Quote"]

_UNSAID = frozenset({"signature", "apiKey", "timestamp", "recvWindow"})
"""Parameters that the ledger leaves out."""


class ExchangeParams(NamedTuple):
    """What the exchange charges and lends.

    ``balance`` USDT at the start; ``taker``, ``maker`` fees as fractions; ``maintenance`` margin rate of liquidation;
    ``fill_share`` of what a quote shows that one match may take: less than 1 fills in parts.
    """

    balance: float = 10_000.0
    taker: float = 0.0005
    maker: float = 0.0002
    maintenance: float = 0.004
    fill_share: float = 1.0


class Quote(NamedTuple):
    """Best prices and what stands there (base asset), the last trade and the mark price, at ``time_ms``."""

    bid: float
    ask: float
    bid_quantity: float
    ask_quantity: float
    last: float
    mark: float
    time_ms: int


class Exchange:
    """One account on a USD-M futures exchange.

    Parameters
    ----------
    symbols : Sequence[Mapping]
        As in ``symbols`` of ``exchangeInfo``: real filters.
    params : ExchangeParams
        Fees, balance, margin.
    now_ms : Callable[[], int]
        The market's time: everything is stamped with it.
    real_ms : Callable[[], int], optional
        The time that clients know, by which they ask for the past; None: the market's.
    """

    def __init__(
        self,
        symbols: Sequence[Mapping[str, Any]],
        params: ExchangeParams,
        now_ms: Callable[[], int],
        real_ms: Callable[[], int] | None = None,
    ) -> None:
        rates = Rates(*(exact(rate) for rate in (params.taker, params.maker, params.maintenance, params.fill_share)))
        filters = [Filters.of(each) for each in symbols]
        by_symbol = {each.symbol: Holding(each) for each in filters}
        self._holdings = Holdings(by_symbol, money(exact(params.balance)), rates, now_ms, real_ms or now_ms)
        self._orders = OrderDesk(self._holdings)
        self._algos = AlgoDesk(self._holdings, self._orders)
        self._liquidator = Liquidator(self._holdings, self._orders, self._algos)
        self._orders.ended = self._algos.child_ended
        self._orders.filled = self._drop_useless
        self._routes = self._table()

    def request(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """Answer a request on the account (orders, algo orders, positions, leverage ...): the JSON body as Python.

        Raises
        ------
        VenueError
            With Binance's code and words.
        """
        route = self._routes.get((method, path))
        if route is None:
            raise VenueError(-5000, f"Path {path}, Method {method} is invalid", 404)
        if method == "GET":
            return route(params)
        said = {name: value for name, value in params.items() if name not in _UNSAID}
        self._holdings.note("request", method=method, path=path, params=said)
        try:
            return route(params)
        except VenueError as refusal:
            self._holdings.note("refusal", method=method, path=path, code=refusal.code, msg=refusal.msg)
            raise

    def quote(self, symbol: str, quote: Quote) -> None:
        """Take new prices: match what rests, trigger what waits, liquidate what must be."""
        holding = self._holdings.by_symbol[symbol]
        holding.depth = Depth(quote, holding.filters, self._holdings.rates.fill_share)
        if holding.orders:
            self._orders.match(holding)
        if holding.algos:
            self._algos.match(holding)
        if holding.position.amount:
            self._liquidator.check(holding)

    def settle_funding(self, symbol: str, rate: float, mark: float) -> None:
        """Pay and take funding on what is held."""
        pay_funding(self._holdings, self._holdings.by_symbol[symbol], exact(rate), exact(mark))

    def drain(self) -> list[dict[str, Any]]:
        """Return the events of the user stream since the last call, in order, as they stand on the wire."""
        told, self._holdings.events = self._holdings.events, []
        return told

    def cancel_by_exchange(self, client_order_id: str) -> None:
        """End an order, conditional ones too, as the exchange does on its own account (EXPIRED).

        Raises
        ------
        VenueError
            Where none of this name lives.
        """
        for holding in self._holdings.by_symbol.values():
            for order in holding.orders.values():
                if order.client_id == client_order_id:
                    self._orders.end(holding, order, "EXPIRED")
                    return
            for algo in holding.algos.values():
                if algo.client_id == client_order_id:
                    self._algos.end(algo, "EXPIRED")
                    return
        raise refused(-2011)

    def liquidate(self, symbol: str) -> None:
        """Close a position as the liquidation engine does.

        Raises
        ------
        VenueError
            Where the symbol is unknown or flat.
        """
        self._liquidator.liquidate(self._holdings.holding(symbol))

    def ledger(self, since: int = 0) -> list[dict[str, Any]]:
        """Return everything that happened, in order: requests, refusals, orders, fills, funding, liquidations.

        ``since``: so many rows are known already.
        """
        return self._holdings.rows[since:]

    @property
    def wallet(self) -> Decimal:
        """The wallet balance."""
        return self._holdings.wallet

    def position(self, symbol: str) -> Decimal:
        """Return what is held of a symbol, signed."""
        return self._holdings.by_symbol[symbol].position.amount

    def _drop_useless(self, holding: Holding) -> None:
        self._orders.drop_useless(holding)
        self._algos.drop_useless(holding)

    def _table(self) -> dict[tuple[str, str], Callable[[Mapping[str, str]], Any]]:
        orders, algos, rows = self._orders, self._algos, AccountRows(self._holdings)
        history, settings = History(self._holdings), Settings(self._holdings)
        routes: dict[str, Callable[[Mapping[str, str]], Any]] = {
            "POST /fapi/v1/order": orders.place,
            "PUT /fapi/v1/order": orders.modify,
            "DELETE /fapi/v1/order": orders.cancel,
            "GET /fapi/v1/order": lambda params: order_row(orders.find(params)[1]),
            "GET /fapi/v1/openOrder": lambda params: order_row(orders.find_open(params)[1]),
            "DELETE /fapi/v1/allOpenOrders": orders.cancel_all,
            "GET /fapi/v1/openOrders": history.open_orders,
            "GET /fapi/v1/allOrders": history.all_orders,
            "POST /fapi/v1/batchOrders": lambda params: each_of(params, orders.place),
            "PUT /fapi/v1/batchOrders": lambda params: each_of(params, orders.modify),
            "DELETE /fapi/v1/batchOrders": lambda params: cancelled(params, orders.cancel),
            "GET /fapi/v1/userTrades": history.trades,
            "GET /fapi/v1/income": history.income,
            "POST /fapi/v1/algoOrder": algos.place,
            "DELETE /fapi/v1/algoOrder": algos.cancel,
            "GET /fapi/v1/algoOrder": lambda params: algo_row(algos.find(params)),
            "DELETE /fapi/v1/algoOpenOrders": algos.cancel_all,
            "GET /fapi/v1/openAlgoOrders": history.open_algos,
            "GET /fapi/v1/allAlgoOrders": history.all_algos,
            "GET /fapi/v2/account": rows.account_v2,
            "GET /fapi/v3/account": rows.account_v3,
            "GET /fapi/v2/balance": rows.balance,
            "GET /fapi/v3/balance": rows.balance,
            "GET /fapi/v2/positionRisk": rows.risk_v2,
            "GET /fapi/v3/positionRisk": rows.risk_v3,
            "GET /fapi/v1/leverageBracket": rows.brackets,
            "GET /fapi/v1/commissionRate": rows.commission,
            "GET /fapi/v1/accountConfig": rows.config,
            "GET /fapi/v1/symbolConfig": rows.symbol_config,
            "POST /fapi/v1/leverage": settings.leverage,
            "POST /fapi/v1/marginType": settings.margin_type,
            "POST /fapi/v1/positionMargin": settings.position_margin,
            "GET /fapi/v1/positionSide/dual": settings.position_mode,
            "POST /fapi/v1/positionSide/dual": settings.set_position_mode,
            "GET /fapi/v1/multiAssetsMargin": settings.assets_mode,
            "POST /fapi/v1/multiAssetsMargin": settings.set_assets_mode,
        }
        return {(key.split()[0], key.split()[1]): route for key, route in routes.items()}
