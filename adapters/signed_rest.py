"""Signed requests to Binance's REST API, one attempt each: whoever asks decides what silence means.

References
----------
Binance USD-M futures, signed endpoints: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import quote, urlencode

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from adapters.request_budget import RequestBudget
from core.errors import AutotradeError, RefusedError

__all__ = ["Keys", "SignedRest", "VenueRefusalError"]

_DEFAULT_WAIT_SECONDS = 30.0
_UNCERTAIN = frozenset({-1000, -1001, -1006, -1007})
"""Codes after which a request may have been carried out."""


class Keys(Protocol):
    """An API key and its secret: of HMAC, or the PEM of an Ed25519 key."""

    @property
    def key(self) -> str:
        """Public part."""

    @property
    def secret(self) -> str:
        """Secret part."""


class VenueRefusalError(AutotradeError):
    """The venue has answered, and refuses; nothing was carried out.

    Attributes
    ----------
    code : int
        Binance's.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class SignedRest:
    """A client of one account; used from one thread.

    Parameters
    ----------
    base_url : str
        ``https://host``.
    keys : Keys
        Never shown.
    budget : RequestBudget
        Asked before every request, and told of every answer.
    timeout_seconds : float
        Longest wait for an answer.
    recv_window_ms : int
        A request is void after this.
    clock_ms : Callable[[], int]
        The time in requests.
    """

    def __init__(
        self,
        base_url: str,
        keys: Keys,
        budget: RequestBudget,
        *,
        timeout_seconds: float,
        recv_window_ms: int = 5_000,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._url = base_url
        self._budget = budget
        self._recv_window_ms = recv_window_ms
        self._clock_ms = clock_ms
        self._sign = _signer(keys.secret)
        headers = {"X-MBX-APIKEY": keys.key, "User-Agent": "autotrade"}
        self._client = httpx.Client(timeout=timeout_seconds, headers=headers)

    def __repr__(self) -> str:
        return f"SignedRest({self._url})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connection."""
        self._client.close()

    def request(
        self, method: str, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1, exits: bool = False
    ) -> Any:
        """Return the JSON of an answer.

        Raises
        ------
        VenueRefusalError
            Where the venue refuses: nothing was carried out.
        AutotradeError
            Where there is no answer, or none that says what became of the request.
        """
        wait = self._budget.take(weight, exits=exits)
        if wait > 0.0:
            raise AutotradeError(f"{path}: not asked, the request weight is spent; {wait:.1f} s to wait")
        fields = dict(params or {}) | {"recvWindow": str(self._recv_window_ms), "timestamp": str(self._clock_ms())}
        query = urlencode(fields)
        try:
            answer = self._client.request(method, f"{self._url}{path}?{query}&signature={self._sign(query)}")
        except httpx.HTTPError as error:
            raise AutotradeError(f"{path}: no answer ({type(error).__name__})") from None
        return self._read(path, answer)

    def _read(self, path: str, answer: httpx.Response) -> Any:
        used = answer.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isdigit():
            self._budget.told(int(used))
        if answer.status_code in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT}:
            given = answer.headers.get("Retry-After", "")
            wait = float(given) if given.isdigit() else _DEFAULT_WAIT_SECONDS
            self._budget.retry_after(wait)
            raise AutotradeError(f"{path}: asked too often; {wait:g} s to wait")
        try:
            body = answer.json()
        except ValueError:
            raise AutotradeError(f"{path}: HTTP {answer.status_code} without JSON") from None
        if answer.status_code == HTTPStatus.OK:
            return body
        code = body.get("code") if isinstance(body, dict) else None
        if not isinstance(code, int) or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _UNCERTAIN:
            raise AutotradeError(f"{path}: HTTP {answer.status_code}, code {code}: nobody knows what became of it")
        raise VenueRefusalError(code, str(body.get("msg", "")))


def _signer(secret: str) -> Callable[[str], str]:
    """Return what signs a query: Ed25519 where the secret is a PEM, else HMAC."""
    if "PRIVATE KEY" not in secret:
        return lambda query: hmac.new(secret.encode(), query.encode(), hashlib.sha256).hexdigest()
    key = load_pem_private_key(secret.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise RefusedError("the API secret is a key of another kind; make an Ed25519 key at the venue")
    return lambda query: quote(base64.b64encode(key.sign(query.encode())).decode(), safe="")
