"""What is held: the position, what it has earned, and what the gate remembers of it."""

from core.exits import stop_reason
from core.position import filled, realised
from core.protections import close_trade, new_memory, record_entry
from core.risk import RiskParams
from core.situation import Position
from core.tracking import Order

__all__ = ["FLAT", "Holding"]

FLAT = Position(0, 0.0, 0.0, 0)


class Holding:
    """One position and its books.

    Attributes
    ----------
    position : Position
        Now.
    realised : float
        All realised profits less commissions so far, quote currency.
    trade_profit, trade_equity : float
        What the open position has realised less commissions, and the equity at the decision of its first entry.
    memory : float64[memory_size(risk)]
        The gate's memory (`core.protections`).
    counted_until_ns : int
        Fills up to this time are in the position already: the venue's own word was taken over then.
    behind : Position or None
        The position as the fills that are known made it, where the venue's word has overtaken them: those that are told
        late are booked there (`catch_up`), until they explain what is held.
    unopened : float
        Profits that were booked late, of fills from before this process: the account had them when it was first seen.
    """

    def __init__(self, risk: RiskParams, lot: float, inherited_stop: float) -> None:
        self.position = FLAT
        self.realised = self.trade_profit = self.trade_equity = 0.0
        self.memory = new_memory(risk)
        self.counted_until_ns = 0
        self.behind: Position | None = None
        self.unopened = 0.0
        self._earlier = False
        self._overtaken: Position | None = None
        self._unexplained = 0.0
        self._risk = risk
        self._lot = lot
        self._inherited_stop = inherited_stop

    def book(self, order: Order, lots: int, price: float, commission: float) -> int:
        """Fold signed lots of an order in; return the code of why they left, as the journal names it."""
        before = self.position
        code = order.exit_code
        if order.purpose == "stop":
            code = stop_reason(before, self._risk.exit_cost)
        if self.behind is not None:  # nobody has explained it so far
            if self.behind.lots * before.lots <= 0:
                self.trade_profit, self.trade_equity = 0.0, self._unexplained
            self.behind = None
        self.position = self._with_stop(self._account(before, order, lots, price, commission), price)
        return code

    def catch_up(self, order: Order, lots: int, price: float, commission: float) -> None:
        """Book signed lots of an order that the venue's word has overtaken: they are in the position already."""
        if self.behind is None:
            return
        was = self.realised
        after = self._account(self.behind, order, lots, price, commission)
        if self._earlier:
            self.unopened += self.realised - was
        self.behind = after
        held = self.position
        if after.lots == held.lots:
            self.behind = None
            if held is self._overtaken and held.lots != 0:
                after = after._replace(entry_price=held.entry_price, holding_bars=held.holding_bars)
                self.position = self._with_stop(after, price)

    def take_over(
        self, lots: int, entry_price: float, equity: float, now_ns: int, *, plan: float = 0.0, earlier: bool = False
    ) -> None:
        """Hold what the venue says, signed lots at an average price, quote currency.

        A position of the side that was held goes on, with its stop; another one begins, with the stop that was
        planned for it (``plan``, 0 for none) or the inherited one. ``earlier``: what it differs by happened before this
        process.
        """
        before = self.position
        self.counted_until_ns = now_ns
        if self.behind is None and lots != before.lots:
            self.behind = before
        self._earlier = earlier
        if lots == 0:
            self.position = FLAT
        else:
            price = entry_price if entry_price > 0.0 else before.entry_price
            if before.lots * lots > 0:
                self.position = self._with_stop(before._replace(lots=lots, entry_price=price), price)
            else:
                self.position = self._with_stop(filled(FLAT, lots, price, plan, False), price)
                self._unexplained = equity
        self._overtaken = self.position

    def _account(self, before: Position, order: Order, lots: int, price: float, commission: float) -> Position:
        """Return a position after signed lots of an order; count the money, the trade and the entry."""
        first = order.filled == abs(lots)
        if order.withdrawn:
            order.withdrawn = False
            record_entry(self.memory, 0, self._risk)
        profit = realised(before, lots, price, self._lot) - commission
        after = filled(before, lots, price, order.planned_stop, order.counts and first)
        if first and order.purpose == "increase" and order.side * (order.planned_stop - after.stop_price) > 0.0:
            after = after._replace(stop_price=order.planned_stop)
        self.realised += profit
        if before.lots == 0:
            self.trade_profit, self.trade_equity = 0.0, order.equity
        self.trade_profit += profit
        if before.lots != 0 and before.lots * after.lots <= 0:
            share = self.trade_profit / self.trade_equity if self.trade_equity > 0.0 else 0.0
            close_trade(self.memory, 0, share, order.purpose == "stop", self._risk)
            self.trade_profit, self.trade_equity = 0.0, order.equity
        return after

    def _with_stop(self, position: Position, price: float) -> Position:
        """Return the position with a stop, where it has none."""
        if position.lots == 0 or position.stop_price > 0.0:
            return position
        side = 1 if position.lots > 0 else -1
        stop = price * (1.0 - side * self._inherited_stop)
        return position._replace(stop_price=stop, first_stop=stop)
