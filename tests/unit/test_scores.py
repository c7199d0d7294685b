"""Scores of votes: paper returns, weights and the watch for decay, recomputed another way."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from core.scores import QUIET, S, ScoreParams, Votes, observe, weigh
from core.stages import ACTIVE, CANARY, DECAYED, DISAGREEMENT, DROPPED, LOSS, NAN_ANSWER, SERVED, SHADOW

CALM = ScoreParams(
    shadow_bars=10**9, canary_bars=10**9, keep=1.0, cost=0.0, max_loss=10.0, window_bars=10**9, max_disagreement=1.0,
    decay_odds=0.5, decay_limit=math.inf,
)  # fmt: skip


def played(levels, closes, *, confidences=None, weights=None, stages=None, horizons=None, params=CALM, bars=None):
    """Fold k rows of votes of N models; return the scores and the events of each row."""
    levels = np.asarray(levels, float)
    n = levels.shape[1]
    scores, said = np.zeros((n, len(S))), np.empty(n, np.int64)
    confidences = np.full_like(levels, 0.6) if confidences is None else np.asarray(confidences, float)
    weights = np.ones(n) if weights is None else np.asarray(weights, float)
    stages = np.full(n, ACTIVE) if stages is None else np.asarray(stages)
    horizons = np.zeros(n, np.int64) if horizons is None else np.asarray(horizons)
    events = []
    for k, (row, close) in enumerate(zip(levels, closes, strict=True)):
        bar = 1_000 + k if bars is None else bars[k]
        anything = observe(
            scores, stages, horizons, Votes(row, confidences[k], weights, bar, float(close)), params, said
        )
        assert anything == (said != QUIET).any()
        events.append(said.tolist())
    return scores, events


def test_a_gain_is_what_the_votes_earned_less_what_they_cost_faded():
    rng = np.random.default_rng(1)
    levels = rng.choice([-1.0, -0.5, 0.0, 0.5, 1.0], (300, 3))
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, 300)))
    keep, cost = 0.5 ** (1 / 40), 0.0006
    scores, _ = played(levels, closes, params=CALM._replace(keep=keep, cost=cost))
    moves = closes[1:] / closes[:-1] - 1.0
    changed = np.abs(np.diff(levels, axis=0, prepend=0.0))
    paper = np.vstack([np.zeros(3), levels[:-1] * moves[:, None]]) - cost * changed
    faded = (paper * keep ** np.arange(299, -1, -1)[:, None]).sum(axis=0)
    assert scores[:, S.gain] == pytest.approx(faded, abs=1e-12)
    assert (scores[:, S.bars] == 300).all()


def test_a_model_that_loses_more_than_the_limit_is_named_at_that_very_bar():
    """One per cent lost a bar, three allowed: the fourth loss is one too many."""
    closes = 100.0 * 0.99 ** np.arange(8)
    levels = np.array([[1.0, -1.0]] * 8)
    _, events = played(levels, closes, params=CALM._replace(max_loss=0.035))
    assert [row[0] for row in events] == [QUIET] * 4 + [LOSS] * 4
    assert all(row[1] == QUIET for row in events)


def judgements(sides, confidences, closes, horizon):
    """Judge one prediction after another, by hand: (confidence, right) of each."""
    found, k = [], 0
    while k < len(sides):
        if sides[k] == 0:
            k += 1
            continue
        if k + horizon < len(sides):
            found.append((confidences[k], sides[k] * (closes[k + horizon] - closes[k]) > 0))
        k += horizon
    return found


@pytest.mark.parametrize("horizon", [1, 4])
def test_the_cusum_is_the_largest_evidence_of_any_run_up_to_now(horizon):
    """Page: max(0, S + w) is the largest sum of the newest terms; the terms here by Bayes' rule."""
    rng = np.random.default_rng(horizon)
    sides = rng.choice([-1.0, 0.0, 1.0], 400)
    closes = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, 400)))
    sure = rng.uniform(0.35, 0.8, 400)
    scores, _ = played(sides[:, None], closes, confidences=sure[:, None], horizons=[horizon])
    terms = []
    for p, right in judgements(sides, sure, closes, horizon):
        odds = 0.5 * p / (1 - p)
        q = odds / (1 + odds)
        terms.append(math.log(q / p) if right else math.log((1 - q) / (1 - p)))
    newest_first = np.cumsum(terms[::-1])
    assert scores[0, S.judged] == len(terms) > 50
    assert scores[0, S.cusum] == pytest.approx(max(0.0, newest_first.max()), abs=1e-9)


