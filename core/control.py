"""What a person asks of a running node, and what is remembered of it: pure functions (state, request) -> state.

A request has a name of its own, so that one that is repeated, because its answer was lost, is carried out once.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from core.errors import StateError
from core.node_status import NodeStatus, Pause

__all__ = [
    "CONTROL_KEY",
    "DONE",
    "FAILED",
    "REFUSED",
    "UNFIT",
    "Command",
    "ControlAnswer",
    "ControlDesk",
    "ControlRequest",
    "ControlState",
    "control_state_of",
    "freeze_source",
    "objection",
    "paused",
    "remembered",
    "resumed",
    "said_before",
]

CONTROL_KEY = "control"
"""Key of a `core.protocols.StateStore`."""

DONE, FAILED, UNFIT, REFUSED = 0, 1, 2, 3
"""Codes of an answer: those that a command exits with."""

Command = Literal["status", "pause", "resume", "flatten", "halt", "reduce", "rearm", "stop"]

MOST_REASON = 500
_REMEMBERED = 64


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks.

    ``instrument_id`` empty: all; ``new_anchor`` of a re-arm (`core.trips.Request`); ``positions`` of a stop, empty: as
    the configuration says; ``asked_by`` who is at the other end, as the system says.
    """

    request_id: str
    command: Command
    reason: str = ""
    instrument_id: str = ""
    new_anchor: bool = False
    positions: Literal["", "keep", "flatten"] = ""
    asked_by: str = ""


class ControlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request: a code, one line, and what a ``status`` asked for."""

    request_id: str
    code: int
    said: str
    status: NodeStatus | None = None


class ControlDesk(Protocol):
    """Where requests come in and answers go out, for the engine's thread. Nothing here blocks."""

    def requests(self) -> Sequence[ControlRequest]:
        """Return what was asked since the last call, in order."""

    def answer(self, answer: ControlAnswer) -> None:
        """Hand out an answer; nobody may be there any more to hear it."""


class _Answered(msgspec.Struct, frozen=True):
    """A request that was carried out, and what was said."""

    request_id: str
    command: Command
    code: int
    said: str


class ControlState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that must be known after a restart: what is paused, and the newest requests that were answered."""

    pauses: tuple[Pause, ...] = ()
    answered: tuple[_Answered, ...] = ()
    version: Literal[1] = 1


def control_state_of(kept: bytes | None) -> ControlState:
    """Return the state that was kept; a new one where nothing was.

    Raises
    ------
    StateError
        Where it is no state of this version of the program.
    """
    if kept is None:
        return ControlState()
    try:
        return msgspec.json.decode(kept, type=ControlState)
    except msgspec.DecodeError as error:
        raise StateError(
            f"what is paused is not known: {error}; move {CONTROL_KEY}.state away to start afresh"
        ) from error


def objection(request: ControlRequest, instruments: Iterable[str]) -> str:
    """Return why a request is not fit to be carried out, empty where it is."""
    if not request.request_id:
        return "a request without a name"
    if request.command == "status":
        return ""
    if not request.reason.strip():
        return f"{request.command} without a reason; say why with --reason, it goes into the journal"
    if len(request.reason) > MOST_REASON or not request.reason.isprintable():
        return (
            f"the reason has {len(request.reason)} characters or strange ones; give one line of {MOST_REASON} at most"
        )
    if request.instrument_id and request.command not in {"pause", "resume", "flatten"}:
        return f"{request.command} concerns everything; leave --instrument {request.instrument_id} away"
    known = tuple(instruments)
    if request.instrument_id and request.instrument_id not in known:
        return f"{request.instrument_id} is not traded here, only {', '.join(known)}"
    return ""


def said_before(state: ControlState, request: ControlRequest) -> ControlAnswer | None:
    """Return the answer that a request got before, None for a new one."""
    for one in state.answered:
        if one.request_id == request.request_id:
            if one.command == request.command:
                return ControlAnswer(request_id=one.request_id, code=one.code, said=f"{one.said} (done before)")
            said = f"request {one.request_id} was a {one.command}; give a {request.command} a name of its own"
            return ControlAnswer(request_id=one.request_id, code=UNFIT, said=said)
    return None


def remembered(state: ControlState, request: ControlRequest, answer: ControlAnswer) -> ControlState:
    """Return the state that knows of an answer."""
    answered = _Answered(request.request_id, request.command, answer.code, answer.said)
    return msgspec.structs.replace(state, answered=(*state.answered, answered)[-_REMEMBERED:])


def freeze_source(instrument_id: str) -> str:
    """Return who freezes entries by a pause: one of everything and one of an instrument are lifted apart."""
    return f"pause.{instrument_id}" if instrument_id else "pause"


def paused(state: ControlState, pause: Pause) -> ControlState:
    """Return the state in which an instrument (empty: everything) is paused; the newest reason stands."""
    others = tuple(one for one in state.pauses if one.instrument_id != pause.instrument_id)
    return msgspec.structs.replace(state, pauses=(*others, pause))


def resumed(state: ControlState, instrument_id: str) -> tuple[ControlState, tuple[Pause, ...], str]:
    """Lift the pause of an instrument, or every pause.

    Returns
    -------
    tuple of ControlState, tuple of Pause, and str
        The state after; what was lifted; why it was refused, empty where it was not: an instrument does not trade on
        while everything is paused.
    """
    lifted = tuple(one for one in state.pauses if instrument_id in {"", one.instrument_id})
    above = next((one for one in state.pauses if not one.instrument_id), None)
    if instrument_id and above is not None:
        return state, (), f"everything is paused ({above.reason}); resume without --instrument"
    left = tuple(one for one in state.pauses if one not in lifted)
    return msgspec.structs.replace(state, pauses=left), lifted, ""
