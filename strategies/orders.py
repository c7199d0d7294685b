"""Orders between the engine's words and ours: lots and ticks there and back."""

from decimal import Decimal
from typing import Any

from nautilus_trader.model import (
    ClientOrderId,
    ExecAlgorithmId,
    InstrumentId,
    OrderFilled,
    OrderSide,
    OrderStatus,
    Price,
    Quantity,
)

from core.commands import Submit
from core.orders import lots_to_quantity
from core.slices import parent_of
from core.trader import Fill, OpenOrder
from strategies.execution import SLICER

__all__ = ["OrderDesk", "is_slice"]

_ENDS = {
    OrderStatus.FILLED: "filled",
    OrderStatus.CANCELED: "canceled",
    OrderStatus.EXPIRED: "expired",
    OrderStatus.REJECTED: "rejected",
    OrderStatus.DENIED: "denied",
}
_WORKING = {OrderStatus.ACCEPTED, OrderStatus.TRIGGERED, OrderStatus.PARTIALLY_FILLED}


def is_slice(order_id: ClientOrderId) -> bool:
    """Return whether an order is a slice: the execution algorithm's business."""
    name = str(order_id)
    return parent_of(name) != name


class OrderDesk:
    """One instrument's conversions: ``lot`` and ``tick`` are decimal strings."""

    def __init__(self, instrument_id: str, lot: str, tick: str) -> None:
        self.instrument_id = InstrumentId.from_str(instrument_id)
        self._lot = Decimal(lot)
        self._tick = Decimal(tick)

    def lots(self, quantity: Quantity) -> int:
        """Return a quantity in lots."""
        return round(quantity.as_decimal() / self._lot)

    def ticks(self, price: Price | None) -> int:
        """Return a price in ticks, 0 for none."""
        return 0 if price is None else round(price.as_decimal() / self._tick)

    def quantity(self, lots: int) -> Quantity:
        """Return the engine's quantity of lots."""
        return Quantity.from_decimal(lots_to_quantity(lots, self._lot))

    def size(self, lots: int) -> Decimal:
        """Return signed lots in base asset."""
        return lots * self._lot

    def counted(self, amount: str) -> int:
        """Return an amount of base asset, a decimal string, in lots."""
        return round(Decimal(amount) / self._lot)

    def price(self, ticks: int) -> Price:
        """Return the engine's price of ticks."""
        return Price.from_decimal(ticks * self._tick)

    def build(self, command: Submit, factory: Any) -> Any:
        """Return the engine's order for a command; sliced styles are left to the execution algorithm."""
        side = OrderSide.BUY if command.side > 0 else OrderSide.SELL
        name = ClientOrderId(command.order_id)
        quantity = self.quantity(command.lots)
        if command.style == "stop":
            trigger = self.price(command.trigger_ticks)
            return factory.stop_market(
                self.instrument_id, side, quantity, trigger, reduce_only=True, client_order_id=name
            )
        if command.style == "market":
            return factory.market(
                self.instrument_id, side, quantity, reduce_only=command.reduce_only, client_order_id=name
            )
        return factory.market(
            self.instrument_id,
            side,
            quantity,
            reduce_only=command.reduce_only,
            exec_algorithm_id=ExecAlgorithmId(SLICER),
            exec_algorithm_params={"style": command.style, "arrival": repr(command.arrival_price)},
            client_order_id=name,
        )

    def fill(self, event: OrderFilled, fee: float) -> Fill:
        """Return a fill in our words; one whose commission was not told has paid ``fee``, a fraction of notional."""
        price = float(event.last_px.as_decimal())
        paid = float(event.commission.as_decimal()) if event.commission is not None else 0.0
        if event.commission is None or (event.reconciliation and paid == 0.0):  # of a fill that was only inferred
            paid = fee * float(event.last_qty.as_decimal()) * price
        return Fill(
            order_id=str(event.client_order_id),
            trade_id=str(event.trade_id),
            side=1 if event.order_side == OrderSide.BUY else -1,
            lots=self.lots(event.last_qty),
            price=price,
            commission=paid,
            ts_event=event.ts_event,
        )

    def held(self, cache: Any) -> tuple[int, float]:
        """Return what the engine holds of the instrument: signed lots, and their average price (0 where flat)."""
        lots, worth = 0, 0.0
        for position in cache.positions_open(instrument_id=self.instrument_id):
            size = self.lots(position.quantity) * (1 if position.is_long else -1)
            lots += size
            worth += size * float(position.avg_px_open)
        return lots, worth / lots if lots != 0 else 0.0

    def open_orders(self, cache: Any) -> tuple[OpenOrder, ...]:
        """Return what is open of the instrument, whoever sent it."""
        return tuple(
            OpenOrder(
                order_id=str(order.client_order_id),
                side=1 if order.side == OrderSide.BUY else -1,
                lots=self.lots(order.quantity),
                filled_lots=self.lots(order.filled_qty),
                trigger_ticks=self.ticks(getattr(order, "trigger_price", None)),
                reduce_only=bool(order.is_reduce_only),
            )
            for order in cache.orders_open(instrument_id=self.instrument_id)
        )

    def status(self, order: Any) -> tuple[str, int, float]:
        """Return what the engine knows of an order: status, lots filled, their average price.

        The status is ``absent`` where it never had the order, empty where it waits for an answer itself.
        """
        if order is None:
            return "absent", 0, 0.0
        average = float(order.avg_px) if order.avg_px is not None else 0.0
        word = "working" if order.status in _WORKING else _ENDS.get(order.status, "")
        return word, self.lots(order.filled_qty), average
