"""Implementation shortfall against closed forms and against the paper portfolio."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.fills import Fills, slippage_bps
from core.shortfall import shortfall, shortfall_by_parent, summarised


def cost(side=1, wanted=10.0, decision=100.0, arrival=100.0, fills=(), fees=0.0, ending=100.0):
    return shortfall(
        side=side,
        wanted=wanted,
        decision_price=decision,
        arrival_price=arrival,
        quantity=np.array([q for q, _ in fills]),
        price=np.array([p for _, p in fills]),
        fees=fees,
        ending_price=ending,
    )


def test_perolds_parts_of_an_order_that_is_half_filled():
    half = cost(fills=[(3.0, 101.0), (2.0, 102.0)], arrival=100.5, fees=0.5, ending=104.0)
    assert half.delay == pytest.approx(5 * 0.5 / 1000 * 1e4)
    assert half.impact == pytest.approx((3 * 0.5 + 2 * 1.5) / 1000 * 1e4)
    assert half.fees == pytest.approx(5.0)
    assert half.opportunity == pytest.approx(5 * 4 / 1000 * 1e4)
    assert half.filled == 0.5
    assert half.price == pytest.approx(70.0)
    assert half.total == pytest.approx(275.0)


def test_a_fill_at_the_arrival_price_costs_its_fee_alone_and_no_fill_costs_the_opportunity():
    assert cost(fills=[(10.0, 100.0)], fees=0.5).total == pytest.approx(5.0)
    assert cost(ending=99.0).total == pytest.approx(-100.0), "a buy that was missed in a falling market"
    assert cost(-1, ending=99.0).total == pytest.approx(100.0)
    assert cost().filled == 0.0


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([1, -1]), st.floats(1.0, 1e3), st.floats(90, 110), st.floats(90, 110), st.floats(0.0, 10.0),
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(90, 110)), max_size=8),
)  # fmt: skip
def test_the_parts_sum_to_the_paper_portfolio_less_the_real_one(side, wanted, arrival, ending, fees, parts):
    fills = [(share * wanted / 8, price) for share, price in parts]
    found = cost(side, wanted, 100.0, arrival, fills, fees, ending)
    paper = side * wanted * (ending - 100.0)
    real = side * sum(quantity * (ending - price) for quantity, price in fills) - fees
    assert found.total == pytest.approx((paper - real) / (wanted * 100.0) * 1e4, abs=1e-6)


def test_slices_count_for_their_parent_and_agree_with_the_slippage_of_all_fills():
    fills = Fills(
        ts=np.arange(4),
        instrument_id=["X"] * 4,
        quantity=np.array([1.0, 3.0, -2.0, 1.0]),
        price=np.array([101.0, 102.0, 100.0, 100.0]),
        commission=np.array([0.1, 0.2, 0.3, 0.4]),
        arrival_price=np.array([100.0, 100.0, 101.0, 100.0]),
    )
    costs = shortfall_by_parent(fills, ["P-E1", "P-E2", "Q", "R-E7"])
    assert list(costs) == ["P", "Q", "R"]
    assert costs["P"].price == pytest.approx((1 * 1 + 3 * 2) / 400 * 1e4)
    assert costs["P"].fees == pytest.approx(0.3 / 400 * 1e4)
    assert costs["Q"].price == pytest.approx(1 / 101 * 1e4)
    weights = np.array([400.0, 202.0, 100.0])
    weighted = sum(w * c.price for w, c in zip(weights, costs.values(), strict=True)) / weights.sum()
    assert weighted == pytest.approx(slippage_bps(fills))


def test_the_spread_of_shortfalls_is_that_of_the_sample():
    found = summarised([float(k) for k in range(101)])
    assert found is not None
    assert tuple(found) == (101, 50.0, 50.0, 5.0, 95.0)
    assert summarised([]) is None
