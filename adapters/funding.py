"""Funding rates in the catalog, in the engine's form, so that a replay settles them at their true times."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adapters.klines import TIME, times_ns
from adapters.parts import list_parts, locked, open_part, write_part
from core.bars import Funding
from core.errors import DataError

__all__ = ["FUNDING_SCHEMA", "read_funding", "write_funding"]

FUNDING_SCHEMA = pa.schema(
    [
        pa.field("ts", TIME, nullable=False),
        pa.field("rate", pa.string(), nullable=False),
        pa.field("interval_minutes", pa.uint64()),
    ]
)
"""Raw funding: time of settlement, the fraction of notional that longs pay as a decimal text, minutes between two."""

_USUAL_INTERVAL_MINUTES = 480
"""Stored where the source gives none: the engine settles no rate that comes without an interval."""


def write_funding(catalog: Path, instrument_id: str, table: Any) -> int:
    """Write settlements (`FUNDING_SCHEMA`, any order) to the catalog, merged with its own; return how many are new.

    The last rate given for a time stands.
    """
    if len(table) == 0:
        return 0
    directory = catalog / "data" / "funding_rates" / instrument_id
    with locked(catalog):
        old = next(iter(list_parts(directory)), None)
        held = FUNDING_SCHEMA.empty_table() if old is None else _read(old)
        merged = pa.concat_tables([held, table.cast(FUNDING_SCHEMA)])
        stamps = times_ns(merged["ts"])
        order = np.argsort(stamps, kind="stable")
        last = np.diff(stamps[order], append=np.iinfo(np.int64).max) > 0
        merged = merged.take(order[last]).combine_chunks()
        if not merged.equals(held):
            stamps = stamps[order[last]]
            write_part(directory, _engine_table(merged, instrument_id), int(stamps[0]), int(stamps[-1]), old=old)
    return len(merged) - len(held)


def read_funding(
    catalog: Path, instrument_id: str, *, start_ns: int | None = None, end_ns: int | None = None
) -> Funding:
    """Return the settlements of ``start_ns < ts <= end_ns``, none where the catalog has no funding of the instrument.

    Raises
    ------
    DataError
        Where the catalog does not exist.
    """
    if not catalog.is_dir():
        raise DataError(f"no catalog at {catalog}: fill one with `autotrade data import` or `autotrade data download`")
    parts = list_parts(catalog / "data" / "funding_rates" / instrument_id)
    table = pa.concat_tables([_read(part) for part in parts]) if parts else FUNDING_SCHEMA.empty_table()
    stamps = times_ns(table["ts"])
    rates = pc.cast(table["rate"], pa.float64()).to_numpy()
    wanted = np.ones(len(stamps), dtype=np.bool_)
    if start_ns is not None:
        wanted &= stamps > start_ns
    if end_ns is not None:
        wanted &= stamps <= end_ns
    return Funding(stamps[wanted], rates[wanted])


def _read(part: Path) -> Any:
    table = open_part(part).read(["ts_init", "rate", "interval"])
    return table.rename_columns(["ts", "rate", "interval_minutes"]).cast(FUNDING_SCHEMA)


def _engine_table(table: Any, instrument_id: str) -> Any:
    schema = pa.schema(
        [
            pa.field("instrument_id", pa.string(), nullable=False),
            pa.field("rate", pa.string(), nullable=False),
            pa.field("interval", pa.uint64()),
            pa.field("next_funding_ns", TIME),
            pa.field("ts_event", TIME, nullable=False),
            pa.field("ts_init", TIME, nullable=False),
        ],
        metadata={"instrument_id": instrument_id, "type_name": "FundingRateUpdate"},
    )
    n = len(table)
    names = pa.array([instrument_id] * n, pa.string())
    interval = pc.fill_null(table["interval_minutes"], _USUAL_INTERVAL_MINUTES)
    columns = [names, table["rate"], interval, pa.nulls(n, TIME), table["ts"], table["ts"]]
    return pa.Table.from_arrays(
        [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns], schema=schema
    )
