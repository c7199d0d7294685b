"""The moments at which a node is killed: by the venue at what comes or goes over the wire, by itself at a stage.

What seldom happens by itself is brought about: the exchange ends a stop, a person halts.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from stages import STAGES, STARTS

__all__ = ["ANY", "MOMENTS", "WORKED", "Moment"]

ANY = "at any other moment"
_USER = {"channel": "user"}
_ORDER, _ALGO = {"e": "ORDER_TRADE_UPDATE", **_USER}, {"e": "ALGO_UPDATE", **_USER}
_PLACE, _STOP = {"path": "/fapi/v1/order", "method": "POST"}, {"path": "/fapi/v1/algoOrder", "method": "POST"}
_CANCEL, _WITHDRAW = {"path": "/fapi/v1/order", "method": "DELETE"}, {"path": "/fapi/v1/algoOrder", "method": "DELETE"}


class Moment(NamedTuple):
    """``kind`` and ``match`` of the venue's fault, or a ``stage`` of the node; ``ended`` what the exchange ends."""

    kind: str = ""
    match: Mapping[str, Any] = MappingProxyType({})
    stage: str = ""
    ended: str = ""

    @property
    def starting(self) -> bool:
        """Whether it comes once, when a node starts."""
        return self.stage in STARTS


MOMENTS = {
    "order submitted, not carried out": Moment("kill_before", _PLACE),
    "order carried out, not answered": Moment("kill_after", _PLACE),
    "order accepted": Moment("kill_event", {**_ORDER, "o.X": "NEW"}),
    "order partly filled": Moment("kill_event", {**_ORDER, "o.X": "PARTIALLY_FILLED"}),
    "order filled, before its stop": Moment("kill_event", {**_ORDER, "o.X": "FILLED"}),
    "balance changed, before the fill is told": Moment("kill_event", {"e": "ACCOUNT_UPDATE", **_USER}),
    "stop submitted, not carried out": Moment("kill_before", _STOP),
    "stop carried out, not answered": Moment("kill_after", _STOP),
    "stop accepted": Moment("kill_event", {**_ALGO, "o.X": "NEW"}),
    "withdrawal of a stop submitted": Moment("kill_before", _WITHDRAW),
    "withdrawal of a stop carried out": Moment("kill_after", _WITHDRAW),
    "stop withdrawn": Moment("kill_event", {**_ALGO, "o.X": "CANCELED"}),
    "stop triggered": Moment("kill_event", {**_ALGO, "o.X": "TRIGGER*"}),
    "stop finished": Moment("kill_event", {**_ALGO, "o.X": "FINISHED"}),
    "stop expired": Moment("kill_event", {**_ALGO, "o.X": "EXPIRED"}, ended="algos"),
    "a bar closed": Moment("kill_event", {"channel": "market", "e": "kline", "k.x": "true"}),
    **{stage: Moment(stage=stage) for stage in STAGES},
}
"""On every venue."""
WORKED = {
    "cancel of an order submitted": Moment("kill_before", _CANCEL),
    "cancel of an order carried out": Moment("kill_after", _CANCEL),
    "order cancelled": Moment("kill_event", {**_ORDER, "o.X": "CANCELED"}),
    "order expired": Moment("kill_event", {**_ORDER, "o.X": "EXPIRED"}, ended="orders"),
}
"""Where increases rest as limit orders, these too."""
