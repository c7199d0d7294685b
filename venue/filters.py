"""What a symbol allows: the filters of ``exchangeInfo`` and what they refuse."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple, Self

from venue.amounts import ZERO, text
from venue.refusals import refused

__all__ = ["Filters"]

_MOST_ORDERS, _MOST_ALGO_ORDERS = 200, 200
"""Where ``exchangeInfo`` does not say."""


class Filters(NamedTuple):
    """The filters of one symbol, and how its numbers are written."""

    symbol: str
    asset: str
    price_decimals: int
    size_decimals: int
    tick: Decimal
    min_price: Decimal
    max_price: Decimal
    step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal
    market_step: Decimal
    market_min: Decimal
    market_max: Decimal
    min_notional: Decimal
    up: Decimal
    down: Decimal
    most_orders: int
    most_algo_orders: int
    liquidation_fee: Decimal
    take_bound: Decimal
    protect: Decimal

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Self:
        """Read them from a symbol of ``exchangeInfo``."""
        filters = {each["filterType"]: each for each in info["filters"]}
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        market, percent = filters.get("MARKET_LOT_SIZE", lot), filters.get("PERCENT_PRICE", {})
        return cls(
            symbol=info["symbol"],
            asset=info["marginAsset"],
            price_decimals=int(info["pricePrecision"]),
            size_decimals=int(info["quantityPrecision"]),
            tick=Decimal(price["tickSize"]),
            min_price=Decimal(price["minPrice"]),
            max_price=Decimal(price["maxPrice"]),
            step=Decimal(lot["stepSize"]),
            min_quantity=Decimal(lot["minQty"]),
            max_quantity=Decimal(lot["maxQty"]),
            market_step=Decimal(market["stepSize"]),
            market_min=Decimal(market["minQty"]),
            market_max=Decimal(market["maxQty"]),
            min_notional=Decimal(filters.get("MIN_NOTIONAL", {}).get("notional") or 0),
            up=Decimal(percent.get("multiplierUp") or 100),
            down=Decimal(percent.get("multiplierDown") or 0),
            most_orders=int(filters.get("MAX_NUM_ORDERS", {}).get("limit") or _MOST_ORDERS),
            most_algo_orders=int(filters.get("MAX_NUM_ALGO_ORDERS", {}).get("limit") or _MOST_ALGO_ORDERS),
            liquidation_fee=Decimal(info.get("liquidationFee") or 0),
            take_bound=Decimal(info.get("marketTakeBound") or 1),
            protect=Decimal(info.get("triggerProtect") or 1),
        )

    def price(self, value: Decimal) -> str:
        """Write a price."""
        return text(value, self.price_decimals)

    def size(self, value: Decimal) -> str:
        """Write a quantity."""
        return text(value, self.size_decimals)

    def check_price(self, price: Decimal) -> None:
        """Refuse a price that PRICE_FILTER does not allow."""
        if price <= ZERO:
            raise refused(-4001)
        if _decimals(price) > self.price_decimals:
            raise refused(-1111)
        if price % self.tick:
            raise refused(-4014)
        if price < self.min_price:
            raise refused(-4013)
        if price > self.max_price:
            raise refused(-4002)

    def check_quantity(self, quantity: Decimal, *, market: bool) -> None:
        """Refuse a quantity that LOT_SIZE or MARKET_LOT_SIZE does not allow."""
        step, least, most = self.step, self.min_quantity, self.max_quantity
        if market:
            step, least, most = self.market_step, self.market_min, self.market_max
        if quantity <= ZERO:
            raise refused(-4003)
        if _decimals(quantity) > self.size_decimals:
            raise refused(-1111)
        if quantity % step:
            raise refused(-4023)
        if quantity < least:
            raise refused(-4004)
        if quantity > most:
            raise refused(-4005)

    def check_notional(self, notional: Decimal) -> None:
        """Refuse less than MIN_NOTIONAL."""
        if notional < self.min_notional:
            raise refused(-4164, self.min_notional)

    def check_limit(self, price: Decimal, mark: Decimal, *, buy: bool) -> None:
        """Refuse a limit price beyond PERCENT_PRICE of the mark price."""
        if buy and price > mark * self.up:
            raise refused(-4016, self.price(mark * self.up))
        if not buy and price < mark * self.down:
            raise refused(-4024, self.price(mark * self.down))

    def check_market(self, best: Decimal, mark: Decimal, *, buy: bool) -> None:
        """Refuse a market order where the other side stands beyond PERCENT_PRICE."""
        if (buy and best > mark * self.up) or (not buy and best < mark * self.down):
            raise refused(-4131)


def _decimals(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
