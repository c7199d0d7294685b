"""Sizes against their formula, and that disagreement shrinks them once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ensemble import CONFIDENCE, SIGNALLED, TallyParams, tally
from core.sizing import SizingParams, largest_add, signed_exposure

PARAMS = SizingParams(0.5, 0.4, 0.3, 0.7, 0.25, 0.5)


def test_exposure_follows_level_confidence_and_volatility():
    assert signed_exposure(1.0, 0.7, 0.4, PARAMS) == 0.5
    assert signed_exposure(-0.5, 0.9, 1.6, PARAMS) == pytest.approx(-0.5 * 0.25)
    assert signed_exposure(1.0, 0.5, 0.0, PARAMS) == pytest.approx(0.75 * 0.5)
    assert signed_exposure(1.0, 0.3, 0.0, PARAMS) == pytest.approx(0.5 * 0.5)
    assert signed_exposure(1.0, 0.29, 0.0, PARAMS) == 0.0


def test_disagreement_shrinks_the_position_through_the_confidence():
    rules = TallyParams(CONFIDENCE, 1, 0.0, 0.0, 0.0)
    said = np.full(5, 0.9)

    def exposure(levels):
        result = tally(np.array(levels), said, np.ones(5), rules)
        assert result.abstention == SIGNALLED
        assert result.confidence == pytest.approx(0.9 * result.agreement)
        return signed_exposure(result.level, result.confidence, 0.0, PARAMS)

    united, four, three = exposure([1.0] * 5), exposure([1.0] * 4 + [-1.0]), exposure([1.0] * 3 + [-1.0] * 2)
    assert united == 0.5
    assert four == 0.5, "0.9 times four fifths is still full confidence"
    assert three == pytest.approx(0.5 * (0.5 + 0.5 * (0.9 * 0.6 - 0.3) / 0.4))


@settings(deadline=None)
@given(first=st.integers(0, 10**6), share=st.floats(0.0, 0.9))
def test_adds_shrink_until_nothing_is_left_and_never_sum_to_more_than_their_series(first, share):
    params = PARAMS._replace(add_fraction=share)
    adds, last = [], first
    while (last := largest_add(last, params)) > 0:
        assert not adds or last < adds[-1]
        adds.append(last)
    assert sum(adds) <= first * share / (1.0 - share) + 1e-6 * first
    assert not adds or adds[0] < first
