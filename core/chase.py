"""A post-only limit order that follows the market, and takes what is offered within a cap when its time is up.

Theory of operation, as a table (an event that a phase does not know raises and changes nothing):

========  =======================================  =======================================================
phase     event                                    what follows
========  =======================================  =======================================================
IDLE      look                                     `Place` and RESTING; its time is up: `Take` and TAKING
RESTING   look: moved away, or its time is up      `Withdraw` and LEAVING
RESTING   ended                                    IDLE; refused as post-only: one tick further back next
LEAVING   ended                                    IDLE
TAKING    ended                                    OVER: timed_out
any       filled: nothing is left                  OVER: filled
any       ended, refused by the venue              OVER: rejected
any       stop                                     OVER: canceled, after `Withdraw` and STOPPING if need be
========  =======================================  =======================================================

Never is more at the venue than is left to fill: an order is replaced only after its end is known. A buy never pays
more than the arrival price plus the cap, a sell never receives less than it less the cap.
"""

from enum import IntEnum
from math import ceil, floor
from typing import Literal, NamedTuple

__all__ = ["Chase", "ChaseParams", "Order", "Outcome", "Phase", "Withdraw", "begin", "ended", "filled", "look", "stop"]

Outcome = Literal["", "filled", "canceled", "timed_out", "rejected"]


class Phase(IntEnum):
    """Where a chase stands."""

    IDLE = 0
    RESTING = 1
    LEAVING = 2
    TAKING = 3
    STOPPING = 4
    OVER = 5


class ChaseParams(NamedTuple):
    """How an order follows the market.

    It follows when the best price has moved ``move_ticks`` away, ``max_moves`` times at most and ``interval_ns`` apart
    at least; after ``timeout_ns`` it takes what is offered within ``cap`` (fraction) of the arrival price.
    """

    move_ticks: int
    max_moves: int
    interval_ns: int
    timeout_ns: int
    cap: float


class Order(NamedTuple):
    """An order to send: ``kind`` of it, lots (unsigned), and its price in ticks (0 for a market order)."""

    kind: Literal["market", "post_only", "immediate"]
    lots: int
    ticks: int = 0


class Withdraw(NamedTuple):
    """What rests is to be cancelled."""


Command = Order | Withdraw | None


class Chase(NamedTuple):
    """A chase: ``side`` +1 buy, -1 sell; ``left`` lots to fill; prices in ticks, ``limit`` the worst; times in ns."""

    phase: Phase
    side: int
    left: int
    least: int
    limit: int
    started_ns: int
    placed_ns: int = 0
    ticks: int = 0
    moves: int = 0
    back: int = 0
    outcome: Outcome = ""


def begin(side: int, lots: int, *, least: int, arrival: float, tick: float, now_ns: int, params: ChaseParams) -> Chase:
    """Return a chase for ``lots`` (unsigned) from the price at the decision, quote currency; ``least`` as the venue's.

    A whole that is itself below the venue's minimum is sent as it is; a rest below it never is.
    """
    if side > 0:
        limit = floor(arrival * (1.0 + params.cap) / tick + 1e-6)
    else:
        limit = max(ceil(arrival * (1.0 - params.cap) / tick - 1e-6), 1)
    return Chase(Phase.IDLE, side, lots, min(least, lots), limit, now_ns)


def look(chase: Chase, *, now_ns: int, bid: int, ask: int, params: ChaseParams) -> tuple[Chase, Command]:
    """Return what follows from a look at the market: best bid and best ask in ticks."""
    late = now_ns - chase.started_ns >= params.timeout_ns
    best = bid if chase.side > 0 else ask
    if chase.phase == Phase.IDLE:
        if chase.left < chase.least:
            return _over(chase, "timed_out"), None
        if not late:
            price = max(chase.side * min(chase.side * best - chase.back, chase.side * chase.limit), 1)
            return _placed(chase, price, now_ns), Order("post_only", chase.left, price)
        if chase.side * ((ask if chase.side > 0 else bid) - chase.limit) > 0:
            return _over(chase, "timed_out"), None
        return chase._replace(phase=Phase.TAKING), Order("immediate", chase.left, chase.limit)
    if chase.phase == Phase.RESTING:
        reachable = min(chase.side * best, chase.side * chase.limit)
        follow = (
            reachable - chase.side * chase.ticks >= params.move_ticks
            and chase.moves < params.max_moves
            and now_ns - chase.placed_ns >= params.interval_ns
            and chase.left >= chase.least
        )
        if late or follow:
            return chase._replace(phase=Phase.LEAVING, moves=chase.moves + (not late), back=0), Withdraw()
    return chase, None


def filled(chase: Chase, lots: int) -> Chase:
    """Return the chase after a fill.

    Raises
    ------
    ValueError
        For more than was left: never is more at the venue.
    """
    if lots > chase.left:
        raise ValueError(f"a fill of {lots} lots where {chase.left} were left")
    chase = chase._replace(left=chase.left - lots)
    return _over(chase, "filled") if chase.left == 0 else chase


def ended(chase: Chase, *, refused: bool = False, post_only: bool = False) -> Chase:
    """Return the chase after the end of what was at the venue: cancelled, expired, or refused.

    Raises
    ------
    ValueError
        Where nothing was at the venue.
    """
    if chase.phase in {Phase.IDLE, Phase.OVER}:
        raise ValueError(f"an order ended where none was at the venue: {chase.phase.name}")
    if chase.phase == Phase.STOPPING:
        return _over(chase, "canceled")
    if refused and not post_only:
        return _over(chase, "rejected")
    if chase.phase == Phase.TAKING:
        return _over(chase, "timed_out")
    return chase._replace(phase=Phase.IDLE, back=chase.back + post_only)


def stop(chase: Chase) -> tuple[Chase, Command]:
    """Return what follows from the owner's wish to stop; what takes ends by itself."""
    if chase.phase == Phase.OVER:
        return chase, None
    if chase.phase == Phase.IDLE:
        return _over(chase, "canceled"), None
    command = Withdraw() if chase.phase == Phase.RESTING else None
    return chase._replace(phase=Phase.STOPPING), command


def _placed(chase: Chase, ticks: int, now_ns: int) -> Chase:
    return chase._replace(phase=Phase.RESTING, ticks=ticks, placed_ns=now_ns)


def _over(chase: Chase, outcome: Outcome) -> Chase:
    return chase._replace(phase=Phase.OVER, outcome=outcome)
