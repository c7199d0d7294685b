"""Margin, liquidation, funding and settings at the stand-in exchange, against figures worked out by hand."""

from decimal import Decimal

import pytest

from tests.venue.bench import BTC, SOL, Bench

FEE, KEEP = Decimal("0.0005"), Decimal("0.004")


def held(side, quantity, price, *, leverage, isolated, balance=10_000.0, **params):
    """Return a bench with one position, bought or sold a tick away from a price."""
    bench = Bench(balance=balance, **params)
    bench.price(price)
    if isolated:
        bench.ask("POST", "v1/marginType", symbol=BTC, marginType="ISOLATED")
    bench.ask("POST", "v1/leverage", symbol=BTC, leverage=leverage)
    bench.order(side, quantity)
    return bench, Decimal(bench.trades()[0]["price"])


def test_isolated_margin_is_set_aside_given_back_by_share_and_never_more_than_that_is_lost():
    bench, entry = held("BUY", "0.200", 40_000, leverage=10, isolated=True)
    row, aside = bench.position(), entry * Decimal("0.2") / 10
    assert (Decimal(row["isolatedWallet"]), row["marginType"], row["leverage"]) == (aside, "isolated", "10")
    bench.order("SELL", "0.050")
    assert Decimal(bench.position()["isolatedWallet"]) == aside * 3 / 4
    account = bench.ask("GET", "v2/account")
    assert Decimal(account["totalCrossWalletBalance"]) + aside * 3 / 4 == bench.exchange.wallet


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("leverage", [1, 5, 50])
def test_an_isolated_position_ends_where_its_margin_is_its_maintenance(side, leverage):
    """LP = EP (1 -/+ 1/L) / (1 -/+ MMR): what is left there is exactly the maintenance margin."""
    bench, entry = held(side, "0.100", 40_000, leverage=leverage, isolated=True, balance=50_000.0)
    way = 1 if side == "BUY" else -1
    expected = entry * (1 - way / Decimal(leverage)) / (1 - way * KEEP)
    told = Decimal(bench.position()["liquidationPrice"])
    assert abs(told - expected) < Decimal("1e-7")
    if expected <= 0:
        return
    bench.price(40_000, mark=expected * (1 + way * Decimal("1e-6")))
    assert Decimal(bench.position()["positionAmt"]) == way * Decimal("0.1")
    assert len(bench.events("MARGIN_CALL")) == 1 or expected > 39_999
    bench.price(40_000, mark=expected * (1 - way * Decimal("1e-6")))
    assert Decimal(bench.position()["positionAmt"]) == 0


def test_a_cross_position_ends_where_the_whole_account_is_its_maintenance():
    bench, entry = held("BUY", "2.000", 40_000, leverage=20, isolated=False)
    bench.price(100, SOL)
    bench.order("SELL", "50", symbol=SOL)
    other = Decimal(bench.trades(SOL)[0]["price"]) * 50
    wallet = bench.exchange.wallet
    for btc, sol in ((40_000, 104), (39_000, 98)):
        bench.price(sol, SOL)
        bench.price(btc)
        other_profit, other_keep = other - 50 * Decimal(sol), 50 * Decimal(sol) * KEEP
        expected = (wallet + other_profit - other_keep - 2 * entry) / (2 * (KEEP - 1))
        assert abs(Decimal(bench.position()["liquidationPrice"]) - expected) < Decimal("1e-6")
    bench.price(35_000, mark=expected - Decimal("0.01"))
    assert [Decimal(bench.position(each)["positionAmt"]) for each in (BTC, SOL)] == [0, 0]
    assert bench.exchange.wallet >= 0


def test_a_liquidation_is_the_exchanges_own_order_and_its_fee_the_insurance_funds():
    bench, entry = held("BUY", "0.100", 40_000, leverage=10, isolated=True)
    before = bench.exchange.wallet
    bench.order("BUY", "0.010", "36000.0", newClientOrderId="resting")
    bench.price(36_100)
    told = bench.events("ORDER_TRADE_UPDATE")
    assert bench.states("resting")[-1] == ("EXPIRED", "EXPIRED")
    own = [each for each in told if each["c"].startswith("autoclose-")]
    assert [(each["x"], each["X"]) for each in own] == [("NEW", "NEW"), ("CALCULATED", "FILLED")]
    cleared = [row for row in bench.ask("GET", "v1/income", symbol=BTC) if row["incomeType"] == "INSURANCE_CLEAR"]
    assert len(cleared) == 1
    assert bench.events("ACCOUNT_UPDATE")[-1]["m"] == "INSURANCE_CLEAR"
    lost = Decimal("0.1") * (entry - Decimal("36099.9")) + Decimal("0.1") * Decimal("36099.9") * (FEE + Decimal("0.02"))
    assert before - bench.exchange.wallet == min(entry * Decimal("0.1") / 10, lost)


