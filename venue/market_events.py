"""Market data as it stands on the wire: stream events and REST rows."""

from typing import Any

from venue.bars import INTERVALS_MS, Bar
from venue.exchange import Quote
from venue.feed import FundingTime
from venue.market import BookLevels, Form

__all__ = [
    "agg_trade",
    "book_ticker",
    "depth_update",
    "kline_event",
    "kline_row",
    "mark_price",
    "mini_ticker",
    "ticker",
    "trade",
]

_QUOTE_DECIMALS = 5
"""Decimals of volumes in quote currency."""


def kline_row(form: Form, bar: Bar, interval: str) -> list[Any]:
    """Return a kline as REST has it."""
    return [
        bar.open_ms,
        form.price(bar.open),
        form.price(bar.high),
        form.price(bar.low),
        form.price(bar.close),
        form.size(bar.volume),
        bar.open_ms + INTERVALS_MS[interval] - 1,
        f"{bar.quote_volume:.{_QUOTE_DECIMALS}f}",
        bar.trades,
        form.flow(bar.taker_buy),
        f"{bar.taker_quote:.{_QUOTE_DECIMALS}f}",
        "0",
    ]


def kline_event(form: Form, bar: Bar, interval: str, time_ms: int, trade_id: int, *, closed: bool) -> dict[str, Any]:
    """Return a kline as the stream has it; ``closed`` is its ``x``."""
    return {
        "e": "kline",
        "E": time_ms,
        "s": form.symbol,
        "k": {
            "t": bar.open_ms,
            "T": bar.open_ms + INTERVALS_MS[interval] - 1,
            "s": form.symbol,
            "i": interval,
            "f": max(0, trade_id - bar.trades),
            "L": trade_id,
            "o": form.price(bar.open),
            "c": form.price(bar.close),
            "h": form.price(bar.high),
            "l": form.price(bar.low),
            "v": form.size(bar.volume),
            "n": bar.trades,
            "x": closed,
            "q": f"{bar.quote_volume:.{_QUOTE_DECIMALS}f}",
            "V": form.flow(bar.taker_buy),
            "Q": f"{bar.taker_quote:.{_QUOTE_DECIMALS}f}",
            "B": "0",
        },
    }


def agg_trade(form: Form, quote: Quote, trade_id: int, size: float, *, sold: bool) -> dict[str, Any]:
    """Return a trade of the aggregate stream; ``sold``: the buyer was the maker."""
    return {
        "e": "aggTrade",
        "E": quote.time_ms,
        "a": trade_id,
        "s": form.symbol,
        "p": form.price(quote.last),
        "q": form.size(size),
        "f": trade_id,
        "l": trade_id,
        "T": quote.time_ms,
        "m": sold,
    }


def trade(form: Form, quote: Quote, trade_id: int, size: float, *, sold: bool) -> dict[str, Any]:
    """Return a trade of the trade stream."""
    return {
        "e": "trade",
        "E": quote.time_ms,
        "T": quote.time_ms,
        "s": form.symbol,
        "t": trade_id,
        "p": form.price(quote.last),
        "q": form.size(size),
        "X": "MARKET",
        "m": sold,
    }


def book_ticker(form: Form, quote: Quote, update_id: int) -> dict[str, Any]:
    """Return the best prices as the stream has them."""
    return {
        "e": "bookTicker",
        "u": update_id,
        "s": form.symbol,
        "b": form.price(quote.bid),
        "B": form.size(quote.bid_quantity),
        "a": form.price(quote.ask),
        "A": form.size(quote.ask_quantity),
        "T": quote.time_ms,
        "E": quote.time_ms,
    }


def depth_update(form: Form, time_ms: int, ids: tuple[int, int, int], sides: tuple[BookLevels, BookLevels]) -> Any:
    """Return a change of the book: ``ids`` first, last and the previous last update, ``sides`` bids and asks."""
    first, last, previous = ids
    bids, asks = sides
    return {
        "e": "depthUpdate",
        "E": time_ms,
        "T": time_ms,
        "s": form.symbol,
        "U": first,
        "u": last,
        "pu": previous,
        "b": bids,
        "a": asks,
    }


def mark_price(form: Form, quote: Quote, funding: FundingTime) -> dict[str, Any]:
    """Return mark price and funding as the stream has them."""
    mark = f"{quote.mark:.8f}"
    return {
        "e": "markPriceUpdate",
        "E": quote.time_ms,
        "s": form.symbol,
        "p": mark,
        "ap": mark,
        "P": mark,
        "i": mark,
        "r": f"{funding.rate:.8f}",
        "T": funding.time_ms,
    }


def mini_ticker(form: Form, day: Bar, time_ms: int) -> dict[str, Any]:
    """Return the last 24 hours in short; ``day`` holds them as one bar."""
    return {
        "e": "24hrMiniTicker",
        "E": time_ms,
        "s": form.symbol,
        "c": form.price(day.close),
        "o": form.price(day.open),
        "h": form.price(day.high),
        "l": form.price(day.low),
        "v": form.size(day.volume),
        "q": f"{day.quote_volume:.2f}",
    }


def ticker(form: Form, day: Bar, time_ms: int, trade_id: int) -> dict[str, Any]:
    """Return the last 24 hours."""
    change = day.close - day.open
    return {
        "e": "24hrTicker",
        "E": time_ms,
        "s": form.symbol,
        "p": form.price(change),
        "P": f"{change / day.open * 100:.3f}" if day.open else "0.000",
        "w": form.price(day.quote_volume / day.volume if day.volume else day.close),
        "c": form.price(day.close),
        "Q": form.size(form.lot),
        "o": form.price(day.open),
        "h": form.price(day.high),
        "l": form.price(day.low),
        "v": form.size(day.volume),
        "q": f"{day.quote_volume:.2f}",
        "O": day.open_ms,
        "C": time_ms,
        "F": max(0, trade_id - day.trades),
        "L": trade_id,
        "n": day.trades,
    }
