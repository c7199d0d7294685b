"""Parameters of a request, read one by one: missing and malformed ones are refused by name."""

import re
from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation

from venue.refusals import refused

__all__ = ["Arguments", "client_id", "decimal", "flag", "integer", "optional_integer", "required"]

Arguments = Mapping[str, str]
_CLIENT_ID = re.compile(r"[\.A-Z\:/a-z0-9_-]+")
_LONGEST_CLIENT_ID = 36


def required(params: Arguments, name: str, allowed: Collection[str] = (), code: int = -1130) -> str:
    """Return a parameter that must be there, one of the allowed."""
    value = str(params.get(name, ""))
    if not value:
        raise refused(-1102, name)
    if allowed and value not in allowed:
        raise refused(code, name)
    return value


def decimal(params: Arguments, name: str) -> Decimal | None:
    """Return a number, None where there is none."""
    value = str(params.get(name, ""))
    if not value:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise refused(-1102, name) from None
    if not number.is_finite():
        raise refused(-1102, name)
    return number


def optional_integer(params: Arguments, name: str) -> int | None:
    """Return a whole number, None where there is none."""
    value = str(params.get(name, ""))
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise refused(-1102, name) from None


def integer(params: Arguments, name: str, default: int) -> int:
    """Return a whole number, or the default."""
    value = optional_integer(params, name)
    return default if value is None else value


def flag(params: Arguments, name: str) -> bool:
    """Return whether a parameter says true; absent ones say false."""
    value = str(params.get(name, "false")).lower()
    if value not in {"true", "false", ""}:
        raise refused(-1102, name)
    return value == "true"


def client_id(params: Arguments, name: str) -> str:
    """Return the identity that the client chose, "" where it chose none."""
    value = str(params.get(name, ""))
    if len(value) > _LONGEST_CLIENT_ID:
        raise refused(-4015)
    if value and not _CLIENT_ID.fullmatch(value):
        raise refused(-1100, name)
    return value
