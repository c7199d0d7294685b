"""The catalog: what is written is read back exactly, by us and by the engine, however it came in."""

from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nautilus_trader.backtest import (
    BacktestDataConfig,
    BacktestEngineConfig,
    BacktestNode,
    BacktestRunConfig,
    BacktestVenueConfig,
)
from nautilus_trader.common import DataActor, DataActorConfig, LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel
from nautilus_trader.model import (
    AccountType,
    ActorId,
    Bar,
    BarType,
    FundingRateUpdate,
    InstrumentId,
    NautilusDataType,
    OmsType,
    Price,
    Quantity,
)
from nautilus_trader.persistence import ParquetDataCatalog

from adapters.catalog import (
    data_hash,
    instrument,
    iter_bars,
    iter_klines,
    list_series,
    read_bars,
    read_funding,
    write_bars,
    write_instruments,
)
from adapters.fixed_point import decimal_array, decimals_to_raw, precision_of, to_raw
from adapters.funding import FUNDING_SCHEMA, write_funding
from adapters.instruments import default_instruments
from adapters.klines import KLINE_SCHEMA, TIME, kline_table
from adapters.parts import list_parts, part_name, part_range
from core.bars import bar_type
from core.errors import DataError

MINUTE = 60_000_000_000
BTC = "BTCUSDT-PERP.BINANCE"
START = int(np.datetime64("2023-12-31T20:00", "ns").astype(np.int64))


def klines(n, *, start=START, step=MINUTE, seed=1):
    """Raw klines on the tick and lot of BTCUSDT."""
    random = np.random.default_rng(seed)
    close = np.round(40_000 + np.cumsum(random.normal(0, 5, n)), 1)
    open_ = np.concatenate(([40_000.0], close[:-1]))
    volume = np.round(random.uniform(1, 9, n), 3)
    stamps = start + step * np.arange(n, dtype=np.int64)
    return kline_table(
        open_time=stamps, open=open_, high=np.maximum(open_, close) + 1.5, low=np.minimum(open_, close) - 0.5,
        close=close, volume=volume, quote_volume=volume * close, trades=np.arange(n),
        taker_buy_base=np.round(volume / 2, 3), taker_buy_quote=volume * close / 2,
        close_time=stamps + step - 1_000_000,
    )  # fmt: skip


@pytest.fixture
def catalog(tmp_path):
    """An empty catalog with the built-in perpetuals."""
    write_instruments(tmp_path / "catalog", default_instruments(market="um"))
    return tmp_path / "catalog"


def whole_hash(catalog, interval="1m"):
    return data_hash(catalog, [BTC], interval, start_ns=None, end_ns=None)


# Exact decimals


@given(
    st.lists(st.integers(0, 10**14), min_size=1, max_size=20),
    st.sampled_from(["0.1", "0.01", "0.05", "0.00001", "1", "3", "10", "0.5"]),
    st.integers(0, 6),
    st.booleans(),
)
def test_values_go_to_the_grid_as_decimals_do(counts, step, decimals, down):
    step = Decimal(step)
    texts = [Decimal(count).scaleb(-decimals) for count in counts]
    texts = [t for t in texts if t < 2**51 * step and t < Decimal(2**51).scaleb(-precision_of(step))]
    raw, moved = to_raw(np.array([float(t) for t in texts]), step, down=down)
    for text, count, off in zip(texts, raw.tolist(), moved.tolist(), strict=True):
        units = text / step
        on_grid = units == units.to_integral_value()
        assert off == (not on_grid)
        value = Decimal(count).scaleb(-precision_of(step))
        if down or on_grid:
            assert value == units.to_integral_value(ROUND_FLOOR) * step
        elif abs(units % 1 - Decimal("0.5")) > Decimal("1e-6"):
            assert value == units.to_integral_value(ROUND_HALF_EVEN) * step
        else:  # a tie, as far as floats can tell: either neighbour
            assert abs(value - text) <= step * Decimal("0.500001")


