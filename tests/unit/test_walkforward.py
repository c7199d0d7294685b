"""Walk-forward folds against skfolio, brute force and what they promise."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skfolio.model_selection import WalkForward

from core import walkforward
from core.errors import UsageError
from core.walkforward import Plan, folds

BAR_NS = 900_000_000_000
START_NS = 1_700_000_100_000_000_000

lengths = st.integers(1, 30)
gaps = st.integers(0, 5)


@st.composite
def plans(draw):
    """A plan in whole bars, and a range that holds at least one of its folds."""
    fit, validation, test = draw(lengths), draw(lengths), draw(lengths)
    purge, embargo = draw(gaps), draw(gaps)
    plan = Plan(
        fit_ns=fit * BAR_NS, validation_ns=validation * BAR_NS, test_ns=test * BAR_NS,
        purge_ns=purge * BAR_NS, embargo_ns=embargo * BAR_NS, anchored=draw(st.booleans()),
    )  # fmt: skip
    return plan, fit + validation + test + 2 * (purge + embargo) + draw(st.integers(0, 120))


def bars_of(part):
    """The indices of the bars whose close lies in (start, end]; bar 0 closes one bar after START_NS."""
    start, end = ((edge - START_NS) // BAR_NS for edge in part)
    return list(range(start, end))


@given(plans())
def test_folds_equal_those_of_skfolio_on_the_same_parameters(drawn):
    plan, bars = drawn
    ours = folds(plan, start_ns=START_NS, end_ns=START_NS + bars * BAR_NS)
    fit, validation, gap = (length // BAR_NS for length in (plan.fit_ns, plan.validation_ns, plan.gap_ns))

    def theirs(train, purged):
        splitter = WalkForward(
            test_size=plan.test_ns // BAR_NS, train_size=train, purged_size=purged, expand_train=plan.anchored
        )
        return [(train.tolist(), test.tolist()) for train, test in splitter.split(np.zeros((bars, 1)))]

    # once with train = fit, once with train = fit and validation and the gap between them
    from_fit, whole = theirs(fit, 2 * gap + validation), theirs(fit + gap + validation, gap)
    assert [(bars_of(fold.fit), bars_of(fold.test)) for fold in ours] == from_fit
    assert [(bars_of((fold.fit[0], fold.validation[1])), bars_of(fold.test)) for fold in ours] == whole


@given(plans())
def test_validation_equals_a_search_bar_by_bar(drawn):
    plan, bars = drawn
    validation, gap = plan.validation_ns // BAR_NS, plan.gap_ns // BAR_NS
    for fold in folds(plan, start_ns=START_NS, end_ns=START_NS + bars * BAR_NS):
        first_test = bars_of(fold.test)[0]
        allowed = [bar for bar in range(bars) if bar + gap < first_test]
        assert bars_of(fold.validation) == allowed[-validation:]


@given(plans())
def test_parts_do_not_overlap_gaps_are_kept_tests_adjoin_and_nothing_is_after_the_end(drawn):
    plan, bars = drawn
    end_ns = START_NS + bars * BAR_NS
    found = folds(plan, start_ns=START_NS, end_ns=end_ns)
    assert [fold.number for fold in found] == list(range(1, len(found) + 1))
    for fold in found:
        edges = [*fold.fit, *fold.validation, *fold.test]
        assert edges == sorted(edges)
        assert fold.validation[0] - fold.fit[1] >= plan.purge_ns + plan.embargo_ns
        assert fold.test[0] - fold.validation[1] >= plan.purge_ns + plan.embargo_ns
        assert START_NS <= fold.fit[0] < fold.fit[1]
        assert fold.validation[1] - fold.validation[0] == plan.validation_ns
        assert fold.test[1] - fold.test[0] == plan.test_ns
        assert fold.fit[0] == START_NS if plan.anchored else fold.fit[1] - fold.fit[0] == plan.fit_ns
    for before, after in itertools.pairwise(found):
        assert before.test[1] == after.test[0]
    assert end_ns - plan.test_ns < found[-1].test[1] <= end_ns


def test_the_docstring_shows_what_folds_come_out():
    assert doctest.testmod(walkforward).attempted >= 5
    assert doctest.testmod(walkforward).failed == 0


def test_a_range_that_is_too_short_is_refused_with_the_length_that_is_needed():
    day = 86_400_000_000_000
    plan = Plan(fit_ns=100 * day, validation_ns=20 * day, test_ns=20 * day, purge_ns=day, embargo_ns=day, anchored=True)
    start = 19_723 * day
    assert len(folds(plan, start_ns=start, end_ns=start + 144 * day)) == 1
    with pytest.raises(UsageError) as refused:
        folds(plan, start_ns=start, end_ns=start + 144 * day - BAR_NS)
    assert str(refused.value) == (
        "the range 2024-01-01..2024-05-23T23:45 has 143.9895833 days and one fold needs 144; "
        "give a longer range or shorter parts"
    )
    with pytest.raises(UsageError, match=r"2024-01-01\.\.2023-12-31 has -1 days and one fold needs 144;"):
        folds(plan, start_ns=start, end_ns=start - day)


@pytest.mark.parametrize("part", ["fit_ns", "validation_ns", "test_ns"])
def test_a_part_without_length_is_refused(part):
    given_lengths = {"fit_ns": 1, "validation_ns": 1, "test_ns": 1, "purge_ns": 0, "embargo_ns": 0, "anchored": False}
    with pytest.raises(UsageError, match=f"walk-forward {part.removesuffix('_ns')}: 0 ns is below the limit 1"):
        Plan(**given_lengths | {part: 0})
    with pytest.raises(UsageError, match="purge: -1 ns is below the limit 0"):
        Plan(**given_lengths | {"purge_ns": -1})
