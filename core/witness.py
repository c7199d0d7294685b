"""A journal that remembers what it was told of positions and orders, so that it can be held to the cache."""

from collections.abc import Collection, Mapping
from decimal import Decimal

from core.protocols import Journal

__all__ = ["Witness"]


class Witness:
    """Passes every row on to a journal (and is one itself), and keeps what the rows add up to.

    Parameters
    ----------
    journal : Journal
        Where the rows go.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._held: dict[str, Decimal] = {}
        self._orders: dict[str, dict[str, int]] = {}
        self._decided: dict[str, tuple[int, float]] = {}

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take one row and pass it on."""
        self._journal.record(kind, row)
        if kind == "decisions":
            self._decided[row["instrument_id"]] = (row["ts_event"], row["close"])  # type: ignore[index, assignment]
        elif kind == "fills":
            quantity = Decimal(str(row["quantity"]))
            name = str(row["instrument_id"])
            self._held[name] = self._held.get(name, Decimal(0)) + (quantity if row["side"] == "BUY" else -quantity)
        elif kind == "positions":
            self._held[str(row["instrument_id"])] = Decimal(str(row["quantity"]))
        elif kind == "orders":
            known = self._orders.setdefault(str(row["instrument_id"]), {})
            known[str(row["client_order_id"])] = row["ts_event"]  # type: ignore[assignment]

    def held(self, instrument_id: str) -> Decimal:
        """Return the signed sum of all fills since a position was last taken over, and that position; base asset."""
        return self._held.get(instrument_id, Decimal(0))

    def knows(self, instrument_id: str, order_id: str) -> bool:
        """Return whether an order was written down."""
        return order_id in self._orders.get(instrument_id, ())

    def decided(self, instrument_id: str) -> tuple[int, float]:
        """Return time (ns) and close of the last decision, zeros before any."""
        return self._decided.get(instrument_id, (0, 0.0))

    def forget(self, instrument_id: str, before_ns: int, keep: Collection[str]) -> None:
        """Forget orders last written of before a time, but for those to be kept: memory does not grow with the run."""
        known = self._orders.get(instrument_id, {})
        over = [order_id for order_id, ts in known.items() if ts < before_ns and order_id not in keep]
        for order_id in over:
            del known[order_id]
