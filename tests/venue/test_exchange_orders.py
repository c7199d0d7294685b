"""Orders at the stand-in exchange: what is refused and with which code, what fills, and what the user stream tells."""

import gzip
import json
from decimal import Decimal

import pytest

from tests.venue.bench import BTC, Bench
from venue.errors import VenueError
from venue.filters import Filters
from venue.orders import LIVE, TRANSITIONS, IllegalTransitionError, Order
from venue.public_rest import load_exchange_info


@pytest.fixture
def bench():
    bench = Bench()
    bench.price(40_000)
    return bench


@pytest.mark.parametrize(
    ("code", "order"),
    [
        (-1102, {"symbol": ""}),
        (-1121, {"symbol": "NOPEUSDT"}),
        (-1102, {"side": ""}),
        (-1117, {"side": "HOLD"}),
        (-1116, {"type": "ICEBERG"}),
        (-4120, {"type": "STOP_MARKET"}),
        (-1102, {"quantity": ""}),
        (-1102, {"quantity": "much"}),
        (-4003, {"quantity": "0"}),
        (-1111, {"quantity": "0.0100001"}),
        (-4005, {"quantity": "1001"}),
        (-4005, {"quantity": "121", "type": "MARKET", "price": "", "timeInForce": ""}),
        (-1102, {"price": ""}),
        (-4001, {"price": "-1"}),
        (-1111, {"price": "39000.001"}),
        (-4014, {"price": "39000.05"}),
        (-4013, {"price": "200.00"}),
        (-4002, {"price": "900000.0"}),
        (-4016, {"price": "42000.1"}),
        (-4024, {"price": "37999.9", "side": "SELL"}),
        (-4164, {"quantity": "0.002"}),
        (-1102, {"timeInForce": ""}),
        (-1115, {"timeInForce": "GTD!"}),
        (-1102, {"timeInForce": "GTD"}),
        (-5040, {"timeInForce": "GTD", "goodTillDate": "1700000000000"}),
        (-1106, {"stopPrice": "39000"}),
        (-1106, {"type": "MARKET"}),
        (-4136, {"closePosition": "true"}),
        (-4061, {"positionSide": "LONG"}),
        (-1130, {"positionSide": "UP"}),
        (-4015, {"newClientOrderId": "x" * 37}),
        (-1100, {"newClientOrderId": "a b"}),
        (-1102, {"reduceOnly": "perhaps"}),
        (-2022, {"reduceOnly": "true"}),
        (-2019, {"quantity": "10"}),
        (-5022, {"timeInForce": "GTX", "price": "40000.1"}),
        (-5021, {"timeInForce": "FOK"}),
        (-1106, {"priceMatch": "QUEUE"}),
        (-1130, {"priceMatch": "LOTTERY", "price": ""}),
    ],
)
def test_an_order_that_is_wrong_is_refused_with_its_code_and_leaves_nothing(bench, code, order):
    good = {
        "symbol": BTC,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.010",
        "price": "39000.0",
    }
    params = {name: value for name, value in {**good, **order}.items() if value != ""}
    assert bench.code("POST", "v1/order", **params) == code
    assert bench.ask("GET", "v1/openOrders") == bench.trades() == bench.events("ORDER_TRADE_UPDATE") == []
    kinds = [row["kind"] for row in bench.exchange.ledger()]
    assert kinds == ["request", "refusal"]


def test_before_the_first_price_nothing_is_taken():
    assert Bench().refusal("BUY", "0.010") == -4131
    assert Bench().refusal("BUY", "0.010", "40000.0") == -4131


