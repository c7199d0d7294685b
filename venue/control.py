"""The controlling side of the stand-in: ``/control/...``, for whoever holds the token.

::

    POST   /control/next?bars=K   play K minutes (speed 0); answers when all they caused has been sent; with heard=S
                                  it waits S seconds at most until somebody hears the minutes of every symbol
    POST   /control/faults        put rules in force: one JSON object or a list (`venue.faults.Rule`)
    GET    /control/faults        the rules, what they saw and what they hit
    DELETE /control/faults[/ID]   take them away
    POST   /control/act           do something at once: {"do": "drop", "channel": ...}, {"do": "expire_listen_keys"},
                                  {"do": "cancel", "client_order_id": ...}, {"do": "liquidate", "symbol": ...},
                                  {"do": "restrict", "withdraw": ...}
    POST   /control/play?bars=K   the same at once, whether the client is made to wait or not
    POST   /control/rest          answer when a step is asked for, and let it wait: the client is at rest; then
    POST   /control/go            play on
    GET    /control/state         clocks, prices, connections, counts, the account
    GET    /control/ledger        what the exchange did, and what came over the wire, from row N on each
                                  (?since=N, ?wire_since=N), and when minutes ended
"""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from venue.account import Account
from venue.clock import Clock
from venue.errors import VenueError
from venue.faults import Faults, Rule
from venue.player import Player
from venue.signatures import Keyring
from venue.sockets import Subscriptions, encode

__all__ = ["Control"]

_CHANNELS = ("market", "user", "trading")


