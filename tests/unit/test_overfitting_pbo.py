"""Probability of backtest overfitting against a slow implementation, noise, planted edges and known defects."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from core.overfitting import probability_of_overfitting


def slow(returns, blocks):
    """The paper's steps one by one, from the returns themselves."""
    length = len(returns) // blocks
    used = returns[len(returns) - length * blocks :]
    parts = [used[start : start + length] for start in range(0, len(used), length)]
    logits, losses = [], 0

    def sharpes(rows):
        joined = np.concatenate(rows)
        return [column.mean() / column.std(ddof=1) if np.ptp(column) > 0.0 else 0.0 for column in joined.T]

    for chosen in itertools.combinations(range(blocks), blocks // 2):
        inside = sharpes([parts[block] for block in chosen])
        outside = sharpes([parts[block] for block in range(blocks) if block not in chosen])
        best = max(
            (number for number, figure in enumerate(inside) if figure == max(inside)), key=lambda one: -outside[one]
        )
        omega = rankdata(outside)[best] / (len(outside) + 1)
        logits.append(math.log(omega / (1.0 - omega)))
        losses += outside[best] < 0.0
    return np.array(logits), losses / len(logits)


@pytest.mark.parametrize(("periods", "candidates", "blocks"), [(40, 5, 4), (61, 7, 6), (100, 4, 10), (16, 2, 8)])
def test_every_logit_equals_that_of_the_slow_way(periods, candidates, blocks):
    returns = np.random.default_rng(periods).standard_t(4, (periods, candidates)) * 0.01 + 0.001
    found = probability_of_overfitting(returns, blocks=blocks)
    logits, loss = slow(returns, blocks)
    assert found.splits == math.comb(blocks, blocks // 2) == len(logits)
    assert np.allclose(found.logits, logits, rtol=0, atol=1e-12)
    assert found.pbo == np.mean(logits <= 1e-12)
    assert found.loss == loss


def test_noise_gives_about_one_half():
    # an even number of candidates: with an odd one the median itself counts as overfitted
    found = [
        probability_of_overfitting(np.random.default_rng(seed).normal(0.0, 0.01, (400, 20)), blocks=10).pbo
        for seed in range(120)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=3.0 * np.std(found) / math.sqrt(len(found)) + 0.01)
    assert np.std(found) / math.sqrt(len(found)) < 0.03  # so that the line above says something


def test_a_planted_edge_gives_nearly_zero():
    found = []
    for seed in range(30):
        returns = np.random.default_rng(seed).normal(0.0, 0.01, (1000, 30))
        returns[:, 17] += 0.002  # a true Sharpe ratio of 0.2 a day, 3.8 a year
        found.append(probability_of_overfitting(returns, blocks=10))
    assert np.mean([each.pbo for each in found]) < 0.02
    assert max(each.pbo for each in found) < 0.15
    assert np.mean([each.loss for each in found]) < 0.02


def test_a_choice_that_is_always_wrong_gives_one():
    # each candidate earns in its own half of the blocks only, and loses in the other
    rng = np.random.default_rng(3)
    halves = list(itertools.combinations(range(4), 2))
    returns = rng.normal(0.0, 1e-4, (80, len(halves)))
    for column, half in enumerate(halves):
        for block in range(4):
            returns[20 * block : 20 * block + 20, column] += 0.01 if block in half else -0.01
    found = probability_of_overfitting(returns, blocks=4)
    assert (found.pbo, found.loss) == (1.0, 1.0)


def test_a_panel_of_a_study_is_judged_over_all_its_splits():
    returns = np.random.default_rng(0).normal(0.0, 0.01, (1500, 60))
    found = probability_of_overfitting(returns, blocks=16)
    assert found.splits == len(found.logits) == 12_870
    assert np.all(np.isfinite(found.logits))


def test_a_candidate_given_twice_does_not_outrank_itself():
    returns = np.random.default_rng(1).normal(0.0, 0.01, (60, 1))
    found = probability_of_overfitting(np.repeat(returns, 33, axis=1), blocks=6)
    assert np.array_equal(found.logits, np.zeros(20))  # the mean rank of 33 equals is the median
    assert found.pbo == 1.0


def test_the_best_and_the_worst_rank_have_finite_logits():
    returns = np.random.default_rng(2).normal(0.0, 0.001, (60, 4))
    returns[:, 2] += 0.01
    found = probability_of_overfitting(returns, blocks=6)
    assert np.allclose(found.logits, math.log(4.0))  # rank 4 of 4 over 5


def test_candidates_that_never_trade_rank_as_cash():
    returns = np.random.default_rng(4).normal(-0.003, 0.01, (200, 6))
    returns[:, 0] = returns[:, 3] = 0.0
    found = probability_of_overfitting(returns, blocks=8)
    logits, loss = slow(returns, 8)
    assert np.allclose(found.logits, logits, rtol=0, atol=1e-12)
    assert found.loss == loss
    still = probability_of_overfitting(np.full((40, 3), 0.1), blocks=4)  # constants, whose mean is rounded
    assert np.array_equal(still.logits, np.zeros(6))


def test_of_several_that_are_best_in_sample_the_one_that_is_worst_out_of_sample_counts():
    first = np.array([0.01, 0.03, 0.02, 0.02])
    second = np.array([0.01, -0.01, 0.01, -0.01])
    returns = np.concatenate((np.tile(first, (3, 1)).T, np.add.outer(second, [0.002, -0.002, 0.001])))
    found = probability_of_overfitting(returns, blocks=2)
    # chosen by the first half all three are equal, and the second is last of three in the other; then the first leads
    assert found.logits.tolist() == [math.log(1.0 / 3.0), 0.0]
    assert found.loss == 0.5


def test_a_large_mean_does_not_cost_digits():
    returns = np.random.default_rng(6).normal(0.0, 1e-8, (120, 5)) + 1.0
    logits, _ = slow(returns, 6)
    assert np.allclose(probability_of_overfitting(returns, blocks=6).logits, logits, rtol=0, atol=1e-12)


@given(st.integers(0, 10_000), st.permutations(range(6)))
def test_the_order_of_candidates_does_not_matter(seed, order):
    returns = np.random.default_rng(seed).normal(0.0, 0.01, (48, 6))
    assert np.array_equal(
        probability_of_overfitting(returns, blocks=6).logits,
        probability_of_overfitting(returns[:, order], blocks=6).logits,
    )


def test_the_oldest_periods_are_left_out_where_blocks_do_not_divide_them():
    returns = np.random.default_rng(8).normal(0.0, 0.01, (103, 5))
    found = probability_of_overfitting(returns, blocks=10).logits
    assert np.array_equal(found > 0, probability_of_overfitting(returns[3:], blocks=10).logits > 0)
    assert np.allclose(found, probability_of_overfitting(returns[3:], blocks=10).logits)


@pytest.mark.parametrize(
    ("shape", "blocks", "message"),
    [
        ((100, 1), 10, r"returns have shape \(100, 1\); give \[T, N\] with at least two candidates"),
        ((100,), 10, r"returns have shape \(100,\)"),
        ((100, 3), 7, "blocks is 7; choose an even number from 2 to 20"),
        ((100, 3), 0, "blocks is 0"),
        ((100, 3), 22, "blocks is 22"),
        ((9, 3), 10, "9 periods are too few for 10 blocks; give at least 10"),
        ((3, 3), 2, "3 periods are too few for 2 blocks; give at least 4"),
    ],
)
def test_what_cannot_be_cut_is_refused(shape, blocks, message):
    with pytest.raises(ValueError, match=message):
        probability_of_overfitting(np.zeros(shape), blocks=blocks)


def test_an_undefined_return_is_refused_where_it_stands():
    returns = np.zeros((20, 3))
    returns[7, 2] = np.nan
    with pytest.raises(ValueError, match=r"the return at \[7, 2\] is nan"):
        probability_of_overfitting(returns, blocks=4)
