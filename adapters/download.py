"""``autotrade data download``: history from Binance's archive and, where that has none yet, from its REST API.

Months are fetched whole, other days one by one, and what the archive lacks comes by REST. Each piece is in the catalog
before the next is asked for, so a download that is cut off at any moment is finished by the same command.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

import configs
from adapters.archive_files import ArchiveFiles
from adapters.history_download import DownloadReport, HistoryDownload, HistoryRequest, Told
from adapters.instruments import instrument_id
from adapters.parts import locked
from adapters.rest_history import RestHistory
from adapters.web import Web
from configs.schema import Download
from core.bars import INTERVALS_NS, interval_ns
from core.errors import UsageError
from core.times import iso, parse_time

__all__ = ["add_download_parser", "download"]

_FOLDER = ".downloads"


def add_download_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of ``autotrade data``."""
    parser = subparsers.add_parser("download", help="download history: Binance's archive, the newest bars by REST")
    parser.add_argument("symbol", metavar="SYMBOL", help="such as BTCUSDT or BTCUSDT-PERP.BINANCE")
    parser.add_argument("--interval", default="1m", metavar="1m", help="of the bars: " + ", ".join(INTERVALS_NS))
    parser.add_argument("--start", required=True, metavar="ISO", help="date or time (UTC) of the first bar's open")
    parser.add_argument("--end", metavar="ISO", help="no bar closes after this date or time (UTC) (default: now)")
    parser.add_argument("--market", choices=("um", "spot"), default="um", help="of a bare symbol (default: um)")
    parser.add_argument("--no-funding", action="store_true", help="leave out the funding rates of a perpetual")
    parser.add_argument("--archive-url", metavar="URL", help="(default: the configuration's)")
    parser.add_argument("--rest-url", metavar="URL", help="(default: the configuration's, of the market)")
    parser.add_argument("--catalog", type=Path, metavar="DIR", help="catalog directory (default: the configuration's)")
    parser.add_argument("--env", default="backtest", help="configuration overlay (default: backtest)")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                        help="override one value of the configuration, repeatable")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def download(
    request: HistoryRequest,
    settings: Download,
    *,
    clock: Callable[[], int] = time.time_ns,
    sleep: Callable[[float], None] = time.sleep,
    progress: Told | None = None,
) -> DownloadReport:
    """Download what a catalog lacks of a range; it may be repeated, and resumed after it was killed.

    Parameters
    ----------
    request : HistoryRequest
        What and where to; its times are put on the interval's grid, and its end is now at the latest.
    settings : Download
        Where from, and how stubbornly.
    clock : callable
        The time now, ns UTC.
    sleep : callable
        Sleeps that many seconds between attempts.
    progress : callable, optional
        Told steps done, steps in all and what is next.

    Raises
    ------
    ChecksumError
        For a file whose bytes are twice not those that were published.
    DataError
        Where a source refuses, cannot be reached, or has nothing of the request; what came before it stays.
    UsageError
        For a range without a bar that could be closed by now.
    """
    began = time.perf_counter()
    now_ns, length = clock(), interval_ns(request.interval)
    start_ns = -(-request.start_ns // length) * length
    end_ns = min(request.end_ns, now_ns) // length * length
    if start_ns >= end_ns:
        raise UsageError(
            f"no {request.interval} bar is closed between --start {iso(request.start_ns)} and --end "
            f"{iso(request.end_ns)} (now is {iso(now_ns)}): choose an earlier start or a later end"
        )
    request = request._replace(start_ns=start_ns, end_ns=end_ns)
    market = request.market
    folder = request.catalog / _FOLDER / market
    with (
        locked(folder),
        Web(
            retries=settings.retries,
            backoff_seconds=settings.backoff_seconds,
            timeout_seconds=settings.timeout_seconds,
            sleep=sleep,
        ) as web,
    ):
        rest = RestHistory(web, settings.um_url if market == "um" else settings.spot_url, market, clock)
        archive = ArchiveFiles(web, settings.archive_url, folder)
        report = HistoryDownload(request, archive, rest, progress).run(now_ns)
        report.received = web.received
    report.seconds = time.perf_counter() - began
    return report


def _run(args: argparse.Namespace) -> int:
    config = configs.load(args.env, args.overrides)
    settings = config.download
    if args.archive_url is not None:
        settings = msgspec.structs.replace(settings, archive_url=args.archive_url)
    if args.rest_url is not None:
        settings = msgspec.structs.replace(settings, um_url=args.rest_url, spot_url=args.rest_url)
    interval_ns(args.interval)
    request = HistoryRequest(
        catalog=args.catalog or Path(config.catalog.path),
        instrument_id=instrument_id(args.symbol, market=args.market),
        interval=args.interval,
        start_ns=parse_time(args.start, "--start"),
        end_ns=time.time_ns() if args.end is None else parse_time(args.end, "--end"),
        funding=not args.no_funding,
    )
    with _progress(shown=not args.json) as progress:
        report = download(request, settings, progress=progress)
    if args.json:
        print(json.dumps({**msgspec.to_builtins(report), "files": report.files, "catalog": str(request.catalog)}))
    else:
        _print_report(report, request.catalog)
    return 0


def _print_report(report: DownloadReport, catalog: Path) -> None:
    for note in report.notes:
        print(f"note: {note}")
    if report.prices_rounded:
        print(f"note: {report.prices_rounded:,} prices were off the tick and went to the nearest")
    if report.funding_rows:
        print(f"{report.instrument_id}: {report.funding_rows:,} funding rates, {report.funding_added:,} new")
    if report.first_ns is None or report.last_ns is None:
        print(f"{report.instrument_id} {report.interval}: {catalog} already holds the bars of this range")
        return
    print(
        f"{report.instrument_id} {report.interval}: {report.files:,} files, {report.rows:,} bars ({report.added:,} "
        f"new), {iso(report.first_ns)} to {iso(report.last_ns)} (closes); {report.monthly:,} monthly, "
        f"{report.daily:,} daily, {report.rest:,} by REST, {report.complete:,} months were there; "
        f"{report.seconds:.1f} s, {report.rows / report.seconds:,.0f} bars/s, {report.received / 1e6:,.1f} MB"
    )


@contextmanager
def _progress(*, shown: bool) -> Iterator[Told | None]:
    """Show steps and the time left on standard error, where that is a terminal."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(),
               TextColumn("{task.description}"))  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("download", total=None)
        yield lambda done, total, what: progress.update(task, completed=done, total=total or None, description=what)
