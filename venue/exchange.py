"""The exchange without a wire: one account, its orders and positions, and the matching of them.

Pure: no clock, no I/O. It takes requests as they stand on the wire (method, path, parameters as strings) and answers
with what stands in the body; what it tells unasked, on the user stream, is drained by whoever carries it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Exchange", "ExchangeParams", "Quote"]


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
        The exchange's time.
    """

    def __init__(self, symbols: Sequence[Mapping[str, Any]], params: ExchangeParams, now_ms: Callable[[], int]) -> None:
        raise NotImplementedError

    def request(self, method: str, path: str, params: Mapping[str, str]) -> Any:
        """Answer a request on the account (orders, algo orders, positions, leverage ...): the JSON body as Python.

        Raises
        ------
        VenueError
            With Binance's code and words.
        """
        raise NotImplementedError

    def quote(self, symbol: str, quote: Quote) -> None:
        """Take new prices: match what rests, trigger what waits, liquidate what must be."""
        raise NotImplementedError

    def settle_funding(self, symbol: str, rate: float, mark: float) -> None:
        """Pay and take funding on what is held."""
        raise NotImplementedError

    def drain(self) -> list[dict[str, Any]]:
        """Return the events of the user stream since the last call, in order, as they stand on the wire."""
        raise NotImplementedError

    def cancel_by_exchange(self, client_order_id: str) -> None:
        """End an order as the exchange does on its own account (EXPIRED)."""
        raise NotImplementedError

    def liquidate(self, symbol: str) -> None:
        """Close a position as the liquidation engine does."""
        raise NotImplementedError

    def ledger(self) -> list[dict[str, Any]]:
        """Return everything that happened, in order: requests, answers, fills, funding, liquidations."""
        raise NotImplementedError
