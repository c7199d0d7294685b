"""History files, read as streams of one schema: Parquet, and the CSV and ZIP of Binance's archive.

What differs between them is settled here: with or without a header, milliseconds or microseconds, columns that a
source lacks, and which of the three kinds a file holds.
"""

import csv
import gzip
import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from adapters.funding import FUNDING_SCHEMA
from adapters.klines import PRICES, TIME, floats, kline_table, times_ns
from adapters.sentiment import SENTIMENT_SCHEMA
from core.errors import ChecksumError, DataError

__all__ = ["find_files", "kind_of", "named_series", "read_funding_file", "read_klines", "read_sentiment_file",
           "verify_checksum"]  # fmt: skip

_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".zip")
_MINUTE_NS = 60_000_000_000
_BATCH_ROWS = 131_072
_BLOCK_BYTES = 4 << 20
_WHOLE_BYTES = 64 << 20  # a larger member of a ZIP is streamed: a month of seconds is 370 MB
_POSITIONS = ("open_time", *PRICES, "volume", "close_time", "quote_volume", "trades", "taker_buy_base",
              "taker_buy_quote", "ignore")  # fmt: skip
"""The archive's columns by position, where a file has no header."""
_ALIASES = {
    "quote_asset_volume": "quote_volume",
    "count": "trades",
    "number_of_trades": "trades",
    "taker_buy_volume": "taker_buy_base",
    "taker_buy_base_volume": "taker_buy_base",
    "taker_buy_base_asset_volume": "taker_buy_base",
    "taker_buy_quote_volume": "taker_buy_quote",
    "taker_buy_quote_asset_volume": "taker_buy_quote",
    "calc_time": "funding_time",
    "last_funding_rate": "funding_rate",
}
_NEEDED = {
    "funding": ("funding_time", "funding_rate"),
    "sentiment": ("date", "value", "classification"),
    "klines": ("open_time", *PRICES, "volume"),
}
_TYPES = {
    **{name: pa.int64() for name in ("open_time", "close_time", "trades", "funding_time", "funding_interval_hours")},
    **{name: pa.float64() for name in (*PRICES, "volume", "quote_volume", "taker_buy_base", "taker_buy_quote")},
    "funding_rate": pa.float64(),
    "date": pa.string(),
    "value": pa.int64(),
    "classification": pa.string(),
}
"""The columns that are read, all others are passed over, and their types in a CSV."""
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_INTEGER = re.compile(r"[+-]?\d+")
_NAMED = re.compile(r"(?:^|[-_])([A-Z0-9]{2,}(?:USDT|USDC|FDUSD|BUSD|BTC|ETH|BNB))-(funding|\d+[smhdwM](?![A-Za-z]))")
_BROKEN = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Return the history files among paths, those of a directory and below it in order of their names.

    Raises
    ------
    DataError
        For a path that does not exist, a file of no known type, or a directory without any.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(_SUFFIXES))
            if not inside:
                raise DataError(f"{path} has no history files: they end in {', '.join(_SUFFIXES)}")
            found += inside
        elif not path.is_file():
            raise DataError(f"{path} does not exist: check the path")
        elif not path.name.endswith(_SUFFIXES):
            raise DataError(f"{path} is of no known type: history files end in {', '.join(_SUFFIXES)}")
        else:
            found.append(path)
    return found


def named_series(path: Path) -> tuple[str, str] | None:
    """Return symbol and interval (or ``funding``) that a file's name states, None where it states none.

    Examples
    --------
    >>> named_series(Path("BTCUSDT-1m-2023-03-24.zip")), named_series(Path("my bars.csv"))
    (('BTCUSDT', '1m'), None)
    """
    match = _NAMED.search(path.name)
    return None if match is None else (match[1], match[2])


def verify_checksum(path: Path) -> bool:
    """Compare a file with its ``.CHECKSUM`` sidecar (64 hex digits, two spaces, name); return whether there is one.

    Raises
    ------
    ChecksumError
        Where they differ.
    """
    sidecar = path.with_name(path.name + ".CHECKSUM")
    if not sidecar.is_file():
        return False
    words = sidecar.read_text(encoding="utf-8", errors="replace").split()
    if len(words) != 2 or re.fullmatch("[0-9a-fA-F]{64}", words[0]) is None or words[1].lstrip("*") != path.name:
        raise ChecksumError(f"{sidecar} is no checksum of {path.name}: download both again")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != words[0].lower():
        raise ChecksumError(
            f"{path} has SHA-256 {found[:12]}..., published is {words[0][:12].lower()}... ({sidecar.name}): "
            "download it again"
        )
    return True


