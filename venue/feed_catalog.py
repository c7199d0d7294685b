"""Prices from a catalog: its one-minute bars and its funding, read month by month.

::

    DIR/data/bars/<SYMBOL>-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL/<first>_<last>.parquet    named by closes
    DIR/data/funding_rates/<SYMBOL>-PERP.BINANCE/*.parquet
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from venue.bars import MINUTE_MS, Columns, concatenated
from venue.feed import FundingTime

__all__ = ["CatalogFeed", "FeedError"]

_MS_NS = 1_000_000
_PRICES = ("open", "high", "low", "close")
_EXTRAS = ("quote_volume", "trades", "taker_buy_base", "taker_buy_quote")


class FeedError(Exception):
    """A catalog that cannot be replayed, in one line."""


class _Part(NamedTuple):
    path: Path
    first_close_ms: int
    last_close_ms: int


class CatalogFeed:
    """The bars and funding of a catalog.

    Parameters
    ----------
    catalog : Path
        Where it is.
    symbols : Sequence[str]
        Whose bars: Binance's names.
    start_ms, end_ms : int, int | None
        First open and last close to be played; the bars before are history.

    Raises
    ------
    FeedError
        Where there are no such bars.
    """

    def __init__(self, catalog: Path, symbols: Sequence[str], start_ms: int, end_ms: int | None) -> None:
        self._parts = {symbol: _parts(catalog, symbol) for symbol in symbols}
        self._funding = {symbol: _funding(catalog, symbol) for symbol in symbols}
        last = max(parts[-1].last_close_ms for parts in self._parts.values())
        first = max(parts[0].first_close_ms for parts in self._parts.values()) - MINUTE_MS
        self.start_ms = -(-start_ms // MINUTE_MS) * MINUTE_MS
        end = last if end_ms is None else min(end_ms, last)
        self.end_ms: int | None = end
        if not first <= self.start_ms < end:
            raise FeedError(
                f"no bars to replay from {_iso(self.start_ms)} to {_iso(end)}: the catalog {catalog} has "
                f"{', '.join(symbols)} from {_iso(first)} to {_iso(last)}"
            )
        self._read = lru_cache(maxsize=4 * len(symbols))(_read)

    def bars(self, symbol: str, first_ms: int, last_ms: int) -> Columns:
        """Return the bars that open in ``first_ms <= t <= last_ms``."""
        wanted = [
            part
            for part in self._parts[symbol]
            if part.last_close_ms > first_ms and part.first_close_ms - MINUTE_MS <= last_ms
        ]
        return concatenated([self._read(part.path).cut(first_ms, last_ms) for part in wanted])

    def funding(self, symbol: str, first_ms: int, last_ms: int) -> list[FundingTime]:
        """Return the settlements of ``first_ms <= t <= last_ms``, in order."""
        settled = self._funding[symbol]
        start, stop = (bisect_left(settled, moment, key=_time_of) for moment in (first_ms, last_ms + 1))
        return settled[start:stop]


def _time_of(funding: FundingTime) -> int:
    return funding.time_ms


def _parts(catalog: Path, symbol: str) -> list[_Part]:
    folder = catalog / "data" / "bars" / f"{symbol}-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL"
    parts = [_Part(file, *map(_stamp_ms, file.stem.split("_"))) for file in sorted(folder.glob("*.parquet"))]
    if not parts:
        raise FeedError(f"catalog {catalog} has no one-minute bars of {symbol} (looked for {folder})")
    return sorted(parts, key=lambda part: part.first_close_ms)


def _stamp_ms(text: str) -> int:
    """Return the time in a part's name, such as 2024-01-31T00-01-00-000000000Z."""
    date, time = text.removesuffix("Z").split("T")
    hour, minute, second, fraction = time.split("-")
    whole = datetime.fromisoformat(f"{date}T{hour}:{minute}:{second}+00:00")
    return int(whole.timestamp()) * 1_000 + int(fraction) // _MS_NS


def _read(part: Path) -> Columns:
    file = pq.ParquetFile(part)
    known = set(file.schema_arrow.names)
    table = file.read([name for name in (*_PRICES, "volume", "ts_init", *_EXTRAS) if name in known])
    rows = table.num_rows

    def floats(name: str, otherwise: Any) -> Any:
        if name not in known or table[name].null_count == rows:
            return otherwise
        column = pc.cast(table[name], pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isnan(column), otherwise, column)

    prices = {name: np.round(floats(name, 0.0), 8) for name in _PRICES}
    volume = np.round(floats("volume", np.zeros(rows)), 8)
    closes = table["ts_init"].cast(pa.int64()).to_numpy() // _MS_NS
    taker = np.minimum(np.round(floats("taker_buy_base", volume / 2), 8), volume)
    return Columns(
        open_ms=closes - MINUTE_MS,
        **prices,
        volume=volume,
        quote_volume=floats("quote_volume", volume * prices["close"]),
        trades=floats("trades", np.where(volume > 0, 4.0, 0.0)).astype(np.int64),
        taker_buy=taker,
        taker_quote=floats("taker_buy_quote", taker * prices["close"]),
    )


def _funding(catalog: Path, symbol: str) -> list[FundingTime]:
    rows: dict[int, float] = {}
    for file in sorted((catalog / "data" / "funding_rates" / f"{symbol}-PERP.BINANCE").glob("*.parquet")):
        table = pq.ParquetFile(file).read(["rate", "ts_event"])
        times = table["ts_event"].cast(pa.int64()).to_numpy() // _MS_NS
        rows.update(zip(times.tolist(), map(float, table["rate"].to_pylist()), strict=True))
    return [FundingTime(time_ms, rows[time_ms]) for time_ms in sorted(rows)]


def _iso(time_ms: int) -> str:
    return f"{np.datetime64(time_ms, 'ms').astype('datetime64[s]')}Z"
