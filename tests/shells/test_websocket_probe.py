"""One question over a websocket: an answer counts, and nothing else does."""

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from adapters.websocket_probe import asked_by_websocket
from core.errors import AutotradeError

ASKED = '{"id":1,"method":"SUBSCRIBE"}'


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as wire:
                talk(wire)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/ws"
        thread.join()


def agree(wire: socket.socket) -> None:
    """Turn the connection into a websocket, as RFC 6455 has it."""
    head = wire.recv(4_096).decode()
    key = head.split("Sec-WebSocket-Key: ")[1].split("\r\n")[0]
    digest = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    wire.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
                 + base64.b64encode(digest) + b"\r\n\r\n")  # fmt: skip


def heard(wire: socket.socket) -> str:
    """Return what a client said, unmasked."""
    head = wire.recv(2)
    mask = wire.recv(4)
    content = wire.recv(head[1] & 0x7F)
    assert head[1] & 0x80, "a client must mask"
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(content)).decode()


def told(wire: socket.socket, text: str, code: int = 1) -> None:
    content = text.encode()
    size = struct.pack(">B", len(content)) if len(content) < 126 else struct.pack(">BH", 126, len(content))
    wire.sendall(bytes((0x80 | code,)) + size + content)


def until_gone(wire: socket.socket) -> None:
    while wire.recv(4_096):
        pass


def ask(url: str) -> float:
    return asked_by_websocket(url, ASKED, 1, timeout_seconds=0.3)


def test_the_answer_is_found_among_pings_and_data():
    said = []

    def talk(wire: socket.socket) -> None:
        agree(wire)
        said.append(heard(wire))
        told(wire, "", code=9)
        told(wire, '{"e":"bookTicker","pad":"' + "x" * 300 + '"}')
        told(wire, '{"result":null,"id":1}')
        until_gone(wire)

    with server(talk) as url:
        assert ask(url) >= 0.0
    assert said == [ASKED]


def silent(wire: socket.socket) -> None:
    agree(wire)
    told(wire, '{"e":"bookTicker"}')
    told(wire, '{"result":null,"id":2}')
    until_gone(wire)


def refusing(wire: socket.socket) -> None:
    wire.recv(4_096)
    wire.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")


def forging(wire: socket.socket) -> None:
    wire.recv(4_096)
    wire.sendall(b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: abc\r\n\r\n")


def cutting(wire: socket.socket) -> None:
    agree(wire)
    heard(wire)


def closing(wire: socket.socket) -> None:
    agree(wire)
    heard(wire)
    told(wire, "", code=8)
    until_gone(wire)


def erring(wire: socket.socket) -> None:
    agree(wire)
    heard(wire)
    told(wire, '{"id":1,"error":{"code":2,"msg":"Invalid request"}}')
    until_gone(wire)


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (silent, "no answer within 0.3 s"),
        (refusing, "no websocket: HTTP/1.1 403 Forbidden"),
        (forging, "no websocket"),
        (cutting, "the server has cut the connection"),
        (closing, "the server has closed the connection"),
        (erring, "answers with an error"),
    ],
)
def test_whatever_is_no_answer_is_one_line(talk, said):
    with server(talk) as url, pytest.raises(AutotradeError, match=said):
        ask(url)


def test_a_port_that_nobody_serves_is_one_line():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(AutotradeError, match="not reached"):
            ask(f"ws://127.0.0.1:{bound.getsockname()[1]}/ws")
