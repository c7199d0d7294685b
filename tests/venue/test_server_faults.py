"""Every fault of the stand-in venue once, by real sockets, with its ledger as the witness."""

import asyncio
import time

import aiohttp
import pytest

from tests.venue.test_server_trading import ORDER, RESTING, order_events, position
from tests.venue.wire import played

PLACE = {"path": "/fapi/v1/order", "method": "POST"}


async def carried_out(wire):
    """Return whether the exchange has filled the order, whatever its client was told."""
    return await position(wire) == 0.01


@pytest.mark.parametrize(
    ("kind", "status", "code", "wait"),
    [
        ("error", 400, -1000, None),
        ("server_error", 500, -1001, None),
        ("rate_limit", 429, -1003, "30"),
        ("ban", 418, -1003, "120"),
        ("maintenance", 503, -1016, None),
        ("bad_signature", 400, -1022, None),
        ("bad_key", 401, -2015, None),
        ("margin", 400, -2019, None),
        ("timeout", 408, -1007, None),
    ],
)
def test_an_order_is_refused_and_nothing_is_carried_out(kind, status, code, wait):
    async def scenario(wire):
        await wire.fault(kind, match={"method": "POST"}, count=1)
        refused, told = await wire.buy(), wire.headers.get("Retry-After")
        held = await carried_out(wire)
        ledger = await wire.control("GET", "ledger")
        return refused, told, held, (await wire.buy())[0], ledger

    refused, told, held, after, ledger = played(scenario)
    assert (refused[0], refused[1]["code"], told, held, after) == (status, code, wait, False, 200)
    row = next(row for row in ledger["wire"] if row["method"] == "POST")
    assert (row["fault"], row["status"], row["code"]) == ("before", status, code)
    assert [each["hits"] for each in ledger["faults"]] == [1]


@pytest.mark.parametrize("by", ["rest", "trading"])
@pytest.mark.parametrize(("kind", "done"), [("cut", False), ("lost_ack", True)])
def test_a_line_that_is_cut_tells_nothing_of_what_was_carried_out(kind, done, by):
    async def scenario(wire):
        await wire.fault(kind, match={**PLACE, "by": by}, count=1)
        async with wire.stream("/ws-fapi/v1") as trading:
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await (wire.buy() if by == "rest" else wire.trade(trading, "order.place", **ORDER))
        return await carried_out(wire), await wire.hits()

    assert played(scenario) == (done, 1)


@pytest.mark.parametrize("by", ["rest", "trading"])
def test_an_unknown_status_may_hide_an_order_that_was_carried_out(by):
    async def scenario(wire):
        await wire.fault("timeout_executed", match={**PLACE, "by": by}, count=1)
        async with wire.user_stream() as user, wire.stream("/ws-fapi/v1") as trading:
            if by == "rest":
                _, answer = await wire.buy()
            else:
                answer = (await wire.trade(trading, "order.place", **ORDER))["error"]
            heard = await user.until(lambda event: event.get("o", {}).get("X") == "FILLED")
        return answer["code"], len(order_events(heard)), await carried_out(wire)

    assert played(scenario) == (-1007, 2, True)


def test_a_late_answer_comes_after_the_events_and_a_slow_request_is_carried_out_late():
    async def scenario(wire):
        await wire.fault("late_answer", match=PLACE, count=1, delay_ms=150)
        async with wire.user_stream() as user:
            asked = asyncio.create_task(wire.buy())
            await user.until(lambda event: event.get("o", {}).get("X") == "FILLED")
            late = not asked.done()
            await asked
            await wire.fault("slow", match=PLACE, count=1, delay_ms=150)
            asked = asyncio.create_task(wire.buy())
            nothing = await user.waits()
            await asked
            await user.until(lambda event: event.get("o", {}).get("X") == "FILLED")
        return late, nothing

    assert played(scenario) == (True, True)


