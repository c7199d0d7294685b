"""The stand-in venue: all its parts on one port of this machine."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from venue.account import Account
from venue.bars import MINUTE_MS
from venue.clock import Clock
from venue.control import Control
from venue.exchange import Exchange, ExchangeParams
from venue.faults import Faults
from venue.feed import Feed, ShiftedFeed
from venue.feed_catalog import CatalogFeed, FeedError
from venue.feed_walk import WalkFeed
from venue.front import Front
from venue.limits import Limits
from venue.listen_keys import ListenKeys
from venue.market import Form, SymbolMarket
from venue.params import VenueParams
from venue.player import Player
from venue.public_rest import PublicRest, load_exchange_info
from venue.publisher import Publisher
from venue.rest import Rest
from venue.signatures import Keyring
from venue.sockets import Subscriptions
from venue.websockets import Websockets

__all__ = ["Venue"]

_DAY_MS = 1_440 * MINUTE_MS
_HOUSEKEEPING_SECONDS = 1.0


class Venue:
    """A stand-in venue.

    Parameters
    ----------
    params : VenueParams
        What it is like.
    token : str
        Of its controlling API.

    Raises
    ------
    FeedError
        Where there is nothing to play.
    """

    def __init__(self, params: VenueParams, token: str) -> None:
        self.faults = Faults()
        clock = Clock(self.faults.clock_skew_ms)
        info = load_exchange_info()
        known = {each["symbol"]: each for each in info["symbols"]}
        for symbol in params.symbols:
            if symbol not in known:
                raise FeedError(f"symbol {symbol!r} is unknown to the stand-in: one of {', '.join(known)}")
        forms = {symbol: Form.of(known[symbol]) for symbol in params.symbols}
        feed = _feed(params, forms, clock.real_ms())
        markets = {
            symbol: SymbolMarket(form, feed, away=params.away_bps / 1e4, depth_quote=params.depth_quote)
            for symbol, form in forms.items()
        }
        terms = ExchangeParams(
            params.balance, params.taker_bps / 1e4, params.maker_bps / 1e4, params.maintenance, params.fill_share
        )
        exchange = Exchange([known[symbol] for symbol in params.symbols], terms, clock.market_ms, clock.real_ms)
        self._subscriptions = Subscriptions(self.faults)
        listen_keys = ListenKeys(params.listen_key_seconds, lambda: clock.real_ms() / 1e3)
        self._account = Account(exchange, self._subscriptions, listen_keys, clock)
        keyring = Keyring(params.keys)
        limits = Limits(params.weight_limit, params.order_limit_10s, params.order_limit_1m, clock.real_ms)
        self.player = Player(feed, markets, self._account, Publisher(self._subscriptions), clock)
        front = Front(
            hooks=self.faults,
            limits=limits,
            keyring=keyring,
            public=PublicRest(markets, clock, info),
            account=self._account,
            clock=clock,
        )
        control = Control(
            token,
            account=self._account,
            subscriptions=self._subscriptions,
            keyring=keyring,
            faults=self.faults,
            player=self.player,
            clock=clock,
            stepwise=params.speed == 0,
        )
        self._params = params
        self._app = web.Application(client_max_size=1 << 20)
        websockets = Websockets(front, self._subscriptions, self.faults)
        self._app.add_routes(control.routes())
        for prefix in ("", "/public", "/market", "/private"):
            self._app.router.add_get(prefix + "/ws", websockets.streams)
            self._app.router.add_get(prefix + "/ws/{names:.*}", websockets.streams)
            self._app.router.add_get(prefix + "/stream", websockets.streams)
        self._app.router.add_get("/ws-fapi/v1", websockets.trading)
        self._app.router.add_route("*", "/{path:.*}", Rest(front, self.faults).answer)
        self._runner = web.AppRunner(self._app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> int:
        """Begin to play and to listen; return the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._params.host, self._params.port)
        await site.start()
        self.player.begin(speed=self._params.speed)
        self._tasks.append(asyncio.create_task(self._keep_house()))
        if self._params.speed:
            self._tasks.append(asyncio.create_task(self.player.run()))
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self) -> None:
        """Close all connections and the port."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for socket in list(self._subscriptions.sockets):
            await socket.close()
        await self._runner.cleanup()

    async def _keep_house(self) -> None:
        """End listen keys whose time is over."""
        while True:
            await asyncio.sleep(_HOUSEKEEPING_SECONDS)
            self._account.expire()


def _feed(params: VenueParams, forms: dict[str, Form], now_ms: int) -> Feed:
    """Return what is to be played."""
    start_ms = _time_ms(params.start)
    feed: Feed
    if params.catalog is None:
        ticks, lots = ({name: value(form) for name, form in forms.items()} for value in (_tick, _lot))
        feed = WalkFeed(ticks, lots, params.walk, start_ms)
    else:
        end_ms = None if params.end is None else _time_ms(params.end)
        if params.speed == 1:
            # Whole days are moved, so that the hours of day and funding stay what they were.
            start_ms += (now_ms - start_ms) % _DAY_MS
        feed = CatalogFeed(Path(params.catalog), list(forms), start_ms // MINUTE_MS * MINUTE_MS, end_ms)
    if params.speed != 1:
        return feed
    if params.catalog is None:
        feed.start_ms += (now_ms - feed.start_ms) % _DAY_MS // MINUTE_MS * MINUTE_MS
    return ShiftedFeed(feed, (now_ms - feed.start_ms) // _DAY_MS * _DAY_MS)


def _tick(form: Form) -> float:
    return form.tick


def _lot(form: Form) -> float:
    return form.lot


def _time_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise FeedError(f"time {text!r} is none: write it like 2024-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 1_000
