"""The Parquet files of a finished run as columns of arrays."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import DataError
from core.fills import Fills
from core.performance import EquityCurve

__all__ = ["Closes", "Run", "buy_and_hold", "read_run"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_COLUMNS: dict[str, list[str]] = {
    "decisions": [
        "ts_event", "instrument_id", "close", "level", "confidence", "agreement", "abstention", "levels", "state",
        "verdict", "position_lots", "target_lots",
    ],
    "orders": ["client_order_id"],
    "fills": [
        "ts_event", "instrument_id", "client_order_id", "side", "quantity", "price", "commission", "arrival_price",
        "purpose", "exit_reason", "lots_after",
    ],
    "equity": ["ts_event", "equity", "exposure", "drawdown"],
    "funding": ["amount"],
}  # fmt: skip


class Closes(NamedTuple):
    """Decision closes of one instrument: ``ts`` int64[n] ns UTC, ``close`` float64[n] in quote currency."""

    ts: IntArray
    close: FloatArray


class Run(NamedTuple):
    """What a report needs of a run.

    ``decisions`` and ``fill_table`` are the tables' columns as read; ``exposure`` float64[n] beside ``curve``;
    ``funding`` the sum of its cash flows to the account; ``orders`` how many were sent.
    """

    decisions: pa.Table
    fill_table: pa.Table
    fills: Fills
    curve: EquityCurve
    exposure: FloatArray
    funding: float
    orders: int

    @property
    def instruments(self) -> list[str]:
        """Names in the order of their first decision."""
        return [str(name) for name in pc.unique(self.decisions["instrument_id"]).to_pylist()]

    def closes(self) -> dict[str, Closes]:
        """Return the decision closes of every instrument."""
        ts, close = floats(self.decisions, "ts_event").astype(np.int64), floats(self.decisions, "close")
        series = {}
        for name in self.instruments:
            own = np.asarray(pc.equal(self.decisions["instrument_id"], name))
            series[name] = Closes(ts[own], close[own])
        return series


def read_run(out: Path) -> Run:
    """Read the files that `adapters.recorder.RunRecorder` left in ``out``.

    Raises
    ------
    DataError
        Where a file is absent or not Parquet: the run did not end.
    """
    tables = {kind: _read(out / f"{kind}.parquet", columns) for kind, columns in _COLUMNS.items()}
    equity, table = tables["equity"], tables["fills"]
    return Run(
        decisions=tables["decisions"],
        fill_table=table,
        fills=Fills(
            ts=np.asarray(table["ts_event"]),
            instrument_id=table["instrument_id"].to_pylist(),
            quantity=floats(table, "quantity") * np.where(np.asarray(pc.equal(table["side"], "BUY")), 1.0, -1.0),
            price=floats(table, "price"),
            commission=floats(table, "commission"),
            arrival_price=floats(table, "arrival_price"),
        ),
        curve=EquityCurve(np.asarray(equity["ts_event"]), floats(equity, "equity")),
        exposure=floats(equity, "exposure"),
        funding=float(np.sum(floats(tables["funding"], "amount"))),
        orders=int(pc.count_distinct(tables["orders"]["client_order_id"]).as_py()),
    )


def floats(table: pa.Table, name: str) -> FloatArray:
    """Return a column as float64[n]; decimal strings are parsed."""
    column: Any = pc.cast(table[name], pa.float64(), safe=False)
    return np.asarray(column, dtype=np.float64)


def buy_and_hold(closes: dict[str, Closes]) -> Closes:
    """Return the value over time of one unit of money spread equally over the instruments and left alone, no costs.

    An instrument's share is cash until its first close and keeps its last value after its last.
    """
    ts = np.unique(np.concatenate([c.ts for c in closes.values()])) if closes else np.empty(0, dtype=np.int64)
    value = np.zeros(len(ts))
    for own in closes.values():
        at = np.searchsorted(own.ts, ts, side="right") - 1
        value += np.where(at >= 0, own.close[np.maximum(at, 0)] / own.close[0], 1.0)
    return Closes(ts, value / max(len(closes), 1))


def _read(path: Path, columns: list[str]) -> pa.Table:
    if not path.is_file():
        raise DataError(f"{path} is absent: not the directory of a finished run; run the backtest again")
    try:
        return pq.read_table(path, columns=columns)
    except pa.ArrowException as error:
        raise DataError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}); run it again") from None
