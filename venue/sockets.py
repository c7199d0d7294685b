"""Open websockets and who listens to what."""

import asyncio
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any

import msgspec
from aiohttp import WSCloseCode, web

from venue.hooks import Hooks

__all__ = ["Socket", "Subscriptions"]

_MOST_WAITING = 200_000
"""Messages a client may be behind before it is cut off."""
_PATIENCE_SECONDS = 5.0

encode = msgspec.json.Encoder().encode


class Socket:
    """One websocket: messages are sent in order by a task of its own, so that who speaks never waits.

    Parameters
    ----------
    channel : str
        ``market``, ``user`` or ``trading``.
    response : WebSocketResponse
        The connection.
    combined : bool
        Whether events are wrapped with the name of their stream.
    """

    def __init__(self, channel: str, response: web.WebSocketResponse, *, combined: bool = False) -> None:
        self.channel, self.combined = channel, combined
        self.streams: dict[str, None] = {}
        """Names in the order of subscription."""
        self._response = response
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._writer = asyncio.create_task(self._write())

    def send(self, body: bytes) -> None:
        """Send a message as soon as those before it have left."""
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put_nowait(body.decode())
        else:
            self.cut()

    def cut(self) -> None:
        """Drop the connection without a goodbye, as a broken line does."""
        self._writer.cancel()
        request = self._response._req  # noqa: SLF001 - aiohttp has no public way to abort a connection
        if request is not None and request.transport is not None:
            request.transport.abort()

    async def close(self, code: int = WSCloseCode.GOING_AWAY, message: bytes = b"") -> None:
        """Close the connection politely."""
        with suppress(ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(self._response.close(code=code, message=message), 1.0)
        self._writer.cancel()

    async def flushed(self) -> None:
        """Wait until all has been handed to the network."""
        if not self._writer.done():
            self._idle.clear()
            self._waiting.put_nowait(None)
            with suppress(TimeoutError):  # who does not read holds up nobody
                await asyncio.wait_for(self._idle.wait(), _PATIENCE_SECONDS)

    async def _write(self) -> None:
        try:
            while True:
                text = await self._waiting.get()
                if text is None:
                    self._idle.set()
                else:
                    await self._response.send_str(text)
        except (ConnectionError, RuntimeError):
            pass  # the client has gone: the reader notices and forgets the socket
        finally:
            self._idle.set()


class Subscriptions:
    """Which sockets hear what, by the names of streams; everything sent passes the hooks."""

    def __init__(self, hooks: Hooks) -> None:
        self.sockets: dict[Socket, None] = {}
        self.sent: dict[str, int] = {"market": 0, "user": 0}
        """Events that have left, by channel."""
        self._by_stream: dict[str, dict[Socket, None]] = {}
        self._subscribed = asyncio.Event()
        self._hooks = hooks

    def open(self, socket: Socket, streams: Iterable[str] = ()) -> None:
        """Take a new socket."""
        self.sockets[socket] = None
        self.subscribe(socket, streams)

    def forget(self, socket: Socket) -> None:
        """Let a socket go."""
        self.sockets.pop(socket, None)
        self.unsubscribe(socket, list(socket.streams))

    def subscribe(self, socket: Socket, streams: Iterable[str]) -> None:
        """Let a socket hear streams from now on."""
        for name in streams:
            socket.streams[name] = None
            self._by_stream.setdefault(name, {})[socket] = None
        self._subscribed.set()

    def unsubscribe(self, socket: Socket, streams: Iterable[str]) -> None:
        """Let a socket hear streams no more."""
        for name in streams:
            socket.streams.pop(name, None)
            listeners = self._by_stream.get(name, {})
            listeners.pop(socket, None)
            if not listeners:
                self._by_stream.pop(name, None)

    def names(self) -> list[str]:
        """Return the streams that somebody hears."""
        return list(self._by_stream)

    async def heard(self, names: AbstractSet[str], seconds: float) -> None:
        """Wait until somebody hears every one of some streams, so long and no longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not names <= self._by_stream.keys():
                    self._subscribed.clear()
                    await self._subscribed.wait()

    def publish(self, channel: str, stream: str, event: dict[str, Any]) -> None:
        """Send an event of a stream to whoever hears it, unless a fault has other plans."""
        for delay, what in self._hooks.outgoing(channel, event):
            if delay > 0:
                asyncio.get_running_loop().call_later(delay, self._send, channel, stream, what)
            else:
                self._send(channel, stream, what)

    def _send(self, channel: str, stream: str, event: dict[str, Any]) -> None:
        listeners = self._by_stream.get(stream)
        if not listeners:
            return
        self.sent[channel] += 1
        plain = encode(event)
        for socket in list(listeners):
            socket.send(b'{"stream":%s,"data":%s}' % (encode(stream), plain) if socket.combined else plain)

    def where(self, wanted: Callable[[Socket], bool]) -> list[Socket]:
        """Return the open sockets of a kind."""
        return [socket for socket in self.sockets if wanted(socket)]

    async def flushed(self) -> None:
        """Wait until all that was published has been handed to the network."""
        for socket in list(self.sockets):
            await socket.flushed()
