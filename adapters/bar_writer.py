"""Bars into the catalog: raw klines become exact decimals, month by month, merged with what is there."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from adapters.fixed_point import DECIMAL, MAX_EXACT, decimal_array, to_raw
from adapters.instruments import InstrumentInfo
from adapters.klines import EXTRAS, PRICES, TIME, floats, times_ns
from adapters.parts import list_parts, open_part, part_name, part_range, write_part
from core.bars import bar_type, interval_ns
from core.errors import DataError

__all__ = ["BarWriter", "WriteReport"]

_ENGINE = (*PRICES, "volume", "ts_event", "ts_init")
_EXTRA_TYPES = {"quote_volume": pa.float64(), "trades": pa.int64(), "taker_buy_base": pa.float64(),
                "taker_buy_quote": pa.float64(), "open_time": TIME, "close_time": TIME}  # fmt: skip
_COMPARED = (*PRICES, "volume", *EXTRAS)
_MAX_VALUE = {"price": 17_014_118_346_046, "volume": 34_028_236_692_093}  # the engine's limits


@dataclass
class WriteReport:
    """What became of the rows.

    ``rows`` read; ``added`` new in the catalog; ``equal`` already there or given twice; ``replaced`` there, or given
    before, with other values: the last one given stands. ``prices_rounded`` and ``volumes_rounded`` count values off
    the grid of tick and lot, ``largest_rounding`` (quote currency) is of prices.
    """

    rows: int = 0
    added: int = 0
    equal: int = 0
    replaced: int = 0
    prices_rounded: int = 0
    volumes_rounded: int = 0
    largest_rounding: float = 0.0
    first_ns: int | None = None
    last_ns: int | None = None


class BarWriter:
    """Takes raw klines in any order and writes one part a month (UTC, of the open time).

    Rows in order are written once a month; it holds one month at a time. Call `close` at the end: rows of the last
    month are not in the catalog before.

    Parameters
    ----------
    catalog : Path
        Directory of the catalog, locked by the caller (`adapters.parts.locked`).
    instrument : InstrumentInfo
        Whose tick and lot the bars are put on: prices to the nearest tick, volume down to the lot.
    interval : str
        Such as 1m.
    exact : bool
        Refuse a price off the tick instead of rounding it.
    """

    def __init__(self, catalog: Path, instrument: InstrumentInfo, interval: str, *, exact: bool = False) -> None:
        self.report = WriteReport()
        self._instrument = instrument
        self._interval = interval
        self._length = interval_ns(interval)
        self._exact = exact
        name = bar_type(instrument.id, interval)
        self._directory = catalog / "data" / "bars" / name
        self._schema = pa.schema(
            [pa.field(n, DECIMAL, nullable=False) for n in _ENGINE[:5]]
            + [pa.field(n, TIME, nullable=False) for n in _ENGINE[5:]]
            + [pa.field(n, kind) for n, kind in _EXTRA_TYPES.items()],
            metadata={
                "bar_type": name,
                "instrument_id": instrument.id,
                "price_precision": str(instrument.price_precision),
                "size_precision": str(instrument.size_precision),
                "type_name": "Bar",
            },
        )
        parts = list_parts(self._directory)
        self._parts = {_month(part_range(path)[0] - self._length): path for path in parts}
        if len(self._parts) < len(parts):
            raise DataError(f"{self._directory} has more than one file a month: import into another catalog")
        self._pending: list[Any] = []
        self._pending_month: int | None = None

    def append(self, klines: Any, *, source: str = "bars") -> None:
        """Take rows of `adapters.klines.KLINE_SCHEMA`.

        Raises
        ------
        DataError
            For a row that cannot be a bar: a price that is not positive and finite, a negative volume, a time off the
            interval's grid, a value beyond the engine's; none of ``klines`` is taken then.
        """
        if len(klines) == 0:
            return
        opened = times_ns(klines["open_time"])
        if np.any(np.diff(opened) < 0):
            order = np.argsort(opened, kind="stable")
            klines, opened = klines.take(order), opened[order]
        self._refuse_wrong_interval(opened, source)
        bars = self._bars(klines, opened, source)
        report = self.report
        report.rows += len(bars)
        first, last = int(opened[0]) + self._length, int(opened[-1]) + self._length
        report.first_ns = first if report.first_ns is None else min(first, report.first_ns)
        report.last_ns = last if report.last_ns is None else max(last, report.last_ns)
        for month, start, end in _months(opened):
            if month != self._pending_month:
                self.close()
                self._pending_month = month
            self._pending.append(bars.slice(start, end - start))

    def close(self) -> None:
        """Write what was taken and not yet written."""
        month = self._pending_month
        if month is None:
            return
        table = self._merged(pa.concat_tables(self._pending))
        held = self._held(month)
        before = 0
        if held is not None:
            before = len(held)
            table = self._merged(pa.concat_tables([held, table]))
        self.report.added += len(table) - before
        stamps = times_ns(table["ts_init"])
        first, last = int(stamps[0]), int(stamps[-1])
        old = self._parts.get(month)
        if held is None or not table.equals(held) or old is None or old.name != part_name(first, last):
            self._parts[month] = write_part(self._directory, table, first, last, old=old)
        self._pending, self._pending_month = [], None

    def _held(self, month: int) -> Any:
        """Return the rows of a month that the catalog holds, None where it holds none."""
        path = self._parts.get(month)
        if path is None:
            return None
        table = open_part(path).read()
        for name, kind in _EXTRA_TYPES.items():
            if name not in table.column_names:  # a part that the engine wrote
                table = table.append_column(name, pa.nulls(len(table), kind))
        return table.select(self._schema.names).cast(self._schema)

    def _merged(self, table: Any) -> Any:
        """Return the rows in order of time, one a bar: the last given, its nulls filled from the one before."""
        stamps = times_ns(table["ts_init"])
        if np.all(np.diff(stamps) > 0):
            return table.combine_chunks()
        order = np.argsort(stamps, kind="stable")
        table, stamps = table.take(order), stamps[order]
        again = np.flatnonzero(np.diff(stamps) == 0)
        later, conflicts = _filled(table.take(again + 1), table.take(again))
        self.report.replaced += conflicts
        self.report.equal += len(again) - conflicts
        single = np.ones(len(stamps), dtype=np.bool_)
        single[again] = single[again + 1] = False
        last_of_its_time = np.diff(stamps[again], append=np.iinfo(np.int64).max) > 0
        table = pa.concat_tables([table.filter(pa.array(single)), later.filter(pa.array(last_of_its_time))])
        return table.take(np.argsort(times_ns(table["ts_init"]), kind="stable")).combine_chunks()

    def _refuse_wrong_interval(self, opened: npt.NDArray[np.int64], source: str) -> None:
        off = np.flatnonzero(opened % self._length)
        if len(off) > 0:
            raise DataError(
                f"{source}: a bar opens at {_iso(opened[off[0]])}, off the {self._interval} grid: is --interval right?"
            )
        steps = np.diff(opened)
        steps = steps[steps > 0]
        if len(steps) >= 10 and int(steps.min()) > self._length:
            raise DataError(
                f"{source}: bars are {int(steps.min()) // 60_000_000_000} minutes apart, {self._interval} was asked: "
                "give the --interval of the file"
            )

    def _bars(self, klines: Any, opened: npt.NDArray[np.int64], source: str) -> Any:
        columns = [self._decimals(klines, name, opened, source, self._instrument.tick) for name in PRICES]
        columns.append(self._decimals(klines, "volume", opened, source, self._instrument.lot))
        known = pa.array(opened + self._length, TIME)
        columns += [known, known]
        columns += [klines[name].cast(kind).combine_chunks() for name, kind in _EXTRA_TYPES.items()]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _decimals(self, klines: Any, name: str, opened: npt.NDArray[np.int64], source: str, step: Decimal) -> Any:
        values = floats(klines[name])
        price = name != "volume"
        precision = self._instrument.price_precision if price else self._instrument.size_precision
        limit = min(MAX_EXACT / 10**precision, _MAX_VALUE["price" if price else "volume"])
        wrong = np.flatnonzero(~((values > 0.0) if price else (values >= 0.0)) | ~(values < limit))
        if len(wrong) > 0:
            at = wrong[0]
            raise DataError(
                f"{source}: {name} {values[at]} of the bar opened at {_iso(opened[at])} is not "
                f"{'above' if price else 'at least'} 0 and below {limit:.0f}: mend or remove the row"
            )
        raw, moved = to_raw(values, step, down=not price)
        count = int(np.count_nonzero(moved))
        if price and count > 0:
            self._count_rounding(name, values, raw / 10**precision, np.flatnonzero(moved), opened, source)
        elif count > 0:
            self.report.volumes_rounded += count
        return decimal_array(raw, precision)

    def _count_rounding(
        self,
        name: str,
        values: npt.NDArray[np.float64],
        rounded: npt.NDArray[np.float64],
        moved: npt.NDArray[np.int64],
        opened: npt.NDArray[np.int64],
        source: str,
    ) -> None:
        tick = self._instrument.tick
        zero = moved[rounded[moved] <= 0.0]
        if self._exact or len(zero) > 0:
            at = moved[0] if self._exact else zero[0]
            advice = "leave --exact out to round it" if self._exact else "the tick is too coarse for this history"
            raise DataError(
                f"{source}: {name} {values[at]} of the bar opened at {_iso(opened[at])} is off the tick {tick:f} of "
                f"{self._instrument.id}: {advice}"
            )
        self.report.prices_rounded += len(moved)
        largest = float(np.abs(values - rounded)[moved].max())
        self.report.largest_rounding = max(self.report.largest_rounding, largest)


def _filled(new: Any, old: Any) -> tuple[Any, int]:
    """Return ``new`` with its nulls filled from ``old`` where the two rows agree, and how many rows do not."""
    conflict = np.zeros(len(new), dtype=np.bool_)
    for name in _COMPARED:
        conflict |= pc.fill_null(pc.not_equal(old[name], new[name]), fill_value=False).to_numpy()
    agree = pa.array(~conflict)
    for index, name in enumerate(new.column_names):
        if name in EXTRAS:
            column = pc.if_else(agree, pc.coalesce(new[name], old[name]), new[name])
            new = new.set_column(index, new.schema.field(index), column)
    return new, int(np.count_nonzero(conflict))


def _months(opened: npt.NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """Yield month, first row and end row of each run of rows of one month (rows in order of time)."""
    months = opened.astype("datetime64[ns]").astype("datetime64[M]").astype(np.int64)
    edges = [0, *(np.flatnonzero(np.diff(months)) + 1).tolist(), len(months)]
    for start, end in itertools.pairwise(edges):
        yield int(months[start]), start, end


def _month(open_ns: int) -> int:
    return int(np.datetime64(open_ns, "ns").astype("datetime64[M]").astype(np.int64))


def _iso(ts_ns: int) -> str:
    return f"{np.datetime64(int(ts_ns), 'ns').astype('datetime64[s]')}Z"
