"""What becomes an order and what is refused: parameters, filters, position side, reduce-only, margin."""

from decimal import Decimal

from venue.amounts import ZERO
from venue.arguments import Arguments, client_id, decimal, flag, integer, required
from venue.holdings import Holding, Holdings
from venue.margin import available, initial, notional_limit
from venue.orders import Order
from venue.refusals import refused

__all__ = ["CONDITIONAL", "check_margin", "check_side", "limit_price", "new_order", "reduced"]

CONDITIONAL = frozenset({"STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"})
_KINDS = frozenset({"LIMIT", "MARKET"})
_IN_FORCE = frozenset({"GTC", "IOC", "FOK", "GTX", "GTD"})
_ASSUMED_SLIPPAGE = Decimal("1.0005")
"""A market order's cost is reckoned a little above the best ask."""
_GTD_MS = 600_000
_TICKS = {"": 0, "5": 5, "10": 10, "20": 20}


def check_side(holdings: Holdings, params: Arguments) -> str:
    """Return the side of an order; its position side must be that of the account's mode."""
    position_side = required(params, "positionSide", ("BOTH", "LONG", "SHORT")) if params.get("positionSide") else ""
    if holdings.hedge_mode and position_side in {"LONG", "SHORT"}:
        raise refused(-1020)
    if holdings.hedge_mode or position_side in {"LONG", "SHORT"}:
        raise refused(-4061)
    return required(params, "side", ("BUY", "SELL"), -1117)


def new_order(holdings: Holdings, params: Arguments) -> tuple[Holding, Order]:
    """Return the order that parameters describe, not yet in force.

    Raises
    ------
    VenueError
        For everything but margin and what the book decides.
    """
    holding = holdings.holding(required(params, "symbol"))
    form = holding.filters
    side, kind = check_side(holdings, params), required(params, "type")
    if kind in CONDITIONAL:
        raise refused(-4120)
    if kind not in _KINDS:
        raise refused(-1116)
    if flag(params, "closePosition"):
        raise refused(-4136, kind)
    name = client_id(params, "newClientOrderId")
    if name and any(each.client_id == name for one in holdings.by_symbol.values() for each in one.orders.values()):
        raise refused(-4116)
    quantity = decimal(params, "quantity")
    if quantity is None:
        raise refused(-1102, "quantity")
    form.check_quantity(quantity, market=kind == "MARKET")
    order = Order(
        form,
        order_id=0,
        client_id=name,
        side=side,
        kind=kind,
        quantity=quantity,
        reduce_only=flag(params, "reduceOnly"),
        stp=str(params.get("selfTradePreventionMode") or "EXPIRE_MAKER"),
    )
    for useless in ("stopPrice", "triggerPrice", "activationPrice", "callbackRate"):
        if params.get(useless):
            raise refused(-1106, useless)
    if kind == "MARKET":
        for useless in ("price", "timeInForce"):
            if params.get(useless):
                raise refused(-1106, useless)
        form.check_market(holding.quoted().best(buy=order.buy), holding.mark, buy=order.buy)
    else:
        order.tif = required(params, "timeInForce", _IN_FORCE, -1115)
        order.good_till_ms = _good_till(holdings, params, order.tif)
        order.price_match = str(params.get("priceMatch") or "NONE")
        order.price = limit_price(holding, params, buy=order.buy)
    reduced(holding, order)
    if not order.reduce_only:
        form.check_notional(quantity * (order.price or holding.mark))
    return holding, order


def limit_price(holding: Holding, params: Arguments, *, buy: bool) -> Decimal:
    """Return the price of a limit order, as given or as matched to the book."""
    price, match = decimal(params, "price"), str(params.get("priceMatch") or "NONE")
    if match != "NONE":
        if price is not None:
            raise refused(-1106, "price")
        price = _matched(holding, match, buy=buy)
    if price is None:
        raise refused(-1102, "price")
    holding.filters.check_price(price)
    holding.quoted()
    holding.filters.check_limit(price, holding.mark, buy=buy)
    return price


def reduced(holding: Holding, order: Order) -> None:
    """Cut a reduce-only order to what it can reduce; refuse it where that is nothing."""
    if order.reduce_only:
        reducible = holding.position.reducible(buy=order.buy)
        if not reducible:
            raise refused(-2022)
        order.quantity = min(order.quantity, reducible)


def check_margin(holdings: Holdings, holding: Holding, order: Order) -> None:
    """Refuse an order that the account can't pay: initial margin, loss at once against the mark price, taker fee."""
    opening = order.left - holding.position.reducible(buy=order.buy)
    if order.reduce_only or opening <= ZERO:
        return
    depth = holding.quoted()
    assumed = order.price or (depth.ask * _ASSUMED_SLIPPAGE if order.buy else depth.bid)
    notional = order.left * assumed
    resulting = abs(holding.position.amount + (order.left if order.buy else -order.left)) * holding.mark
    if resulting > notional_limit(holding):
        raise refused(-2027)
    with_it = initial(holding, bids=notional if order.buy else ZERO, asks=ZERO if order.buy else notional)
    loss = max(ZERO, (assumed - holding.mark) if order.buy else (holding.mark - assumed)) * opening
    if with_it - initial(holding) + loss + opening * assumed * holdings.rates.taker > available(holdings):
        raise refused(-2019)


def _good_till(holdings: Holdings, params: Arguments, tif: str) -> int:
    if tif != "GTD":
        return 0
    moment = integer(params, "goodTillDate", 0)
    if not moment:
        raise refused(-1102, "goodTillDate")
    if moment < holdings.real_ms() + _GTD_MS:
        raise refused(-5040)
    return moment // 1_000 * 1_000


def _matched(holding: Holding, match: str, *, buy: bool) -> Decimal:
    """Return the price that ``priceMatch`` names: the other side's or the own side's n-th level."""
    name, _, levels = match.partition("_")
    if name not in {"OPPONENT", "QUEUE"} or levels not in _TICKS:
        raise refused(-1130, "priceMatch")
    depth = holding.quoted()
    away = max(0, _TICKS[levels] - 1) * holding.filters.tick
    if name == "OPPONENT":
        return depth.ask + away if buy else depth.bid - away
    return depth.bid - away if buy else depth.ask + away
