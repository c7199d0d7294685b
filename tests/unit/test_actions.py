"""From a network's answer to a vote, by the closed forms."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.actions import ActionSpec, decode_continuous, decode_discrete
from core.errors import ConfigError

LEVELS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def test_confidence_is_the_mass_on_the_direction_of_the_likeliest_action():
    voted, confidence = decode_discrete(np.array([[0.05, 0.1, 0.25, 0.25, 0.35]]), LEVELS)
    assert voted[0] == 1.0
    assert confidence[0] == pytest.approx(0.6)


@given(st.floats(-30, 30), st.floats(0.01, 10))
def test_a_continuous_policy_is_as_sure_of_its_direction_as_the_normal_distribution_says(mean, std):
    level, confidence = decode_continuous(np.array([[mean, std]]))
    assert level[0] == pytest.approx(math.tanh(mean), rel=1e-12)
    assert -1.0 <= level[0] <= 1.0
    assert confidence[0] == pytest.approx(1.0 - NormalDist(mean, std).cdf(0.0) if mean > 0 else
                                          NormalDist(mean, std).cdf(0.0), abs=1e-12)  # fmt: skip


def test_the_share_of_sampled_levels_on_the_side_of_the_mean_is_the_confidence():
    level, confidence = decode_continuous(np.array([[-0.3, 0.8]]))
    sampled = np.tanh(np.random.default_rng(0).normal(-0.3, 0.8, 200_000))
    assert level[0] == pytest.approx(np.median(sampled), abs=0.005)
    assert confidence[0] == pytest.approx((sampled < 0).mean(), abs=0.005)


def test_the_ends_of_a_continuous_answer():
    rows = [[0.3, 0.0], [0.0, 1.0], [np.inf, 1.0], [0.1, -1.0], [np.nan, 1.0], [0.0, np.inf]]
    voted, confidence = decode_continuous(np.array(rows))
    assert voted[0] == math.tanh(0.3)
    assert voted[1] == 0.0
    assert confidence.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert np.isnan(voted[2:]).all()


@pytest.mark.parametrize("levels", [(1.0, 0.0, -1.0), (-1.0, 1.0), (-2.0, 0.0, 1.0), (0.0, 0.0, 1.0)])
def test_levels_that_are_no_action_map_are_refused(levels):
    with pytest.raises(ConfigError, match="rise strictly"):
        ActionSpec(levels=levels)
