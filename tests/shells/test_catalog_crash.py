"""A writer that dies at any step leaves a catalog that reads whole, and the next import puts it right."""

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from nautilus_trader.persistence import ParquetDataCatalog

from adapters.catalog import data_hash, list_series, read_bars, write_bars, write_instruments
from adapters.instruments import default_instruments
from adapters.klines import kline_table
from core.bars import bar_type

BTC = "BTCUSDT-PERP.BINANCE"
MINUTE = 60_000_000_000
START = int(np.datetime64("2023-12-31T23:00", "ns").astype(np.int64))


class Killed(BaseException):
    """Stands for the end of the process."""


def klines(first, last, *, plus=0.0):
    index = np.arange(first, last)
    close = 40_000.0 + index + plus
    return kline_table(
        open_time=START + MINUTE * index, open=close, high=close + 1, low=close - 1, close=close,
        volume=np.ones(len(index)),
    )  # fmt: skip


def new_catalog(path):
    write_instruments(path, default_instruments(market="um"))
    return path


def files(catalog):
    return sorted(p.relative_to(catalog) for p in catalog.rglob("*") if p.is_file())


def state(catalog):
    """What every reader sees: rows of the engine, rows of ours, and the content."""
    series = [s for s in list_series(catalog) if s.kind == "bars"]
    if not series:
        return 0
    bars = read_bars(catalog, BTC, "1m")
    seen = ParquetDataCatalog(str(catalog)).query_bars([bar_type(BTC, "1m")])
    assert [bar.ts_init for bar in seen] == bars.ts_close.tolist()
    assert (np.diff(bars.ts_close) > 0).all()
    assert (series[0].rows, series[0].first_ns, series[0].last_ns) == (
        len(seen), bars.ts_close[0], bars.ts_close[-1],
    )  # fmt: skip
    return len(seen)


def die_at(monkeypatch, step):
    """Let the writer die just before its ``step``-th file operation; return how many it did, as a list."""
    done = []

    def counted(operation):
        def call(*args, **kwargs):
            if len(done) == step:
                raise Killed
            done.append(operation.__name__)
            return operation(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "fsync", counted(os.fsync))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(Path, "replace", counted(Path.replace))
    return done


# Parts before the import, bars imported: a new catalog; a month that grows at its end, its start, both; a month that
# is corrected in place; two months at once.
CASES = {
    "new": ([], (0, 120)),
    "grows at its end": ([(60, 90)], (60, 120)),
    "grows at its start": ([(90, 120)], (60, 120)),
    "grows around": ([(80, 90)], (60, 120)),
    "two months": ([(30, 60), (60, 90)], (0, 120)),
    "next to it": ([(60, 70)], (70, 120)),
}


@pytest.mark.parametrize("case", CASES)
def test_death_at_any_step_is_healed_by_the_next_import(case, tmp_path, monkeypatch):
    before, (first, last) = CASES[case]
    clean = new_catalog(tmp_path / "clean")
    write_bars(clean, BTC, "1m", [klines(*span) for span in before] + [klines(first, last)])
    rows_before = sum(b - a for a, b in before)
    rows_after = state(clean)
    step = 0
    while True:
        catalog = new_catalog(tmp_path / f"step-{step}")
        write_bars(catalog, BTC, "1m", [klines(*span) for span in before])
        with monkeypatch.context() as patched:
            done = die_at(patched, step)
            try:
                write_bars(catalog, BTC, "1m", [klines(first, last)])
            except Killed:
                died = True
            else:
                died = False
        assert rows_before <= state(catalog) <= rows_after
        write_bars(catalog, BTC, "1m", [klines(first, last)])
        assert state(catalog) == rows_after
        assert files(catalog) == files(clean)
        hashes = [data_hash(c, [BTC], "1m", start_ns=None, end_ns=None) for c in (catalog, clean)]
        assert hashes[0] == hashes[1]
        if not died:
            break
        step += 1
    assert len(done) == step >= 3


def test_a_corrected_month_is_seen_old_or_new_never_mixed(tmp_path, monkeypatch):
    for step in range(4):
        catalog = new_catalog(tmp_path / f"step-{step}")
        write_bars(catalog, BTC, "1m", [klines(60, 120)])
        with monkeypatch.context() as patched:
            die_at(patched, step)
            with contextlib.suppress(Killed):
                write_bars(catalog, BTC, "1m", [klines(60, 120, plus=0.5)])
        fractions = read_bars(catalog, BTC, "1m").close % 1
        assert set(fractions.tolist()) in ({0.0}, {0.5})


def test_a_reader_passes_over_the_hidden_file_of_a_dead_writer_and_the_next_removes_it(tmp_path):
    catalog = new_catalog(tmp_path)
    write_bars(catalog, BTC, "1m", [klines(60, 90)])
    directory = catalog / "data" / "bars" / bar_type(BTC, "1m")
    (directory / ".x.parquet.partial").write_bytes(b"half")
    assert state(catalog) == 30
    write_bars(catalog, BTC, "1m", [klines(60, 91)])
    assert state(catalog) == 31
    assert not list(directory.glob(".*"))
