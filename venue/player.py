"""Plays a feed minute by minute: prices to the exchange, events to the streams, funding at its times.

::

    open + 1 ms    its open                        what was decided on the close before fills here
    open + 20 s    the extreme nearer to the open
    open + 40 s    the other one
    open + 59 s    its close
    open + 60 s    funding, then the closed klines of every interval that ends here, then the next open
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping

from venue.account import Account
from venue.bars import MINUTE_MS, POINT_OFFSETS_MS, Bar, path
from venue.clock import Clock
from venue.feed import Feed
from venue.market import SymbolMarket
from venue.publisher import Publisher

__all__ = ["Player"]

_AHEAD_MINUTES = 240
"""Minutes read from the feed at once."""
_MOST_TOLD = 100_000


class Player:
    """Plays the minutes of a feed.

    Parameters
    ----------
    feed : Feed
        What happens.
    markets : Mapping[str, SymbolMarket]
        By symbol; in this order within a moment.
    account : Account
        Whose orders the prices meet.
    publisher : Publisher
        Who tells the world.
    clock : Clock
        Its market time is moved.
    """

    def __init__(
        self, feed: Feed, markets: Mapping[str, SymbolMarket], account: Account, publisher: Publisher, clock: Clock
    ) -> None:
        self.minute_ms = feed.start_ms
        """Open of the minute being played; its open has been told."""
        self.played = 0
        self.told_ns: deque[tuple[int, int]] = deque(maxlen=_MOST_TOLD)
        """When the last minutes were told to be over, by the machine's clock: their ends (ms), and that (ns)."""
        self.markets = markets
        self._feed, self._account, self._clock = feed, account, clock
        self._publisher = publisher
        self._stock: dict[str, dict[int, Bar]] = {symbol: {} for symbol in markets}
        self._stocked_ms = feed.start_ms
        self._turn = asyncio.Lock()

    @property
    def done(self) -> bool:
        """Whether the feed has no more minutes."""
        return self._feed.end_ms is not None and self.minute_ms >= self._feed.end_ms

    def begin(self, *, speed: float) -> None:
        """Set the clock to the first minute and tell its opens; at speed 1 that minute has begun already."""
        for symbol, market in self.markets.items():
            if price := market.price_at(self.minute_ms):
                self._account.quote(symbol, market.move(price, self.minute_ms))
        begun = self._clock.real_ms() if speed == 1 else self.minute_ms
        self._clock.set(begun, speed=speed or 1.0, limit_ms=None if speed else self._waits_at())
        self._point(0)

    async def run(self) -> None:
        """Play on as the market's clock says, until there is nothing more."""
        while not self.done:
            for number, offset in enumerate(POINT_OFFSETS_MS[1:], start=1):
                await asyncio.sleep(self._clock.seconds_until(self.minute_ms + offset))
                self._point(number)
            await asyncio.sleep(self._clock.seconds_until(self.minute_ms + MINUTE_MS))
            self._end()
            if not self.done:
                self._point(0)
            await self._publisher.flushed()

    async def step(self, minutes: int) -> int:
        """Play some minutes at once, however long they took, and return how many there were.

        The market's clock stands at each moment until all that happens then has happened; afterwards it runs again.
        """
        async with self._turn:
            before = self.played
            for _ in range(minutes):
                if self.done:
                    break
                for number, offset in enumerate(POINT_OFFSETS_MS[1:], start=1):
                    self._stand(self.minute_ms + offset)
                    self._point(number)
                self._stand(self.minute_ms + MINUTE_MS)
                self._end()
                if not self.done:
                    self._stand(self.minute_ms + POINT_OFFSETS_MS[0])
                    self._point(0)
                await self._publisher.flushed()
            self._clock.set(self._clock.market_ms(), limit_ms=self._waits_at())
            return self.played - before

    def _stand(self, moment_ms: int) -> None:
        """Stop the market's clock at a moment, or where it is if that has passed."""
        self._clock.set(max(moment_ms, self._clock.market_ms()), speed=0.0)

    def _waits_at(self) -> int:
        return self.minute_ms + MINUTE_MS - 1

    def _point(self, number: int) -> None:
        """Play one of the four prices of this minute, symbol by symbol."""
        now = max(self.minute_ms + POINT_OFFSETS_MS[number], min(self._clock.market_ms(), self._waits_at()))
        for symbol, market in self.markets.items():
            bar = self._bar(symbol)
            if bar is None:
                continue
            price = path(bar)[number]
            before = market.quote.last if market.quote else price
            quote = market.move(price, now)
            market.grow(bar, price, (number + 1) / 4)
            self._account.quote(symbol, quote)
            self._publisher.price(market, bar.volume / 4, sold=price < before)

    def _end(self) -> None:
        """Settle funding and close the klines."""
        end = self.minute_ms + MINUTE_MS
        for symbol, market in self.markets.items():
            for funding in self._feed.funding(symbol, self.minute_ms + 1, end):
                if market.quote is not None:
                    self._account.settle(symbol, funding, market.quote.mark)
        self.told_ns.append((end, time.time_ns()))
        for symbol, market in self.markets.items():
            bar = self._bar(symbol)
            if bar is not None:
                market.close(bar)
                self._publisher.closed(market, end)
        self._account.expire()
        self.played += 1
        self.minute_ms = end

    def _bar(self, symbol: str) -> Bar | None:
        """Return a symbol's bar of this minute, None where there is none."""
        if self.minute_ms >= self._stocked_ms:
            last = self.minute_ms + (_AHEAD_MINUTES - 1) * MINUTE_MS
            for name in self.markets:
                bars = self._feed.bars(name, self.minute_ms, last).rows()
                self._stock[name] = {bar.open_ms: bar for bar in bars}
            self._stocked_ms = last + MINUTE_MS
        return self._stock[symbol].get(self.minute_ms)
