"""Every fault that a venue or the way to it has, as one table: what strikes, for how long, what a node may do."""

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["FAULTS", "STREAMS", "Fault"]

ORDER = {"path": "/fapi/v1/order", "method": "POST"}
STOP = {"path": "/fapi/v1/algoOrder", "method": "POST"}
WITHDRAW = {"path": "/fapi/v1/algoOrder", "method": "DELETE"}
REST = {"channel": "rest"}
KLINES = {"path": "/fapi/v1/klines"}
USER, MARKET, TRADING = ({"channel": name} for name in ("user", "market", "trading"))
FILL = {**USER, "e": "ORDER_TRADE_UPDATE", "o.x": "TRADE"}
ALGO = {**USER, "e": "ALGO_UPDATE"}
BAR = {**MARKET, "e": "kline", "k.x": "true"}


class Fault(NamedTuple):
    """Rules (`venue.faults.Rule`) and acts (`ControlClient.act`) that are one fault.

    ``seconds`` it lasts, 0: until every rule has hit as often as it counts; ``alert``: what a person must be told, as a
    pattern; ``quiet``: why nobody need be told; ``halts``: the breaker may halt the node for good, which is right;
    ``holding``: it begins under a position.
    """

    rules: tuple[Mapping[str, Any], ...] = ()
    acts: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    alert: str = ""
    quiet: str = ""
    halts: bool = False
    holding: bool = False


def _once(kind: str, match: Mapping[str, str], count: int = 1, **rule: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"kind": kind, "match": match, "count": count, **rule},)


def _while(kind: str, *matches: Mapping[str, str], **rule: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple({"kind": kind, "match": match, **rule} for match in matches)


def _drop(*channels: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"do": "drop", "channel": channel} for channel in channels)


ALL = ("market", "user", "trading")
LATE = r"the bar of \S+ is \d+ s late"
CLOCK = "our clock is"
SILENT = "has not answered a question|fate is unknown"
DOUBT = "fate is unknown"
REFUSED = "is rejected|fate is unknown"
STREAMS = {LATE, SILENT, CLOCK}
"""What takes a node out of its trust: of several at once, the first is told."""
BACK = "it is back before anything is late, and what it left out is asked for"
HEARD = "the stream told what the answer did not"
ASKED = "an order that nobody answers for is told; what else was not heard is asked for and booked"
DOOR = "refused at the door, and had from REST before it is late"
AGAIN = "it is withdrawn again; a stop only reduces"

