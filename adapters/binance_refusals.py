"""What Binance's refusals of a request mean to the person who reads them.

::

    AutotradeError              exit code 1   nobody knows, or the venue is not reached
    ├── VenueBusyError                        asked too often: so many seconds to wait
    └── VenueRefusalError                     the venue has answered and carried nothing out
    UsageError                  exit code 2
    └── KeyRefusedError                       it does not take this key

References
----------
Binance USD-M futures, error codes: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
"""

from core.errors import AutotradeError, UsageError

__all__ = ["ABSENT", "CLOCK", "UNCERTAIN", "KeyRefusedError", "VenueBusyError", "VenueRefusalError", "refusal"]

UNCERTAIN = frozenset({-1000, -1001, -1006, -1007})
"""Codes after which a request may have been carried out."""

ABSENT = frozenset({-2011, -2013})
"""Codes that say that there is no such order (any more)."""

CLOCK = -1021
"""The request's time is not the venue's."""

_KEY = {
    -1022: "the signature is wrong: the secret does not belong to the key",
    -2008: "the key is unknown: it is another environment's, or was deleted",
    -2014: "the key is not of the venue's form: copy it again",
    -2015: "the key is unknown, is not for this address, or may not do this: check environment, IP list, rights",
}
_ADVICE = {
    -1003: "asked too often: wait",
    -1008: "the venue is overloaded: try again",
    CLOCK: "our clock is off the venue's: synchronise it (chrony, systemd-timesyncd)",
    -1121: "the venue does not trade this symbol: change market.instruments",
    -2019: "the margin does not suffice",
    -4046: "the margin type is this already",
    -4059: "the position mode is this already",
    -4061: "the account is in hedge mode: switch it to one-way mode at the venue",
    -5000: "the venue has no such endpoint: check the address",
}


class VenueRefusalError(AutotradeError):
    """The venue has answered, and refuses; nothing was carried out.

    Attributes
    ----------
    code : int
        Binance's.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class KeyRefusedError(UsageError):
    """The venue does not take the key.

    Attributes
    ----------
    code : int
        Binance's.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class VenueBusyError(AutotradeError):
    """The venue was asked too often, or would be.

    Attributes
    ----------
    wait_seconds : float
        Nobody may ask before.
    """

    def __init__(self, path: str, wait_seconds: float, why: str) -> None:
        super().__init__(f"{path}: {why}; {wait_seconds:.1f} s to wait")
        self.wait_seconds = wait_seconds


def refusal(path: str, code: int, said: str, hint: str) -> VenueRefusalError | KeyRefusedError:
    """Return the error that a refusal is: one line, with what to do.

    Parameters
    ----------
    path : str
        What was asked.
    code : int
        Binance's.
    said : str
        Its own words.
    hint : str
        Enough of the key for its owner to know it by.
    """
    if code in _KEY:
        return KeyRefusedError(code, f"{path}: key {hint} is refused ({code}): {_KEY[code]}")
    advice = f"; {_ADVICE[code]}" if code in _ADVICE else ""
    return VenueRefusalError(code, f"{path}: refused ({code}): {said.rstrip('.') or 'without a reason'}{advice}")
