"""The fill rule as data, against the rule written out by hand."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.replay_stream import quote_ticks
from core.bars import Bars

MINUTE = 60_000_000_000


@st.composite
def bars(draw):
    n = draw(st.integers(1, 6))
    rows = []
    for _ in range(n):
        prices = sorted(draw(st.lists(st.integers(1_000, 900_000), min_size=4, max_size=4)))
        low, a, b, high = prices
        open_, close = draw(st.permutations([a, b]))
        rows.append((open_ / 10, high / 10, low / 10, close / 10))
    columns = np.array(rows).T.copy()
    stamps = np.arange(1, n + 1, dtype=np.int64) * MINUTE
    return Bars(stamps, *columns, np.ones(n), np.full(n, np.nan))


@settings(max_examples=300, deadline=None)
@given(bars(), st.sampled_from([0.0, 0.0001, 0.001]))
def test_quotes_walk_through_the_bar_and_stand_away_from_its_prices(history, away):
    bid, ask, ts = quote_ticks(history, away=away, tick=0.1, length_ns=MINUTE)
    assert len(bid) == len(ask) == len(ts) == 4 * len(history.open)
    assert (np.diff(ts) > 0).all()
    for i in range(len(history.open)):
        o, h, low, c = history.open[i], history.high[i], history.low[i], history.close[i]
        first, second = (h, low) if h - o < o - low else (low, h)
        opened = history.ts_close[i] - MINUTE
        assert ts[4 * i] == opened + 1_000_000
        assert opened < ts[4 * i + 3] < history.ts_close[i]
        for k, price in enumerate((o, first, second, c)):
            assert bid[4 * i + k] <= np.floor(price * (1 - away) * 10 + 1e-5)
            assert ask[4 * i + k] >= np.ceil(price * (1 + away) * 10 - 1e-5)
            assert ask[4 * i + k] - bid[4 * i + k] <= price * away * 20 + 2


def test_longer_bars_stretch_their_quotes_but_open_at_once():
    one = Bars(np.array([900_000_000_000]), *(np.array([x]) for x in (10.0, 11.0, 9.0, 10.5, 1.0, 0.5)))
    _, _, ts = quote_ticks(one, away=0.0, tick=0.1, length_ns=15 * MINUTE)
    assert ts.tolist() == [1_000_000, 300 * 10**9, 600 * 10**9, 885 * 10**9]
