"""Orders through the stand-in venue: by REST, by the trading websocket, and what the user stream tells of them."""

import base64
import time

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.venue.wire import played
from venue.params import DEMO_KEY, ApiKey

ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.010"}
RESTING = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}


async def position(wire):
    _, rows = await wire.signed("GET", "/fapi/v2/positionRisk", symbol="BTCUSDT")
    return float(rows[0]["positionAmt"])


def order_events(heard):
    return [event["o"] for event in heard if event["e"] == "ORDER_TRADE_UPDATE"]


def test_an_order_by_the_trading_websocket_fills_and_the_user_stream_tells():
    async def scenario(wire):
        async with wire.user_stream() as user, wire.stream("/ws-fapi/v1") as trading:
            answer = await wire.trade(trading, "order.place", **ORDER, newClientOrderId="mine")
            heard = await user.until(lambda event: event.get("o", {}).get("X") == "FILLED")
            return answer, heard, await position(wire)

    answer, heard, amount = played(scenario)
    assert (answer["id"], answer["status"], answer["result"]["clientOrderId"]) == ("7", 200, "mine")
    assert {limit["rateLimitType"] for limit in answer["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}
    told = order_events(heard)
    assert [(order["c"], order["x"]) for order in told] == [("mine", "NEW"), ("mine", "TRADE")]
    assert float(told[-1]["z"]) == amount == 0.01


def test_the_fill_of_an_order_on_a_close_is_the_open_that_follows():
    async def scenario(wire):
        async with wire.stream("/ws/btcusdt@bookTicker") as market, wire.user_stream() as user:
            heard = await market.rest(lambda: wire.play(3))
            await wire.buy()
            told = await user.until(lambda event: event.get("o", {}).get("X") == "FILLED")
            rows = await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1)
            return heard[-1], order_events(told)[-1], rows[-1]

    quote, fill, begun = played(scenario)
    assert fill["L"] == quote["a"]
    assert 0 <= float(quote["a"]) - float(begun[1]) * 1.0001 < 0.1


def test_an_order_rests_is_changed_is_seen_and_is_cancelled():
    async def scenario(wire):
        price = float((await wire.get("/fapi/v1/ticker/price", symbol="BTCUSDT"))["price"])
        async with wire.stream("/ws-fapi/v1") as trading, wire.user_stream() as user:
            low, lower = (f"{price * share:.1f}" for share in (0.97, 0.96))
            placed = await wire.trade(trading, "order.place", **RESTING, price=low, newClientOrderId="rests")
            who = {"symbol": "BTCUSDT", "origClientOrderId": "rests"}
            changed = await wire.trade(trading, "order.modify", **who, side="BUY", quantity="0.020", price=lower)
            _, open_orders = await wire.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
            seen = await wire.trade(trading, "order.status", **who)
            gone = await wire.trade(trading, "order.cancel", **who)
            again = await wire.trade(trading, "order.cancel", **who)
            heard = await user.until(lambda event: event.get("o", {}).get("X") == "CANCELED")
            return lower, placed, changed, open_orders, seen, gone, again, heard

    lower, placed, changed, open_orders, seen, gone, again, heard = played(scenario)
    assert placed["result"]["status"] == seen["result"]["status"] == "NEW"
    assert float(changed["result"]["price"]) == float(open_orders[0]["price"]) == float(lower)
    assert float(seen["result"]["origQty"]) == 0.02
    assert gone["result"]["status"] == "CANCELED"
    assert (again["status"], again["error"]["code"]) == (400, -2011)
    assert [order["x"] for order in order_events(heard)] == ["NEW", "AMENDMENT", "CANCELED"]


def test_a_signature_that_is_wrong_trades_nothing_on_the_websocket():
    async def scenario(wire):
        async with wire.stream("/ws-fapi/v1") as trading:
            params = {**ORDER, "apiKey": DEMO_KEY, "timestamp": time.time_ns() // 1_000_000, "signature": "0" * 64}
            await trading.send(id="1", method="order.place", params=params)
            wrong = await trading.next()
            await trading.send(id="2", method="order.dance", params=params)
            unknown = await trading.next()
            await trading.socket.send_str("{")
            return wrong, unknown, await trading.next(), await position(wire)

    wrong, unknown, malformed, amount = played(scenario)
    assert (wrong["status"], wrong["error"]["code"]) == (400, -1022)
    assert (unknown["error"]["code"], malformed["error"]["code"]) == (-1000, -1000)
    assert amount == 0


def test_after_a_logon_with_an_ed25519_key_requests_need_no_signature():
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    keys = (ApiKey(key="ed", public_pem=pem.decode()), ApiKey(key="mac", secret="secret"))

    async def scenario(wire):
        now = time.time_ns() // 1_000_000
        async with wire.stream("/ws-fapi/v1") as trading:
            await trading.send(id="0", method="order.place", params=ORDER)
            before = await trading.next()
            await trading.send(id="1", method="session.logon", params={"apiKey": "mac", "timestamp": now})
            refused = await trading.next()
            signature = base64.b64encode(private.sign(f"apiKey=ed&timestamp={now}".encode())).decode()
            logon = {"apiKey": "ed", "timestamp": now, "signature": signature}
            await trading.send(id="2", method="session.logon", params=logon)
            welcome = await trading.next()
            await trading.send(id="3", method="order.place", params={**ORDER, "timestamp": now})
            return before, refused, welcome, await trading.next()

    before, refused, welcome, answer = played(scenario, keys=keys)
    assert (before["error"]["code"], refused["error"]["code"]) == (-2014, -4056)
    assert welcome["result"]["apiKey"] == "ed"
    assert (answer["status"], answer["result"]["side"]) == (200, "BUY")


def test_counts_of_orders_are_told_and_too_many_are_refused():
    async def scenario(wire):
        answers = [(await wire.buy("0.003"), wire.headers) for _ in range(4)]
        return [(status, headers.get("X-MBX-ORDER-COUNT-10S"), headers.get("X-MBX-ORDER-COUNT-1M"), body.get("code"))
                for (status, body), headers in answers], await position(wire)  # fmt: skip

    answers, amount = played(scenario, order_limit_1m=3)
    assert [(status, minute) for status, _, minute, _ in answers] == [(200, "1"), (200, "2"), (200, "3"), (429, "4")]
    assert answers[-1][3] == -1015
    assert amount == 0.009


def test_a_key_that_may_not_trade_may_only_look():
    async def scenario(wire):
        await wire.control("POST", "act", {"do": "restrict", "trade": False})
        return await wire.buy(), await position(wire)

    (status, body), amount = played(scenario)
    assert (status, body["code"], amount) == (401, -2015, 0)


def test_a_large_order_is_filled_in_parts_where_little_stands_in_the_book():
    async def scenario(wire):
        price = float((await wire.get("/fapi/v1/ticker/price", symbol="BTCUSDT"))["price"])
        async with wire.user_stream() as user:
            await wire.signed("POST", "/fapi/v1/order", **RESTING, price=f"{price * 1.001:.1f}")
            await wire.play(5)
            return await user.until(lambda event: event.get("o", {}).get("X") == "FILLED")

    heard = played(scenario, fill_share=0.0002)
    states = [order["X"] for order in order_events(heard)]
    assert states[0] == "NEW"
    assert states.count("PARTIALLY_FILLED") >= 1
    assert states[-1] == "FILLED"


def test_the_ledger_has_what_came_and_what_came_of_it():
    async def scenario(wire):
        await wire.buy()
        await wire.signed("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")
        ledger = await wire.control("GET", "ledger")
        return ledger, await wire.control("GET", f"ledger?wire_since={ledger['wire'][0]['n']}")

    ledger, later = played(scenario)
    seen = [(row["by"], row["method"], row["path"], row["status"]) for row in ledger["wire"]]
    assert seen == [("rest", "POST", "/fapi/v1/order", 200), ("rest", "GET", "/fapi/v1/openOrders", 200)]
    assert ledger["wire"][0]["params"]["quantity"] == "0.010"
    assert ledger["exchange"]
    assert later["wire"] == ledger["wire"][1:]


def test_funding_is_paid_at_its_time(history):
    async def scenario(wire):
        async with wire.user_stream() as user:
            await wire.buy("0.100")
            await wire.play(3)
            await wire.control("GET", "state")
            heard = await user.until(lambda event: event.get("a", {}).get("m") == "FUNDING_FEE")
            rates = await wire.get("/fapi/v1/fundingRate", symbol="BTCUSDT", limit=1)
            return heard[-1], rates[-1]

    start = "2023-12-10T07:58:00Z"
    event, rate = played(scenario, catalog=str(history), symbols=("BTCUSDT",), start=start)
    paid = -float(event["a"]["B"][0]["bc"])
    assert event["T"] == rate["fundingTime"] == 1_702_195_200_000
    assert abs(paid - 0.1 * float(rate["markPrice"]) * float(rate["fundingRate"])) < 1e-6
