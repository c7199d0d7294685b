"""Probabilistic and deflated Sharpe ratios against the papers' examples, simulation and closed forms."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from core.overfitting import (
    Track,
    deflated_sharpe,
    expected_max_sharpe,
    minimum_track_record,
    probabilistic_sharpe,
    track,
)

DAYS = 250  # the papers' year


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "benchmark", "expected"),
    [
        (100, -3.0, 10.0, 0.1132, 0.9004),
        (46, -3.0, 10.0, 0.1004, 0.9505),
        (88, 0.0, 3.0, 0.1111, 0.9505),  # "had the returns been normal": 88 trials at the same confidence
    ],
)
def test_deflated_sharpe_reproduces_the_papers_numerical_example(trials, skewness, kurtosis, benchmark, expected):
    # Bailey and Lopez de Prado (2014): annualised 2.5 over five years of days, variance of the trials 1/2 annualised
    record = Track(2.5 / math.sqrt(DAYS), 1250, skewness, kurtosis)
    assert expected_max_sharpe(trials=trials, variance=0.5 / DAYS) == pytest.approx(benchmark, abs=6e-5)
    assert deflated_sharpe(record, trials=trials, variance=0.5 / DAYS) == pytest.approx(expected, abs=6e-5)


def test_probabilistic_sharpe_reproduces_the_papers_hedge_fund():
    # Bailey and Lopez de Prado (2012): two years of months, 0.458 a month
    assert probabilistic_sharpe(Track(0.458, 24)) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(Track(0.458, 24, -2.448, 10.164)) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("periods_a_year", "skewness", "kurtosis", "years"),
    [(250, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_minimum_track_record_reproduces_the_papers_years(periods_a_year, skewness, kurtosis, years):
    # Bailey and Lopez de Prado (2012): an annualised 2 to be above 1 at 95 %
    record = Track(2.0 / math.sqrt(periods_a_year), 100, skewness, kurtosis)
    least = minimum_track_record(record, benchmark=1.0 / math.sqrt(periods_a_year), confidence=0.95)
    assert least / periods_a_year == pytest.approx(years, abs=0.005)


@given(st.floats(0.01, 0.5), st.floats(-0.5, 0.5), st.floats(-2.0, 2.0), st.floats(0.0, 5.0), st.floats(0.6, 0.999))
def test_a_record_of_the_minimum_length_reaches_just_the_confidence(excess, benchmark, skewness, more, confidence):
    record = Track(benchmark + excess, 100, skewness, 1.0 + skewness**2 + 0.1 + more)
    least = minimum_track_record(record, benchmark=benchmark, confidence=confidence)
    assert least is not None
    reached = probabilistic_sharpe(record._replace(periods=least), benchmark=benchmark) if least >= 2 else confidence
    assert reached == pytest.approx(confidence, abs=1e-9)


def test_no_length_is_enough_for_a_record_at_or_below_the_benchmark():
    assert minimum_track_record(Track(0.1, 100), benchmark=0.1) is None
    assert minimum_track_record(Track(-0.1, 100)) is None


@pytest.mark.parametrize("trials", [2, 10, 100, 1000])
def test_expected_maximum_equals_the_mean_maximum_of_simulated_trials(trials):
    best = np.random.default_rng(trials).normal(0.0, 0.3, (4000, trials)).max(axis=1)
    # the theorem is an asymptotic expansion: 3 % from N = 10 on, and 0.10 of a deviation at N = 2
    expected = expected_max_sharpe(trials=trials, variance=0.09)
    assert expected == pytest.approx(best.mean(), abs=max(0.03 * best.mean(), 0.03 if trials == 2 else 0.0))


def test_one_trial_has_nothing_to_deflate_and_more_trials_deflate_more():
    record = Track(0.1, 500, -1.0, 6.0)
    assert expected_max_sharpe(trials=1, variance=0.01) == 0.0
    assert deflated_sharpe(record, trials=1, variance=0.01) == probabilistic_sharpe(record)
    found = [deflated_sharpe(record, trials=trials, variance=0.01) for trials in (1, 2, 3, 10, 100, 10_000)]
    assert found == sorted(found, reverse=True)
    assert deflated_sharpe(record, trials=100, variance=0.0) == probabilistic_sharpe(record)


def test_a_track_equals_scipys_moments():
    returns = np.random.default_rng(5).gamma(2.0, 0.01, 300) - 0.018
    found = track(returns)
    assert found == pytest.approx(
        (returns.mean() / returns.std(ddof=1), 300, scipy.stats.skew(returns), scipy.stats.kurtosis(returns) + 3.0)
    )


def test_probabilistic_sharpe_is_the_share_of_samples_that_a_true_benchmark_leaves_below():
    # if the truth is the benchmark itself, the probability must be uniform over samples
    rng = np.random.default_rng(11)
    samples = 0.01 * rng.standard_normal((3000, 400)) + 0.001
    found = np.array([probabilistic_sharpe(track(sample), benchmark=0.1) for sample in samples])
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01


def test_returns_that_show_nothing_have_no_track():
    assert track(np.empty(0)) is None
    assert track(np.array([0.01])) is None
    assert track(np.full(100, 0.003)) is None
    with pytest.raises(ValueError, match=r"the return at \[1\] is nan; a day without a figure returns 0"):
        track(np.array([0.1, math.nan]))


def test_two_valued_returns_leave_certainty_and_not_a_division_by_zero():
    # kurtosis 1 + skewness**2 and Sharpe ratio 2 / skewness: the estimate's variance is zero
    assert probabilistic_sharpe(Track(1.0, 10, 2.0, 5.0)) == 1.0
    assert probabilistic_sharpe(Track(1.0, 10, 2.0, 5.0), benchmark=1.0) == 0.5
    assert probabilistic_sharpe(Track(1.0, 10, 2.0, 5.0), benchmark=1.1) == 0.0


@pytest.mark.parametrize(
    ("trials", "variance", "message"),
    [
        (0, 0.1, "trials is 0, below the limit 1"),
        (5, -0.1, "variance is -0.1; give one that is finite and not negative"),
        (5, math.nan, "variance is nan"),
        (5, math.inf, "variance is inf"),
    ],
)
def test_trials_that_cannot_be_are_refused(trials, variance, message):
    with pytest.raises(ValueError, match=message):
        expected_max_sharpe(trials=trials, variance=variance)


def test_an_excess_kurtosis_given_as_kurtosis_is_refused_where_it_cannot_be_one():
    with pytest.raises(ValueError, match="kurtosis 1 is below the limit 10 that skewness -3 sets; give the kurtosis"):
        probabilistic_sharpe(Track(-4.0, 100, -3.0, 1.0))
    with pytest.raises(ValueError, match="is no track record"):
        probabilistic_sharpe(Track(math.nan, 100))
    with pytest.raises(ValueError, match="is no track record"):
        probabilistic_sharpe(Track(0.1, 1))
