"""How far a simulation of a session lies from what the venue did: fills by price, equity by time."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["ReplayGap", "replay_gap"]

type Row = Mapping[str, Any]


class ReplayGap(msgspec.Struct, frozen=True, kw_only=True):
    """The gap between recorded and simulated fills and equity.

    ``matched`` fills, and those that only one side has; price differences in bps of the recorded price, positive where
    the venue was the worse (``mean``, weighted by quantity, and the ``worst`` by size); equity recorded less simulated,
    over the recorded, in bps, at the last common time and where it is largest.
    """

    matched: int
    only_recorded: int
    only_simulated: int
    fill_mean_bps: float
    fill_worst_bps: float
    equity_last_bps: float
    equity_worst_bps: float


def replay_gap(fills: tuple[Sequence[Row], Sequence[Row]], equity: tuple[Sequence[Row], Sequence[Row]],
               *, within_ns: int) -> ReplayGap:  # fmt: skip
    """Compare fills and equity, recorded and simulated.

    A fill is matched with the first one left of its instrument, side and purpose that was ``decided_ns`` within
    ``within_ns``: the time of the decision with which its order was wanted.
    """
    left = list(fills[1])
    gaps: list[tuple[float, float]] = []
    for one in fills[0]:
        other = next((row for row in left if _alike(one, row, within_ns)), None)
        if other is not None:
            left.remove(other)
            price, side = float(one["price"]), 1.0 if one["side"] == "BUY" else -1.0
            gaps.append((side * (price - float(other["price"])) / price * 1e4, float(one["quantity"])))
    simulated = {row["ts_event"]: row["equity"] for row in equity[1]}
    curve = [
        (row["equity"] - simulated[row["ts_event"]]) / row["equity"] * 1e4
        for row in equity[0]
        if row["ts_event"] in simulated
    ]
    weight = sum(quantity for _, quantity in gaps)
    return ReplayGap(
        matched=len(gaps),
        only_recorded=len(fills[0]) - len(gaps),
        only_simulated=len(left),
        fill_mean_bps=sum(gap * quantity for gap, quantity in gaps) / weight if weight else math.nan,
        fill_worst_bps=max((gap for gap, _ in gaps), key=abs, default=math.nan),
        equity_last_bps=curve[-1] if curve else math.nan,
        equity_worst_bps=max(curve, key=abs, default=math.nan),
    )


def _alike(one: Row, other: Row, within_ns: int) -> bool:
    same = all(one[name] == other[name] for name in ("instrument_id", "side", "purpose"))
    return same and abs(one["decided_ns"] - other["decided_ns"]) <= within_ns
