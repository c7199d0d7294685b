"""Taker-buy volume beside the bars: the engine's bars carry none, the catalog's files do."""

from collections.abc import Iterator
from math import nan
from pathlib import Path

from adapters.catalog import iter_bars

__all__ = ["CatalogFlow"]


class CatalogFlow:
    """Reads taker-buy volume month by month, in step with a replay (`core.protocols.FlowSource`).

    Parameters
    ----------
    catalog : Path
        Where the bars are.
    interval : str
        Base interval.
    start_ns, end_ns : int
        Range of closes, as of the replay.
    """

    def __init__(self, catalog: Path, interval: str, *, start_ns: int, end_ns: int) -> None:
        self._catalog = catalog
        self._interval = interval
        self._range = (start_ns, end_ns)
        self._months: dict[str, Iterator[dict[int, float]]] = {}
        self._current: dict[str, dict[int, float]] = {}

    def taker_buy(self, instrument_id: str, ts_close: int) -> float:
        """Return the taker-buy volume (base asset) of the bar closed at ``ts_close``, NaN where unknown.

        Times must not go back: a month that was left is not read again.
        """
        known = self._current.get(instrument_id)
        if known is not None:
            value = known.get(ts_close)
            if value is not None:
                return value
        return self._advance(instrument_id, ts_close)

    def _advance(self, instrument_id: str, ts_close: int) -> float:
        months = self._months.get(instrument_id)
        if months is None:
            months = self._months[instrument_id] = self._read(instrument_id)
        for month in months:
            self._current[instrument_id] = month
            if ts_close in month:
                return month[ts_close]
        return nan

    def _read(self, instrument_id: str) -> Iterator[dict[int, float]]:
        start_ns, end_ns = self._range
        for bars in iter_bars(self._catalog, instrument_id, self._interval, start_ns=start_ns, end_ns=end_ns):
            yield dict(zip(bars.ts_close.tolist(), bars.taker_buy.tolist(), strict=True))
