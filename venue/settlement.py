"""What fills, funding and liquidations do to position and wallet: every change of money is booked as income here.

Isolated margin: opening sets price x quantity / leverage aside from the cross wallet, closing gives back its share;
profit and fees are the cross wallet's. A liquidation costs an isolated position no more than what was set aside: the
insurance fund takes the liquidation fee from what is left, and makes good what is missing.
"""

from decimal import Decimal

from venue.amounts import ZERO, money
from venue.holdings import Holding, Holdings, Trade
from venue.orders import Order
from venue.user_events import account_update, order_update, trade_lite

__all__ = ["clear_insurance", "fill", "pay_funding"]


def fill(
    holdings: Holdings,
    holding: Holding,
    order: Order,
    *,
    price: Decimal,
    quantity: Decimal,
    maker: bool,
    execution: str = "TRADE",
) -> Trade:
    """Fill a part of an order, book it and tell."""
    now, real = holdings.now_ms(), holdings.real_ms()
    order.fill(quantity, price, execution)
    order.update_ms = now
    if not order.live:
        holding.orders.pop(order.order_id, None)
    realized = _trade(holdings, holding, quantity if order.buy else -quantity, price)
    commission = money(price * quantity * (holdings.rates.maker if maker else holdings.rates.taker))
    holdings.cross_wallet += realized - commission
    position, symbol = holding.position, holding.filters.symbol
    position.paid += commission if position.amount else ZERO
    position.update_ms = now
    trade = Trade(holdings.next_trade(), order, price, quantity, commission, realized, maker, now, real)
    holdings.trades.append(trade)
    if realized:
        holdings.book("REALIZED_PNL", symbol, realized, trade_id=trade.trade_id)
    holdings.book("COMMISSION", symbol, -commission, trade_id=trade.trade_id)
    holdings.events += [
        trade_lite(trade),
        account_update(holdings, "ORDER", [holding]),
        order_update(holding, order, execution, now, trade),
    ]
    holdings.note(
        "fill",
        symbol=symbol,
        order_id=order.order_id,
        client_order_id=order.client_id,
        trade_id=trade.trade_id,
        side=order.side,
        price=f"{price:f}",
        quantity=f"{quantity:f}",
        commission=f"{commission:f}",
        realized=f"{realized:f}",
        maker=maker,
        reduce_only=order.reduce_only,
        status=order.status,
        position=f"{position.amount:f}",
        wallet=f"{holdings.wallet:f}",
    )
    return trade


def pay_funding(holdings: Holdings, holding: Holding, rate: Decimal, mark: Decimal) -> None:
    """Pay (or take) funding: position x mark x rate."""
    position, symbol = holding.position, holding.filters.symbol
    if not position.amount:
        return
    amount = -money(position.amount * mark * rate)
    if holding.isolated:
        position.isolated_wallet += amount
    else:
        holdings.cross_wallet += amount
    holdings.book("FUNDING_FEE", symbol, amount)
    told = [holding] if holding.isolated else []
    holdings.events.append(account_update(holdings, "FUNDING_FEE", told, change=amount))
    holdings.note(
        "funding",
        symbol=symbol,
        rate=f"{rate:f}",
        mark=f"{mark:f}",
        amount=f"{amount:f}",
        position=f"{position.amount:f}",
        wallet=f"{holdings.wallet:f}",
    )


def clear_insurance(holdings: Holdings, holding: Holding, left: Decimal, notional: Decimal) -> None:
    """Settle with the insurance fund what a liquidation left of the margin: its fee, or what is missing."""
    amount = -min(left, money(notional * holding.filters.liquidation_fee)) if left >= ZERO else -left
    if not amount:
        return
    holdings.cross_wallet += amount
    holdings.book("INSURANCE_CLEAR", holding.filters.symbol, amount)
    holdings.events.append(account_update(holdings, "INSURANCE_CLEAR", [], change=amount))
    holdings.note("insurance", symbol=holding.filters.symbol, amount=f"{amount:f}", wallet=f"{holdings.wallet:f}")


def _trade(holdings: Holdings, holding: Holding, signed: Decimal, price: Decimal) -> Decimal:
    """Change the position, and what is set aside for it; return the realised profit."""
    position = holding.position
    before, opened = position.amount, abs(signed)
    released = ZERO
    if before * signed < 0:
        closed = min(abs(before), abs(signed))
        opened -= closed
        whole = closed == abs(before)
        released = position.isolated_wallet if whole else money(position.isolated_wallet * closed / abs(before))
    realized = position.trade(signed, price)
    set_aside = money(opened * price / holding.leverage) if holding.isolated else ZERO
    position.isolated_wallet += set_aside - released
    holdings.cross_wallet += released - set_aside
    return realized
