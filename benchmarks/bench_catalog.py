"""The catalog: imports from Parquet and from archive files of a year of synthetic minutes."""

import statistics
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from adapters.binance_history import ImportRequest, import_files
from adapters.sample import synthetic_bars
from benchmarks.__main__ import Row, main

DAYS = 365
RUNS = 3
START_NS = 1_672_531_200_000_000_000  # 2023-01-01
_CSV = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades", "taker_buy_base",
    "taker_buy_quote", "ignore",
)  # fmt: skip


def _write_archive(klines: Any, folder: Path) -> list[Path]:
    """Write klines as the venue's monthly files: a header, milliseconds, one CSV a ZIP."""
    opened = pc.cast(klines["open_time"], pa.timestamp("ms", "UTC"))
    months = np.asarray(pc.strftime(opened, "%Y-%m"))
    millis = pc.cast(opened, pa.int64())
    times = {"open_time": millis, "close_time": pc.add(millis, 59_999), "ignore": pc.multiply(millis, 0)}
    table = pa.table({name: times[name] if name in times else klines[name] for name in _CSV})
    paths = []
    for month in np.unique(months):
        name = f"BTCUSDT-1m-{month}"
        sink = pa.BufferOutputStream()
        pa_csv.write_csv(table.filter(pa.array(months == month)), sink)
        path = folder / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.csv", bytes(sink.getvalue()))
        paths.append(path)
    return paths


def _rate(paths: list[Path], folder: Path) -> float:
    """Return bars a second of an import into an empty catalog, the median of several."""
    rates = []
    for run in range(RUNS):
        catalog = folder / f"catalog-{paths[0].suffix}-{run}"
        report = import_files(ImportRequest(paths, catalog, "BTCUSDT", interval="1m"))
        rates.append(report.bars_per_second)
    return statistics.median(rates)


def rows() -> list[Row]:
    """Measure both imports."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        klines = synthetic_bars(seed=3, start_ns=START_NS, bars=DAYS * 1440, interval="1m", price=30_000.0)
        parquet = folder / "klines.parquet"
        pq.write_table(klines, parquet)
        archive = _write_archive(klines, folder)
        return [
            {"row": "import from Parquet", "value": _rate([parquet], folder), "unit": "bars/s", "goal": ">= 1000000"},
            {"row": "import from archive ZIP", "value": _rate(archive, folder), "unit": "bars/s", "goal": ">= 300000"},
        ]


if __name__ == "__main__":
    sys.exit(main(["catalog"]))
