"""What stands against an order: a quote, the same amount at every tick behind it, less what was taken since."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from venue.amounts import ZERO, down, exact, nearest

if TYPE_CHECKING:
    from venue.exchange import Quote
    from venue.filters import Filters

__all__ = ["Depth"]


class Depth:
    """The two sides of a quote, as exact numbers.

    Parameters
    ----------
    quote : Quote
        What stands.
    filters : Filters
        Whose tick is the distance of levels.
    fill_share : Decimal
        Of what a level shows, as much may be taken: at least one lot.
    """

    def __init__(self, quote: "Quote", filters: "Filters", fill_share: Decimal) -> None:
        self.bid, self.ask = nearest(exact(quote.bid), filters.tick), nearest(exact(quote.ask), filters.tick)
        self.last, self.mark = nearest(exact(quote.last), filters.tick), round(exact(quote.mark), 8)
        self.time_ms = quote.time_ms
        self._filters = filters
        self._shown = {
            True: max(filters.step, down(exact(quote.ask_quantity) * fill_share, filters.step)),
            False: max(filters.step, down(exact(quote.bid_quantity) * fill_share, filters.step)),
        }
        self._taken = {True: ZERO, False: ZERO}

    def best(self, *, buy: bool) -> Decimal:
        """Return the price that a buyer (seller) meets."""
        return self.ask if buy else self.bid

    def crosses(self, limit: Decimal, *, buy: bool) -> bool:
        """Return whether a limit order meets the other side."""
        return limit >= self.ask if buy else limit <= self.bid

    def offered(self, *, buy: bool, limit: Decimal | None) -> Decimal:
        """Return how much may still be taken up to a limit; None: to the bound of market orders."""
        limit = self._bound(buy=buy) if limit is None else limit
        levels = ((limit - self.ask) if buy else (self.bid - limit)) // self._filters.tick + 1
        return max(ZERO, levels * self._shown[buy] - self._taken[buy])

    def take(self, quantity: Decimal, *, buy: bool, limit: Decimal | None) -> Iterator[tuple[Decimal, Decimal]]:
        """Yield prices and quantities, level by level, and take them away."""
        left = min(quantity, self.offered(buy=buy, limit=limit))
        shown, direction = self._shown[buy], self._filters.tick if buy else -self._filters.tick
        while left > ZERO:
            level = self._taken[buy] // shown
            part = min(left, (level + 1) * shown - self._taken[buy])
            self._taken[buy] += part
            left -= part
            yield self.best(buy=buy) + level * direction, part

    def give(self, quantity: Decimal, *, buy: bool, limit: Decimal) -> Decimal:
        """Return how much of an order that rests is filled at its own price, and take it away."""
        part = min(quantity, self.offered(buy=buy, limit=limit))
        self._taken[buy] += part
        return part

    def _bound(self, *, buy: bool) -> Decimal:
        share = self._filters.take_bound
        if buy:
            return nearest(self.ask * (1 + share), self._filters.tick)
        return max(self._filters.tick, nearest(self.bid * (1 - share), self._filters.tick))
