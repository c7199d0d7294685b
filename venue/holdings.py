"""All that the account holds and all that has happened to it: one place, changed by the desks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from venue.algo_orders import AlgoOrder
from venue.amounts import ZERO
from venue.depth import Depth
from venue.filters import Filters
from venue.orders import Order
from venue.positions import Position
from venue.refusals import refused

__all__ = ["Holding", "Holdings", "Rates", "Trade"]

_FIRST_ORDER, _FIRST_ALGO, _FIRST_TRADE = 8_389_765_000_000, 3_000_001_000_000, 5_100_000_000


class Rates(NamedTuple):
    """Fees and margin as fractions, exact."""

    taker: Decimal
    maker: Decimal
    maintenance: Decimal
    fill_share: Decimal


class Trade(NamedTuple):
    """A fill of the account."""

    trade_id: int
    order: Order
    price: Decimal
    quantity: Decimal
    commission: Decimal
    realized: Decimal
    maker: bool
    time_ms: int
    real_ms: int


@dataclass(slots=True)
class Holding:
    """One symbol: its settings, position, orders that live and the last quote."""

    filters: Filters
    position: Position = field(default_factory=Position)
    leverage: int = 20
    isolated: bool = False
    warned: bool = False
    depth: Depth | None = None
    orders: dict[int, Order] = field(default_factory=dict)
    algos: dict[int, AlgoOrder] = field(default_factory=dict)

    @property
    def mark(self) -> Decimal:
        """The mark price, 0 before the first quote."""
        return self.depth.mark if self.depth else ZERO

    def quoted(self) -> Depth:
        """Return the quote.

        Raises
        ------
        VenueError
            Before the first one.
        """
        if self.depth is None:
            raise refused(-4131)
        return self.depth


class Holdings:
    """The account.

    Parameters
    ----------
    holdings : dict[str, Holding]
        By symbol.
    balance : Decimal
        USDT at the start.
    rates : Rates
        What is charged.
    now_ms, real_ms : Callable[[], int]
        Market time, by which all is stamped, and the time that clients know.
    """

    def __init__(
        self,
        holdings: dict[str, Holding],
        balance: Decimal,
        rates: Rates,
        now_ms: Callable[[], int],
        real_ms: Callable[[], int],
    ) -> None:
        self.by_symbol, self.rates = holdings, rates
        self.now_ms, self.real_ms = now_ms, real_ms
        self.cross_wallet = balance
        self.hedge_mode = self.multi_assets = False
        self.orders: dict[int, Order] = {}
        self.algos: dict[int, AlgoOrder] = {}
        self.trades: list[Trade] = []
        self.income: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.rows: list[dict[str, Any]] = []
        self.update_ms = 0
        self._order, self._algo, self._trade, self._transaction = _FIRST_ORDER, _FIRST_ALGO, _FIRST_TRADE, 0

    @property
    def wallet(self) -> Decimal:
        """The whole wallet: cross, and what is set aside for isolated positions."""
        return self.cross_wallet + sum((each.position.isolated_wallet for each in self.by_symbol.values()), ZERO)

    def holding(self, symbol: str) -> Holding:
        """Return a symbol's holding.

        Raises
        ------
        VenueError
            Where it is unknown.
        """
        if symbol not in self.by_symbol:
            raise refused(-1121)
        return self.by_symbol[symbol]

    def next_order(self) -> int:
        """Return a new order's number."""
        self._order += 1
        return self._order

    def next_algo(self) -> int:
        """Return a new conditional order's number."""
        self._algo += 1
        return self._algo

    def next_trade(self) -> int:
        """Return a new trade's number."""
        self._trade += 1
        return self._trade

    def book(self, kind: str, symbol: str, amount: Decimal, *, trade_id: int | None = None, info: str = "") -> None:
        """Note an income (``REALIZED_PNL``, ``COMMISSION``, ``FUNDING_FEE`` ...); the wallet is changed elsewhere."""
        self._transaction += 1
        now, real = self.now_ms(), self.real_ms()
        self.update_ms = now
        self.income.append(
            {
                "symbol": symbol,
                "incomeType": kind,
                "income": f"{amount:.8f}",
                "asset": "USDT",
                "info": info or kind,
                "time": now,
                "tranId": 9_689_322_392 + self._transaction,
                "tradeId": "" if trade_id is None else str(trade_id),
                "real_ms": real,
            }
        )

    def note(self, kind: str, **what: Any) -> None:
        """Write a row of the ledger."""
        row = {"n": len(self.rows) + 1, "kind": kind, "time_ms": self.now_ms(), "real_ms": self.real_ms()}
        self.rows.append(row | what)
