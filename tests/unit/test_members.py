"""Members of the ensemble: each step against a search through all that could have joined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.members import choose, correlation, mean_correlation


def panel(seed, candidates=7, days=40):
    """Returns with common factors, so that some candidates resemble each other."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 0.01, (days, 3)) @ rng.normal(0.0, 1.0, (3, candidates)) + rng.normal(
        0.0, 0.01, (days, candidates)
    )


@given(st.integers(0, 1000), st.sets(st.integers(0, 6), max_size=4), st.integers(1, 9), st.floats(0.0, 3.0))
def test_each_who_joins_is_the_best_of_all_who_could(seed, unscored, count, penalty):
    returns = panel(seed)
    scores = np.random.default_rng(seed).normal(0.0, 1.0, 7).tolist()
    for number, one in enumerate(unscored):
        scores[one] = math.nan if number % 2 else None
    chosen = choose(scores, returns, count=count, penalty=penalty)
    assert len(chosen) == len(set(chosen)) == min(count, 7)
    table = np.corrcoef(returns.T)
    for step, joined in enumerate(chosen):
        inside = chosen[:step]

        def value(one, inside=inside):
            if scores[one] is None or math.isnan(scores[one]):
                return -math.inf
            return scores[one] - penalty * (sum(table[one, other] for other in inside) / len(inside) if inside else 0.0)

        best = max(value(one) for one in range(7) if one not in inside)
        assert value(joined) == best or value(joined) == pytest.approx(best, abs=1e-12)


def test_without_penalty_the_best_scores_join_and_equals_in_their_order():
    assert choose([1.0, 3.0, None, 3.0, 2.0], panel(0, 5), count=4, penalty=0.0) == [1, 3, 4, 0]
    assert choose([None] * 4, panel(0, 4), count=3, penalty=1.0) == [0, 1, 2]


def test_a_twin_of_a_member_gives_way_to_a_stranger_that_is_nearly_as_good():
    returns = np.random.default_rng(3).normal(0.0, 0.01, (300, 3))
    returns[:, 1] = 2.0 * returns[:, 0]
    scores = [2.0, 1.9, 1.5]
    assert choose(scores, returns, count=2, penalty=0.0) == [0, 1]
    assert choose(scores, returns, count=2, penalty=1.0) == [0, 2]
    assert choose(scores, returns, count=3, penalty=1.0) == [0, 2, 1]


def test_a_candidate_without_a_score_comes_last_however_unlike_the_others_it_is():
    returns = panel(4, 4)
    returns[:, 2] = 0.0
    for unscored in (None, math.nan):
        assert choose([0.1, -5.0, unscored, 0.2], returns, count=4, penalty=10.0)[-1] == 2


def test_a_choice_repeats_itself_and_more_members_only_add_to_fewer():
    returns, scores = panel(5), [0.3, 1.0, 0.2, 0.9, 0.8, 0.7, 1.0]
    longest = choose(scores, returns, count=7, penalty=0.5)
    for count in range(1, 8):
        assert choose(scores, returns, count=count, penalty=0.5) == longest[:count]


@given(st.integers(0, 1000))
def test_correlation_equals_numpys(seed):
    returns = panel(seed)
    table = correlation(returns)
    assert np.allclose(table, np.corrcoef(returns.T), atol=1e-12)
    assert np.array_equal(table, table.T)
    assert np.array_equal(np.diag(table), np.ones(7))
    assert mean_correlation(table) == pytest.approx((np.corrcoef(returns.T).sum() - 7.0) / 42.0)


def test_what_never_moves_resembles_nobody():
    returns = panel(6, 4)
    returns[:, 1] = 0.001
    table = correlation(returns)
    assert table[1].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert np.all(np.isfinite(table))
    assert np.array_equal(correlation(np.empty((0, 3))), np.eye(3))


def test_one_member_has_no_pair():
    assert mean_correlation(np.eye(1)) is None
    assert mean_correlation(np.array([[1.0, 0.25], [0.25, 1.0]])) == 0.25


def test_what_cannot_be_chosen_from_is_refused():
    returns = panel(7, 3)
    with pytest.raises(ValueError, match=r"2 scores and returns of shape \(40, 3\); give one column a score"):
        choose([1.0, 2.0], returns, count=1, penalty=0.0)
    with pytest.raises(ValueError, match=r"count is 0 and penalty 0\.0"):
        choose([1.0] * 3, returns, count=0, penalty=0.0)
    with pytest.raises(ValueError, match=r"count is 1 and penalty -1\.0"):
        choose([1.0] * 3, returns, count=1, penalty=-1.0)
    returns[0, 0] = np.nan
    with pytest.raises(ValueError, match="a day without a figure returns 0"):
        correlation(returns)
