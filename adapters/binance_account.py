"""One account on Binance USD-M futures by REST: signed requests, and what may be repeated of them.

Questions are repeated, orders never: one whose answer was lost is asked for by its name. Who sends it once more under
the same name has it asked for first, too.

References
----------
Binance USD-M futures, signed endpoints: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode, urlsplit

import httpx

from adapters.binance_refusals import ABSENT, CLOCK, UNCERTAIN, VenueBusyError, VenueRefusalError, refusal
from adapters.credentials import Credentials
from adapters.web import trusted
from core.checkup import KeyRights
from core.errors import AutotradeError, UsageError

__all__ = ["BinanceAccount", "Budget"]

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_DEFAULT_WAIT_SECONDS = 30.0
_PAUSE_SECONDS = 0.5
_LOOKS = 3
"""Questions for an order whose answer was lost: the venue's books may be behind each other."""


class Budget(Protocol):
    """What may still be asked (`adapters.request_budget.RequestBudget`)."""

    def take(self, weight: int, *, exits: bool = False) -> float:
        """Spend weight; return 0, or the seconds to wait before it may be spent."""

    def told(self, used: int) -> None:
        """Take the venue's own count of the last minute."""

    def retry_after(self, seconds: float) -> None:
        """Let nobody ask for so long."""


