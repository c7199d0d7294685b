"""The files of a run: decisions, orders, fills, equity and funding as Parquet, and digests of their values."""

import hashlib
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import DataError

__all__ = ["SCHEMAS", "RunRecorder", "digest"]

_INT, _FLOAT, _TEXT, _BOOL = pa.int64(), pa.float64(), pa.string(), pa.bool_()
_VOTES, _NAMES = pa.list_(pa.float32()), pa.list_(pa.string())


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


SCHEMAS: Mapping[str, pa.Schema] = {
    "decisions": _schema(
        ts_event=_INT, instrument_id=_TEXT, close=_FLOAT, level=_FLOAT, confidence=_FLOAT, agreement=_FLOAT,
        voters=_INT, abstention=_TEXT, tradable=_BOOL, levels=_VOTES, confidences=_VOTES, models=_NAMES, weights=_VOTES,
        observation_hash=_TEXT,
        volatility=_FLOAT, volatility_rank=_FLOAT, atr=_FLOAT, equity=_FLOAT, drawdown=_FLOAT, state=_TEXT,
        position_lots=_INT, entry_price=_FLOAT, stop_price=_FLOAT, target_lots=_INT, new_stop_price=_FLOAT,
        exit_reason=_TEXT, verdict=_TEXT, reason=_TEXT, rules=_TEXT, client_order_id=_TEXT,
    ),
    "orders": _schema(
        ts_event=_INT, instrument_id=_TEXT, client_order_id=_TEXT, order_type=_TEXT, side=_TEXT, quantity=_TEXT,
        trigger_price=_TEXT, reduce_only=_BOOL, status=_TEXT, reason=_TEXT, purpose=_TEXT,
    ),
    "fills": _schema(
        ts_event=_INT, instrument_id=_TEXT, client_order_id=_TEXT, side=_TEXT, quantity=_TEXT, price=_TEXT,
        commission=_FLOAT, liquidity=_TEXT, arrival_price=_FLOAT, purpose=_TEXT, exit_reason=_TEXT, lots_after=_INT,
    ),
    "equity": _schema(
        ts_event=_INT, equity=_FLOAT, balance=_FLOAT, high_water_mark=_FLOAT, drawdown=_FLOAT, exposure=_FLOAT,
        state=_TEXT,
    ),
    "members": _schema(
        ts_event=_INT, instrument_id=_TEXT, model_id=_TEXT, sha256=_TEXT, stage_from=_TEXT, stage_to=_TEXT,
        weight=_FLOAT, reason=_TEXT,
    ),
    "breaker": _schema(ts_event=_INT, state_from=_TEXT, state_to=_TEXT, trigger=_TEXT, reason=_TEXT),
    "control": _schema(
        ts_event=_INT, request_id=_TEXT, command=_TEXT, instrument_id=_TEXT, reason=_TEXT, asked_by=_TEXT, code=_INT,
        said=_TEXT,
    ),
    "alerts": _schema(ts_event=_INT, source=_TEXT, severity=_TEXT, text=_TEXT),
    "funding": _schema(ts_event=_INT, instrument_id=_TEXT, rate=_FLOAT, amount=_FLOAT),
    "modes": _schema(ts_event=_INT, mode_from=_TEXT, mode_to=_TEXT, reason=_TEXT),
    "positions": _schema(ts_event=_INT, instrument_id=_TEXT, quantity=_TEXT, entry_price=_FLOAT, reason=_TEXT),
}  # fmt: skip
"""Columns by kind of row. ``ts_event`` ns UTC; quantities and prices of orders are decimal strings, exact; money in
quote currency; ``drawdown`` fraction of the day's high-water mark; ``exposure`` signed notional over equity;
``amount`` of funding is the cash flow to the account."""


