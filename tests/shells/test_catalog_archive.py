"""History files as they come: the archive's forms, the collectors' forms, and broken ones."""

import gzip
import hashlib
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.archive import (
    find_files,
    kind_of,
    named_series,
    read_funding_file,
    read_klines,
    read_sentiment_file,
    verify_checksum,
)
from adapters.binance_history import ImportRequest, import_files, source_files
from adapters.klines import KLINE_SCHEMA
from core.errors import ChecksumError, DataError, UsageError

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
OPENED_MS = 1_735_689_600_000  # 2025-01-01


def line(i=0, *, per_ms=1, price="93548.80"):
    opened = (OPENED_MS + i * 60_000) * per_ms
    closed = (OPENED_MS + (i + 1) * 60_000) * per_ms - 1
    return f"{opened},{price},93690.00,93514.20,93648.40,341.604,{closed},31982601.30680,8176,148.318,13885565.65110,0"


def text(n=3, *, header=False, per_ms=1):
    lines = [line(i, per_ms=per_ms) for i in range(n)]
    return "\n".join([HEADER, *lines] if header else lines) + "\n"


def zipped(path, content, *, member=None):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or f"{path.stem}.csv", content)
    return path


def whole(path):
    return pa.concat_tables(read_klines(path))


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("per_ms", [1, 1_000])
@pytest.mark.parametrize("form", ["csv", "csv.gz", "zip"])
def test_every_form_of_the_archive_gives_the_same_bars(tmp_path, form, per_ms, header):
    path = tmp_path / f"BTCUSDT-1m-2025-01.{form}"
    content = text(header=header, per_ms=per_ms)
    if form == "zip":
        zipped(path, content)
    else:
        path.write_bytes(content.encode() if form == "csv" else gzip.compress(content.encode()))
    assert kind_of(path) == "klines"
    table = whole(path)
    assert table.schema.equals(KLINE_SCHEMA)
    close_early_ns = 1_000_000 // per_ms
    assert table["open_time"].cast(pa.int64()).to_pylist() == [(OPENED_MS + i * 60_000) * 10**6 for i in range(3)]
    assert table["close_time"].cast(pa.int64()).to_pylist() == [
        (OPENED_MS + (i + 1) * 60_000) * 10**6 - close_early_ns for i in range(3)
    ]
    row = table.slice(0, 1).to_pylist()[0]
    assert [row[n] for n in KLINE_SCHEMA.names[1:-1]] == [
        93548.8, 93690.0, 93514.2, 93648.4, 341.604, 31982601.3068, 8176, 148.318, 13885565.6511,
    ]  # fmt: skip


def test_milliseconds_and_microseconds_may_share_a_file(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(line(0) + "\n" + line(1, per_ms=1_000) + "\n")
    assert np.diff(whole(path)["open_time"].cast(pa.int64()).to_numpy()).tolist() == [60_000_000_000]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", None])
def test_parquet_times_of_any_unit_are_the_same(tmp_path, unit, zone):
    opened = pa.array([OPENED_MS], pa.timestamp("ms", "UTC")).cast(pa.timestamp(unit, zone))
    prices = {name: pa.array([1.5]) for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({"src": pa.array(["x"]), "open_time": opened, **prices}), tmp_path / "x.parquet")
    table = whole(tmp_path / "x.parquet")
    assert table["open_time"].cast(pa.int64()).to_pylist() == [OPENED_MS * 10**6]
    assert table["trades"].null_count == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(2) + line(2, price="93x48.80") + "\n", r"line 3: open is '93x48.80', a number was expected: mend"),
        (text(2, header=True) + line(2, price="") + "\n", r"line 4: open is '', a number was expected"),
        (text(2) + "1735689720000,1,2\n", r"line 3: 3 columns, the first line has 12: mend the file"),
        (text(1) + line(1).replace("8176", "81.5") + "\n", r"line 2: trades is '81.5'"),
        ("", "is empty"),
        ("1,2,3\n", "has 3 columns and no header, archive klines have 12"),
        (
            "agg_trade_id,price,quantity\n1,2,3\n",
            "has columns agg_trade_id, price, quantity; bars need open_time, open",
        ),
        (line().replace(str(OPENED_MS), "1735689600") + "\n", "open_time 1735689600: times are milliseconds or micro"),
        (line().replace(str(OPENED_MS), "1735689600000000000") + "\n", "open_time 1735689600000000000: times are"),
    ],
)
def test_a_csv_that_cannot_be_read_is_told_by_file_line_and_value(tmp_path, content, message):
    path = tmp_path / "BTCUSDT-1m-2025-01.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as found:
        whole(path) if kind_of(path) == "klines" else None
    assert str(path) in str(found.value)


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "two", "other"])
def test_a_corrupt_zip_is_refused_before_a_row_of_it_is_read(tmp_path, damage):
    path = zipped(tmp_path / "BTCUSDT-1m-2025-01-01.zip", text(1440))
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "text":
        path.write_text("<html>404</html>")
    elif damage == "two":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("more.csv", text(1))
    else:
        zipped(path, text(1), member="ETHUSDT-1m-2025-01-01.csv")
    with pytest.raises(DataError, match=str(path)):
        next(read_klines(path))