def coin_until_alarm(rng, p_true, p_said, limit, most=200_000):
    """Toss until the watch sounds; return the judgements it took."""
    params = CALM._replace(decay_limit=limit)
    scores, said = np.zeros((1, len(S))), np.empty(1, np.int64)
    stages, horizons, weights = np.array([ACTIVE]), np.array([1]), np.ones(1)
    close = 100.0
    for k in range(most):
        votes = Votes(np.ones(1), np.full(1, p_said), weights, 1 + k, close)
        if observe(scores, stages, horizons, votes, params, said):
            assert said[0] == DECAYED
            return k
        close += 1.0 if rng.random() < p_true else -1.0
    return most


def test_false_alarms_are_rarer_than_promised_and_decay_is_found_when_theory_says():
    """At least exp(limit) judgements to a false alarm (Lorden); limit / information to a true one (Wald)."""
    rng, p, limit = np.random.default_rng(7), 0.6, math.log(50)
    calm = np.mean([coin_until_alarm(rng, p, p, limit) for _ in range(60)])
    assert calm > 50
    odds = 0.5 * p / (1 - p)
    q = odds / (1 + odds)
    information = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    decayed = np.mean([coin_until_alarm(rng, q, p, limit) for _ in range(60)])
    assert 0.5 * limit / information < decayed < 2.0 * limit / information
    assert decayed < calm / 5


def test_a_prediction_whose_due_close_was_missed_does_not_count():
    levels, closes = np.ones((4, 1)), [100.0, 90.0, 80.0, 70.0]
    scores, _ = played(levels, closes, horizons=[2], bars=[10, 11, 13, 14])
    assert scores[0, S.judged] == 0
    assert scores[0, S.bar] == 15, "and the next one is taken at the first close after"


@pytest.mark.parametrize(("share", "event"), [(0.9, QUIET), (0.7, DISAGREEMENT)])
def test_who_opposes_a_clear_rest_too_often_is_named_once_a_window(share, event):
    """Two others say long; the third is short in 9 of 10 bars, or has no direction, which is not counted."""
    own = np.where(np.arange(40) % 10 == 0, 1.0, -0.5)
    levels = np.column_stack([np.ones(40), np.full(40, 0.6), own])
    levels = np.vstack([levels, [[1.0, 1.0, 0.0]] * 5, [[0.5, -0.5, -1.0]] * 5])
    scores, events = played(levels, np.full(50, 100.0), params=CALM._replace(window_bars=20, max_disagreement=share))
    assert [k for k, row in enumerate(events) if row[2] != QUIET] == ([] if event == QUIET else [19, 39])
    assert scores[2, S.directed] == 0


def test_of_two_that_always_oppose_each_other_both_are_named():
    """A model's own vote is no part of the rest, else nothing would be left to oppose."""
    params = CALM._replace(window_bars=4, max_disagreement=0.5)
    _, events = played([[1.0, -1.0]] * 4, np.full(4, 100.0), params=params)
    assert events[3] == [DISAGREEMENT, DISAGREEMENT]


def test_a_shadow_is_compared_with_those_that_count_and_moves_none_of_them():
    levels = np.array([[1.0, 1.0, -1.0]] * 6)
    params = CALM._replace(window_bars=3, max_disagreement=0.5)
    _, events = played(levels, np.full(6, 100.0), weights=[1, 1, 0], stages=[ACTIVE, ACTIVE, SHADOW], params=params)
    assert [row for row in events if row != [QUIET] * 3] == [[QUIET, QUIET, DISAGREEMENT]] * 2


