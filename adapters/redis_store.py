"""State in a Redis server that writes to its disk before it answers."""

from urllib.parse import urlsplit

import redis

from adapters.state_store import checked_key, opened, sealed
from core.errors import StateError

__all__ = ["RedisStateStore"]

_TIMEOUT_SECONDS = 2.0


class RedisStateStore:
    """Keeps each key in a Redis server that writes to its disk before it answers (`core.protocols.StateStore`).

    Parameters
    ----------
    url : str
        ``redis://[user:password@]host:port/db``; user and password are never shown.
    prefix : str
        Put before every key.

    Raises
    ------
    StateError
        Where the server does not answer, or would forget what it was told when it crashes.
    """

    def __init__(self, url: str, *, prefix: str = "autotrade:") -> None:
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
        self._prefix = prefix
        try:
            self._client = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
            )
            found = {name: self._client.config_get(name).get(name) for name in ("appendonly", "appendfsync")}
        except (redis.RedisError, OSError, ValueError) as error:
            raise StateError(f"{self._name}: {_said(error)}; start the server, or keep the state in a file") from None
        if found != {"appendonly": "yes", "appendfsync": "always"}:
            raise StateError(
                f"{self._name}: appendonly is {found['appendonly']} and appendfsync {found['appendfsync']}: a crash of "
                "the server would forget the breaker; set them to yes and always"
            )

    def __repr__(self) -> str:
        return f"RedisStateStore({self._name})"

    def load(self, key: str) -> bytes | None:
        """Return the value of a key, None where there is none; errors as `FileStateStore.load`."""
        try:
            kept = self._client.get(self._prefix + checked_key(key))
        except (redis.RedisError, OSError) as error:
            raise StateError(f"{self._name}: {_said(error)}; the state of the last run is not known") from None
        return None if kept is None else opened(kept if isinstance(kept, bytes) else kept.encode(), self._name)

    def save(self, key: str, value: bytes) -> None:
        """Replace the value of a key; errors as `FileStateStore.save`."""
        try:
            self._client.set(self._prefix + checked_key(key), sealed(value))
        except (redis.RedisError, OSError) as error:
            raise StateError(f"{self._name}: {_said(error)}; the state cannot be kept") from None

    def put(self, key: str, value: bytes) -> None:
        """Replace the value of a key; this store knows no later."""
        self.save(key, value)


def _said(error: Exception) -> str:
    """Return what kind of error it was; its text may hold the password."""
    if isinstance(error, redis.AuthenticationError):
        return "user or password is refused"
    return f"no answer ({type(error).__name__})"