def test_a_gap_through_the_bankruptcy_price_costs_no_more_than_what_was_set_aside():
    bench, _ = held("BUY", "0.100", 40_000, leverage=10, isolated=True)
    aside, wallet = Decimal(bench.position()["isolatedWallet"]), bench.exchange.wallet
    bench.price(20_000)
    assert bench.exchange.wallet == wallet - aside
    bench, _ = held("BUY", "2.000", 40_000, leverage=10, isolated=False)
    bench.price(20_000)
    assert bench.exchange.wallet == 0


@pytest.mark.parametrize(("side", "rate"), [("BUY", 0.0001), ("SELL", 0.0001), ("BUY", -0.00375)])
@pytest.mark.parametrize("isolated", [True, False])
def test_funding_is_position_times_mark_times_rate(side, rate, isolated):
    bench, _ = held(side, "0.100", 40_000, leverage=2, isolated=isolated)
    wallet = bench.exchange.wallet
    bench.exchange.settle_funding(BTC, rate, 41_234.56)
    paid = Decimal(str(rate)) * Decimal("41234.56") * (Decimal("0.1") if side == "BUY" else Decimal("-0.1"))
    assert bench.exchange.wallet == wallet - round(paid, 8)
    told = bench.events("ACCOUNT_UPDATE")[-1]
    assert (told["m"], Decimal(told["B"][0]["bc"])) == ("FUNDING_FEE", -round(paid, 8))
    assert [each["s"] for each in told["P"]] == ([BTC] if isolated else [])
    row = bench.ask("GET", "v1/income", incomeType="FUNDING_FEE")[0]
    assert Decimal(row["income"]) == -round(paid, 8)


def test_a_flat_account_pays_no_funding():
    bench = Bench()
    bench.price(40_000)
    bench.exchange.settle_funding(BTC, 0.01, 40_000.0)
    assert bench.exchange.drain() == []


def test_orders_need_margin_for_the_worse_side_the_loss_at_once_and_the_fee():
    bench = Bench(balance=1_000.0)
    bench.price(40_000)
    bench.ask("POST", "v1/leverage", symbol=BTC, leverage=10)
    most = 1_000 / (39_900 * (Decimal("0.1") + FEE))
    assert bench.refusal("BUY", round(most + Decimal("0.002"), 3), "39900.0") == -2019
    bench.order("BUY", round(most - Decimal("0.002"), 3), "39900.0")
    free = Decimal(bench.ask("GET", "v3/balance")[0]["availableBalance"])
    assert free == 1_000 - round(most - Decimal("0.002"), 3) * 39_900 / 10
    assert bench.refusal("BUY", "0.050", "39900.0") == -2019
    assert bench.refusal("SELL", "0.200", "40500.0") == 0


@pytest.mark.parametrize(("balance", "code"), [(4_002, -2019), (4_003, 0)])
def test_the_taker_fee_of_an_opening_order_must_be_there(balance, code):
    bench = Bench(balance=balance)
    bench.price(40_000, mark="39999.9")
    bench.ask("POST", "v1/leverage", symbol=BTC, leverage=1)
    assert bench.refusal("BUY", "0.100", "40000.1") == code


def test_what_only_reduces_needs_no_margin():
    bench, _ = held("BUY", "0.240", 40_000, leverage=1, isolated=True)
    assert bench.refusal("BUY", "0.050") == -2019
    assert bench.refusal("SELL", "0.240") == 0
    assert bench.position()["positionAmt"] == "0.000"


def test_a_position_is_turned_in_one_order_and_the_profit_is_that_of_what_was_closed():
    bench, entry = held("BUY", "0.100", 40_000, leverage=2, isolated=True)
    bench.price(41_000)
    bench.order("SELL", "0.250")
    row = bench.position()
    assert (row["positionAmt"], Decimal(row["entryPrice"])) == ("-0.150", Decimal("40999.9"))
    assert Decimal(row["isolatedWallet"]) == Decimal("40999.9") * Decimal("0.15") / 2
    assert Decimal(bench.trades()[-1]["realizedPnl"]) == Decimal("0.1") * (Decimal("40999.9") - entry)


