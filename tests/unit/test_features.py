"""Features as a whole: one definition, no look-ahead, an honest warm-up."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.bars import DAY_NS, Bars, Funding, interval_ns
from core.errors import DataError
from core.features import CLOSED, HOLE, OPEN, Window, compute_features, feature_spec
from tests.unit.random_series import START_NS, random_bars, take

SPEC = feature_spec("5m", "15m")
STEP_NS = interval_ns("5m")
DECISION_NS = interval_ns("15m")


def walk(bars, spec=SPEC, funding=None):
    """Feed a Window as a live program would; return what it showed after each closed decision bar."""
    window = Window(spec)
    settled = 0
    rows = []
    for i, bar in enumerate(zip(*(column.tolist() for column in bars), strict=True)):
        while funding is not None and settled < len(funding.ts) and funding.ts[settled] <= bar[0]:
            window.set_funding(float(funding.rate[settled]))
            settled += 1
        outcome = window.append(*bar)
        if outcome != OPEN:
            rows.append((i, outcome, window.ts_close, window.features.copy(), window.market, window.ready))
    return rows


def assert_same_bits(left, right):
    assert left.dtype == right.dtype
    assert left.tobytes() == right.tobytes()


def leaking_columns(compute, bars, cut):
    """Return the columns of which a row that closes by ``bars.ts_close[cut]`` knows what came after.

    The future is replaced by another market; a column that is honest does not notice, to the last bit.
    """
    other = random_bars(99, len(bars.ts_close) - cut - 1)
    changed = Bars(
        bars.ts_close,
        *(np.concatenate([column[: cut + 1], 3.0 * new]) for column, new in zip(bars[1:], other[1:], strict=True)),
    )
    before, after = compute(bars), compute(changed)
    past = before.ts_close <= bars.ts_close[cut]
    assert past.any()
    assert not np.array_equal(before.features[~past], after.features[~past]), "the future was not changed at all"
    differs = before.features[past].view(np.int32) != after.features[past].view(np.int32)
    return [name for name, touched in zip(SPEC.columns, differs.any(axis=0), strict=True) if touched]


# --- one definition ---------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    keep=st.lists(st.tuples(st.integers(1, 400), st.integers(0, 40)), min_size=1, max_size=6),
    intervals=st.sampled_from([("5m", "15m"), ("5m", "5m"), ("5m", "1h")]),
    taker=st.booleans(),
)
def test_a_history_and_a_feed_give_the_same_bits(seed, keep, intervals, taker) -> None:
    spec = feature_spec(*intervals)
    kept = np.concatenate([np.repeat([True, False], runs) for runs in keep])
    bars = take(random_bars(seed, len(kept), taker=taker), kept)
    funding = Funding(START_NS + DAY_NS // 3 * np.arange(4), np.array([1e-4, -2e-4, 3e-4, 5e-3]))
    frame = compute_features(bars, funding, spec)
    rows = walk(bars, spec, funding)
    assert len(rows) == len(frame.ts_close)
    for row, (i, _, ts_close, features, market, ready) in enumerate(rows):
        assert_same_bits(frame.features[row], features)
        assert (ts_close, ready) == (frame.ts_close[row], frame.ready[row])
        assert market[:6] == tuple(column[row] for column in frame[2:8])
        assert market.minutes_to_funding == 480 - ts_close // 60_000_000_000 % 480
        assert frame.last_base[row] == (i if bars.ts_close[i] == ts_close else i - 1)
        assert bars.ts_close[frame.last_base[row]] <= ts_close


def test_a_window_takes_a_history_at_once_as_bar_by_bar() -> None:
    bars = random_bars(6, 500)
    funding = Funding(START_NS + DAY_NS // 3 * np.arange(4), np.array([1e-4, -2e-4, 3e-4, 5e-3]))
    window = Window(SPEC)
    window.extend(bars, funding)
    assert_same_bits(window.features, walk(bars, SPEC, funding)[-1][3])


def test_features_are_written_into_the_same_array_every_time() -> None:
    window = Window(SPEC)
    first = window.features
    for bar in zip(*(column.tolist() for column in random_bars(0, 12)), strict=True):
        window.append(*bar)
        assert window.features is first


def test_read_only_and_strided_columns_are_taken_as_they_come() -> None:
    bars = random_bars(1, 300)
    twice = Bars(*(np.repeat(column, 2)[::2] for column in bars))
    for column in bars:
        column.flags.writeable = False
    assert_same_bits(compute_features(bars, None, SPEC).features, compute_features(twice, None, SPEC).features)


# --- no look-ahead ----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(10, 2_000))
def test_the_past_does_not_notice_another_future(seed, cut) -> None:
    bars = random_bars(seed, 2_100)
    assert leaking_columns(lambda b: compute_features(b, None, SPEC), bars, cut) == []


def test_a_planted_leak_is_seen() -> None:
    def next_return(bars):
        frame = compute_features(bars, None, SPEC)
        frame.features[:-1, SPEC.columns.index("return_1")] = frame.features[1:, SPEC.columns.index("return_1")]
        return frame

    def whole_sample_mean(bars):
        frame = compute_features(bars, None, SPEC)
        column = frame.features[:, SPEC.columns.index("volume_z")]
        column -= column.mean()
        return frame

    def day_under_way(bars):
        """Show a day's close from its first bar on, as a careless join of timeframes does."""
        frame = compute_features(bars, None, SPEC)
        day = (frame.ts_close - 1) // DAY_NS
        last = np.searchsorted(day, day, side="right") - 1
        frame.features[:, SPEC.columns.index("x96_return")] = np.log(frame.close[last] / frame.close)
        return frame

    bars = random_bars(7, 2_100)
    assert leaking_columns(next_return, bars, 1_500) == ["return_1"]
    assert leaking_columns(whole_sample_mean, bars, 1_500) == ["volume_z"]
    assert leaking_columns(day_under_way, bars, 1_500) == ["x96_return"]


