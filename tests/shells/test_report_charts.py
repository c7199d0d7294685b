"""What the charts leave out, and what they never do."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from adapters.report_charts import thinned
from adapters.run_files import Closes, buy_and_hold

series = hnp.arrays(np.float64, st.integers(1, 400), elements=st.floats(-1e6, 1e6))


@given(series, st.integers(2, 50))
def test_a_thinned_line_keeps_its_ends_and_its_extremes(values, points):
    keep = thinned(values, points)
    assert np.all(np.diff(keep) > 0)
    assert (keep[0], keep[-1]) == (0, len(values) - 1)
    assert (values[keep].min(), values[keep].max()) == (values.min(), values.max())
    assert len(keep) <= points + 2


def test_a_line_that_fits_is_drawn_whole():
    assert thinned(np.zeros(10), 10).tolist() == list(range(10))


def test_buy_and_hold_is_cash_before_a_first_close_and_holds_its_value_after_the_last():
    early = Closes(np.array([1, 2, 3]), np.array([10.0, 20.0, 30.0]))
    late = Closes(np.array([2, 4]), np.array([100.0, 50.0]))
    held = buy_and_hold({"A": early, "B": late})
    assert held.ts.tolist() == [1, 2, 3, 4]
    assert held.close.tolist() == [1.0, 1.5, 2.0, 1.75]


def test_buy_and_hold_of_nothing_is_empty():
    assert len(buy_and_hold({}).ts) == 0
