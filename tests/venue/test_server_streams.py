"""The streams of the stand-in venue, by real sockets."""

import asyncio
from itertools import pairwise

from adapters.catalog import read_bars
from core.costs import quote_path
from tests.venue.wire import played
from venue.params import DEMO_KEY

MINUTE_MS = 60_000
SOME_DAY = "2023-12-10T00:00:00Z"
SOME_DAY_MS = 1_702_166_400_000


def closed(message):
    return message.get("e") == "kline" and message["k"]["x"]


def test_streamed_klines_are_the_catalogs_and_the_history_repeats_them(history):
    async def scenario(wire):
        async with wire.stream("/ws") as stream:
            assert await stream.ask("SUBSCRIBE", "ethusdt@kline_1m", "ethusdt@kline_5m") == {"result": None, "id": 1}
            heard = await stream.rest(lambda: wire.play(60))
        query = {"symbol": "ETHUSDT", "interval": "1m", "startTime": SOME_DAY_MS, "limit": 60}
        return [message for message in heard if closed(message)], await wire.get("/fapi/v1/klines", **query)

    heard, rows = played(scenario, catalog=str(history), symbols=("ETHUSDT",), start=SOME_DAY)
    ones = [message["k"] for message in heard if message["k"]["i"] == "1m"]
    fives = [message["k"] for message in heard if message["k"]["i"] == "5m"]
    start = SOME_DAY_MS * 1_000_000
    truth = read_bars(history, "ETHUSDT-PERP.BINANCE", "1m", start_ns=start, end_ns=start + 60 * MINUTE_MS * 10**6)
    for key, name in zip("ohlcvV", ("open", "high", "low", "close", "volume", "taker_buy"), strict=True):
        assert [float(kline[key]) for kline in ones] == getattr(truth, name).tolist(), name
    assert [[kline[key] for key in "tohlcvTqnVQ"] for kline in ones] == [row[:11] for row in rows]
    assert [kline["t"] for kline in fives] == list(range(SOME_DAY_MS, SOME_DAY_MS + 60 * MINUTE_MS, 5 * MINUTE_MS))
    assert [float(kline["c"]) for kline in fives] == truth.close[4::5].tolist()
    assert [message["E"] for message in heard] == [message["k"]["T"] + 1 for message in heard]


def test_a_bar_is_four_quotes_half_a_spread_apart_then_the_closed_kline_then_the_next_open(history):
    async def scenario(wire):
        async with wire.stream("/stream?streams=btcusdt@bookTicker/btcusdt@aggTrade/btcusdt@kline_1m") as stream:
            return await stream.rest(wire.play)

    heard = played(scenario, catalog=str(history), symbols=("BTCUSDT",), start=SOME_DAY, away_bps=2.0)
    order = [message["stream"].split("@")[1] for message in heard]
    point = ["bookTicker", "aggTrade", "kline_1m"]
    assert order == [*point * 3, "kline_1m", *point]
    start = SOME_DAY_MS * 1_000_000
    bars = read_bars(history, "BTCUSDT-PERP.BINANCE", "1m", start_ns=start, end_ns=start + 2 * MINUTE_MS * 10**6)
    path = quote_path(bars.open[0], bars.high[0], bars.low[0], bars.close[0])
    wanted = [*path[1:], bars.open[1]]
    quotes = [message["data"] for message in heard if message["data"]["e"] == "bookTicker"]
    trades = [float(message["data"]["p"]) for message in heard if message["data"]["e"] == "aggTrade"]
    assert trades == wanted
    for quote, price in zip(quotes, wanted, strict=True):
        assert 0 <= price * 0.9998 - float(quote["b"]) < 0.1
        assert 0 <= float(quote["a"]) - price * 1.0002 < 0.1
    assert [quote["T"] - SOME_DAY_MS for quote in quotes] == [20_000, 40_000, 59_000, 60_001]


