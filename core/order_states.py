"""The life of an order as one table: (state, event) -> state, and what is waited for how.

Theory of operation. What may happen to an order is written in `TRANSITIONS`; every other pair leaves the state as it
is and is reported as illegal, so that the table is total and nothing that a venue says can stop trading. No answer is
never "failed": a waiting state that gets none becomes UNKNOWN, from which any later word of the venue leads out. An
order that is over stays over; a fill that comes late is legal after a cancel or an expiry, which it may have crossed
on the way, and is always counted.
"""

from enum import IntEnum

__all__ = ["OVER", "TRANSITIONS", "WAITING", "WORKING", "Event", "OrderState", "step"]


class OrderState(IntEnum):
    """Where an order stands, as its owner knows it."""

    SUBMITTED = 0
    ACCEPTED = 1
    PARTLY_FILLED = 2
    MODIFYING = 3
    CANCELING = 4
    UNKNOWN = 5
    FILLED = 6
    CANCELED = 7
    EXPIRED = 8
    REJECTED = 9
    DENIED = 10


class Event(IntEnum):
    """What can happen to an order: words of the venue, own requests, and silence."""

    ACCEPT = 0
    FILL_PART = 1
    FILL_WHOLE = 2
    ASK_MODIFY = 3
    MODIFIED = 4
    MODIFY_REJECT = 5
    ASK_CANCEL = 6
    CANCEL = 7
    CANCEL_REJECT = 8
    EXPIRE = 9
    REJECT = 10
    DENY = 11
    TIMEOUT = 12
    FOUND_WORKING = 13


_S, _E = OrderState, Event

WORKING = frozenset({_S.ACCEPTED, _S.PARTLY_FILLED, _S.MODIFYING})
"""At the venue for all that is known."""
WAITING = frozenset({_S.SUBMITTED, _S.MODIFYING, _S.CANCELING, _S.UNKNOWN})
"""An answer is due; after the time-out the order is of unknown fate, and the venue is asked."""
OVER = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED, _S.DENIED})
"""Nothing of it is at the venue any more."""

_ENDS = {
    _E.FILL_WHOLE: _S.FILLED,
    _E.CANCEL: _S.CANCELED,
    _E.EXPIRE: _S.EXPIRED,
    _E.REJECT: _S.REJECTED,
    _E.DENY: _S.DENIED,
}

TRANSITIONS: dict[tuple[OrderState, Event], OrderState] = {
    **{(state, event): end for state in _S if state not in OVER for event, end in _ENDS.items()},
    (_S.SUBMITTED, _E.ACCEPT): _S.ACCEPTED,
    (_S.SUBMITTED, _E.FILL_PART): _S.PARTLY_FILLED,
    (_S.SUBMITTED, _E.ASK_CANCEL): _S.CANCELING,
    (_S.SUBMITTED, _E.TIMEOUT): _S.UNKNOWN,
    (_S.SUBMITTED, _E.FOUND_WORKING): _S.ACCEPTED,
    (_S.ACCEPTED, _E.FILL_PART): _S.PARTLY_FILLED,
    (_S.ACCEPTED, _E.ASK_MODIFY): _S.MODIFYING,
    (_S.ACCEPTED, _E.MODIFIED): _S.ACCEPTED,
    (_S.ACCEPTED, _E.ASK_CANCEL): _S.CANCELING,
    (_S.ACCEPTED, _E.TIMEOUT): _S.UNKNOWN,
    (_S.ACCEPTED, _E.FOUND_WORKING): _S.ACCEPTED,
    (_S.PARTLY_FILLED, _E.ACCEPT): _S.PARTLY_FILLED,
    (_S.PARTLY_FILLED, _E.FILL_PART): _S.PARTLY_FILLED,
    (_S.PARTLY_FILLED, _E.ASK_MODIFY): _S.MODIFYING,
    (_S.PARTLY_FILLED, _E.MODIFIED): _S.PARTLY_FILLED,
    (_S.PARTLY_FILLED, _E.ASK_CANCEL): _S.CANCELING,
    (_S.PARTLY_FILLED, _E.TIMEOUT): _S.UNKNOWN,
    (_S.PARTLY_FILLED, _E.FOUND_WORKING): _S.PARTLY_FILLED,
    (_S.MODIFYING, _E.ACCEPT): _S.MODIFYING,
    (_S.MODIFYING, _E.FILL_PART): _S.MODIFYING,
    (_S.MODIFYING, _E.MODIFIED): _S.ACCEPTED,
    (_S.MODIFYING, _E.MODIFY_REJECT): _S.ACCEPTED,
    (_S.MODIFYING, _E.ASK_CANCEL): _S.CANCELING,
    (_S.MODIFYING, _E.TIMEOUT): _S.UNKNOWN,
    (_S.MODIFYING, _E.FOUND_WORKING): _S.ACCEPTED,
    (_S.CANCELING, _E.ACCEPT): _S.CANCELING,
    (_S.CANCELING, _E.FILL_PART): _S.CANCELING,
    (_S.CANCELING, _E.MODIFIED): _S.CANCELING,
    (_S.CANCELING, _E.MODIFY_REJECT): _S.CANCELING,
    (_S.CANCELING, _E.CANCEL_REJECT): _S.UNKNOWN,
    (_S.CANCELING, _E.TIMEOUT): _S.UNKNOWN,
    (_S.CANCELING, _E.FOUND_WORKING): _S.ACCEPTED,
    (_S.UNKNOWN, _E.ACCEPT): _S.ACCEPTED,
    (_S.UNKNOWN, _E.FILL_PART): _S.PARTLY_FILLED,
    (_S.UNKNOWN, _E.MODIFIED): _S.ACCEPTED,
    (_S.UNKNOWN, _E.MODIFY_REJECT): _S.ACCEPTED,
    (_S.UNKNOWN, _E.ASK_CANCEL): _S.CANCELING,
    (_S.UNKNOWN, _E.CANCEL_REJECT): _S.UNKNOWN,
    (_S.UNKNOWN, _E.TIMEOUT): _S.UNKNOWN,
    (_S.UNKNOWN, _E.FOUND_WORKING): _S.ACCEPTED,
    **{
        (state, event): state
        for state in (_S.CANCELED, _S.EXPIRED)
        for event in (_E.ACCEPT, _E.FILL_PART, _E.FILL_WHOLE, _E.CANCEL_REJECT, _E.MODIFY_REJECT)
    },
    **{(_S.FILLED, event): _S.FILLED for event in (_E.ACCEPT, _E.CANCEL_REJECT, _E.MODIFY_REJECT, _E.MODIFIED)},
}
"""What is legal. Answers to a cancel or a change may cross an order's end on the way: those leave it as it is."""


def step(state: OrderState, event: Event) -> tuple[OrderState, bool]:
    """Return the state after an event, and whether the event was legal; an illegal one changes nothing.

    Examples
    --------
    >>> step(OrderState.SUBMITTED, Event.TIMEOUT)
    (<OrderState.UNKNOWN: 5>, True)
    >>> step(OrderState.REJECTED, Event.ACCEPT)
    (<OrderState.REJECTED: 9>, False)
    """
    after = TRANSITIONS.get((state, event))
    return (state, False) if after is None else (after, True)