def kind_of(path: Path) -> str:
    """Return what a file holds: klines, funding or sentiment.

    Raises
    ------
    DataError
        Where it cannot be read or has none of their columns.
    """
    if path.suffix == ".parquet":
        names = [_ALIASES.get(n, n) for n in _parquet(path).schema_arrow.names]
    else:
        with _csv_bytes(path) as file:
            names, _ = _header(path, file)
    for kind, needed in _NEEDED.items():
        if set(needed) <= set(names):
            return kind
    raise DataError(f"{path} has columns {', '.join(names)}; bars need {', '.join(_NEEDED['klines'])}")


def read_klines(path: Path) -> Iterator[Any]:
    """Yield a file's bars, in its order, as tables of `adapters.klines.KLINE_SCHEMA`.

    Raises
    ------
    DataError
        For a broken file; for a value that is no number with its line, column and text.
    """
    for table in _tables(path):
        columns = {name: table[name] for name in table.column_names}
        missing = [name for name in _NEEDED["klines"] if name not in columns or columns[name].null_count]
        if missing:
            raise DataError(f"{path} lacks values of {', '.join(missing)}: every bar needs them")
        for name in ("open_time", "close_time"):
            if name in columns:
                columns[name] = _times(columns[name], path, name)
        try:
            yield kline_table(**columns)
        except pa.ArrowException as error:
            raise DataError(f"{path} has a column of the wrong type: {_first_line(error)}") from None


def read_funding_file(path: Path) -> Any:
    """Return a file's funding rates as a table of `adapters.funding.FUNDING_SCHEMA`.

    Notes
    -----
    The archive stamps a settlement some milliseconds after its time: times are cut to the minute.
    """
    parts = [FUNDING_SCHEMA.empty_table()]
    for table in _tables(path):
        stamps = times_ns(_times(table["funding_time"], path, "funding_time")) // _MINUTE_NS * _MINUTE_NS
        rates = [format(Decimal(repr(rate)).normalize(), "f") for rate in floats(table["funding_rate"]).tolist()]
        interval = pa.nulls(len(table), pa.uint64())
        if "funding_interval_hours" in table.column_names:
            interval = pa.array(table["funding_interval_hours"].to_numpy() * 60, pa.uint64())
        parts.append(pa.Table.from_arrays([pa.array(stamps, TIME), pa.array(rates), interval], schema=FUNDING_SCHEMA))
    return pa.concat_tables(parts)


def read_sentiment_file(path: Path) -> Any:
    """Return a file's index as a table of `adapters.sentiment.SENTIMENT_SCHEMA`."""
    parts = [SENTIMENT_SCHEMA.empty_table()]
    for table in _tables(path):
        try:
            days = table["date"].cast(pa.timestamp("ns")).cast(TIME)
            columns = [days, table["value"], table["classification"].cast(pa.string())]
            parts.append(pa.Table.from_arrays(columns, names=SENTIMENT_SCHEMA.names).cast(SENTIMENT_SCHEMA))
        except pa.ArrowException as error:
            raise DataError(f"{path} has a column of the wrong type: {_first_line(error)}") from None
    return pa.concat_tables(parts)


def row_count(path: Path) -> int | None:
    """Return how many rows a file has, None where only reading it would tell."""
    return int(_parquet(path).metadata.num_rows) if path.suffix == ".parquet" else None


def _tables(path: Path) -> Iterator[Any]:
    """Yield a file's rows in batches, columns under our names."""
    if path.suffix == ".parquet":
        file = _parquet(path)
        wanted = [name for name in file.schema_arrow.names if _ALIASES.get(name, name) in _TYPES]
        try:
            for group in range(file.num_row_groups):  # one by one: the reader keeps the bytes of all that it is given
                for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=wanted):
                    yield pa.Table.from_batches([batch]).rename_columns([_ALIASES.get(n, n) for n in wanted])
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path} is broken: {_first_line(error)}") from None
        return
    with _csv_bytes(path) as file:
        names, rows_to_skip = _header(path, file)
    read = pacsv.ReadOptions(column_names=names, skip_rows=rows_to_skip, block_size=_BLOCK_BYTES, use_threads=False)
    convert = pacsv.ConvertOptions(
        column_types={name: _TYPES[name] for name in names if name in _TYPES},
        include_columns=[name for name in names if name in _TYPES],
        null_values=[],
        strings_can_be_null=False,
    )
    try:
        with _csv_bytes(path, test=True) as file:
            for batch in pacsv.open_csv(file, read_options=read, convert_options=convert):
                yield pa.Table.from_batches([batch])
    except pa.ArrowInvalid as error:
        raise _located(path, names, rows_to_skip, _first_line(error)) from None


