"""Our own books of one account: positions as their owners tell them, funding, and the balance that follows."""

from collections.abc import Callable, Iterable, Mapping

from core.bars import DAY_NS
from core.messages import FundingPaid, FundingSettled, PositionState

__all__ = ["Books"]

TOLERANCE = 0.01
"""Largest difference (quote currency) between our books and the account: a cent."""

type Prices = Callable[[str], float]


class Books:
    """What the account holds and owes, without asking the venue at every look.

    Parameters
    ----------
    lots : Mapping[str, float]
        Base asset a lot, by instrument id.
    """

    def __init__(self, lots: Mapping[str, float]) -> None:
        self._lots = dict(lots)
        self._positions: dict[str, PositionState] = {}
        self._opening: float | None = None
        self._funding = 0.0
        self._latest_funding = (0, 0.0)
        self._unbooked = 0.0
        self._estimates: dict[tuple[str, int], tuple[FundingSettled, float]] = {}
        self._stood: dict[tuple[str, int], float] = {}
        self._audited_day = -1

    @property
    def open(self) -> bool:
        """Whether the account's balance has been seen, without which there is no equity."""
        return self._opening is not None

    @property
    def balance(self) -> float:
        """Opening balance, realised profits less commissions, and funding; quote currency."""
        booked = sum(position.realised for position in self._positions.values()) + self._funding
        return (self._opening or 0.0) + booked

    def take(self, position: PositionState) -> None:
        """Take what the owner of a position says of it."""
        self._positions[position.instrument_id] = position

    def fund(self, settled: FundingSettled) -> float:
        """Book a funding payment and return its cash flow (quote currency); longs pay a positive rate."""
        name, ts_ns = settled.instrument_id, settled.ts_event
        amount = -round(self._positions[name].lots * self._lots[name] * settled.price * settled.rate, 8)
        self._funding += amount
        if not settled.booked:
            self._unbooked += amount
            return amount
        if not settled.final:
            self._estimates[name, ts_ns] = settled, amount
        same = self._latest_funding[1] if self._latest_funding[0] == ts_ns else 0.0
        self._latest_funding = (ts_ns, same + amount)
        return amount

    def paid(self, paid: FundingPaid) -> float:
        """Book what was paid in the place of an estimate, and return it: the estimate where nobody says.

        What is told though the estimate was left to stand is returned less that.
        """
        key = (paid.instrument_id, paid.ts_event)
        _, estimate = self._estimates.pop(key, (None, 0.0))
        if paid.amount is None:
            self._stood[key] = estimate
            return estimate
        stood = self._stood.pop(key, 0.0)
        more = float(paid.amount) - estimate - stood
        self._funding += more
        if self._latest_funding[0] == paid.ts_event:
            self._latest_funding = (paid.ts_event, self._latest_funding[1] + more)
        return float(paid.amount) - stood

    @property
    def estimated(self) -> list[tuple[FundingSettled, float]]:
        """Settlements of which nobody has said yet what was paid, and what is booked for them."""
        return list(self._estimates.values())

    def held(self) -> list[str]:
        """Return the instruments that are held."""
        return [name for name, position in self._positions.items() if position.lots != 0]

    def equity(self, prices: Prices) -> float:
        """Return the balance and the open profit at ``prices`` (by instrument), quote currency."""
        profit = 0.0
        for name, position in self._positions.items():
            if position.lots != 0:
                profit += position.lots * self._lots[name] * (prices(name) - position.entry_price)
        return self.balance + profit

    def notionals(self, prices: Prices) -> dict[str, float]:
        """Return the notional committed to each instrument, orders under way included, quote currency, unsigned."""
        return {
            name: position.committed_lots * self._lots[name] * prices(name)
            for name, position in self._positions.items()
            if position.committed_lots != 0
        }

    def net_notional(self, prices: Prices) -> float:
        """Return the signed notional of all that is held, quote currency."""
        held: Iterable[PositionState] = self._positions.values()
        return sum(p.lots * self._lots[p.instrument_id] * prices(p.instrument_id) for p in held if p.lots != 0)

    def due(self, ts_ns: int) -> bool:
        """Return whether an audit is due: before anything else, and once a UTC day, when all funding is known."""
        return (ts_ns - 1) // DAY_NS != self._audited_day and not (self.open and self._estimates)

    def audit(self, ts_ns: int, actual: float) -> str:
        """Hold the books to the account's balance; return how they differ, empty where they do not.

        The first audit opens them. Funding that is due at this very close is in the books and not yet in the account.
        """
        self._audited_day = (ts_ns - 1) // DAY_NS
        actual += self._unbooked
        actual += self._latest_funding[1] if self._latest_funding[0] == ts_ns else 0.0
        if self._opening is None:
            self._opening = actual - self.balance
        return self.differ(actual)

    def differ(self, actual: float) -> str:
        """Return how the books differ from a balance, empty where they do not."""
        books = self.balance
        return (
            ""
            if abs(books - actual) <= TOLERANCE
            else f"the books say a balance of {books:.4f}, the account {actual:.4f}"
        )