@pytest.mark.parametrize(("column", "length"), [("x4_rsi", 4), ("x16_rsi", 16), ("x96_rsi", 96)])
def test_a_higher_timeframe_moves_only_when_one_of_its_bars_closes(column, length) -> None:
    frame = compute_features(random_bars(2, 3 * 96 * 30), None, SPEC)
    values = frame.features[:, SPEC.columns.index(column)]
    moved = np.flatnonzero(np.diff(values)) + 1
    assert len(moved) > 20
    assert (frame.ts_close[moved] % (length * DECISION_NS) == 0).all()


# --- warm-up ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, 37, 95, 200])
def test_what_came_before_the_warm_up_is_forgotten(offset) -> None:
    bars = random_bars(11, 3 * 4_500)
    skipped = 3 * (1_000 + offset)
    before = np.arange(len(bars.close)) < skipped
    wild = Bars(  # another market before, and a jump of a tenth where it ends
        bars.ts_close,
        *(np.where(before, 1.1 * c, c) for c in bars[1:5]),
        *(np.where(before, 3.0 * c, c) for c in bars[5:]),
    )
    whole = compute_features(wild, None, SPEC)
    late = compute_features(take(bars, slice(skipped, None)), None, SPEC)
    first = int(np.argmax(late.ready))
    assert first == SPEC.warmup_bars
    same = slice(first, None)
    np.testing.assert_allclose(late.features[same], whole.features[-len(late.ts_close) :][same], atol=1e-3, rtol=0.0)
    rank = whole.volatility_rank[-len(late.ts_close) :]
    assert_same_bits(late.volatility_rank[same], rank[same])


def test_the_warm_up_is_short_enough_to_load() -> None:
    assert SPEC.warmup_bars <= 2_000


# --- gaps -------------------------------------------------------------------------------------------------------


def test_outcomes_say_whether_a_decision_bar_closed_whole() -> None:
    bars = random_bars(0, 12)
    late = take(
        bars, np.array([0, 1, 2, 3, 4, 6, 7, 8, 10, 11])
    )  # lacks the last third of the second, the first of the fourth
    rows = walk(late)
    assert [(i, outcome) for i, outcome, *_ in rows] == [(2, CLOSED), (5, HOLE), (7, CLOSED), (9, HOLE)]
    assert [ts for _, _, ts, *_ in rows] == [START_NS + k * DECISION_NS for k in (1, 2, 3, 4)]
    assert compute_features(late, None, SPEC).last_base.tolist() == [2, 4, 7, 9]


