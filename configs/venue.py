"""Where orders go and market data come from, how the engine keeps its word with the venue, and how a node stops."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_LOWER, Section, safest_first

__all__ = ["Venue"]

type HttpUrl = Annotated[
    str, Meta(pattern=r"^(https?://[^/\s]+)?$", examples=["https://host", "http://127.0.0.1:8080"])
]
type SocketUrl = Annotated[str, Meta(pattern=r"^(wss?://[^/\s]+/\S*)?$", examples=["wss://host/ws"])]


class Venue(Section, frozen=True, kw_only=True):
    """The venue of a live node. There is no default: ``none`` of base.toml trades nowhere, an overlay names one."""

    environment: Annotated[
        Literal["none", "testnet", "demo", "live"], Meta(description="which Binance; overlays name it, nothing else")
    ]
    product: Annotated[Literal["none", "usdm"], Meta(description="usdm: USD-M perpetuals")]
    execution: Annotated[
        Literal["none", "simulated", "venue"], Meta(description="simulated: fills are made here, on the live feed")
    ]
    http_url: Annotated[HttpUrl, Meta(description="REST API")]
    ws_url: Annotated[SocketUrl, Meta(description="market and user streams")]
    ws_trading_url: Annotated[SocketUrl, Meta(description="trading by websocket; empty: orders go by REST")]
    replay: Annotated[bool, Meta(description="the venue replays history and waits for the node after every bar")]
    quotes: Annotated[bool, Meta(description="subscribe to best bid and ask")]
    leverage: Annotated[int, Meta(ge=1, le=20, description="set at the start for every instrument",
                                  extra=SAFER_IS_LOWER)]  # fmt: skip
    margin_type: Annotated[
        Literal["isolated", "cross"],
        Meta(description="set at the start for every instrument", extra=safest_first("isolated", "cross")),
    ]
    recv_window_ms: Annotated[int, Meta(ge=100, le=60_000, description="a signed request is void after this")]
    connect_seconds: Annotated[int, Meta(ge=1, le=300, description="the node must be connected within")]
    reconciliation_minutes: Annotated[int, Meta(ge=60, le=10_080, description="history of orders read at the start")]
    inflight_check_seconds: Annotated[
        float, Meta(ge=0.5, le=60.0, description="between looks for orders without an answer", extra=SAFER_IS_LOWER)
    ]
    inflight_seconds: Annotated[
        float, Meta(ge=0.5, le=60.0, description="an order without an answer is asked for after", extra=SAFER_IS_LOWER)
    ]
    open_check_seconds: Annotated[
        float, Meta(ge=1.0, le=60.0, description="between comparisons of open orders", extra=SAFER_IS_LOWER)
    ]
    position_check_seconds: Annotated[
        float, Meta(ge=5.0, le=300.0, description="between comparisons of positions", extra=SAFER_IS_LOWER)
    ]
    backfill_seconds: Annotated[float, Meta(ge=1.0, le=600.0, description="a missing bar is looked for so long")]
    max_bar_jump: Annotated[
        float, Meta(ge=0.01, le=1.0, description="a bar that moves more is asked for again", extra=SAFER_IS_LOWER)
    ]
    stop: Annotated[
        Literal["keep", "flatten"], Meta(description="positions at a stop: kept under their stops, or closed first")
    ]
    stop_seconds: Annotated[float, Meta(ge=1.0, le=300.0, description="a stop waits so long for what is under way")]
