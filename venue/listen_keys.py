"""Listen keys: the names under which an account's events are heard, and when they end."""

import secrets
from collections.abc import Callable

from venue.errors import VenueError

__all__ = ["ListenKeys"]


class ListenKeys:
    """One listen key per API key, alive for some time after each renewal.

    Parameters
    ----------
    seconds : float
        How long one lives.
    seconds_now : Callable[[], float]
        A clock.
    """

    def __init__(self, seconds: float, seconds_now: Callable[[], float]) -> None:
        self._seconds, self._now = seconds, seconds_now
        self._ends: dict[str, float] = {}
        self._of: dict[str, str] = {}

    def create(self, api_key: str) -> str:
        """Return the listen key of an API key, renewed; a new one where there is none."""
        listen_key = self._of.get(api_key)
        if listen_key is None or not self.alive(listen_key):
            listen_key = self._of[api_key] = secrets.token_hex(32)
        self._ends[listen_key] = self._now() + self._seconds
        return listen_key

    def renew(self, api_key: str) -> str:
        """Let the listen key of an API key live on.

        Raises
        ------
        VenueError
            -1125 where it has none.
        """
        listen_key = self._of.get(api_key)
        if listen_key is None or not self.alive(listen_key):
            raise VenueError(-1125, "This listenKey does not exist.")
        return self.create(api_key)

    def close(self, api_key: str) -> str | None:
        """End the listen key of an API key; return it."""
        listen_key = self._of.pop(api_key, None)
        if listen_key is not None:
            self._ends.pop(listen_key, None)
        return listen_key

    def alive(self, listen_key: str) -> bool:
        """Whether events are sent under a listen key."""
        return self._ends.get(listen_key, 0.0) > self._now()

    def known(self) -> list[str]:
        """Return the listen keys that have not been found dead."""
        return list(self._ends)

    def ended(self) -> list[str]:
        """Return and forget the listen keys whose time is over."""
        over = [listen_key for listen_key in self._ends if not self.alive(listen_key)]
        for listen_key in over:
            del self._ends[listen_key]
        return over

    def expire(self) -> None:
        """End the time of all of them."""
        self._ends = dict.fromkeys(self._ends, 0.0)
