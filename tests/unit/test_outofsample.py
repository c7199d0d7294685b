"""Out of sample over folds: one account, against the same account recomputed in one go."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import outofsample as oos
from core import performance as perf
from core.fills import Fills
from core.overfitting import deflated_sharpe, expected_max_sharpe, probability_of_overfitting, track

DAY_NS = 86_400_000_000_000
FIRST = 19_723  # 2024-01-01

daily = st.lists(st.floats(-0.2, 0.2, allow_subnormal=False), min_size=1, max_size=12)


def account(returns, *, first=FIRST, base=10_000.0):
    """Marks at midnights of an account that starts at ``base``."""
    equity = base * np.cumprod(np.concatenate(([1.0], 1.0 + np.asarray(returns, dtype=np.float64))))
    return perf.EquityCurve((first + np.arange(len(equity), dtype=np.int64)) * DAY_NS, equity)


def folds_of(parts):
    first, curves = FIRST, []
    for part in parts:
        curves.append(account(part, first=first))
        first += len(part)
    return curves


def fills(rows, start=FIRST * DAY_NS):
    """Fills of (quantity, price, commission), an hour apart."""
    quantity, price, commission = np.array(rows, dtype=np.float64).T
    ts = start + 3_600_000_000_000 * np.arange(len(rows), dtype=np.int64)
    return Fills(ts, ["X"] * len(rows), quantity, price, commission, price)


NONE = Fills(np.empty(0, dtype=np.int64), [], *(np.empty(0) for _ in range(4)))


@given(st.lists(daily, min_size=1, max_size=5))
def test_stitched_folds_are_the_account_that_went_through_all_of_them(parts):
    whole = account([each for part in parts for each in part], base=1.0)
    joined = oos.stitched(folds_of(parts))
    assert joined.equity[0] == 1.0
    days, returns = perf.daily_returns(joined)
    assert days.tolist() == perf.daily_returns(whole)[0].tolist()
    assert np.allclose(returns, perf.daily_returns(whole)[1], atol=1e-12)
    assert perf.total_return(joined) == pytest.approx(perf.total_return(whole), abs=1e-12)
    assert perf.max_drawdown(joined) == pytest.approx(perf.max_drawdown(whole), abs=1e-12)


def test_a_drawdown_over_a_fold_border_is_seen_whole():
    joined = oos.stitched(folds_of([[0.1, -0.1], [-0.1, 0.3]]))
    assert perf.max_drawdown(joined) == pytest.approx(1.0 - 0.9 * 0.9)


def test_a_ruined_account_stays_ruined_whatever_later_folds_earn():
    joined = oos.stitched(folds_of([[-1.0], [0.5, 0.5]]))
    assert perf.total_return(joined) == -1.0


def test_curves_that_overlap_are_empty_or_start_at_nothing_are_refused():
    first = account([0.1, 0.1])
    with pytest.raises(ValueError, match="ts goes back at mark 3"):
        oos.stitched([first, account([0.1], first=FIRST + 1)])
    with pytest.raises(ValueError, match="there is no curve to stitch"):
        oos.stitched([])
    for bad in (perf.EquityCurve(first.ts[:0], first.equity[:0]), account([0.1], base=0.0)):
        with pytest.raises(ValueError, match="the curve of fold 2 does not start above zero"):
            oos.stitched([first, bad])


@given(daily)
def test_a_row_starts_at_one_and_has_a_point_a_day(returns):
    row = oos.curve_row("x", "seed", account(returns))
    assert row.days == tuple(range(FIRST - 1, FIRST + len(returns)))
    assert np.allclose(row.equity, np.cumprod([1.0, *(1.0 + each for each in returns)]))
    again = perf.daily_returns(oos.compounded(np.array(returns), first_day=FIRST))
    assert again[0].tolist() == list(row.days[1:])
    assert np.allclose(again[1], returns, atol=1e-12)


def test_a_curve_without_time_has_an_empty_row():
    row = oos.curve_row("x", "baseline", account([]))
    assert (row.days, row.equity) == ((), ())


def test_a_panel_has_every_day_of_any_curve_and_zero_where_one_was_not_traded():
    days, table = oos.panel([account([0.1, 0.2]), account([0.3], first=FIRST + 3)])
    assert days.tolist() == [FIRST, FIRST + 1, FIRST + 3]
    assert np.allclose(table, [[0.1, 0.0], [0.2, 0.0], [0.0, 0.3]])
    assert [part.shape for part in oos.panel([])] == [(0,), (0, 0)]


def test_figures_of_two_folds_equal_those_counted_by_hand():
    # fold 1: long 2 from 100 to 110, fees 1 and 1; profit 18
    # fold 2: short 1 from 50 to 60, fees 0.5 and 0.5, then long 1 from 60 to 66; with funding of -4 the account loses 9
    first = oos.Run(account([0.0018, 0.0]), fills([(2, 100, 1), (-2, 110, 1)]))
    second_fills = fills([(-1, 50, 0.5), (1, 60, 0.5), (1, 60, 0), (-1, 66, 0)], start=(FIRST + 2) * DAY_NS)
    second = oos.Run(account([-0.0009, 0.0], first=FIRST + 2), second_fills)
    found = oos.figures([first, second])
    assert found["total_return"] == pytest.approx(1.0018 * 0.9991 - 1.0)
    assert found["round_trips"] == 3
    assert found["win_rate"] == pytest.approx(2 / 3)
    assert found["profit_factor"] == pytest.approx((18 + 6) / 11)
    assert found["trades_a_month"] == pytest.approx(3 / 4 * 365 / 12)
    assert found["fees"] == 3.0
    assert found["break_even_fee_bps"] == pytest.approx((18 - 9 + 3) / (420 + 110 + 126) * 1e4)
    assert found["sharpe"] == perf.sharpe(oos.stitched([first.curve, second.curve]))
    assert found["max_drawdown"] == pytest.approx(0.0009)
    assert found["annualised_return"] == pytest.approx((1.0018 * 0.9991) ** (365 / 4) - 1.0)


def test_an_account_that_never_traded_has_no_ratios():
    found = oos.figures([oos.Run(account([0.0, 0.0]), NONE)])
    assert {name for name, value in found.items() if value is None} == {
        "sharpe", "win_rate", "profit_factor", "break_even_fee_bps",
    }  # fmt: skip
    assert (found["trades_a_month"], found["total_return"], found["max_drawdown"]) == (0.0, 0.0, 0.0)


def test_folds_and_seeds_are_counted():
    assert oos.fold_figures([0.1, -0.2, 0.0, 0.3]) == {"worst_fold_return": -0.2, "profitable_folds": 0.5}
    assert oos.fold_figures([]) == {"worst_fold_return": None, "profitable_folds": None}
    assert oos.seed_figures([1.0, None, -0.5, 2.0]) == {"median_seed_sharpe": 0.5, "worst_seed_sharpe": -0.5}
    assert oos.seed_figures([1.0, None, 2.0]) == {"median_seed_sharpe": 1.0, "worst_seed_sharpe": 0.0}
    assert oos.seed_figures([]) == {"median_seed_sharpe": None, "worst_seed_sharpe": None}
    assert oos.share_beaten(0.5, [0.1, 0.5, 0.6, -1.0]) == 0.5
    assert oos.share_beaten(0.5, []) is None
    assert oos.trades_a_month(12, days=365.0) == pytest.approx(1.0)
    assert oos.trades_a_month(12, days=0.0) is None


def test_luck_is_measured_a_day_and_told_a_year():
    rng = np.random.default_rng(9)
    returns = rng.normal(0.002, 0.01, 300)
    candidates = rng.normal(0.0, 0.01, (300, 6))
    sharpes = [0.5, -1.0, 2.0, 1.5]
    found = oos.luck(returns, trial_sharpes=sharpes, trials=7, candidates=candidates, blocks=6)
    variance = np.var(sharpes, ddof=1) / 365
    assert found.deflated_sharpe == deflated_sharpe(track(returns), trials=7, variance=variance)
    assert found.sharpe == pytest.approx(returns.mean() / returns.std(ddof=1) * math.sqrt(365))
    assert (found.trials, found.abandoned, found.trial_sharpes) == (7, 3, tuple(sharpes))
    # annualised, the expected maximum scales with the deviation of the annualised Sharpe ratios
    assert found.expected_max_sharpe == pytest.approx(expected_max_sharpe(trials=7, variance=np.var(sharpes, ddof=1)))
    pbo = probability_of_overfitting(candidates, blocks=6)
    assert (found.pbo, found.splits, found.logits) == (pbo.pbo, 20, tuple(pbo.logits))


def test_luck_that_cannot_be_measured_is_undefined_and_not_a_figure():
    returns = np.random.default_rng(9).normal(0.002, 0.01, 30)
    one = np.zeros((30, 1))
    found = oos.luck(returns, trial_sharpes=[1.0], trials=5, candidates=one)
    assert (found.expected_max_sharpe, found.deflated_sharpe, found.pbo, found.splits) == (None, None, None, 0)
    alone = oos.luck(returns, trial_sharpes=[], trials=1, candidates=one)
    assert (alone.expected_max_sharpe, alone.abandoned) == (0.0, 1)
    assert alone.deflated_sharpe is not None
    idle = oos.luck(np.zeros(30), trial_sharpes=[1.0, 2.0], trials=2, candidates=np.zeros((10, 3)))
    assert (idle.sharpe, idle.deflated_sharpe, idle.pbo) == (None, None, None)
    with pytest.raises(ValueError, match="2 figures of 1 trials; count every trial, abandoned ones too"):
        oos.luck(returns, trial_sharpes=[1.0, 2.0], trials=1, candidates=one)


def test_a_narrow_last_study_does_not_hide_the_trials_before_it():
    returns = np.random.default_rng(3).normal(0.0, 0.01, 365)
    returns += 2.0 / math.sqrt(365) * returns.std(ddof=1) - returns.mean()
    narrow, one = [1.90, 1.95, 2.0], np.zeros((365, 1))
    alone = oos.luck(returns, trial_sharpes=narrow, trials=3, candidates=one)
    late = oos.luck(returns, trial_sharpes=narrow, trials=501, candidates=one)
    assert alone.deflated_sharpe > 0.95
    assert late.deflated_sharpe < 0.5
    # chance alone scatters Sharpe ratios by about 1 a year, the best of 501 by about 3
    assert late.expected_max_sharpe == pytest.approx(3.0, abs=0.1)


def test_trials_without_a_figure_scatter_as_chance_does():
    rng = np.random.default_rng(4)
    paths = rng.normal(0.0, 0.01, (250, 4000))
    sharpes = paths.mean(axis=0) / paths.std(axis=0, ddof=1) * math.sqrt(365)
    assert np.var(sharpes) == pytest.approx(365 / 249, rel=0.05)
    known = oos.luck(paths[:, 0], trial_sharpes=list(sharpes), trials=4000, candidates=paths[:, :1])
    guessed = oos.luck(paths[:, 0], trial_sharpes=list(sharpes[:2]), trials=4000, candidates=paths[:, :1])
    assert guessed.expected_max_sharpe == pytest.approx(known.expected_max_sharpe, rel=0.05)
