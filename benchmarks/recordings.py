"""Recorded markets as they were: a perpetual's book, quotes and trades by websocket, and a day of archived trades."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from nautilus_trader.model import (
    AggressorSide,
    BookAction,
    BookOrder,
    InstrumentId,
    OrderBookDelta,
    OrderBookDeltas,
    OrderSide,
    Price,
    Quantity,
    QuoteTick,
    TradeId,
    TradeTick,
)

SHARED = Path(__file__).parents[2] / "shared" / "data" / "raw"
BOOK = SHARED / "ws_recordings" / "hftbacktest-usdm-btcusdt_20240808.gz"
TRADES = {
    "APEUSDT": SHARED / "freqtrade_testdata" / "futures-APEUSDT-aggTrades-2024-10-18.zip",
    "PEPEUSDT": SHARED / "freqtrade_testdata" / "spot-PEPEUSDT-aggTrades-2024-10-27.zip",
}
_LAST = 128
_SNAPSHOT = 32


class Trades(NamedTuple):
    """Trades in order: ``ts`` ns UTC, ``price`` quote currency, ``size`` base asset, ``buyer`` True where a buyer took."""

    ts: npt.NDArray[np.int64]
    price: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]
    buyer: npt.NDArray[np.bool_]


def read_trades(path: Path) -> Trades:
    """Return the trades of an archived day; spot files have no header."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    rows = [line.split(",") for line in lines if line[0].isdigit()]
    return Trades(
        np.array([int(row[5]) * 1_000_000 for row in rows], dtype=np.int64),
        np.array([float(row[1]) for row in rows]),
        np.array([float(row[2]) for row in rows]),
        np.array([row[6].lower() == "false" for row in rows]),
    )


def read_book(path: Path, instrument: str) -> list[Any]:
    """Return a recording as the engine's data, stamped with the times of receipt: book, quotes, trades.

    The book begins with the snapshot; older updates are passed over, as Binance prescribes.
    """
    name = InstrumentId.from_str(instrument)
    snapshot_id = 0
    waiting: list[tuple[int, dict[str, Any]]] = []
    data: list[Any] = []
    for ts, message in _messages(path):
        body = message.get("data", message)
        kind = body.get("e")
        if kind == "bookTicker":
            data.append(_quote(name, ts, body))
        elif kind == "trade":
            side = AggressorSide.SELL if body["m"] else AggressorSide.BUY
            price, size = Price.from_str(_one(body["p"])), Quantity.from_str(body["q"])
            data.append(TradeTick(name, price, size, side, TradeId(str(body["t"])), ts, ts))
        elif "lastUpdateId" in body:
            snapshot_id = body["lastUpdateId"]
            data.append(_deltas(name, ts, snapshot_id, body["bids"], body["asks"], clear=True))
            data += [_update(name, ts, earlier) for _, earlier in waiting if earlier["u"] > snapshot_id]
        elif snapshot_id == 0:
            waiting.append((ts, body))
        elif body["u"] > snapshot_id:
            data.append(_update(name, ts, body))
    return data


def _messages(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            ts, _, text = line.partition(" ")
            yield int(ts), json.loads(text)


def _quote(name: InstrumentId, ts: int, body: dict[str, Any]) -> QuoteTick:
    bid, ask = Price.from_str(_one(body["b"])), Price.from_str(_one(body["a"]))
    return QuoteTick(name, bid, ask, Quantity.from_str(body["B"]), Quantity.from_str(body["A"]), ts, ts)


def _update(name: InstrumentId, ts: int, body: dict[str, Any]) -> OrderBookDeltas:
    return _deltas(name, ts, body["u"], body["b"], body["a"])


def _deltas(
    name: InstrumentId, ts: int, sequence: int, bids: list[list[str]], asks: list[list[str]], *, clear: bool = False
) -> OrderBookDeltas:
    flags = _SNAPSHOT if clear else 0
    deltas = [OrderBookDelta.clear(name, sequence, ts, ts)] if clear else []
    levels = [(OrderSide.BUY, *level) for level in bids] + [(OrderSide.SELL, *level) for level in asks]
    for number, (side, price, size) in enumerate(levels, start=1):
        action = BookAction.DELETE if float(size) == 0.0 else BookAction.UPDATE
        order = BookOrder(side, Price.from_str(_one(price)), Quantity.from_str(size), 0)
        last = _LAST if number == len(levels) else 0
        deltas.append(OrderBookDelta(name, action, order, flags | last, sequence, ts, ts))
    return OrderBookDeltas(name, deltas)


def _one(price: str) -> str:
    """Return a price with the one decimal of the instrument's tick."""
    return price[:-1]