def test_a_broken_gzip_and_a_broken_parquet_are_refused(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text(5000).encode())[:-2000])
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + b"x" * 100)
    for path in tmp_path.iterdir():
        with pytest.raises(DataError, match=path.name):
            whole(path)


def test_the_checksum_beside_a_file_is_verified(tmp_path):
    path = zipped(tmp_path / "BTCUSDT-1m-2025-01-01.zip", text())
    assert not verify_checksum(path)
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    sidecar = tmp_path / f"{path.name}.CHECKSUM"
    sidecar.write_text(f"{right}  {path.name}\n")
    assert verify_checksum(path)
    wrong = "0" * 64
    sidecar.write_text(f"{wrong}  {path.name}\n")
    with pytest.raises(ChecksumError, match=rf"has SHA-256 {right[:12]}..., published is 000000000000..."):
        verify_checksum(path)
    for content in (f"{right}  other.zip", "", "no checksum", f"{right[:-1]}  {path.name}"):
        sidecar.write_text(content)
        with pytest.raises(ChecksumError, match="is no checksum of"):
            verify_checksum(path)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("BTCUSDT-1m-2023-03-24.zip", ("BTCUSDT", "1m")),
        ("binancevision-spot-ETHUSDT-1m.parquet", ("ETHUSDT", "1m")),
        ("spot-BTCUSDT-1h-2025-01.csv", ("BTCUSDT", "1h")),
        ("1000PEPEUSDT-15m-2024-01.zip", ("1000PEPEUSDT", "15m")),
        ("BTCUSDT-fundingRate-2024-01.csv", ("BTCUSDT", "funding")),
        ("stitched-usdm-BTCUSDT-funding8h.parquet", ("BTCUSDT", "funding")),
        ("APEUSDT-aggTrades-2024-10-18.zip", None),
        ("bars.csv", None),
    ],
)
def test_the_series_that_a_name_states(tmp_path, name, stated):
    assert named_series(tmp_path / name) == stated


def test_a_file_of_another_series_is_refused_by_name_and_passed_over_in_a_directory(tmp_path):
    for name in ("ETHUSDT-1m-2025-01", "BTCUSDT-1h-2025-01", "BTCUSDT-1m-2025-02", "BTCUSDT-1m-2025-01", "mine"):
        (tmp_path / f"{name}.csv").write_text(text())
    (tmp_path / "notes.txt").write_text("passed over")
    files = source_files([tmp_path], "BTCUSDT-PERP.BINANCE", "1m")
    assert [path.name for path in files.klines] == ["BTCUSDT-1m-2025-01.csv", "BTCUSDT-1m-2025-02.csv", "mine.csv"]
    assert files.passed_over == 2
    with pytest.raises(UsageError, match=r"is ETHUSDT 1m by its name, BTCUSDT 1m was asked"):
        source_files([tmp_path / "ETHUSDT-1m-2025-01.csv"], "BTCUSDT", "1m")
    with pytest.raises(UsageError, match=r"is BTCUSDT 1h by its name, BTCUSDT 1m was asked"):
        source_files([tmp_path / "BTCUSDT-1h-2025-01.csv"], "BTCUSDT", "1m")
    for path, message in ((tmp_path / "no.csv", "does not exist"), (tmp_path / "notes.txt", "of no known type")):
        with pytest.raises(DataError, match=message):
            find_files([path])


def test_funding_of_the_archive_is_cut_to_the_minute_with_its_interval(tmp_path):
    path = tmp_path / "BTCUSDT-fundingRate-2024-01.csv"
    path.write_text(
        "calc_time,funding_interval_hours,last_funding_rate\n1704067200007,8,0.00037409\n1704096000000,4,-0.00001000\n"
    )
    assert kind_of(path) == "funding"
    table = read_funding_file(path)
    assert table["ts"].cast(pa.int64()).to_pylist() == [1_704_067_200 * 10**9, 1_704_096_000 * 10**9]
    assert table["rate"].to_pylist() == ["0.00037409", "-0.00001"]
    assert table["interval_minutes"].to_pylist() == [480, 240]


def test_fear_and_greed_as_csv(tmp_path):
    path = tmp_path / "fng.csv"
    path.write_text("date,value,classification\n2024-01-01,65,Greed\n2024-01-02,20,Extreme Fear\n")
    assert kind_of(path) == "sentiment"
    table = read_sentiment_file(path)
    assert [(str(r["date"].date()), r["value"], r["classification"]) for r in table.to_pylist()] == [
        ("2024-01-01", 65, "Greed"),
        ("2024-01-02", 20, "Extreme Fear"),
    ]


def test_a_file_without_rows_is_no_import(tmp_path):
    path = tmp_path / "BTCUSDT-1m-2025-01.csv"
    path.write_text(HEADER + "\n")
    with pytest.raises(DataError, match="has no rows"):
        import_files(ImportRequest([path], tmp_path / "catalog", "BTCUSDT", interval="1m"))
