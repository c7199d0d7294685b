"""The market that decisions see beside the features, recomputed from the bars and the rates."""

import numpy as np
import pytest

from core.bars import DAY_NS, Bars, Funding, interval_ns
from core.features import compute_features, feature_spec, minutes_to_funding
from core.tape import C, R, new_tape
from tests.unit.random_series import random_bars

MINUTE_NS = 60_000_000_000
SPEC = feature_spec("5m", "15m")
START_NS = 19_675 * DAY_NS


def market(count=900, *, missing=()):
    bars = random_bars(5, count)
    kept = np.setdiff1d(np.arange(count), missing)
    bars = Bars(*(column[kept] for column in bars))
    ts = bars.ts_close[0] + DAY_NS // 3 * np.arange(-2, 9)
    return bars, Funding(ts, 1e-4 * (1.0 + np.arange(11)))


def test_the_previous_close_is_that_of_the_decision_bar_before():
    bars, funding = market()
    frame = compute_features(bars, funding, SPEC)
    assert frame.previous_close[0] == 0.0
    np.testing.assert_array_equal(frame.previous_close[1:], frame.close[:-1])


def test_a_decision_bar_that_is_known_too_late_to_be_decided_on_is_still_the_one_before():
    bars, funding = market(missing=(302,))
    frame = compute_features(bars, funding, SPEC)
    tape = new_tape(bars, frame, funding, base_ns=interval_ns("5m"))
    late = int(np.flatnonzero(np.diff(tape.ts_close) == 30 * MINUTE_NS)[0])
    lost = np.flatnonzero(bars.ts_close < tape.ts_close[late + 1] - 15 * MINUTE_NS)[-1]
    assert tape.rows[late + 1, R.previous_close] == bars.close[lost] != tape.rows[late, R.close]


def test_the_funding_rate_is_the_last_one_settled_at_or_before_the_close():
    bars, funding = market()
    frame = compute_features(bars, funding, SPEC)
    tape = new_tape(bars, frame, funding, base_ns=interval_ns("5m"))
    last = np.searchsorted(funding.ts, tape.ts_close, side="right") - 1
    np.testing.assert_array_equal(tape.rows[:, R.funding_rate], funding.rate[last])
    assert len(set(last)) > 5
    assert not compute_features(bars, None, SPEC).funding_rate.any()


def test_a_rate_of_the_future_changes_nothing_before_it():
    bars, funding = market()
    changed = funding._replace(rate=np.where(np.arange(11) > 5, 0.5, funding.rate))
    before, after = (compute_features(bars, rates, SPEC) for rates in (funding, changed))
    known = before.ts_close < funding.ts[6]
    assert 0 < known.sum() < len(known)
    np.testing.assert_array_equal(before.funding_rate[known], after.funding_rate[known])
    assert (before.funding_rate[~known] != after.funding_rate[~known]).all()


@pytest.mark.parametrize(("minutes", "left"), [(0, 480), (1, 479), (479, 1), (480, 480), (1_435, 5)])
def test_funding_is_due_at_multiples_of_eight_hours(minutes, left):
    assert minutes_to_funding(START_NS + minutes * MINUTE_NS) == left


def test_a_tape_knows_when_its_base_bars_closed_and_its_rates_settled():
    bars, funding = market()
    tape = new_tape(bars, compute_features(bars, funding, SPEC), funding, base_ns=interval_ns("5m"))
    np.testing.assert_array_equal(tape.base[:, 4].astype(np.int64) * 1_000_000, bars.ts_close)
    known = funding.ts[funding.ts >= bars.ts_close[0]]
    np.testing.assert_array_equal(tape.funding[:, 2].astype(np.int64) * 1_000_000, known)
    first = tape.clock[:-1, C.first_base]
    np.testing.assert_array_equal(tape.base[first - 1, 4].astype(np.int64) * 1_000_000, tape.ts_close)
