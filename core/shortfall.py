"""Implementation shortfall: what an order cost against the price at which it was decided.

References
----------
Perold, A. F. (1988). The implementation shortfall: paper versus reality. Journal of Portfolio Management 14 (3).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.fills import Fills
from core.slices import parent_of

__all__ = ["Shortfall", "ShortfallSummary", "shortfall", "shortfall_by_parent", "summarised"]

FloatArray = npt.NDArray[np.float64]


class Shortfall(NamedTuple):
    """Costs in bps of the notional decided; positive is a cost.

    ``delay`` what the market moved from the decision to the order's arrival, ``impact`` from the arrival to the fills
    (spread and impact), both of what was filled; ``fees``; ``opportunity`` what the market moved away from what was
    not filled; ``filled`` share of the order.
    """

    delay: float
    impact: float
    fees: float
    opportunity: float
    filled: float

    @property
    def price(self) -> float:
        """What the fills cost, fees and the unfilled part left out."""
        return self.delay + self.impact

    @property
    def total(self) -> float:
        """The paper portfolio's result less the real one's."""
        return self.delay + self.impact + self.fees + self.opportunity


class ShortfallSummary(NamedTuple):
    """Shortfalls of several orders, in bps: ``low`` and ``high`` are the 5 % and 95 % quantiles."""

    orders: int
    median: float
    mean: float
    low: float
    high: float


def shortfall(
    *,
    side: int,
    wanted: float,
    decision_price: float,
    arrival_price: float,
    quantity: FloatArray,
    price: FloatArray,
    fees: float,
    ending_price: float,
) -> Shortfall:
    """Return the implementation shortfall of one order.

    Parameters
    ----------
    side : int
        +1 buy, -1 sell.
    wanted : float
        Quantity decided, base asset, unsigned.
    decision_price, arrival_price, ending_price : float
        The market at the decision, when the order reached it, and when the order was over; quote currency.
    quantity, price : float64[n]
        Of the fills, unsigned.
    fees : float
        Paid for all fills, quote currency.
    """
    notional = wanted * decision_price
    filled = float(np.sum(quantity))
    paid = float(np.sum(quantity * price))
    bps = 1e4 / notional
    return Shortfall(
        delay=side * filled * (arrival_price - decision_price) * bps,
        impact=side * (paid - filled * arrival_price) * bps,
        fees=fees * bps,
        opportunity=side * (wanted - filled) * (ending_price - decision_price) * bps,
        filled=filled / wanted,
    )


def shortfall_by_parent(fills: Fills, order_ids: Sequence[str]) -> dict[str, Shortfall]:
    """Return the shortfall of what was filled of every order, slices counted for their parent.

    The recorded arrival price of the first fill is taken for the decision's; what was not filled is not in fills.
    """
    rows: dict[str, list[int]] = {}
    for row, order_id in enumerate(order_ids):
        rows.setdefault(parent_of(order_id), []).append(row)
    found = {}
    for parent, own in rows.items():
        quantity, arrival = np.abs(fills.quantity[own]), float(fills.arrival_price[own[0]])
        found[parent] = shortfall(
            side=1 if fills.quantity[own[0]] > 0.0 else -1,
            wanted=float(np.sum(quantity)),
            decision_price=arrival,
            arrival_price=arrival,
            quantity=quantity,
            price=fills.price[own],
            fees=float(np.sum(fills.commission[own])),
            ending_price=arrival,
        )
    return found


def summarised(costs: Sequence[float]) -> ShortfallSummary | None:
    """Return how shortfalls are spread, in bps; None without any."""
    if not costs:
        return None
    values = np.asarray(costs, dtype=np.float64)
    low, median, high = np.quantile(values, (0.05, 0.5, 0.95))
    return ShortfallSummary(len(values), float(median), float(np.mean(values)), float(low), float(high))
