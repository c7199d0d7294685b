"""``autotrade data``: import, download, check and list market data."""

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from adapters.archive import named_series, read_klines, verify_checksum
from adapters.binance_history import ImportReport, ImportRequest, import_files, source_files
from adapters.catalog import instrument, iter_klines, list_series, write_instruments
from adapters.download import add_download_parser
from adapters.instruments import EXCHANGE_INFO_URLS, instrument_id, load_exchange_info, parse_exchange_info
from adapters.klines import floats, times_ns
from adapters.sentiment import read_sentiment
from core.bars import INTERVALS_NS, interval_ns
from core.errors import DataError, UsageError
from core.quality import Fault, Klines, find_faults

__all__ = ["add_parser"]

DEFAULT_CATALOG = Path("catalog/data")
_SHOWN_FAULTS = 40
_SHOWN_INSTRUMENTS = 20
_DATED = re.compile(r"\d{4}-\d{2}(-\d{2})?\.\w+(\.gz)?$")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("data", help="import, download, check and list market data")
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    importer = commands.add_parser("import", help="import history files: Parquet, or the archive's CSV and ZIP")
    importer.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files or directories")
    importer.add_argument("--instrument", metavar="SYMBOL", help="such as BTCUSDT or BTCUSDT-PERP.BINANCE")
    importer.add_argument("--interval", metavar="1m", help="of the bars: " + ", ".join(INTERVALS_NS))
    importer.add_argument("--market", choices=("um", "spot"), default="um", help="of a bare symbol (default: um)")
    importer.add_argument("--exchange-info", metavar="FILE|URL", help="take the filters from there")
    importer.add_argument("--exact", action="store_true", help="refuse a price off the tick instead of rounding it")
    _common(importer, _import)

    add_download_parser(commands)

    checker = commands.add_parser("check", help="find gaps, duplicates and absurd bars; exit 1 where there are any")
    checker.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="history files (default: the catalog)")
    checker.add_argument("--instrument", metavar="SYMBOL", help="only this one")
    checker.add_argument("--interval", metavar="1m", help="only this one; of files whose names do not state theirs")
    checker.add_argument("--market", choices=("um", "spot"), default="um", help="of a bare symbol (default: um)")
    checker.add_argument("--zero-run", type=int, default=30, metavar="N", help="bars without volume (default: 30)")
    checker.add_argument("--jump", type=float, default=0.1, metavar="X", help="least log return (default: 0.1)")
    _common(checker, _check)

    _common(commands.add_parser("list", help="list what a catalog holds"), _list)

    filters = commands.add_parser("instruments", help="write exchange filters to a catalog")
    filters.add_argument("--exchange-info", metavar="FILE|URL", help="(default: Binance)")
    filters.add_argument("--market", choices=("um", "spot"), default="um", help="(default: um)")
    filters.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="only these")
    _common(filters, _instruments)


