"""Performance measures against an independent library, closed forms and brute force."""

import math

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from core import performance as perf
from core.fills import Fills

DAY_NS = 86_400_000_000_000
MINUTE_NS = 60_000_000_000
START = 19_723 * DAY_NS  # 2024-01-01T00:00Z

returns_lists = st.lists(st.floats(-0.2, 0.2, allow_subnormal=False), min_size=2, max_size=60)
equities = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0.01, 1e6, allow_subnormal=False))


def curve(equity, step_ns=DAY_NS, start=START):
    equity = np.asarray(equity, dtype=np.float64)
    return perf.EquityCurve(start + step_ns * np.arange(len(equity), dtype=np.int64), equity)


def from_returns(returns, base=10_000.0):
    return curve(base * np.cumprod(np.concatenate(([1.0], 1.0 + np.asarray(returns)))))


@given(returns_lists)
def test_ratios_equal_those_of_empyrical_on_the_same_daily_returns(returns):
    # empyrical's conventions with annualization=365: sharpe mean/std(ddof=1)*sqrt(365); sortino mean*365 over
    # sqrt(mean(min(r,0)^2))*sqrt(365); annual_return compounded over len/365 years; drawdown negative, on daily closes.
    account = from_returns(returns)
    series = pd.Series(perf.daily_returns(account)[1])
    assert np.allclose(series, returns, atol=1e-12)
    assert perf.total_return(account) == pytest.approx(empyrical.cum_returns_final(series), abs=1e-12)
    assert perf.annualised_return(account) == pytest.approx(
        empyrical.annual_return(series, annualization=365), rel=1e-9, abs=1e-9
    )
    assert perf.max_drawdown(account) == pytest.approx(-empyrical.max_drawdown(series), abs=1e-12)
    assert perf.annualised_volatility(account) == pytest.approx(
        empyrical.annual_volatility(series, annualization=365), rel=1e-9, abs=1e-12
    )
    if (sharpe := perf.sharpe(account)) is not None and series.std() > 1e-6:
        assert sharpe == pytest.approx(empyrical.sharpe_ratio(series, annualization=365), rel=1e-6, abs=1e-9)
    if (sortino := perf.sortino(account)) is not None and series.min() < -1e-6:
        assert sortino == pytest.approx(empyrical.sortino_ratio(series, annualization=365), rel=1e-6, abs=1e-9)
    if (calmar := perf.calmar(account)) is not None and perf.max_drawdown(account) > 1e-6:
        assert calmar == pytest.approx(empyrical.calmar_ratio(series, annualization=365), rel=1e-6)


def test_days_end_with_the_mark_at_utc_midnight_and_not_after_it():
    ts = START + DAY_NS // 2 * np.arange(5, dtype=np.int64)
    account = perf.EquityCurve(ts, np.array([100.0, 90.0, 110.0, 120.0, 121.0]))
    days, returns = perf.daily_returns(account)
    assert days.tolist() == [19_723, 19_724]
    assert returns == pytest.approx([0.10, 0.10])


