"""Regimes: a plain recomputation, no look ahead, and days that are all counted once."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.regimes import REGIMES, UNKNOWN, daily_closes, regimes, split, worst_sharpe

DAY_NS = 86_400_000_000_000


def path(days, seed):
    """Closes whose volatility and drift change every 40 days."""
    rng = np.random.default_rng(seed)
    spans = days // 40 + 1
    drift = np.repeat(rng.choice([-0.01, 0.0, 0.01], spans), 40)[:days]
    width = np.repeat(rng.choice([0.005, 0.02], spans), 40)[:days]
    return 100.0 * np.exp(np.cumsum(rng.normal(drift, width)))


def slow(closes, day):
    """The regime of one day, from the closes before it and nothing else."""
    known = [math.log(close) for close in closes[:day]]
    efficiency, volatility = [], []
    for end in range(30, len(known)):
        steps = [after - before for before, after in zip(known[end - 30 : end], known[end - 29 : end + 1], strict=True)]
        efficiency.append(abs(known[end] - known[end - 30]) / sum(map(abs, steps)))
        volatility.append(statistics.pstdev(steps))
    if len(efficiency) < 30:
        return "unknown"
    trend = "trend" if efficiency[-1] > statistics.median(efficiency) else "range"
    high = "high" if volatility[-1] > statistics.median(volatility) else "low"
    return f"{trend}, {high} volatility"


def test_every_label_equals_a_plain_recomputation_from_the_days_before():
    closes = path(180, 1)
    names = [REGIMES[label] if label != UNKNOWN else "unknown" for label in regimes(closes)]
    assert names == [slow(closes, day) for day in range(180)]
    assert names.count("unknown") == 60
    assert set(names) == {*REGIMES, "unknown"}


@given(st.integers(0, 199), st.floats(0.1, 10.0), st.integers(0, 50))
def test_no_label_changes_when_its_own_day_and_the_future_do(day, factor, seed):
    closes = path(200, seed)
    changed = closes.copy()
    changed[day:] *= factor * np.random.default_rng(seed).uniform(0.5, 2.0, 200 - day)
    assert np.array_equal(regimes(closes)[: day + 1], regimes(changed)[: day + 1])


def test_a_steady_climb_after_noise_is_a_trend_of_low_volatility_and_a_storm_is_a_range_of_high():
    rng = np.random.default_rng(2)
    noise = rng.normal(0.0, 0.01, 200)
    climb = regimes(np.exp(np.cumsum(np.concatenate((noise, np.full(40, 0.002))))))
    assert {REGIMES[label] for label in climb[-5:]} == {"trend, low volatility"}
    storm = regimes(np.exp(np.cumsum(np.concatenate((noise, np.tile([0.05, -0.05], 20))))))
    assert {REGIMES[label] for label in storm[-5:]} == {"range, high volatility"}


def test_several_instruments_count_as_their_geometric_mean_and_units_do_not_matter():
    first, second = path(150, 3), path(150, 4)
    both = regimes(np.column_stack((first, second)))
    assert np.array_equal(both, regimes(np.sqrt(first * second)))
    assert np.array_equal(both, regimes(np.column_stack((first * 1024.0, second / 512.0))))


@pytest.mark.parametrize("days", [0, 1, 30, 60])
def test_too_short_a_history_is_unknown_and_does_not_fail(days):
    assert regimes(np.full(days, 7.0)).tolist() == [UNKNOWN] * days


def test_prices_that_never_move_are_a_range_of_low_volatility():
    assert set(regimes(np.full(100, 7.0))[60:].tolist()) == {REGIMES.index("range, low volatility")}


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_close_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="a daily close is not positive and finite"):
        regimes(np.array([1.0, bad, 1.0]))


def test_daily_closes_are_the_last_at_or_before_midnight_and_survive_an_outage():
    half = DAY_NS // 2
    ts = np.array([half, 2 * half, 3 * half, 9 * half, 10 * half], dtype=np.int64)
    days, closes = daily_closes(ts, np.array([1.0, 2.0, 3.0, 9.0, 10.0]))
    assert days.tolist() == [0, 1, 2, 3, 4]
    assert closes.tolist() == [2.0, 3.0, 3.0, 3.0, 10.0]
    assert [len(part) for part in daily_closes(ts[:0], closes[:0])] == [0, 0]


@given(st.integers(0, 1000))
def test_every_day_is_in_one_row_and_the_rows_compound_to_the_whole(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(UNKNOWN, 4, 90)
    days = np.sort(rng.choice(120, 70, replace=False)) + 1000
    returns = rng.normal(0.001, 0.02, 70)
    rows = split(days, returns, label_days=1000 + np.arange(90), labels=labels)
    assert sum(row.days for row in rows) == 70
    assert math.prod(1.0 + row.total_return for row in rows) == pytest.approx(np.prod(1.0 + returns))
    known = {1000 + day: REGIMES[label] for day, label in enumerate(labels) if label != UNKNOWN}
    for row in rows:
        own = returns[[known.get(day, "unknown") == row.regime for day in days.tolist()]]
        assert row.days == len(own)
        if len(own) > 1:
            assert row.sharpe == pytest.approx(own.mean() / own.std(ddof=1) * math.sqrt(365))


def test_the_worst_regime_is_of_those_that_are_known_and_have_enough_days():
    rng = np.random.default_rng(7)
    labels = np.repeat([UNKNOWN, 0, 1, 2], [40, 40, 40, 10])
    returns = rng.normal(np.repeat([-0.02, 0.003, 0.001, -0.02], [40, 40, 40, 10]), 0.01)
    rows = split(np.arange(130), returns, label_days=np.arange(130), labels=labels)
    sharpes = {row.regime: row.sharpe for row in rows}
    assert worst_sharpe(rows) == min(sharpes[REGIMES[0]], sharpes[REGIMES[1]])
    assert worst_sharpe(rows, fewest_days=10) == sharpes[REGIMES[2]]
    assert worst_sharpe(rows, fewest_days=1000) is None
    idle = split(np.arange(40), np.zeros(40), label_days=np.arange(40), labels=np.zeros(40, dtype=np.int64))
    assert worst_sharpe(idle) is None
