"""Slices: exact sums, the filters of every real symbol, shares of the volume, reproducible chance."""

from math import ceil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.instruments import load_exchange_info, parse_exchange_info
from core.situation import Instrument
from core.slices import least_lots, parent_of, participation, seed_of, twap

BITCOIN = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=120_000, min_notional=100.0)
MINUTE = 60_000_000_000


@st.composite
def filters(draw: st.DrawFn) -> Instrument:
    """Draw filters as odd as real ones."""
    least = draw(st.integers(1, 1000))
    return Instrument(
        tick=10.0 ** draw(st.integers(-8, 1)),
        lot=10.0 ** draw(st.integers(-8, 3)),
        min_lots=least,
        max_lots=draw(st.integers(2 * least, 10**9)),
        min_notional=draw(st.sampled_from([0.0, 5.0, 20.0, 100.0])),
    )


@pytest.fixture(scope="session")
def symbols(shared_data: Path) -> list[tuple[str, Instrument]]:
    """Every symbol of the three recorded lists of filters."""
    found = []
    for path in sorted((shared_data / "raw" / "exchange_info").glob("*")):
        market = "spot" if path.name.startswith("spot") else "um"
        found += [
            (info.id, info.filters()) for info in parse_exchange_info(load_exchange_info(str(path)), market=market)
        ]
    return found


def check(pieces, total, *, slices, duration_ns, instrument, price):
    assert sum(piece.lots for piece in pieces) == total
    times = [piece.at_ns for piece in pieces]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] < duration_ns
    least = max(instrument.min_lots, ceil(instrument.min_notional / (instrument.lot * price)))
    if total >= least:
        assert all(piece.lots >= least for piece in pieces)
    else:
        assert len(pieces) == 1
    if total <= instrument.max_lots * max(slices, 1):
        assert all(piece.lots <= instrument.max_lots for piece in pieces)
    assert all(piece.lots > 0 for piece in pieces)


@settings(max_examples=600, deadline=None)
@given(
    filters(), st.floats(1e-3, 1e6), st.integers(1, 10**9), st.integers(1, 100), st.integers(100, 10**13),
    st.floats(0.0, 1.0), st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_slices_by_time_sum_to_the_order_in_order_of_time_and_keep_the_filters(
    instrument, price, total, slices, duration_ns, jitter, seed
):
    total = min(total, instrument.max_lots)
    chosen = {"slices": slices, "duration_ns": duration_ns, "instrument": instrument, "price": price}
    pieces = twap(total, **chosen, jitter=jitter, seed=seed)
    check(pieces, total, **chosen)
    assert len(pieces) <= slices
    assert pieces == twap(total, **chosen, jitter=jitter, seed=seed), "the same seed, the same slices"


def test_slices_keep_the_filters_of_every_real_symbol(symbols):
    assert len(symbols) > 1500
    for name, instrument in symbols:
        for worth in (1.0, 3.3, 40.0):
            for price in (instrument.tick * 7, instrument.tick * 1e5):
                total = ceil(worth * max(instrument.min_lots, instrument.min_notional / (instrument.lot * price), 1))
                total = min(total, instrument.max_lots)
                chosen = {"slices": 12, "duration_ns": MINUTE, "instrument": instrument, "price": price}
                check(twap(total, **chosen, jitter=0.5, seed=seed_of(name)), total, **chosen)


def test_without_jitter_slices_are_equal_and_equally_far_apart():
    pieces = twap(6000, slices=6, duration_ns=6 * MINUTE, instrument=BITCOIN, price=60_000.0, jitter=0.0, seed=1)
    assert [piece.lots for piece in pieces] == [1000] * 6
    assert [piece.at_ns for piece in pieces] == [k * MINUTE for k in range(6)]


def test_jitter_strays_as_far_as_it_says_and_is_unbiased():
    firsts, times = [], []
    for number in range(400):
        pieces = twap(
            100_000, slices=5, duration_ns=5 * MINUTE, instrument=BITCOIN, price=60_000.0, jitter=0.5,
            seed=seed_of(f"P{number}"),
        )  # fmt: skip
        firsts.append(pieces[0].lots)
        times.append(pieces[0].at_ns)
        sizes = [piece.lots for piece in pieces]
        assert max(sizes) <= 3.0 * min(sizes) + 5, "weights lie within one half and three halves"
    assert sum(firsts) / 400 == pytest.approx(20_000, rel=0.05)
    assert sum(times) / 400 == pytest.approx(MINUTE / 4, rel=0.1)
    assert max(times) < MINUTE / 2


def test_an_order_worth_less_than_two_slices_is_one_and_due_at_once():
    chosen = {"slices": 6, "duration_ns": MINUTE, "instrument": BITCOIN, "price": 50_000.0, "jitter": 0.3, "seed": 1}
    assert twap(3, **chosen) == ((0, 3),)
    assert [piece.lots for piece in twap(6, **chosen)] == [3, 3], "3 lots are 150 USDT, 2 are below 105"


def test_an_order_above_the_venues_maximum_is_cut_into_more_slices_than_asked():
    small = BITCOIN._replace(max_lots=10)
    pieces = twap(95, slices=2, duration_ns=MINUTE, instrument=small, price=60_000.0, jitter=1.0, seed=3)
    assert sum(piece.lots for piece in pieces) == 95
    assert max(piece.lots for piece in pieces) <= 10


@settings(max_examples=300, deadline=None)
@given(
    filters(), st.floats(1e-3, 1e6), st.integers(1, 10**7), st.floats(0.001, 1.0), st.floats(0.0, 1.0),
    st.lists(st.floats(0.0, 1e6), min_size=1, max_size=60), st.integers(0, 2**64 - 1),
)  # fmt: skip
def test_a_share_of_the_volume_is_never_exceeded_and_no_rest_is_too_small(
    instrument, price, total, rate, jitter, volumes, seed
):
    total = min(total, instrument.max_lots)
    least = least_lots(instrument, price)
    sent, traded = 0, 0.0
    for volume in volumes:
        traded += volume
        lots = participation(
            total - sent, sent_lots=sent, traded_lots=traded, rate=rate, instrument=instrument, price=price,
            jitter=jitter, seed=seed,
        )  # fmt: skip
        assert lots >= 0
        sent += lots
        assert sent <= min(total, rate * traded)
        assert lots <= instrument.max_lots
        rest = total - sent
        if lots > 0 and total >= least:
            assert rest == 0 or rest >= least
            assert lots >= least or rest == 0


def test_a_share_of_the_volume_is_taken_as_soon_as_the_minimum_is_due():
    def due(traded: float, jitter: float = 0.0) -> int:
        return participation(
            50, sent_lots=0, traded_lots=traded, rate=0.1, instrument=BITCOIN, price=50_000.0, jitter=jitter, seed=1
        )

    assert [due(29.9), due(30.0), due(400.0), due(479.0), due(1e9)] == [0, 3, 40, 47, 50]
    assert due(30.0, jitter=1.0) == 0, "a random multiple of the minimum is waited for"
    assert due(60.0, jitter=1.0) == 6


def test_the_name_of_a_slice_says_whose_it_is():
    assert parent_of("RL-001-E") == "RL-001-E"
    assert parent_of("RL-001-1700-E1") == "RL-001-1700"
    assert parent_of("RL-001-1700-E1-E20") == "RL-001-1700-E1"
    assert seed_of("P1") != seed_of("P2")