def _parquet(path: Path) -> Any:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no Parquet file: {_first_line(error)}") from None


@contextmanager
def _csv_bytes(path: Path, *, test: bool = False) -> Iterator[BinaryIO]:
    """Open the CSV of a .csv, .csv.gz or .zip; ``test`` compares a ZIP with its own checksum before a row is read."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                member = _member(archive, path)
                if test and member.file_size <= _WHOLE_BYTES:
                    yield io.BytesIO(archive.read(member))
                else:
                    if test:
                        _test(archive, path)
                    with archive.open(member) as file:
                        yield cast("BinaryIO", file)
        elif path.suffix == ".gz":
            with gzip.open(path) as packed:
                yield cast("BinaryIO", packed)
        else:
            with path.open("rb") as plain:
                yield plain
    except _BROKEN as error:
        raise DataError(f"{path} is broken: {_first_line(error)}; download it again") from None


def _member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) != 1 or not names[0].endswith(".csv") or not path.stem.endswith(Path(names[0]).stem):
        listed = ", ".join(names[:3]) or "nothing"
        raise DataError(f"{path} holds {listed}: an archive ZIP holds one CSV of its own name")
    return members[0]


def _test(archive: zipfile.ZipFile, path: Path) -> None:
    if archive.testzip() is not None:
        raise DataError(f"{path} is broken: its content has another CRC-32; download it again")


def _header(path: Path, file: BinaryIO) -> tuple[list[str], int]:
    """Return the columns of a CSV and how many rows name them."""
    line = file.readline(4096).decode("utf-8", errors="replace").strip().lstrip("\ufeff")
    fields = [field.strip().strip('"') for field in line.split(",")]
    if not line:
        raise DataError(f"{path} is empty: download it again")
    if re.match(r"[A-Za-z_ ]+$", fields[0]) is not None:
        return [_ALIASES.get(field.lower(), field.lower()) for field in fields], 1
    if len(fields) != len(_POSITIONS):
        raise DataError(
            f"{path} has {len(fields)} columns and no header, archive klines have {len(_POSITIONS)}: is it another?"
        )
    return list(_POSITIONS), 0


def _located(path: Path, names: Sequence[str], rows_to_skip: int, said: str) -> DataError:
    """Return the error of a CSV with the line, column and text of the first value that cannot be read."""
    with _csv_bytes(path) as file:
        rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", errors="replace"))
        for fields in rows:
            if rows.line_num <= rows_to_skip or not fields:
                continue
            place = f"{path}, line {rows.line_num}"
            if len(fields) != len(names):
                return DataError(f"{place}: {len(fields)} columns, the first line has {len(names)}: mend the file")
            for name, text in zip(names, fields, strict=True):
                kind = _TYPES.get(name, pa.string())
                pattern = _INTEGER if kind == pa.int64() else _NUMBER
                if kind != pa.string() and pattern.fullmatch(text.strip()) is None:
                    return DataError(f"{place}: {name} is {text[:40]!r}, a number was expected: mend the file")
    return DataError(f"{path} cannot be read: {said}")


def _times(column: Any, path: Path, name: str) -> Any:
    """Return a column of times (ns, UTC); whole numbers are milliseconds, or microseconds from 1e14 on."""
    if pa.types.is_timestamp(column.type):
        return column.cast(TIME)
    if not pa.types.is_integer(column.type):
        raise DataError(f"{path} has {name} as {column.type}: times are timestamps, milliseconds or microseconds")
    if column.null_count:
        raise DataError(f"{path} lacks values of {name}: every bar needs them, or leave the column out")
    stamps = column.cast(pa.int64()).to_numpy()
    wrong = stamps[(stamps < 10**11) | (stamps >= 10**16)]
    if len(wrong) > 0:
        raise DataError(f"{path} has {name} {wrong[0]}: times are milliseconds or microseconds since 1970")
    return pa.array(np.where(stamps < 10**14, stamps * 1_000_000, stamps * 1_000), TIME)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__
