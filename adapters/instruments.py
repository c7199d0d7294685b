"""Instruments: exchange filters from Binance's exchangeInfo, kept in the catalog as the engine's instruments."""

import gzip
import json
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import msgspec
from nautilus_trader.model import (
    CryptoPerpetual,
    Currency,
    CurrencyPair,
    InstrumentId,
    Money,
    Price,
    Quantity,
    Symbol,
)
from nautilus_trader.persistence import ParquetDataCatalog

from adapters.fixed_point import precision_of
from adapters.parts import locked, replace_file
from core.errors import DataError, UsageError
from core.situation import Instrument

__all__ = [
    "EXCHANGE_INFO_URLS",
    "InstrumentInfo",
    "default_instruments",
    "ensure_instrument",
    "instrument_id",
    "list_instruments",
    "load_exchange_info",
    "parse_exchange_info",
    "read_instrument",
    "to_engine",
    "write_instruments",
]

EXCHANGE_INFO_URLS = {
    "um": "https://fapi.binance.com/fapi/v1/exchangeInfo",
    "spot": "https://api.binance.com/api/v3/exchangeInfo",
}
"""Where Binance publishes the filters of each market."""

_KINDS = ("crypto_perpetual", "currency_pair")
_MAX_PRECISION = 9


class InstrumentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of one instrument.

    ``tick`` and ``min_notional`` in quote currency, ``lot`` in base asset, ``min_lots`` and ``max_lots`` counts of
    lots for market orders; margins are fractions of notional (0 on spot).
    """

    id: str
    raw_symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_lots: int
    max_lots: int
    min_notional: Decimal
    margin_init: Decimal = Decimal(0)
    margin_maint: Decimal = Decimal(0)

    @property
    def price_precision(self) -> int:
        """Decimals of a price."""
        return precision_of(self.tick)

    @property
    def size_precision(self) -> int:
        """Decimals of a quantity."""
        return precision_of(self.lot)

    @property
    def perpetual(self) -> bool:
        """Whether it is a USD-M perpetual; otherwise a spot pair."""
        return self.id.endswith("-PERP.BINANCE")

    def filters(self) -> Instrument:
        """Return what a decision needs of it."""
        return Instrument(float(self.tick), float(self.lot), self.min_lots, self.max_lots, float(self.min_notional))


def instrument_id(symbol: str, *, market: str) -> str:
    """Return the engine's name of a symbol; a full name is returned as it is.

    Examples
    --------
    >>> instrument_id("BTCUSDT", market="um"), instrument_id("BTCUSDT", market="spot")
    ('BTCUSDT-PERP.BINANCE', 'BTCUSDT.BINANCE')
    """
    if symbol.endswith(".BINANCE"):
        return symbol
    if not (symbol.isascii() and symbol.isalnum() and symbol == symbol.upper()):
        raise UsageError(
            f"instrument {symbol!r} is no symbol: give one such as BTCUSDT, BTCUSDT-PERP.BINANCE or BTCUSDT.BINANCE"
        )
    return f"{symbol}-PERP.BINANCE" if market == "um" else f"{symbol}.BINANCE"


def load_exchange_info(source: str) -> Any:
    """Return the decoded exchangeInfo of a file (.json, .json.gz) or a URL.

    Raises
    ------
    DataError
        Where it cannot be had or is no JSON.
    """
    try:
        if source.startswith(("http://", "https://")):
            return httpx.get(source, timeout=30.0).raise_for_status().json()
        content = Path(source).read_bytes()
        return json.loads(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (OSError, EOFError, zlib.error, httpx.HTTPError) as error:
        raise DataError(f"exchangeInfo {source} cannot be read: {error}") from None
    except ValueError as error:
        raise DataError(f"exchangeInfo {source} is no JSON: {error}") from None


def parse_exchange_info(payload: Any, *, market: str) -> list[InstrumentInfo]:
    """Return the perpetuals (``market`` um) or pairs (spot) of an exchangeInfo.

    Delivery contracts, symbols that are not ASCII and symbols whose filters are unset (tick 0, as Binance lists them
    before trading begins) are left out.

    Raises
    ------
    DataError
        Where it is not an exchangeInfo of that market.
    """
    symbols = payload.get("symbols") if isinstance(payload, dict) else None
    if not isinstance(symbols, list):
        raise DataError("exchangeInfo has no list of symbols: give the answer of GET " + EXCHANGE_INFO_URLS[market])
    if symbols and ("contractType" in symbols[0]) != (market == "um"):
        other = "um" if market == "spot" else "spot"
        raise DataError(f"exchangeInfo is of the {other} market, {market} was asked: add --market {other}")
    found: list[InstrumentInfo] = []
    for symbol in symbols:
        name = str(symbol.get("symbol"))
        if not name.isascii() or (market == "um" and "PERPETUAL" not in symbol["contractType"]):
            continue
        try:
            info = _parse_symbol(symbol, market=market)
        except (KeyError, TypeError, AttributeError, InvalidOperation) as error:
            raise DataError(f"exchangeInfo: filters of {name} are not as documented: {error!r}") from None
        if info is not None:
            found.append(info)
    return found


def default_instruments(*, market: str) -> list[InstrumentInfo]:
    """Return the filters that come with the program, of the main symbols (``configs/instruments.json``)."""
    payload = json.loads(resources.files("configs").joinpath("instruments.json").read_text())
    return parse_exchange_info(payload[market], market=market)


def ensure_instrument(catalog: Path, name: str, *, exchange_info: str | None = None) -> str:
    """Make sure that a catalog holds an instrument; return where its filters come from, in a few words.

    Filters of ``exchange_info`` (file or URL) are written anew; else those of the catalog stand; else those that come
    with the program are written.

    Raises
    ------
    DataError
        Where none of them has it.
    """
    if exchange_info is None and _read(catalog, name) is not None:
        return "the catalog's"
    market = "um" if name.endswith("-PERP.BINANCE") else "spot"
    if exchange_info is None:
        infos, origin = default_instruments(market=market), "built-in, give --exchange-info for Binance's current ones"
    else:
        infos, origin = parse_exchange_info(load_exchange_info(exchange_info), market=market), exchange_info
    info = next((info for info in infos if info.id == name), None)
    if info is None:
        raise DataError(
            f"no filters of {name} in the {'built-in list' if exchange_info is None else exchange_info}: give "
            f"--exchange-info FILE|URL that has it, such as {EXCHANGE_INFO_URLS[market]}"
        )
    write_instruments(catalog, [info])
    return origin


def write_instruments(catalog: Path, infos: Sequence[InstrumentInfo]) -> None:
    """Write instruments to a catalog, in place of those of the same name.

    Raises
    ------
    DataError
        Where the catalog holds bars of an instrument at another precision.
    """
    with locked(catalog), tempfile.TemporaryDirectory() as scratch:
        for info in infos:
            known = _read(catalog, info.id)
            if known is not None and _precisions(known) != _precisions(info) and _has_data(catalog, info.id):
                raise DataError(
                    f"catalog {catalog} holds data of {info.id} with tick {known.tick} and lot {known.lot}, the new "
                    f"filters say {info.tick} and {info.lot}: import into another catalog"
                )
            # The engine keeps the old file where a name is taken, so it writes elsewhere and the file is moved here.
            path = Path(ParquetDataCatalog(scratch).write_instruments([to_engine(info)])[0])
            replace_file(catalog / path, (Path(scratch) / path).read_bytes())
            shutil.rmtree(Path(scratch) / "data")


def read_instrument(catalog: Path, name: str) -> InstrumentInfo:
    """Return an instrument of a catalog.

    Raises
    ------
    DataError
        Where the catalog does not exist or does not hold it.
    """
    if not catalog.is_dir():
        raise DataError(f"no catalog at {catalog}: fill one with `autotrade data import` or `autotrade data download`")
    info = _read(catalog, name)
    if info is None:
        held = ", ".join(list_instruments(catalog)) or "none"
        raise DataError(f"catalog {catalog} has no instrument {name}, it holds {held}: import its bars first")
    return info


def list_instruments(catalog: Path) -> list[str]:
    """Return the names of a catalog's instruments."""
    return sorted(path.parent.name for kind in _KINDS for path in (catalog / "data" / kind).glob("*/*.parquet"))


