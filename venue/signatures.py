"""Who asks: API keys, signatures and the time window of signed requests."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from venue.errors import VenueError
from venue.params import ApiKey

__all__ = ["Keyring", "payload_of"]

_UNAUTHORIZED = 401
_LONGEST_WINDOW_MS = 60_000
_AHEAD_MS = 1_000


def payload_of(params: Mapping[str, str]) -> str:
    """Return what is signed of a websocket request: its parameters but the signature, sorted by name."""
    return "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "signature")


class Keyring:
    """The account's keys."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self.keys = {key.key: key for key in keys}

    def known(self, name: str | None) -> ApiKey:
        """Return the key that a request names.

        Raises
        ------
        VenueError
            -2014 without one, -2015 for one that is unknown.
        """
        if not name:
            raise VenueError(-2014, "API-key format invalid.", _UNAUTHORIZED)
        if name not in self.keys:
            raise VenueError(-2015, "Invalid API-key, IP, or permissions for action.", _UNAUTHORIZED)
        return self.keys[name]

    def logon(self, params: Mapping[str, str], now_ms: int) -> ApiKey:
        """Return the key that logs on to the trading API.

        Raises
        ------
        VenueError
            -4056 where it is no Ed25519 key, and as `check`.
        """
        key = self.known(params.get("apiKey"))
        if not key.public_pem:
            raise VenueError(-4056, "HMAC_SHA256 API key is not supported.")
        self.check(key, payload_of(params), params, now_ms)
        return key

    def restrict(self, changes: Mapping[str, bool]) -> None:
        """Change what every key may do (`ApiKey`)."""
        self.keys = {name: msgspec.structs.replace(key, **changes) for name, key in self.keys.items()}

    def check(self, key: ApiKey, payload: str, params: Mapping[str, str], now_ms: int) -> None:
        """Refuse a signed request that is not what it should be.

        Raises
        ------
        VenueError
            -1102 without signature or timestamp, -1021 outside of the time window, -1022 for a wrong signature.
        """
        for name in ("timestamp", "signature"):
            if not params.get(name):
                raise VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        _check_window(params, now_ms)
        escaped = "&".join(
            f"{name}={quote_plus(value)}" for name, value in sorted(params.items()) if name != "signature"
        )
        if not any(_signed(key, each, params["signature"]) for each in (payload, escaped)):
            raise VenueError(-1022, "Signature for this request is not valid.")


def _check_window(params: Mapping[str, str], now_ms: int) -> None:
    try:
        stamp, window = int(params["timestamp"]), float(params.get("recvWindow") or 5_000)
    except ValueError:
        raise VenueError(-1100, "Illegal characters found in parameter 'timestamp' or 'recvWindow'.") from None
    if not 0 < window <= _LONGEST_WINDOW_MS:
        raise VenueError(-1131, "recvWindow must be less than 60000.")
    if stamp > now_ms + _AHEAD_MS:
        raise VenueError(-1021, f"Timestamp for this request was {_AHEAD_MS}ms ahead of the server's time.")
    if now_ms - stamp > window:
        raise VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")


def _signed(key: ApiKey, payload: str, signature: str) -> bool:
    if key.secret:
        wanted = hmac.new(key.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, signature.lower())
    public = load_pem_public_key(key.public_pem.encode())
    if not isinstance(public, Ed25519PublicKey):
        return False
    try:
        public.verify(base64.b64decode(signature, validate=True), payload.encode())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