class Control:
    """The controlling API.

    Parameters
    ----------
    token : str
        What must stand in ``Authorization: Bearer``.
    account, subscriptions, keyring, faults, clock : of the venue
        What is controlled.
    """

    def __init__(
        self,
        token: str,
        *,
        account: Account,
        subscriptions: Subscriptions,
        keyring: Keyring,
        faults: Faults,
        player: Player,
        clock: Clock,
        stepwise: bool,
    ) -> None:
        self._token = f"Bearer {token}".encode()
        self._account, self._subscriptions, self._keyring = account, subscriptions, keyring
        self._faults, self._player, self._clock, self._stepwise = faults, player, clock, stepwise
        self._going, self._waiting = asyncio.Event(), asyncio.Event()
        self._going.set()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/control/next", self._guarded(self._next)),
            web.post("/control/play", self._guarded(self._play)),
            web.post("/control/rest", self._guarded(self._rest)),
            web.post("/control/go", self._guarded(self._go)),
            web.get("/control/faults", self._guarded(self._rules)),
            web.post("/control/faults", self._guarded(self._arm)),
            web.delete("/control/faults", self._guarded(self._disarm)),
            web.delete(r"/control/faults/{number:\d+}", self._guarded(self._disarm)),
            web.post("/control/act", self._guarded(self._act)),
            web.get("/control/state", self._guarded(self._state)),
            web.get("/control/ledger", self._guarded(self._ledger)),
        ]

    def _guarded(self, answer: Callable[[web.Request], Awaitable[Any]]) -> Any:
        async def guarded(request: web.Request) -> web.Response:
            if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), self._token):
                return _json({"error": "the token is missing or wrong"}, 401)
            try:
                return _json(await answer(request), 200)
            except (ValueError, KeyError, VenueError, msgspec.MsgspecError) as error:
                return _json({"error": str(error) or repr(error)}, 400)

        return guarded

    async def _next(self, request: web.Request) -> dict[str, Any]:
        if not self._stepwise:
            raise ValueError("the venue plays by the clock: start it with speed 0 to step it")
        self._waiting.set()
        try:
            await self._going.wait()
        finally:
            self._waiting.clear()
        wanted = {f"{symbol.lower()}@kline_1m" for symbol in self._player.markets}
        await self._subscriptions.heard(wanted, float(request.query.get("heard", "0")))
        if request.transport is None or request.transport.is_closing():
            raise ValueError("whoever asked has gone: nothing is played for nobody")
        played = await self._player.step(int(request.query.get("bars", "1")))
        return {"played": played, **self._short()}

    async def _play(self, request: web.Request) -> dict[str, Any]:
        """Play on at once, whether the client has asked for it or is made to wait."""
        played = await self._player.step(int(request.query.get("bars", "1")))
        return {"played": played, **self._short()}

    async def _rest(self, request: web.Request) -> dict[str, Any]:
        self._going.clear()
        try:
            async with asyncio.timeout(float(request.query.get("timeout", "60"))):
                await self._waiting.wait()
        except TimeoutError:
            self._going.set()
            raise ValueError("the client has not asked for the next minute in time") from None
        return self._short()

    async def _go(self, _: web.Request) -> dict[str, Any]:
        self._going.set()
        return {}

    async def _rules(self, _: web.Request) -> list[dict[str, Any]]:
        return self._faults.rows()

    async def _arm(self, request: web.Request) -> dict[str, Any]:
        rules = msgspec.json.decode(await request.read(), type=Rule | list[Rule])
        return {"ids": [self._faults.arm(rule) for rule in (rules if isinstance(rules, list) else [rules])]}

    async def _disarm(self, request: web.Request) -> dict[str, Any]:
        number = request.match_info.get("number")
        self._faults.disarm(None if number is None else int(number))
        return {}

    async def _act(self, request: web.Request) -> dict[str, Any]:
        asked = msgspec.json.decode(await request.read())
        done = 1
        match asked["do"]:
            case "drop":
                sockets = self._subscriptions.where(lambda s: asked.get("channel") in {None, s.channel})
                for socket in sockets:
                    socket.cut()
                done = len(sockets)
            case "expire_listen_keys":
                self._account.listen_keys.expire()
                self._account.expire()
            case "cancel":
                self._account.exchange.cancel_by_exchange(asked["client_order_id"])
            case "liquidate":
                self._account.exchange.liquidate(asked["symbol"])
            case "restrict":
                changes = {name: bool(asked[name]) for name in ("trade", "withdraw", "ip_restricted") if name in asked}
                self._keyring.restrict(changes)
            case other:
                raise ValueError(f"do {other!r} is unknown: drop, expire_listen_keys, cancel, liquidate or restrict")
        self._account.note("control", "ACT", str(asked["do"]), {k: str(v) for k, v in asked.items()}, status=200)
        self._account.tell()
        return {"done": done}

    def _short(self) -> dict[str, Any]:
        return {
            "done": self._player.done,
            "market_ms": self._clock.market_ms(),
            "minute_ms": self._player.minute_ms,
            "played_in_all": self._player.played,
            "sent": dict(self._subscriptions.sent),
        }

    async def _state(self, _: web.Request) -> dict[str, Any]:
        return {
            **self._short(),
            "real_ms": self._clock.real_ms(),
            "sockets": {channel: self._open(channel) for channel in _CHANNELS},
            "prices": {
                symbol: None if market.quote is None else market.quote._asdict()
                for symbol, market in self._player.markets.items()
            },
            "account": self._holdings(),
            "faults": len(self._faults.rows()),
        }

    def _holdings(self) -> dict[str, Any]:
        """Return what the account holds and what rests, as the REST API words it."""
        asked = {"positions": "v2/positionRisk", "orders": "v1/openOrders", "algos": "v1/openAlgoOrders"}
        ask = self._account.exchange.request
        rows = {name: ask("GET", f"/fapi/{path}", {}) for name, path in asked.items()}
        return {**rows, "balance": ask("GET", "/fapi/v2/balance", {})}

    def _open(self, channel: str) -> list[list[str]]:
        """Return the streams of each open connection; listen keys are shown by their beginning."""
        sockets = self._subscriptions.where(lambda socket: socket.channel == channel)
        return [[name if "@" in name else name[:4] for name in socket.streams] for socket in sockets]

    async def _ledger(self, request: web.Request) -> dict[str, Any]:
        since = int(request.query.get("wire_since", "0"))
        return {
            "exchange": self._account.exchange.ledger(int(request.query.get("since", "0"))),
            "told_ns": list(self._player.told_ns),
            "wire": [row for row in self._account.noted if row["n"] > since],
            "faults": self._faults.rows(),
        }


def _json(body: Any, status: int) -> web.Response:
    return web.Response(body=encode(body), status=status, content_type="application/json")