def _parse_symbol(symbol: Mapping[str, Any], *, market: str) -> InstrumentInfo | None:
    """Return the filters of one symbol, or None where they are unset."""
    filters = {f["filterType"]: f for f in symbol["filters"]}
    tick = Decimal(filters["PRICE_FILTER"]["tickSize"]).normalize()
    lot = Decimal(filters["LOT_SIZE"]["stepSize"]).normalize()
    if tick <= 0 or lot <= 0 or max(precision_of(tick), precision_of(lot)) > _MAX_PRECISION:
        return None
    # A market order must pass both; on spot the market filter leaves its step and minimum at zero.
    sizes = [filters["LOT_SIZE"], filters.get("MARKET_LOT_SIZE", filters["LOT_SIZE"])]
    largest = min(q for q in (Decimal(size["maxQty"]) for size in sizes) if q > 0)
    smallest = max(*(Decimal(size["minQty"]) for size in sizes), lot)
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    least = notional.get("minNotional") or notional.get("notional") or 0
    return InstrumentInfo(
        id=instrument_id(symbol["symbol"], market=market),
        raw_symbol=symbol["symbol"],
        base=symbol["baseAsset"],
        quote=symbol["quoteAsset"],
        tick=tick,
        lot=lot,
        min_lots=int(-(-smallest // lot)),
        max_lots=int(largest // lot),
        min_notional=Decimal(least),
        margin_init=Decimal(symbol.get("requiredMarginPercent") or 0) / 100,
        margin_maint=Decimal(symbol.get("maintMarginPercent") or 0) / 100,
    )


def to_engine(info: InstrumentInfo) -> CryptoPerpetual | CurrencyPair:
    """Return the engine's instrument."""
    quote = Currency.from_str(info.quote)
    given: dict[str, Any] = {
        "instrument_id": InstrumentId.from_str(info.id),
        "raw_symbol": Symbol(info.raw_symbol),
        "base_currency": Currency.from_str(info.base),
        "quote_currency": quote,
        "price_precision": info.price_precision,
        "size_precision": info.size_precision,
        "price_increment": Price.from_str(f"{info.tick:f}"),
        "size_increment": Quantity.from_str(f"{info.lot:f}"),
        "min_quantity": Quantity.from_str(f"{info.min_lots * info.lot:f}"),
        "max_quantity": Quantity.from_str(f"{info.max_lots * info.lot:f}"),
        "min_notional": Money.from_decimal(info.min_notional, quote),
        "margin_init": info.margin_init,
        "margin_maint": info.margin_maint,
        "ts_event": 0,
        "ts_init": 0,
    }
    if info.perpetual:
        return CryptoPerpetual(settlement_currency=quote, is_inverse=False, **given)
    return CurrencyPair(**given)


def _read(catalog: Path, name: str) -> InstrumentInfo | None:
    if not any((catalog / "data" / kind / name).is_dir() for kind in _KINDS):
        return None
    found = ParquetDataCatalog(str(catalog.resolve())).instruments([name])
    if not found:
        return None
    instrument = found[-1]
    lot = _decimal(instrument.size_increment)
    return InstrumentInfo(
        id=name,
        raw_symbol=str(instrument.raw_symbol),
        base=instrument.base_currency.code,
        quote=instrument.quote_currency.code,
        tick=_decimal(instrument.price_increment),
        lot=lot,
        min_lots=int(-(-_decimal(instrument.min_quantity, lot) // lot)),
        max_lots=int(_decimal(instrument.max_quantity, lot * 10**9) // lot),
        min_notional=_decimal(instrument.min_notional, Decimal(0)),
        margin_init=instrument.margin_init,
        margin_maint=instrument.margin_maint,
    )


def _decimal(value: Any, absent: Decimal = Decimal(1)) -> Decimal:
    return absent if value is None else Decimal(value.as_decimal()).normalize()


def _precisions(info: InstrumentInfo) -> tuple[int, int]:
    return info.price_precision, info.size_precision


def _has_data(catalog: Path, name: str) -> bool:
    return any((catalog / "data" / "bars").glob(f"{name}-*/*.parquet"))
