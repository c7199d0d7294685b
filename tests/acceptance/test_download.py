"""``autotrade data download`` against a loopback server of true archive files and REST answers, faults included."""

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

import cli
import configs
from adapters.catalog import data_hash, list_series, read_bars, read_funding
from adapters.download import download
from adapters.history_download import HistoryRequest
from adapters.instruments import read_instrument
from adapters.rest_history import RestHistory
from adapters.web import Web
from core.errors import ChecksumError, DataError, UsageError
from tests.acceptance.archive_server import serving, to_rows

ROOT = Path(__file__).parents[2]
BTC = "BTCUSDT-PERP.BINANCE"
FIVE_MINUTES_MS = 300_000
JANUARY = "/data/futures/um/monthly/klines/BTCUSDT/5m/BTCUSDT-5m-2025-01.zip"


def ns(text):
    return pd.Timestamp(text, tz="UTC").value


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def bars(shared_data):
    """Two months of true five-minute bars of the perpetual, as REST sends them."""
    frame = pd.read_parquet(shared_data / "binancevision-usdm-BTCUSDT-5m.parquet")
    return to_rows(frame[frame["open_time"] < "2025-03-05"], FIVE_MINUTES_MS)


@pytest.fixture(scope="module")
def settlements(shared_data):
    """The true funding rates of those months, as REST sends them."""
    frame = pd.read_parquet(shared_data / "stitched-usdm-BTCUSDT-funding8h.parquet")
    frame = frame[(frame["funding_time"] >= "2025-01-01") & (frame["funding_time"] < "2025-03-05")]
    stamps = frame["funding_time"].astype("datetime64[ms, UTC]").astype("int64")
    return [
        {"symbol": "BTCUSDT", "fundingTime": stamp, "fundingRate": f"{rate:.8f}", "markPrice": "0"}
        for stamp, rate in zip(stamps.tolist(), frame["funding_rate"], strict=True)
    ]


