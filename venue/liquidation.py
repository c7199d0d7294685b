"""The liquidation engine: who nears the end of the margin is warned, then closed, and the insurance fund settles."""

from collections.abc import Iterable
from decimal import Decimal

from venue.algo_desk import AlgoDesk
from venue.amounts import ZERO
from venue.holdings import Holding, Holdings
from venue.margin import cross_maintenance, cross_profit, maintenance
from venue.order_desk import OrderDesk
from venue.orders import Order
from venue.refusals import refused
from venue.settlement import clear_insurance, fill
from venue.user_events import margin_call, order_update

__all__ = ["Liquidator"]

_WARNING = Decimal("0.8")
"""Share of the margin that maintenance may need before the account is called."""


class Liquidator:
    """Watches margins at every quote.

    Parameters
    ----------
    holdings : Holdings
        The account.
    orders, algos : OrderDesk, AlgoDesk
        Whose orders end with the position.
    """

    def __init__(self, holdings: Holdings, orders: OrderDesk, algos: AlgoDesk) -> None:
        self._holdings, self._orders, self._algos = holdings, orders, algos

    def check(self, holding: Holding) -> None:
        """Look at a symbol after its price has changed; in cross margin at all of them."""
        rate = self._holdings.rates.maintenance
        if not holding.position.amount:
            holding.warned = False
            return
        if holding.isolated:
            margin = holding.position.isolated_wallet + holding.position.profit(holding.mark)
            if self._ends(margin, maintenance(holding, rate), [holding]):
                self.liquidate(holding)
            return
        crossed = [each for each in self._holdings.by_symbol.values() if not each.isolated and each.position.amount]
        margin = self._holdings.cross_wallet + cross_profit(self._holdings)
        if self._ends(margin, cross_maintenance(self._holdings), crossed):
            for each in crossed:
                self.liquidate(each)

    def liquidate(self, holding: Holding) -> None:
        """Cancel a symbol's orders and close its position at the best price, whatever its size.

        Raises
        ------
        VenueError
            Where there is no position.
        """
        position, symbol = holding.position, holding.filters.symbol
        if not position.amount:
            raise refused(-2022)
        for order in list(holding.orders.values()):
            self._orders.end(holding, order, "EXPIRED")
        before = position.isolated_wallet
        order, depth = self._closing(holding), holding.quoted()
        self._holdings.note("liquidation", symbol=symbol, position=f"{position.amount:f}", mark=f"{depth.mark:f}")
        trade = fill(
            self._holdings,
            holding,
            order,
            price=order.price,
            quantity=order.quantity,
            maker=False,
            execution="CALCULATED",
        )
        left = before + trade.realized - trade.commission if holding.isolated else self._holdings.cross_wallet
        clear_insurance(self._holdings, holding, left, trade.price * trade.quantity)
        self._algos.drop_useless(holding)
        holding.warned = False

    def _ends(self, margin: Decimal, needed: Decimal, holdings: Iterable[Holding]) -> bool:
        """Return whether the margin is used up; warn once where it nearly is."""
        endangered = needed > ZERO and needed >= margin * _WARNING
        fresh = [each for each in holdings if not each.warned]
        if endangered and fresh:
            self._holdings.events.append(margin_call(self._holdings, fresh))
            self._holdings.note("margin_call", symbols=[each.filters.symbol for each in fresh])
        for each in holdings:
            each.warned = endangered
        return needed > ZERO and margin <= needed

    def _closing(self, holding: Holding) -> Order:
        """Put the engine's own order in force."""
        now, amount = self._holdings.now_ms(), holding.position.amount
        number = self._holdings.next_order()
        order = Order(
            holding.filters,
            order_id=number,
            client_id=f"autoclose-{now}{number % 1_000:03d}",
            side="SELL" if amount > 0 else "BUY",
            kind="LIMIT",
            quantity=abs(amount),
            price=holding.quoted().best(buy=amount < 0),
            tif="IOC",
            reduce_only=True,
            time_ms=now,
            update_ms=now,
            real_ms=self._holdings.real_ms(),
        )
        order.move("NEW", "NEW")
        self._holdings.orders[number] = order
        self._holdings.events.append(order_update(holding, order, "NEW", now))
        return order