class BinanceAccount:
    """A client of one account, or of the market alone; usable from any thread.

    Parameters
    ----------
    base_url : str
        ``https://host``; without encryption only on this machine.
    credentials : Credentials or None
        None: only what is public may be asked.
    clock_ms : Callable[[], int]
        Our clock.
    timeout_seconds : float
        Longest silence of a request.
    recv_window_ms : int
        A signed request is void after this.
    retries : int
        Further attempts of a question (GET) without an answer.
    budget : Budget or None
        Asked before every request, and told of every answer.
    permissions_url : str
        Where the venue says what a key may do; empty: nowhere.
    transport, sleep
        Of tests.
    """

    def __init__(
        self,
        base_url: str,
        credentials: Credentials | None,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        timeout_seconds: float = 5.0,
        recv_window_ms: int = 5_000,
        retries: int = 0,
        budget: Budget | None = None,
        permissions_url: str = "",
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        for url in filter(None, (base_url, permissions_url)):
            parts = urlsplit(url)
            if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
                raise UsageError(f"{url} would be sent the key unencrypted; give an https:// address")
        self._url, self._permissions_url = base_url.rstrip("/"), permissions_url.rstrip("/")
        self._credentials = credentials
        self._clock_ms, self._recv_window_ms = clock_ms, recv_window_ms
        self._retries, self._budget, self._sleep = retries, budget, sleep
        self.used_weight: int | None = None
        self.offset_ms = 0
        self._client = httpx.Client(
            timeout=timeout_seconds,
            transport=transport,
            verify=trusted(),
            follow_redirects=False,
            headers={"User-Agent": "autotrade"},
        )

    def __repr__(self) -> str:
        return f"BinanceAccount({self._url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connections."""
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def server_time(self) -> int:
        """Return the venue's time, ms."""
        return int(self._public("/fapi/v1/time")["serverTime"])

    def synchronise(self) -> int:
        """Stamp requests by the venue's clock from now on; return our clock less the venue's, ms."""
        sent = self._clock_ms()
        server = self.server_time()
        self.offset_ms = (sent + self._clock_ms()) // 2 - server
        return self.offset_ms

    def exchange_info(self) -> Any:
        """Return instruments and their filters."""
        return self._public("/fapi/v1/exchangeInfo")

    def price(self, symbol: str) -> float:
        """Return the last price, quote currency."""
        return float(self._public("/fapi/v1/ticker/price", f"?{urlencode({'symbol': symbol})}")["price"])

    def account(self) -> dict[str, Any]:
        """Return balances, margins and rights of the account."""
        return dict(self.request("GET", "/fapi/v2/account", weight=5))

    def positions(self) -> list[dict[str, Any]]:
        """Return a row for every symbol: amount, entry price, leverage, margin type."""
        return list(self.request("GET", "/fapi/v2/positionRisk", weight=5))

    def open_orders(self, symbol: str = "") -> list[dict[str, Any]]:
        """Return the orders that rest, of one symbol or of all."""
        return self._resting("/fapi/v1/openOrders", symbol)

    def open_algo_orders(self, symbol: str = "") -> list[dict[str, Any]]:
        """Return the conditional orders that wait, of one symbol or of all."""
        return self._resting("/fapi/v1/openAlgoOrders", symbol)

    def hedge_mode(self) -> bool:
        """Return whether long and short positions are held side by side."""
        return bool(self.request("GET", "/fapi/v1/positionSide/dual", weight=30)["dualSidePosition"])

    def leverage_brackets(self, symbol: str) -> list[dict[str, Any]]:
        """Return the highest leverage by notional."""
        return list(self.request("GET", "/fapi/v1/leverageBracket", {"symbol": symbol}))

    def permissions(self) -> KeyRights | None:
        """Return what the key may do, None where the venue does not say."""
        if not self._permissions_url:
            return None
        said = self.request("GET", "/sapi/v1/account/apiRestrictions", url=self._permissions_url)
        return KeyRights(
            read=bool(said["enableReading"]),
            trade=bool(said["enableFutures"]),
            withdraw=bool(said["enableWithdrawals"]),
            transfer=bool(said.get("enableInternalTransfer")) or bool(said.get("permitsUniversalTransfer")),
            ip_restricted=bool(said["ipRestrict"]),
        )

    def order(self, symbol: str, client_order_id: str, *, exits: bool = False) -> dict[str, Any] | None:
        """Return how an order stands, None where the venue does not know it."""
        fields = {"symbol": symbol, "origClientOrderId": client_order_id}
        try:
            return dict(self.request("GET", "/fapi/v1/order", fields, exits=exits))
        except VenueRefusalError as error:
            if error.code not in ABSENT:
                raise
            return None

    def cancel_order(self, symbol: str, client_order_id: str) -> dict[str, Any] | None:
        """End an order; return how it stands, None where there was nothing to end."""
        fields = {"symbol": symbol, "origClientOrderId": client_order_id}
        try:
            return dict(self.request("DELETE", "/fapi/v1/order", fields, exits=True))
        except VenueRefusalError as error:
            if error.code not in ABSENT:
                raise
            return None

    def reduce(self, symbol: str, side: str, quantity: str, client_order_id: str) -> dict[str, Any]:
        """Send a reduce-only market order, at most once as far as anyone can know; return how it stands.

        Raises
        ------
        VenueRefusalError
            Where the venue refuses it.
        AutotradeError
            Where its fate is not known: ask for it, do not send it again.
        """
        known = self.order(symbol, client_order_id, exits=True)
        if known is not None:
            return known
        fields = {
            "symbol": symbol,
            "side": side,
            "type": "MARKET",
            "quantity": quantity,
            "reduceOnly": "true",
            "newClientOrderId": client_order_id,
            "newOrderRespType": "RESULT",
        }
        try:
            return dict(self.request("POST", "/fapi/v1/order", fields, weight=0, exits=True))
        except (VenueRefusalError, VenueBusyError, UsageError):
            raise
        except AutotradeError as error:
            return self._fate(symbol, client_order_id, error)

    def request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        weight: int = 1,
        exits: bool = False,
        url: str = "",
    ) -> Any:
        """Return the JSON of the answer to a signed request.

        Raises
        ------
        VenueRefusalError
            Where the venue refuses: nothing was carried out.
        KeyRefusedError
            Where it does not take the key.
        VenueBusyError
            Where it was asked too often; nothing was carried out.
        AutotradeError
            Where there is no answer, or none that says what became of the request.
        """
        if self._credentials is None:
            raise UsageError(f"{path} needs an API key: name credentials")
        signed = self._signed
        try:
            return self._repeated(method, path, lambda: signed(params or {}), weight, exits=exits, url=url)
        except VenueRefusalError as error:
            if error.code != CLOCK:
                raise
        self.synchronise()  # a request out of time was not carried out, whatever it was
        return self._repeated(method, path, lambda: signed(params or {}), weight, exits=exits, url=url)

    def _public(self, path: str, query: str = "") -> Any:
        return self._repeated("GET", path, lambda: query, 1, exits=False, url="")

    def _resting(self, path: str, symbol: str) -> list[dict[str, Any]]:
        return list(self.request("GET", path, {"symbol": symbol} if symbol else None, weight=1 if symbol else 40))

    def _signed(self, params: Mapping[str, str]) -> str:
        """Return a query with its time and signature."""
        assert self._credentials is not None
        stamp = self._clock_ms() - self.offset_ms
        query = urlencode({**params, "recvWindow": str(self._recv_window_ms), "timestamp": str(stamp)})
        return f"?{query}&signature={quote(self._credentials.sign(query), safe='')}"

    def _repeated(self, method: str, path: str, query: Callable[[], str], weight: int, *, exits: bool, url: str) -> Any:
        """Return an answer; a question is put again where none came."""
        for left in range(self._retries if method == "GET" else 0, -1, -1):
            try:
                return self._once(method, path, query(), weight, exits=exits, url=url or self._url)
            except (VenueRefusalError, VenueBusyError, UsageError):
                raise
            except AutotradeError:
                if left == 0:
                    raise
            self._sleep(_PAUSE_SECONDS)
        raise AssertionError

    def _once(self, method: str, path: str, query: str, weight: int, *, exits: bool, url: str) -> Any:
        budget = self._budget if url == self._url else None  # another host counts by itself
        wait = 0.0 if budget is None else budget.take(weight, exits=exits)
        if wait > 0.0:
            raise VenueBusyError(path, wait, "not asked, the request weight is spent")
        headers = {}
        if self._credentials is not None and "signature=" in query:
            headers["X-MBX-APIKEY"] = self._credentials.key
        try:
            answer = self._client.request(method, f"{url}{path}{query}", headers=headers)
        except httpx.TimeoutException:
            raise AutotradeError(f"{url}{path}: no answer in time; is the venue up, and the address right?") from None
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise AutotradeError(f"{url}{path}: not reached ({_why(error)}); is the venue up?") from None
        return self._read(path, answer, budget)

    def _read(self, path: str, answer: httpx.Response, budget: Budget | None) -> Any:
        used = answer.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isascii() and used.isdigit():
            self.used_weight = int(used)
            if budget is not None:
                budget.told(self.used_weight)
        if answer.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT}:
            given = answer.headers.get("Retry-After", "")
            wait = float(given) if given.isascii() and given.isdigit() else _DEFAULT_WAIT_SECONDS
            if budget is not None:
                budget.retry_after(wait)
            raise VenueBusyError(path, wait, f"asked too often ({answer.status_code})")
        try:
            body = answer.json()
        except ValueError:
            raise AutotradeError(f"{path}: answered with HTTP {answer.status_code} without JSON") from None
        if answer.status_code == HTTPStatus.OK:
            return body
        code = body.get("code") if isinstance(body, dict) else None
        if not isinstance(code, int) or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in UNCERTAIN:
            raise AutotradeError(
                f"{path}: answered with HTTP {answer.status_code}, code {code}: nobody knows what became of it"
            )
        hint = "" if self._credentials is None else self._credentials.hint
        raise refusal(path, code, str(body.get("msg") or ""), hint)

    def _fate(self, symbol: str, client_order_id: str, lost: AutotradeError) -> dict[str, Any]:
        """Return how an order stands whose answer was lost."""
        for _ in range(_LOOKS):
            try:
                known = self.order(symbol, client_order_id, exits=True)
            except AutotradeError as error:
                lost = error
            else:
                if known is not None:
                    return known
            self._sleep(_PAUSE_SECONDS)
        raise AutotradeError(f"the fate of order {client_order_id} is not known: {lost}") from None


def _why(error: Exception) -> str:
    """Return a reason in one line, without the address that may hold a signature."""
    text = str(error).splitlines()[0] if str(error) else ""
    return type(error).__name__ if not text or "signature" in text else text
