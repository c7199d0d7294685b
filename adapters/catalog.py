"""The catalog: bars, funding and instruments as Parquet that the engine, features and training read alike.

::

    DIR/data/bars/BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL/<first>_<last>.parquet     one part a month (UTC)
    DIR/data/funding_rates/BTCUSDT-PERP.BINANCE/<first>_<last>.parquet                   one part
    DIR/data/crypto_perpetual/BTCUSDT-PERP.BINANCE/...                                   its filters
    DIR/sentiment/fear_greed.parquet

It is the engine's own layout; a bar has the source's other columns beside the engine's (`adapters.bar_writer`).
Ranges are of closes: ``start_ns < ts_close <= end_ns``.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from adapters.bar_writer import BarWriter, WriteReport
from adapters.fixed_point import decimal_array, decimals_to_raw
from adapters.funding import read_funding
from adapters.instruments import InstrumentInfo, list_instruments, write_instruments
from adapters.instruments import read_instrument as instrument
from adapters.klines import EXTRAS, PRICES, TIME, floats, kline_table, times_ns
from adapters.parts import list_parts, locked, open_part, part_range, write_part
from core.bars import INTERVALS_NS, Bars, bar_type, interval_ns
from core.errors import DataError

__all__ = [
    "InstrumentInfo",
    "Series",
    "WriteReport",
    "data_hash",
    "decimal_array",
    "instrument",
    "iter_bars",
    "iter_klines",
    "list_instruments",
    "list_series",
    "read_bars",
    "read_funding",
    "write_bars",
    "write_instruments",
    "write_part",
]

IntArray = npt.NDArray[np.int64]
_BAR_COLUMNS = (*PRICES, "volume", "ts_init", "taker_buy_base")


class Series(msgspec.Struct, frozen=True):
    """One series of a catalog: ``kind`` bars or funding, ``interval`` empty for funding, closes in ns."""

    kind: str
    instrument_id: str
    interval: str
    rows: int
    first_ns: int
    last_ns: int


def write_bars(
    catalog: Path, instrument_id: str, interval: str, tables: Iterable[Any], *, exact: bool = False
) -> WriteReport:
    """Write raw klines (tables of `adapters.klines.KLINE_SCHEMA`, in any order) to the catalog, merged with its own.

    The instrument must be there (`write_instruments`). Memory holds one month; a month appears whole or not at all.

    Raises
    ------
    DataError
        For a row that cannot be a bar; the months before it stay written.
    """
    info = instrument(catalog, instrument_id)
    with locked(catalog):
        writer = BarWriter(catalog, info, interval, exact=exact)
        for table in tables:
            writer.append(table)
        writer.close()
    return writer.report


def read_bars(
    catalog: Path,
    instrument_id: str,
    interval: str,
    *,
    start_ns: int | None = None,
    end_ns: int | None = None,
    missing_ok: bool = False,
) -> Bars:
    """Return the bars of a range, in order of time.

    Floats are the stored decimals, correctly rounded. Taker-buy volume is cut at the bar's volume, which was rounded
    down to the lot.

    Raises
    ------
    DataError
        Where there is no catalog or no such series, or no bar in the range unless ``missing_ok``.
    """
    months = list(iter_bars(catalog, instrument_id, interval, start_ns=start_ns, end_ns=end_ns))
    if not months:
        if missing_ok:
            return Bars(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in range(6)))
        raise _empty_range(catalog, instrument_id, interval, start_ns, end_ns)
    return Bars(*(np.concatenate(columns) for columns in zip(*months, strict=True)))


def iter_bars(
    catalog: Path, instrument_id: str, interval: str, *, start_ns: int | None = None, end_ns: int | None = None
) -> Iterator[Bars]:
    """Yield the bars of a range month by month, none empty (`read_bars`)."""
    for table in _iter_parts(catalog, instrument_id, interval, _BAR_COLUMNS, start_ns, end_ns):
        yield _bars(table)


def iter_klines(
    catalog: Path, instrument_id: str, interval: str, *, start_ns: int | None = None, end_ns: int | None = None
) -> Iterator[Any]:
    """Yield the bars of a range month by month as tables of `adapters.klines.KLINE_SCHEMA`."""
    length = interval_ns(interval)
    columns = (*PRICES, "volume", "ts_init", *EXTRAS)
    for table in _iter_parts(catalog, instrument_id, interval, columns, start_ns, end_ns):
        bars = _bars(table)
        yield kline_table(
            open_time=bars.ts_close - length,
            **{name: getattr(bars, name) for name in (*PRICES, "volume")},
            **{name: table[name].combine_chunks() for name in EXTRAS if name in table.column_names},
        )


def list_series(catalog: Path) -> list[Series]:
    """Return what a catalog holds, sorted by name.

    Raises
    ------
    DataError
        Where the catalog does not exist.
    """
    _require(catalog)
    kinds = {bar_type("", interval): interval for interval in INTERVALS_NS}
    found = [("funding", path.name, "", path) for path in _directories(catalog / "data" / "funding_rates")]
    for path in _directories(catalog / "data" / "bars"):
        suffix = next((s for s in kinds if path.name.endswith(s)), None)
        if suffix is not None:
            found.append(("bars", path.name.removesuffix(suffix), kinds[suffix], path))
    series = []
    for kind, name, interval, path in found:
        spans = [_span(part) for part in list_parts(path)]
        if spans:
            rows, first, last = zip(*spans, strict=True)
            series.append(Series(kind, name, interval, sum(rows), min(first), max(last)))
    return sorted(series, key=lambda s: (s.kind, s.instrument_id, INTERVALS_NS.get(s.interval, 0)))


def data_hash(
    catalog: Path, instrument_ids: Sequence[str], interval: str, *, start_ns: int | None, end_ns: int | None
) -> str:
    """Return the SHA-256 (hex) of the bars and the funding of a range.

    It depends on what a replay reads and on nothing else: not on files, on the order of import, or on the order of
    ``instrument_ids``. A bar counts with its close time, exact prices and volume, and taker-buy volume.

    Raises
    ------
    DataError
        As `read_bars`.
    """
    digest = hashlib.sha256()
    for name in sorted(instrument_ids):
        empty = True
        for table in _iter_parts(catalog, name, interval, _BAR_COLUMNS, start_ns, end_ns):
            price_precision, size_precision = _precisions(table)
            if empty:
                digest.update(f"bars {name} {interval} {price_precision} {size_precision}\n".encode())
                empty = False
            columns = [times_ns(table["ts_init"])]
            columns += [decimals_to_raw(table[column], price_precision) for column in PRICES]
            columns += [decimals_to_raw(table["volume"], size_precision), _taker_buy(table).view(np.int64)]
            digest.update(np.column_stack(columns).astype("<i8").tobytes())
        if empty:
            raise _empty_range(catalog, name, interval, start_ns, end_ns)
        funding = read_funding(catalog, name, start_ns=start_ns, end_ns=end_ns)
        digest.update(f"funding {name} {len(funding.ts)}\n".encode())
        digest.update(np.column_stack([funding.ts, funding.rate.view(np.int64)]).astype("<i8").tobytes())
    return digest.hexdigest()


def _iter_parts(
    catalog: Path,
    instrument_id: str,
    interval: str,
    columns: Sequence[str],
    start_ns: int | None,
    end_ns: int | None,
) -> Iterator[Any]:
    """Yield the rows of a range part by part, none empty, with those of ``columns`` that a part has."""
    _require(catalog)
    directory = catalog / "data" / "bars" / bar_type(instrument_id, interval)
    parts = list_parts(directory)
    if not parts:
        raise _no_series(catalog, instrument_id, interval)
    for part in parts:
        first, last = part_range(part)
        if (start_ns is not None and last <= start_ns) or (end_ns is not None and first > end_ns):
            continue
        file = open_part(part)
        try:
            table = file.read([name for name in columns if name in file.schema_arrow.names])
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{part} cannot be read ({error}): remove it, then import that month again") from None
        if start_ns is not None and first <= start_ns:
            table = table.filter(pc.greater(table["ts_init"], pa.scalar(start_ns, TIME)))
        if end_ns is not None and last > end_ns:
            table = table.filter(pc.less_equal(table["ts_init"], pa.scalar(end_ns, TIME)))
        if len(table) > 0:
            yield table


def _bars(table: Any) -> Bars:
    price_precision, size_precision = _precisions(table)
    prices = {name: decimals_to_raw(table[name], price_precision) / 10**price_precision for name in PRICES}
    volume = decimals_to_raw(table["volume"], size_precision) / 10**size_precision
    taker_buy = np.minimum(_taker_buy(table), volume)
    return Bars(ts_close=times_ns(table["ts_init"]), **prices, volume=volume, taker_buy=taker_buy)


def _taker_buy(table: Any) -> npt.NDArray[np.float64]:
    if "taker_buy_base" not in table.column_names:
        return np.full(len(table), np.nan)
    values = floats(table["taker_buy_base"])
    return np.where(np.isnan(values), np.nan, values)  # one bit pattern for every unknown


def _precisions(table: Any) -> tuple[int, int]:
    metadata = table.schema.metadata
    return int(metadata[b"price_precision"]), int(metadata[b"size_precision"])


def _span(part: Path) -> tuple[int, int, int]:
    """Return rows, first and last time of a part, from its statistics."""
    metadata = open_part(part).metadata
    column = metadata.schema.names.index("ts_init")
    groups = [metadata.row_group(i).column(column).statistics for i in range(metadata.num_row_groups)]
    if any(group is None or not group.has_min_max for group in groups):
        return (metadata.num_rows, *part_range(part))
    return metadata.num_rows, min(group.min_raw for group in groups), max(group.max_raw for group in groups)


def _directories(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []


def _require(catalog: Path) -> None:
    if not catalog.is_dir():
        raise DataError(f"no catalog at {catalog}: fill one with `autotrade data import` or `autotrade data download`")


def _no_series(catalog: Path, instrument_id: str, interval: str) -> DataError:
    held = ", ".join(f"{s.instrument_id} {s.interval}" for s in list_series(catalog) if s.kind == "bars")
    return DataError(
        f"catalog {catalog} has no {interval} bars of {instrument_id}, it holds {held or 'none'}: "
        f"`autotrade data import FILE --instrument {instrument_id} --interval {interval} --catalog {catalog}`"
    )


def _empty_range(
    catalog: Path, instrument_id: str, interval: str, start_ns: int | None, end_ns: int | None
) -> DataError:
    held = next(s for s in list_series(catalog) if (s.instrument_id, s.interval) == (instrument_id, interval))
    return DataError(
        f"catalog {catalog} has no {interval} bars of {instrument_id} from {_iso(start_ns)} to {_iso(end_ns)}, "
        f"it holds {_iso(held.first_ns)} to {_iso(held.last_ns)}: choose a range within, or import more"
    )


def _iso(ts_ns: int | None) -> str:
    return "any time" if ts_ns is None else f"{np.datetime64(ts_ns, 'ns').astype('datetime64[s]')}Z"