def _common(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    parser.add_argument("--catalog", type=Path, default=DEFAULT_CATALOG, metavar="DIR",
                        help=f"catalog directory (default: {DEFAULT_CATALOG})")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _import(args: argparse.Namespace) -> int:
    if args.interval is not None:
        interval_ns(args.interval)
    request = ImportRequest(
        args.paths, args.catalog, args.instrument, args.market, args.interval, args.exchange_info, args.exact
    )
    with _progress(shown=not args.json) as progress:
        report = import_files(request, progress=progress)
    if args.json:
        content = msgspec.to_builtins(report)
        print(json.dumps({**content, "bars_per_second": report.bars_per_second, "catalog": str(args.catalog)}))
    else:
        _print_report(report, args.catalog)
    return 0


def _print_report(report: ImportReport, catalog: Path) -> None:
    bars = report.bars
    if bars.first_ns is not None and bars.last_ns is not None:
        print(
            f"{report.instrument_id} {report.interval}: {bars.rows:,} bars, {_iso(bars.first_ns)} to "
            f"{_iso(bars.last_ns)} (closes); {bars.added:,} new, {bars.equal:,} equal, {bars.replaced:,} replaced"
        )
        print(f"{report.seconds:.2f} s, {report.bars_per_second:,.0f} bars/s, into {catalog}")
    if report.funding_rows:
        print(f"{report.instrument_id}: {report.funding_rows:,} funding rates, {report.funding_added:,} new")
    if report.sentiment_rows:
        print(f"fear and greed: {report.sentiment_rows:,} days, {report.sentiment_added:,} new")
    if report.filters is not None and report.instrument_id is not None:
        info = instrument(catalog, report.instrument_id)
        print(f"filters: tick {info.tick:f}, lot {info.lot:f} ({report.filters})")
        if bars.prices_rounded:
            print(
                f"note: {bars.prices_rounded:,} prices were off that tick and went to the nearest, by at most "
                f"{bars.largest_rounding:.{info.price_precision + 2}f}; --exact refuses them"
            )
        if bars.volumes_rounded:
            print(f"note: {bars.volumes_rounded:,} volumes were cut to that lot")
    if report.checksums:
        print(f"{report.checksums:,} checksums verified")
    if report.passed_over:
        print(f"{report.passed_over:,} files passed over: their names state another symbol or interval")


def _check(args: argparse.Namespace) -> int:
    checked = []
    for name, interval, klines in _series(args):
        faults = find_faults(klines, interval_ns=interval_ns(interval), zero_run=args.zero_run, jump_least=args.jump)
        checked.append((name, interval, klines, faults))
    total = sum(len(faults) for *_, faults in checked)
    if args.json:
        print(json.dumps({"faults": total, "series": [_checked_json(*item) for item in checked]}))
        return 1 if total else 0
    console = _console()
    for name, interval, klines, faults in checked:
        stamps = klines.open_time
        console.print(
            f"{name} {interval}: {len(stamps):,} bars, {_iso(int(stamps.min()))} to {_iso(int(stamps.max()))} (opens), "
            f"{len(faults) or 'no'} fault{'' if len(faults) == 1 else 's'}",
            highlight=False,
            soft_wrap=True,
        )
        if faults:
            rows = [
                (f.kind, _short(f.ts_from), _short(f.ts_to), f"{f.count:,}", f.detail) for f in faults[:_SHOWN_FAULTS]
            ]
            console.print(_table(("fault", "from", "to", "bars", "detail"), rows, right={"bars"}))
        if len(faults) > _SHOWN_FAULTS:
            console.print(f"... and {len(faults) - _SHOWN_FAULTS:,} more: --json prints all")
    return 1 if total else 0


def _series(args: argparse.Namespace) -> Iterator[tuple[str, str, Klines]]:
    """Yield name, interval and bars of every series to check."""
    if not args.paths:
        wanted = None if args.instrument is None else instrument_id(args.instrument, market=args.market)
        found = [
            s
            for s in list_series(args.catalog)
            if s.kind == "bars" and wanted in (None, s.instrument_id) and args.interval in (None, s.interval)
        ]
        if not found:
            asked = " ".join(filter(None, (args.interval, "bars", wanted and f"of {wanted}")))
            raise DataError(
                f"catalog {args.catalog} has no {asked} to check: `autotrade data list` shows what it holds"
            )
        for series in found:
            tables = iter_klines(args.catalog, series.instrument_id, series.interval)
            yield series.instrument_id, series.interval, _klines(tables)
        return
    groups: dict[Path, list[Path]] = {}
    for path in source_files(args.paths, args.instrument, args.interval).klines:
        verify_checksum(path)
        groups.setdefault(path.with_name(_DATED.sub("", path.name)), []).append(path)
    for key, paths in groups.items():
        stated = named_series(paths[0])
        interval = args.interval or (stated[1] if stated is not None else None)
        if interval is None:
            raise UsageError(f"--interval is missing: the name of {paths[0]} does not state it")
        tables = (table for path in paths for table in read_klines(path))
        yield (paths[0].name if len(paths) == 1 else f"{key.name}* ({len(paths)} files)"), interval, _klines(tables)


def _klines(tables: Iterable[Any]) -> Klines:
    parts = [
        [(times_ns if name.endswith("time") else floats)(table[name]) for name in Klines._fields] for table in tables
    ]
    if not parts:
        raise DataError("there are no bars to check: the files are empty")
    return Klines(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _checked_json(name: str, interval: str, klines: Klines, faults: list[Fault]) -> dict[str, Any]:
    stamps = klines.open_time
    return {
        "name": name,
        "interval": interval,
        "bars": len(stamps),
        "first_open": _iso(int(stamps.min())),
        "last_open": _iso(int(stamps.max())),
        "faults": [
            {"kind": f.kind, "from": _iso(f.ts_from), "to": _iso(f.ts_to), "count": f.count, "detail": f.detail}
            for f in faults
        ],
    }


def _list(args: argparse.Namespace) -> int:
    found = [(s.instrument_id, s.kind, s.interval, s.rows, s.first_ns, s.last_ns) for s in list_series(args.catalog)]
    days = times_ns(read_sentiment(args.catalog)["date"])
    if len(days) > 0:
        found.append(("fear_greed", "sentiment", "1d", len(days), int(days[0]), int(days[-1])))
    if args.json:
        names = ("instrument", "kind", "interval", "rows", "first", "last")
        print(json.dumps([dict(zip(names, (*row[:4], *map(_iso, row[4:])), strict=True)) for row in found]))
        return 0
    rows = [
        (name, f"{interval} {kind}".strip(), f"{count:,}", _short(first), _short(last))
        for name, kind, interval, count, first, last in found
    ]
    _console().print(_table(("instrument", "series", "rows", "first", "last"), rows, right={"rows"}))
    return 0


def _instruments(args: argparse.Namespace) -> int:
    source = args.exchange_info or EXCHANGE_INFO_URLS[args.market]
    infos = parse_exchange_info(load_exchange_info(source), market=args.market)
    if args.symbols:
        wanted = {instrument_id(symbol, market=args.market) for symbol in args.symbols}
        absent = wanted - {info.id for info in infos}
        if absent:
            raise DataError(f"{source} has no {', '.join(sorted(absent))}: check the symbol and --market")
        infos = [info for info in infos if info.id in wanted]
    write_instruments(args.catalog, infos)
    if args.json:
        print(json.dumps({"instruments": [msgspec.to_builtins(info) for info in infos], "catalog": str(args.catalog)}))
        return 0
    names = ("instrument", "tick", "lot", "largest order", "least notional")
    rows = [
        (i.id, f"{i.tick:f}", f"{i.lot:f}", f"{i.max_lots * i.lot:f} {i.base}", f"{i.min_notional:f} {i.quote}")
        for i in infos[:_SHOWN_INSTRUMENTS]
    ]
    _console().print(_table(names, rows, right=set(names[1:])))
    print(f"{len(infos):,} instruments written to {args.catalog}")
    return 0


def _console() -> Console:
    """Return a console that cuts nothing off where nobody looks at its width."""
    return Console() if sys.stdout.isatty() or "COLUMNS" in os.environ else Console(width=200)


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]], *, right: set[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


@contextmanager
def _progress(*, shown: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar of bytes read on standard error, where that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("importing", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _short(ts_ns: int) -> str:
    return str(np.datetime64(ts_ns, "ns").astype("datetime64[m]")).replace("T", " ")


def _iso(ts_ns: int) -> str:
    return f"{np.datetime64(ts_ns, 'ns').astype('datetime64[s]')}Z"