def test_the_filters_of_every_real_symbol_are_read_and_hold(shared_data):
    raw = shared_data / "raw" / "exchange_info"
    older = json.loads((raw / "usdm-exchangeInfo-20220504.json").read_text())
    with gzip.open(raw / "usdm-exchangeInfo-20260331-reserialised.json.gz") as packed:
        newer = json.load(packed)
    infos = [*older["symbols"], *newer["symbols"]]
    assert len(infos) == 155 + 705
    forms = [Filters.of(info) for info in infos]
    priced = [form for form in forms if form.tick]  # one that is announced, but not traded yet, has a tick of 0
    assert len(priced) >= len(forms) - 1
    for form in priced:
        least = max(form.step, _up(form.min_quantity, form.step))
        form.check_price(_up(form.min_price, form.tick))
        form.check_quantity(least, market=False)
        form.check_quantity(max(form.market_step, _up(form.market_min, form.market_step)), market=True)
        assert code_of(form.check_price, form.min_price - form.tick) in {-4001, -4013, -4014}
        assert code_of(form.check_price, form.max_price // form.tick * form.tick + form.tick) == -4002
        assert code_of(form.check_price, form.min_price + form.tick / 2) in {-1111, -4014}
        assert code_of(form.check_quantity, form.max_quantity + form.step, market=False) == -4005
        assert code_of(form.check_quantity, least + form.step / 2, market=False) in {-1111, -4023}
        assert code_of(form.check_notional, form.min_notional / 2) == -4164
        assert form.down < 1 < form.up


def code_of(check, *values, **more):
    with pytest.raises(VenueError) as refusal:
        check(*values, **more)
    return refusal.value.code


def _up(value, step):
    return -(-value // step) * step


def test_a_market_order_takes_the_other_side_and_pays_the_taker_fee(bench):
    answer = bench.order("BUY", "0.010", newClientOrderId="mine")
    assert (answer["status"], answer["executedQty"], answer["type"]) == ("NEW", "0.000", "MARKET")
    assert bench.states("mine") == [("NEW", "NEW"), ("TRADE", "FILLED")]
    trade = bench.trades()[0]
    assert (trade["price"], trade["qty"], trade["commission"], trade["maker"]) == (
        "40000.10",
        "0.010",
        "0.20000050",
        False,
    )
    result = bench.order("SELL", "0.010", newOrderRespType="RESULT")
    assert (result["status"], result["avgPrice"], result["cumQuote"]) == ("FILLED", "39999.90000", "399.999")


def test_a_large_order_walks_the_book_and_no_more_than_what_stands_there_is_taken_until_the_next_quote(bench):
    bench = Bench(fill_share=0.5, balance=1_000_000.0)
    bench.price(40_000, size=1.0)
    bench.order("BUY", "1.200")
    assert [(row["price"], row["qty"]) for row in bench.trades()] == [
        ("40000.10", "0.500"),
        ("40000.20", "0.500"),
        ("40000.30", "0.200"),
    ]
    bench.order("BUY", "0.400")
    assert [(row["price"], row["qty"]) for row in bench.trades()[3:]] == [("40000.30", "0.300"), ("40000.40", "0.100")]
    bench.price(40_000, size=1.0)
    bench.order("BUY", "0.400", "40000.1", newClientOrderId="again")
    assert bench.trades()[-1]["qty"] == "0.400"


def test_a_limit_order_takes_what_it_may_rests_and_is_filled_at_its_price_as_maker_part_by_part(bench):
    bench = Bench(fill_share=0.5, balance=1_000_000.0)
    bench.price(40_000, size=1.0)
    bench.order("BUY", "1.200", "40000.1", newClientOrderId="parts")
    bench.price("39999.9", size=1.0)
    bench.price("40000.5", size=1.0)
    bench.price("39999.5", size=1.0)
    assert [(row["price"], row["qty"], row["maker"], row["commission"]) for row in bench.trades()] == [
        ("40000.10", "0.500", False, "10.00002500"),
        ("40000.10", "0.700", True, "5.60001400"),
    ]
    assert bench.states("parts") == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("TRADE", "FILLED")]


def test_orders_that_rest_share_what_a_quote_brings_the_better_price_first_then_the_older():
    bench = Bench(balance=1_000_000.0)
    bench.price(40_000, size=1.0)
    for name, price in (("worse", "39899.9"), ("older", "39900.0"), ("newer", "39900.0")):
        bench.order("BUY", "0.700", price, newClientOrderId=name)
    bench.price("39899.9", size=1.0)
    ids = {each["i"]: each["c"] for each in bench.events("ORDER_TRADE_UPDATE")}
    assert [(ids[row["orderId"]], row["qty"]) for row in bench.trades()] == [("older", "0.700"), ("newer", "0.300")]


def test_the_rest_of_an_order_that_does_not_rest_expires(bench):
    bench.order("BUY", "0.010", "39000.0", "IOC", newClientOrderId="away")
    assert bench.states("away") == [("NEW", "NEW"), ("EXPIRED", "EXPIRED")]
    thin = Bench(fill_share=0.1, balance=1_000_000.0)
    thin.price(40_000, size=1.0)
    thin.order("BUY", "0.300", "40000.2", "IOC", newClientOrderId="thin")
    assert [state for _, state in thin.states("thin")] == ["NEW", "PARTIALLY_FILLED", "PARTIALLY_FILLED", "EXPIRED"]
    assert thin.position()["positionAmt"] == "0.200"


def test_a_client_id_is_unique_among_open_orders_only_and_the_newest_is_found(bench):
    bench.order("BUY", "0.010", "39000.0", newClientOrderId="twice")
    assert bench.refusal("BUY", "0.010", "39000.0", newClientOrderId="twice") == -4116
    bench.ask("DELETE", "v1/order", symbol=BTC, origClientOrderId="twice")
    again = bench.order("BUY", "0.010", "39100.0", newClientOrderId="twice")
    assert bench.ask("GET", "v1/order", symbol=BTC, origClientOrderId="twice")["orderId"] == again["orderId"]
    assert [row["status"] for row in bench.ask("GET", "v1/allOrders", symbol=BTC)] == ["CANCELED", "NEW"]


def test_unknown_orders_are_told_apart_by_what_was_asked(bench):
    asked = {"symbol": BTC, "origClientOrderId": "nothing"}
    assert bench.code("GET", "v1/order", **asked) == -2013
    assert bench.code("DELETE", "v1/order", **asked) == -2011
    assert bench.code("PUT", "v1/order", **asked, side="BUY", quantity="1", price="39000.0") == -2011
    assert bench.code("DELETE", "v1/order", symbol=BTC) == -1102


def test_an_order_is_changed_loses_nothing_it_has_and_may_be_cancelled_by_a_change(bench):
    order = {"symbol": BTC, "origClientOrderId": "moved", "side": "BUY"}
    bench.order("BUY", "0.010", "39000.0", newClientOrderId="moved")
    assert bench.code("PUT", "v1/order", **order, quantity="0.010", price="39000.0") == -5027
    assert bench.code("PUT", "v1/order", **{**order, "side": "SELL"}, quantity="0.010", price="39100.0") == -1128
    assert bench.code("PUT", "v1/order", **order, quantity="60", price="39000.0") == -2019
    changed = bench.ask("PUT", "v1/order", **order, quantity="0.020", price="40000.1")
    assert (changed["status"], changed["origQty"], changed["price"]) == ("NEW", "0.020", "40000.10")
    assert bench.states("moved") == [("NEW", "NEW"), ("AMENDMENT", "NEW"), ("TRADE", "FILLED")]
    bench.order("BUY", "0.010", "39000.0", "GTX", newClientOrderId="maker")
    gone = bench.ask("PUT", "v1/order", **{**order, "origClientOrderId": "maker"}, quantity="0.010", price="40000.1")
    assert gone["status"] == "CANCELED"


def test_reduce_only_orders_are_cut_to_the_position_never_flip_it_and_end_with_it(bench):
    bench.order("BUY", "0.010")
    assert bench.refusal("BUY", "0.010", reduceOnly=True) == -2022
    cut = bench.order("SELL", "0.050", "41000.0", reduceOnly=True, newClientOrderId="first")
    bench.order("SELL", "0.010", "41500.0", reduceOnly=True, newClientOrderId="second")
    assert cut["origQty"] == "0.010"
    bench.order("SELL", "0.004")
    bench.price("41200")
    assert bench.states("first") == [("NEW", "NEW"), ("TRADE", "PARTIALLY_FILLED"), ("EXPIRED", "EXPIRED")]
    assert bench.states("second") == [("NEW", "NEW"), ("EXPIRED", "EXPIRED")]
    assert bench.position()["positionAmt"] == "0.000"


def test_the_exchange_may_end_an_order_on_its_own(bench):
    bench.order("BUY", "0.010", "39000.0", newClientOrderId="ended")
    bench.exchange.cancel_by_exchange("ended")
    assert bench.states("ended")[-1] == ("EXPIRED", "EXPIRED")
    bench.order("BUY", "0.010", "39000.0", "GTD", newClientOrderId="late", goodTillDate=bench.real + 700_000)
    bench.price(40_000)
    bench.real += 700_000
    bench.price(40_000)
    assert bench.states("late")[-1] == ("EXPIRED", "EXPIRED")


def test_too_many_open_orders_are_refused(bench):
    info = load_exchange_info()["symbols"][0]
    filters = [each for each in info["filters"] if each["filterType"] != "MAX_NUM_ORDERS"]
    few = {"filterType": "MAX_NUM_ORDERS", "limit": 2}, {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 1}
    bench = Bench([{**info, "filters": [*filters, *few]}])
    bench.price(40_000)
    assert [bench.refusal("BUY", "0.010", "39000.0") for _ in range(3)] == [0, 0, -2025]
    bench.stop("SELL", "39000.0", quantity="0.010")
    stop = {"algoType": "CONDITIONAL", "type": "STOP_MARKET", "side": "SELL", "quantity": "0.010"}
    assert bench.code("POST", "v1/algoOrder", symbol=BTC, triggerPrice="39000.0", **stop) == -4045


def test_a_price_is_matched_to_the_book(bench):
    matched = {"symbol": BTC, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
    assert bench.ask("POST", "v1/order", **matched, priceMatch="QUEUE")["price"] == "39999.90"
    assert bench.ask("POST", "v1/order", **matched, priceMatch="QUEUE_5")["price"] == "39999.50"
    assert bench.ask("POST", "v1/order", **matched, priceMatch="OPPONENT_5")["price"] == "40000.50"


def test_several_orders_in_one_request_are_answered_one_by_one(bench):
    good = {
        "symbol": BTC,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.010",
        "price": "39000.0",
    }
    rows = bench.ask("POST", "v1/batchOrders", batchOrders=json.dumps([good, {**good, "side": "HOLD"}]))
    assert (rows[0]["status"], rows[1]["code"]) == ("NEW", -1117)
    ids = json.dumps([rows[0]["orderId"], 1])
    assert [row.get("status", row.get("code")) for row in
            bench.ask("DELETE", "v1/batchOrders", symbol=BTC, orderIdList=ids)] == ["CANCELED", -2011]  # fmt: skip
    assert bench.code("POST", "v1/batchOrders", batchOrders="[") == -1102
    assert bench.code("POST", "v1/batchOrders", batchOrders="[]") == -1130


def test_the_past_is_asked_for_in_the_clients_time_and_told_in_the_markets(bench):
    bench.order("BUY", "0.010")
    first = bench.trades()[0]
    assert first["time"] == bench.now
    between = bench.real + 1
    bench.real += 60_000
    bench.order("BUY", "0.010")
    assert [row["id"] for row in bench.trades(startTime=between)] == [first["id"] + 1]
    assert [row["id"] for row in bench.trades(endTime=between)] == [first["id"]]
    assert len(bench.ask("GET", "v1/allOrders", symbol=BTC, startTime=between)) == 1
    assert len(bench.ask("GET", "v1/income", startTime=between)) == 1
    assert [row["id"] for row in bench.trades(limit=1)] == [first["id"] + 1]
    assert [row["id"] for row in bench.trades(limit=1, fromId=first["id"])] == [first["id"]]
    assert len(bench.trades(orderId=first["orderId"])) == 1
    assert bench.code("GET", "v1/userTrades", symbol=BTC, limit=1001) == -1130


@pytest.mark.parametrize("status", ["", "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"])
@pytest.mark.parametrize("execution", ["NEW", "TRADE", "CALCULATED", "AMENDMENT", "CANCELED", "EXPIRED"])
def test_what_the_table_of_states_does_not_name_changes_nothing(status, execution):
    for wanted in ("NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED"):
        order = Order(None, 1, "a", "BUY", "LIMIT", Decimal(1), status=status)
        if wanted in TRANSITIONS.get((status, execution), ()):
            order.move(execution, wanted)
            assert order.status == wanted
        else:
            with pytest.raises(IllegalTransitionError):
                order.move(execution, wanted)
            assert order.status == status
    assert (status in LIVE) == any(key[0] == status and status for key in TRANSITIONS)


def test_a_fill_beyond_what_is_left_is_a_defect():
    order = Order(None, 1, "a", "BUY", "LIMIT", Decimal(1), status="NEW")
    with pytest.raises(IllegalTransitionError, match="1 is left"):
        order.fill(Decimal(2), Decimal(100))
    assert order.filled == 0
