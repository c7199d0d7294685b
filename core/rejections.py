"""Why a venue or the engine refused an order, as a closed list of classes, and what is done about each.

References
----------
Binance USD-M futures, error codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
"""

import re
from enum import StrEnum

__all__ = ["ACTIONS", "CODES", "Action", "Rejection", "action", "classify"]


class Rejection(StrEnum):
    """Class of a refusal.

    ``rate``: the request was too much, or its clock off, and was not looked at: a later one may pass; ``unknown``:
    nobody knows whether the order exists; ``filter``: size or price break a rule of the exchange.
    """

    FILTER = "filter"
    MARGIN = "margin"
    RATE = "rate"
    UNKNOWN = "unknown"
    POST_ONLY = "post_only"
    REDUCE_ONLY = "reduce_only"
    WOULD_TRIGGER = "would_trigger"
    OTHER = "other"


class Action(StrEnum):
    """What is done.

    ``give_up``: nothing; the next decision starts afresh. ``retry``: again after a back-off. ``resync``: the venue is
    asked what is held, and what it says counts; then again. ``freeze``: the order's fate is unknown: entries are frozen
    and the venue is asked. ``move``: once more with the trigger moved. ``flatten``: the position is closed at once.
    """

    GIVE_UP = "give_up"
    RETRY = "retry"
    RESYNC = "resync"
    FREEZE = "freeze"
    MOVE = "move"
    FLATTEN = "flatten"


_R, _A = Rejection, Action

CODES: dict[int, Rejection] = {
    -1003: _R.RATE,  # too many requests
    -1008: _R.RATE,  # server overloaded, the request was not taken
    -1015: _R.RATE,  # too many orders
    -1021: _R.RATE,  # timestamp outside of recvWindow
    -1000: _R.UNKNOWN,  # unknown error while processing
    -1001: _R.UNKNOWN,  # disconnected
    -1006: _R.UNKNOWN,  # unexpected response, execution status unknown
    -1007: _R.UNKNOWN,  # time-out, execution status unknown
    -1013: _R.FILTER,  # invalid message or filter failure
    -1111: _R.FILTER,  # precision over the maximum
    -4001: _R.FILTER,  # price below 0
    -4002: _R.FILTER,  # price above the maximum
    -4003: _R.FILTER,  # quantity below 0
    -4004: _R.FILTER,  # quantity below the minimum
    -4005: _R.FILTER,  # quantity above the maximum
    -4013: _R.FILTER,  # price below the minimum
    -4014: _R.FILTER,  # price not on the tick
    -4016: _R.FILTER,  # price above the multiplier cap
    -4023: _R.FILTER,  # quantity not on the step
    -4024: _R.FILTER,  # price below the multiplier floor
    -4131: _R.FILTER,  # PERCENT_PRICE
    -4164: _R.FILTER,  # notional below the minimum
    -2010: _R.MARGIN,  # new order rejected
    -2018: _R.MARGIN,  # balance not sufficient
    -2019: _R.MARGIN,  # margin not sufficient
    -2027: _R.MARGIN,  # maximum position at this leverage
    -2028: _R.MARGIN,  # leverage below what the position needs
    -5021: _R.OTHER,  # fill or kill
    -5022: _R.POST_ONLY,  # would be a taker
    -2020: _R.OTHER,  # unable to fill
    -2021: _R.WOULD_TRIGGER,  # would trigger immediately
    -2022: _R.REDUCE_ONLY,  # reduce-only order rejected
    -4118: _R.REDUCE_ONLY,  # reduce-only order exceeds the position
    -2011: _R.UNKNOWN,  # cancel rejected: it may have filled
    -2013: _R.UNKNOWN,  # no such order: it may have filled
    -4116: _R.UNKNOWN,  # the name was used: the request came twice, and the first may stand
    -4045: _R.OTHER,  # most stop orders reached
}
"""Class by the venue's code; a code that is not here is ``other``."""

