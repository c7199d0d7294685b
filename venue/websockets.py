"""The websocket endpoints: market and user streams, and the trading API."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from venue.errors import VenueError
from venue.front import Front
from venue.hooks import Answer, Call, Hooks
from venue.publisher import known_stream
from venue.signatures import payload_of
from venue.sockets import Socket, Subscriptions, encode

__all__ = ["Websockets"]

_PING_SECONDS = 180.0
_LARGEST_MESSAGE = 1 << 20
_METHODS = {
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
    "ticker.price": ("GET", "/fapi/v1/ticker/price"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ping": ("GET", "/fapi/v1/ping"),
    "time": ("GET", "/fapi/v1/time"),
}


class Websockets:
    """The websocket endpoints.

    Parameters
    ----------
    front : Front
        Where requests are answered.
    subscriptions : Subscriptions
        Who hears what.
    hooks : Hooks
        Faults.
    """

    def __init__(self, front: Front, subscriptions: Subscriptions, hooks: Hooks) -> None:
        self._front, self._subscriptions, self._hooks = front, subscriptions, hooks

    async def streams(self, request: web.Request) -> web.StreamResponse:
        """Serve market streams and user streams: ``/ws``, ``/ws/<name>``, ``/stream?streams=a/b``, ``?listenKey=``."""
        names = [name for name in request.match_info.get("names", "").split("/") if name]
        names += [name for name in request.query.get("streams", "").split("/") if name]
        listen_key = request.query.get("listenKey")
        names += [listen_key] if listen_key else []
        user = bool(names) and not any("@" in name or name.startswith("!") for name in names)
        channel = "user" if user else "market"
        if not self._hooks.accepts(channel):
            return _refused(request)
        response = await _opened(request)
        socket = Socket(channel, response, combined=request.path.endswith("/stream"))
        self._subscriptions.open(socket, names)
        try:
            async for message in response:
                if message.type is WSMsgType.TEXT:
                    socket.send(encode(self._control(socket, message.data)))
        finally:
            self._subscriptions.forget(socket)
            await socket.close()
        return response

    async def trading(self, request: web.Request) -> web.StreamResponse:
        """Serve the trading API."""
        if not self._hooks.accepts("trading"):
            return _refused(request)
        response = await _opened(request)
        socket = Socket("trading", response)
        self._subscriptions.open(socket)
        logon: dict[str, str] = {}
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for message in response:
                if message.type is WSMsgType.TEXT:
                    task = asyncio.create_task(self._request(socket, message.data, logon))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
        finally:
            self._subscriptions.forget(socket)
            await socket.close()
        return response

    def _control(self, socket: Socket, text: str) -> dict[str, Any]:
        """Carry out SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS."""
        try:
            asked = msgspec.json.decode(text)
            number, method, names = asked.get("id"), asked["method"], asked.get("params") or []
        except (msgspec.DecodeError, AttributeError, KeyError):
            return {"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}}
        if method == "LIST_SUBSCRIPTIONS":
            return {"result": list(socket.streams), "id": number}
        if method not in {"SUBSCRIBE", "UNSUBSCRIBE"}:
            return {"error": {"code": 2, "msg": f"Invalid request: unknown variant `{method}`"}, "id": number}
        keys = self._front.account.listen_keys
        for name in names:
            if not (isinstance(name, str) and (known_stream(name) or keys.alive(name))):
                return {"error": {"code": 2, "msg": f"Invalid request: {name} is no stream"}, "id": number}
        if method == "SUBSCRIBE":
            self._subscriptions.subscribe(socket, names)
        else:
            self._subscriptions.unsubscribe(socket, names)
        return {"result": None, "id": number}

    async def _request(self, socket: Socket, text: str, logon: dict[str, str]) -> None:
        """Answer one request of the trading API, then tell what followed from it."""
        try:
            asked = msgspec.json.decode(text)
            number, method = asked["id"], str(asked["method"])
            params = {name: _written(value) for name, value in (asked.get("params") or {}).items()}
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
            said = {"id": None, "status": 400, "error": {"code": -1000, "msg": "The request is malformed."}}
            socket.send(encode(said))
            return
        if method.startswith("session."):
            socket.send(encode({"id": number, **self._session(method, params, logon)}))
            return
        if method not in _METHODS:
            answer = Answer(400, {}, {"code": -1000, "msg": f"Unknown method {method}."})
        else:
            verb, path = _METHODS[method]
            call = Call("trading", verb, path, params)
            answer = await self._front.answer(
                call, key=params.get("apiKey") or logon.get("apiKey"), payload=self._payload(params, logon)
            )
        if answer.status == 0:
            socket.cut()
        else:
            socket.send(encode({"id": number, **self._framed(answer)}))
        self._front.account.tell()

    def _payload(self, params: Mapping[str, str], logon: Mapping[str, str]) -> str | None:
        """Return what the signature of a request was made of; after a logon requests need none."""
        return None if logon and "signature" not in params else payload_of(params)

    def _session(self, method: str, params: Mapping[str, str], logon: dict[str, str]) -> dict[str, Any]:
        """Log on (Ed25519 keys only, as at Binance), off, or tell."""
        now = self._front.now_ms()
        if method == "session.logon":
            try:
                key = self._front.keyring.logon(params, now)
            except VenueError as refusal:
                return self._framed(Answer(refusal.status, {}, {"code": refusal.code, "msg": refusal.msg}))
            logon.update(apiKey=key.key, since=str(now))
        elif method == "session.logout":
            logon.clear()
        result = {
            "apiKey": logon.get("apiKey"),
            "authorizedSince": int(logon["since"]) if logon else None,
            "connectedSince": now,
            "returnRateLimits": True,
            "serverTime": now,
        }
        return self._framed(Answer(200, {}, result))

    def _framed(self, answer: Answer) -> dict[str, Any]:
        """Return an answer as the trading API words it."""
        named = "result" if answer.status == 200 else "error"
        return {"status": answer.status, named: answer.body, "rateLimits": self._front.limits.rows()}


async def _opened(request: web.Request) -> web.WebSocketResponse:
    response = web.WebSocketResponse(heartbeat=_PING_SECONDS, compress=False, max_msg_size=_LARGEST_MESSAGE)
    await response.prepare(request)
    return response


def _refused(request: web.Request) -> web.StreamResponse:
    """Break a connection off before it stands."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _written(value: Any) -> str:
    """Return a parameter as it was written in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else encode(value).decode()
