"""Conditional orders at the stand-in exchange: when they trigger, what they become, and how they end."""

import pytest

from tests.venue.bench import BTC, Bench


@pytest.fixture
def bench():
    bench = Bench()
    bench.price(40_000)
    bench.order("BUY", "0.100")
    return bench


def test_a_stop_becomes_a_market_order_of_its_own_name_and_both_streams_tell(bench):
    bench.stop("SELL", "39000.0", quantity="0.100", reduceOnly=True, clientAlgoId="guard", workingType="MARK_PRICE")
    bench.price(39_010, mark=39_010)
    assert bench.algo_states("guard") == ["NEW"]
    bench.price(38_990, mark=38_990)
    bench.events("ALGO_UPDATE")
    told = [
        (event["e"], event["o"]["X"])
        for event in bench.told
        if event["e"] in {"ALGO_UPDATE", "ORDER_TRADE_UPDATE"}
        and "guard" in (event["o"].get("c"), event["o"].get("caid"))
    ]
    assert told == [
        ("ALGO_UPDATE", "NEW"),
        ("ALGO_UPDATE", "TRIGGERING"),
        ("ORDER_TRADE_UPDATE", "NEW"),
        ("ALGO_UPDATE", "TRIGGERED"),
        ("ORDER_TRADE_UPDATE", "FILLED"),
        ("ALGO_UPDATE", "FINISHED"),
    ]
    fill = bench.events("ORDER_TRADE_UPDATE")[-1]
    assert (fill["o"], fill["ot"], fill["sp"], fill["L"], fill["R"]) == (
        "MARKET",
        "STOP_MARKET",
        "39000.00",
        "38989.90",
        True,
    )
    algo = bench.ask("GET", "v1/algoOrder", clientAlgoId="guard")
    assert (algo["algoStatus"], algo["actualOrderId"], fill["si"]) == ("FINISHED", str(fill["i"]), algo["algoId"])
    assert bench.ask("GET", "v1/openAlgoOrders") == []


@pytest.mark.parametrize(
    ("kind", "side", "trigger", "before", "after"),
    [
        ("STOP_MARKET", "SELL", "39000.0", 39_001, 39_000),
        ("STOP_MARKET", "BUY", "41000.0", 40_999, 41_000),
        ("TAKE_PROFIT_MARKET", "SELL", "41000.0", 40_999, 41_000),
        ("TAKE_PROFIT_MARKET", "BUY", "39000.0", 39_001, 39_000),
    ],
)
@pytest.mark.parametrize("working", ["MARK_PRICE", "CONTRACT_PRICE"])
def test_it_triggers_at_its_price_and_by_the_price_it_watches(bench, kind, side, trigger, before, after, working):
    bench.stop(side, trigger, kind, quantity="0.050", clientAlgoId="c", workingType=working)
    by_mark = working == "MARK_PRICE"
    bench.price(40_000 if by_mark else before, mark=before if by_mark else 40_000)
    bench.price(after if not by_mark else 40_000, mark=40_000 if not by_mark else before)
    assert bench.algo_states("c")[-1] == ("NEW" if by_mark else "FINISHED")
    bench.price(40_000, mark=after)
    assert bench.algo_states("c")[-1] == "FINISHED"


def test_a_stop_limit_rests_where_the_price_has_run_past_it(bench):
    bench.stop("SELL", "39000.0", "STOP", quantity="0.100", price="38990.0", reduceOnly=True, clientAlgoId="limit")
    bench.price(38_900)
    assert bench.algo_states("limit")[-1] == "TRIGGERED"
    assert bench.ask("GET", "v1/openOrders")[0]["origType"] == "STOP"
    bench.price(39_000)
    assert bench.algo_states("limit")[-1] == "FINISHED"
    assert bench.trades()[-1]["price"] == "38990.00"


def test_a_trailing_stop_follows_the_best_price_once_it_is_active(bench):
    params = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "TRAILING_STOP_MARKET"}
    params |= {"quantity": "0.100", "callbackRate": "1", "activatePrice": "41000.0", "clientAlgoId": "trail"}
    assert bench.code("POST", "v1/algoOrder", **{**params, "callbackRate": "11"}) == -1130
    bench.ask("POST", "v1/algoOrder", **params)
    for price in (39_000, 41_000, 42_000, 41_600):
        bench.price(price)
    assert bench.algo_states("trail") == ["NEW"]
    bench.price("41580")
    assert bench.algo_states("trail")[-1] == "FINISHED"


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (-1102, {"algoType": ""}),
        (-1116, {"type": "MARKET"}),
        (-1102, {"triggerPrice": ""}),
        (-4014, {"triggerPrice": "39000.05"}),
        (-2021, {"triggerPrice": "40000.0"}),
        (-2021, {"type": "TAKE_PROFIT_MARKET"}),
        (-1102, {"quantity": ""}),
        (-4003, {"quantity": "0"}),
        (-1102, {"type": "STOP"}),
        (-1106, {"price": "38000.0"}),
        (-1106, {"closePosition": "true"}),
        (-4136, {"closePosition": "true", "quantity": "", "type": "STOP", "price": "39000.0"}),
        (-4509, {"closePosition": "true", "quantity": "", "side": "BUY", "triggerPrice": "41000.0"}),
        (-1130, {"workingType": "MY_PRICE"}),
        (-4164, {"quantity": "0.001"}),
        (-4061, {"positionSide": "SHORT"}),
    ],
)
def test_one_that_is_wrong_is_refused_with_its_code(bench, code, change):
    good = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.050"}
    params = {**good, "triggerPrice": "39000.0", **change}
    assert bench.code("POST", "v1/algoOrder", **{name: value for name, value in params.items() if value}) == code
    assert bench.events("ALGO_UPDATE") == []


