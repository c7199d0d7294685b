"""A client of the stand-in venue that knows only the wire, and a venue to talk to in the same process."""

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp

from venue.params import DEMO_KEY, DEMO_SECRET, VenueParams
from venue.server import Venue

TOKEN = "the control token of a test"
WAIT_SECONDS = 10.0


def sign(payload: str, secret: str = DEMO_SECRET) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


class Stream:
    """One open websocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> Any:
        message = await asyncio.wait_for(self.socket.receive(), WAIT_SECONDS)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionResetError(f"the connection has ended: {message}")
        return json.loads(message.data)

    async def send(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def ask(self, method: str, *params: str) -> Any:
        await self.send(method=method, params=list(params), id=1)
        return await self.next()

    async def until(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Return what arrives up to the first wanted message."""
        heard = [await self.next()]
        while not wanted(heard[-1]):
            heard.append(await self.next())
        return heard

    async def rest(self, sentinel: Callable[[], Awaitable[Any]]) -> list[Any]:
        """Return what arrives before the answer to a question that is asked now."""
        await sentinel()
        await self.send(method="LIST_SUBSCRIPTIONS", id=99)
        return (await self.until(lambda message: message.get("id") == 99))[:-1]

    async def waits(self) -> bool:
        """Return whether nothing comes for a moment."""
        try:
            await asyncio.wait_for(self.socket.receive(), 0.05)
        except TimeoutError:
            return True
        return False


class Wire:
    """Talks to one venue."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url, self.session = url, session
        self.headers: dict[str, str] = {}

    async def get(self, path: str, **params: Any) -> Any:
        return (await self.raw("GET", path, params))[1]

    async def raw(self, method: str, path: str, params: dict[str, Any], **headers: str) -> tuple[int, Any]:
        async with self.session.request(method, f"{self.url}{path}", params=params, headers=headers) as response:
            self.headers = dict(response.headers)
            return response.status, await response.json()

    async def signed(self, method: str, path: str, **params: Any) -> tuple[int, Any]:
        """Send a signed request; ``timestamp``, ``signature``, ``key`` may be given to be wrong."""
        key, signature = params.pop("key", DEMO_KEY), params.pop("signature", None)
        params.setdefault("timestamp", time.time_ns() // 1_000_000)
        payload = urlencode(params)
        url = f"{self.url}{path}?{payload}&signature={signature or sign(payload)}"
        async with self.session.request(method, url, headers={"X-MBX-APIKEY": key}) as response:
            self.headers = dict(response.headers)
            return response.status, await response.json()

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with self.session.request(method, f"{self.url}/control/{path}", json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return answer

    async def play(self, bars: int = 1) -> Any:
        return await self.control("POST", f"next?bars={bars}")

    async def fault(self, kind: str, **rule: Any) -> int:
        return (await self.control("POST", "faults", {"kind": kind, **rule}))["ids"][0]

    async def hits(self) -> int:
        return sum(rule["hits"] for rule in await self.control("GET", "faults"))

    @asynccontextmanager
    async def stream(self, path: str, **headers: str) -> AsyncIterator[Stream]:
        async with self.session.ws_connect(f"{self.url}{path}", headers=headers) as socket:
            yield Stream(socket)

    @asynccontextmanager
    async def user_stream(self) -> AsyncIterator[Stream]:
        _, answer = await self.raw("POST", "/fapi/v1/listenKey", {}, **{"X-MBX-APIKEY": DEMO_KEY})
        async with self.stream(f"/ws?listenKey={answer['listenKey']}") as stream:
            yield stream

    async def trade(self, stream: Stream, method: str, **params: Any) -> Any:
        """Send a signed request over the trading websocket and return its answer."""
        params |= {"apiKey": DEMO_KEY, "timestamp": time.time_ns() // 1_000_000}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        await stream.send(id="7", method=method, params={**params, "signature": sign(payload)})
        return await stream.next()

    async def buy(self, quantity: str = "0.010", **params: Any) -> tuple[int, Any]:
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": quantity, **params}
        return await self.signed("POST", "/fapi/v1/order", **order)


def played(scenario: Callable[[Wire], Awaitable[Any]], **params: Any) -> Any:
    """Run a scenario against a venue of its own: a lock-step walk unless told otherwise."""

    async def run() -> Any:
        venue = Venue(VenueParams(**params), TOKEN)
        port = await venue.start()
        try:
            async with aiohttp.ClientSession() as session:
                return await scenario(Wire(f"http://127.0.0.1:{port}", session))
        finally:
            await venue.stop()

    return asyncio.run(run())
