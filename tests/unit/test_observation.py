from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.observation import POSITION_COLUMNS, observe, position_inputs

LOT = 0.001


def inputs(**changes: float) -> dict[str, float]:
    """Return the inputs, by name, of a long position with ``changes`` made to it."""
    case = {
        "close": 50_000.0,
        "atr": 100.0,
        "lots": 40,
        "entry_price": 49_500.0,
        "stop_price": 49_800.0,
        "holding_bars": 12,
        "lot": LOT,
        "equity": 10_000.0,
        "drawdown": 0.02,
        "max_holding_bars": 96,
    }
    values = position_inputs(*(case | changes).values())
    return dict(zip(POSITION_COLUMNS, values, strict=True))


def test_a_long_position_is_scaled_as_documented() -> None:
    assert inputs() == pytest.approx(
        {
            "exposure": 0.2,  # 0.04 BTC at 50,000 is 2,000 of 10,000
            "unrealised": 0.02,  # 0.04 BTC * 500 = 20, 0.2 % of equity, times 10
            "holding": 0.125,
            "stop_distance": 0.2,  # 2 ATR above the stop
            "drawdown": 0.2,
        }
    )


def test_a_short_position_mirrors_a_long_one() -> None:
    long = inputs()
    short = inputs(lots=-40, entry_price=50_500.0, stop_price=50_200.0)
    assert short["exposure"] == -long["exposure"]
    for name in ("unrealised", "holding", "stop_distance", "drawdown"):
        assert short[name] == pytest.approx(long[name])


def test_a_flat_position_shows_nothing_but_the_days_drawdown() -> None:
    assert inputs(lots=0) == {
        "exposure": 0.0,
        "unrealised": 0.0,
        "holding": 0.0,
        "stop_distance": 0.0,
        "drawdown": pytest.approx(0.2),
    }


@pytest.mark.parametrize("lots", [40, -40])
def test_a_position_without_a_stop_is_as_far_from_it_as_can_be(lots: int) -> None:
    assert inputs(lots=lots, stop_price=0.0)["stop_distance"] == 1.0
    assert inputs(lots=lots, atr=0.0)["stop_distance"] == 1.0


def test_a_close_beyond_the_stop_is_negative() -> None:
    assert inputs(stop_price=50_100.0)["stop_distance"] == pytest.approx(-0.1)
    assert inputs(stop_price=70_000.0)["stop_distance"] == -1.0


def test_ruin_is_finite() -> None:
    ruined = inputs(equity=-5.0, drawdown=1.0, holding_bars=1_000)
    assert ruined["exposure"] == ruined["unrealised"] == 0.0
    assert ruined["holding"] == ruined["drawdown"] == 1.0


@given(
    lots=st.integers(-10_000, 10_000),
    cents=st.integers(1_000, 10_000_000),
    entry_cents=st.integers(1_000, 10_000_000),
    equity=st.integers(1, 10**7),
)
def test_exposure_and_profit_equal_exact_arithmetic(lots: int, cents: int, entry_cents: int, equity: int) -> None:
    got = inputs(lots=lots, close=cents / 100, entry_price=entry_cents / 100, equity=float(equity))
    size = lots * Decimal("0.001")
    close, entry = Decimal(cents) / 100, Decimal(entry_cents) / 100
    assert got["exposure"] == pytest.approx(float(size * close / equity), rel=1e-9)
    assert got["unrealised"] == pytest.approx(float(10 * size * (close - entry) / equity), rel=1e-9, abs=1e-12)


def test_an_observation_is_the_features_followed_by_the_position() -> None:
    features = np.linspace(-1.0, 1.0, 7, dtype=np.float32)
    out = np.full(7 + len(POSITION_COLUMNS), np.nan, dtype=np.float32)
    observe(features, 0.1, 0.2, 0.3, 0.4, 0.5, out)
    np.testing.assert_array_equal(out, np.concatenate([features, np.float32([0.1, 0.2, 0.3, 0.4, 0.5])]))
