"""The REST side of the stand-in venue, by real sockets."""

import base64
import json
import time
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import configs
from adapters.catalog import read_bars, read_funding
from tests.venue.wire import played
from venue.params import DEMO_KEY, DEMO_SECRET, ApiKey

MINUTE_MS = 60_000
SOME_DAY = "2023-12-10T00:00:00Z"
SOME_DAY_MS = 1_702_166_400_000


def test_its_filters_are_those_that_come_with_the_program():
    ours = json.loads((Path(configs.__file__).parent / "instruments.json").read_text())["um"]["symbols"]
    names = [symbol["symbol"] for symbol in ours]
    told = played(lambda wire: wire.get("/fapi/v1/exchangeInfo"), symbols=names)

    def facts(symbols):
        keys = ("tickSize", "stepSize", "minQty", "maxQty", "notional")
        kinds = ("PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL")
        return {
            symbol["symbol"]: {
                (each["filterType"], key): float(each[key])
                for each in symbol["filters"]
                if each["filterType"] in kinds
                for key in keys
                if key in each
            }
            for symbol in symbols
        }

    wanted, found = facts(ours), facts(told["symbols"])
    assert set(found) == set(wanted)
    for name, values in wanted.items():
        assert {key: found[name][key] for key in values} == values


def test_klines_before_and_after_the_start_are_the_catalogs(history):
    async def scenario(wire):
        await wire.play(30)
        query = {"symbol": "ETHUSDT", "interval": "1m", "startTime": SOME_DAY_MS - 600 * MINUTE_MS, "limit": 1500}
        return await wire.get("/fapi/v1/klines", **query)

    rows = played(scenario, catalog=str(history), symbols=("ETHUSDT",), start=SOME_DAY)
    closes = [(row[0] + MINUTE_MS) * 1_000_000 for row in rows[:-1]]
    truth = read_bars(history, "ETHUSDT-PERP.BINANCE", "1m", start_ns=closes[0] - 1, end_ns=closes[-1])
    assert len(closes) == 630
    assert truth.ts_close.tolist() == closes
    for column, name in ((1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume"), (9, "taker_buy")):
        assert [float(row[column]) for row in rows[:-1]] == getattr(truth, name).tolist(), name


def test_the_last_kline_is_open_and_ends_later_than_now():
    async def scenario(wire):
        await wire.play(7)
        return await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="5m", limit=2)

    whole, begun = played(scenario, start=SOME_DAY)
    assert (whole[0], begun[0]) == (SOME_DAY_MS, SOME_DAY_MS + 5 * MINUTE_MS)
    assert begun[6] == begun[0] + 5 * MINUTE_MS - 1


@pytest.mark.parametrize("interval", ["5m", "15m", "4h", "1d"])
def test_larger_klines_are_the_minutes_together(history, interval):
    minutes = {"5m": 5, "15m": 15, "4h": 240, "1d": 1_440}[interval]
    query = {"symbol": "BTCUSDT", "interval": interval, "limit": 20}
    rows = played(
        lambda wire: wire.get("/fapi/v1/klines", **query), catalog=str(history), symbols=("BTCUSDT",), start=SOME_DAY
    )[:-1]
    for row in rows[-5:]:
        truth = read_bars(
            history,
            "BTCUSDT-PERP.BINANCE",
            "1m",
            start_ns=row[0] * 1_000_000,
            end_ns=(row[0] + minutes * MINUTE_MS) * 1_000_000,
        )
        assert len(truth.ts_close) == minutes
        told = [float(value) for value in row[1:6]]
        assert told[:4] == [truth.open[0], truth.high.max(), truth.low.min(), truth.close[-1]]
        assert told[4] == pytest.approx(truth.volume.sum(), abs=0.0006)
    assert np.diff([row[0] for row in rows]).tolist() == [minutes * MINUTE_MS] * (len(rows) - 1)


def test_pages_of_klines_follow_each_other_without_a_gap():
    async def scenario(wire):
        start, seen = SOME_DAY_MS - 2_000 * MINUTE_MS, []
        while page := await wire.get(
            "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", startTime=start, endTime=SOME_DAY_MS - 1, limit=700
        ):
            seen += [row[0] for row in page]
            start = page[-1][0] + MINUTE_MS
        return seen

    assert played(scenario, start=SOME_DAY) == list(range(SOME_DAY_MS - 2_000 * MINUTE_MS, SOME_DAY_MS, MINUTE_MS))


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "7m"}, -1120),
        ("/fapi/v1/klines", {"symbol": "NOPEUSDT", "interval": "1m"}, -1121),
        ("/fapi/v1/klines", {"interval": "1m"}, -1102),
        ("/fapi/v1/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": 1501}, -1130),
        ("/fapi/v1/depth", {"symbol": "BTCUSDT", "limit": 7}, -4021),
        ("/somewhere/else", {}, -5000),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_in_binances_words(path, query, code):
    status, body = played(lambda wire: wire.raw("GET", path, query))
    assert status in {400, 404}
    assert body["code"] == code