@pytest.mark.parametrize("channel", ["market", "user", "trading"])
def test_sockets_are_dropped_and_new_ones_refused_by_channel(channel):
    path = {"market": "/ws", "user": "/ws?listenKey=any", "trading": "/ws-fapi/v1"}[channel]

    async def scenario(wire):
        async with wire.stream(path) as stream:
            dropped = (await wire.control("POST", "act", {"do": "drop", "channel": channel}))["done"]
            with pytest.raises(ConnectionError):
                await stream.next()
        rule = await wire.fault("refuse", match={"channel": channel})
        with pytest.raises(aiohttp.ClientError):
            async with wire.stream(path):
                pass
        await wire.control("DELETE", f"faults/{rule}")
        async with wire.stream(path):
            state = await wire.control("GET", "state")
        return dropped, len(state["sockets"][channel])

    assert played(scenario) == (1, 1)


def test_maintenance_refuses_requests_and_sockets_alike():
    async def scenario(wire):
        await wire.fault("maintenance")
        with pytest.raises(aiohttp.ClientError):
            async with wire.stream("/ws"):
                pass
        status, _ = await wire.raw("GET", "/fapi/v1/time", {})
        await wire.control("DELETE", "faults")
        return status, await wire.get("/fapi/v1/time")

    status, after = played(scenario)
    assert (status, "serverTime" in after) == (503, True)


def test_requests_are_not_even_taken():
    async def scenario(wire):
        await wire.fault("refuse", match={"channel": "rest"}, count=1)
        with pytest.raises(aiohttp.ClientError):
            await wire.buy()
        return await wire.get("/fapi/v1/time")

    assert "serverTime" in played(scenario)


def test_a_fill_that_is_suppressed_is_told_by_nobody_but_held():
    async def scenario(wire):
        await wire.fault("suppress", match={"channel": "user", "o.x": "TRADE"})
        async with wire.user_stream() as user:
            await wire.buy()
            heard = await user.rest(lambda: wire.play(1))
        return [order["x"] for order in order_events(heard)], await carried_out(wire)

    assert played(scenario) == (["NEW"], True)


def test_a_stalled_stream_is_open_and_silent_for_its_time():
    async def scenario(wire):
        began = time.monotonic()
        await wire.fault("stall", match={"channel": "market"}, seconds=0.3)
        async with wire.stream("/ws/btcusdt@kline_1m") as stream:
            silent = await stream.rest(wire.play)
            while not await stream.rest(wire.play) and time.monotonic() - began < 10:
                pass
            took = time.monotonic() - began
            return silent, len(await stream.rest(wire.play)), took >= 0.3

    assert played(scenario) == ([], 5, True)


def test_events_come_twice_late_or_in_the_wrong_order():
    async def scenario(wire):
        heard = {}
        for kind, delay in (("duplicate", 0), ("delay", 100), ("reorder", 0)):
            await wire.fault(kind, match={"channel": "user", "o.x": "NEW"}, count=1, delay_ms=delay)
            async with wire.user_stream() as user:
                await wire.buy()
                heard[kind] = await user.rest(lambda: asyncio.sleep(0.2))
        return {kind: [order["x"] for order in order_events(events)] for kind, events in heard.items()}

    heard = played(scenario)
    assert heard["duplicate"] == ["NEW", "NEW", "TRADE"]
    assert heard["delay"] == ["TRADE", "NEW"]
    assert sorted(heard["reorder"]) == ["NEW", "TRADE"]


def test_the_first_of_two_events_waits_for_the_second_when_they_are_reordered():
    async def scenario(wire):
        await wire.fault("reorder", match={"channel": "market", "e": "bookTicker"}, count=1)
        async with wire.stream("/ws/btcusdt@bookTicker") as stream:
            return [event["u"] for event in await stream.rest(lambda: wire.play(1))]

    heard = played(scenario)
    assert heard == [sorted(heard)[1], min(heard), *sorted(heard)[2:]]


async def _klines(wire, kind):
    await wire.fault(kind, match={"channel": "market", "k.x": "true"}, skip=1, count=1)
    await wire.fault(kind, match={"path": "*klines"})
    async with wire.stream("/ws/btcusdt@kline_1m") as stream:
        heard = await stream.rest(lambda: wire.play(4))
    rows = await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=5)
    return [event["k"] for event in heard if event["k"]["x"]], rows


