"""The REST endpoints on the wire."""

from urllib.parse import parse_qsl

from aiohttp import web

from venue.front import Front
from venue.hooks import Call, Hooks
from venue.sockets import encode

__all__ = ["Rest"]


class Rest:
    """Every path that nobody else serves.

    Parameters
    ----------
    front : Front
        Where requests are answered.
    hooks : Hooks
        Faults.
    """

    def __init__(self, front: Front, hooks: Hooks) -> None:
        self._front, self._hooks = front, hooks

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, then tell what followed from it."""
        if not self._hooks.accepts("rest"):
            return _cut(request)
        path, _, query = request.raw_path.partition("?")
        body = (await request.read()).decode()
        params = dict(parse_qsl(f"{query}&{body}", keep_blank_values=True))
        signed = (part for part in query.split("&") if not part.startswith("signature="))
        also = (part for part in body.split("&") if not part.startswith("signature="))
        payload = "&".join(signed) + "&".join(also)  # one after the other, as Binance has it
        call = Call("rest", request.method, path, params)
        answer = await self._front.answer(call, key=request.headers.get("X-MBX-APIKEY"), payload=payload)
        if answer.status == 0:
            self._front.account.tell()
            return _cut(request)
        response = web.Response(
            body=encode(answer.body), status=answer.status, headers=answer.headers, content_type="application/json"
        )
        await response.prepare(request)
        await response.write_eof()
        self._front.account.tell()
        return response


def _cut(request: web.Request) -> web.StreamResponse:
    """Break the connection off."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)
