"""Every column, recomputed with pandas from its description."""

import numpy as np
import pandas as pd
import pytest

from core.bars import Funding
from core.features import compute_features, feature_spec
from tests.unit.random_series import START_NS, random_bars

HOUR_NS = 3_600_000_000_000
SPEC = feature_spec("5m", "15m")
BARS = random_bars(3, 3 * 4_000)
FUNDING = Funding(
    START_NS + HOUR_NS * np.arange(7, 950, 8), 1e-4 * np.random.default_rng(4).standard_normal(len(range(7, 950, 8)))
)
CHECKED = 600
"""The last rows are compared: by then pandas' and our seeds of exponential means are forgotten."""


def decision_bars():
    frame = pd.DataFrame(BARS._asdict()).set_index(pd.to_datetime(BARS.ts_close, utc=True)).drop(columns="ts_close")
    return resample(frame, "15min")


def resample(frame, rule):
    how = {"open": "first", "high": "max", "low": "min", "close": "last"}
    how |= {name: "sum" for name in ("volume", "taker_buy") if name in frame}
    return frame.resample(rule, label="right", closed="right").agg(how)


def ewm(series, *, span=None, alpha=None, half_life=None):
    return series.ewm(span=span, alpha=alpha, halflife=half_life, adjust=False).mean()


def true_range(bars):
    before = bars.close.shift()
    return pd.concat([bars.high - bars.low, (bars.high - before).abs(), (bars.low - before).abs()], axis=1).max(axis=1)


def channel(bars, length):
    high, low = bars.high.rolling(length).max(), bars.low.rolling(length).min()
    return 2.0 * (bars.close - low) / (high - low) - 1.0


def wilder_rsi(close, length):
    gain = ewm(close.diff().clip(lower=0.0).fillna(0.0), alpha=1 / length)
    loss = ewm((-close.diff()).clip(lower=0.0).fillna(0.0), alpha=1 / length)
    return 100.0 - 100.0 / (1.0 + gain / loss)


