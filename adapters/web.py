"""HTTP with patience: what may pass is asked again after a pause, what will not pass goes to the caller at once."""

import json
import random
import ssl
import time
from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from core.errors import DataError, UsageError

__all__ = ["Answer", "Web", "trusted"]

_MAX_PAUSE_SECONDS = 120.0
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.IM_A_TEAPOT)
"""Answers below 500 that time will cure; Binance sends 418 to those who ignored its 429."""


@cache
def trusted() -> ssl.SSLContext:
    """Return whose certificates are trusted; they are read once, which takes as long as everything else of a client."""
    return httpx.create_ssl_context()


class Answer(NamedTuple):
    """An answer that no repetition would change: its status and its body, or its decoded JSON."""

    status: int
    content: Any


class Web:
    """A client that asks again after a server's fault, a lost connection, a cut body or a plea to slow down.

    Parameters
    ----------
    retries : int
        Further attempts after the first.
    backoff_seconds : float
        Pause before the second attempt, doubled with each; a random half to whole of it is slept.
    timeout_seconds : float
        How long a connection may be silent.
    sleep : callable
        Sleeps that many seconds.
    chance : callable
        Gives a uniform number of [0, 1).
    """

    def __init__(
        self,
        *,
        retries: int,
        backoff_seconds: float,
        timeout_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.received = 0
        self._retries = retries
        self._backoff = backoff_seconds
        self._timeout = timeout_seconds
        self._sleep = sleep
        self._chance = chance
        self._client = httpx.Client(timeout=timeout_seconds, follow_redirects=True, verify=trusted())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str) -> Answer:
        """Return the answer to a GET, its body as bytes.

        Raises
        ------
        DataError
            Where no attempt was answered, or the server asks for a longer pause than is ever made.
        UsageError
            For a URL that is none.
        """
        return self._ask(url, None, lambda body: body)

    def get_json(self, url: str, params: Mapping[str, str | int] | None = None) -> Answer:
        """Return the answer to a GET, its body decoded; None where a refusal is no JSON (`get`)."""
        return self._ask(url, params, json.loads)

    def _ask(self, url: str, params: Mapping[str, str | int] | None, decode: Callable[[bytes], Any]) -> Answer:
        fault, pause = "", 0.0
        for attempt in range(self._retries + 1):
            if attempt > 0:
                self._sleep(pause)
            pause = min(self._backoff * 2.0**attempt, _MAX_PAUSE_SECONDS) * (0.5 + 0.5 * self._chance())
            try:
                response = self._client.get(url, params=params)
            except (httpx.UnsupportedProtocol, httpx.InvalidURL, UnicodeError) as error:
                raise UsageError(f"{url} is no URL: {error}; give one such as https://data.binance.vision") from None
            except httpx.TimeoutException:
                fault = f"no answer within {self._timeout:g} s"
                continue
            except httpx.RequestError as error:
                fault = str(error) or type(error).__name__
                continue
            self.received += len(response.content)
            status = response.status_code
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
                fault = f"status {status}"
                pause = max(pause, _asked_pause(response, url))
                continue
            try:
                return Answer(status, decode(response.content))
            except ValueError:
                if status != HTTPStatus.OK:
                    return Answer(status, None)
                fault = "the answer is no JSON"
        raise DataError(
            f"{url} cannot be had: {fault}, {self._retries + 1} attempts; start the command again later, what it "
            "stored is kept"
        )


def _asked_pause(response: httpx.Response, url: str) -> float:
    """Return the seconds that a server asks to wait, 0 where it does not say."""
    text = response.headers.get("Retry-After", "")
    seconds = float(text) if text.isascii() and text.isdigit() else 0.0
    if seconds > _MAX_PAUSE_SECONDS:  # asking on would only lengthen the ban
        raise DataError(
            f"{url} answers {response.status_code} and asks for a pause of {seconds:.0f} s, the longest made is "
            f"{_MAX_PAUSE_SECONDS:.0f} s: start the command again after it, what it stored is kept"
        )
    return seconds
