"""Instruments: the true filters of Binance, through the engine's form and back."""

import copy
import gzip
import json
from decimal import Decimal

import numpy as np
import pytest
from nautilus_trader.model import CryptoPerpetual, CurrencyPair
from nautilus_trader.persistence import ParquetDataCatalog

from adapters.catalog import instrument, list_instruments, write_bars, write_instruments
from adapters.instruments import (
    InstrumentInfo,
    default_instruments,
    ensure_instrument,
    instrument_id,
    load_exchange_info,
    parse_exchange_info,
)
from adapters.klines import kline_table
from core.errors import DataError, UsageError

BTC = "BTCUSDT-PERP.BINANCE"

PERPETUAL = {
    "symbol": "BTCUSDT", "contractType": "PERPETUAL", "baseAsset": "BTC", "quoteAsset": "USDT",
    "requiredMarginPercent": "5.0000", "maintMarginPercent": "2.5000",
    "filters": [
        {"filterType": "PRICE_FILTER", "tickSize": "0.10", "maxQty": None},
        {"filterType": "LOT_SIZE", "minQty": "0.002", "maxQty": "1000", "stepSize": "0.001", "tickSize": None},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120.0005", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}  # fmt: skip


def exchange_info(**changes):
    return {"symbols": [{**copy.deepcopy(PERPETUAL), **changes}]}


def test_the_filters_of_a_market_order_are_the_stricter_of_both():
    (info,) = parse_exchange_info(exchange_info(), market="um")
    assert info == InstrumentInfo(
        id=BTC, raw_symbol="BTCUSDT", base="BTC", quote="USDT", tick=Decimal("0.1"), lot=Decimal("0.001"),
        min_lots=2, max_lots=120_000, min_notional=Decimal(100), margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
    )  # fmt: skip
    assert (info.price_precision, info.size_precision) == (1, 3)
    assert info.filters() == (0.1, 0.001, 2, 120_000, 100.0)


def test_delivery_contracts_and_unset_filters_are_left_out():
    assert parse_exchange_info(exchange_info(contractType="CURRENT_QUARTER"), market="um") == []
    assert parse_exchange_info(exchange_info(symbol="币安USDT"), market="um") == []
    unset = exchange_info()
    unset["symbols"][0]["filters"][0]["tickSize"] = "0"
    assert parse_exchange_info(unset, market="um") == []


@pytest.mark.parametrize(
    ("payload", "market", "message"),
    [
        ([], "um", "has no list of symbols"),
        ({"code": -1003}, "um", "has no list of symbols"),
        (exchange_info(), "spot", "is of the um market, spot was asked: add --market um"),
        (exchange_info(filters=[]), "um", "filters of BTCUSDT are not as documented: KeyError"),
    ],
)
def test_what_is_no_exchange_info_of_that_market_is_refused(payload, market, message):
    with pytest.raises(DataError, match=message):
        parse_exchange_info(payload, market=market)


def test_an_exchange_info_that_cannot_be_read_is_one_error(tmp_path):
    (tmp_path / "x.json").write_text("<html>")
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(json.dumps(exchange_info()).encode())[:-20])
    for name in ("x.json", "cut.json.gz", "absent.json"):
        with pytest.raises(DataError, match=f"{name} (cannot be read|is no JSON)"):
            load_exchange_info(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "market", "count"),
    [
        ("usdm-exchangeInfo-20260331-reserialised.json.gz", "um", 680),
        ("usdm-exchangeInfo-20220504.json", "um", 150),
        ("spot-exchangeInfo-20240908.json.gz", "spot", 1_240),
    ],
)
def test_true_filters_survive_the_engine(shared_data, tmp_path, name, market, count):
    payload = load_exchange_info(str(shared_data / "raw" / "exchange_info" / name))
    infos = parse_exchange_info(payload, market=market)
    assert len(infos) >= count
    chosen = infos[::15]
    write_instruments(tmp_path, chosen)
    assert list_instruments(tmp_path) == sorted(info.id for info in chosen)
    symbols = {symbol["symbol"]: symbol for symbol in payload["symbols"]}
    for info, found in zip(chosen, [instrument(tmp_path, info.id) for info in chosen], strict=True):
        assert found == info
        filters = {f["filterType"]: f for f in symbols[info.raw_symbol]["filters"]}
        assert found.tick == Decimal(filters["PRICE_FILTER"]["tickSize"])
        assert found.lot == Decimal(filters["LOT_SIZE"]["stepSize"])
        assert found.max_lots * found.lot <= Decimal(filters["LOT_SIZE"]["maxQty"])
    (engine,) = ParquetDataCatalog(str(tmp_path)).instruments([chosen[0].id])
    assert isinstance(engine, CryptoPerpetual if market == "um" else CurrencyPair)
    assert engine.price_increment.as_decimal() == chosen[0].tick


def test_the_built_in_filters_are_those_of_the_exchange(shared_data):
    folder = shared_data / "raw" / "exchange_info"
    for market, name in (
        ("um", "usdm-exchangeInfo-20260331-reserialised.json.gz"),
        ("spot", "spot-exchangeInfo-20240908.json.gz"),
    ):
        true = {i.id: i for i in parse_exchange_info(load_exchange_info(str(folder / name)), market=market)}
        for info in default_instruments(market=market):
            if info.id != BTC:
                assert info == true[info.id]
            else:  # in the coarser lot of the years before, see configs/instruments.json
                assert (info.tick, info.min_notional) == (true[BTC].tick, true[BTC].min_notional)
                assert info.lot == true[BTC].lot * 10


def test_filters_are_renewed_but_never_under_bars_of_another_precision(tmp_path):
    assert ensure_instrument(tmp_path, BTC) == "built-in, give --exchange-info for Binance's current ones"
    assert ensure_instrument(tmp_path, BTC) == "the catalog's"
    path = tmp_path / "exchange.json"
    path.write_text(json.dumps(exchange_info()))
    assert ensure_instrument(tmp_path, BTC, exchange_info=str(path)) == str(path)
    assert instrument(tmp_path, BTC).min_lots == 2
    one = dict.fromkeys(("open", "high", "low", "close", "volume"), np.ones(1))
    table = kline_table(open_time=np.zeros(1, dtype=np.int64), **one)
    write_bars(tmp_path, BTC, "1m", [table])
    finer = exchange_info()
    finer["symbols"][0]["filters"][1]["stepSize"] = "0.0001"
    path.write_text(json.dumps(finer))
    with pytest.raises(DataError, match=r"holds data of .* lot 0.001, the new filters say 0.1 and 0.0001: import into"):
        ensure_instrument(tmp_path, BTC, exchange_info=str(path))
    assert instrument(tmp_path, BTC).lot == Decimal("0.001")


def test_an_instrument_without_filters_is_refused_with_where_to_get_them(tmp_path):
    with pytest.raises(DataError, match=r"no filters of NEARUSDT-PERP.BINANCE in the built-in list: give --ex"):
        ensure_instrument(tmp_path, "NEARUSDT-PERP.BINANCE")


def test_names_of_instruments():
    assert instrument_id("ETHUSDT", market="um") == "ETHUSDT-PERP.BINANCE"
    assert instrument_id("ETHUSDT", market="spot") == "ETHUSDT.BINANCE"
    assert instrument_id("ETHUSDT.BINANCE", market="um") == "ETHUSDT.BINANCE"
    for wrong in ("ethusdt", "ETH/USDT", "", "../x"):
        with pytest.raises(UsageError, match="is no symbol"):
            instrument_id(wrong, market="um")
