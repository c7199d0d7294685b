"""The REST endpoints that need no account: the market, as everybody may ask for it."""

import json
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from venue.bars import INTERVALS_MS, Bar
from venue.clock import Clock
from venue.errors import VenueError
from venue.market import SymbolMarket
from venue.market_events import kline_row

__all__ = ["PublicRest", "load_exchange_info"]

_DEPTHS = (5, 10, 20, 50, 100, 500, 1_000)
_MOST_KLINES, _MOST_FUNDING = 1_500, 1_000

Params = Mapping[str, str]


def load_exchange_info() -> dict[str, Any]:
    """Return the answer of ``exchangeInfo`` that comes with the stand-in: eight perpetuals with Binance's filters."""
    info: dict[str, Any] = json.loads(resources.files("venue").joinpath("exchange_info.json").read_text())
    return info


class PublicRest:
    """Answers by path.

    Parameters
    ----------
    markets : Mapping[str, SymbolMarket]
        By symbol.
    clock : Clock
        The venue's.
    info : Mapping
        ``exchangeInfo`` without ``serverTime``.
    """

    def __init__(self, markets: Mapping[str, SymbolMarket], clock: Clock, info: Mapping[str, Any]) -> None:
        self._markets, self._clock = markets, clock
        self._info = {**info, "symbols": [each for each in info["symbols"] if each["symbol"] in markets]}
        self.answers: dict[str, Callable[[Params], Any]] = {
            "/fapi/v1/ping": lambda _: {},
            "/fapi/v1/time": lambda _: {"serverTime": clock.real_ms()},
            "/fapi/v1/exchangeInfo": lambda _: {"serverTime": clock.real_ms(), **self._info},
            "/fapi/v1/klines": self._klines,
            "/fapi/v1/continuousKlines": self._klines,
            "/fapi/v1/markPriceKlines": self._klines,
            "/fapi/v1/indexPriceKlines": self._klines,
            "/fapi/v1/depth": self._depth,
            "/fapi/v1/trades": self._trades,
            "/fapi/v1/aggTrades": self._agg_trades,
            "/fapi/v1/ticker/bookTicker": lambda params: self._each(params, self._book_ticker),
            "/fapi/v1/ticker/price": lambda params: self._each(params, self._price),
            "/fapi/v2/ticker/price": lambda params: self._each(params, self._price),
            "/fapi/v1/ticker/24hr": lambda params: self._each(params, self._day),
            "/fapi/v1/premiumIndex": lambda params: self._each(params, self._premium),
            "/fapi/v1/fundingRate": self._funding,
            "/fapi/v1/fundingInfo": lambda _: [],
            "/fapi/v1/openInterest": lambda params: self._each(params, self._interest),
        }

    def _one(self, params: Params) -> SymbolMarket:
        name = params.get("symbol") or params.get("pair") or ""
        if not name:
            raise VenueError(-1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.")
        if name not in self._markets:
            raise VenueError(-1121, "Invalid symbol.")
        return self._markets[name]

    def _each(self, params: Params, row: Callable[[SymbolMarket], Any]) -> Any:
        if params.get("symbol"):
            return row(self._one(params))
        return [row(market) for market in self._markets.values()]

    def _klines(self, params: Params) -> list[Any]:
        market, interval = self._one(params), params.get("interval", "")
        if interval not in INTERVALS_MS:
            raise VenueError(-1120, "Invalid interval.")
        limit = _integer(params, "limit", 500)
        if not 0 < limit <= _MOST_KLINES:
            raise VenueError(-1130, f"Data sent for parameter 'limit' is not valid; 1 to {_MOST_KLINES}.")
        start, end = (_integer(params, name, None) for name in ("startTime", "endTime"))
        return [kline_row(market.form, bar, interval) for bar in market.klines(interval, start, end, limit)]

    def _depth(self, params: Params) -> dict[str, Any]:
        market, limit = self._one(params), _integer(params, "limit", 500)
        if limit not in _DEPTHS:
            raise VenueError(-4021, f"{limit} is not valid depth limit.")
        bids, asks = market.book(limit)
        now = self._clock.market_ms()
        return {"lastUpdateId": market.update_id, "E": now, "T": now, "bids": bids, "asks": asks}

    def _trades(self, params: Params) -> list[dict[str, Any]]:
        market = self._one(params)
        quote, form = market.quote, market.form
        if quote is None:
            return []
        notional = f"{quote.last * form.lot:.2f}"
        row = {"id": market.trade_id, "price": form.price(quote.last), "qty": form.size(form.lot)}
        return [{**row, "quoteQty": notional, "time": quote.time_ms, "isBuyerMaker": False}]

    def _agg_trades(self, params: Params) -> list[dict[str, Any]]:
        market = self._one(params)
        if market.quote is None:
            return []
        number = market.trade_id
        row = {"a": number, "p": market.form.price(market.quote.last), "q": market.form.size(market.form.lot)}
        return [{**row, "f": number, "l": number, "T": market.quote.time_ms, "m": False}]

    def _book_ticker(self, market: SymbolMarket) -> dict[str, Any]:
        form, quote = market.form, _quoted(market)
        return {
            "symbol": form.symbol,
            "bidPrice": form.price(quote.bid),
            "bidQty": form.size(quote.bid_quantity),
            "askPrice": form.price(quote.ask),
            "askQty": form.size(quote.ask_quantity),
            "time": quote.time_ms,
            "lastUpdateId": market.update_id,
        }

    def _price(self, market: SymbolMarket) -> dict[str, Any]:
        quote = _quoted(market)
        return {"symbol": market.form.symbol, "price": market.form.price(quote.last), "time": quote.time_ms}

    def _premium(self, market: SymbolMarket) -> dict[str, Any]:
        quote = _quoted(market)
        funding = market.funding(quote.time_ms)
        mark = f"{quote.mark:.8f}"
        return {
            "symbol": market.form.symbol,
            "markPrice": mark,
            "indexPrice": mark,
            "estimatedSettlePrice": mark,
            "lastFundingRate": f"{funding.rate:.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": funding.time_ms,
            "time": quote.time_ms,
        }

    def _day(self, market: SymbolMarket) -> dict[str, Any]:
        form, quote = market.form, _quoted(market)
        hours = market.klines("1h", None, None, 24)
        first, high, low = hours[0], max(bar.high for bar in hours), min(bar.low for bar in hours)
        volume, notional = _sum(hours, "volume"), _sum(hours, "quote_volume")
        change = quote.last - first.open
        return {
            "symbol": form.symbol,
            "priceChange": form.price(change),
            "priceChangePercent": f"{change / first.open * 100:.3f}",
            "weightedAvgPrice": form.price(notional / volume if volume else quote.last),
            "lastPrice": form.price(quote.last),
            "lastQty": form.size(form.lot),
            "openPrice": form.price(first.open),
            "highPrice": form.price(high),
            "lowPrice": form.price(low),
            "volume": form.size(volume),
            "quoteVolume": f"{notional:.2f}",
            "openTime": first.open_ms,
            "closeTime": quote.time_ms,
            "firstId": market.trade_id - int(_sum(hours, "trades")),
            "lastId": market.trade_id,
            "count": int(_sum(hours, "trades")),
        }

    def _interest(self, market: SymbolMarket) -> dict[str, Any]:
        return {
            "symbol": market.form.symbol,
            "openInterest": market.form.size(10_000.0),
            "time": _quoted(market).time_ms,
        }

    def _funding(self, params: Params) -> list[dict[str, Any]]:
        market = self._one(params)
        limit = min(_integer(params, "limit", 100), _MOST_FUNDING)
        now = self._clock.market_ms()
        start, end = (_integer(params, name, None) for name in ("startTime", "endTime"))
        rows = market.past_funding(0 if start is None else start, now if end is None else end)
        chosen = rows[:limit] if start is not None else rows[-limit:]
        return [
            {
                "symbol": market.form.symbol,
                "fundingTime": time_ms,
                "fundingRate": f"{rate:.8f}",
                "markPrice": f"{market.price_at(time_ms):.8f}",
            }
            for time_ms, rate in chosen
        ]


def _quoted(market: SymbolMarket) -> Any:
    if market.quote is None:
        raise VenueError(-4131, f"There is no price of {market.form.symbol} yet.")
    return market.quote


def _sum(bars: list[Bar], name: str) -> float:
    return float(sum(getattr(bar, name) for bar in bars))


def _integer(params: Params, name: str, default: Any) -> Any:
    given = params.get(name)
    if given is None or given == "":
        return default
    try:
        return int(given)
    except ValueError:
        raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.") from None