def test_the_break_even_price_gives_back_fees_and_counts_what_was_won():
    bench, entry = held("BUY", "0.100", 40_000, leverage=2, isolated=False)
    assert Decimal(bench.position()["breakEvenPrice"]) == entry * (1 + FEE)
    bench.price(41_000)
    bench.order("SELL", "0.050")
    won = Decimal("0.05") * (Decimal("40999.9") - entry) - Decimal("40999.9") * Decimal("0.05") * FEE
    expected = (entry * Decimal("0.05") + entry * Decimal("0.1") * FEE - won) / Decimal("0.05")
    assert abs(Decimal(bench.position()["breakEvenPrice"]) - expected) < Decimal("1e-7")
    bench.order("SELL", "0.050")
    bench.order("SELL", "0.020")
    assert Decimal(bench.position()["breakEvenPrice"]) == Decimal("40999.9") * (1 - FEE)


def test_settings_are_told_changed_and_refused_as_at_binance():
    bench, _ = held("BUY", "0.100", 40_000, leverage=10, isolated=True)
    assert bench.code("POST", "v1/leverage", symbol=BTC, leverage=126) == -4028
    assert bench.code("POST", "v1/leverage", symbol=BTC) == -1102
    assert bench.code("POST", "v1/leverage", symbol=BTC, leverage=5) == -4161
    assert bench.ask("POST", "v1/leverage", symbol=BTC, leverage=20)["maxNotionalValue"] == "30000000"
    assert bench.events("ACCOUNT_CONFIG_UPDATE")[-1]["ac"] == {"s": BTC, "l": 20}
    assert bench.code("POST", "v1/marginType", symbol=BTC, marginType="ISOLATED") == -4046
    assert bench.code("POST", "v1/marginType", symbol=BTC, marginType="CROSSED") == -4048
    bench.price(100, SOL)
    bench.order("BUY", "10", "99.00", symbol=SOL)
    assert bench.code("POST", "v1/marginType", symbol=SOL, marginType="ISOLATED") == -4047
    assert bench.code("POST", "v1/positionSide/dual", dualSidePosition=True) == -4067
    bench.ask("DELETE", "v1/allOpenOrders", symbol=SOL)
    assert bench.code("POST", "v1/positionSide/dual", dualSidePosition=True) == -4068
    assert bench.code("POST", "v1/multiAssetsMargin", multiAssetsMargin=True) == -4168
    bench.order("SELL", "0.100")
    assert bench.code("POST", "v1/positionSide/dual", dualSidePosition=False) == -4059
    bench.ask("POST", "v1/positionSide/dual", dualSidePosition=True)
    assert bench.ask("GET", "v1/positionSide/dual") == {"dualSidePosition": True}
    assert bench.refusal("BUY", "0.010") == -4061
    assert bench.refusal("BUY", "0.010", positionSide="LONG") == -1020
    assert bench.ask("GET", "v1/multiAssetsMargin") == {"multiAssetsMargin": False}


def test_margin_is_moved_by_hand_within_what_is_there():
    bench, _ = held("BUY", "0.100", 40_000, leverage=10, isolated=True)
    aside = Decimal(bench.position()["isolatedWallet"])
    move = {"symbol": BTC, "amount": "100"}
    assert bench.ask("POST", "v1/positionMargin", **move, type=1)["code"] == 200
    assert Decimal(bench.position()["isolatedWallet"]) == aside + 100
    assert bench.code("POST", "v1/positionMargin", symbol=BTC, amount="20000", type=1) == -4050
    assert bench.code("POST", "v1/positionMargin", symbol=BTC, amount="200", type=2) == -4051
    assert bench.code("POST", "v1/positionMargin", symbol=SOL, amount="1", type=1) == -4054
    assert bench.events("ACCOUNT_UPDATE")[-1]["m"] == "MARGIN_TRANSFER"


def test_more_than_the_leverage_allows_is_refused():
    bench = Bench(balance=10_000_000.0)
    bench.price(40_000)
    bench.ask("POST", "v1/leverage", symbol=BTC, leverage=125)
    assert bench.refusal("BUY", "119") == 0
    assert bench.refusal("BUY", "10") == -2027
    assert bench.code("POST", "v1/leverage", symbol=BTC, leverage=1) == 0