class RunRecorder:
    """Writes the rows of a run (`core.protocols.Journal`), a file a kind, in memory that does not grow with the run.

    The files appear under their names when ``close`` has written all of them; until then, and after a crash, there
    are only hidden ``.<kind>.parquet.partial`` files, which the next run in the same directory replaces.

    Parameters
    ----------
    out : Path
        Directory of the run; made where absent.
    batch : int
        Rows of a kind that are kept before they become a row group.
    """

    def __init__(self, out: Path, batch: int = 4096) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._sinks = {kind: _Sink(out / f"{kind}.parquet", schema, batch) for kind, schema in SCHEMAS.items()}
        self._closed = False

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take one row.

        Raises
        ------
        ValueError
            Where the kind is unknown or the row's columns are not exactly the kind's: a fault of the program.
        """
        sink = self._sinks.get(kind)
        if sink is None:
            raise ValueError(f"no kind of row is called {kind!r}; there are {', '.join(SCHEMAS)}")
        sink.add(row)

    def discard(self) -> None:
        """Drop all rows, and the files of an earlier run in the same directory: nothing is left to be mistaken."""
        if not self._closed:
            self._closed = True
            for sink in self._sinks.values():
                sink.discard()

    def close(self) -> None:
        """Write what is left and put every file under its name; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        for sink in self._sinks.values():
            sink.finish()
        for sink in self._sinks.values():
            sink.publish()


class _Sink:
    """One kind's file."""

    def __init__(self, path: Path, schema: pa.Schema, batch: int) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._schema = schema
        self._batch = batch
        self._names = frozenset(schema.names)
        self._values = itemgetter(*schema.names)
        self._rows: list[tuple[object, ...]] = []
        self._writer = pq.ParquetWriter(self._partial, schema, compression="zstd")

    def add(self, row: Mapping[str, object]) -> None:
        if row.keys() != self._names:
            odd = sorted(self._names.symmetric_difference(row))
            raise ValueError(f"a row of {self._path.stem} has missing or unknown columns: {', '.join(odd)}")
        self._rows.append(self._values(row))
        if len(self._rows) >= self._batch:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def publish(self) -> None:
        self._partial.replace(self._path)

    def discard(self) -> None:
        self._writer.close()
        self._partial.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._rows.clear()


def digest(path: Path, columns: Sequence[str]) -> str:
    """Return the SHA-256 (hex) of the values of named columns of a Parquet file, in the order of its rows.

    Equal values give equal digests whatever the row groups, compression or further columns: numbers enter as their
    8 bytes (every NaN as one), texts and lists with their lengths, missing values as such. Leave out columns of ids
    that a rerun draws anew.

    Raises
    ------
    DataError
        Where the file or a column is absent.
    """
    if not path.is_file():
        raise DataError(f"no file {path} to take a digest of; is the run complete?")
    with pq.ParquetFile(path) as file:
        absent = [name for name in columns if name not in file.schema_arrow.names]
        if absent:
            raise DataError(f"{path} has no column {absent[0]!r}; it has {', '.join(file.schema_arrow.names)}")
        hashes = {name: _ColumnHash() for name in columns}
        for batch in file.iter_batches(columns=list(columns)):
            for name in columns:
                hashes[name].update(batch.column(batch.schema.get_field_index(name)))
        total = hashlib.sha256(str(file.metadata.num_rows).encode())
    for name in columns:
        total.update(f"\0{name}\0".encode() + hashes[name].digest())
    return total.hexdigest()


class _ColumnHash:
    """Three running hashes, so that no boundary between batches shows: which are missing, lengths, values."""

    def __init__(self) -> None:
        self._valid = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()

    def update(self, array: pa.Array) -> None:
        self._valid.update(np.asarray(pc.is_valid(array)).astype(np.uint8).tobytes())
        present = array.drop_null()
        kind = present.type
        if pa.types.is_list(kind):
            self._lengths.update(np.asarray(pc.list_value_length(present)).astype("<i8").tobytes())
            self.update(present.flatten())
        elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
            self._lengths.update(np.asarray(pc.binary_length(present)).astype("<i8").tobytes())
            self._values.update("".join(present.to_pylist()).encode())
        elif pa.types.is_floating(kind):
            values = np.asarray(present).astype("<f8")
            values[np.isnan(values)] = np.nan
            self._values.update(values.tobytes())
        elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            self._values.update(np.asarray(present).astype("<i8").tobytes())
        else:
            raise DataError(f"no digest is defined for a column of type {kind}")

    def digest(self) -> bytes:
        return self._valid.digest() + self._lengths.digest() + self._values.digest()