def reference():
    bars = decision_bars()
    close, high, low = bars.close, bars.high, bars.low
    log = np.log(close)
    change = log.diff().fillna(0.0)
    variance = ewm(change**2, half_life=96)
    sigma = np.sqrt(variance)
    atr = ewm(true_range(bars), alpha=1 / 14)
    a_year = 365 * 96
    out = pd.DataFrame(index=bars.index)
    for n in (1, 2, 4, 8, 16, 32, 96):
        out[f"return_{n}"] = log.diff(n) / (sigma * np.sqrt(n))

    squares = {n: (change**2).rolling(n).mean() for n in (16, 96)}
    below = (change.clip(upper=0.0) ** 2).rolling(96).mean()
    parkinson = (np.log(high / low) ** 2).rolling(16).mean() / (4 * np.log(2))
    out["volatility_level"] = np.log(sigma * np.sqrt(a_year) / 0.5)
    out["volatility_fast_slow"] = np.log(ewm(change**2, half_life=8) / variance)
    out["parkinson_16"] = np.log(parkinson / variance)
    out["realised_16_96"] = np.log(squares[16] / squares[96])
    out["downside_share_96"] = 2.0 * below / squares[96] - 1.0
    out["volatility_rank"] = 2.0 * (squares[96].rolling(960).rank() - 1.0) / 959.0 - 1.0

    out["bar_range"] = np.log((high - low) / atr)
    out["bar_close_position"] = channel(bars, 1)
    body_low, body_high = bars[["open", "close"]].min(axis=1), bars[["open", "close"]].max(axis=1)
    out["bar_shadow_balance"] = ((body_low - low) - (high - body_high)) / (high - low)
    out["atr_level"] = np.log(atr / close * np.sqrt(a_year) / 0.5)
    for n in (20, 55, 96):
        out[f"donchian_{n}"] = channel(bars, n)

    for n, scale in ((8, 1.0), (21, 2.0), (55, 3.0), (200, 5.0)):
        out[f"ema_distance_{n}"] = (close - ewm(close, span=n)) / (scale * atr)
    out["ema_slope_21"] = ewm(close, span=21).diff(16) / (3.0 * atr)
    out["ema_slope_55"] = ewm(close, span=55).diff(16) / (2.0 * atr)
    macd = ewm(close, span=12) - ewm(close, span=26)
    out["macd_histogram"] = 4.0 * (macd - ewm(macd, span=9)) / atr
    up, down = high.diff(), -low.diff()
    plus = 100 * ewm(up.where((up > down) & (up > 0), 0.0), alpha=1 / 14) / atr
    minus = 100 * ewm(down.where((down > up) & (down > 0), 0.0), alpha=1 / 14) / atr
    adx = ewm((100 * (plus - minus).abs() / (plus + minus)).fillna(0.0), alpha=1 / 14)
    out["adx_14"] = 4.0 * (adx / 100 - 0.25)
    out["direction_14"] = 2.0 * (plus - minus) / (plus + minus)
    out["efficiency_32"] = log.diff(32).abs() / change.abs().rolling(32).sum()

    for n in (7, 14):
        out[f"rsi_{n}"] = (wilder_rsi(close, n) - 50.0) / 25.0
    out["stochastic_14"] = channel(bars, 14)
    middle, deviation = close.rolling(20).mean(), close.rolling(20).std(ddof=0)
    out["bollinger_position_20"] = (close - middle) / deviation
    out["bollinger_width_20"] = np.log(deviation / atr)

    normal = ewm(bars.volume, span=288)
    log_volume = np.log((bars.volume + 0.01 * normal) / (1.01 * normal))
    out["volume_fast"] = np.log(ewm(bars.volume, span=16) / normal)
    out["volume_slow"] = log_volume
    weighted = log_volume.ewm(span=96, adjust=False)
    out["volume_z"] = (log_volume - weighted.mean()) / weighted.std(bias=True)
    signed = np.sign(change) * bars.volume
    out["signed_volume_32"] = 4.0 * ewm(signed, span=32) / ewm(bars.volume, span=32)
    imbalance = 2.0 * bars.taker_buy / bars.volume - 1.0
    out["taker_imbalance"] = 4.0 * imbalance
    out["taker_imbalance_8"] = 8.0 * ewm(imbalance, span=8)
    out["taker_imbalance_32"] = 16.0 * ewm(imbalance, span=32)

    hours = bars.index.hour + bars.index.minute / 60.0
    week = ((bars.index.day_of_week - 3) * 24 + hours) / 168.0  # a week that begins on Thursday, as the epoch did
    out["hour_sin"], out["hour_cos"] = np.sin(hours * np.pi / 12), np.cos(hours * np.pi / 12)
    out["weekday_sin"], out["weekday_cos"] = np.sin(2 * np.pi * week), np.cos(2 * np.pi * week)
    funding = pd.Series(FUNDING.rate, pd.to_datetime(FUNDING.ts, utc=True))
    out["funding_rate"] = 1e4 * funding.reindex(bars.index, method="ffill")
    out["funding_mean"] = 1e4 * ewm(funding, span=9).reindex(bars.index, method="ffill")
    out["funding_due"] = 1.0 - (hours % 8) / 8

    for name, rule, length in (("x4", "1h", 4), ("x16", "4h", 16), ("x96", "1D", 96)):
        higher = resample(bars, rule)
        moves = higher.close.diff()
        known = pd.DataFrame(
            {
                "mean": higher.close.rolling(14).mean(),
                "atr": true_range(higher).rolling(14).mean(),
                "rsi": 2.0 * moves.rolling(14).sum() / moves.abs().rolling(14).sum(),
                "return": np.log(higher.close).diff(),
                "high": higher.high.rolling(14).max(),
                "low": higher.low.rolling(14).min(),
            }
        ).reindex(bars.index, method="ffill")  # a bar labelled with its close is known from its close on
        out[f"{name}_distance"] = (close - known["mean"]) / (2.0 * known["atr"])
        out[f"{name}_rsi"] = known["rsi"]
        out[f"{name}_return"] = known["return"] / (sigma * np.sqrt(length))
        out[f"{name}_position"] = 2.0 * (close - known["low"]) / (known["high"] - known["low"]) - 1.0
    return out.clip(-10.0, 10.0)


@pytest.fixture(scope="module")
def frame():
    return compute_features(BARS, FUNDING, SPEC)


@pytest.fixture(scope="module")
def expected():
    with np.errstate(divide="ignore", invalid="ignore"):  # the first rows, which are not compared
        return reference()


@pytest.mark.parametrize("column", SPEC.columns)
def test_a_column_equals_its_description(column, frame, expected) -> None:
    got = frame.features[-CHECKED:, SPEC.columns.index(column)]
    wanted = expected[column].to_numpy()[-CHECKED:]
    assert np.ptp(wanted) > 0.1, "a column that does not move shows nothing"
    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4)


def test_decision_bars_are_pandas_resampled_bars(frame) -> None:
    bars = decision_bars()
    np.testing.assert_array_equal(pd.to_datetime(frame.ts_close, utc=True), bars.index)
    np.testing.assert_array_equal(frame.close, bars.close)
    np.testing.assert_array_equal(BARS.ts_close[frame.last_base], frame.ts_close)


def test_the_market_context_is_in_its_units(frame) -> None:
    bars = decision_bars()
    atr = ewm(true_range(bars), alpha=1 / 14)
    volatility = np.sqrt(ewm(np.log(bars.close).diff().fillna(0.0) ** 2, half_life=96) * 365 * 96)
    np.testing.assert_allclose(frame.atr[-CHECKED:], atr[-CHECKED:], rtol=1e-9)
    np.testing.assert_allclose(frame.volatility[-CHECKED:], volatility[-CHECKED:], rtol=1e-4)
    realised = pd.Series(np.log(frame.close)).diff().pow(2).rolling(96).sum()
    rank = (realised.rolling(960).rank() - 1.0) / 959.0
    np.testing.assert_allclose(frame.volatility_rank[-CHECKED:], rank[-CHECKED:], atol=1e-12)