@given(st.lists(st.integers(-(10**17), 10**17), max_size=20), st.integers(0, 9))
def test_decimals_hold_the_counts(counts, precision):
    array = decimal_array(np.array(counts, dtype=np.int64), precision)
    assert array.to_pylist() == [Decimal(count).scaleb(-precision) for count in counts]
    assert decimals_to_raw(array, precision).tolist() == counts
    assert decimals_to_raw(array[2:], precision).tolist() == counts[2:]


@given(st.integers(-(10**18), 8 * 10**18), st.integers(0, 10**15))
def test_the_name_of_a_part_states_its_range(first, length):
    assert part_range(Path(part_name(first, first + length))) == (first, first + length)


# The engine reads what we wrote


def test_the_engine_reads_back_the_same_bars(catalog):
    table = klines(2_000)
    write_bars(catalog, BTC, "1m", [table])
    name = bar_type(BTC, "1m")
    found = ParquetDataCatalog(str(catalog)).query_bars([name])
    rows = table.to_pylist()
    expected = [
        Bar(
            BarType.from_str(name),
            *(Price.from_str(f"{row[c]:.1f}") for c in ("open", "high", "low", "close")),
            Quantity.from_str(f"{row['volume']:.3f}"),
            START + (i + 1) * MINUTE,
            START + (i + 1) * MINUTE,
        )
        for i, row in enumerate(rows)
    ]
    assert found == expected
    assert (found[0].open.precision, found[0].volume.precision) == (1, 3)


def test_a_backtest_node_streams_bars_and_funding(catalog):
    write_bars(catalog, BTC, "1m", [klines(600)])
    write_funding(catalog, BTC, funding([START + 60 * MINUTE, START + 540 * MINUTE], ["0.0001", "-0.00025"]))
    seen = []

    class Listener(DataActor):
        def __new__(cls):
            return super().__new__(cls, DataActorConfig(actor_id=ActorId("LISTENER-001")))

        def on_start(self):
            self.subscribe_bars(BarType.from_str(bar_type(BTC, "1m")))
            self.subscribe_funding_rates(InstrumentId.from_str(BTC))

        def on_bar(self, bar):
            seen.append((bar.ts_init, float(str(bar.close))))  # `as_double` is a unit in the last place off at times

        def on_funding_rate(self, update):
            seen.append((update.ts_init, update.rate))

    of = {"catalog_path": str(catalog), "instrument_id": InstrumentId.from_str(BTC)}
    run = BacktestRunConfig(
        [BacktestVenueConfig("BINANCE", OmsType.NETTING, AccountType.MARGIN, ["10000 USDT"],
                             fee_model=MakerTakerFeeModel(Decimal("0.0002"), Decimal("0.0005")))],
        [BacktestDataConfig(NautilusDataType.FundingRateUpdate, **of),
         BacktestDataConfig(NautilusDataType.Bar, bar_types=[bar_type(BTC, "1m")], **of)],
        engine=BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.ERROR), run_analysis=False),
        chunk_size=100,
    )  # fmt: skip
    node = BacktestNode([run])
    node.build()
    node.add_actor(run.id, Listener())
    node.run()
    bars = read_bars(catalog, BTC, "1m")
    closes = list(zip(bars.ts_close.tolist(), bars.close.tolist(), strict=True))
    assert [item for item in seen if isinstance(item[1], float)] == closes
    assert [item for item in seen if not isinstance(item[1], float)] == [
        (START + 60 * MINUTE, Decimal("0.0001")),
        (START + 540 * MINUTE, Decimal("-0.00025")),
    ]


# What is written is what is read


def test_every_column_comes_back(catalog):
    table = klines(500)
    write_bars(catalog, BTC, "1m", [table])
    assert pa.concat_tables(iter_klines(catalog, BTC, "1m")).equals(table)
    bars = read_bars(catalog, BTC, "1m")
    assert bars.ts_close.tolist() == [START + (i + 1) * MINUTE for i in range(500)]
    for name in ("open", "high", "low", "close", "volume"):
        assert getattr(bars, name).tolist() == table[name].to_pylist()
    assert bars.taker_buy.tolist() == table["taker_buy_base"].to_pylist()


