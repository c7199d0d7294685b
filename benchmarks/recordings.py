"""Recorded markets as they were: a perpetual's book and trades by websocket, and days of archived trades."""

import gzip
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SHARED = Path(__file__).parents[2] / "shared" / "data" / "raw"
BOOK = SHARED / "ws_recordings" / "hftbacktest-usdm-btcusdt_20240808.gz"
DAYS = {
    "APEUSDT": SHARED / "freqtrade_testdata" / "futures-APEUSDT-aggTrades-2024-10-18.zip",
    "PEPEUSDT": SHARED / "freqtrade_testdata" / "spot-PEPEUSDT-aggTrades-2024-10-27.zip",
}
LEVELS = 400
"""Levels kept of each side of a book."""


class Recording(NamedTuple):
    """A market in order of time, all times ns UTC, prices in quote currency, sizes in base asset.

    Quotes: ``ts``, ``bid``, ``ask`` float64[n] and their sizes (0 where unknown). Trades: ``trade_ts``, ``price``,
    ``size`` and ``buyer`` (True where a buyer took) of length m. Books: ``book_ts`` int64[k] and ``levels``
    float64[k, 2, LEVELS, 2]: bids and asks, best first, price and size, NaN beyond the last; k = 0 where unknown.
    """

    ts: IntArray
    bid: FloatArray
    ask: FloatArray
    bid_size: FloatArray
    ask_size: FloatArray
    trade_ts: IntArray
    price: FloatArray
    size: FloatArray
    buyer: npt.NDArray[np.bool_]
    book_ts: IntArray
    levels: FloatArray


def read_day(path: Path) -> Recording:
    """Return an archived day of trades; spot files have no header.

    Without a book the last price at which a seller took stands for the bid, that of a buyer for the ask.
    """
    with zipfile.ZipFile(path) as archive:
        lines = archive.read(archive.namelist()[0]).decode().splitlines()
    rows = [line.split(",") for line in lines if line[0].isdigit()]
    ts = np.array([int(row[5]) * 1_000_000 for row in rows], dtype=np.int64)
    price = np.array([float(row[1]) for row in rows])
    buyer = np.array([row[6].lower() == "false" for row in rows])
    bid, ask = _last(price, ~buyer), _last(price, buyer)
    bid, ask = np.where(buyer, np.minimum(bid, price), bid), np.where(buyer, ask, np.maximum(ask, price))
    unknown = np.zeros(len(ts))
    size = np.array([float(row[2]) for row in rows])
    none = np.empty((0, 2, LEVELS, 2))
    return Recording(ts, bid, ask, unknown, unknown, ts, price, size, buyer, ts[:0], none)


def read_book(path: Path) -> Recording:
    """Return a recording of the websocket, stamped with the times of receipt; it begins with the book's snapshot.

    Updates older than the snapshot are passed over, as Binance prescribes.
    """
    sides: tuple[dict[float, float], dict[float, float]] = ({}, {})
    snapshot_id, waiting = 0, []
    quotes, trades, stamps, books = [], [], [], []
    for ts, message in _messages(path):
        body = message.get("data", message)
        kind = body.get("e")
        if "lastUpdateId" in body:
            snapshot_id = body["lastUpdateId"]
            updates = [{"u": snapshot_id + 1, "b": body["bids"], "a": body["asks"]}, *waiting]
        else:
            updates = [body] if kind == "depthUpdate" else []
        if kind == "bookTicker" and snapshot_id:
            quotes.append((ts, *(float(body[key]) for key in "baBA")))
        elif kind == "trade" and snapshot_id:
            trades.append((ts, float(body["p"]), float(body["q"]), not body["m"]))
        elif updates and not snapshot_id:
            waiting += updates
        for update in updates if snapshot_id else []:
            if update["u"] > snapshot_id:
                _apply(sides[0], update["b"])
                _apply(sides[1], update["a"])
        if updates and snapshot_id:
            stamps.append(ts)
            books.append((_best(sides[0], reverse=True), _best(sides[1], reverse=False)))
    q, t = np.array(quotes), np.array(trades)
    when, traded = np.array([row[0] for row in quotes]), np.array([row[0] for row in trades])
    columns = (q[:, 1], q[:, 2], q[:, 3], q[:, 4])
    return Recording(when, *columns, traded, t[:, 1], t[:, 2], t[:, 3] == 1.0, np.array(stamps), np.array(books))


def _messages(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            ts, _, text = line.partition(" ")
            yield int(ts), json.loads(text)


def _apply(side: dict[float, float], levels: list[list[str]]) -> None:
    for price, size in levels:
        if float(size) == 0.0:
            side.pop(float(price), None)
        else:
            side[float(price)] = float(size)


def _best(side: dict[float, float], *, reverse: bool) -> FloatArray:
    best = sorted(side.items(), reverse=reverse)[:LEVELS]
    return np.array(best + [(np.nan, np.nan)] * (LEVELS - len(best)))


def _last(price: FloatArray, here: npt.NDArray[np.bool_]) -> FloatArray:
    """Return at every trade the last price of those marked, the first of them before it."""
    index = np.maximum.accumulate(np.where(here, np.arange(len(price)), -1))
    return np.where(index >= 0, price[index], price[np.argmax(here)])