FAULTS: Mapping[str, Fault] = {
    # connections
    "market socket dropped": Fault(acts=_drop("market"), quiet=BACK),
    "user socket dropped": Fault(acts=_drop("user"), quiet=BACK),
    "trading socket dropped": Fault(acts=_drop("trading"), quiet=BACK),
    "all sockets dropped": Fault(acts=_drop(*ALL), quiet=BACK),
    "market socket stalls": Fault(_while("stall", MARKET), seconds=5.0, alert=LATE),
    "user socket stalls": Fault(_while("stall", USER), seconds=4.0, quiet=ASKED),
    "market connections refused": Fault(_while("refuse", MARKET), _drop("market"), 7.0, alert=LATE),
    "user connections refused": Fault(_while("refuse", USER), _drop("user"), 4.0, quiet=ASKED),
    "trading connections refused": Fault(_while("refuse", TRADING), _drop("trading"), 4.0, quiet=ASKED),
    "all connections refused": Fault(_while("refuse", MARKET, USER, TRADING, REST), _drop(*ALL), 5.0, alert=SILENT),
    # answers
    "order: 500, not carried out": Fault(_once("server_error", ORDER), alert=DOUBT),
    "order: error of the exchange": Fault(_once("error", ORDER), alert=DOUBT),
    "order: 429 with Retry-After": Fault(_once("rate_limit", ORDER, retry_after=2), alert=REFUSED),
    "order: wrong signature": Fault(_once("bad_signature", ORDER), alert=REFUSED),
    "order: key refused": Fault(_once("bad_key", ORDER), alert=REFUSED),
    "order: margin is short": Fault(_once("margin", ORDER), alert=REFUSED),
    "order: time-out, carried out": Fault(_once("timeout_executed", ORDER), quiet=HEARD),
    "order: time-out, not carried out": Fault(_once("timeout", ORDER), alert=DOUBT),
    "order: acknowledgement lost": Fault(_once("lost_ack", ORDER), quiet=HEARD),
    "order: line cut, not carried out": Fault(_once("cut", ORDER), alert=DOUBT),
    "order: answered late": Fault(_once("late_answer", ORDER, delay_ms=2_500), quiet=HEARD),
    "order: carried out late": Fault(_once("slow", ORDER, delay_ms=700), quiet=HEARD),
    "stop: 500, not carried out": Fault(_once("server_error", STOP), alert=DOUBT),
    "stop: 429 with Retry-After": Fault(_once("rate_limit", STOP, retry_after=2), alert=REFUSED),
    "stop: margin is short": Fault(_once("margin", STOP), alert=REFUSED),
    "stop: time-out, carried out": Fault(_once("timeout_executed", STOP), quiet=HEARD),
    "stop: time-out, not carried out": Fault(_once("timeout", STOP), alert=DOUBT),
    "stop: acknowledgement lost": Fault(_once("lost_ack", STOP), quiet=HEARD),
    "stop: line cut, not carried out": Fault(_once("cut", STOP), alert=DOUBT),
    "withdrawal of a stop: 500": Fault(_once("server_error", WITHDRAW), holding=True, quiet=AGAIN),
    "withdrawal of a stop: acknowledgement lost": Fault(_once("lost_ack", WITHDRAW), holding=True, quiet=HEARD),
    "withdrawal of a stop: line cut": Fault(_once("cut", WITHDRAW), holding=True, quiet=AGAIN),
    "every request: 500": Fault(_while("server_error", REST, TRADING), seconds=4.0, alert=SILENT),
    "every request: 418 with Retry-After": Fault(
        _while("ban", REST, TRADING, retry_after=3), seconds=4.0, alert=SILENT
    ),
    "every request: wrong signature": Fault(
        _while("bad_signature", REST, TRADING), seconds=3.0, alert=f"{SILENT}|{REFUSED}"
    ),
    "maintenance": Fault(_while("maintenance", REST, *(USER, MARKET, TRADING)), _drop(*ALL), 5.0, alert=SILENT),
    # events
    "fill suppressed": Fault(_once("suppress", FILL), quiet=ASKED),
    "order events suppressed": Fault(_once("suppress", {**USER, "e": "ORDER_TRADE_UPDATE"}, 4), quiet=ASKED),
    "balance events suppressed": Fault(
        _once("suppress", {**USER, "e": "ACCOUNT_UPDATE"}, 4),
        quiet="the books are held to the balance that the venue itself tells",
    ),
    "stop events suppressed": Fault(_once("suppress", ALGO, 3), quiet=ASKED),
    "user events duplicated": Fault(_once("duplicate", USER, 12), quiet="each is counted once"),
    "user events delayed": Fault(_once("delay", USER, 6, delay_ms=700), quiet=ASKED),
    "user events reordered": Fault(_once("reorder", USER, 2), quiet="they are taken in any order"),
    # klines
    "kline of zero": Fault(_once("kline_zero", BAR), holding=True, quiet=DOOR),
    "kline tenfold": Fault(_once("kline_outlier", BAR), holding=True, quiet=DOOR),
    "kline missing": Fault(_once("kline_missing", BAR, 2), quiet=DOOR),
    "kline duplicated": Fault(_once("kline_duplicate", BAR), quiet="it is taken once"),
    "kline out of order": Fault(_once("kline_out_of_order", BAR), quiet=DOOR),
    "kline of zero, by REST too": Fault(
        _once("kline_zero", BAR) + _while("kline_zero", KLINES),
        seconds=2.0,
        holding=True,
        quiet="it is asked for until it is whole, and told once it is late",
    ),
    "kline missing, by REST too": Fault(
        _once("kline_missing", BAR) + _while("kline_missing", KLINES),
        seconds=2.0,
        quiet="it is asked for until it is whole, and told once it is late",
    ),
    # the account and the clock
    "clock 3 s off": Fault(_while("skew", {}, skew_ms=3_000), seconds=3.0, alert=CLOCK),
    "clock 8 s off": Fault(_while("skew", {}, skew_ms=-8_000), seconds=3.0, alert=CLOCK),
    "listen key expires": Fault(acts=({"do": "expire_listen_keys"},), quiet="the engine takes a new one at once"),
    "stop cancelled by the exchange": Fault(
        acts=({"do": "cancel", "what": "algos"},), holding=True, alert="the stop is"
    ),
    "stop cancelled by the exchange, unheard": Fault(
        _once("suppress", ALGO), ({"do": "cancel", "what": "algos"},), holding=True, alert="the stop is"
    ),
    "liquidation": Fault(
        acts=({"do": "liquidate", "symbol": "BTCUSDT"},), holding=True, halts=True, alert="nobody knows|the venue holds"
    ),
}
"""By name. That an entry is cancelled by the exchange is among the tests of orders: ours are market orders here."""