@pytest.mark.parametrize(
    ("kind", "minutes", "rows"),
    [
        ("kline_zero", [0, 1, 2, 3], [0, 1, 2, 3, 4]),
        ("kline_outlier", [0, 1, 2, 3], [0, 1, 2, 3, 4]),
        ("kline_missing", [0, 2, 3], [0, 1, 2, 4]),
        ("kline_duplicate", [0, 1, 1, 2, 3], [0, 1, 2, 3, 3, 4]),
        ("kline_out_of_order", [0, 2, 1, 3], [0, 1, 3, 2, 4]),
    ],
)
def test_klines_are_spoilt_on_the_stream_and_in_the_history(kind, minutes, rows):
    heard, told = played(lambda wire: _klines(wire, kind))
    start = heard[0]["t"]
    assert [(kline["t"] - start) // 60_000 for kline in heard] == minutes
    assert [(row[0] - start) // 60_000 for row in told] == rows
    before = float(heard[0]["c"])
    if kind == "kline_zero":
        assert [float(heard[1][key]) for key in "ohlc"] == [float(value) for value in told[3][1:5]] == [0.0] * 4
    elif kind == "kline_outlier":
        assert float(heard[1]["c"]) == pytest.approx(10 * before, rel=0.05)
        assert float(told[3][4]) == pytest.approx(10 * before, rel=0.05)


@pytest.mark.parametrize(("kind", "left"), [("kline_zero", 1), ("kline_missing", 0), ("kline_duplicate", 2)])
def test_a_single_closed_kline_is_spoilt_too(kind, left):
    async def scenario(wire):
        await wire.play(3)
        rows = await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=5)
        await wire.fault(kind, match={"path": "*klines"})
        between = {"startTime": rows[1][0], "endTime": rows[1][6]}
        return rows[1], await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", **between)

    right, told = played(scenario)
    assert len(told) == left
    assert all((row == right) == (kind != "kline_zero") for row in told)


def test_a_skewed_clock_refuses_what_was_right_and_tells_its_own_time():
    async def scenario(wire):
        await wire.fault("skew", skew_ms=60_000)
        ahead = (await wire.get("/fapi/v1/time"))["serverTime"] - time.time() * 1_000
        late = await wire.signed("GET", "/fapi/v2/account")
        right = await wire.signed("GET", "/fapi/v2/account", timestamp=int(time.time() * 1_000 + ahead))
        return ahead, late[1]["code"], right[0]

    ahead, late, right = played(scenario)
    assert 59_000 < ahead < 61_000
    assert (late, right) == (-1021, 200)


def test_the_exchange_ends_an_order_on_its_own_account():
    async def scenario(wire):
        price = float((await wire.get("/fapi/v1/ticker/price", symbol="BTCUSDT"))["price"])
        async with wire.user_stream() as user:
            await wire.signed(
                "POST", "/fapi/v1/order", **RESTING, price=f"{price * 0.97:.1f}", newClientOrderId="rests"
            )
            await wire.control("POST", "act", {"do": "cancel", "client_order_id": "rests"})
            return order_events(await user.until(lambda event: event.get("o", {}).get("X") == "EXPIRED"))

    assert [order["x"] for order in played(scenario)] == ["NEW", "EXPIRED"]


def test_a_liquidation_closes_the_position_and_everybody_hears_of_it():
    async def scenario(wire):
        async with wire.user_stream() as user, wire.stream("/ws/btcusdt@forceOrder") as market:
            await wire.buy()
            await wire.control("POST", "act", {"do": "liquidate", "symbol": "BTCUSDT"})
            heard = await user.until(lambda event: event.get("o", {}).get("c", "").startswith("autoclose-"))
            told = await market.next()
            return heard[-1]["o"], told, await position(wire)

    order, told, amount = played(scenario)
    assert (told["e"], told["o"]["S"], float(told["o"]["q"])) == ("forceOrder", "SELL", 0.01)
    assert order["S"] == "SELL"
    assert amount == 0


def test_chance_hits_the_same_events_for_the_same_seed():
    async def scenario(wire):
        await wire.fault("suppress", match={"channel": "market", "e": "trade"}, probability=0.5, seed=11)
        async with wire.stream("/ws/btcusdt@trade") as stream:
            numbers = [event["t"] for event in await stream.rest(lambda: wire.play(10))]
        return numbers, await wire.hits()

    (first, hits), (again, _) = played(scenario), played(scenario)
    assert first == again
    assert len(first) + hits == 40
    assert 10 < hits < 30