def test_a_day_without_marks_returns_zero_and_a_part_of_a_day_counts():
    ts = START + np.array([DAY_NS // 2, DAY_NS, 3 * DAY_NS + 1], dtype=np.int64)
    days, returns = perf.daily_returns(perf.EquityCurve(ts, np.array([100.0, 110.0, 121.0])))
    assert days.tolist() == [19_723, 19_724, 19_725, 19_726]
    assert returns == pytest.approx([0.10, 0.0, 0.0, 0.10])


def test_annualised_return_of_a_doubling_in_half_a_year_is_three():
    account = perf.EquityCurve(START + np.array([0, int(182.5 * DAY_NS)]), np.array([1.0, 2.0]))
    assert perf.annualised_return(account) == pytest.approx(3.0)


def test_sharpe_of_alternating_returns_has_its_closed_form():
    account = from_returns([0.03, -0.01] * 50)
    deviation = 0.02 * math.sqrt(100 / 99)
    assert perf.sharpe(account) == pytest.approx(0.01 / deviation * math.sqrt(365))
    assert perf.sortino(account) == pytest.approx(0.01 / (0.01 / math.sqrt(2)) * math.sqrt(365))


def test_error_of_the_sharpe_ratio_is_its_spread_over_many_samples():
    samples = np.random.default_rng(7).normal(0.002, 0.02, (400, 200))
    ratios = [perf.sharpe(from_returns(sample)) for sample in samples]
    errors = [perf.sharpe_error(from_returns(sample)) for sample in samples]
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.1)


def test_months_compound_to_the_total_return():
    account = from_returns(np.linspace(-0.02, 0.025, 100))
    months = perf.monthly_returns(account)
    assert list(months) == [(2024, 1), (2024, 2), (2024, 3), (2024, 4)]
    assert np.prod([1.0 + r for r in months.values()]) - 1.0 == pytest.approx(perf.total_return(account))
    assert months[2024, 2] == pytest.approx(account.equity[60] / account.equity[31] - 1.0)


@given(equities)
def test_max_drawdown_equals_the_search_over_all_pairs(equity):
    brute = max(0.0, *(1.0 - equity[j] / equity[i] for i in range(len(equity)) for j in range(i, len(equity))))
    assert perf.max_drawdown(curve(equity)) == pytest.approx(brute, abs=1e-12)


@given(equities)
def test_drawdown_stays_between_zero_and_one(equity):
    falls = perf.drawdowns(curve(equity, MINUTE_NS))
    assert np.all((falls >= 0.0) & (falls <= 1.0))


@given(returns_lists, st.sampled_from([0.25, 2.0, 1024.0]))
def test_measures_do_not_depend_on_the_size_of_the_account(returns, scale):
    small, large = from_returns(returns), from_returns(returns, 10_000.0 * scale)
    for measure in (perf.total_return, perf.annualised_return, perf.sharpe, perf.sortino, perf.max_drawdown):
        assert measure(small) == measure(large)


@pytest.mark.parametrize("equity", [[], [100.0], [100.0, 100.0, 100.0]])
def test_what_is_undefined_is_none_and_never_nan(equity):
    account = curve(equity)
    assert perf.sharpe(account) is None
    assert perf.sortino(account) is None
    assert perf.calmar(account) is None
    assert perf.max_drawdown(account) == 0.0
    assert perf.total_return(account) in (None, 0.0)


def test_less_than_a_day_has_no_annualised_return():
    assert perf.annualised_return(curve([100.0, 150.0], MINUTE_NS)) is None


def test_a_ruined_account_stays_ruined():
    account = curve([100.0, 50.0, -10.0, 40.0])
    assert perf.daily_returns(account)[1].tolist() == [-0.5, -1.0, 0.0]
    assert perf.max_drawdown(account) == 1.0
    assert perf.annualised_return(curve([100.0, 50.0, -10.0])) == -1.0


@pytest.mark.parametrize(
    ("ts", "equity", "message"),
    [([0, 1], [1.0], "shape"), ([1, 0], [1.0, 1.0], "goes back"), ([0, 1], [1.0, math.nan], "not finite")],
)
def test_a_curve_that_cannot_be_is_refused(ts, equity, message):
    with pytest.raises(ValueError, match=message):
        perf.EquityCurve(np.array(ts, dtype=np.int64), np.array(equity))


def test_exposure_is_weighted_by_the_time_it_was_held():
    ts = np.array([0, 10, 40], dtype=np.int64)
    assert perf.mean_exposure(ts, np.array([0.4, -0.2, 9.0])) == pytest.approx((0.4 * 10 + 0.2 * 30) / 40)
    assert perf.mean_exposure(ts[:1], np.array([0.4])) is None


def test_turnover_counts_both_sides():
    ts = START + MINUTE_NS * np.arange(2, dtype=np.int64)
    price = np.array([100.0, 100.0])
    table = Fills(ts, "BB", np.array([1.0, -1.0]), price, np.zeros(2), price)
    assert perf.turnover(table, curve([50.0, 150.0])) == pytest.approx(2.0)
    assert perf.turnover(table, curve([])) is None
