"""What the gate allows, the exchange takes: every symbol of real exchangeInfo files, in exact decimals."""

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.instruments import instrument_id, load_exchange_info, parse_exchange_info
from core.breaker import ACTIVE
from core.gate import Proposal, allowed_lots
from core.orders import lots_to_quantity
from core.protections import new_memory, open_bar
from core.risk import RiskParams
from core.situation import Account, Market

FILES = {
    "usdm-exchangeInfo-20220504.json": "um",
    "usdm-exchangeInfo-20260331-reserialised.json.gz": "um",
    "spot-exchangeInfo-20240908.json.gz": "spot",
}
PROPOSALS = 40
PARAMS = RiskParams(
    loss_per_trade=0.02, daily_drawdown=0.05, max_capital=0.5, exit_cost=0.0006, min_entry_spacing_bars=0,
    max_entries_24h=1, volatility_quantile=1.0, pyramiding=1, auto_rearm=0, max_order_notional=1e7,
)  # fmt: skip


def raw_filters(path: Path, market: str) -> dict[str, dict[str, Any]]:
    """Return the filters of each symbol as the file has them, read without the adapter."""
    content = path.read_bytes()
    payload = json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)
    return {
        instrument_id(symbol["symbol"], market=market): {found["filterType"]: found for found in symbol["filters"]}
        for symbol in payload["symbols"]
        if symbol["symbol"].isascii() and symbol["symbol"].isalnum()
    }


def refusals(quantity: Decimal, price: Decimal, filters: dict[str, Any]) -> Iterator[str]:
    """Yield what the exchange would say against a market order."""
    sizes = [filters["LOT_SIZE"], filters.get("MARKET_LOT_SIZE", filters["LOT_SIZE"])]
    for size in sizes:
        if Decimal(size["stepSize"]) > 0 and quantity % Decimal(size["stepSize"]) != 0:
            yield f"{quantity} is no multiple of {size['stepSize']}"
        if quantity < Decimal(size["minQty"]) or (Decimal(size["maxQty"]) > 0 and quantity > Decimal(size["maxQty"])):
            yield f"{quantity} is not within {size['minQty']} and {size['maxQty']}"
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    least = Decimal(notional.get("minNotional") or notional.get("notional") or 0)
    # One part in 10^15 of a notional is beyond the floats that it is computed in.
    if quantity * price * (1 + Decimal(10) ** -14) < least:
        yield f"{quantity} at {price} is worth less than {least}"


@pytest.mark.parametrize("name", FILES)
def test_every_order_that_is_allowed_satisfies_the_filters_of_its_symbol(name, shared_data):
    path = shared_data / "raw" / "exchange_info" / name
    raw = raw_filters(path, FILES[name])
    infos = parse_exchange_info(load_exchange_info(str(path)), market=FILES[name])
    assert len(infos) > 100
    rng = np.random.default_rng(1)
    memory = new_memory(PARAMS)
    open_bar(memory, 0, 1, 0.5, PARAMS)
    allowed = denied = 0
    for info in infos:
        filters = info.filters()
        for _ in range(PROPOSALS):
            price = info.tick * int(10.0 ** rng.uniform(0.0, 7.0))
            close = float(price)
            equity = 10.0 ** rng.uniform(1.0, 8.0)
            side = 1 if rng.random() < 0.5 else -1
            held = int(rng.integers(0, 3)) * int(10.0 ** rng.uniform(0.0, 6.0))
            size = held + int(10.0 ** rng.uniform(0.0, 9.0))
            entry = close * (1.0 - 0.001 * side) if held else 0.0
            stop = close * (1.0 - side * 10.0 ** rng.uniform(-4.0, -0.5))
            proposal = Proposal(side, size, held, entry, stop, 0)
            market, account = Market(close, 0.01 * close, 0.5, 0.5), Account(equity, 0.0, ACTIVE)
            lots, _ = allowed_lots(proposal, market, account, memory, 0, filters, PARAMS)
            if lots == held:
                denied += 1
                continue
            allowed += 1
            quantity = lots_to_quantity(lots - held, info.lot)
            assert list(refusals(quantity, price, raw[info.id])) == [], info.id
            most = [Decimal(raw[info.id][kind]["maxQty"]) for kind in ("LOT_SIZE", "MARKET_LOT_SIZE")
                    if kind in raw[info.id]]  # fmt: skip
            whole = lots_to_quantity(lots, info.lot)
            assert whole <= min(q for q in most if q > 0), "one order closes the position"
    assert min(allowed, denied) > PROPOSALS * len(infos) / 10, (allowed, denied)
