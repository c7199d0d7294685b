"""History by Binance's REST API: what the archive does not hold yet, page by page, closed bars only."""

from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from adapters.funding import FUNDING_SCHEMA
from adapters.klines import PRICES, TIME, kline_table
from adapters.web import Web
from core.bars import interval_ns
from core.errors import DataError

__all__ = ["RestHistory"]

_MS_NS = 1_000_000
_MINUTE_NS = 60_000_000_000
_ROOTS = {"um": "fapi/v1", "spot": "api/v3"}
_KLINES_LIMIT = {"um": 1_500, "spot": 1_000}
_FUNDING_LIMIT = 1_000
_UNKNOWN_SYMBOL = -1_121
_FUNDING_HOURS = (1, 2, 4, 8)
_FLOATS = {**{name: 1 + i for i, name in enumerate((*PRICES, "volume"))},
           "quote_volume": 7, "taker_buy_base": 9, "taker_buy_quote": 10}  # fmt: skip
_INTEGERS = {"open_time": 0, "close_time": 6, "trades": 8}
"""Fields of a bar by their places in Binance's array."""


class RestHistory:
    """Bars, funding rates and filters of one market.

    Parameters
    ----------
    web : Web
        The way out.
    url : str
        Of the API, without a path.
    market : str
        um or spot.
    clock : callable
        The time now, ns UTC.
    """

    def __init__(self, web: Web, url: str, market: str, clock: Callable[[], int]) -> None:
        self._web = web
        self._url = f"{url.rstrip('/')}/{_ROOTS[market]}"
        self._market = market
        self._clock = clock

    def exchange_info(self) -> Any:
        """Return the decoded exchangeInfo.

        Raises
        ------
        DataError
            Where it is refused or cannot be reached.
        """
        return self._get("exchangeInfo", "")

    def first_open(self, symbol: str, interval: str, start_ns: int) -> int | None:
        """Return the open time (ns) of the first bar from a time on, None where there is none.

        Raises
        ------
        DataError
            As `klines`.
        """
        page = self._get("klines", symbol, interval=interval, startTime=start_ns // _MS_NS, limit=1)
        return int(page[0][0]) * _MS_NS if page else None

    def klines(self, symbol: str, interval: str, start_ns: int, end_ns: int) -> Iterator[Any]:
        """Yield the bars that open in ``start_ns <= t < end_ns`` and are closed by now, as `KLINE_SCHEMA` tables.

        A bar still open when its page was asked for is left out: it would change.

        Raises
        ------
        DataError
            For an unknown symbol, a refusal, an answer that is not as documented, or where the API cannot be reached.
        """
        limit = _KLINES_LIMIT[self._market]
        while start_ns < end_ns:
            now_ms = self._clock() // _MS_NS
            between = {"startTime": start_ns // _MS_NS, "endTime": end_ns // _MS_NS - 1}
            page = self._get("klines", symbol, interval=interval, limit=limit, **between)
            closed = [row for row in page if self._integer(row, 6) < now_ms]
            if closed:
                yield self._table(closed)
            if len(page) < limit or len(closed) < len(page):
                return
            following = self._integer(page[-1], 0) * _MS_NS + interval_ns(interval)
            if following <= start_ns:
                raise self._odd("a page of bars that does not advance")
            start_ns = following

    def funding(self, symbol: str, start_ns: int, end_ns: int) -> Any:
        """Return the settlements of ``start_ns <= t < end_ns`` as a table of `FUNDING_SCHEMA`.

        Times are cut to the minute, as those of the archive. The API does not state the hours between settlements:
        they are the distance to the neighbour, and null where that is no interval Binance uses.

        Raises
        ------
        DataError
            As `klines`.
        """
        rows: dict[int, str] = {}
        while start_ns < end_ns:
            page = self._get(
                "fundingRate", symbol, startTime=start_ns // _MS_NS, endTime=end_ns // _MS_NS - 1, limit=_FUNDING_LIMIT
            )
            try:
                for row in page:
                    stamp = int(row["fundingTime"]) * _MS_NS // _MINUTE_NS * _MINUTE_NS
                    rows[stamp] = format(Decimal(row["fundingRate"]).normalize(), "f")
                following = int(page[-1]["fundingTime"]) * _MS_NS + _MS_NS if page else end_ns
            except (KeyError, TypeError, ValueError, InvalidOperation):
                raise self._odd(f"a funding rate {row!r:.60}") from None
            if len(page) < _FUNDING_LIMIT:
                break
            if following <= start_ns:
                raise self._odd("a page of funding rates that does not advance")
            start_ns = following
        stamps = sorted(rows)
        hours = [(later - former) // (60 * _MINUTE_NS) for former, later in pairwise(stamps)]
        hours = [*hours[:1], *hours] if hours else [0] * len(stamps)
        minutes = [60 * h if h in _FUNDING_HOURS else None for h in hours]
        columns = [pa.array(stamps, pa.int64()).cast(TIME), [rows[stamp] for stamp in stamps], minutes]
        return pa.table(dict(zip(FUNDING_SCHEMA.names, columns, strict=True)), schema=FUNDING_SCHEMA)

    def _get(self, name: str, symbol: str, **params: str | int) -> Any:
        url = f"{self._url}/{name}"
        status, content = self._web.get_json(url, {"symbol": symbol, **params} if symbol else None)
        if status == HTTPStatus.OK:
            if symbol and not isinstance(content, list):
                raise self._odd(f"{content!r:.60}")
            return content
        code, said = (content.get("code"), content.get("msg")) if isinstance(content, dict) else (None, None)
        if symbol and (code == _UNKNOWN_SYMBOL or status == HTTPStatus.NOT_FOUND):
            raise DataError(
                f"unknown symbol {symbol}: {url} answers {said or status}, and the archive has none of it; check the "
                "symbol and --market"
            )
        raise DataError(f"{url} answers {status}, {said or 'without a reason'}: check --rest-url")

    def _table(self, rows: list[Any]) -> Any:
        try:
            columns: dict[str, Any] = {name: np.array([float(row[at]) for row in rows]) for name, at in _FLOATS.items()}
        except (ValueError, TypeError, IndexError, KeyError):
            raise self._odd("a bar that is not as documented") from None
        for name, at in _INTEGERS.items():
            unit = _MS_NS if name.endswith("time") else 1
            columns[name] = np.array([self._integer(row, at) for row in rows], dtype=np.int64) * unit
        return kline_table(**columns)

    def _integer(self, row: Any, at: int) -> int:
        try:
            return int(row[at])
        except (ValueError, TypeError, IndexError, KeyError):
            raise self._odd(f"a bar {row!r:.60}") from None

    def _odd(self, found: str) -> DataError:
        return DataError(f"{self._url} answers {found}: is it Binance's API? check --rest-url")
