"""The synthetic market looks like a market, is the same everywhere, and is no gift."""

import hashlib
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from adapters.catalog import list_series, read_bars, read_funding
from adapters.instruments import read_instrument
from adapters.klines import KLINE_SCHEMA, floats, times_ns
from adapters.sample import SAMPLE_INSTRUMENT, synthetic_bars, synthetic_funding, write_sample
from core.bars import DAY_NS, interval_ns
from core.features import compute_features, feature_spec

DAYS = 120
PRICES = ("open", "high", "low", "close")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def klines():
    return synthetic_bars(seed=5, bars=1_440 * DAYS)


def autocorrelation(values, lag):
    return np.corrcoef(values[:-lag], values[lag:])[0, 1]


def log_returns(close):
    return np.diff(np.log(close))


def sha256(table):
    digest = hashlib.sha256()
    for name in table.column_names:
        column = times_ns(table[name]) if "time" in name else floats(table[name])
        digest.update(column.tobytes())
    return digest.hexdigest()


def test_a_seed_gives_the_same_market_in_every_process() -> None:
    here = sha256(synthetic_bars(seed=3, bars=2_000))
    program = (
        "from adapters.sample import synthetic_bars\n"
        "from tests.unit.test_sample import sha256\n"
        "print(sha256(synthetic_bars(seed=3, bars=2_000)))"
    )
    there = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here
    assert sha256(synthetic_bars(seed=4, bars=2_000)) != here


def test_bars_are_klines_on_the_grid_of_time_tick_and_lot(klines) -> None:
    assert klines.schema == KLINE_SCHEMA
    assert not any(column.null_count for column in klines.columns)
    assert (np.diff(times_ns(klines["open_time"])) == interval_ns("1m")).all()
    assert (times_ns(klines["close_time"]) == times_ns(klines["open_time"]) + interval_ns("1m") - 1_000_000).all()
    for name, step in [*((name, SAMPLE_INSTRUMENT.tick) for name in PRICES), ("volume", SAMPLE_INSTRUMENT.lot)]:
        for value in floats(klines[name])[::997]:
            assert Decimal(repr(float(value))) % step == 0


def test_bars_are_consistent(klines) -> None:
    open_, high, low, close, volume, taker, taker_quote, quote = (
        floats(klines[name]) for name in (*PRICES, "volume", "taker_buy_base", "taker_buy_quote", "quote_volume")
    )
    assert (low > 0.0).all()
    assert (low <= np.minimum(open_, close)).all()
    assert (high >= np.maximum(open_, close)).all()
    np.testing.assert_array_equal(open_[1:], close[:-1])
    assert (taker >= 0.0).all()
    assert (taker <= volume).all()
    assert (taker_quote <= quote).all()
    mean_price = quote[volume > 0] / volume[volume > 0]
    assert (mean_price <= high[volume > 0] * (1 + 1e-12)).all()
    assert (mean_price >= low[volume > 0] * (1 - 1e-12)).all()


def test_returns_have_fat_tails_and_clustered_volatility(klines) -> None:
    returns = log_returns(floats(klines["close"]))
    quarters = log_returns(floats(klines["close"])[14::15])
    for values in (returns, quarters):
        centred = values - values.mean()
        assert (centred**4).mean() / (centred**2).mean() ** 2 > 4.0
    for lag in (1, 60, 1_440):
        assert autocorrelation(np.abs(returns), lag) > 0.05
    assert 0.3 < returns.std() * np.sqrt(365 * 1_440) < 0.9


def test_volume_follows_the_size_of_a_return_and_takers_its_sign(klines) -> None:
    change = np.log(floats(klines["close"]) / floats(klines["open"]))
    volume, taker = floats(klines["volume"]), floats(klines["taker_buy_base"])
    traded = volume > 0
    assert np.corrcoef(np.abs(change), np.log(volume + 0.001))[0, 1] > 0.3
    assert np.corrcoef(change[traded], taker[traded] / volume[traded])[0, 1] > 0.2


def test_the_market_is_no_gift() -> None:
    """No drift over seeds beyond chance, and no autocorrelation that a fee would leave standing."""
    totals, lags = [], []
    for seed in range(20):
        close = floats(synthetic_bars(seed=seed, bars=96 * 60, interval="15m")["close"])
        totals.append(np.log(close[-1] / close[0]))
        lags.append(autocorrelation(log_returns(close), 1))
    assert abs(np.mean(totals)) < 2.5 * np.std(totals, ddof=1) / np.sqrt(len(totals))
    assert abs(np.mean(lags)) < 0.03


def test_funding_settles_every_eight_hours_after_the_price(klines) -> None:
    funding = synthetic_funding(klines, seed=5)
    settled = times_ns(funding["ts"])
    rate = np.array(funding["rate"].to_pylist(), dtype=np.float64)
    assert len(settled) == 3 * DAYS
    assert (settled % (DAY_NS // 3) == 0).all()
    assert np.abs(rate).max() <= 3e-3
    close = floats(klines["close"])[479::480]
    assert np.corrcoef(np.log(close[3:] / close[:-3]), rate[3:])[0, 1] > 0.5


def test_a_sample_is_a_whole_catalog_that_calls_itself_synthetic(tmp_path) -> None:
    name = write_sample(tmp_path, seed=1, days=35)
    assert name == "SYNTHBTCUSDT-PERP.BINANCE"
    assert read_instrument(tmp_path, name) == SAMPLE_INSTRUMENT
    assert [(s.kind, s.instrument_id, s.rows) for s in list_series(tmp_path)] == [
        ("bars", name, 35 * 1_440),
        ("funding", name, 35 * 3),
    ]
    klines = synthetic_bars(seed=1, bars=35 * 1_440)
    bars = read_bars(tmp_path, name, "1m")
    for column in (*PRICES, "volume"):
        np.testing.assert_array_equal(getattr(bars, column), floats(klines[column]))
    frame = compute_features(bars, read_funding(tmp_path, name), feature_spec())
    assert frame.ready.sum() == 35 * 96 - feature_spec().warmup_bars
    assert frame.features[:, frame.features.any(axis=0)].shape[1] == 59
