"""A stand-in of Binance's archive and REST API on 127.0.0.1: true formats, and the faults of true servers on demand."""

import hashlib
import io
import json
import socket
import struct
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
MICROSECONDS_FROM = pd.Timestamp("2025-01-01", tz="UTC")
ROOTS = {"um": "data/futures/um", "spot": "data/spot"}
LONGEST_SECONDS = 30.0


def to_rows(bars: pd.DataFrame, length_ms: int) -> list[list[Any]]:
    """Return bars (columns of the shared Parquet files) as Binance's REST API sends them, times in ms."""
    opened = bars["open_time"].astype("datetime64[ms, UTC]").astype("int64")
    texts = [
        [f"{value:.8f}" for value in bars[name]] if name in bars else ["0"] * len(bars)
        for name in ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_base", "taker_buy_quote")
    ]
    o, h, lo, c, v, q, tb, tq = texts
    trades = bars["trades"].tolist() if "trades" in bars else [0] * len(bars)
    return [
        list(row)
        for row in zip(
            opened, o, h, lo, c, v, opened + length_ms - 1, q, trades, tb, tq, ["0"] * len(bars), strict=True
        )
    ]


def to_csv(rows: list[list[Any]], market: str) -> bytes:
    """Return REST rows as the archive's CSV: spot without header, microseconds from 2025 on; futures the other way."""
    lines = [] if market == "spot" else [HEADER]
    for row in rows:
        micro = market == "spot" and row[0] >= MICROSECONDS_FROM.value // 10**6
        opened, closed = (row[0] * 1000, row[6] * 1000 + 999) if micro else (row[0], row[6])
        lines.append(",".join(map(str, [opened, *row[1:6], closed, *row[7:]])))
    return ("\n".join(lines) + "\n").encode()


class ArchiveServer(ThreadingHTTPServer):
    """Serves ``files`` by path and REST answers from ``rows``; ``faults`` of a path are used up one a request.

    A fault is ``(kind, value)``: status (int, or int and headers), cut (bytes of the body that are sent), reset, hang,
    body (bytes instead), call (a function, after half of the body was sent). ``requests`` lists what was asked.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.rows: dict[tuple[str, str], list[list[Any]]] = {}
        self.funding: list[dict[str, Any]] = []
        self.exchange_info: dict[str, Any] = {}
        self.faults: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        self.requests: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, part: str) -> list[str]:
        """Return the requests whose path has a part."""
        return [path for path in self.requests if part in path]

    def add_zip(self, path: str, content: bytes) -> None:
        """Serve a ZIP and its checksum."""
        name = path.rpartition("/")[2]
        self.files[path] = content
        self.files[f"{path}.CHECKSUM"] = f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()

    def add_csv(self, path: str, content: bytes) -> None:
        """Serve a CSV as a ZIP of the archive."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.rpartition("/")[2].replace(".zip", ".csv"), content)
        self.add_zip(path, packed.getvalue())

    def add_klines(self, market: str, symbol: str, interval: str, stamp: str, content: bytes | list[list[Any]]) -> str:
        """Serve bars of a month (``stamp`` 2024-01) or a day (2024-01-31), given as CSV or rows; return the path."""
        folder = "monthly" if stamp.count("-") == 1 else "daily"
        path = f"/{ROOTS[market]}/{folder}/klines/{symbol}/{interval}/{symbol}-{interval}-{stamp}.zip"
        self.add_csv(path, content if isinstance(content, bytes) else to_csv(content, market))
        return path

    def add_funding(self, symbol: str, month: str) -> str:
        """Serve the settlements of a month, of those that REST has; return the path."""
        stamps = [pd.Timestamp(row["fundingTime"], unit="ms") for row in self.funding]
        lines = ["calc_time,funding_interval_hours,last_funding_rate"]
        for stamp, row in zip(stamps, self.funding, strict=True):
            if f"{stamp:%Y-%m}" == month:
                lines.append(f"{row['fundingTime'] + 3},8,{row['fundingRate']}")  # the archive is some ms late
        path = f"/{ROOTS['um']}/monthly/fundingRate/{symbol}/{symbol}-fundingRate-{month}.zip"
        self.add_csv(path, ("\n".join(lines) + "\n").encode())
        return path

    def answer(self, path: str, query: dict[str, str]) -> tuple[int, bytes]:
        """Return status and body."""
        if path in self.files:
            return 200, self.files[path]
        market, _, name = path.removeprefix("/").rpartition("/")
        if market not in ("fapi/v1", "api/v3"):
            return 404, b"<Error><Code>NoSuchKey</Code></Error>"
        if name == "exchangeInfo" and self.exchange_info:
            return 200, json.dumps(self.exchange_info).encode()
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", 2**62))
        if name == "fundingRate":
            found = [row for row in self.funding if start <= row["fundingTime"] <= end]
            return 200, json.dumps(found[: int(query["limit"])]).encode()
        if name == "klines":
            rows = self.rows.get((query["symbol"], query["interval"]))
            if rows is None:
                return 400, b'{"code":-1121,"msg":"Invalid symbol."}'
            first, last = np.searchsorted([row[0] for row in rows], [start, end + 1])
            limit = min(int(query["limit"]), 1500 if market == "fapi/v1" else 1000)
            return 200, json.dumps(rows[first : min(last, first + limit)]).encode()
        return 404, b"<html>404 Not found</html>"


class _Handler(BaseHTTPRequestHandler):
    server: ArchiveServer
    protocol_version = "HTTP/1.1"
    timeout = LONGEST_SECONDS

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.requests.append(parts.path)
        self.server.queries.append(query)
        status, body = self.server.answer(parts.path, query)
        headers: dict[str, str] = {}
        planned = self.server.faults[parts.path]
        kind, value = planned.pop(0) if planned else ("", None)
        sent = len(body)
        if kind == "hang":
            self.server.released.wait(LONGEST_SECONDS)
        if kind in ("hang", "reset"):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if kind == "status":
            status, headers = value if isinstance(value, tuple) else (value, {})
            body = b"{}"
            sent = len(body)
        elif kind == "body":
            body = value
            sent = len(body)
        elif kind == "cut":
            sent = value
        elif kind == "call":
            sent = len(body) // 2
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])
        self.wfile.flush()
        if kind == "call":
            value()
        if sent < len(body):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the other side is gone
            self.close_connection = True


@contextmanager
def serving() -> Iterator[ArchiveServer]:
    """Run a server until the block ends."""
    server = ArchiveServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join(LONGEST_SECONDS)
