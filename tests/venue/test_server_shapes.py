"""Events and answers have the keys and the kinds of values that Binance's own recordings have."""

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.venue.wire import played

NUMBER = re.compile(r"-?\d+(\.\d+)?")
ASKED = ("aggTrade", "trade", "bookTicker", "depth@100ms", "kline_1m")


def shape(value):
    """Return the form of a value: keys in their order, and what its leaves are."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    if isinstance(value, str):
        return "number as text" if NUMBER.fullmatch(value) else "text"
    return type(value).__name__


def recorded(shared_data: Path):
    """Yield each event and each snapshot of a book in the recordings."""
    raw = shared_data / "raw"
    with gzip.open(raw / "ws_recordings" / "hftbacktest-usdm-btcusdt_20240808.gz", "rt") as lines:
        for _, line in zip(range(3_000), lines, strict=False):
            message = json.loads(line.partition(" ")[2])
            yield message.get("data", message)
    for line in (raw / "cryptofeed_sample_data" / "BINANCE_FUTURES.ws.1.0").read_text().splitlines()[1:]:
        yield json.loads(line.partition(": ")[2])["data"]


def filled(event):
    """Whether an event shows the shape of everything in it."""
    return bool(event.get("b", True)) and bool(event.get("a", True))


@pytest.fixture(scope="module")
def real(shared_data):
    return {event.get("e", "book"): shape(event) for event in recorded(shared_data) if filled(event)}


async def _listen(wire):
    names = "/".join(f"btcusdt@{kind}" for kind in ASKED)
    async with wire.stream(f"/stream?streams={names}") as stream:
        heard = await stream.rest(lambda: wire.play(3))
    book = await wire.get("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    return [message["data"] for message in heard], book


def test_events_of_the_market_have_the_shape_of_real_ones(real):
    events, book = played(_listen)
    ours = {event["e"]: shape(event) for event in events if filled(event)}
    assert set(ours) == {"aggTrade", "trade", "bookTicker", "depthUpdate", "kline"}
    for name, form in ours.items():
        assert form == real[name], name
        assert list(form) == list(real[name]), f"{name}: the order of keys"
    assert shape(book) == real["book"]


def test_every_trade_number_is_one_more_than_the_last():
    events, _ = played(_listen)
    numbers = [event["t"] for event in events if event["e"] == "trade"]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_the_exchange_info_has_the_shape_of_a_real_one(shared_data):
    real = json.loads((shared_data / "raw" / "exchange_info" / "usdm-exchangeInfo-20220504.json").read_text())
    ours = played(lambda wire: wire.get("/fapi/v1/exchangeInfo"), symbols=("BTCUSDT", "SOLUSDT"))
    assert set(ours) == set(real)
    theirs = {symbol["symbol"]: symbol for symbol in real["symbols"]}
    for symbol in ours["symbols"]:
        other = theirs[symbol["symbol"]]
        assert set(symbol) == set(other)
        assert {each["filterType"] for each in symbol["filters"]} <= {each["filterType"] for each in other["filters"]}
        assert symbol["orderTypes"] == other["orderTypes"]