def test_funding_that_was_settled_is_the_catalogs(history):
    async def scenario(wire):
        query = {"symbol": "BTCUSDT", "startTime": SOME_DAY_MS - 86_400_000, "limit": 1000}
        before = await wire.get("/fapi/v1/fundingRate", **query)
        return before, await wire.get("/fapi/v1/premiumIndex", symbol="BTCUSDT")

    rows, premium = played(scenario, catalog=str(history), symbols=("BTCUSDT",), start=SOME_DAY)
    begin = (SOME_DAY_MS - 86_400_000) * 1_000_000
    truth = read_funding(history, "BTCUSDT-PERP.BINANCE", start_ns=begin - 1, end_ns=begin + 2 * 86_400 * 10**9)
    told = [(row["fundingTime"] * 1_000_000, float(row["fundingRate"])) for row in rows]
    settled = list(zip(truth.ts.tolist(), truth.rate.tolist(), strict=True))
    assert told == settled[: len(told)]
    assert len(told) == 4
    assert (premium["nextFundingTime"] * 1_000_000, float(premium["lastFundingRate"])) == settled[len(told)]


def test_a_signed_request_passes_and_others_are_refused_for_their_reason():
    async def scenario(wire):
        now = time.time_ns() // 1_000_000
        asked = {
            "right": {},
            "wrong signature": {"signature": "0" * 64},
            "late": {"timestamp": now - 6_000},
            "late within its window": {"timestamp": now - 6_000, "recvWindow": 20_000},
            "ahead": {"timestamp": now + 5_000},
            "unknown key": {"key": "x" * 64},
            "no key": {"key": ""},
            "no time": {"timestamp": ""},
        }
        return {
            name: await wire.signed("GET", "/sapi/v1/account/apiRestrictions", **extra) for name, extra in asked.items()
        }

    answers = played(scenario)
    assert answers["right"][1]["enableWithdrawals"] is False
    assert answers["late within its window"][0] == 200
    codes = {name: (status, body.get("code")) for name, (status, body) in answers.items() if status != 200}
    assert codes == {
        "wrong signature": (400, -1022),
        "late": (400, -1021),
        "ahead": (400, -1021),
        "unknown key": (401, -2015),
        "no key": (401, -2014),
        "no time": (400, -1102),
    }


def test_an_ed25519_key_signs_with_its_private_half():
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    async def scenario(wire):
        now = time.time_ns() // 1_000_000
        signature = base64.b64encode(private.sign(f"timestamp={now}".encode())).decode()
        other = base64.b64encode(Ed25519PrivateKey.generate().sign(f"timestamp={now}".encode())).decode()
        path = "/sapi/v1/account/apiRestrictions"
        answers = []
        for each in (signature, other, "no base64 at all"):
            query = urlencode({"timestamp": now, "signature": each})
            answers.append((await wire.raw("GET", f"{path}?{query}", {}, **{"X-MBX-APIKEY": "ed"}))[1])
        return answers

    right, other, nonsense = played(scenario, keys=(ApiKey(key="ed", public_pem=pem.decode()),))
    assert right["ipRestrict"] is True
    assert (other["code"], nonsense["code"]) == (-1022, -1022)


def test_what_a_key_may_do_is_told_and_can_be_changed():
    async def scenario(wire):
        before = await wire.signed("GET", "/sapi/v1/account/apiRestrictions")
        await wire.control("POST", "act", {"do": "restrict", "withdraw": True, "ip_restricted": False})
        return before[1], (await wire.signed("GET", "/sapi/v1/account/apiRestrictions"))[1]

    before, after = played(scenario)
    names = ("enableFutures", "enableWithdrawals", "ipRestrict")
    assert [before[name] for name in names] == [True, False, True]
    assert [after[name] for name in names] == [True, True, False]


def test_weights_add_up_and_too_much_is_refused_then_banned():
    async def scenario(wire):
        used, refused = [], []
        for _ in range(3):
            await wire.get("/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1000)
            used.append(int(wire.headers["X-MBX-USED-WEIGHT-1M"]))
        for _ in range(12):
            status, body = await wire.raw("GET", "/fapi/v1/time", {})
            refused.append((status, body.get("code"), int(wire.headers.get("Retry-After", 0))))
        return used, refused

    used, refused = played(scenario, weight_limit=15)
    assert used == [5, 10, 15]
    assert [status for status, _, _ in refused] == [429] * 10 + [418] * 2
    assert {code for _, code, _ in refused} == {-1003}
    assert all(0 < wait <= 60 for status, _, wait in refused if status == 429)
    assert all(60 < wait <= 120 for status, _, wait in refused if status == 418)


def test_the_wrong_token_controls_nothing():
    async def scenario(wire):
        return [
            (await wire.raw("GET", "/control/ledger", {}, **headers))[0]
            for headers in ({}, {"Authorization": "Bearer "}, {"Authorization": "Bearer guessed"})
        ]

    assert played(scenario) == [401, 401, 401]


def test_no_secret_is_written_down():
    async def scenario(wire):
        await wire.signed("GET", "/fapi/v2/account")
        await wire.signed("GET", "/fapi/v2/account", signature="0" * 64)
        return json.dumps(await wire.control("GET", "ledger"))

    ledger = played(scenario)
    assert '"status": 200' in ledger
    assert '"code": -1022' in ledger
    assert "signature" not in ledger.replace("Signature for", "")
    assert DEMO_SECRET not in ledger
    assert DEMO_KEY not in repr(ApiKey(key=DEMO_KEY, secret=DEMO_SECRET))