def test_trials_end_after_their_bars_and_a_broken_answer_ends_any():
    levels = np.array([[0.0, 0.0, 0.0, 0.0]] * 5)
    levels[3, 2] = np.nan
    params = CALM._replace(shadow_bars=3, canary_bars=5)
    _, events = played(levels, np.full(5, 100.0), stages=[SHADOW, CANARY, ACTIVE, DROPPED], params=params)
    assert [row[0] for row in events] == [QUIET, QUIET, SERVED, SERVED, SERVED]
    assert [row[1] for row in events] == [QUIET] * 4 + [SERVED]
    assert [row[2] for row in events] == [QUIET] * 3 + [NAN_ANSWER, QUIET]
    assert [row[3] for row in events] == [QUIET] * 5


def test_without_bounds_the_weights_are_those_of_hedge():
    gains = np.array([0.1, -0.05, 0.0, 0.2])
    weights = weigh(gains, np.array([1.0, 2.0, 1.0, 1.0]), np.ones(4), 5.0, 1e-9, 1e9)
    hedge = np.array([1.0, 2.0, 1.0, 1.0]) * np.exp(5.0 * gains)
    assert weights == pytest.approx(4 * hedge / hedge.sum(), rel=1e-9)


def test_hedge_loses_little_to_the_best_model_in_hindsight():
    """The regret bound of exponential weights on gains in [0, 1]: rate * T / 8 + ln N / rate."""
    rng, rounds, n = np.random.default_rng(3), 500, 6
    outcomes = rng.uniform(0, 1, (rounds, n)) * np.linspace(0.5, 1.0, n)
    rate = math.sqrt(8 * math.log(n) / rounds)
    earned, gains = 0.0, np.zeros(n)
    for outcome in outcomes:
        weights = weigh(gains, np.ones(n), np.ones(n), rate, 1e-12, 1e12)
        earned += weights @ outcome / weights.sum()
        gains += outcome
    assert gains.max() - earned <= rate * rounds / 8 + math.log(n) / rate


def test_equal_priors_that_are_hardly_above_nothing_weigh_alike_by_what_was_earned():
    tiny = 2.225073858507203e-309
    weights = weigh(np.array([0.0, 1.0]), np.array([tiny, tiny]), np.array([0.25, 0.25]), 1.0, 0.5, 2.0)
    assert weights == pytest.approx(0.25 * 2 / (1 + math.e) * np.array([1.0, math.e]), rel=1e-9)


finite = st.floats(-3.0, 3.0)
models = st.lists(st.tuples(finite, st.floats(0.0, 10.0), st.sampled_from([0.0, 0.25, 1.0])), min_size=1, max_size=8)


@settings(max_examples=500, deadline=None)
@given(models, st.floats(0.0, 50.0), st.floats(0.01, 1.0), st.floats(1.0, 8.0))
def test_weights_are_bounded_and_one_in_the_mean(cast, rate, low, high):
    gains, priors, shares = np.array(cast).T.copy()
    weights = weigh(gains, priors, shares, rate, low, high)
    counted = (shares > 0) & (priors > 0)
    assert (weights[~counted] == 0).all()
    if not counted.any():
        return
    full = weights[counted] / shares[counted]
    assert full.min() >= low - 1e-12
    assert full.max() <= high + 1e-12
    assert full.mean() == pytest.approx(1.0, abs=1e-6)
    raw = np.log(priors[counted]) + rate * gains[counted]
    if np.ptp(raw) < 500:
        wanted = lambda c: np.clip(np.exp(np.minimum(raw + c, 600)), low, high).mean() - 1.0  # noqa: E731
        middle = brentq(wanted, -raw.max() - 60, -raw.min() + 60, xtol=1e-13)
        assert full == pytest.approx(np.clip(np.exp(np.minimum(raw + middle, 600)), low, high), abs=1e-6)
    assert (np.diff(full[np.argsort(raw)]) >= -1e-9).all(), "who earned more weighs no less"
