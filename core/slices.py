"""How a parent order is cut into slices: exact sums, exchange filters kept, and reproducible chance.

Contract with the owner of the parent order (`strategies.execution` works it, `core.trader` owns it):

- A parent order is named by its owner, in at most 31 characters that do not end in ``-E`` and digits. Its slices are
  named ``<parent>-E1``, ``-E2``, ...; `parent_of` gives the parent of either. Fills of slices reach the owner under
  the slices' names and count for the parent; nothing else that happens to a slice is the owner's business.
- The owner cancels the parent, never a slice. What rests is then cancelled, and nothing more is sent.
- Exactly one `core.messages.ParentEnded` ends every parent, after all of its slices have ended. All fills count,
  those too that arrive between the owner's cancel and that message.
"""

import re
from hashlib import blake2b
from math import ceil, floor
from typing import NamedTuple

from core.situation import Instrument

__all__ = ["MAX_PARENT_ID", "Slice", "least_lots", "parent_of", "participation", "seed_of", "twap"]

MAX_PARENT_ID = 31
"""Characters of a parent's name: the venue takes 36, and ``-E999`` follows."""

_NOTIONAL_MARGIN = 1.05
"""A later slice is worth this much more than the venue's minimum, so that it still is after the price has moved."""

_SLICE_NAME = re.compile(r"-E\d+$")


class Slice(NamedTuple):
    """A part of an order: when, in ns after its start, and how many lots (unsigned)."""

    at_ns: int
    lots: int


def parent_of(client_order_id: str) -> str:
    """Return the name of the parent of a slice; a name that is no slice's is returned as it is.

    Examples
    --------
    >>> parent_of("RL-001-1700000000-E12"), parent_of("RL-001-1700000000")
    ('RL-001-1700000000', 'RL-001-1700000000')
    """
    return _SLICE_NAME.sub("", client_order_id)


def seed_of(client_order_id: str) -> int:
    """Return the seed of an order's chance: the same name draws the same slices, live and in every rerun."""
    return int.from_bytes(blake2b(client_order_id.encode(), digest_size=8).digest())


def least_lots(instrument: Instrument, price: float) -> int:
    """Return the fewest lots that the venue takes in one order at a price, quote currency."""
    return max(instrument.min_lots, 1, ceil(instrument.min_notional / (instrument.lot * price)))


def twap(
    total_lots: int, *, slices: int, duration_ns: int, instrument: Instrument, price: float, jitter: float, seed: int
) -> tuple[Slice, ...]:
    """Cut an order into slices of about the same size at about the same distance (time-weighted average price).

    Parameters
    ----------
    total_lots : int
        Lots wanted, unsigned; at least 1.
    slices : int
        Most slices wanted; fewer and larger ones where the venue's minimum asks for it, more where its maximum does.
    duration_ns : int
        Time over which they are spread. A single slice is due at once.
    instrument : Instrument
        Exchange filters.
    price : float
        At which the notional is measured, quote currency.
    jitter : float
        In [0, 1]: how far sizes and times stray from equal ones.
    seed : int
        Of the chance; see `seed_of`.

    Returns
    -------
    tuple[Slice, ...]
        In order of time. The lots sum exactly to ``total_lots``; each slice keeps the filters if the whole does.
    """
    least = least_lots(instrument, price * (1.0 / _NOTIONAL_MARGIN))
    fewest = -(-total_lots // instrument.max_lots)
    count = max(min(slices, total_lots // least), fewest, 1)
    if count == 1:
        return (Slice(0, total_lots),)
    step = duration_ns / count
    times = [int(step * (k + jitter * _chance(seed, 2 * k))) for k in range(count)]
    return tuple(map(Slice, times, _sizes(total_lots, count, least, instrument.max_lots, jitter, seed)))


def participation(
    remaining_lots: int,
    *,
    sent_lots: int,
    traded_lots: float,
    rate: float,
    instrument: Instrument,
    price: float,
    jitter: float,
    seed: int,
) -> int:
    """Return the lots of the next slice of an order that is to be a share of the volume; 0 where none is due yet.

    Parameters
    ----------
    remaining_lots, sent_lots : int
        Lots still to send, and sent so far.
    traded_lots : float
        What the market has traded since the order's start, in lots.
    rate : float
        Share of that volume in (0, 1].
    instrument, price, jitter, seed
        As for `twap`; ``jitter`` makes slices wait until up to twice the venue's minimum is due.

    Notes
    -----
    ``sent_lots`` never exceeds ``rate * traded_lots``, and what is left is never less than the venue's minimum
    unless it is nothing. The caller sends the rest at the deadline.
    """
    if remaining_lots <= 0:
        return 0
    due = min(floor(rate * traded_lots) - sent_lots, remaining_lots, instrument.max_lots)
    if due == remaining_lots:
        return due
    least = least_lots(instrument, price * (1.0 / _NOTIONAL_MARGIN))
    due = min(due, remaining_lots - least)
    return due if due >= least * (1.0 + jitter * _chance(seed, sent_lots)) else 0


def _sizes(total: int, count: int, least: int, most: int, jitter: float, seed: int) -> list[int]:
    """Return ``count`` sizes of at least ``least`` and at most ``most`` lots that sum to ``total``."""
    even = [(total * (k + 1)) // count - (total * k) // count for k in range(count)]
    spare = total - count * least
    if spare <= 0:
        return even
    weights = [1.0 + jitter * (2.0 * _chance(seed, 2 * k + 1) - 1.0) for k in range(count)]
    whole = sum(weights)
    shares = [floor(spare * weight / whole) for weight in weights[:-1]]
    sizes = [least + share for share in (*shares, spare - sum(shares))]
    return sizes if max(sizes) <= most else even


def _chance(seed: int, draw: int) -> float:
    """Return the draw of that number, uniform in [0, 1)."""
    digest = blake2b(draw.to_bytes(8), digest_size=8, key=seed.to_bytes(8)).digest()
    return (int.from_bytes(digest) >> 11) * 2.0**-53
