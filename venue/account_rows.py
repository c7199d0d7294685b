"""The account as REST shows it: balances, positions, brackets and fees."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from venue.amounts import ZERO, text
from venue.arguments import Arguments, required
from venue.holdings import Holding, Holdings
from venue.margin import (
    available,
    cross_profit,
    initial,
    liquidation_price,
    maintenance,
    notional_limit,
    open_order_initial,
    order_notionals,
    position_initial,
)

__all__ = ["AccountRows"]

_BRACKET_LEVERAGE = 125


class AccountRows:
    """Answers what asks for the account.

    Parameters
    ----------
    holdings : Holdings
        The account.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def account_v2(self, _: Arguments) -> dict[str, Any]:
        """Return the account with all its symbols."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "feeBurn": False,
            "tradeGroupId": -1,
            "updateTime": 0,
            "multiAssetsMargin": self._holdings.multi_assets,
            **self._totals(),
            "assets": [self._asset() | {"marginAvailable": True}],
            "positions": [self._position_v2(each) for each in self._holdings.by_symbol.values()],
        }

    def account_v3(self, _: Arguments) -> dict[str, Any]:
        """Return the account with the symbols that have a position or orders."""
        return {
            **self._totals(),
            "assets": [self._asset()],
            "positions": [self._position_v3(each) for each in self._busy()],
        }

    def balance(self, _: Arguments) -> list[dict[str, Any]]:
        """Return the balances."""
        free = text(available(self._holdings))
        return [
            {
                "accountAlias": "SgsR",
                "asset": "USDT",
                "balance": text(self._holdings.wallet),
                "crossWalletBalance": text(self._holdings.cross_wallet),
                "crossUnPnl": text(cross_profit(self._holdings)),
                "availableBalance": free,
                "maxWithdrawAmount": free,
                "marginAvailable": True,
                "updateTime": self._holdings.update_ms,
            }
        ]

    def risk_v2(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the positions, flat ones too."""
        return [self._risk(each) for each in self._asked(params, self._holdings.by_symbol.values())]

    def risk_v3(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the symbols that have a position or orders."""
        return [self._risk_v3(each) for each in self._asked(params, self._busy())]

    def brackets(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the brackets of notional and leverage: one a symbol."""
        bracket = {
            "bracket": 1,
            "initialLeverage": _BRACKET_LEVERAGE,
            "notionalCap": 600_000_000,
            "notionalFloor": 0,
            "maintMarginRatio": float(self._holdings.rates.maintenance),
            "cum": 0.0,
        }
        asked = self._asked(params, self._holdings.by_symbol.values())
        return [{"symbol": each.filters.symbol, "notionalCoef": 1.0, "brackets": [dict(bracket)]} for each in asked]

    def commission(self, params: Arguments) -> dict[str, Any]:
        """Return a symbol's fees."""
        holding = self._holdings.holding(required(params, "symbol"))
        return {
            "symbol": holding.filters.symbol,
            "makerCommissionRate": f"{self._holdings.rates.maker:f}",
            "takerCommissionRate": f"{self._holdings.rates.taker:f}",
            "rpiCommissionRate": f"{self._holdings.rates.maker:f}",
        }

    def config(self, _: Arguments) -> dict[str, Any]:
        """Return the account's settings."""
        return {
            "feeTier": 0,
            "canTrade": True,
            "canDeposit": True,
            "canWithdraw": True,
            "dualSidePosition": self._holdings.hedge_mode,
            "updateTime": 0,
            "multiAssetsMargin": self._holdings.multi_assets,
            "tradeGroupId": -1,
        }

    def symbol_config(self, params: Arguments) -> list[dict[str, Any]]:
        """Return the symbols' settings."""
        return [
            {
                "symbol": each.filters.symbol,
                "marginType": "ISOLATED" if each.isolated else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": each.leverage,
                "maxNotionalValue": str(notional_limit(each)),
            }
            for each in self._asked(params, self._holdings.by_symbol.values())
        ]

    def _asked(self, params: Arguments, every: Iterable[Holding]) -> list[Holding]:
        if not params.get("symbol"):
            return list(every)
        asked = self._holdings.holding(params["symbol"])
        return [each for each in every if each is asked]

    def _busy(self) -> list[Holding]:
        return [each for each in self._holdings.by_symbol.values() if each.position.amount or each.orders]

    def _sums(self) -> Mapping[str, Decimal]:
        every, rate = self._holdings.by_symbol.values(), self._holdings.rates.maintenance
        return {
            "initial": sum((initial(each) for each in every), ZERO),
            "maintenance": sum((maintenance(each, rate) for each in every), ZERO),
            "profit": sum((each.position.profit(each.mark) for each in every), ZERO),
            "position": sum((position_initial(each) for each in every), ZERO),
            "orders": sum((open_order_initial(each) for each in every), ZERO),
        }

    def _totals(self) -> dict[str, str]:
        sums, wallet, free = self._sums(), self._holdings.wallet, available(self._holdings)
        return {
            "totalInitialMargin": text(sums["initial"]),
            "totalMaintMargin": text(sums["maintenance"]),
            "totalWalletBalance": text(wallet),
            "totalUnrealizedProfit": text(sums["profit"]),
            "totalMarginBalance": text(wallet + sums["profit"]),
            "totalPositionInitialMargin": text(sums["position"]),
            "totalOpenOrderInitialMargin": text(sums["orders"]),
            "totalCrossWalletBalance": text(self._holdings.cross_wallet),
            "totalCrossUnPnl": text(cross_profit(self._holdings)),
            "availableBalance": text(free),
            "maxWithdrawAmount": text(free),
        }

    def _asset(self) -> dict[str, Any]:
        sums, wallet, free = self._sums(), self._holdings.wallet, available(self._holdings)
        return {
            "asset": "USDT",
            "walletBalance": text(wallet),
            "unrealizedProfit": text(sums["profit"]),
            "marginBalance": text(wallet + sums["profit"]),
            "maintMargin": text(sums["maintenance"]),
            "initialMargin": text(sums["initial"]),
            "positionInitialMargin": text(sums["position"]),
            "openOrderInitialMargin": text(sums["orders"]),
            "crossWalletBalance": text(self._holdings.cross_wallet),
            "crossUnPnl": text(cross_profit(self._holdings)),
            "availableBalance": text(free),
            "maxWithdrawAmount": text(free),
            "updateTime": self._holdings.update_ms,
        }

    def _margins(self, holding: Holding) -> dict[str, str]:
        return {
            "initialMargin": text(initial(holding)),
            "maintMargin": text(maintenance(holding, self._holdings.rates.maintenance)),
        }

    def _position_v2(self, holding: Holding) -> dict[str, Any]:
        bids, asks = order_notionals(holding)
        return {
            "symbol": holding.filters.symbol,
            **self._margins(holding),
            "unrealizedProfit": text(holding.position.profit(holding.mark)),
            "positionInitialMargin": text(position_initial(holding)),
            "openOrderInitialMargin": text(open_order_initial(holding)),
            "leverage": str(holding.leverage),
            "isolated": holding.isolated,
            "entryPrice": text(holding.position.entry),
            "breakEvenPrice": text(holding.position.break_even),
            "maxNotional": str(notional_limit(holding)),
            "positionSide": "BOTH",
            "positionAmt": holding.filters.size(holding.position.amount),
            "notional": text(holding.position.amount * holding.mark),
            "isolatedWallet": text(holding.position.isolated_wallet),
            "updateTime": holding.position.update_ms,
            "bidNotional": text(bids),
            "askNotional": text(asks),
        }

    def _position_v3(self, holding: Holding) -> dict[str, Any]:
        return {
            "symbol": holding.filters.symbol,
            "positionSide": "BOTH",
            "positionAmt": holding.filters.size(holding.position.amount),
            "unrealizedProfit": text(holding.position.profit(holding.mark)),
            "isolatedMargin": _isolated_margin(holding),
            "notional": text(holding.position.amount * holding.mark),
            "isolatedWallet": text(holding.position.isolated_wallet),
            **self._margins(holding),
            "updateTime": holding.position.update_ms,
        }

    def _risk(self, holding: Holding) -> dict[str, Any]:
        position = holding.position
        return {
            "symbol": holding.filters.symbol,
            "positionAmt": holding.filters.size(position.amount),
            "entryPrice": text(position.entry),
            "breakEvenPrice": text(position.break_even),
            "markPrice": text(holding.mark),
            "unRealizedProfit": text(position.profit(holding.mark)),
            "liquidationPrice": text(liquidation_price(self._holdings, holding)) if position.amount else "0",
            "leverage": str(holding.leverage),
            "maxNotionalValue": str(notional_limit(holding)),
            "marginType": "isolated" if holding.isolated else "cross",
            "isolatedMargin": _isolated_margin(holding),
            "isAutoAddMargin": "false",
            "positionSide": "BOTH",
            "notional": text(position.amount * holding.mark),
            "isolatedWallet": text(position.isolated_wallet),
            "updateTime": position.update_ms,
        }

    def _risk_v3(self, holding: Holding) -> dict[str, Any]:
        row = self._risk(holding)
        for name in ("leverage", "maxNotionalValue", "marginType", "isAutoAddMargin"):
            del row[name]
        bids, asks = order_notionals(holding)
        return row | {
            "marginAsset": "USDT",
            **self._margins(holding),
            "positionInitialMargin": text(position_initial(holding)),
            "openOrderInitialMargin": text(open_order_initial(holding)),
            "adl": 1 if holding.position.amount else 0,
            "bidNotional": text(bids),
            "askNotional": text(asks),
        }


def _isolated_margin(holding: Holding) -> str:
    if not holding.isolated:
        return text(ZERO)
    return text(holding.position.isolated_wallet + holding.position.profit(holding.mark))
