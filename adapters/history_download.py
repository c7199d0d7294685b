"""The way of one instrument's history into the catalog: which piece comes from where, and what is there already."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from adapters.archive import read_funding_file, read_klines
from adapters.archive_files import ArchiveFiles, Span, funding_path, kline_path, spans
from adapters.catalog import read_funding, write_bars
from adapters.funding import write_funding
from adapters.instruments import ensure_instrument, list_instruments, parse_exchange_info, write_instruments
from adapters.klines import TIME, times_ns
from adapters.parts import list_parts, open_part
from adapters.rest_history import RestHistory
from core.bars import DAY_NS, bar_type, interval_ns
from core.errors import DataError

__all__ = ["DownloadReport", "HistoryDownload", "HistoryRequest", "Told"]

_FUNDING_GAP_NS = DAY_NS // 3
"""The longest time between two settlements."""

type Told = Callable[[int, int, str], None]
"""Called with steps done, steps in all and what is next."""


class HistoryRequest(NamedTuple):
    """What to download: bars that open in ``start_ns <= t < end_ns``, and the settlements of that time.

    ``instrument_id`` is the engine's name; ``funding`` has no meaning on spot.
    """

    catalog: Path
    instrument_id: str
    interval: str
    start_ns: int
    end_ns: int
    funding: bool = True

    @property
    def market(self) -> str:
        """Binance's market: um or spot."""
        return "um" if self.instrument_id.endswith("-PERP.BINANCE") else "spot"

    @property
    def symbol(self) -> str:
        """Binance's name."""
        return self.instrument_id.removesuffix(".BINANCE").removesuffix("-PERP")


@dataclass
class DownloadReport:
    """What was downloaded.

    ``monthly``, ``daily`` and ``funding_files`` count archive files, ``rest`` spans of bars that came by REST;
    ``complete`` counts months that needed nothing. ``rows``, ``added``, ``replaced`` are of bars, ``first_ns`` and
    ``last_ns`` their closes; ``received`` bytes of bodies.
    """

    instrument_id: str
    interval: str
    filters: str = ""
    monthly: int = 0
    daily: int = 0
    rest: int = 0
    complete: int = 0
    rows: int = 0
    added: int = 0
    replaced: int = 0
    prices_rounded: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    funding_files: int = 0
    funding_rows: int = 0
    funding_added: int = 0
    received: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def files(self) -> int:
        """Archive files in all."""
        return self.monthly + self.daily + self.funding_files


