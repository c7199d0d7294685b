"""What everybody may see of one symbol: its quote, its book, its klines up to now, its mark price and funding."""

from collections.abc import Mapping
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np

from venue.bars import INTERVALS_MS, MINUTE_MS, Bar, Columns, aggregated, concatenated
from venue.exchange import Quote
from venue.feed import Feed, FundingTime

__all__ = ["BookLevels", "Form", "SymbolMarket"]

FUNDING_MS = 8 * 60 * MINUTE_MS
BookLevels = list[tuple[str, str]]
"""Prices and quantities of one side, the best first."""
_DEEPEST = 1_000
_LOOKS = 3
"""How often a request for klines looks further when it found too few."""


class Form(NamedTuple):
    """How a symbol's numbers are written: decimals of prices and quantities, tick and lot."""

    symbol: str
    price_decimals: int
    size_decimals: int
    tick: float
    lot: float

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> "Form":
        """Read it from a symbol of ``exchangeInfo``."""
        filters = {each["filterType"]: each for each in info["filters"]}
        tick, lot = float(filters["PRICE_FILTER"]["tickSize"]), float(filters["LOT_SIZE"]["stepSize"])
        return cls(info["symbol"], int(info["pricePrecision"]), int(info["quantityPrecision"]), tick, lot)

    def price(self, value: float) -> str:
        """Write a price."""
        return f"{value:.{self.price_decimals}f}"

    def size(self, value: float) -> str:
        """Write a quantity."""
        return f"{value:.{self.size_decimals}f}"

    def flow(self, value: float) -> str:
        """Write a taker volume: history may know it more finely than the lot, and it must come back as it was."""
        text = f"{value:.{self.size_decimals}f}"
        return text if float(text) == value else f"{value:.8f}"


class SymbolMarket:
    """The public side of one symbol.

    Parameters
    ----------
    form : Form
        How it is written.
    feed : Feed
        Its history, and its bars to come (which nobody is told before they are played).
    away : float
        Distance of bid and ask from the price, fraction.
    depth_quote : float
        What stands at the best prices, quote currency.
    """

    def __init__(self, form: Form, feed: Feed, *, away: float, depth_quote: float) -> None:
        self.form = form
        self._feed, self._away, self._depth_quote = feed, away, depth_quote
        self.quote: Quote | None = None
        self.bar: Bar | None = None
        """The minute being played, as far as it is known; None before its first price."""
        self.closed_ms = feed.start_ms - MINUTE_MS
        """Open of the last minute that is complete."""
        self.trade_id = 1_000_000_000
        self.update_id = 600_000_000_000
        self._last_update = self.update_id

    def move(self, price: float, time_ms: int) -> Quote:
        """Take a price; return the quote that stands now."""
        tick = self.form.tick
        bid = floor(price * (1 - self._away) / tick + 1e-6) * tick
        ask = ceil(price * (1 + self._away) / tick - 1e-6) * tick
        size = max(self.form.lot, round(self._depth_quote / price / self.form.lot) * self.form.lot)
        rounded = round(bid, 8), round(ask, 8), round(size, 8)
        self.quote = Quote(rounded[0], rounded[1], rounded[2], rounded[2], price, price, time_ms)
        self.trade_id += 1
        self._last_update, self.update_id = self.update_id, self.update_id + 100
        return self.quote

    def grow(self, whole: Bar, price: float, share: float) -> None:
        """Let the bar that is being played take one more price, ``share`` of its volume traded so far."""
        now = self.bar
        if now is None or now.open_ms != whole.open_ms:
            now = whole._replace(open=price, high=price, low=price)
        self.bar = whole._replace(
            open=now.open,
            high=max(now.high, price),
            low=min(now.low, price),
            close=price,
            volume=self._part(whole.volume, share),
            quote_volume=whole.quote_volume * share,
            trades=int(whole.trades * share),
            taker_buy=self._part(whole.taker_buy, share),
            taker_quote=whole.taker_quote * share,
        )

    def close(self, whole: Bar) -> None:
        """End a minute."""
        self.closed_ms, self.bar = whole.open_ms, None

    def klines(self, interval: str, start_ms: int | None, end_ms: int | None, limit: int) -> list[Bar]:
        """Return klines as they are known now, the open one last.

        With a start the first ``limit`` from there on, else the last ones.
        """
        length = INTERVALS_MS[interval]
        newest = self.closed_ms if self.bar is None else self.bar.open_ms
        last = newest if end_ms is None else min(end_ms, newest)
        final = last // length * length
        begin = None if start_ms is None else -(-start_ms // length) * length
        # Where minutes are missing, as many bars reach further than their number says.
        for span in (limit * length * 4**n for n in range(_LOOKS)):
            first = final + length - span if begin is None else begin
            end = final if begin is None else min(final, begin + span - length)
            bars = aggregated(self._minutes(first, min(end + length - MINUTE_MS, newest)), length)
            if len(bars.open_ms) >= limit or (begin is not None and end >= final):
                break
        rows = bars.rows()
        return rows[-limit:] if begin is None else rows[:limit]

    def kline(self, interval: str) -> Bar | None:
        """Return the current kline of an interval: the one that holds the last price."""
        length = INTERVALS_MS[interval]
        newest = self.closed_ms if self.bar is None else self.bar.open_ms
        if self.bar is not None and length == MINUTE_MS:
            return self.bar
        rows = aggregated(self._minutes(newest // length * length, newest), length).rows()
        return rows[-1] if rows else None

    def book(self, levels: int) -> tuple[BookLevels, BookLevels]:
        """Return the book's best levels: the same amount at every tick."""
        quote = self.quote
        if quote is None:
            return [], []
        form, count = self.form, min(levels, _DEEPEST)
        size = form.size(quote.bid_quantity)
        bids = [(form.price(price), size) for i in range(count) if (price := quote.bid - i * form.tick) > 0]
        asks = [(form.price(quote.ask + i * form.tick), size) for i in range(count)]
        return bids, asks

    @property
    def last_update_id(self) -> int:
        """The update before the last."""
        return self._last_update

    def funding(self, time_ms: int) -> FundingTime:
        """Return the next settlement: when, and the rate that will be paid."""
        ahead = self._feed.funding(self.form.symbol, time_ms + 1, time_ms + FUNDING_MS)
        return ahead[0] if ahead else FundingTime((time_ms // FUNDING_MS + 1) * FUNDING_MS, 0.0)

    def past_funding(self, first_ms: int, last_ms: int) -> list[FundingTime]:
        """Return settlements that have happened."""
        return self._feed.funding(self.form.symbol, first_ms, min(last_ms, self.closed_ms + MINUTE_MS))

    def price_at(self, time_ms: int) -> float:
        """Return the close of the minute that ends at a time, or of the last before; 0 where there is none."""
        bars = self._feed.bars(self.form.symbol, time_ms - 60 * MINUTE_MS, time_ms - MINUTE_MS)
        return float(bars.close[-1]) if len(bars.close) else 0.0

    def _minutes(self, first_ms: int, last_ms: int) -> Columns:
        complete = self._feed.bars(self.form.symbol, first_ms, min(last_ms, self.closed_ms))
        if self.bar is None or not first_ms <= self.bar.open_ms <= last_ms:
            return complete
        return concatenated([complete, Columns._make(np.array([value]) for value in self.bar)])

    def _part(self, volume: float, share: float) -> float:
        """Return a share of a volume in whole lots."""
        return round(floor(volume * share / self.form.lot + 1e-6) * self.form.lot, 8)
