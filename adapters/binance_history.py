"""The import of history files: each into the part of the catalog that its columns call for."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from adapters.archive import (
    find_files,
    kind_of,
    named_series,
    read_funding_file,
    read_klines,
    read_sentiment_file,
    row_count,
    verify_checksum,
)
from adapters.bar_writer import BarWriter, WriteReport
from adapters.funding import write_funding
from adapters.instruments import ensure_instrument, instrument_id, read_instrument
from adapters.parts import locked
from adapters.sentiment import write_sentiment
from core.errors import DataError, UsageError

__all__ = ["ImportReport", "ImportRequest", "SourceFiles", "import_files", "source_files"]


class ImportRequest(NamedTuple):
    """What to import and under which name.

    ``symbol`` such as BTCUSDT (then ``market`` um or spot says which) or the engine's name; symbol and ``interval``
    may be None where no file needs them. ``exchange_info`` file or URL; ``exact`` as in `adapters.bar_writer`.
    """

    paths: Sequence[Path]
    catalog: Path
    symbol: str | None
    market: str = "um"
    interval: str | None = None
    exchange_info: str | None = None
    exact: bool = False


@dataclass
class ImportReport:
    """What was imported: counts of files and rows, ``bars`` as the writer counts them, seconds of wall time.

    ``filters`` says where the instrument's come from; ``passed_over`` counts files of a directory whose names state
    another symbol or interval.
    """

    instrument_id: str | None = None
    interval: str | None = None
    filters: str | None = None
    files: int = 0
    passed_over: int = 0
    checksums: int = 0
    funding_rows: int = 0
    funding_added: int = 0
    sentiment_rows: int = 0
    sentiment_added: int = 0
    seconds: float = 0.0
    bars: WriteReport = field(default_factory=WriteReport)

    @property
    def bars_per_second(self) -> float:
        """Rate of the whole import."""
        return self.bars.rows / self.seconds if self.seconds > 0.0 else 0.0


class SourceFiles(NamedTuple):
    """Files by kind, and how many were passed over."""

    klines: list[Path]
    funding: list[Path]
    sentiment: list[Path]
    passed_over: int


def source_files(paths: Sequence[Path], symbol: str | None, interval: str | None) -> SourceFiles:
    """Return the files among paths that are of a symbol and interval, by kind.

    A file whose name states another series is passed over where it comes from a directory and refused where it was
    named: bars under a wrong name are worse than none.

    Raises
    ------
    DataError
        For a file that is broken or of no known kind.
    UsageError
        For a named file of another series.
    """
    named = {path for path in paths if not path.is_dir()}
    raw = None if symbol is None else symbol.removesuffix(".BINANCE").removesuffix("-PERP")
    files = SourceFiles([], [], [], 0)
    passed_over = 0
    for path in find_files(paths):
        stated = named_series(path)
        asked = (raw, interval if stated is None or stated[1] != "funding" else "funding")
        if stated is not None and any(a not in (None, s) for a, s in zip(asked, stated, strict=True)):
            if path in named:
                raise UsageError(
                    f"{path} is {' '.join(stated)} by its name, {' '.join(filter(None, asked))} was asked: give the "
                    "--instrument and --interval of the file, or rename it"
                )
            passed_over += 1
            continue
        getattr(files, kind_of(path)).append(path)
    return files._replace(passed_over=passed_over)


def import_files(request: ImportRequest, *, progress: Callable[[int, int], None] | None = None) -> ImportReport:
    """Import history files into a catalog; what is there already is merged, so it may be repeated and resumed.

    Parameters
    ----------
    request : ImportRequest
        What and where to.
    progress : callable, optional
        Told bytes done and bytes in all, of the files.

    Raises
    ------
    DataError
        For a file that cannot be imported; what was written before it stays.
    UsageError
        Where symbol or interval are needed and absent.
    """
    began = time.perf_counter()
    files = source_files(request.paths, request.symbol, request.interval)
    if not (files.klines or files.funding or files.sentiment):
        raise DataError(
            f"none of the {files.passed_over} files is of {request.symbol} {request.interval or ''} by its name: check "
            "--instrument and --interval"
        )
    report = ImportReport(passed_over=files.passed_over)
    meter = _Meter([*files.klines, *files.funding, *files.sentiment], progress)
    if files.klines or files.funding:
        if request.symbol is None:
            raise UsageError("--instrument is missing: give the symbol of the bars, such as BTCUSDT")
        if files.klines and request.interval is None:
            raise UsageError("--interval is missing: give the interval of the bars, such as 1m")
        report.instrument_id = instrument_id(request.symbol, market=request.market)
    for path in [*files.klines, *files.funding, *files.sentiment]:
        report.checksums += verify_checksum(path)
    if report.instrument_id is not None:
        report.filters = ensure_instrument(request.catalog, report.instrument_id, exchange_info=request.exchange_info)
        _import_funding(request, files.funding, report, meter)
        _import_bars(request, files.klines, report, meter)
    if files.sentiment:
        table = pa.concat_tables([read_sentiment_file(path) for path in files.sentiment])
        report.sentiment_rows, report.sentiment_added = len(table), write_sentiment(request.catalog, table)
    report.files = len(files.klines) + len(files.funding) + len(files.sentiment)
    report.seconds = time.perf_counter() - began
    return report


def _import_bars(request: ImportRequest, paths: Sequence[Path], report: ImportReport, meter: "_Meter") -> None:
    if not paths or report.instrument_id is None or request.interval is None:
        return
    report.interval = request.interval
    info = read_instrument(request.catalog, report.instrument_id)
    with locked(request.catalog):
        writer = BarWriter(request.catalog, info, request.interval, exact=request.exact)
        report.bars = writer.report
        for path in paths:
            rows = row_count(path)
            for table in read_klines(path):
                writer.append(table, source=str(path))
                if rows:
                    meter.advance(path, len(table) / rows)
            meter.finish(path)
        writer.close()
    if report.bars.rows == 0:
        raise DataError(f"{paths[0]} has no rows: download it again")


def _import_funding(request: ImportRequest, paths: Sequence[Path], report: ImportReport, meter: "_Meter") -> None:
    if not paths or report.instrument_id is None:
        return
    table = pa.concat_tables([read_funding_file(path) for path in paths])
    report.funding_rows, report.funding_added = len(table), write_funding(request.catalog, report.instrument_id, table)
    for path in paths:
        meter.finish(path)


class _Meter:
    """Turns rows read into bytes done."""

    def __init__(self, paths: Sequence[Path], progress: Callable[[int, int], None] | None) -> None:
        self._sizes = {path: path.stat().st_size for path in paths}
        self._total = sum(self._sizes.values())
        self._finished = 0
        self._within = 0.0
        self._progress = progress

    def advance(self, path: Path, fraction: float) -> None:
        """Note a further fraction of a file."""
        self._within += fraction * self._sizes[path]
        self._tell()

    def finish(self, path: Path) -> None:
        """Note that a file is done."""
        self._finished += self._sizes[path]
        self._within = 0.0
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._finished + int(self._within), self._total)
