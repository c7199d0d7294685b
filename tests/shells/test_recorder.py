"""The recorder's files and their digests."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adapters.recorder import SCHEMAS, RunRecorder, digest
from core.errors import DataError

FUNDING = ("ts_event", "instrument_id", "rate", "amount")


def sample_row(kind, ts_event=1):
    sample = {pa.int64(): 3, pa.float64(): 0.1, pa.string(): "a", pa.bool_(): True}
    sample |= {pa.list_(pa.float32()): [0.5, -1.0], pa.list_(pa.string()): ["a", "b"]}
    row = {f.name: sample[f.type] for f in SCHEMAS[kind]}
    return row | {"ts_event": ts_event}


def write_funding(out, rows, batch=4096):
    recorder = RunRecorder(out, batch)
    for row in rows:
        recorder.record("funding", dict(zip(FUNDING, row, strict=True)))
    recorder.close()
    return out / "funding.parquet"


@pytest.mark.parametrize("kind", SCHEMAS)
def test_rows_come_back_as_they_went_in_over_many_row_groups(tmp_path, kind):
    rows = [sample_row(kind, ts) for ts in range(25)]
    recorder = RunRecorder(tmp_path, batch=10)
    for row in rows:
        recorder.record(kind, row)
    recorder.close()
    with pq.ParquetFile(tmp_path / f"{kind}.parquet") as file:
        assert file.metadata.num_row_groups == 3
        assert file.read().to_pylist() == rows
        assert file.schema_arrow.equals(SCHEMAS[kind])


def test_no_file_bears_its_name_before_the_run_is_closed(tmp_path):
    recorder = RunRecorder(tmp_path, batch=1)
    recorder.record("equity", sample_row("equity"))
    assert list(tmp_path.glob("*.parquet")) == []
    recorder.close()
    recorder.close()
    assert {p.stem for p in tmp_path.iterdir()} == set(SCHEMAS)


def test_a_run_that_died_leaves_nothing_in_the_way_of_the_next(tmp_path):
    RunRecorder(tmp_path, batch=1).record("equity", sample_row("equity", 7))
    second = RunRecorder(tmp_path)
    second.record("equity", sample_row("equity", 8))
    second.close()
    assert pq.read_table(tmp_path / "equity.parquet")["ts_event"].to_pylist() == [8]


def test_a_row_with_a_missing_an_unknown_or_a_renamed_column_is_refused(tmp_path):
    recorder = RunRecorder(tmp_path)
    row = sample_row("funding")
    renamed = {k if k != "rate" else "ratio": v for k, v in row.items()}
    for wrong in (row | {"extra": 1}, {k: v for k, v in row.items() if k != "rate"}, renamed):
        with pytest.raises(ValueError, match=r"a row of funding .*(extra|rate)"):
            recorder.record("funding", wrong)
    with pytest.raises(ValueError, match="there are decisions, orders, fills, equity"):
        recorder.record("trades", row)


def test_a_digest_does_not_see_the_layout_of_the_file(tmp_path):
    rows = [(ts, "BTCUSDT-PERP.BINANCE", ts / 7, -ts / 3) for ts in range(100)]
    path = write_funding(tmp_path / "a", rows, batch=7)
    other = tmp_path / "b.parquet"
    table = pq.read_table(path).append_column("trade_id", pa.array([str(n) for n in range(100)]))
    pq.write_table(table, other, compression="none", row_group_size=33)
    assert digest(path, FUNDING) == digest(other, FUNDING)


@pytest.mark.parametrize(
    "rows",
    [
        [(1, "AB", 0.1, 1.0), (2, "C", 0.2, 2.0000000000000004)],
        [(1, "A", 0.1, 1.0), (2, "BC", 0.2, 2.0)],
        [(2, "C", 0.2, 2.0), (1, "AB", 0.1, 1.0)],
        [(1, "AB", 1.0, 0.1), (2, "C", 2.0, 0.2)],
        [(1, "AB", 0.1, 1.0)],
    ],
    ids=["last bit", "moved letter", "order", "swapped columns", "missing row"],
)
def test_a_digest_sees_every_difference_of_values(tmp_path, rows):
    path = write_funding(tmp_path / "a", [(1, "AB", 0.1, 1.0), (2, "C", 0.2, 2.0)])
    assert digest(path, FUNDING) != digest(write_funding(tmp_path / "b", rows), FUNDING)


def test_a_digest_tells_missing_values_and_list_borders_apart(tmp_path):
    columns = [[[1.0], [2.0, 3.0]], [[1.0, 2.0], [3.0]], [[1.0, 2.0, 3.0], None], [[1.0, 2.0, 3.0], []]]
    digests = set()
    for column in columns:
        pq.write_table(pa.table({"x": pa.array(column, pa.list_(pa.float32()))}), tmp_path / "x.parquet")
        digests.add(digest(tmp_path / "x.parquet", ["x"]))
    assert len(digests) == len(columns)


def test_a_digest_of_what_is_not_there_says_so(tmp_path):
    with pytest.raises(DataError, match="no file"):
        digest(tmp_path / "fills.parquet", ["ts_event"])
    with pytest.raises(DataError, match="no column 'price'"):
        digest(write_funding(tmp_path, []), ["price"])