_TEXTS: tuple[tuple[str, Rejection], ...] = (
    ("would immediately trigger", _R.WOULD_TRIGGER),
    ("trigger immediately", _R.WOULD_TRIGGER),
    ("trigger price in the market", _R.WOULD_TRIGGER),
    ("in the market: side", _R.WOULD_TRIGGER),
    ("post_only", _R.POST_ONLY),
    ("post only", _R.POST_ONLY),
    ("post-only", _R.POST_ONLY),
    ("would have been a taker", _R.POST_ONLY),
    ("reduce_only", _R.REDUCE_ONLY),
    ("reduceonly", _R.REDUCE_ONLY),
    ("reduce-only", _R.REDUCE_ONLY),
    ("reduce only", _R.REDUCE_ONLY),
    ("too many", _R.RATE),
    ("rate_limit", _R.RATE),
    ("rate limit", _R.RATE),
    ("rate exceeded", _R.RATE),
    ("exceeds rate", _R.RATE),
    ("exceeded max_order_submit_rate", _R.RATE),
    ("recvwindow", _R.RATE),
    ("status unknown", _R.UNKNOWN),
    ("timeout", _R.UNKNOWN),
    ("timed out", _R.UNKNOWN),
    ("connection", _R.UNKNOWN),
    ("inflight", _R.UNKNOWN),
    ("in-flight", _R.UNKNOWN),
    ("unknown order", _R.UNKNOWN),
    ("duplicate", _R.UNKNOWN),
    ("margin", _R.MARGIN),
    ("insufficient", _R.MARGIN),
    ("free_balance", _R.MARGIN),
    ("balance", _R.MARGIN),
    ("max_notional", _R.FILTER),
    ("min_notional", _R.FILTER),
    ("notional", _R.FILTER),
    ("precision", _R.FILTER),
    ("increment", _R.FILTER),
    ("filter failure", _R.FILTER),
    ("minimum trade size", _R.FILTER),
    ("maximum trade size", _R.FILTER),
    ("quantity", _R.FILTER),
    ("invalid price", _R.FILTER),
)
"""Class by words of a reason without a known code, in lower case, the first that fits."""

ACTIONS: dict[Rejection, dict[str, Action]] = {
    _R.FILTER: {"entry": _A.GIVE_UP, "exit": _A.RETRY, "stop": _A.FLATTEN},
    _R.MARGIN: {"entry": _A.GIVE_UP, "exit": _A.RETRY, "stop": _A.FLATTEN},
    _R.RATE: {"entry": _A.GIVE_UP, "exit": _A.RETRY, "stop": _A.RETRY},
    _R.UNKNOWN: {"entry": _A.FREEZE, "exit": _A.FREEZE, "stop": _A.FREEZE},
    _R.POST_ONLY: {"entry": _A.GIVE_UP, "exit": _A.RETRY, "stop": _A.FLATTEN},
    _R.REDUCE_ONLY: {"entry": _A.RESYNC, "exit": _A.RESYNC, "stop": _A.RESYNC},
    _R.WOULD_TRIGGER: {"entry": _A.GIVE_UP, "exit": _A.RETRY, "stop": _A.MOVE},
    _R.OTHER: {"entry": _A.GIVE_UP, "exit": _A.RETRY, "stop": _A.FLATTEN},
}
"""What follows a refusal, by class and by what the order was for: an entry or an add, an exit (of a part too), a stop.

A stop gets one more attempt (``retry``, ``move``, ``resync``); what happens to the second is ``flatten``.
"""

_CODE = re.compile(r"(?<![\d.])-\d{4}(?!\d|\.\d)")


def classify(reason: str) -> Rejection:
    """Return the class of a venue's or the engine's reason: by its code, else by its words.

    Examples
    --------
    >>> classify("-2021: Order would immediately trigger."), classify("NOTIONAL_EXCEEDS_FREE_BALANCE")
    (<Rejection.WOULD_TRIGGER: 'would_trigger'>, <Rejection.MARGIN: 'margin'>)
    """
    for found in _CODE.findall(reason):
        known = CODES.get(int(found))
        if known is not None:
            return known
    lowered = reason.lower()
    for words, rejection in _TEXTS:
        if words in lowered:
            return rejection
    return Rejection.OTHER


def action(rejection: Rejection, purpose: str) -> Action:
    """Return what follows a refusal of an order for a purpose: entry, increase, reduce, exit or stop."""
    kind = {"increase": "entry", "reduce": "exit"}.get(purpose, purpose)
    return ACTIONS[rejection][kind]
