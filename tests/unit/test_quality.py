"""Faults of bars: planted ones are found, each as it was planted, and a sound series has none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.quality import FAULT_KINDS, UNKNOWN_TIME, Fault, Klines, find_faults

MINUTE = 60_000_000_000
START = 1_700_000_040_000_000_000 // MINUTE * MINUTE


def sound(n: int, *, seed: int = 1) -> Klines:
    """A series without a fault."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.001, n)))
    open_ = np.concatenate(([100.0], close[:-1]))
    stamps = START + MINUTE * np.arange(n, dtype=np.int64)
    return Klines(
        stamps, open_, np.maximum(open_, close) * 1.0005, np.minimum(open_, close) * 0.9995, close,
        random.uniform(1.0, 2.0, n), stamps + MINUTE - 1_000_000,
    )  # fmt: skip


def rows(klines: Klines, index) -> Klines:
    return Klines(*(column[index] for column in klines))


def faults_of(klines: Klines, **options) -> list[Fault]:
    return find_faults(klines, interval_ns=MINUTE, **options)


def only(klines: Klines, **options) -> Fault:
    (fault,) = faults_of(klines, **options)
    return fault


def at(i: int) -> int:
    return START + i * MINUTE


@given(st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_a_sound_series_has_no_faults(n, seed):
    assert faults_of(sound(n, seed=seed)) == []


@given(st.sets(st.integers(1, 118)))
def test_gaps_name_exactly_the_bars_that_were_removed(removed):
    kept = [i for i in range(120) if i not in removed]
    found = faults_of(rows(sound(120), kept))
    assert {fault.kind for fault in found} <= {"gap"}
    named = [ts for f in found for ts in range(f.ts_from, f.ts_to + 1, MINUTE)]
    assert named == [at(i) for i in sorted(removed)]
    assert sum(fault.count for fault in found) == len(removed)


@given(st.lists(st.integers(0, 59), unique=True, max_size=20))
def test_duplicates_count_the_rows_too_many(repeated):
    series = rows(sound(60), sorted([*range(60), *repeated]))
    found = faults_of(series)
    assert {fault.kind for fault in found} <= {"duplicate"}
    assert sum(fault.count for fault in found) == len(repeated)
    assert {ts for f in found for ts in (f.ts_from, f.ts_to)} <= {at(i) for i in repeated}


@given(st.permutations(range(12)))
def test_disorder_is_every_row_below_one_above_it(order):
    found = faults_of(rows(sound(12), list(order)))
    assert {fault.kind for fault in found} <= {"disorder"}
    late = [i for k, i in enumerate(order) if any(j > i for j in order[:k])]
    assert sum(fault.count for fault in found) == len(late)


@pytest.mark.parametrize(
    ("column", "value"),
    [("high", 1.0), ("low", 1e6), ("open", 0.0), ("close", -1.0), ("high", np.nan), ("low", np.inf),
     ("volume", -1.0), ("volume", np.nan)],
)  # fmt: skip
def test_an_impossible_bar_is_found_and_is_no_jump(column, value):
    series = sound(100)
    getattr(series, column)[40] = value
    fault = only(series)
    assert (fault.kind, fault.ts_from, fault.ts_to, fault.count) == ("ohlc", at(40), at(40), 1)


@given(st.integers(1, 60), st.integers(1, 60))
def test_a_run_without_volume_is_a_fault_from_its_least_length_on(length, least):
    series = sound(100)
    series.volume[20 : 20 + length] = 0.0
    found = faults_of(series, zero_run=least)
    expected = [Fault("zero_volume_run", at(20), at(20 + length - 1), length, "no volume")]
    assert found == (expected if length >= least else [])


def test_a_run_without_volume_ends_at_a_gap():
    series = sound(100)
    series.volume[20:60] = 0.0
    found = faults_of(rows(series, [i for i in range(100) if i != 40]), zero_run=15)
    assert [(f.kind, f.count) for f in found] == [("zero_volume_run", 20), ("gap", 1), ("zero_volume_run", 19)]


@pytest.mark.parametrize(("column", "factor"), [("high", 1.2), ("low", 0.8)])
def test_a_price_far_from_the_close_before_is_a_jump(column, factor):
    series = sound(500)
    getattr(series, column)[250] = series.close[249] * factor
    fault = only(series)
    assert (fault.kind, fault.ts_from) == ("price_jump", at(250))
    assert f"{np.log(factor):+.4f}" in fault.detail
    assert faults_of(series, jump_least=0.25) == []


def test_a_move_that_is_usual_for_the_series_is_no_jump():
    series = sound(500)
    wild = np.exp(np.log(series.close / 100.0) * 100.0) * 100.0  # deviations a hundredfold: 10 % a bar
    opened = np.concatenate(([100.0], wild[:-1]))
    series = series._replace(open=opened, high=np.maximum(opened, wild), low=np.minimum(opened, wild), close=wild)
    assert faults_of(series) == []
    assert len(faults_of(series, jump_sigmas=1.0)) > 0


@pytest.mark.parametrize("early_ns", [1_000_000, 1_000])
def test_a_close_a_millisecond_or_a_microsecond_early_is_usual(early_ns):
    series = sound(10)
    assert faults_of(series._replace(close_time=series.open_time + MINUTE - early_ns)) == []


def test_an_odd_close_time_is_found_and_an_unknown_one_is_not():
    series = sound(10)
    series.close_time[:] = UNKNOWN_TIME
    series.close_time[3] = series.open_time[3] + 41_646_000_000
    fault = only(series)
    assert (fault.kind, fault.ts_from, fault.detail) == ("odd_close_time", at(3), "closes 41.646 s after its open")


def test_a_bar_between_two_intervals_is_off_the_grid():
    series = sound(10)
    series.open_time[5] += 1_000_000_000
    series.close_time[5] += 1_000_000_000
    assert [fault.kind for fault in faults_of(series)] == ["off_grid"]


def test_faults_stand_in_order_of_time_and_every_kind_is_named():
    series = sound(300)
    series.volume[10:50] = 0.0
    series.high[100] = 1.0
    series.low[120] = series.close[119] * 0.5
    series.close_time[150] += 7
    series.open_time[299] += 1
    series.close_time[299] += 1
    series = rows(series, [*range(200), 199, 198, *range(205, 300)])
    found = faults_of(series)
    assert [f.ts_from for f in found] == sorted(f.ts_from for f in found)
    assert {fault.kind for fault in found} == set(FAULT_KINDS)
