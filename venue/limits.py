"""Request weights and order counts, and what happens to who asks too much."""

from collections.abc import Callable, Mapping

__all__ = ["Limits", "TooMany", "weight"]

_WEIGHTS: Mapping[tuple[str, str], int] = {
    ("GET", "/fapi/v1/allOrders"): 5,
    ("GET", "/fapi/v1/allAlgoOrders"): 5,
    ("GET", "/fapi/v1/userTrades"): 5,
    ("GET", "/fapi/v2/account"): 5,
    ("GET", "/fapi/v3/account"): 5,
    ("GET", "/fapi/v2/balance"): 5,
    ("GET", "/fapi/v3/balance"): 5,
    ("GET", "/fapi/v2/positionRisk"): 5,
    ("GET", "/fapi/v3/positionRisk"): 5,
    ("GET", "/fapi/v1/income"): 30,
    ("GET", "/fapi/v1/positionSide/dual"): 30,
    ("GET", "/fapi/v1/accountConfig"): 5,
    ("GET", "/fapi/v1/symbolConfig"): 5,
    ("GET", "/fapi/v1/commissionRate"): 20,
    ("GET", "/fapi/v1/aggTrades"): 20,
    ("GET", "/fapi/v1/trades"): 5,
    ("GET", "/fapi/v1/fundingRate"): 1,
    ("GET", "/fapi/v1/fundingInfo"): 1,
    ("POST", "/fapi/v1/order"): 0,
    ("POST", "/fapi/v1/algoOrder"): 0,
    ("POST", "/fapi/v1/batchOrders"): 5,
}
_ORDERS = {"/fapi/v1/order", "/fapi/v1/batchOrders", "/fapi/v1/algoOrder"}
_KLINES = ("klines", "continuousKlines", "markPriceKlines", "indexPriceKlines")
_MINUTE_MS, _TEN_SECONDS_MS = 60_000, 10_000
_BANNED_AFTER = 10
"""Requests after the first refusal in a minute that earn a ban."""


def weight(method: str, path: str, params: Mapping[str, str]) -> int:
    """Return what a request costs."""
    name = path.rpartition("/")[2]
    if name in _KLINES:
        return _by_size(params, 500, ((100, 1), (500, 2), (1_000, 5)), 10)
    if name == "depth":
        return _by_size(params, 500, ((50, 2), (100, 5), (500, 10)), 20)
    if name in {"openOrders", "openAlgoOrders"}:
        return 1 if params.get("symbol") else 40
    if name in {"price", "bookTicker", "premiumIndex", "24hr"}:
        one, all_of_them = {"price": (1, 2), "bookTicker": (2, 5), "premiumIndex": (1, 10), "24hr": (1, 40)}[name]
        return one if params.get("symbol") else all_of_them
    return _WEIGHTS.get((method, path), 1)


def _by_size(params: Mapping[str, str], default: int, steps: tuple[tuple[int, int], ...], most: int) -> int:
    given = params.get("limit", "")
    size = int(given) if given.isdigit() else default
    return next((cost for limit, cost in steps if size <= limit), most)


class TooMany(Exception):  # noqa: N818 - the refusal by its reason
    """A refusal for asking too much: ``status`` 429 or 418, and seconds to wait."""

    def __init__(self, status: int, retry_after: int, code: int, msg: str) -> None:
        super().__init__(msg)
        self.status, self.retry_after, self.code, self.msg = status, retry_after, code, msg


class Limits:
    """Counts what is asked by the minute; 0 means no limit.

    Parameters
    ----------
    weight_1m, orders_10s, orders_1m : int
        The limits.
    now_ms : Callable[[], int]
        Real time.
    """

    def __init__(self, weight_1m: int, orders_10s: int, orders_1m: int, now_ms: Callable[[], int]) -> None:
        self._weight_1m = weight_1m
        self._orders = {"10S": (_TEN_SECONDS_MS, orders_10s), "1M": (_MINUTE_MS, orders_1m)}
        self._now_ms = now_ms
        self._counts: dict[tuple[str, int], int] = {}
        self._refused = 0
        self._bans = 0
        self._banned_until_ms = 0

    def take(self, method: str, path: str, params: Mapping[str, str]) -> None:
        """Count a request.

        Raises
        ------
        TooMany
            Where it is one too many.
        """
        now = self._now_ms()
        if now < self._banned_until_ms:
            raise TooMany(418, -(-(self._banned_until_ms - now) // 1_000), -1003, self._ban_words())
        used = self._add("weight", _MINUTE_MS, weight(method, path, params))
        if self._weight_1m and used > self._weight_1m:
            raise self._too_heavy(now)
        self._refused = 0
        if method == "POST" and path in _ORDERS:
            for name, (length, limit) in self._orders.items():
                if self._add(name, length, 1) > limit > 0:
                    words = f"Too many new orders; current limit is {limit} orders per {name}."
                    raise TooMany(429, -(-(length - now % length) // 1_000), -1015, words)

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return what an answer says of the counts."""
        said = {"X-MBX-USED-WEIGHT-1M": str(self._count("weight", _MINUTE_MS))}
        if method == "POST" and path in _ORDERS:
            for name, (length, _) in self._orders.items():
                said[f"X-MBX-ORDER-COUNT-{name}"] = str(self._count(name, length))
        return said

    def rows(self) -> list[dict[str, object]]:
        """Return the counts as an answer of the trading websocket has them."""
        rows: list[dict[str, object]] = [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self._weight_1m or 2_400,
                "count": self._count("weight", _MINUTE_MS),
            }
        ]
        for name, (length, limit) in self._orders.items():
            interval, number = ("SECOND", 10) if length == _TEN_SECONDS_MS else ("MINUTE", 1)
            rows.append(
                {
                    "rateLimitType": "ORDERS",
                    "interval": interval,
                    "intervalNum": number,
                    "limit": limit or 1_200,
                    "count": self._count(name, length),
                }
            )
        return rows

    def _too_heavy(self, now: int) -> TooMany:
        self._refused += 1
        if self._refused <= _BANNED_AFTER:
            wait = -(-(_MINUTE_MS - now % _MINUTE_MS) // 1_000)
            words = f"Too many requests; current limit of IP is {self._weight_1m} requests per minute."
            return TooMany(429, wait, -1003, words)
        self._bans += 1
        wait_ms = 2 * _MINUTE_MS * 2 ** (self._bans - 1)
        self._banned_until_ms = now + wait_ms
        return TooMany(418, wait_ms // 1_000, -1003, self._ban_words())

    def _ban_words(self) -> str:
        return f"Way too many requests; IP banned until {self._banned_until_ms}."

    def _add(self, name: str, length: int, amount: int) -> int:
        slot = name, self._now_ms() // length
        for old in [key for key in self._counts if key[0] == name and key[1] < slot[1]]:
            del self._counts[old]
        self._counts[slot] = self._counts.get(slot, 0) + amount
        return self._counts[slot]

    def _count(self, name: str, length: int) -> int:
        return self._counts.get((name, self._now_ms() // length), 0)
