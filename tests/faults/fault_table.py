"""Every fault that a venue or the way to it has, as one table: what strikes, for how long, what a node may do."""

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["FAULTS", "Fault"]

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

    ``seconds`` it lasts, 0: until every rule has hit as often as it counts; ``alerts``: a person must be told;
    ``halts``: the breaker may halt the node for good, which is right; ``holding``: it begins under a position.
    """

    rules: tuple[Mapping[str, Any], ...] = ()
    acts: tuple[Mapping[str, Any], ...] = ()
    seconds: float = 0.0
    alerts: bool = False
    halts: bool = False
    holding: bool = False


def _once(kind: str, match: Mapping[str, str], count: int = 1, **rule: Any) -> tuple[Mapping[str, Any], ...]:
    return ({"kind": kind, "match": match, "count": count, **rule},)


def _while(kind: str, *matches: Mapping[str, str], **rule: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple({"kind": kind, "match": match, **rule} for match in matches)


def _drop(*channels: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"do": "drop", "channel": channel} for channel in channels)


ALL = ("market", "user", "trading")

FAULTS: Mapping[str, Fault] = {
    # connections
    "market socket dropped": Fault(acts=_drop("market")),
    "user socket dropped": Fault(acts=_drop("user")),
    "trading socket dropped": Fault(acts=_drop("trading")),
    "all sockets dropped": Fault(acts=_drop(*ALL)),
    "market socket stalls": Fault(_while("stall", MARKET), seconds=5.0, alerts=True),
    "user socket stalls": Fault(_while("stall", USER), seconds=4.0),
    "market connections refused": Fault(_while("refuse", MARKET), _drop("market"), 5.0, alerts=True),
    "user connections refused": Fault(_while("refuse", USER), _drop("user"), 4.0),
    "trading connections refused": Fault(_while("refuse", TRADING), _drop("trading"), 4.0),
    "all connections refused": Fault(_while("refuse", MARKET, USER, TRADING, REST), _drop(*ALL), 5.0, alerts=True),
    # answers
    "order: 500, not carried out": Fault(_once("server_error", ORDER)),
    "order: error of the exchange": Fault(_once("error", ORDER)),
    "order: 429 with Retry-After": Fault(_once("rate_limit", ORDER, retry_after=2)),
    "order: wrong signature": Fault(_once("bad_signature", ORDER)),
    "order: key refused": Fault(_once("bad_key", ORDER)),
    "order: margin is short": Fault(_once("margin", ORDER)),
    "order: time-out, carried out": Fault(_once("timeout_executed", ORDER)),
    "order: time-out, not carried out": Fault(_once("timeout", ORDER), alerts=True),
    "order: acknowledgement lost": Fault(_once("lost_ack", ORDER)),
    "order: line cut, not carried out": Fault(_once("cut", ORDER), alerts=True),
    "order: answered late": Fault(_once("late_answer", ORDER, delay_ms=2_500)),
    "order: carried out late": Fault(_once("slow", ORDER, delay_ms=700)),
    "stop: 500, not carried out": Fault(_once("server_error", STOP)),
    "stop: 429 with Retry-After": Fault(_once("rate_limit", STOP, retry_after=2)),
    "stop: margin is short": Fault(_once("margin", STOP)),
    "stop: time-out, carried out": Fault(_once("timeout_executed", STOP)),
    "stop: time-out, not carried out": Fault(_once("timeout", STOP)),
    "stop: acknowledgement lost": Fault(_once("lost_ack", STOP)),
    "stop: line cut, not carried out": Fault(_once("cut", STOP)),
    "withdrawal of a stop: 500": Fault(_once("server_error", WITHDRAW), holding=True),
    "withdrawal of a stop: acknowledgement lost": Fault(_once("lost_ack", WITHDRAW), holding=True),
    "withdrawal of a stop: line cut": Fault(_once("cut", WITHDRAW), holding=True),
    "every request: 500": Fault(_while("server_error", REST, TRADING), seconds=4.0, alerts=True),
    "every request: 418 with Retry-After": Fault(_while("ban", REST, TRADING, retry_after=3), seconds=4.0, alerts=True),
    "every request: wrong signature": Fault(_while("bad_signature", REST, TRADING), seconds=3.0, alerts=True),
    "maintenance": Fault(_while("maintenance", REST, *(USER, MARKET, TRADING)), _drop(*ALL), 5.0, alerts=True),
    # events
    "fill suppressed": Fault(_once("suppress", FILL)),
    "order events suppressed": Fault(_once("suppress", {**USER, "e": "ORDER_TRADE_UPDATE"}, 4)),
    "balance events suppressed": Fault(_once("suppress", {**USER, "e": "ACCOUNT_UPDATE"}, 4)),
    "stop events suppressed": Fault(_once("suppress", ALGO, 3)),
    "user events duplicated": Fault(_once("duplicate", USER, 12)),
    "user events delayed": Fault(_once("delay", USER, 6, delay_ms=700)),
    "user events reordered": Fault(_once("reorder", USER, 2)),
    # klines
    "kline of zero": Fault(_once("kline_zero", BAR), holding=True),
    "kline tenfold": Fault(_once("kline_outlier", BAR), holding=True),
    "kline missing": Fault(_once("kline_missing", BAR, 2)),
    "kline duplicated": Fault(_once("kline_duplicate", BAR)),
    "kline out of order": Fault(_once("kline_out_of_order", BAR)),
    "kline of zero, by REST too": Fault(
        _once("kline_zero", BAR) + _while("kline_zero", KLINES), seconds=2.0, holding=True
    ),
    "kline missing, by REST too": Fault(_once("kline_missing", BAR) + _while("kline_missing", KLINES), seconds=2.0),
    # the account and the clock
    "clock 3 s off": Fault(_while("skew", {}, skew_ms=3_000), seconds=3.0, alerts=True),
    "clock 8 s off": Fault(_while("skew", {}, skew_ms=-8_000), seconds=3.0, alerts=True),
    "listen key expires": Fault(acts=({"do": "expire_listen_keys"},)),
    "stop cancelled by the exchange": Fault(acts=({"do": "cancel", "what": "algos"},), holding=True, alerts=True),
    "stop cancelled by the exchange, unheard": Fault(
        _once("suppress", ALGO), ({"do": "cancel", "what": "algos"},), halts=True, holding=True
    ),  # it is replaced; but the engine counts the dead one on, and the breaker halts for stops that rest without need
    "liquidation": Fault(acts=({"do": "liquidate", "symbol": "BTCUSDT"},), holding=True, halts=True, alerts=True),
}
"""By name. That an entry is cancelled by the exchange is among the tests of orders: ours are market orders here."""