def test_the_klines_of_a_minute_grow_towards_the_closed_one():
    async def scenario(wire):
        async with wire.stream("/ws/btcusdt@kline_1m") as stream:
            return await stream.rest(wire.play)

    heard = [message["k"] for message in played(scenario)]
    growing, whole = heard[:3], heard[3]
    assert [kline["x"] for kline in heard] == [False, False, False, True, False]
    assert [float(kline["v"]) for kline in growing] == sorted(float(kline["v"]) for kline in growing)
    assert (growing[2]["o"], growing[2]["h"], growing[2]["l"], growing[2]["c"]) == tuple(whole[key] for key in "ohlc")


def test_what_is_subscribed_is_listed_and_what_is_unsubscribed_is_silent():
    async def scenario(wire):
        async with wire.stream("/market/ws") as stream:
            await stream.ask("SUBSCRIBE", "btcusdt@trade", "btcusdt@markPrice@1s")
            listed = await stream.ask("LIST_SUBSCRIPTIONS")
            await stream.ask("UNSUBSCRIBE", "btcusdt@trade")
            wrong = await stream.ask("SUBSCRIBE", "btcusdt@nonsense")
            await stream.send(method="DANCE", id=1)
            unknown = await stream.next()
            return listed, wrong, unknown, await stream.rest(wire.play)

    listed, wrong, unknown, heard = played(scenario)
    assert listed["result"] == ["btcusdt@trade", "btcusdt@markPrice@1s"]
    assert (wrong["error"]["code"], unknown["error"]["code"]) == (2, 2)
    assert {message["e"] for message in heard} == {"markPriceUpdate"}


def test_changes_of_the_book_add_up_to_the_book():
    async def scenario(wire):
        async with wire.stream("/public/ws/btcusdt@depth@100ms") as stream:
            heard = await stream.rest(lambda: wire.play(3))
        return heard, await wire.get("/fapi/v1/depth", symbol="BTCUSDT", limit=20)

    heard, book = played(scenario)
    sides = {"b": {}, "a": {}}
    for message in heard:
        for key, side in sides.items():
            for price, size in message[key]:
                side[price] = size
                if float(size) == 0:
                    del side[price]
    assert [message["pu"] for message in heard[1:]] == [message["u"] for message in heard[:-1]]
    assert all(message["U"] == message["pu"] + 1 for message in heard)
    assert heard[-1]["u"] == book["lastUpdateId"]
    assert sorted(sides["b"].items(), key=lambda level: -float(level[0])) == [tuple(level) for level in book["bids"]]
    assert sorted(sides["a"].items(), key=lambda level: float(level[0])) == [tuple(level) for level in book["asks"]]


