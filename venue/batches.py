"""Several orders in one request: each is answered for itself, refusals included."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from venue.arguments import Arguments, required
from venue.errors import VenueError
from venue.refusals import refused

__all__ = ["cancelled", "each_of"]

_MOST_PLACED, _MOST_CANCELLED = 5, 10


def each_of(params: Arguments, act: Callable[[Arguments], Any]) -> list[Any]:
    """Do the same with every order of ``batchOrders``."""
    orders = _list(params, "batchOrders", _MOST_PLACED)
    return [_answer(act, {name: _written(value) for name, value in order.items()}) for order in orders]


def cancelled(params: Arguments, cancel: Callable[[Arguments], Any]) -> list[Any]:
    """Cancel every order of ``orderIdList`` or ``origClientOrderIdList``."""
    symbol = required(params, "symbol")
    many, one = ("orderIdList", "orderId")
    if not params.get(many):
        many, one = ("origClientOrderIdList", "origClientOrderId")
    asked = _list(params, many, _MOST_CANCELLED)
    return [_answer(cancel, {"symbol": symbol, one: str(each)}) for each in asked]


def _list(params: Arguments, name: str, most: int) -> list[Any]:
    try:
        rows = json.loads(required(params, name))
    except ValueError:
        raise refused(-1102, name) from None
    if not isinstance(rows, list) or not 0 < len(rows) <= most:
        raise refused(-1130, name)
    return rows


def _answer(act: Callable[[Arguments], Any], params: Mapping[str, str]) -> Any:
    try:
        return act(params)
    except VenueError as refusal:
        return {"code": refusal.code, "msg": refusal.msg}


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