def test_columns_that_a_source_lacks_are_null_and_taker_buy_is_unknown(catalog):
    full = klines(10)
    lean = kline_table(**{name: full[name] for name in ("open_time", "open", "high", "low", "close", "volume")})
    write_bars(catalog, BTC, "1m", [lean])
    (found,) = iter_klines(catalog, BTC, "1m")
    assert found["quote_volume"].null_count == found["close_time"].null_count == 10
    assert np.isnan(read_bars(catalog, BTC, "1m").taker_buy).all()


def test_a_bar_belongs_to_the_month_it_opens_in(catalog):
    write_bars(catalog, BTC, "1m", [klines(300)])
    parts = list_parts(catalog / "data" / "bars" / bar_type(BTC, "1m"))
    midnight = START + 240 * MINUTE
    assert [part_range(part) for part in parts] == [
        (START + MINUTE, midnight),  # the bar of 23:59 closes at midnight
        (midnight + MINUTE, START + 300 * MINUTE),
    ]
    assert [len(bars.close) for bars in iter_bars(catalog, BTC, "1m")] == [240, 60]


@pytest.mark.parametrize(("after", "until"), [(0, 300), (100, 200), (239, 241), (240, 241), (239, 240), (None, 5)])
def test_a_range_is_of_closes_after_its_start_and_up_to_its_end(catalog, after, until):
    write_bars(catalog, BTC, "1m", [klines(300)])
    start = None if after is None else START + after * MINUTE
    bars = read_bars(catalog, BTC, "1m", start_ns=start, end_ns=START + until * MINUTE)
    assert bars.ts_close.tolist() == [START + i * MINUTE for i in range((after or 0) + 1, until + 1)]


def test_prices_go_to_the_nearest_tick_and_volumes_down_to_the_lot(catalog):
    table = klines(3)
    table = table.set_column(4, KLINE_SCHEMA.field("close"), pa.array([40_000.04, 40_000.06, 40_000.1]))
    table = table.set_column(5, KLINE_SCHEMA.field("volume"), pa.array([1.0019, 0.0009, 2.0]))
    report = write_bars(catalog, BTC, "1m", [table])
    bars = read_bars(catalog, BTC, "1m")
    assert bars.close.tolist() == [40_000.0, 40_000.1, 40_000.1]
    assert bars.volume.tolist() == [1.001, 0.0, 2.0]
    assert (bars.taker_buy <= bars.volume).all()
    assert (report.prices_rounded, report.volumes_rounded) == (2, 2)
    assert report.largest_rounding == pytest.approx(0.04)
    with pytest.raises(
        DataError, match=r"close 40000.04 of the bar opened at 2023-12-31T20:00:00Z is off the tick 0.1"
    ):
        write_bars(catalog, BTC, "1m", [table], exact=True)


# Merging


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 599), st.integers(1, 600)), max_size=6), st.randoms(), st.booleans())
def test_the_same_bars_in_any_pieces_order_and_number_make_the_same_catalog(tmp_path_factory, pieces, random, at_once):
    table = klines(600)
    whole, parts = (tmp_path_factory.mktemp("catalog") for _ in range(2))
    for directory in (whole, parts):
        write_instruments(directory, default_instruments(market="um"))
    write_bars(whole, BTC, "1m", [table])
    chosen = [table.slice(start, length) for start, length in [*pieces, (0, 200), (200, 400)]]
    random.shuffle(chosen)
    shuffled = [piece.take(random.sample(range(len(piece)), len(piece))) for piece in chosen]
    for tables in [shuffled] if at_once else [[piece] for piece in shuffled]:
        write_bars(parts, BTC, "1m", tables)
    assert whole_hash(parts) == whole_hash(whole)
    assert pa.concat_tables(iter_klines(parts, BTC, "1m")).equals(table)
    names = [[p.name for p in list_parts(d / "data" / "bars" / bar_type(BTC, "1m"))] for d in (whole, parts)]
    assert names[0] == names[1]


