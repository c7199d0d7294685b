"""A client of the controlling API, for tests and drills."""

import http.client
import json
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

__all__ = ["ControlClient", "ControlError"]

_SECONDS = 60.0


class ControlError(Exception):
    """What the controlling API refused."""


class ControlClient:
    """Calls the controlling API of one venue over one connection; not to be shared by threads.

    Parameters
    ----------
    url : str
        ``http://host:port``.
    token : str
        Its token.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_SECONDS)
        self.token = token
        self._headers = {"Authorization": f"Bearer {token}"}

    def __repr__(self) -> str:
        return f"ControlClient({self._connection.host}:{self._connection.port})"

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def next(self, bars: int = 1, *, heard: float = 0.0) -> dict[str, Any]:
        """Play some minutes; return how many there were (``played``), and whether that was the end (``done``).

        ``heard``: seconds to wait at most until somebody hears them, for what is played to nobody is missed.
        """
        answer: dict[str, Any] = self.call("POST", f"/control/next?bars={bars}&heard={heard}")
        return answer

    def play(self, bars: int = 1) -> dict[str, Any]:
        """Play some minutes at once, whether the client is ready or not."""
        answer: dict[str, Any] = self.call("POST", f"/control/play?bars={bars}")
        return answer

    def rest(self, timeout: float = _SECONDS) -> dict[str, Any]:
        """Wait until the client asks for the next minute, and let it wait; refused where it has not in time."""
        answer: dict[str, Any] = self.call("POST", f"/control/rest?timeout={timeout}")
        return answer

    def go(self) -> None:
        """Let the client go on."""
        self.call("POST", "/control/go")

    def fault(self, kind: str, **rule: Any) -> int:
        """Put a fault in force (`venue.faults.Rule`); return its number."""
        return int(self.call("POST", "/control/faults", {"kind": kind, **rule})["ids"][0])

    def heal(self, number: int | None = None) -> None:
        """Take a fault away, or all of them."""
        self.call("DELETE", "/control/faults" + ("" if number is None else f"/{number}"))

    def faults(self) -> list[dict[str, Any]]:
        """Return the faults in force, with what they hit."""
        answer: list[dict[str, Any]] = self.call("GET", "/control/faults")
        return answer

    def act(self, do: str, **what: Any) -> int:
        """Do something at once: drop, expire_listen_keys, cancel, liquidate, restrict."""
        return int(self.call("POST", "/control/act", {"do": do, **what})["done"])

    def state(self) -> dict[str, Any]:
        """Return clocks, prices, connections and counts."""
        answer: dict[str, Any] = self.call("GET", "/control/state")
        return answer

    def ledger(self, wire_since: int = 0, since: int = 0) -> dict[str, Any]:
        """Return what the exchange did and what came over the wire, after so many rows of each."""
        answer: dict[str, Any] = self.call("GET", f"/control/ledger?wire_since={wire_since}&since={since}")
        return answer

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API.

        Raises
        ------
        ControlError
            Where it refuses.
        """
        text = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, text, self._headers)
        except (http.client.CannotSendRequest, ConnectionError):
            with suppress(OSError):
                self._connection.close()
            self._connection.request(method, path, text, self._headers)
        response = self._connection.getresponse()
        answer = json.loads(response.read())
        if response.status != http.client.OK:
            raise ControlError(f"{method} {path}: {answer.get('error', answer)}")
        return answer
