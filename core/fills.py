"""What fills say: round trips from flat to flat, what trading cost, and what it may cost at most.

Money in quote currency, profits net of fees; a fee or a slippage ``>= 0`` is a cost; what is undefined is ``None``.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "CostedResult",
    "Fills",
    "RoundTrip",
    "average_holding_seconds",
    "break_even_fee_bps",
    "cost_sensitivity",
    "notional",
    "profit_factor",
    "round_trips",
    "slippage_bps",
    "win_rate",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FLAT = 1e-9
"""Share of a quantity below which it is rounding of decimals held as floats."""


class Fills(NamedTuple):
    """Fills in time order, columns of length n.

    ``ts`` ns UTC; ``instrument_id`` names; ``quantity`` signed, base asset, positive for a buy; ``price`` and
    ``arrival_price`` (the price when the order was decided; a stop's trigger) and ``commission`` in quote currency.
    """

    ts: IntArray
    instrument_id: Sequence[str]
    quantity: FloatArray
    price: FloatArray
    commission: FloatArray
    arrival_price: FloatArray


class RoundTrip(NamedTuple):
    """A position from flat to flat.

    ``side`` +1 long, -1 short; ``quantity`` the most that was held; ``entry_price`` and ``exit_price`` averages;
    ``profit`` net of ``fees`` (funding is not part of it); ``last_fill`` the row of the fill that closed it.
    """

    instrument_id: str
    side: int
    ts_entry: int
    ts_exit: int
    quantity: float
    entry_price: float
    exit_price: float
    profit: float
    fees: float
    last_fill: int


class CostedResult(NamedTuple):
    """An outcome at a multiple of the costs: ending equity (quote currency) and total return (fraction)."""

    multiple: float
    ending_equity: float
    total_return: float


def round_trips(fills: Fills) -> list[RoundTrip]:
    """Return the positions that were closed, in the order in which they were.

    Notes
    -----
    From flat to flat, what came in less what went out is the profit whatever the accounting (average price, FIFO).
    A fill that crosses zero closes one round trip and opens the next, its commission shared by quantity. A position
    still open at the end is in the equity curve but not here.
    """
    books: dict[str, _Book] = {}
    done: list[RoundTrip] = []
    for row in range(len(fills.ts)):
        name, ts = fills.instrument_id[row], int(fills.ts[row])
        quantity, price = float(fills.quantity[row]), float(fills.price[row])
        commission = float(fills.commission[row])
        book = books.get(name)
        left = quantity
        if book is not None and book.side * quantity < 0.0:
            closing = min(abs(quantity), book.held)
            share = closing / abs(quantity)
            book.reduce(closing, price, commission * share)
            left = quantity - np.sign(quantity) * closing
            if book.flat:
                done.append(book.closed(name, ts, row))
                del books[name]
                book = None
            if abs(left) <= _FLAT * abs(quantity):
                continue
            commission *= 1.0 - share
        if book is None:
            book = books[name] = _Book(1 if left > 0.0 else -1, ts)
        book.increase(abs(left), price, commission)
    return done


def win_rate(trips: Sequence[RoundTrip]) -> float | None:
    """Return the fraction of round trips with a profit after fees; ``None`` without any."""
    return sum(trip.profit > 0.0 for trip in trips) / len(trips) if trips else None


def profit_factor(trips: Sequence[RoundTrip]) -> float | None:
    """Return the sum of gains over the sum of losses, after fees; ``None`` without losses."""
    losses = -sum(trip.profit for trip in trips if trip.profit < 0.0)
    return sum(trip.profit for trip in trips if trip.profit > 0.0) / losses if losses > 0.0 else None


def average_holding_seconds(trips: Sequence[RoundTrip]) -> float | None:
    """Return the mean time from entry to exit in seconds; ``None`` without round trips."""
    return sum(trip.ts_exit - trip.ts_entry for trip in trips) / len(trips) / 1e9 if trips else None


def notional(fills: Fills) -> float:
    """Return what was traded, both sides counted, in quote currency."""
    return float(np.sum(np.abs(fills.quantity) * fills.price))


def slippage_bps(fills: Fills) -> float | None:
    """Return what fills cost against their arrival price, in bps of the arrival notional; ``None`` without fills.

    Spread, modelled slippage and what the market moved between decision and fill are all in it. Positive is a cost.
    """
    arrived = float(np.sum(np.abs(fills.quantity) * fills.arrival_price))
    cost = float(np.sum(fills.quantity * (fills.price - fills.arrival_price)))
    return cost / arrived * 1e4 if arrived > 0.0 else None


def break_even_fee_bps(*, net_profit: float, fees: float, traded: float) -> float | None:
    """Return the fee, in bps of notional, at which these fills would have earned nothing.

    Parameters
    ----------
    net_profit, fees : float
        Quote currency; the profit has funding in it and the fees taken off.
    traded : float
        Notional, quote currency.

    Returns
    -------
    float | None
        Negative where the fills lose even without a fee; ``None`` where nothing was traded.
    """
    return (net_profit + fees) / traded * 1e4 if traded > 0.0 else None


def cost_sensitivity(
    *, starting_equity: float, ending_equity: float, costs: float, multiples: Sequence[float] = (0.5, 1.0, 2.0)
) -> list[CostedResult]:
    """Return the result if every cost had been a multiple of what it was, to first order.

    Parameters
    ----------
    starting_equity, ending_equity : float
        Quote currency, ``starting_equity > 0``.
    costs : float
        What was paid in fees, spread and modelled slippage, quote currency.
    multiples : Sequence[float]
        Multiples of ``costs``.

    Notes
    -----
    The decisions and the fills are held fixed; a real rerun would size, halt and stop a little differently.
    """
    results = []
    for multiple in multiples:
        ending = ending_equity - (multiple - 1.0) * costs
        results.append(CostedResult(multiple, ending, ending / starting_equity - 1.0))
    return results


class _Book:
    """The running sums of one open position."""

    def __init__(self, side: int, ts_entry: int) -> None:
        self.side = side
        self.held = 0.0
        self._ts_entry = ts_entry
        self._most = self._in = self._out = self._paid = self._received = self._fees = 0.0

    @property
    def flat(self) -> bool:
        return self.held <= _FLAT * self._most

    def increase(self, quantity: float, price: float, fee: float) -> None:
        self.held += quantity
        self._most = max(self._most, self.held)
        self._in += quantity
        self._paid += quantity * price
        self._fees += fee

    def reduce(self, quantity: float, price: float, fee: float) -> None:
        self.held -= quantity
        self._out += quantity
        self._received += quantity * price
        self._fees += fee

    def closed(self, instrument_id: str, ts_exit: int, row: int) -> RoundTrip:
        return RoundTrip(
            instrument_id=instrument_id,
            side=self.side,
            ts_entry=self._ts_entry,
            ts_exit=ts_exit,
            quantity=self._most,
            entry_price=self._paid / self._in,
            exit_price=self._received / self._out,
            profit=self.side * (self._received - self._paid) - self._fees,
            fees=self._fees,
            last_fill=row,
        )