def test_the_last_row_given_for_a_bar_stands_and_is_counted(catalog):
    table = klines(10)
    other = table.set_column(4, KLINE_SCHEMA.field("close"), pa.array([*table["close"].to_pylist()[:9], 41_000.0]))
    first = write_bars(catalog, BTC, "1m", [table, other.slice(8)])  # the last bar twice, once as it is
    assert (first.rows, first.added, first.equal, first.replaced) == (12, 10, 1, 1)
    again = write_bars(catalog, BTC, "1m", [table])
    assert (again.rows, again.added, again.equal, again.replaced) == (10, 0, 9, 1)
    assert read_bars(catalog, BTC, "1m").close.tolist() == table["close"].to_pylist()


def test_an_equal_row_without_extras_does_not_wipe_those_that_are_there(catalog):
    table = klines(10)
    lean = kline_table(**{name: table[name] for name in ("open_time", "open", "high", "low", "close", "volume")})
    write_bars(catalog, BTC, "1m", [table])
    assert write_bars(catalog, BTC, "1m", [lean]).equal == 10
    assert pa.concat_tables(iter_klines(catalog, BTC, "1m")).equals(table)


def test_the_hash_tells_every_change_and_only_those(catalog, tmp_path):
    table = klines(100)
    write_bars(catalog, BTC, "1m", [table])
    write_funding(catalog, BTC, funding([START], ["0.0001"]))
    before = whole_hash(catalog)
    inside = {"start_ns": START, "end_ns": START + 50 * MINUTE}
    half = data_hash(catalog, [BTC], "1m", **inside)
    write_bars(catalog, BTC, "1m", [table.slice(30, 5)])
    assert whole_hash(catalog) == before
    tick = table.set_column(4, KLINE_SCHEMA.field("close"), pa.array([*table["close"].to_pylist()[:99], 41_000.1]))
    write_bars(catalog, BTC, "1m", [tick])
    assert whole_hash(catalog) != before
    assert data_hash(catalog, [BTC], "1m", **inside) == half
    write_bars(catalog, BTC, "1m", [table])
    assert whole_hash(catalog) == before
    write_funding(catalog, BTC, funding([START + MINUTE], ["0.0002"]))
    assert whole_hash(catalog) != before


# Refusals


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("open", 0.0, "open 0.0 of the bar opened at 2023-12-31T20:03:00Z is not above 0 and below"),
        ("low", float("nan"), "low nan of the bar"),
        ("high", float("inf"), "high inf of the bar"),
        ("volume", -1.0, "volume -1.0 of the bar opened at 2023-12-31T20:03:00Z is not at least 0 and below"),
        ("volume", 1e14, "volume 100000000000000.0 of the bar"),
        ("close", 0.04, "the tick is too coarse for this history"),
    ],
)
def test_a_row_that_cannot_be_a_bar_is_refused_and_nothing_of_it_written(catalog, column, value, message):
    table = klines(10)
    values = table[column].to_pylist()
    values[3] = value
    index = table.column_names.index(column)
    with pytest.raises(DataError, match=message):
        write_bars(catalog, BTC, "1m", [table.set_column(index, KLINE_SCHEMA.field(column), pa.array(values))])
    assert list_series(catalog) == []


def test_bars_of_another_interval_are_refused(catalog):
    with pytest.raises(DataError, match=r"opens at 2023-12-31T20:01:00Z, off the 5m grid"):
        write_bars(catalog, BTC, "5m", [klines(20)])
    with pytest.raises(DataError, match="bars are 15 minutes apart, 1m was asked"):
        write_bars(catalog, BTC, "1m", [klines(20, step=15 * MINUTE)])