def test_a_walk_is_the_same_for_a_seed_and_another_for_another():
    async def scenario(wire):
        async with wire.stream("/ws/btcusdt@kline_1m") as stream:
            return [m["k"]["c"] for m in await stream.rest(lambda: wire.play(20)) if closed(m)]

    first, again, other = (played(scenario, walk=seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_the_past_played_faster_keeps_its_times():
    async def scenario(wire):
        async with wire.stream("/ws/btcusdt@kline_1m") as stream:
            heard = await stream.until(closed)
            heard += await stream.until(closed)
        return [message for message in heard if closed(message)]

    heard = played(scenario, start=SOME_DAY, speed=600.0)
    assert heard[1]["k"]["t"] - heard[0]["k"]["t"] == MINUTE_MS
    assert 0 <= heard[0]["k"]["t"] - SOME_DAY_MS <= 5 * MINUTE_MS


def test_the_past_played_as_now_bears_todays_times_and_its_own_hours(history):
    async def scenario(wire):
        now = (await wire.get("/fapi/v1/time"))["serverTime"]
        rows = await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=3)
        market = (await wire.control("GET", "state"))["market_ms"]
        return now, rows, market, await wire.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")

    now, rows, market, premium = played(scenario, catalog=str(history), symbols=("BTCUSDT",), start=SOME_DAY, speed=1.0)
    assert rows[-1][0] == now // MINUTE_MS * MINUTE_MS
    assert abs(market - now) < 5_000
    assert premium["nextFundingTime"] == (now // 28_800_000 + 1) * 28_800_000
    moved_ms = rows[-1][0] % 86_400_000 + SOME_DAY_MS
    truth = read_bars(
        history, "BTCUSDT-PERP.BINANCE", "1m", start_ns=moved_ms * 10**6, end_ns=(moved_ms + MINUTE_MS) * 10**6
    )
    assert float(rows[-1][1]) == truth.open[0]


def test_a_listen_key_lives_while_it_is_renewed_and_says_when_it_ends():
    async def scenario(wire):
        key = {"X-MBX-APIKEY": DEMO_KEY}
        _, first = await wire.raw("POST", "/fapi/v1/listenKey", {}, **key)
        _, again = await wire.raw("POST", "/fapi/v1/listenKey", {}, **key)
        async with wire.stream(f"/private/ws?listenKey={first['listenKey']}") as stream:
            renewed = await wire.raw("PUT", "/fapi/v1/listenKey", {}, **key)
            await wire.control("POST", "act", {"do": "expire_listen_keys"})
            told = await stream.next()
        dead = await wire.raw("PUT", "/fapi/v1/listenKey", {}, **key)
        _, fresh = await wire.raw("POST", "/fapi/v1/listenKey", {}, **key)
        return first, again, renewed, told, dead, fresh

    first, again, renewed, told, dead, fresh = played(scenario)
    assert first == again != fresh
    assert renewed == (200, first)
    assert (told["e"], told["listenKey"]) == ("listenKeyExpired", first["listenKey"])
    assert (dead[0], dead[1]["code"]) == (400, -1125)


def test_a_listen_key_that_nobody_renews_ends_by_itself():
    async def scenario(wire):
        async with wire.user_stream() as stream:
            return await stream.next()

    assert played(scenario, listen_key_seconds=0.2)["e"] == "listenKeyExpired"


def test_the_end_of_the_catalog_is_the_end(history):
    async def scenario(wire):
        return [await wire.play(3) for _ in range(3)]

    answers = played(scenario, catalog=str(history), symbols=("BTCUSDT",), start=SOME_DAY, end="2023-12-10T00:05:00Z")
    assert [(each["played"], each["done"]) for each in answers] == [(3, False), (2, True), (0, True)]


def test_minutes_that_the_catalog_lacks_pass_in_silence(outage):
    async def scenario(wire):
        async with wire.stream("/ws/btcusdt@kline_1m") as stream:
            heard = [m["k"]["t"] for m in await stream.rest(lambda: wire.play(240)) if closed(m)]
        query = {"symbol": "BTCUSDT", "interval": "1m", "limit": 160}
        page = await wire.get("/fapi/v1/klines", **query, startTime=heard[0])
        return heard, await wire.get("/fapi/v1/klines", **query), page

    heard, rows, page = played(scenario, catalog=str(outage), symbols=("BTCUSDT",), start="2023-03-24T11:20:00Z")
    gaps = [(b - a) // MINUTE_MS for a, b in pairwise(heard) if b - a != MINUTE_MS]
    assert gaps == [81]
    assert [row[0] for row in page] == heard
    assert [row[0] for row in rows[:-1]] == heard[1:]


def test_two_steps_at_once_play_one_after_the_other():
    async def scenario(wire):
        async with wire.stream("/ws/btcusdt@kline_1m") as stream:

            async def both():
                await asyncio.gather(wire.play(5), wire.play(5))

            return [m["k"]["t"] for m in await stream.rest(both) if closed(m)]

    heard = played(scenario, start=SOME_DAY)
    assert heard == list(range(SOME_DAY_MS, SOME_DAY_MS + 10 * MINUTE_MS, MINUTE_MS))


def test_a_minute_that_somebody_is_to_hear_waits_until_somebody_listens():
    async def scenario(wire):
        async with wire.stream("/ws") as stream:
            playing = asyncio.create_task(wire.control("POST", "next?heard=30"))
            before = (await wire.control("GET", "state"))["played_in_all"]
            heard = [await stream.ask("SUBSCRIBE", "btcusdt@kline_1m")]
            heard += await stream.rest(lambda: asyncio.wait_for(playing, 30))
            return before, [message for message in heard if closed(message)]

    before, heard = played(scenario)
    assert before == 0
    assert len(heard) == 1


def test_a_minute_that_nobody_hears_is_played_in_the_end():
    assert played(lambda wire: wire.control("POST", "next?heard=0.01"))["played"] == 1
