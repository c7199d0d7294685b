"""The fear-and-greed index, one value a day, beside the market data of the catalog."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.klines import TIME
from adapters.parts import locked, replace_file

__all__ = ["SENTIMENT_SCHEMA", "read_sentiment", "write_sentiment"]

SENTIMENT_SCHEMA = pa.schema(
    [
        pa.field("date", TIME, nullable=False),
        pa.field("value", pa.int64(), nullable=False),
        pa.field("classification", pa.string()),
    ]
)
"""Day (00:00 UTC), index from 0 (fear) to 100 (greed), and its name."""


def write_sentiment(catalog: Path, table: Any) -> int:
    """Write days (`SENTIMENT_SCHEMA`) to the catalog, merged with its own; return how many are new."""
    with locked(catalog):
        held = read_sentiment(catalog)
        rows = {row["date"]: row for row in held.to_pylist()}  # a few thousand days at most
        rows.update({row["date"]: row for row in table.to_pylist()})
        merged = pa.Table.from_pylist([rows[day] for day in sorted(rows)], schema=SENTIMENT_SCHEMA)
        if not merged.equals(held):
            content = io.BytesIO()
            pq.write_table(merged, content)
            replace_file(_path(catalog), content.getvalue())
    return len(merged) - len(held)


def read_sentiment(catalog: Path) -> Any:
    """Return the days that a catalog holds, in order, as a table of `SENTIMENT_SCHEMA`."""
    path = _path(catalog)
    return pq.read_table(path) if path.is_file() else SENTIMENT_SCHEMA.empty_table()


def _path(catalog: Path) -> Path:
    return catalog / "sentiment" / "fear_greed.parquet"
