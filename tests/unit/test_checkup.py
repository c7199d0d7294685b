"""What the doctor makes of what it finds."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.checkup import (
    Check,
    KeyRights,
    Sizes,
    check_balance,
    check_clock,
    check_least,
    check_mode,
    check_rights,
    check_settings,
    check_size,
    exit_code,
    refuse_rights,
)
from core.errors import RefusedError
from core.situation import Instrument

SAFE = KeyRights(read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True)
SIZES = Sizes(
    loss_per_trade=0.01, max_exposure=0.5, max_capital=0.5, max_instrument=0.4, max_order_notional=100_000.0,
    nearest_stop=0.002, farthest_stop=0.1, cost=0.001,
)  # fmt: skip
BTC = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=120_000, min_notional=100.0)
DOGE = Instrument(tick=0.00001, lot=1.0, min_lots=1, max_lots=10**7, min_notional=5.0)


def verdicts(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.verdict for check in checks}


@pytest.mark.parametrize(
    ("offset", "verdict"), [(0.0, "ok"), (-500.0, "ok"), (500.1, "warn"), (-1_000.0, "warn"), (-1_000.1, "fail")]
)
def test_the_clock_is_held_to_both_limits_in_both_directions(offset, verdict):
    assert check_clock(offset, 20.0, limit_ms=500.0, refuse_ms=1_000.0).verdict == verdict


@pytest.mark.parametrize("environment", ["demo", "testnet", "mainnet"])
def test_a_key_that_can_withdraw_is_refused_wherever_it_is_found(environment):
    checks = check_rights(SAFE._replace(withdraw=True), environment=environment, can_trade=True)
    assert verdicts(checks)["key may not withdraw"] == "refuse"
    assert exit_code(checks) == 3
    with pytest.raises(RefusedError, match=r"^key may not withdraw: it may withdraw; delete this key"):
        refuse_rights(SAFE._replace(withdraw=True), environment)
    refuse_rights(SAFE, environment)


def test_rights_that_are_not_told_trade_no_real_money():
    assert exit_code(check_rights(None, environment="testnet", can_trade=True)) == 0
    assert exit_code(check_rights(None, environment="mainnet", can_trade=True)) == 3
    refuse_rights(None, "testnet")
    with pytest.raises(RefusedError, match="mainnet does not say"):
        refuse_rights(None, "mainnet")


@pytest.mark.parametrize(
    ("rights", "can_trade", "environment", "name", "verdict"),
    [
        (SAFE, True, "mainnet", "key may trade", "ok"),
        (SAFE._replace(trade=False), True, "mainnet", "key may trade", "fail"),
        (SAFE, False, "testnet", "key may trade", "fail"),
        (None, False, "testnet", "key may trade", "fail"),
        (SAFE._replace(transfer=True), True, "mainnet", "key may not transfer", "warn"),
        (SAFE._replace(ip_restricted=False), True, "mainnet", "key is bound to addresses", "fail"),
        (SAFE._replace(ip_restricted=False), True, "testnet", "key is bound to addresses", "warn"),
    ],
)
def test_each_right_has_its_verdict(rights, can_trade, environment, name, verdict):
    assert verdicts(check_rights(rights, environment=environment, can_trade=can_trade))[name] == verdict


def test_hedge_mode_and_multi_assets_mode_fail():
    assert verdicts(check_mode(hedge=False, multi_assets=False)) == {
        "position mode": "ok", "margin mode of the account": "ok",
    }  # fmt: skip
    assert set(verdicts(check_mode(hedge=True, multi_assets=True)).values()) == {"fail"}


@pytest.mark.parametrize(
    ("margin_type", "leverage", "held", "verdict"),
    [("isolated", 1, False, "ok"), ("cross", 1, False, "warn"), ("isolated", 20, False, "warn"),
     ("cross", 1, True, "fail"), ("isolated", 1, True, "ok")],
)  # fmt: skip
def test_a_margin_that_differs_is_set_at_the_start_unless_a_position_stands(margin_type, leverage, held, verdict):
    check = check_settings("BTCUSDT", margin_type=margin_type, leverage=leverage, held=held,
                           wanted_type="isolated", wanted_leverage=1)  # fmt: skip
    assert check.verdict == verdict


def test_a_denied_size_is_told_in_plain_numbers():
    check = check_size("DOGEUSDT", DOGE, price=0.4, equity=10.8, sizes=SIZES, least=0.1)
    assert (check.verdict, check.found) == ("fail", "needs 5.20, could place 4.00 at the most")
    check = check_size("DOGEUSDT", DOGE, price=0.4, equity=1_000.0, sizes=SIZES, least=0.1)
    assert (check.verdict, check.found) == (
        "ok", "needs 5.20, could place 400.00 at the most, 9.60 in the worst of times",
    )  # fmt: skip
    assert check_size("BTCUSDT", BTC, price=50_000.0, equity=2_000.0, sizes=SIZES, least=0.1).verdict == "warn"


@given(
    price=st.floats(0.01, 100_000.0),
    lot=st.sampled_from([0.001, 0.01, 0.1, 1.0, 10.0]),
    minimum=st.sampled_from([5.0, 20.0, 100.0]),
    equity=st.floats(1.0, 1e6),
)
def test_what_is_called_possible_is_within_every_limit_and_above_the_exchanges(price, lot, minimum, equity):
    """Recomputed by trying lots one after the other, where there are few enough."""
    instrument = Instrument(0.01, lot, 1, 10**9, minimum)
    check = check_size("X", instrument, price=price, equity=equity, sizes=SIZES, least=0.1)
    most = min(0.01 * equity / (0.002 + 0.001), 0.4 * equity, 100_000.0)
    fitting = [n for n in range(1, 2_000) if minimum <= n * lot * price * (1 + 1e-9)]
    if not fitting:
        return
    feasible = fitting[0] * lot * price <= most * (1 + 1e-9)
    assert (check.verdict != "fail") == feasible or math.isclose(fitting[0] * lot * price, most, rel_tol=1e-6)


def test_what_there_must_be_enough_of():
    assert check_balance(0.0, 0.0, "USDT").verdict == check_balance(5.0, 0.0, "USDT").verdict == "fail"
    assert check_balance(5.0, 1.0, "USDT").verdict == "ok"
    assert check_least("disk", 1.99, 2.0, "GB free", "make room").verdict == "fail"
    assert check_least("disk", 2.0, 2.0, "GB free", "make room").verdict == "ok"


def test_the_worst_verdict_makes_the_exit_code():
    def lines(*names: str) -> list[Check]:
        return [Check("x", name, "") for name in names]  # type: ignore[arg-type]

    assert exit_code(lines("ok", "skip", "warn")) == 0
    assert exit_code(lines("ok", "fail", "warn")) == 1
    assert exit_code(lines("refuse", "fail", "ok")) == 3
