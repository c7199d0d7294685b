"""``autotrade data`` from the outside, on true history: import, check, list, and what happens when it is killed."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from nautilus_trader.model import NautilusDataType
from nautilus_trader.persistence import ParquetDataCatalog

import cli
from adapters.catalog import data_hash, list_series, read_bars, read_funding
from core.bars import bar_type

ROOT = Path(__file__).parents[2]
BTC = "BTCUSDT-PERP.BINANCE"
HISTORY = "binancevision-spot-BTCUSDT-1m.parquet"
OUTAGE = "raw/vision_zip_daily/BTCUSDT-1m-2023-03-24.zip"


def run(capsys, *arguments):
    """Return exit code, standard output and standard error of ``autotrade data``."""
    code = cli.main(["data", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys, *arguments):
    code, out, err = run(capsys, *arguments, "--json")
    assert err == ""
    return code, json.loads(out)


def refused(capsys, *arguments):
    """Return exit code and the one line of a refusal."""
    code, out, err = run(capsys, *arguments)
    assert out == ""
    assert err.startswith("autotrade: error: ")
    assert err.count("\n") == 1
    return code, err.removeprefix("autotrade: error: ").strip()


def importing(catalog, *arguments):
    return ("import", *arguments, "--instrument", "BTCUSDT", "--interval", "1m", "--catalog", catalog)


@pytest.fixture(scope="module")
def btc(shared_data, tmp_path_factory):
    """A catalog with the true minutes of BTCUSDT, 2022-01-01 to 2024-06-25, as a perpetual."""
    catalog = tmp_path_factory.mktemp("btc")
    assert cli.main(["data", *map(str, importing(catalog, shared_data / HISTORY)), "--json"]) == 0
    return catalog


def whole_hash(catalog):
    return data_hash(catalog, [BTC], "1m", start_ns=None, end_ns=None)


def test_rows_and_range_are_those_of_the_manifest(btc, capsys):
    _, found = run_json(capsys, "list", "--catalog", btc)
    assert found == [
        {
            "instrument": BTC, "kind": "bars", "interval": "1m", "rows": 1_306_000,
            "first": "2022-01-01T00:01:00Z", "last": "2024-06-26T00:00:00Z",
        }
    ]  # fmt: skip
    assert "1,306,000" in run(capsys, "list", "--catalog", btc)[1]


def test_the_catalog_is_the_history_on_the_tick(btc, shared_data):
    source = pq.read_table(shared_data / HISTORY)
    bars = read_bars(btc, BTC, "1m")
    opened = source["open_time"].to_numpy().astype("datetime64[ns]").astype(np.int64)
    assert np.array_equal(bars.ts_close, opened + 60_000_000_000)
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(bars, name), np.round(source[name].to_numpy(), 1)), name
    lots = source["volume"].to_numpy() * 1_000
    assert np.array_equal(bars.volume, np.floor(lots + 1e-6) / 1_000)


def test_the_engine_reads_the_months_that_were_written(btc):
    start = int(np.datetime64("2024-02-28T23:58", "ns").astype(np.int64))
    bars = read_bars(btc, BTC, "1m", start_ns=start, end_ns=start + 2_000 * 60_000_000_000)
    found = ParquetDataCatalog(str(btc)).query_bars(
        [bar_type(BTC, "1m")], start=start + 1, end=start + 2_000 * 60_000_000_000
    )
    assert [bar.ts_init for bar in found] == bars.ts_close.tolist()
    assert [str(bar.close) for bar in found] == [f"{close:.1f}" for close in bars.close]
    assert [str(bar.volume) for bar in found] == [f"{volume:.3f}" for volume in bars.volume]


def test_the_80_missing_minutes_are_found(btc, capsys):
    code, found = run_json(capsys, "check", "--catalog", btc, "--instrument", "BTCUSDT")
    assert code == 1
    frozen, gap = found["series"][0]["faults"]
    assert (frozen["kind"], frozen["from"], frozen["count"]) == ("zero_volume_run", "2023-03-24T11:28:00Z", 72)
    assert gap == {
        "kind": "gap", "from": "2023-03-24T12:40:00Z", "to": "2023-03-24T13:59:00Z", "count": 80, "detail": "no bars",
    }  # fmt: skip


def test_the_original_zip_of_that_day_shows_what_the_collection_lost(shared_data, capsys):
    code, found = run_json(capsys, "check", shared_data / OUTAGE)
    assert code == 1
    assert [(f["kind"], f["from"], f["count"]) for f in found["series"][0]["faults"]] == [
        ("zero_volume_run", "2023-03-24T11:28:00Z", 72),
        ("odd_close_time", "2023-03-24T12:39:00Z", 1),
        ("gap", "2023-03-24T12:40:00Z", 80),
    ]
    code, out, _ = run(capsys, "check", shared_data / OUTAGE)
    assert code == 1
    assert "1,360 bars" in out
    assert "zero_volume_run  2023-03-24 11:28  2023-03-24 12:39    72" in out


def test_a_sound_day_passes(shared_data, capsys):
    code, out, _ = run(capsys, "check", shared_data / "raw/vision_zip_daily/BTCUSDT-1m-2022-01-01.zip")
    assert code == 0
    assert "no faults" in out


def test_zips_of_the_same_days_agree_and_complete_the_close_times(btc, shared_data, capsys, tmp_path):
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", btc, copy], check=True)
    code, report = run_json(capsys, *importing(copy, shared_data / "raw" / "vision_zip_daily"))
    assert code == 0
    assert (report["files"], report["passed_over"]) == (4, 17)
    assert (report["bars"]["rows"], report["bars"]["equal"]) == (5_680, 5_680)
    assert (report["bars"]["added"], report["bars"]["replaced"]) == (0, 0)
    assert whole_hash(copy) == whole_hash(btc)
    _, found = run_json(capsys, "check", "--catalog", copy)
    assert [f["kind"] for f in found["series"][0]["faults"]] == ["zero_volume_run", "odd_close_time", "gap"]


def test_funding_and_sentiment_are_told_by_their_columns(shared_data, tmp_path, capsys):
    file = shared_data / "stitched-usdm-BTCUSDT-funding8h.parquet"
    code, report = run_json(capsys, "import", file, "--instrument", "BTCUSDT", "--catalog", tmp_path)
    assert (code, report["funding_rows"], report["funding_added"]) == (0, 4_199, 4_199)
    source = pq.read_table(file)
    found = read_funding(tmp_path, BTC)
    assert found.rate.tolist() == source["funding_rate"].to_pylist()
    updates = ParquetDataCatalog(str(tmp_path)).query(NautilusDataType.FundingRateUpdate, [BTC])
    assert [update.ts_init for update in updates] == found.ts.tolist()
    assert [float(update.rate) for update in updates] == found.rate.tolist()
    index = shared_data / "alternativeme-fear_greed-1d.parquet"
    code, report = run_json(capsys, "import", index, "--catalog", tmp_path)
    assert (code, report["sentiment_rows"], report["sentiment_added"]) == (0, 2_703, 2_703)
    kinds = [(row["kind"], row["rows"]) for row in run_json(capsys, "list", "--catalog", tmp_path)[1]]
    assert kinds == [("funding", 4_199), ("sentiment", 2_703)]


@pytest.mark.parametrize(
    ("file", "instrument", "interval", "rows"),
    [
        ("raw/vision_csv_monthly/spot-BTCUSDT-1h-2023-01.csv", "BTCUSDT.BINANCE", "1h", 744),  # header, milliseconds
        ("raw/vision_csv_monthly/spot-BTCUSDT-1h-2024-12.csv", "BTCUSDT.BINANCE", "1h", 744),  # none, milliseconds
        ("raw/vision_csv_monthly/spot-BTCUSDT-1h-2025-05.csv", "BTCUSDT.BINANCE", "1h", 744),  # none, microseconds
        ("raw/vision_csv_monthly/usdm-BTCUSDT-5m-2025-01.csv", BTC, "5m", 8_928),
        ("raw/freqtrade_testdata/futures-um-klines-BTCUSDT-1h-2024-10-28.zip", BTC, "1h", 24),
        ("stitched-spot-BTCUSDT-1m-extra.parquet", "BTCUSDT.BINANCE", "1m", 233_021),
        ("binancevision-usdm-SOLUSDT-5m.parquet", "SOLUSDT-PERP.BINANCE", "5m", 52_128),
        ("thomasbgp-usdm-DOGEUSDT-4h.parquet", "DOGEUSDT-PERP.BINANCE", "4h", 10_900),
    ],
)
def test_true_files_of_every_form_are_imported_whole(shared_data, tmp_path, capsys, file, instrument, interval, rows):
    code, report = run_json(
        capsys, "import", shared_data / file, "--instrument", instrument, "--interval", interval, "--catalog", tmp_path
    )
    assert code == 0
    assert (report["bars"]["rows"], report["bars"]["added"]) == (rows, rows)
    (series,) = list_series(tmp_path)
    assert (series.instrument_id, series.interval, series.rows) == (instrument, interval, rows)


def test_exchange_info_gives_the_filters_of_any_symbol(shared_data, tmp_path, capsys):
    filters = shared_data / "raw/exchange_info/usdm-exchangeInfo-20260331-reserialised.json.gz"
    near = shared_data / "raw/vision_csv_monthly/usdm-NEARUSDT-1m-2025-02.csv.gz"
    of = ("--instrument", "NEARUSDT", "--interval", "1m", "--catalog", tmp_path)
    assert refused(capsys, "import", near, *of)[1].startswith(
        "no filters of NEARUSDT-PERP.BINANCE in the built-in list"
    )
    assert run(capsys, "import", near, *of, "--exchange-info", filters)[0] == 0
    code, found = run_json(
        capsys, "instruments", "--exchange-info", filters, "--symbols", "SOLUSDT", "NEARUSDT", "--catalog", tmp_path
    )
    assert code == 0
    assert {i["id"]: i["tick"] for i in found["instruments"]} == {
        "SOLUSDT-PERP.BINANCE": "0.01",
        "NEARUSDT-PERP.BINANCE": "0.001",
    }


def test_an_import_that_is_killed_leaves_a_readable_catalog_and_is_resumed(btc, shared_data, tmp_path, capsys):
    command = [sys.executable, "cli.py", "data", *map(str, importing(tmp_path, shared_data / HISTORY))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    bars = tmp_path / "data" / "bars" / bar_type(BTC, "1m")
    while len(list(bars.glob("*.parquet"))) < 3:
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail("the import ended before it was killed")
    process.kill()
    process.wait()
    (held,) = list_series(tmp_path)
    assert 44_640 <= held.rows < 1_306_000
    found = read_bars(tmp_path, BTC, "1m")
    assert len(found.close) == held.rows == len(ParquetDataCatalog(str(tmp_path)).query_bars([bar_type(BTC, "1m")]))
    assert np.array_equal(found.close, read_bars(btc, BTC, "1m", end_ns=held.last_ns).close)
    assert run(capsys, *importing(tmp_path, shared_data / HISTORY))[0] == 0
    assert whole_hash(tmp_path) == whole_hash(btc)
    assert [p.name for p in sorted(bars.iterdir())] == [
        p.name for p in sorted((btc / "data" / "bars" / bar_type(BTC, "1m")).iterdir())
    ]


def test_every_mistake_is_one_line_with_its_exit_code(shared_data, tmp_path, capsys):
    day = tmp_path / "BTCUSDT-1m-2023-03-24.zip"
    original = (shared_data / OUTAGE).read_bytes()
    catalog = tmp_path / "catalog"

    day.write_bytes(original[:40_000])
    code, line = refused(capsys, *importing(catalog, day))
    assert (code, line) == (1, f"{day} is broken: File is not a zip file; download it again")

    day.write_bytes(original)
    sidecar = tmp_path / f"{day.name}.CHECKSUM"
    sidecar.write_text(f"{'ab' * 32}  {day.name}\n")
    code, line = refused(capsys, *importing(catalog, day))
    assert code == 1
    assert line.startswith(
        f"{day} has SHA-256 305d0f6cdb8a..., published is abababababab... ({sidecar.name}): download"
    )
    sidecar.write_text(f"305d0f6cdb8a6cfd8063a7d48c66f14b33727d934857746d549663e94b41312d  {day.name}\n")
    assert run_json(capsys, *importing(catalog, day))[1]["checksums"] == 1

    with zipfile.ZipFile(shared_data / OUTAGE) as archive:
        rows = archive.read("BTCUSDT-1m-2023-03-24.csv").decode().splitlines()
    opened, _, others = rows[6].split(",", 2)
    rows[6] = f"{opened},28k,{others}"
    letters = tmp_path / "letters.csv"
    letters.write_text("\n".join(rows))
    code, line = refused(capsys, *importing(catalog, letters))
    assert (code, line) == (1, f"{letters}, line 7: open is '28k', a number was expected: mend the file")

    for arguments, code, message in [
        (("import", tmp_path / "no.zip", "--instrument", "BTCUSDT", "--interval", "1m"), 1, "does not exist"),
        (("import", letters, "--instrument", "BTCUSDT", "--interval", "7m"), 2, "unknown interval '7m'"),
        (("import", letters, "--interval", "1m"), 2, "--instrument is missing"),
        (("import", letters, "--instrument", "BTCUSDT"), 2, "--interval is missing"),
        (("import", letters, "--instrument", "btc/usdt", "--interval", "1m"), 2, "is no symbol"),
        (("import", shared_data / "coinglass-aggregated-BTC-oi-1d.parquet", "--instrument", "BTCUSDT"), 1,
         "has columns time, open, high, low, close; bars need open_time"),
        (("import", shared_data / OUTAGE, "--instrument", "ETHUSDT", "--interval", "1m"), 2, "is BTCUSDT 1m by its"),
        (("check", "--catalog", tmp_path / "nowhere"), 1, "no catalog at"),
        (("list", "--catalog", tmp_path / "nowhere"), 1, "no catalog at"),
        (("check", "--instrument", "ETHUSDT", "--catalog", catalog), 1, "has no bars of ETHUSDT-PERP.BINANCE"),
        (("check", letters), 2, "--interval is missing"),
        (("fetch",), 2, "invalid choice: 'fetch'"),
    ]:  # fmt: skip
        found, line = refused(capsys, *arguments)
        assert (found, message in line) == (code, True), line