def test_one_that_closes_the_position_sells_all_of_it_and_ends_with_it(bench):
    bench.stop("SELL", "39000.0", closePosition=True, clientAlgoId="all")
    params = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "STOP_MARKET", "closePosition": "true"}
    assert bench.code("POST", "v1/algoOrder", **params, triggerPrice="38000.0") == -4130
    bench.stop("SELL", "42000.0", "TAKE_PROFIT_MARKET", closePosition=True, clientAlgoId="aim")
    bench.order("BUY", "0.050")
    bench.price(38_990)
    assert bench.position()["positionAmt"] == "0.000"
    assert (bench.algo_states("all")[-1], bench.algo_states("aim")[-1]) == ("FINISHED", "EXPIRED")


def test_one_that_has_nothing_left_to_reduce_or_no_margin_is_rejected_when_it_triggers(bench):
    bench.stop("SELL", "39000.0", quantity="0.100", reduceOnly=True, clientAlgoId="late")
    bench.stop("BUY", "41000.0", quantity="90", clientAlgoId="poor")
    bench.order("SELL", "0.100")
    bench.price(38_990)
    bench.price(41_010)
    told = {each["caid"]: each for each in bench.events("ALGO_UPDATE")}
    assert (told["late"]["X"], told["late"]["rm"]) == ("REJECTED", "Reduce Only reject")
    assert (told["poor"]["X"], told["poor"]["rm"]) == ("REJECTED", "Margin is insufficient.")
    assert bench.states("late") == bench.states("poor") == []


def test_it_is_cut_to_the_position_it_reduces(bench):
    bench.stop("SELL", "39000.0", quantity="0.100", reduceOnly=True)
    bench.order("SELL", "0.070")
    bench.price(38_990)
    assert (bench.trades()[-1]["qty"], bench.position()["positionAmt"]) == ("0.030", "0.000")


def test_cancels_queries_and_names(bench):
    first = bench.stop("SELL", "39000.0", quantity="0.100", clientAlgoId="name")
    again = {"algoType": "CONDITIONAL", "symbol": BTC, "side": "SELL", "type": "STOP_MARKET", "quantity": "0.050"}
    assert bench.code("POST", "v1/algoOrder", **again, triggerPrice="39000.0", clientAlgoId="name") == -4116
    answer = bench.ask("DELETE", "v1/algoOrder", algoId=first["algoId"])
    assert answer == {"algoId": first["algoId"], "clientAlgoId": "name", "code": "200", "msg": "success"}
    assert bench.code("DELETE", "v1/algoOrder", clientAlgoId="name") == -2011
    assert bench.code("GET", "v1/algoOrder", clientAlgoId="nothing") == -2013
    assert bench.code("GET", "v1/algoOrder") == -1102
    bench.stop("SELL", "39000.0", quantity="0.050", clientAlgoId="name")
    assert bench.ask("GET", "v1/algoOrder", clientAlgoId="name")["algoStatus"] == "NEW"
    bench.stop("SELL", "38000.0", quantity="0.050", clientAlgoId="other")
    bench.exchange.cancel_by_exchange("other")
    assert bench.ask("DELETE", "v1/algoOpenOrders", symbol=BTC)["code"] == 200
    states = [row["algoStatus"] for row in bench.ask("GET", "v1/allAlgoOrders", symbol=BTC)]
    assert states == ["CANCELED", "CANCELED", "EXPIRED"]


def test_price_protection_waits_while_mark_and_last_are_far_apart(bench):
    bench.stop("SELL", "39000.0", quantity="0.100", priceProtect=True, clientAlgoId="safe")
    bench.price(36_000, mark=40_000)
    assert bench.algo_states("safe") == ["NEW"]
    bench.price(38_990, mark=39_100)
    assert bench.algo_states("safe")[-1] == "FINISHED"
