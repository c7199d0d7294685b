"""Votes and tally against a slow count in plain Python."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.actions import decode_discrete
from core.ensemble import (
    CONFIDENCE,
    MAJORITY,
    NO_AGREEMENT,
    NO_QUORUM,
    PERFORMANCE,
    SIGNALLED,
    TIE,
    UNSURE,
    TallyParams,
    tally,
)

LEVELS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def count(votes, weights, params):
    """The same rules, counted slowly."""
    sides = defaultdict(list)
    for (level, confidence), weight in zip(votes, weights, strict=True):
        if math.isnan(level) or confidence < params.min_vote_confidence:
            continue
        w = {MAJORITY: 1.0, CONFIDENCE: confidence, PERFORMANCE: weight}[params.method]
        if w > 0:
            sides[(level > 0) - (level < 0)].append((w, level, confidence))
    voters = sum(map(len, sides.values()))
    if voters < params.quorum or voters == 0:
        return NO_QUORUM, 0.0, 0.0
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
    if code not in {NO_QUORUM, TIE}:
        assert got.confidence == pytest.approx(confidence, abs=1e-12)


def test_equal_camps_tie_and_abstain():
    params = TallyParams(MAJORITY, 1, 0.0, 0.0, 0.0)
    got = tally(np.array([1.0, -1.0]), np.array([0.9, 0.6]), np.ones(2), params)
    assert (got.abstention, got.level) == (TIE, 0.0)


def test_weighing_by_confidence_lets_the_surer_half_win():
    params = TallyParams(CONFIDENCE, 1, 0.0, 0.0, 0.0)
    assert tally(np.array([1.0, -1.0]), np.array([0.9, 0.6]), np.ones(2), params).level == 1.0


def test_a_broken_model_does_not_vote():
    voted, confidence = decode_discrete(np.array([[np.nan, 0.2, 0.2, 0.2, 0.2], [0.1, 0.1, 0.1, 0.1, 0.6]]), LEVELS)
    assert np.isnan(voted[0])
    assert confidence[0] == 0.0
    params = TallyParams(MAJORITY, 2, 0.0, 0.0, 0.0)
    assert tally(voted, confidence, np.ones(2), params).abstention == NO_QUORUM
