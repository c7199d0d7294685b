"""A position in one-way mode, its money exact: what it cost, what it realised, what stands behind it."""

from dataclasses import dataclass
from decimal import Decimal

from venue.amounts import ZERO, money

__all__ = ["Position"]


@dataclass(slots=True)
class Position:
    """``amount`` signed; ``cost`` its signed notional at entry, so that wallet + cost changes only by fills and fees.

    ``isolated_wallet`` is set aside for it where margin is isolated. ``realized`` over its symbol's life (``cr`` of
    the user stream), ``paid`` fees less realised profit since it was opened, for the break-even price.
    """

    amount: Decimal = ZERO
    cost: Decimal = ZERO
    isolated_wallet: Decimal = ZERO
    realized: Decimal = ZERO
    paid: Decimal = ZERO
    update_ms: int = 0

    @property
    def entry(self) -> Decimal:
        """Average entry price, 0 when flat."""
        return self.cost / self.amount if self.amount else ZERO

    @property
    def break_even(self) -> Decimal:
        """The price at which closing gives back what was paid, closing fees apart."""
        return (self.cost + self.paid) / self.amount if self.amount else ZERO

    def profit(self, mark: Decimal) -> Decimal:
        """Unrealised profit at a mark price."""
        return money(self.amount * mark - self.cost)

    def reducible(self, *, buy: bool) -> Decimal:
        """Return how much of it an order of this side would close."""
        return max(ZERO, -self.amount if buy else self.amount)

    def trade(self, signed: Decimal, price: Decimal) -> Decimal:
        """Add a fill; return the realised profit.

        What is closed leaves at its share of the cost, rounded once: ``cost`` keeps what rounding left over, so that
        all profits of a position that was opened and closed are exactly what was taken in less what was paid.
        """
        realized = ZERO
        closed = min(abs(self.amount), abs(signed)) if self.amount * signed < 0 else ZERO
        if closed:
            leaving = closed if self.amount > 0 else -closed
            share = self.cost if leaving == self.amount else self.cost * leaving / self.amount
            realized = money(leaving * price - share)
            self.cost -= leaving * price - realized
            self.amount -= leaving
            signed += leaving
            self.realized += realized
            self.paid -= realized
            if not self.amount:
                self.paid = ZERO
        self.amount += signed
        self.cost += signed * price
        return realized
