"""What positions and orders need of the wallet, and at which price they end: closed forms, one bracket a symbol.

Notation of Binance's liquidation protocol: wallet balance WB, position q of side s, entry price EP, maintenance rate
MMR. A long is closed where its margin is no more than its maintenance: WB + q (P - EP) = q P MMR.
"""

from decimal import Decimal

from venue.amounts import ZERO, money
from venue.holdings import Holding, Holdings

__all__ = [
    "available",
    "cross_maintenance",
    "cross_profit",
    "initial",
    "liquidation_price",
    "maintenance",
    "notional_limit",
    "open_order_initial",
    "order_notionals",
    "position_initial",
]

_MOST_NOTIONAL = 600_000_000


def notional_limit(holding: Holding) -> int:
    """Return the largest notional that the leverage allows."""
    return _MOST_NOTIONAL // holding.leverage


def order_notionals(holding: Holding) -> tuple[Decimal, Decimal]:
    """Return the notionals of bids and of asks that can make the position larger."""
    bids = sum((each.left * each.price for each in holding.orders.values() if each.buy and not each.reduce_only), ZERO)
    asks = sum(
        (each.left * each.price for each in holding.orders.values() if not each.buy and not each.reduce_only), ZERO
    )
    return bids, asks


def position_initial(holding: Holding) -> Decimal:
    """Return the initial margin of a position at the mark price."""
    return money(abs(holding.position.amount) * holding.mark / holding.leverage)


def initial(holding: Holding, *, bids: Decimal = ZERO, asks: Decimal = ZERO) -> Decimal:
    """Return the initial margin of a position and its orders, and of bids or asks to come: the worse side counts."""
    held = holding.position.amount * holding.mark
    resting_bids, resting_asks = order_notionals(holding)
    worst = max(abs(held), abs(held + resting_bids + bids), abs(held - resting_asks - asks))
    return money(worst / holding.leverage)


def open_order_initial(holding: Holding) -> Decimal:
    """Return what orders add to the initial margin."""
    return initial(holding) - position_initial(holding)


def maintenance(holding: Holding, rate: Decimal) -> Decimal:
    """Return the maintenance margin of a position."""
    return money(abs(holding.position.amount) * holding.mark * rate)


def cross_profit(holdings: Holdings) -> Decimal:
    """Return the unrealised profit of positions in cross margin."""
    crossed = (each for each in holdings.by_symbol.values() if not each.isolated)
    return sum((each.position.profit(each.mark) for each in crossed), ZERO)


def cross_maintenance(holdings: Holdings) -> Decimal:
    """Return the maintenance margin of positions in cross margin."""
    rate = holdings.rates.maintenance
    return sum((maintenance(each, rate) for each in holdings.by_symbol.values() if not each.isolated), ZERO)


def available(holdings: Holdings) -> Decimal:
    """Return what new orders may use: the cross wallet, less what positions and orders need of it; >= 0."""
    needed = ZERO
    for each in holdings.by_symbol.values():
        needed += open_order_initial(each) if each.isolated else initial(each)
    return max(ZERO, holdings.cross_wallet + cross_profit(holdings) - needed)


def liquidation_price(holdings: Holdings, holding: Holding) -> Decimal:
    """Return the mark price at which a position ends, 0 where there is none above zero."""
    position, rate = holding.position, holdings.rates.maintenance
    if not position.amount:
        return ZERO
    if holding.isolated:
        balance = position.isolated_wallet
    else:
        others = cross_profit(holdings) - position.profit(holding.mark)
        others -= cross_maintenance(holdings) - maintenance(holding, rate)
        balance = holdings.cross_wallet + others
    direction = 1 if position.amount > 0 else -1
    return max(ZERO, (balance - position.cost) / (abs(position.amount) * (rate - direction)))
