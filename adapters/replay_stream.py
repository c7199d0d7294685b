"""What a replay feeds to the engine, a stretch of days at a time: quotes, funding and bars, and the taker flow beside.

The fill rule (`core.costs`) is data here: every base bar becomes the four quotes that the engine's venue trades on.
The engine's own node loads a whole range before it starts, whatever its chunk size; memory here is that of a chunk.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import nan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from nautilus_trader.model import FundingRateUpdate, InstrumentId
from nautilus_trader.persistence import BarDataWrangler, QuoteTickDataWrangler

from adapters.catalog import InstrumentInfo, read_bars, read_funding
from adapters.fixed_point import DECIMAL, decimal_array
from core.bars import DAY_NS, Bars, bar_type, interval_ns
from core.compiled import compiled
from core.costs import QUOTE_OFFSETS_NS, ask_ticks, bid_ticks, quote_path

__all__ = ["ReplayRange", "ReplayStream", "quote_ticks"]

IntArray = npt.NDArray[np.int64]
MINUTE_NS = 60_000_000_000
DEPTH_LOTS = 10**9
"""Lots offered on each side: depth is no limit of a bar; slippage is a cost (`core.costs`)."""
FUNDING_INTERVAL_MINUTES = 480
"""The engine settles no rate that comes without an interval; it does not matter which."""


class ReplayRange(NamedTuple):
    """Closes of base bars wanted, ``start_ns < ts_close <= end_ns``, of one interval, so many days at a time."""

    interval: str
    start_ns: int
    end_ns: int
    chunk_days: int


class ReplayStream:
    """A range of the catalog as the engine's data (and `core.protocols.FlowSource` for the bars last given).

    Parameters
    ----------
    catalog : Path
        Where the history is.
    infos : Sequence[InstrumentInfo]
        The instruments, in the order in which equal times are given.
    span : ReplayRange
        The range.
    away : float
        Half the spread plus slippage, fraction of the price.

    Attributes
    ----------
    bars : int
        Base bars given so far.
    """

    def __init__(self, catalog: Path, infos: Sequence[InstrumentInfo], span: ReplayRange, *, away: float) -> None:
        self.bars = 0
        self._catalog = catalog
        self._span = span
        self._away = away
        self._series = [_Series(info, span.interval) for info in infos]
        self._flow: dict[str, dict[int, float]] = {}

    def chunks(self) -> Iterator[list[list[Any]]]:
        """Yield the data of one stretch of days after the other, each a list of lists that are sorted by time.

        At equal times the engine is to take them in the order given: quotes, then funding, then bars, instrument by
        instrument. A bar that closes at a chunk's end belongs to it with all its quotes.
        """
        start = self._span.start_ns
        while start < self._span.end_ns:
            end = min(start + self._span.chunk_days * DAY_NS, self._span.end_ns)
            data: list[list[Any]] = []
            for series in self._series:
                data += self._read(series, start, end)
            if data:
                yield data
            start = end

    def taker_buy(self, instrument_id: str, ts_close: int) -> float:
        """Return the taker-buy volume (base asset) of a bar of the current chunk, NaN where unknown."""
        return self._flow[instrument_id].get(ts_close, nan)

    def _read(self, series: "_Series", start_ns: int, end_ns: int) -> list[list[Any]]:
        name = series.info.id
        bars = read_bars(self._catalog, name, self._span.interval, start_ns=start_ns, end_ns=end_ns, missing_ok=True)
        funding = read_funding(self._catalog, name, start_ns=start_ns, end_ns=end_ns)
        self._flow[name] = dict(zip(bars.ts_close.tolist(), bars.taker_buy.tolist(), strict=True))
        self.bars += len(bars.ts_close)
        data: list[list[Any]] = []
        if len(bars.ts_close) > 0:
            data.append(series.quotes(bars, self._away))
        if len(funding.ts) > 0:
            instrument = InstrumentId.from_str(name)
            data.append(
                [
                    FundingRateUpdate(instrument, Decimal(repr(rate)), ts, ts, FUNDING_INTERVAL_MINUTES)
                    for ts, rate in zip(funding.ts.tolist(), funding.rate.tolist(), strict=True)
                ]
            )
        if len(bars.ts_close) > 0:
            data.append(series.bars(bars))
        return data


class _Series:
    """Turns one instrument's columns into the engine's objects, through Arrow."""

    def __init__(self, info: InstrumentInfo, interval: str) -> None:
        self.info = info
        self._length_ns = interval_ns(interval)
        self._bar_type = bar_type(info.id, interval)
        self._quotes = QuoteTickDataWrangler(info.id, info.price_precision, info.size_precision)
        self._bars = BarDataWrangler(self._bar_type, info.price_precision, info.size_precision)
        self._metadata = {
            "instrument_id": info.id,
            "price_precision": str(info.price_precision),
            "size_precision": str(info.size_precision),
        }

    def quotes(self, bars: Bars, away: float) -> list[Any]:
        """Return four quotes a bar."""
        info = self.info
        bid, ask, ts = quote_ticks(bars, away=away, tick=float(info.tick), length_ns=self._length_ns)
        scale = int(info.tick.scaleb(info.price_precision))
        lots = np.full(len(ts), DEPTH_LOTS * int(info.lot.scaleb(info.size_precision)), dtype=np.int64)
        size = decimal_array(lots, info.size_precision)
        columns = {
            "bid_price": decimal_array(bid * scale, info.price_precision),
            "ask_price": decimal_array(ask * scale, info.price_precision),
            "bid_size": size,
            "ask_size": size,
        }
        return list(self._quotes.process_record_batch_bytes(self._message(columns, ts, {"type_name": "QuoteTick"})))

    def bars(self, bars: Bars) -> list[Any]:
        """Return the bars themselves."""
        info = self.info
        columns = {
            name: decimal_array(
                np.rint(getattr(bars, name) * 10.0**info.price_precision).astype(np.int64), info.price_precision
            )
            for name in ("open", "high", "low", "close")
        }
        volume = np.rint(bars.volume * 10.0**info.size_precision).astype(np.int64)
        columns["volume"] = decimal_array(volume, info.size_precision)
        named = {"type_name": "Bar", "bar_type": self._bar_type}
        return list(self._bars.process_record_batch_bytes(self._message(columns, bars.ts_close, named)))

    def _message(self, columns: dict[str, Any], ts: IntArray, metadata: dict[str, str]) -> bytes:
        """Return one Arrow stream of columns and their times."""
        stamps = pa.array(ts, pa.timestamp("ns", "UTC"))
        fields = [pa.field(name, DECIMAL, nullable=False) for name in columns]
        fields += [pa.field(name, stamps.type, nullable=False) for name in ("ts_event", "ts_init")]
        schema = pa.schema(fields, metadata=self._metadata | metadata)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.record_batch([*columns.values(), stamps, stamps], schema=schema))
        return bytes(sink.getvalue())


def quote_ticks(bars: Bars, *, away: float, tick: float, length_ns: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return bid and ask in ticks and the times (ns) of the four quotes of every bar, int64[4n] each."""
    stretch = length_ns / MINUTE_NS
    offsets = np.array([QUOTE_OFFSETS_NS[0], *(int(o * stretch) for o in QUOTE_OFFSETS_NS[1:])], dtype=np.int64)
    bid, ask = _quote_ticks(bars.open, bars.high, bars.low, bars.close, away, tick)
    opens = bars.ts_close - length_ns
    return bid, ask, (opens[:, None] + offsets[None, :]).ravel()


@compiled
def _quote_ticks(
    open_: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    low: npt.NDArray[np.float64],
    close: npt.NDArray[np.float64],
    away: float,
    tick: float,
) -> tuple[IntArray, IntArray]:
    n = open_.shape[0]
    bid = np.empty(4 * n, dtype=np.int64)
    ask = np.empty(4 * n, dtype=np.int64)
    for i in range(n):
        path = quote_path(open_[i], high[i], low[i], close[i])
        for k in range(4):
            bid[4 * i + k] = bid_ticks(path[k], away, tick)
            ask[4 * i + k] = ask_ticks(path[k], away, tick)
    return bid, ask
