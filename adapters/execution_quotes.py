"""The fill rule as data: every base bar of a replay becomes four quotes that the engine's venue trades on."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from adapters.catalog import iter_bars
from adapters.fixed_point import decimal_array
from adapters.instruments import InstrumentInfo, write_instruments
from adapters.parts import write_part
from core.bars import Bars, interval_ns
from core.compiled import compiled
from core.costs import QUOTE_OFFSETS_NS, ask_ticks, bid_ticks, quote_path

__all__ = ["quote_ticks", "write_execution_quotes"]

IntArray = npt.NDArray[np.int64]
MINUTE_NS = 60_000_000_000
DEPTH_LOTS = 10**9
"""Lots offered on each side: depth is no limit of a bar; slippage is a cost (`core.costs`)."""


def write_execution_quotes(
    source: Path,
    target: Path,
    instrument: InstrumentInfo,
    *,
    interval: str,
    start_ns: int,
    end_ns: int,
    away: float,
) -> int:
    """Write the quotes of a range of bars to a catalog of their own, month by month; return how many.

    Parameters
    ----------
    source, target : Path
        The catalog of the bars and the one that the replay reads quotes from.
    instrument : InstrumentInfo
        Its tick and precisions.
    interval : str
        Base interval.
    start_ns, end_ns : int
        Closes of the bars wanted: ``start_ns < ts_close <= end_ns``.
    away : float
        Half the spread plus slippage, fraction of the price.
    """
    length = interval_ns(interval)
    write_instruments(target, [instrument])
    written = 0
    for bars in iter_bars(source, instrument.id, interval, start_ns=start_ns, end_ns=end_ns):
        bid, ask, ts = quote_ticks(bars, away=away, tick=float(instrument.tick), length_ns=length)
        scale = int(instrument.tick.scaleb(instrument.price_precision))
        size = decimal_array(
            np.full(len(ts), DEPTH_LOTS * int(instrument.lot.scaleb(instrument.size_precision)), dtype=np.int64),
            instrument.size_precision,
        )
        stamps = pa.array(ts, pa.timestamp("ns", "UTC"))
        columns = {
            "bid_price": decimal_array(bid * scale, instrument.price_precision),
            "ask_price": decimal_array(ask * scale, instrument.price_precision),
            "bid_size": size,
            "ask_size": size,
            "ts_event": stamps,
            "ts_init": stamps,
        }
        schema = pa.schema(
            [pa.field(name, array.type, nullable=False) for name, array in columns.items()],
            metadata={
                "instrument_id": instrument.id,
                "price_precision": str(instrument.price_precision),
                "size_precision": str(instrument.size_precision),
                "type_name": "QuoteTick",
            },
        )
        table = pa.Table.from_arrays(list(columns.values()), schema=schema)
        write_part(target / "data" / "quotes" / instrument.id, table, int(ts[0]), int(ts[-1]))
        written += len(ts)
    return written


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
