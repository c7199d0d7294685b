"""What a component asks the engine of prices, the account and the time: plain answers, so that they can be recorded."""

from typing import TYPE_CHECKING, Any

from nautilus_trader.model import BarType, Currency, InstrumentId, PriceType, Venue

from core.listening import asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from core.books import Books
    from core.faults import Faults
    from core.messages import ClosedBar, Mark
    from core.protocols import Timekeeper

__all__ = ["AccountView", "Prices"]

type Prices = Callable[[str], float]
"""Last prices by instrument."""


class AccountView:
    """The questions of an actor; it sets the attributes that are named here."""

    if TYPE_CHECKING:
        faults: Faults
        clock: Any
        cache: Any
        _bar_types: dict[str, BarType]
        _closes: dict[str, float]
        _taken: dict[str, ClosedBar]
        _venue: Venue
        _currency: Currency
        _time: Timekeeper
        _books: Books

    @asked
    def _now(self) -> int:
        return self._time.now_ns(int(self.clock.timestamp_ns()))

    @asked
    def _middle(self, instrument: str) -> float:
        price = self.cache.price(InstrumentId.from_str(instrument), PriceType.MID)
        if price is None:
            raise RuntimeError(f"funding of {instrument} cannot be written down: no quote of it has been seen")
        return float(price.as_double())

    @asked
    def _last_close(self, instrument: str) -> float:
        """Return the close of the last bar: of one that was taken at the door, or of history, where somebody is there.

        The engine's cache has what is refused at the door, too: it is asked only where there is none.
        """
        if instrument in self._taken:
            return self._taken[instrument].close
        if instrument in self._closes:
            return self._closes[instrument]
        bar = self.cache.bar(self._bar_types[instrument])
        if bar is None:
            raise RuntimeError(f"a position in {instrument} cannot be marked: no bar of it has been seen")
        return float(bar.close.as_double())

    @asked
    def _last_seen(self, instrument: str) -> int:
        if instrument in self._taken:
            return self._taken[instrument].ts_close
        bar = self.cache.bar(self._bar_types[instrument])
        return 0 if bar is None else int(bar.ts_event)

    @asked
    def _balance(self) -> float:
        account = self.cache.account_for_venue(self._venue)
        if account is None:
            raise RuntimeError(f"no account at {self._venue}")
        return float(account.balance_total(self._currency).as_double())

    def _prices(self, mark: "Mark") -> Prices:
        """Return the prices of a mark: its own close, and the others' last ones."""
        return lambda name: mark.close if name == mark.instrument_id else self._last_close(name)

    def _audited(self, ts: int) -> str:
        """Return how our books differ from the venue's account, once a UTC day; empty where they do not.

        The engine copies an account with its whole history at every look, which a decision has no time for.
        """
        return self._books.audit(ts, self._balance()) if self._books.due(ts) else ""