def test_a_late_partial_bar_is_folded_in_silently_when_the_new_bar_closes_too() -> None:
    bars = random_bars(0, 9)
    rows = walk(take(bars, np.array([0, 1, 2, 3, 8])))  # 3 is a part of the second bar, 8 the end of the third
    assert [(i, outcome) for i, outcome, *_ in rows] == [(2, CLOSED), (4, HOLE)]
    assert rows[-1][2] == START_NS + 3 * DECISION_NS
    frame = compute_features(take(bars, np.array([0, 1, 2, 3, 8])), None, SPEC)
    change = np.log(bars.close[8] / bars.close[3])  # from the silent bar's close, not from the first one's
    assert np.sign(frame.features[-1, 0]) == np.sign(change)
    assert frame.last_base.tolist() == [2, 4]


@pytest.mark.parametrize("missing", [1, 2, 3, 4, 6, 30])
@pytest.mark.parametrize("phase", [0, 1, 2])
def test_a_hole_makes_its_own_bar_and_the_following_one_unfit(missing, phase) -> None:
    count = 3 * (SPEC.warmup_bars + 60)
    bars = random_bars(5, count)
    hole = 3 * (SPEC.warmup_bars + 30) + phase
    kept = np.ones(count, dtype=bool)
    kept[hole : hole + missing] = False
    frame = compute_features(take(bars, kept), None, SPEC)
    holed = {int(-(-ts // DECISION_NS)) for ts in bars.ts_close[~kept]}
    for row, ts in enumerate(frame.ts_close):
        number = int(ts // DECISION_NS)
        assert frame.ready[row] == (row >= SPEC.warmup_bars and number not in holed and number - 1 not in holed)


def test_base_bars_may_be_decision_bars() -> None:
    spec = feature_spec("5m", "5m")
    bars = random_bars(0, 200)
    kept = np.ones(200, dtype=bool)
    kept[100:110] = False
    rows = walk(take(bars, kept), spec)
    assert {outcome for _, outcome, *_ in rows} == {CLOSED}
    np.testing.assert_array_equal([ts for _, _, ts, *_ in rows], bars.ts_close[kept])


# --- refusals ---------------------------------------------------------------------------------------------------

GOOD = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.5, "volume": 5.0, "taker_buy": 2.0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ts_close": START_NS + STEP_NS + 1}, "grid"),
        ({"ts_close": START_NS}, "after the last"),
        ({"ts_close": START_NS - STEP_NS}, "after the last"),
        ({"high": 98.0}, "high >= low"),
        *[
            ({name: bad}, "finite and positive")
            for name in ("open", "high", "low", "close")
            for bad in (np.nan, np.inf)
        ],
        *[({name: bad}, "positive") for name in ("open", "low", "close") for bad in (0.0, -1.0)],
        *[({"volume": bad}, "volume") for bad in (np.nan, np.inf, -1.0)],
    ],
)
def test_a_bar_that_is_none_is_refused_and_changes_nothing(change, reason) -> None:
    window, untouched = Window(SPEC), Window(SPEC)
    for each in (window, untouched):
        each.append(START_NS, *GOOD.values())
    bar = {"ts_close": START_NS + STEP_NS, **GOOD} | change
    with pytest.raises(ValueError, match=reason):
        window.append(*bar.values())
    assert_same_bits(window._state, untouched._state)

    columns = {"ts_close": START_NS, **GOOD}
    history = Bars(*(np.array([columns[name], bar[name]]) for name in Bars._fields))
    with pytest.raises(DataError, match=f"bar 1 of 2024-.*{reason}"):
        compute_features(history, None, SPEC)


def test_a_funding_rate_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        Window(SPEC).set_funding(float("nan"))
    with pytest.raises(DataError, match="nan"):
        compute_features(random_bars(0, 3), Funding(np.array([START_NS]), np.array([np.nan])), SPEC)


def test_a_history_that_jumps_back_is_refused_where_it_does() -> None:
    bars = random_bars(0, 9_000)
    back = take(bars, np.append(np.arange(6_000, 9_000), 5_999))
    with pytest.raises(DataError, match=r"bar 3000 of .* after the last"):
        compute_features(back, None, SPEC)


def test_no_bars_give_no_rows() -> None:
    frame = compute_features(take(random_bars(0, 3), slice(0, 0)), None, SPEC)
    assert frame.features.shape == (0, SPEC.width)


# --- range and scale --------------------------------------------------------------------------------------------


def pathological():
    bars = random_bars(3, 3 * 1_800)
    flat = np.full_like(bars.close, 1.1)
    half = np.arange(len(flat)) < len(flat) // 2
    spike = np.where(np.arange(len(flat)) == 5_000, 1e6, 1.0)
    yield "constant price", bars._replace(open=flat, high=flat, low=flat, close=flat)
    yield "no volume", bars._replace(volume=0.0 * flat, taker_buy=0.0 * flat)
    yield "no volume, taker unknown", bars._replace(volume=0.0 * flat, taker_buy=np.full_like(flat, np.nan))
    yield "constant, then alive", Bars(bars.ts_close, *(np.where(half, flat, c) for c in bars[1:]))
    yield "alive, then constant", Bars(bars.ts_close, *(np.where(half, c, flat) for c in bars[1:]))
    yield "one absurd bar", Bars(bars.ts_close, *(c * spike for c in bars[1:]))
    yield "tiny prices", Bars(bars.ts_close, *(c * 1e-12 for c in bars[1:]))
    yield "more bought than traded", bars._replace(taker_buy=9.0 * bars.volume)
    yield (
        "exactly alternating",
        bars._replace(open=flat, close=np.where(np.arange(len(flat)) % 2, 1.1, 1.2), high=flat + 0.2, low=flat - 0.2),
    )


@pytest.mark.parametrize(("name", "bars"), list(pathological()))
def test_features_are_finite_and_bounded_from_the_first_row_on(name, bars) -> None:
    frame = compute_features(bars, None, SPEC)
    assert np.isfinite(frame.features).all()
    assert np.abs(frame.features).max() <= 10.0
    for column in (frame.close, frame.atr, frame.volatility, frame.volatility_rank):
        assert np.isfinite(column).all()
    assert (frame.volatility_rank >= 0.0).all()
    assert (frame.volatility_rank <= 1.0).all()


def test_a_market_that_stands_still_says_nothing() -> None:
    frame = compute_features(dict(pathological())["constant price"]._replace(volume=np.ones(5_400)), None, SPEC)
    informative = [c for c in SPEC.columns if c.startswith(("return", "ema", "rsi", "donchian", "bollinger", "x"))]
    assert not frame.features[:, [SPEC.columns.index(c) for c in informative]].any()
    assert not frame.atr.any()
    assert (frame.volatility_rank == 0.5).all()


@pytest.mark.parametrize("factor", [10.0, 0.001])
def test_the_unit_of_price_and_volume_does_not_matter(factor) -> None:
    bars = random_bars(8, 3 * 2_000)
    scaled = Bars(bars.ts_close, *(factor * c for c in bars[1:5]), *(7.0 * c for c in bars[5:]))
    here, there = compute_features(bars, None, SPEC), compute_features(scaled, None, SPEC)
    np.testing.assert_allclose(here.features[here.ready], there.features[there.ready], atol=2e-5)
    np.testing.assert_allclose(here.atr * factor, there.atr)


def test_unknown_taker_flow_is_zero_and_touches_nothing_else() -> None:
    bars = random_bars(8, 3 * 500)
    known = compute_features(bars, None, SPEC)
    unknown = compute_features(bars._replace(taker_buy=np.full(1_500, np.nan)), None, SPEC)
    flow = np.array([c.startswith("taker") for c in SPEC.columns])
    assert not unknown.features[:, flow].any()
    assert_same_bits(known.features[:, ~flow], unknown.features[:, ~flow])


def test_a_rate_counts_from_the_bar_that_closes_at_its_time() -> None:
    bars = random_bars(8, 30)
    settled = START_NS + 4 * DECISION_NS
    frame = compute_features(bars, Funding(np.array([settled]), np.array([2e-4])), SPEC)
    rate = frame.features[:, SPEC.columns.index("funding_rate")]
    np.testing.assert_allclose(rate, np.where(frame.ts_close >= settled, 2.0, 0.0))


@pytest.mark.parametrize("start", [0, 700_000, 1_200_000])
def test_real_history_is_finite_and_in_range(shared_data, start) -> None:
    table = pq.read_table(shared_data / "binancevision-spot-BTCUSDT-1m.parquet").slice(start, 40_000)
    ts_close = table["open_time"].cast("int64").to_numpy() * 1_000_000 + interval_ns("1m")
    names = ("open", "high", "low", "close", "volume", "taker_buy_base")
    frame = compute_features(Bars(ts_close, *(table[name].to_numpy() for name in names)), None, feature_spec())
    ready = frame.features[frame.ready]
    assert len(ready) > 1_000
    assert np.isfinite(frame.features).all()
    assert np.abs(np.median(ready, axis=0)).max() < 2.5
    assert (np.quantile(np.abs(ready), 0.99, axis=0) < 8.0).all()
