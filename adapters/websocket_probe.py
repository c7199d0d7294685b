"""One question over a websocket, to see that its way is open in both directions.

References
----------
Fette, I. and Melnikov, A. (2011), The WebSocket Protocol, RFC 6455.
"""

import base64
import hashlib
import os
import socket
import ssl
import struct
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from core.errors import AutotradeError

__all__ = ["asked_by_websocket"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE = 0x1, 0x8
_MOST_BYTES = 1 << 20
_SHORT, _MIDDLE, _LONG = 125, 126, 127


def asked_by_websocket(url: str, message: str, number: object, *, timeout_seconds: float) -> float:
    """Connect, ask, and return the ms until the answer of that number came.

    Parameters
    ----------
    url : str
        ``wss://host/path`` or, on this machine, ``ws://``.
    message : str
        JSON with an ``id``.
    number : object
        The ``id`` of the answer.
    timeout_seconds : float
        For all of it.

    Raises
    ------
    AutotradeError
        Where it is refused, or there is no such answer in time.
    """
    until = time.monotonic() + timeout_seconds
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout_seconds) as plain:
            wire = ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname) if secure else plain
            with wire:
                left = _handshake(wire, f"{parts.hostname}:{port}", parts.path or "/")
                began = time.perf_counter()
                wire.sendall(_frame(message.encode()))
                reader = _Reader(wire, left, until)
                while (answer := reader.message()).get("id") != number:
                    continue
                if answer.get("error") is not None or answer.get("status", HTTPStatus.OK) != HTTPStatus.OK:
                    raise AutotradeError(f"{url}: answers with an error: {str(answer)[:120]}")
                return (time.perf_counter() - began) * 1e3
    except TimeoutError:
        raise AutotradeError(f"{url}: no answer within {timeout_seconds:g} s") from None
    except (OSError, ValueError) as error:
        raise AutotradeError(f"{url}: not reached ({error})") from None


class _Reader:
    """Reads the messages of a server, which are not masked."""

    def __init__(self, wire: socket.socket, left: bytes, until: float) -> None:
        self._wire, self._buffer, self._until = wire, left, until

    def message(self) -> dict[str, Any]:
        """Return the next message that is a JSON object; an answer is never in pieces."""
        while True:
            first, second = self._take(2)
            length = second & 0x7F
            if length == _MIDDLE:
                (length,) = struct.unpack(">H", self._take(2))
            elif length == _LONG:
                (length,) = struct.unpack(">Q", self._take(8))
            if length > _MOST_BYTES:
                raise ValueError(f"a message of {length} bytes")
            content = self._take(length)
            if first & 0xF == _CLOSE:
                raise ConnectionError("the server has closed the connection")
            if first & 0xF == _TEXT:
                try:
                    decoded = msgspec.json.decode(content)
                except msgspec.DecodeError:
                    continue
                if isinstance(decoded, dict):
                    return decoded

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            left = self._until - time.monotonic()
            if left <= 0.0:
                raise TimeoutError
            self._wire.settimeout(left)
            got = self._wire.recv(65_536)
            if not got:
                raise ConnectionError("the server has cut the connection")
            self._buffer += got
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken


def _handshake(wire: socket.socket, host: str, path: str) -> bytes:
    """Turn a connection into a websocket; return what was read beyond."""
    key = base64.b64encode(os.urandom(16))
    wire.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        got = wire.recv(4_096)
        if not got or len(answer) > _MOST_BYTES:
            raise ConnectionError("the server has cut the connection")
        answer += got
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].decode("latin-1")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    if " 101 " not in f"{status} " or accept not in head:
        raise ConnectionError(f"no websocket: {status}")
    return rest


def _frame(content: bytes) -> bytes:
    """Return a masked text frame, as clients must send it."""
    mask = os.urandom(4)
    size = len(content)
    head = (
        bytes((0x80 | _TEXT, 0x80 | size))
        if size <= _SHORT
        else struct.pack(">BBH", 0x80 | _TEXT, 0x80 | _MIDDLE, size)
    )
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