class HistoryDownload:
    """Downloads one instrument's history into a catalog.

    Parameters
    ----------
    request : HistoryRequest
        What and where to.
    archive : ArchiveFiles
        Of the request's market, its folder locked by the caller.
    rest : RestHistory
        Of the request's market.
    progress : callable, optional
        Told steps done, steps in all and what is next; a step is a day of bars or a month of funding.
    """

    def __init__(
        self, request: HistoryRequest, archive: ArchiveFiles, rest: RestHistory, progress: Told | None
    ) -> None:
        self.report = DownloadReport(request.instrument_id, request.interval)
        self._request = request
        self._archive = archive
        self._rest = rest
        self._progress = progress
        self._length = interval_ns(request.interval)
        self._held = np.empty(0, dtype=np.int64)
        self._first_open: int | None = None
        self._done = self._total = 0

    def run(self, now_ns: int) -> DownloadReport:
        """Download what the catalog lacks.

        Parameters
        ----------
        now_ns : int
            The time now; the archive has no file of a day that is not over.

        Raises
        ------
        DataError
            Where a source refuses, cannot be reached, or has nothing of the request.
        """
        request, report = self._request, self.report
        self._ensure_filters()
        self._held = _held_opens(request.catalog, request.instrument_id, request.interval)
        months = list(spans("M", request.start_ns, request.end_ns))
        wanted = [month for month in months if not self._complete(month)]
        report.complete = len(months) - len(wanted)
        unfunded = self._unfunded(months) if request.funding and request.market == "um" else []
        self._total = sum(self._days(month) for month in wanted) + len(unfunded)
        for month in wanted:
            self._month(month, now_ns)
        self._funding(unfunded, now_ns)
        if report.rows == 0 and report.complete < len(months) and not self._rows_held(request.start_ns, request.end_ns):
            raise DataError(
                f"there are no {request.interval} bars of {request.symbol} from {_iso(request.start_ns)} to "
                f"{_iso(request.end_ns)}, neither in the archive nor by REST: check symbol, --market and dates"
            )
        return report

    def _ensure_filters(self) -> None:
        """Make sure that the catalog holds the instrument, with the exchange's filters if they can be had."""
        request, report = self._request, self.report
        if request.instrument_id in list_instruments(request.catalog):
            report.filters = "the catalog's"
            return
        self._tell("filters")
        fault = f"Binance's {request.market} exchangeInfo does not list {request.symbol}"
        try:
            infos = parse_exchange_info(self._rest.exchange_info(), market=request.market)
        except DataError as error:
            infos, fault = [], str(error)
        found = [info for info in infos if info.id == request.instrument_id]
        if found:
            write_instruments(request.catalog, found)
            report.filters = "exchangeInfo"
            return
        try:
            ensure_instrument(request.catalog, request.instrument_id)
        except DataError:
            unknown = f"unknown symbol {request.symbol}: " if infos else f"no filters of {request.instrument_id}: "
            raise DataError(
                f"{unknown}{fault}; check the symbol and --market, or give its filters by `autotrade data instruments "
                "--exchange-info FILE`"
            ) from None
        report.filters = "built-in"
        report.notes.append(f"filters are the built-in ones: {fault}")

    def _month(self, month: Span, now_ns: int) -> None:
        """Import a month: as one file, else day by day, and by REST the days of which there is no file."""
        request = self._request
        if month == self._part(month) and month.end_ns <= now_ns:
            if self._from_archive(month):
                self.report.monthly += 1
                return
            if month.end_ns <= self._listed_ns():
                self._done += self._days(month)
                return
        absent: list[Span] = []
        part = self._part(month)
        for day in spans("D", part.start_ns, part.end_ns):
            if self._complete(day):
                self._done += 1
            elif day.end_ns <= now_ns and self._from_archive(day):
                self.report.daily += 1
            elif absent and absent[-1].end_ns == day.start_ns:
                absent[-1] = absent[-1]._replace(end_ns=day.end_ns)
            else:
                absent.append(day)
        for days in absent:
            self._tell(f"{request.symbol} {request.interval} {days.stamp} by REST")
            span = self._part(days)
            tables = list(self._rest.klines(request.symbol, request.interval, span.start_ns, span.end_ns))
            if tables:
                self._write(tables)
                self.report.rest += 1
            self._done += self._days(days)

    def _from_archive(self, span: Span) -> bool:
        """Import the archive's file of a month or day; return whether it has one."""
        request = self._request
        path = kline_path(request.market, request.symbol, request.interval, span)
        name = path.rpartition("/")[2]
        self._tell(name)
        local = self._archive.fetch(path)
        if local is None:
            return False
        self._tell(f"{name} into the catalog")
        part = self._part(span)
        rows = self._write(_rows_between(table, part) for table in read_klines(local))
        self._archive.note_rows(path, part, rows)
        self._archive.discard(path)
        self._done += self._days(span)
        return True

    def _write(self, tables: Sequence[Any] | Iterator[Any]) -> int:
        request, report = self._request, self.report
        written = write_bars(request.catalog, request.instrument_id, request.interval, tables)
        report.rows += written.rows
        report.added += written.added
        report.replaced += written.replaced
        report.prices_rounded += written.prices_rounded
        if written.first_ns is not None and written.last_ns is not None:
            report.first_ns = min(written.first_ns, report.first_ns or written.first_ns)
            report.last_ns = max(written.last_ns, report.last_ns or written.last_ns)
        return written.rows

    def _unfunded(self, months: Sequence[Span]) -> list[Span]:
        """Return the parts of months without a settlement for longer than there may be none."""
        request = self._request
        stamps = read_funding(request.catalog, request.instrument_id).ts
        lacking = []
        for month in months:
            part = self._part(month)
            inside = stamps[(stamps >= part.start_ns) & (stamps < part.end_ns)].tolist()
            path = funding_path(request.symbol, month)
            edges = [part.start_ns - 1, *inside, part.end_ns]
            hole = not inside or any(later - former > _FUNDING_GAP_NS for former, later in pairwise(edges))
            if hole and self._archive.noted_rows(path, part) != len(inside):
                lacking.append(month)
            else:
                self._archive.discard(path)
        return lacking

    def _funding(self, months: Sequence[Span], now_ns: int) -> None:
        request, report = self._request, self.report
        for month in months:
            part, path = self._part(month), funding_path(request.symbol, month)
            self._tell(f"{request.symbol} funding {month.stamp}")
            local = self._archive.fetch(path) if month.end_ns <= now_ns else None
            if local is not None:
                table = _rows_between(read_funding_file(local), part, column="ts")
                report.funding_files += 1
            else:
                table = self._rest.funding(request.symbol, part.start_ns, part.end_ns)
            report.funding_rows += len(table)
            report.funding_added += write_funding(request.catalog, request.instrument_id, table)
            if local is not None:
                self._archive.note_rows(path, part, len(table))
                self._archive.discard(path)
            self._done += 1

    def _complete(self, span: Span) -> bool:
        """Whether the catalog has every bar of a span that there can be, or all that its file had."""
        request, part = self._request, self._part(span)
        path = kline_path(request.market, request.symbol, request.interval, span)
        held = self._rows_held(part.start_ns, part.end_ns)
        noted = self._archive.noted_rows(path, part)
        if held * self._length < part.end_ns - part.start_ns and (noted is None or held < noted):
            return False
        self._archive.discard(path)
        return True

    def _rows_held(self, start_ns: int, end_ns: int) -> int:
        first, last = np.searchsorted(self._held, [start_ns, end_ns])
        return int(last - first)

    def _listed_ns(self) -> int:
        """Return when the first bar from the request's start on opens, its end where there is none: asked once."""
        if self._first_open is None:
            request = self._request
            found = self._rest.first_open(request.symbol, request.interval, request.start_ns)
            self._first_open = request.end_ns if found is None else found
        return self._first_open

    def _part(self, span: Span) -> Span:
        return span.within(self._request.start_ns, self._request.end_ns)

    def _days(self, span: Span) -> int:
        part = self._part(span)
        return -(-part.end_ns // DAY_NS) - part.start_ns // DAY_NS

    def _tell(self, what: str) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, what)


def _held_opens(catalog: Path, instrument_id: str, interval: str) -> npt.NDArray[np.int64]:
    """Return the open times (ns) of the bars that a catalog holds."""
    parts = list_parts(catalog / "data" / "bars" / bar_type(instrument_id, interval))
    try:
        closes = [times_ns(open_part(part).read(["ts_init"])["ts_init"]) for part in parts]
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"the catalog's bars of {instrument_id} cannot be read: {error}; remove that file") from None
    return np.concatenate([np.empty(0, dtype=np.int64), *closes]) - interval_ns(interval)


def _rows_between(table: Any, span: Span, *, column: str = "open_time") -> Any:
    start, end = pa.scalar(span.start_ns, TIME), pa.scalar(span.end_ns, TIME)
    return table.filter(pc.and_(pc.greater_equal(table[column], start), pc.less(table[column], end)))


def _iso(ts_ns: int) -> str:
    return f"{np.datetime64(ts_ns, 'ns').astype('datetime64[s]')}Z"
