"""The market of a recorded session, as a catalog that a backtest can replay."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from adapters.catalog import write_bars
from adapters.funding import FUNDING_SCHEMA, write_funding
from adapters.instruments import InstrumentInfo, write_instruments
from adapters.klines import kline_table
from adapters.session_replay import Turn, bar_of
from core.bars import interval_ns
from core.errors import DataError
from core.messages import FundingSettled

__all__ = ["Market"]


class Market:
    """Gathers bars, funding and the first balance out of the turns of a session."""

    def __init__(self) -> None:
        self.balance = 0.0
        self._bars: dict[str, dict[int, tuple[Any, float]]] = {}
        self._funding: dict[str, dict[int, str]] = {}

    def take(self, turn: Turn) -> None:
        """Take what a turn says of the market."""
        for told in turn.told:
            known = bar_of(turn, told)
            if known is not None:
                name, bar, flow = known
                self._bars.setdefault(name, {})[bar.ts_close] = bar, flow
            for kind, body in told.arguments:
                if kind == FundingSettled.__name__:
                    self._funding.setdefault(body["instrument_id"], {})[body["ts_event"]] = repr(body["rate"])
                elif kind == "funding" and body[4] is None:
                    self._funding.setdefault(body[0], {})[body[2]] = body[1]
        for said, raised in turn.answers.get(("risk", "_balance", "[]"), ()):
            if not raised and self.balance == 0.0:
                self.balance = float(said)

    def write(self, catalog: Path, infos: Sequence[InstrumentInfo], interval: str) -> tuple[int, int]:
        """Write a catalog, and return the range of closes, ``start_ns < ts_close <= end_ns``."""
        write_instruments(catalog, infos)
        times = [ts for bars in self._bars.values() for ts in bars]
        if not times:
            raise DataError("the session received no bar; there is nothing to replay")
        for name, bars in self._bars.items():
            rows = [bars[ts] for ts in sorted(bars)]
            columns = {
                field: np.array([getattr(bar, field) for bar, _ in rows])
                for field in ("open", "high", "low", "close", "volume")
            }
            opened = np.array([bar.ts_close for bar, _ in rows], dtype=np.int64) - interval_ns(interval)
            flows = np.array([flow for _, flow in rows])
            table = kline_table(open_time=opened, taker_buy_base=pa.array(flows, from_pandas=True), **columns)
            write_bars(catalog, name, interval, [table], exact=True)
        for name, rates in self._funding.items():
            columns_of = {
                "ts": pa.array(sorted(rates), pa.int64()).cast(FUNDING_SCHEMA.field("ts").type),
                "rate": pa.array([rates[ts] for ts in sorted(rates)], pa.string()),
                "interval_minutes": pa.nulls(len(rates), pa.uint64()),
            }
            write_funding(catalog, name, pa.table(columns_of, schema=FUNDING_SCHEMA))
        return min(times) - interval_ns(interval), max(times)
