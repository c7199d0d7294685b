"""Settings of the account: leverage, margin type, position mode, margin that is moved by hand."""

from decimal import Decimal
from typing import Any

from venue.amounts import ZERO
from venue.arguments import Arguments, decimal, flag, optional_integer, required
from venue.holdings import Holding, Holdings
from venue.margin import available, initial, notional_limit
from venue.refusals import refused
from venue.user_events import account_update, config_update

__all__ = ["Settings"]

_MOST_LEVERAGE = 125
_DONE = {"code": 200, "msg": "success"}


class Settings:
    """Answers what changes or shows them.

    Parameters
    ----------
    holdings : Holdings
        The account.
    """

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    def leverage(self, params: Arguments) -> dict[str, Any]:
        """Change a symbol's leverage."""
        holding = self._holdings.holding(required(params, "symbol"))
        wanted = optional_integer(params, "leverage")
        if wanted is None:
            raise refused(-1102, "leverage")
        if not 1 <= wanted <= _MOST_LEVERAGE:
            raise refused(-4028, wanted)
        self._check_lower(holding, wanted)
        holding.leverage = wanted
        symbol = holding.filters.symbol
        self._holdings.events.append(config_update(symbol, wanted, self._holdings.now_ms()))
        self._holdings.note("leverage", symbol=symbol, leverage=wanted)
        return {"leverage": wanted, "maxNotionalValue": str(notional_limit(holding)), "symbol": symbol}

    def margin_type(self, params: Arguments) -> dict[str, Any]:
        """Change a symbol's margin type: ISOLATED or CROSSED."""
        holding = self._holdings.holding(required(params, "symbol"))
        wanted = required(params, "marginType", ("ISOLATED", "CROSSED")) == "ISOLATED"
        if wanted and self._holdings.multi_assets:
            raise refused(-4168)
        if wanted == holding.isolated:
            raise refused(-4046)
        if holding.orders or holding.algos:
            raise refused(-4047)
        if holding.position.amount:
            raise refused(-4048)
        holding.isolated = wanted
        self._holdings.events.append(account_update(self._holdings, "MARGIN_TYPE_CHANGE", [holding], balance=False))
        self._holdings.note("margin_type", symbol=holding.filters.symbol, isolated=wanted)
        return dict(_DONE)

    def position_mode(self, _: Arguments) -> dict[str, Any]:
        """Tell the position mode."""
        return {"dualSidePosition": self._holdings.hedge_mode}

    def set_position_mode(self, params: Arguments) -> dict[str, Any]:
        """Change the position mode; in hedge mode this exchange shows settings, but takes no orders."""
        required(params, "dualSidePosition")
        wanted = flag(params, "dualSidePosition")
        if wanted == self._holdings.hedge_mode:
            raise refused(-4059)
        if any(each.orders or each.algos for each in self._holdings.by_symbol.values()):
            raise refused(-4067)
        if any(each.position.amount for each in self._holdings.by_symbol.values()):
            raise refused(-4068)
        self._holdings.hedge_mode = wanted
        self._holdings.note("position_mode", hedge=wanted)
        return dict(_DONE)

    def assets_mode(self, _: Arguments) -> dict[str, Any]:
        """Tell whether several assets are margin."""
        return {"multiAssetsMargin": self._holdings.multi_assets}

    def set_assets_mode(self, params: Arguments) -> dict[str, Any]:
        """Change whether several assets are margin; there is only one here."""
        required(params, "multiAssetsMargin")
        wanted = flag(params, "multiAssetsMargin")
        if wanted == self._holdings.multi_assets:
            raise refused(-4171)
        if wanted and any(each.isolated for each in self._holdings.by_symbol.values()):
            raise refused(-4168)
        self._holdings.multi_assets = wanted
        return dict(_DONE)

    def position_margin(self, params: Arguments) -> dict[str, Any]:
        """Move margin to (type 1) or from (type 2) an isolated position."""
        holding = self._holdings.holding(required(params, "symbol"))
        amount, kind = decimal(params, "amount"), required(params, "type", ("1", "2"))
        if amount is None or amount <= ZERO:
            raise refused(-1102, "amount")
        if not holding.isolated or not holding.position.amount:
            raise refused(-4054)
        self._move_margin(holding, amount if kind == "1" else -amount)
        return {"amount": float(amount), "code": 200, "msg": "Successfully modify position margin.", "type": int(kind)}

    def _move_margin(self, holding: Holding, amount: Decimal) -> None:
        position = holding.position
        if amount > available(self._holdings):
            raise refused(-4050)
        free = position.isolated_wallet + min(ZERO, position.profit(holding.mark)) - initial(holding)
        if -amount > free:
            raise refused(-4051)
        position.isolated_wallet += amount
        self._holdings.cross_wallet -= amount
        self._holdings.events.append(account_update(self._holdings, "MARGIN_TRANSFER", [holding]))
        self._holdings.note("position_margin", symbol=holding.filters.symbol, amount=f"{amount:f}")

    def _check_lower(self, holding: Holding, wanted: int) -> None:
        """Refuse a leverage below the present one where a position could not carry it."""
        if wanted >= holding.leverage:
            return
        if holding.isolated and holding.position.amount:
            raise refused(-4161)
        now = initial(holding)
        if now * holding.leverage / wanted - now > available(self._holdings):
            raise refused(-2028)
