"""How an alert finds a person: a route of channels, patience with each, and the next one where that fails.

One table, `plan`, the first line that fits:

=====================================================================  =============================
what is known                                                          what is done
=====================================================================  =============================
a channel has delivered it                                             ``done``
it has waited longer than anybody would want to hear of it             ``give_up``
no channel has been tried                                              ``start`` the first
the last one has failed often enough, or has been silent for too long  ``start`` the next, if any
else                                                                   ``wait``: those begun go on
=====================================================================  =============================
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

__all__ = ["ANY_OTHER", "Attempt", "Patience", "Plan", "pause_ns", "plan", "route"]

ANY_OTHER = "*"


class Patience(NamedTuple):
    """How long is waited (ns).

    ``retry_ns`` before the first repetition, at most ``most_ns``; the next channel after so many ``tries`` or so long a
    silence (``silence_ns``); after ``give_up_ns`` nobody would want to hear of it.
    """

    retry_ns: int
    most_ns: int
    tries: int
    silence_ns: int
    give_up_ns: int


class Attempt(msgspec.Struct, frozen=True):
    """What has become of an alert at one channel: when it was begun (ns), failures so far, whether it was delivered."""

    channel: str
    begun_ns: int
    failures: int = 0
    delivered: bool = False


class Plan(NamedTuple):
    """What is done next; ``channel`` where one is started."""

    action: Literal["done", "give_up", "start", "wait"]
    channel: str = ""


def route(severity: str, routes: Mapping[str, Sequence[str]], configured: Collection[str]) -> tuple[str, ...]:
    """Return the channels of a severity that are there, in order; ``*`` stands for all others, by name."""
    named = {name for names in routes.values() for name in names}
    others = sorted(set(configured) - named)
    found = [
        name
        for entry in routes.get(severity, ())
        for name in (others if entry == ANY_OTHER else [entry])
        if name in configured
    ]
    return tuple(dict.fromkeys(found))


def pause_ns(failures: int, patience: Patience) -> int:
    """Return how long a channel rests after so many failures in a row: twice as long each time, up to a limit."""
    return min(patience.retry_ns << min(max(failures - 1, 0), 30), patience.most_ns)


def plan(now_ns: int, created_ns: int, path: Sequence[str], attempts: Sequence[Attempt], patience: Patience) -> Plan:
    """Return what is done next for an alert.

    Parameters
    ----------
    now_ns, created_ns : int
        The time, and when it was raised.
    path : Sequence[str]
        Its route.
    attempts : Sequence[Attempt]
        What was begun, in order.
    patience : Patience
        Limits.
    """
    if any(attempt.delivered for attempt in attempts):
        return Plan("done")
    if not path or now_ns - created_ns >= patience.give_up_ns:
        return Plan("give_up")
    begun = {attempt.channel for attempt in attempts}
    following = next((name for name in path if name not in begun), "")
    if not attempts:
        return Plan("start", following)
    last = attempts[-1]
    tired = last.failures >= patience.tries or now_ns - last.begun_ns >= patience.silence_ns
    return Plan("start", following) if tired and following else Plan("wait")
