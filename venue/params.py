"""What a stand-in venue is started with."""

import msgspec

__all__ = ["DEMO_KEY", "DEMO_SECRET", "ApiKey", "VenueParams"]

DEMO_KEY = "stand-in-key-of-a-venue-that-holds-no-money"
DEMO_SECRET = "stand-in-secret-of-a-venue-that-holds-no-money"  # noqa: S105 - it opens nothing but the stand-in
"""Taken by every stand-in that was given no keys of its own."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of the account: ``secret`` for HMAC, or ``public_pem`` for Ed25519, and what it may do."""

    key: str
    secret: str = ""
    public_pem: str = ""
    trade: bool = True
    withdraw: bool = False
    ip_restricted: bool = True

    def __repr__(self) -> str:
        return f"ApiKey({self.key[:4]}...)"


class VenueParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stand-in venue is started with.

    ``catalog`` (with ``symbols``, ``start``, ``end``: ISO, UTC, the first open and the last close replayed) replays
    one-minute bars; without it prices are a random walk of seed ``walk``. ``speed`` 1 restamps the bars to now, other
    numbers play the past so many times faster, 0 waits for ``POST /control/next`` before every bar.

    ``away_bps`` is the distance of bid and ask from a bar's prices, ``depth_quote`` (USDT) what stands at each of
    them. ``fill_share`` of it is what one match may take. ``taker_bps``, ``maker_bps`` fees, ``balance`` USDT.
    ``weight_limit``, ``order_limit_10s``, ``order_limit_1m`` 0: no limit. ``listen_key_seconds`` a listen key lives.
    """

    host: str = "127.0.0.1"
    port: int = 0
    catalog: str | None = None
    symbols: tuple[str, ...] = ("BTCUSDT",)
    start: str = "2024-01-01T00:00:00Z"
    end: str | None = None
    speed: float = 0.0
    walk: int = 1
    away_bps: float = 1.0
    depth_quote: float = 1_000_000.0
    balance: float = 10_000.0
    taker_bps: float = 5.0
    maker_bps: float = 2.0
    maintenance: float = 0.004
    fill_share: float = 1.0
    keys: tuple[ApiKey, ...] = (ApiKey(key=DEMO_KEY, secret=DEMO_SECRET),)
    weight_limit: int = 2_400
    order_limit_10s: int = 300
    order_limit_1m: int = 1_200
    listen_key_seconds: float = 3_600.0
