"""The in-memory twin of an account on Binance: a function from request to answer, in the shapes of the wire."""

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx

KEY, SECRET = "k" * 60 + "7f3a", "s" * 60 + "91bc"
NOW_MS = 1_700_000_000_000

SYMBOL = {
    "symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING", "baseAsset": "BTC",
    "quoteAsset": "USDT", "marginAsset": "USDT", "pricePrecision": 2, "quantityPrecision": 3,
    "onboardDate": 1_569_398_400_000,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "stepSize": "0.001", "maxQty": "1000", "minQty": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "maxQty": "120", "minQty": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}  # fmt: skip


class WireAccount:
    """One account; ``httpx.MockTransport(account)`` is a network that ends in it.

    Attributes
    ----------
    faults : dict
        By path: functions that are asked first, each once, and may answer in its place.
    """

    def __init__(self, *, verify: Callable[[str, str], bool] | None = None, real_time: bool = False) -> None:
        self.key = KEY
        self.verify = verify or _hmac_fits
        self.real_time = real_time
        self.hedge = False
        self.restrictions: dict[str, Any] = {
            "ipRestrict": True, "createTime": 1_698_645_219_000, "enableReading": True, "enableFutures": True,
            "enableWithdrawals": False, "enableInternalTransfer": False, "permitsUniversalTransfer": False,
            "enableMargin": False, "enableVanillaOptions": False, "enableSpotAndMarginTrading": False,
        }  # fmt: skip
        self.position: dict[str, Any] = {
            "symbol": "BTCUSDT", "positionAmt": "0.000", "entryPrice": "0.0", "markPrice": "50000.0", "leverage": "1",
            "marginType": "isolated", "positionSide": "BOTH", "updateTime": 0,
        }  # fmt: skip
        self.balance, self.price = "10000.00000000", "50000.00"
        self.multi_assets = False
        self.can_trade = True
        self.orders: dict[str, dict[str, Any]] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.faults: dict[str, list[Callable[[httpx.Request], httpx.Response | None]]] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.now_ms = time.time_ns() // 1_000_000 if self.real_time else NOW_MS
        path = request.url.path
        query = request.url.query.decode()
        params = dict(parse_qsl(query))
        self.seen.append((request.method, path, params))
        waiting = self.faults.get(path, [])
        if waiting and (answer := waiting.pop(0)(request)) is not None:
            return answer
        public = {"/fapi/v1/time": {"serverTime": self.now_ms}, "/fapi/v1/exchangeInfo": {"symbols": [SYMBOL]},
                  "/fapi/v1/ticker/price": {"symbol": "BTCUSDT", "price": self.price}}  # fmt: skip
        if path in public:
            return self.said(public[path])
        signed, _, _ = query.rpartition("&signature=")
        if request.headers.get("X-MBX-APIKEY") != self.key:
            return refused(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        if abs(int(params["timestamp"]) - self.now_ms) > int(params["recvWindow"]):
            return refused(-1021, "Timestamp for this request is outside of the recvWindow.")
        if not self.verify(signed, params["signature"]):
            return refused(-1022, "Signature for this request is not valid.")
        return self._answer(request.method, path, params)

    def _answer(self, method: str, path: str, params: dict[str, str]) -> httpx.Response:
        balance = {"asset": "USDT", "walletBalance": self.balance, "availableBalance": self.balance}
        bodies: dict[str, Any] = {
            "/fapi/v2/account": {
                "canTrade": self.can_trade, "totalMarginBalance": self.balance, "availableBalance": self.balance,
                "multiAssetsMargin": self.multi_assets, "assets": [balance],
            },
            "/fapi/v2/positionRisk": [self.position],
            "/fapi/v1/positionSide/dual": {"dualSidePosition": self.hedge},
            "/fapi/v1/openOrders": [],
            "/fapi/v1/openAlgoOrders": [],
            "/fapi/v1/leverageBracket": [{"symbol": "BTCUSDT", "brackets": [{"bracket": 1, "initialLeverage": 125}]}],
            "/sapi/v1/account/apiRestrictions": self.restrictions,
        }  # fmt: skip
        if path == "/fapi/v1/order":
            return self._order(method, params)
        return self.said(bodies[path]) if path in bodies else refused(-5000, f"Path {path} is invalid", 404)

    def _order(self, method: str, params: dict[str, str]) -> httpx.Response:
        if method == "POST":
            name = params["newClientOrderId"]
            self.orders[name] = {"clientOrderId": name, "status": "FILLED", "executedQty": params["quantity"], **params}
            return self.said(self.orders[name])
        name = params["origClientOrderId"]
        if name not in self.orders:
            code = -2013 if method == "GET" else -2011
            return refused(code, "Order does not exist." if method == "GET" else "Unknown order sent.")
        if method == "DELETE":
            self.orders[name]["status"] = "CANCELED"
        return self.said(self.orders[name])

    def said(self, body: Any) -> httpx.Response:
        """Return an answer with its count of requests."""
        return httpx.Response(200, json=body, headers={"X-MBX-USED-WEIGHT-1M": str(len(self.seen))})


def refused(code: int, said: str, status: int = 400) -> httpx.Response:
    """Return a refusal as Binance words it."""
    return httpx.Response(status, json={"code": code, "msg": said})


def _hmac_fits(payload: str, signature: str) -> bool:
    return hmac.digest(SECRET.encode(), payload.encode(), hashlib.sha256).hex() == signature