@pytest.fixture
def exchange(server, shared_data, bars, settlements):
    """January as a month, February and the first of March as days, except the last two of February, and all by REST."""
    server.exchange_info = json.loads(
        gzip.decompress(
            (shared_data / "raw/exchange_info/usdm-exchangeInfo-20260331-reserialised.json.gz").read_bytes()
        )
    )
    server.rows["BTCUSDT", "5m"] = bars
    server.funding = settlements
    server.add_klines(
        "um",
        "BTCUSDT",
        "5m",
        "2025-01",
        (shared_data / "raw/vision_csv_monthly/usdm-BTCUSDT-5m-2025-01.csv").read_bytes(),
    )
    for day in pd.date_range("2025-02-01", "2025-03-01"):
        if f"{day:%m-%d}" not in ("02-27", "02-28"):
            rows = [row for row in bars if 0 <= row[0] - day.value // 10**6 < 86_400_000]
            server.add_klines("um", "BTCUSDT", "5m", f"{day:%Y-%m-%d}", rows)
    server.add_funding("BTCUSDT", "2025-01")
    return server


def settings(server, **changes):
    base = configs.load("backtest").download
    urls = {"archive_url": server.url, "um_url": server.url, "spot_url": server.url}
    return msgspec.structs.replace(base, **{**urls, "retries": 2, "timeout_seconds": 10.0, **changes})


def fetch(server, catalog, start, end, *, name=BTC, interval="5m", now="2025-03-04", funding=True, progress=None,
          sleeps=None, **changes):  # fmt: skip
    """Download with a clock that stands still and without waiting."""
    request = HistoryRequest(catalog, name, interval, ns(start), ns(end), funding)
    sleep = (lambda seconds: None) if sleeps is None else sleeps.append
    return download(request, settings(server, **changes), clock=lambda: ns(now), sleep=sleep, progress=progress)


def hash_of(catalog, name=BTC, interval="5m"):
    return data_hash(catalog, [name], interval, start_ns=None, end_ns=None)


def leftovers(catalog):
    return sorted(p.name for p in (catalog / ".downloads").rglob("*") if p.name not in ("um", "spot", ".lock"))


def expect(catalog, rows, length_ms=FIVE_MINUTES_MS, name=BTC, interval="5m", decimals=1):
    """Compare every bar of a catalog with REST rows."""
    found = read_bars(catalog, name, interval)
    assert found.ts_close.tolist() == [(row[0] + length_ms) * 1_000_000 for row in rows]
    for at, column in enumerate(("open", "high", "low", "close"), start=1):
        assert np.array_equal(getattr(found, column), np.round([float(row[at]) for row in rows], decimals)), column


def test_every_bar_comes_once_by_month_by_day_or_by_rest(exchange, bars, settlements, tmp_path):
    now = "2025-03-03T12:03"
    report = fetch(exchange, tmp_path, "2025-01-01", "2025-03-04", now=now)
    until = ns("2025-03-03T12:00") // 10**6
    expect(tmp_path, [row for row in bars if row[0] < until])
    funding = read_funding(tmp_path, BTC)
    wanted = [row for row in settlements if row["fundingTime"] < until]
    assert funding.ts.tolist() == [row["fundingTime"] * 10**6 for row in wanted]
    assert funding.rate.tolist() == [float(row["fundingRate"]) for row in wanted]
    assert (report.monthly, report.daily, report.rest, report.funding_files, report.files) == (1, 27, 2, 1, 29)
    assert report.rows == report.added == (until - bars[0][0]) // FIVE_MINUTES_MS
    assert report.filters == "exchangeInfo"
    assert read_instrument(tmp_path, BTC).min_notional > 5
    assert leftovers(tmp_path) == ["imported.json"]


def test_what_is_there_is_not_asked_for_again(exchange, tmp_path):
    fetch(exchange, tmp_path, "2025-01-01", "2025-03-04")
    before = hash_of(tmp_path)
    exchange.requests.clear()
    again = fetch(exchange, tmp_path, "2025-01-01", "2025-03-04")
    assert exchange.requests == []
    assert (again.rows, again.complete) == (0, 3)
    fetch(exchange, tmp_path, "2025-01-01", "2025-03-05", now="2025-03-05")
    assert exchange.asked("-01.zip") == exchange.asked("2025-02-") == []
    assert len(exchange.asked("2025-03-03.zip")) == 0
    assert hash_of(tmp_path) != before


def test_a_range_within_a_day_brings_no_other_bar(exchange, bars, tmp_path):
    fetch(exchange, tmp_path, "2025-02-03T06:02", "2025-02-04T18:00", funding=False)
    first, last = ns("2025-02-03T06:05") // 10**6, ns("2025-02-04T18:00") // 10**6
    expect(tmp_path, [row for row in bars if first <= row[0] < last])
    assert exchange.asked("monthly") == exchange.asked("fundingRate") == []


def test_true_files_of_the_archive_arrive_whole_and_a_true_hole_is_asked_for_once(server, shared_data, tmp_path):
    spot = "BTCUSDT.BINANCE"
    for stamp in ("2023-03-24", "2024-03-14"):
        path = f"/data/spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m-{stamp}.zip"
        server.add_zip(path, (shared_data / f"raw/vision_zip_daily/BTCUSDT-1m-{stamp}.zip").read_bytes())
        fetch(server, tmp_path, stamp, pd.Timestamp(stamp) + pd.Timedelta("1D"), name=spot, interval="1m")
    history = pd.read_parquet(shared_data / "binancevision-spot-BTCUSDT-1m.parquet", columns=["open_time", "close"])
    history = history[history["open_time"].dt.strftime("%Y-%m-%d").isin(["2023-03-24", "2024-03-14"])]
    found = read_bars(tmp_path, spot, "1m")
    assert len(found.close) == 1440 + 1360
    assert np.array_equal(found.close, history["close"])
    server.requests.clear()
    fetch(server, tmp_path, "2023-03-24", "2023-03-25", name=spot, interval="1m")
    assert server.requests == []


@pytest.mark.parametrize(("market", "name"), [("um", BTC), ("spot", "BTCUSDT.BINANCE")])
def test_a_day_of_either_market_lies_where_binance_puts_it(market, name, server, shared_data, tmp_path):
    file = {"um": "futures-um-klines", "spot": "spot-klines"}[market] + "-BTCUSDT-1h-2024-10-28.zip"
    folder = {"um": "data/futures/um", "spot": "data/spot"}[market]
    path = f"/{folder}/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-10-28.zip"
    server.add_zip(path, (shared_data / "raw/freqtrade_testdata" / file).read_bytes())
    report = fetch(server, tmp_path, "2024-10-28", "2024-10-29", name=name, interval="1h", funding=False)
    assert (report.daily, report.rows) == (1, 24)
    assert read_bars(tmp_path, name, "1h").close[0] == {"um": 67_835.2, "spot": 67_859.91}[market]


def test_spot_months_in_milliseconds_and_microseconds_join_without_a_seam(server, shared_data, tmp_path):
    for stamp in ("2024-12", "2025-01"):
        content = (shared_data / f"raw/vision_csv_monthly/spot-BTCUSDT-1h-{stamp}.csv").read_bytes()
        server.add_klines("spot", "BTCUSDT", "1h", stamp, content)
    report = fetch(server, tmp_path, "2024-12-01", "2025-02-01", name="BTCUSDT.BINANCE", interval="1h")
    stamps = read_bars(tmp_path, "BTCUSDT.BINANCE", "1h").ts_close
    assert (report.monthly, len(stamps)) == (2, 1488)
    assert set(np.diff(stamps)) == {3_600 * 10**9}


FAULTS = {
    "a server's error": [("status", 500), ("status", 503)],
    "a plea to slow down": [("status", (429, {"Retry-After": "7"}))],
    "a short ban": [("status", (418, {"Retry-After": "100"}))],
    "a cut body": [("cut", 20_000)],
    "a cut head of a body": [("cut", 0)],
    "wrong bytes once": [("body", b"PK wrong")],
    "a reset connection": [("reset", None)],
    "silence": [("hang", None)],
}


@pytest.fixture(scope="module")
def january(bars):
    return [row for row in bars if row[0] < ns("2025-02-01") // 10**6]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_passing_fault_leaves_no_trace(fault, exchange, january, tmp_path):
    exchange.faults[JANUARY] = list(FAULTS[fault])
    sleeps = []
    patience = {"timeout_seconds": 0.5} if fault == "silence" else {}
    fetch(exchange, tmp_path, "2025-01-01", "2025-02-01", sleeps=sleeps, backoff_seconds=1.0, **patience)
    expect(tmp_path, january)
    assert leftovers(tmp_path) == ["imported.json"]
    assert exchange.faults[JANUARY] == []
    asked = {"a plea to slow down": [7.0], "a short ban": [100.0], "wrong bytes once": []}
    if fault in asked:
        assert sleeps == asked[fault]
    else:
        assert len(sleeps) == len(FAULTS[fault])
        assert all(0.5 * 2**n <= pause <= 2**n for n, pause in enumerate(sleeps))


def test_wrong_bytes_twice_are_refused_and_not_stored(exchange, tmp_path):
    exchange.faults[JANUARY] = [("body", b"PK wrong")] * 9
    with pytest.raises(
        ChecksumError, match=r"2025-01.zip has SHA-256 \w+\.\.\., published is \w+\.\.\., twice"
    ) as found:
        fetch(exchange, tmp_path, "2025-01-01", "2025-02-01")
    assert "\n" not in str(found.value)
    assert len(exchange.asked(JANUARY)) == 4
    assert leftovers(tmp_path) == []
    assert list_series(tmp_path) == []


@pytest.mark.parametrize(
    ("fault", "attempts", "message"),
    [
        (("status", 500), 3, "cannot be had: status 500, 3 attempts; start the command again"),
        (("cut", 5), 3, "cannot be had: peer closed connection"),
        (("status", 403), 1, "answers 403: check --archive-url"),
        (("status", (418, {"Retry-After": "3600"})), 1, "asks for a pause of 3600 s, the longest made is 120 s"),
    ],
)
def test_a_lasting_fault_is_one_line(fault, attempts, message, exchange, tmp_path):
    exchange.faults[JANUARY] = [fault] * 9
    with pytest.raises(DataError, match=message) as found:
        fetch(exchange, tmp_path, "2025-01-01", "2025-02-01")
    assert "\n" not in str(found.value)
    assert exchange.requests.count(JANUARY) == attempts


def test_a_verified_file_that_a_crash_left_behind_is_imported_without_a_request(exchange, january, tmp_path):
    def crash(done, total, what):
        if what.endswith("2025-01.zip into the catalog"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(exchange, tmp_path, "2025-01-01", "2025-02-01", progress=crash)
    file = tmp_path / ".downloads/um/BTCUSDT-5m-2025-01.zip"
    assert leftovers(tmp_path) == [file.name, f"{file.name}.CHECKSUM"]
    exchange.requests.clear()
    fetch(exchange, tmp_path, "2025-01-01", "2025-02-01", funding=False)
    assert exchange.requests == []
    expect(tmp_path, january)
    assert not file.exists()


def test_a_damaged_file_of_the_folder_is_downloaded_again(exchange, january, tmp_path):
    file = tmp_path / ".downloads/um/BTCUSDT-5m-2025-01.zip"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK half")
    file.with_name(f"{file.name}.CHECKSUM").write_text(f"{'0' * 64}  {file.name}\n")
    fetch(exchange, tmp_path, "2025-01-01", "2025-02-01")
    expect(tmp_path, january)


def test_filters_are_built_in_where_rest_cannot_be_reached(exchange, january, tmp_path):
    report = fetch(exchange, tmp_path, "2025-01-01", "2025-02-01", um_url="http://127.0.0.1:9", retries=0)
    assert report.filters == "built-in"
    assert "filters are the built-in ones: http://127.0.0.1:9/fapi/v1/exchangeInfo cannot be had" in report.notes[0]
    expect(tmp_path, january)


def test_rest_gives_closed_bars_only_on_as_many_pages_as_it_takes(exchange, bars):
    with Web(retries=0, backoff_seconds=0.0, timeout_seconds=10.0) as web:
        now = ns("2025-02-01T00:01")
        for market, limit in (("um", 1500), ("spot", 1000)):
            exchange.queries.clear()
            rest = RestHistory(web, exchange.url, market, lambda: now)
            tables = list(rest.klines("BTCUSDT", "5m", ns("2025-01-01"), ns("2025-03-01")))
            assert sum(map(len, tables)) == 31 * 288
            assert tables[-1]["open_time"][-1].value == ns("2025-01-31T23:55")
            assert len(exchange.queries) == -(-(31 * 288 + 1) // limit)
            assert {query["limit"] for query in exchange.queries} == {str(limit)}


def test_months_before_the_listing_cost_one_request_each(exchange, bars, tmp_path):
    fetch(exchange, tmp_path, "2024-06-01", "2025-02-01", funding=False)
    assert len(exchange.asked("/daily/")) == 0
    assert len(exchange.asked("/monthly/")) == 7 + 2
    assert len(exchange.asked("/fapi/v1/klines")) == 1


def test_two_markets_with_files_of_one_name_do_not_meet(exchange, january, tmp_path):
    def crash(done, total, what):
        if what.endswith("into the catalog"):
            raise KeyboardInterrupt

    spot = [[row[0], *["50000.01"] * 4, *row[5:]] for row in january]
    exchange.add_klines("spot", "BTCUSDT", "5m", "2025-01", spot)
    with pytest.raises(KeyboardInterrupt):
        fetch(exchange, tmp_path, "2025-01-01", "2025-02-01", progress=crash)
    fetch(exchange, tmp_path, "2025-01-01", "2025-02-01", name="BTCUSDT.BINANCE")
    expect(tmp_path, spot, name="BTCUSDT.BINANCE", decimals=2)


def command(server, catalog, *arguments):
    urls = ("--archive-url", server.url, "--rest-url", server.url)
    return ["data", "download", "--catalog", str(catalog), *urls, *arguments]


RANGE = ("--interval", "5m", "--start", "2025-01-01", "--end", "2025-03-03")


def test_the_command_says_what_it_did(exchange, tmp_path, capsys):
    assert cli.main([*command(exchange, tmp_path, "BTCUSDT", *RANGE), "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert err == ""
    assert (found["monthly"], found["rows"], found["files"]) == (1, 61 * 288, 29)
    assert cli.main(command(exchange, tmp_path / "text", "BTCUSDT", *RANGE)) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(
        "BTCUSDT-PERP.BINANCE 5m: 29 files, 17,568 bars (17,568 new), 2025-01-01T00:05:00Z to 2025-03-03T00:00:00Z"
    )
    assert cli.main(command(exchange, tmp_path, "BTCUSDT", *RANGE)) == 0
    assert "already holds the bars of this range" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("NOSUCHUSDT", *RANGE), 1, "unknown symbol NOSUCHUSDT"),
        (("BTCUSDT", "--interval", "7m", "--start", "2025-01-01"), 2, "unknown interval '7m'"),
        (("BTCUSDT", "--start", "yesterday"), 2, "--start is 'yesterday': give an ISO date"),
        (("BTCUSDT", "--start", "2025-02-01", "--end", "2025-01-01"), 2, "no 1m bar is closed between --start 2025-02"),
        (("BTCUSDT", "--start", "2200-01-01"), 2, "no 1m bar is closed between"),
        (("btc/usdt", *RANGE), 2, "is no symbol"),
        (("BTCUSDT",), 2, "--start"),
        (("BTCUSDT", *RANGE, "--set", "download.retries=99"), 2, "download.retries"),
        (("BTCUSDT", *RANGE, "--archive-url", "ftp://example.org"), 2, "download.archive_url"),
    ],
)
def test_every_mistake_is_one_line_with_its_exit_code(arguments, code, message, exchange, tmp_path, capsys):
    assert cli.main(command(exchange, tmp_path, *arguments)) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("autotrade: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_url_that_no_request_can_be_made_of_is_refused_at_once():
    with Web(retries=9, backoff_seconds=1.0, timeout_seconds=10.0, sleep=None) as web:
        for url in ("ftp://example.org", "http://127.0.0.1:80\n80"):
            with pytest.raises(UsageError, match="is no URL"):
                web.get(url)


def test_a_symbol_of_which_nobody_has_a_bar_is_unknown(exchange, tmp_path):
    fetch(exchange, tmp_path, "2025-01-01", "2025-02-01")
    del exchange.rows["BTCUSDT", "5m"]
    with pytest.raises(DataError, match=r"unknown symbol BTCUSDT: .* answers Invalid symbol"):
        fetch(exchange, tmp_path, "2024-01-01", "2024-02-01")


def test_killed_anywhere_and_run_again_the_catalog_is_that_of_an_undisturbed_run(exchange, tmp_path):
    undisturbed = tmp_path / "undisturbed"
    assert cli.main([*command(exchange, undisturbed, "BTCUSDT", *RANGE), "--json"]) == 0
    catalog = tmp_path / "killed"
    day = "/data/futures/um/daily/klines/BTCUSDT/5m/BTCUSDT-5m-2025-02-13.zip"
    running = []
    for path in (JANUARY, day, "/fapi/v1/klines"):
        exchange.faults[path] = [("call", lambda: os.kill(running[-1].pid, signal.SIGKILL))]
        process = subprocess.Popen(
            [sys.executable, "-m", "cli", *command(exchange, catalog, "BTCUSDT", *RANGE)],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        running.append(process)
        assert process.wait(60) == -signal.SIGKILL, path
        assert list(catalog.rglob("*.zip")) == []
    exchange.requests.clear()
    assert cli.main([*command(exchange, catalog, "BTCUSDT", *RANGE), "--json"]) == 0
    assert exchange.asked("klines/BTCUSDT/5m/BTCUSDT-5m-2025-01") == []
    assert hash_of(catalog) == hash_of(undisturbed)
