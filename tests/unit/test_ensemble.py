"""Votes and tally against a slow count in plain Python."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.actions import decode_discrete
from core.compiled import compiled
from core.ensemble import (
    CONFIDENCE,
    MAJORITY,
    NO_AGREEMENT,
    NO_QUORUM,
    PERFORMANCE,
    QUORUM_LOST,
    SIGNALLED,
    TIE,
    UNSURE,
    TallyParams,
    tally,
)
from core.sizing import SizingParams, signed_exposure

LEVELS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def count(votes, weights, params):
    """The same rules, counted slowly."""
    sides = defaultdict(list)
    able = sum(weight > 0 for weight in weights)
    for (level, confidence), weight in zip(votes, weights, strict=True):
        if math.isnan(level) or confidence < params.min_vote_confidence:
            continue
        w = weight * {MAJORITY: 1.0, CONFIDENCE: confidence, PERFORMANCE: 1.0}[params.method]
        if w > 0:
            sides[(level > 0) - (level < 0)].append((w, level, confidence))
    voters = sum(map(len, sides.values()))
    if voters < params.quorum or voters == 0:
        return (NO_QUORUM if able >= params.quorum else QUORUM_LOST), 0.0, 0.0
    sums = {side: sum(w for w, _, _ in group) for side, group in sides.items()}
    best = max(sums, key=lambda side: sums[side])
    total = sums[best]
    agreement = total / sum(sums.values())
    confidence = sum(w * c for w, _, c in sides[best]) / total * agreement
    if sum(s >= total * (1 - 1e-12) for s in sums.values()) > 1:
        return TIE, 0.0, confidence
    if agreement < params.min_agreement:
        return NO_AGREEMENT, 0.0, confidence
    if confidence < params.min_confidence:
        return UNSURE, 0.0, confidence
    return SIGNALLED, sum(w * lv for w, lv, _ in sides[best]) / total, confidence


votes = st.lists(st.tuples(st.sampled_from([*LEVELS.tolist(), math.nan]), st.floats(0.0, 1.0)), min_size=1, max_size=9)
rules = st.builds(
    TallyParams, st.sampled_from([MAJORITY, CONFIDENCE, PERFORMANCE]), st.integers(1, 5), st.floats(0, 0.6),
    st.floats(0, 1), st.floats(0, 0.8),
)  # fmt: skip


@settings(max_examples=800, deadline=None)
@given(votes, rules, st.data())
def test_the_tally_counts_as_a_slow_count_does(cast, params, data):
    weights = data.draw(st.lists(st.floats(0.0, 3.0), min_size=len(cast), max_size=len(cast)))
    got = tally(np.array([v[0] for v in cast]), np.array([v[1] for v in cast]), np.array(weights), params)
    code, level, confidence = count(cast, weights, params)
    if abs(got.confidence - params.min_confidence) < 1e-12 or abs(got.agreement - params.min_agreement) < 1e-12:
        return
    assert got.abstention == code
    assert got.level == pytest.approx(level, abs=1e-12)
    assert 0.0 <= got.confidence <= 1.0 + 1e-12
    if code not in {NO_QUORUM, QUORUM_LOST, TIE}:
        assert got.confidence == pytest.approx(confidence, abs=1e-12)


def test_equal_camps_tie_and_abstain():
    params = TallyParams(MAJORITY, 1, 0.0, 0.0, 0.0)
    got = tally(np.array([1.0, -1.0]), np.array([0.9, 0.6]), np.ones(2), params)
    assert (got.abstention, got.level) == (TIE, 0.0)


def test_weighing_by_confidence_lets_the_surer_half_win():
    params = TallyParams(CONFIDENCE, 1, 0.0, 0.0, 0.0)
    assert tally(np.array([1.0, -1.0]), np.array([0.9, 0.6]), np.ones(2), params).level == 1.0


@pytest.mark.parametrize("method", [MAJORITY, CONFIDENCE, PERFORMANCE])
def test_a_vote_without_weight_changes_nothing_whatever_the_method(method):
    params = TallyParams(method, 2, 0.1, 0.0, 0.0)
    levels, confidences, weights = np.array([1.0, 0.5, -1.0]), np.array([0.7, 0.4, 0.99]), np.array([1.0, 0.8, 0.0])
    assert tally(levels, confidences, weights, params) == tally(levels[:2], confidences[:2], weights[:2], params)


def test_an_ensemble_whose_members_are_gone_says_so():
    params = TallyParams(CONFIDENCE, 2, 0.5, 0.0, 0.0)
    levels, sure = np.ones(3), np.full(3, 0.9)
    assert tally(levels, sure, np.array([1.0, 0.0, 0.0]), params).abstention == QUORUM_LOST
    assert tally(levels, np.array([0.9, 0.4, 0.4]), np.ones(3), params).abstention == NO_QUORUM


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.5, 1.0]), st.floats(0.4, 1.0)), min_size=1, max_size=6),
    st.lists(st.tuples(st.sampled_from([-1.0, -0.5, 0.0]), st.floats(0.4, 1.0)), min_size=1, max_size=3),
    st.sampled_from([MAJORITY, CONFIDENCE, PERFORMANCE]),
)
def test_dissent_shrinks_the_position(united, dissent, method):
    """Votes beside those that agree never make the position larger: the confidence that sizing reads falls."""
    params, sizing = TallyParams(method, 1, 0.0, 0.0, 0.0), SizingParams(0.5, 1e9, 0.0, 1.0, 0.0)

    def exposure(votes):
        levels, confidences = np.array(votes).T.copy()
        return tally(levels, confidences, np.ones(len(votes)), params), sized(levels, confidences, params, sizing)

    whole, alone = exposure(united)
    split, beside = exposure(united + dissent)
    assert whole.agreement == 1.0
    assert split.agreement < 1.0
    if split.abstention == SIGNALLED and split.level > 0.0:
        assert split.level == whole.level
        assert split.confidence < whole.confidence
        assert 0.0 < beside < alone


@compiled
def sized(levels, confidences, params, sizing):
    """The exposure that a tally leads to; below the full confidence every bit of it counts."""
    told = tally(levels, confidences, np.ones(len(levels)), params)
    return signed_exposure(told.level, told.confidence, 0.0, sizing)


def test_a_broken_model_does_not_vote():
    voted, confidence = decode_discrete(np.array([[np.nan, 0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1, 0.6]]), LEVELS)
    assert np.isnan(voted[0])
    assert confidence[0] == 0.0
    params = TallyParams(MAJORITY, 2, 0.0, 0.0, 0.0)
    assert tally(voted, confidence, np.ones(2), params).abstention == NO_QUORUM
