"""How far a live node may be trusted to see and to be heard, as one table: (mode, event) -> mode.

::

    LIVE        all streams speak: everything is allowed
    SUSPECT     one is late: nothing is opened, at once
    CUT         it has been late for too long: what must close goes by REST, beside the engine
    RECOVERING  all speak again: nothing is opened until the venue, the engine and the owners agree

Theory of operation. A pair that is not in the table changes nothing. There is no way from SUSPECT or CUT to LIVE but
through RECOVERING: that a stream speaks again does not say what it left out.
"""

from enum import IntEnum

import msgspec

__all__ = ["TRANSITIONS", "Mode", "ModeState", "Sign", "mode_topic", "step"]


def mode_topic() -> str:
    """Topic of how far the node may be trusted."""
    return "live.mode"


class Mode(IntEnum):
    """How much is allowed."""

    LIVE = 0
    SUSPECT = 1
    CUT = 2
    RECOVERING = 3


class Sign(IntEnum):
    """What a look finds.

    ``LATE`` some stream is late; ``LONG`` for too long; ``ALIVE`` none is, but what is held was not compared since;
    ``AGREED`` none is, and what is held agrees, often enough in a row.
    """

    LATE = 0
    LONG = 1
    ALIVE = 2
    AGREED = 3


class ModeState(msgspec.Struct, frozen=True):
    """The mode, and why; ``by_rest``: exits are not heard by the engine's ways; ``shed``: watching gives way."""

    mode: Mode
    by_rest: bool
    shed: bool
    reason: str
    ts_event: int


_M, _S = Mode, Sign

TRANSITIONS: dict[tuple[Mode, Sign], Mode] = {
    (_M.LIVE, _S.LATE): _M.SUSPECT,
    (_M.LIVE, _S.LONG): _M.CUT,
    (_M.SUSPECT, _S.LONG): _M.CUT,
    (_M.SUSPECT, _S.ALIVE): _M.RECOVERING,
    (_M.SUSPECT, _S.AGREED): _M.RECOVERING,
    (_M.CUT, _S.ALIVE): _M.RECOVERING,
    (_M.CUT, _S.AGREED): _M.RECOVERING,
    (_M.RECOVERING, _S.LATE): _M.SUSPECT,
    (_M.RECOVERING, _S.LONG): _M.CUT,
    (_M.RECOVERING, _S.AGREED): _M.LIVE,
}


def step(mode: Mode, sign: Sign) -> Mode:
    """Return the mode after a look.

    Examples
    --------
    >>> step(Mode.LIVE, Sign.LATE), step(Mode.CUT, Sign.AGREED)
    (<Mode.SUSPECT: 1>, <Mode.RECOVERING: 3>)
    """
    return TRANSITIONS.get((mode, sign), mode)
