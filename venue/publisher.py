"""Turns what happens in the market into the events of the streams that somebody hears."""

from typing import Any

from venue.bars import INTERVALS_MS, MINUTE_MS
from venue.market import BookLevels, SymbolMarket
from venue.market_events import (
    agg_trade,
    book_ticker,
    depth_update,
    kline_event,
    mark_price,
    mini_ticker,
    ticker,
    trade,
)
from venue.sockets import Subscriptions

__all__ = ["Publisher", "known_stream"]

_DIFF_LEVELS = 20
_DEPTHS = {"5": 5, "10": 10, "20": 20}
_WHOLE = {"!forceOrder@arr", "!bookTicker", "!markPrice@arr", "!markPrice@arr@1s", "!miniTicker@arr", "!ticker@arr"}
_KINDS = {"aggTrade", "trade", "bookTicker", "markPrice", "miniTicker", "ticker", "forceOrder"}
_SPEEDS = {"", "0ms", "100ms", "250ms", "500ms", "1s", "3s"}


def known_stream(name: str) -> bool:
    """Return whether a name is one of a market stream."""
    if name in _WHOLE:
        return True
    kind = name.split("@")[1:]
    if not kind or len(kind) > 2 or (kind[1] if len(kind) == 2 else "") not in _SPEEDS:
        return False
    if kind[0].startswith("kline_"):
        return kind[0].removeprefix("kline_") in INTERVALS_MS
    return kind[0] in _KINDS or (kind[0].startswith("depth") and kind[0].removeprefix("depth") in {"", *_DEPTHS})


class Publisher:
    """Tells the market streams.

    Parameters
    ----------
    subscriptions : Subscriptions
        Who hears what.
    """

    def __init__(self, subscriptions: Subscriptions) -> None:
        self._subscriptions = subscriptions
        self._books: dict[str, tuple[BookLevels, BookLevels]] = {}

    async def flushed(self) -> None:
        """Wait until all that was told has been handed to the network."""
        await self._subscriptions.flushed()

    def price(self, market: SymbolMarket, size: float, *, sold: bool) -> None:
        """Tell a new price: quote, trades of ``size``, book, mark price and the klines that are not closed yet."""
        if market.quote is None:
            return
        form, quote = market.form, market.quote
        for name in self._subscriptions.names():
            symbol, _, kind = name.partition("@")
            if symbol not in {form.symbol.lower(), "!bookTicker", "!markPrice"}:
                continue
            event: Any = None
            if name in {"!bookTicker", f"{symbol}@bookTicker"}:
                event = book_ticker(form, quote, market.update_id)
            elif kind == "aggTrade" and size > 0:
                event = agg_trade(form, quote, market.trade_id, size, sold=sold)
            elif kind == "trade" and size > 0:
                event = trade(form, quote, market.trade_id, size, sold=sold)
            elif kind.startswith("kline_"):
                self._kline(market, name, quote.time_ms, closed=False)
            elif kind.startswith("depth"):
                event = self._depth(market, name)
            elif kind.startswith("markPrice"):
                event = mark_price(form, quote, market.funding(quote.time_ms))
            elif symbol == "!markPrice":
                event = [mark_price(form, quote, market.funding(quote.time_ms))]
            if event is not None:
                self._subscriptions.publish("market", name, event)

    def closed(self, market: SymbolMarket, end_ms: int) -> None:
        """Tell the klines that end now, and the last 24 hours."""
        mine = f"{market.form.symbol.lower()}@"
        for name in self._subscriptions.names():
            if not name.startswith(mine):
                continue
            kind = name.removeprefix(mine)
            if kind.startswith("kline_") and end_ms % INTERVALS_MS[kind.removeprefix("kline_")] == 0:
                self._kline(market, name, end_ms, closed=True)
            elif kind in {"miniTicker", "ticker"}:
                self._day(market, name, end_ms)

    def _kline(self, market: SymbolMarket, name: str, time_ms: int, *, closed: bool) -> None:
        interval = name.partition("@kline_")[2]
        bar = market.kline(interval)
        if bar is not None:
            event = kline_event(market.form, bar, interval, time_ms, market.trade_id, closed=closed)
            self._subscriptions.publish("market", name, event)

    def _day(self, market: SymbolMarket, name: str, end_ms: int) -> None:
        hours = market.klines("1h", end_ms - 24 * 60 * MINUTE_MS, None, 24)
        if not hours:
            return
        day = hours[0]._replace(
            high=max(bar.high for bar in hours),
            low=min(bar.low for bar in hours),
            close=hours[-1].close,
            **{each: sum(getattr(bar, each) for bar in hours) for each in ("volume", "quote_volume", "trades")},
        )
        short = name.endswith("miniTicker")
        event = mini_ticker(market.form, day, end_ms) if short else ticker(market.form, day, end_ms, market.trade_id)
        self._subscriptions.publish("market", name, event)

    def _depth(self, market: SymbolMarket, name: str) -> Any:
        levels = name.split("@")[1].removeprefix("depth")
        now, last = market.quote, market.last_update_id
        if now is None:
            return None
        ids = (last + 1, market.update_id, last)
        if levels:
            return depth_update(market.form, now.time_ms, ids, market.book(_DEPTHS[levels]))
        book = market.book(_DIFF_LEVELS)
        before = self._books.get(name, ([], []))
        self._books[name] = book
        sides = _changes(before[0], book[0], market), _changes(before[1], book[1], market)
        return depth_update(market.form, now.time_ms, ids, sides)


def _changes(before: BookLevels, now: BookLevels, market: SymbolMarket) -> BookLevels:
    """Return what turns one side of the book into another: new amounts, and zero for prices that are gone."""
    old, new = dict(before), dict(now)
    gone = [(price, market.form.size(0.0)) for price in old if price not in new]
    return gone + [(price, size) for price, size in now if old.get(price) != size]
