"""Our own books of one account: positions as their owners tell them, funding, and the balance that follows."""

from collections.abc import Callable, Iterable, Mapping

from core.bars import DAY_NS
from core.messages import PositionState

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

    def fund(self, instrument: str, ts_ns: int, price: float, rate: float, *, booked: bool = True) -> float:
        """Book a funding payment and return its cash flow (quote currency); longs pay a positive rate.

        Not ``booked``: the account will never show it.
        """
        amount = -round(self._positions[instrument].lots * self._lots[instrument] * price * rate, 8)
        self._funding += amount
        if not booked:
            self._unbooked += amount
            return amount
        same = self._latest_funding[1] if self._latest_funding[0] == ts_ns else 0.0
        self._latest_funding = (ts_ns, same + amount)
        return amount

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
        """Return whether an audit is due: once a UTC day, and before anything else."""
        return (ts_ns - 1) // DAY_NS != self._audited_day

    def audit(self, ts_ns: int, actual: float) -> str:
        """Hold the books to the account's balance; return how they differ, empty where they do not.

        The first audit opens them. Funding that is due at this very close is in the books and not yet in the account.
        """
        self._audited_day = (ts_ns - 1) // DAY_NS
        actual += self._unbooked
        actual += self._latest_funding[1] if self._latest_funding[0] == ts_ns else 0.0
        if self._opening is None:
            self._opening = actual - self.balance
        books = self.balance
        if abs(books - actual) > TOLERANCE:
            return f"the books say a balance of {books:.4f}, the account {actual:.4f}"
        return ""