def test_what_is_not_there_is_named_with_what_is(catalog, tmp_path):
    with pytest.raises(DataError, match="no catalog at"):
        read_bars(tmp_path / "nowhere", BTC, "1m")
    with pytest.raises(DataError, match="no catalog at"):
        instrument(tmp_path / "nowhere", BTC)
    with pytest.raises(DataError, match=r"no instrument FOO.BINANCE, it holds ADAUSDT-PERP.BINANCE, "):
        instrument(catalog, "FOO.BINANCE")
    with pytest.raises(DataError, match=f"no 1m bars of {BTC}, it holds none: `autotrade data import FILE"):
        read_bars(catalog, BTC, "1m")
    write_bars(catalog, BTC, "1m", [klines(10)])
    with pytest.raises(DataError, match=f"no 5m bars of {BTC}, it holds {BTC} 1m"):
        read_bars(catalog, BTC, "5m")
    late = START + 10 * MINUTE
    with pytest.raises(DataError, match="it holds 2023-12-31T20:01:00Z to 2023-12-31T20:10:00Z"):
        read_bars(catalog, BTC, "1m", start_ns=late)
    with pytest.raises(DataError, match="from 2023-12-31T20:10:00Z to any time"):
        data_hash(catalog, [BTC], "1m", start_ns=late, end_ns=None)
    assert len(read_bars(catalog, BTC, "1m", start_ns=late, missing_ok=True).close) == 0


def test_a_broken_file_of_the_catalog_is_one_error(catalog):
    write_bars(catalog, BTC, "1m", [klines(10)])
    (part,) = list_parts(catalog / "data" / "bars" / bar_type(BTC, "1m"))
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        read_bars(catalog, BTC, "1m")


# Funding


def funding(stamps, rates, minutes=480):
    columns = [pa.array(stamps, TIME), pa.array(rates), pa.array([minutes] * len(stamps), pa.uint64())]
    return pa.Table.from_arrays(columns, schema=FUNDING_SCHEMA)


def test_funding_is_merged_and_the_engine_reads_it(catalog):
    hour = 60 * MINUTE
    assert write_funding(catalog, BTC, funding([8 * hour, 0], ["0.0001", "-0.00000001"])) == 2
    assert write_funding(catalog, BTC, funding([16 * hour, 8 * hour], ["0.0003", "0.0002"])) == 1
    found = read_funding(catalog, BTC)
    assert found.ts.tolist() == [0, 8 * hour, 16 * hour]
    assert found.rate.tolist() == [-1e-8, 0.0002, 0.0003]
    assert read_funding(catalog, BTC, start_ns=0, end_ns=8 * hour).ts.tolist() == [8 * hour]
    assert len(read_funding(catalog, "ETHUSDT-PERP.BINANCE").ts) == 0
    updates = ParquetDataCatalog(str(catalog)).query(NautilusDataType.FundingRateUpdate, [BTC])
    expected = [
        FundingRateUpdate(InstrumentId.from_str(BTC), Decimal(rate), ts, ts, interval=480)
        for ts, rate in [(0, "-0.00000001"), (8 * hour, "0.0002"), (16 * hour, "0.0003")]
    ]
    assert [u.to_dict() for u in updates] == [u.to_dict() for u in expected]
    assert len(list_parts(catalog / "data" / "funding_rates" / BTC)) == 1


def test_the_list_counts_rows_and_times(catalog):
    write_bars(catalog, BTC, "1m", [klines(300)])
    write_bars(catalog, BTC, "1h", [klines(30, step=60 * MINUTE)])
    write_funding(catalog, BTC, funding([START], ["0.0001"]))
    found = [(s.kind, s.instrument_id, s.interval, s.rows, s.first_ns, s.last_ns) for s in list_series(catalog)]
    assert found == [
        ("bars", BTC, "1m", 300, START + MINUTE, START + 300 * MINUTE),
        ("bars", BTC, "1h", 30, START + 60 * MINUTE, START + 1_800 * MINUTE),
        ("funding", BTC, "", 1, START, START),
    ]
