"""A position after a fill: the same arithmetic in the simulation and in trading."""

from core.compiled import inlined
from core.situation import Position

__all__ = ["filled", "realised"]


@inlined
def filled(
    position: Position,
    lots: int,
    price: float,
    planned_stop: float,
    counts: bool,  # noqa: FBT001
) -> Position:
    """Return a position after a fill.

    Parameters
    ----------
    position : Position
        Before the fill.
    lots : int
        Signed lots of the fill, not 0.
    price : float
        Quote currency.
    planned_stop : float
        Stop decided for what the fill opens, where it opens a position; else the stop stays.
    counts : bool
        True for the first fill of an order that adds to a position or takes a part of its profit; False for the later
        fills of the same order, and for orders that are neither. A fill that opens a position counts by itself.

    Returns
    -------
    Position
        The average entry changes on the way in alone. A flat one is all zeros; one that a fill opens has age 0, and so
        has the rest of a fill that crosses zero.
    """
    held = position.lots
    after = held + lots
    if after == 0:
        return Position(0, 0.0, 0.0, 0, 0.0, 0, 0, 0, 0)
    if held * after <= 0:
        return Position(after, price, planned_stop, 0, planned_stop, 0, 0, abs(after), abs(after))
    entry, adds, takes = position.entry_price, position.adds, position.takes
    first, last = position.first_lots, position.last_lots
    if held * lots > 0:
        entry = (held * entry + lots * price) / after
        adds += int(counts)
        last = abs(lots) if counts else last + abs(lots)
        if adds == 0:
            first += abs(lots)
    else:
        takes += int(counts)
    return Position(
        after, entry, position.stop_price, position.holding_bars, position.first_stop, adds, takes, first, last
    )


@inlined
def realised(position: Position, lots: int, price: float, lot: float) -> float:
    """Return the profit (quote currency, before commission) that a fill of signed ``lots`` takes home.

    ``lot`` base asset a lot. What a fill adds realises nothing; one that crosses zero closes what was held.
    """
    held = position.lots
    if held * lots >= 0:
        return 0.0
    closed = -lots if abs(lots) <= abs(held) else held
    return closed * lot * (price - position.entry_price)
