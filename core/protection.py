"""The protective stop under a position: placed with the first fill, as large as the position, replaced where need be.

Theory of operation. `Protection.step` looks at what is held and at the stop there is, and names the one thing to be
done next; while an answer of the venue is due, that is nothing. It is asked after every event, so that what an answer
changes is seen at once. A venue that refuses changes is asked for none any more: the stop is cancelled, and placed anew
as soon as its end is known, so that never two rest at a time. A stop that is refused gets one more attempt; then the
position is to be closed, and until it is, a stop is tried now and then.
"""

from enum import Enum
from typing import NamedTuple

import msgspec

from core.order_states import WAITING, WORKING
from core.rejections import Action
from core.tracking import Order

__all__ = ["Protection", "ProtectionParams", "Step"]

_MOST_DOUBLINGS = 5


class ProtectionParams(NamedTuple):
    """``retry_ns`` before a refused stop is sent again; ``unprotected_ns`` after which a bare position is closed;
    ``retrigger``: share of the trigger by which it is moved away from the market once it would trigger at once.
    """  # noqa: D205 - one sentence

    retry_ns: int
    unprotected_ns: int
    retrigger: float


class Step(Enum):
    """What is to be done about the stop."""

    NOTHING = "nothing"
    PLACE = "place"
    CHANGE = "change"
    WITHDRAW = "withdraw"


class Protection(msgspec.Struct):
    """The stop of one position; all of it outlives a restart.

    ``order_id`` of the stop, empty where there is none; ``failures`` refusals since one was accepted; ``shift_ticks``
    by which the trigger was moved; ``not_before_ns`` when the next attempt may be made; ``bare_since_ns`` since when a
    position has had no working stop (0 = it has one, or there is no position); ``changeable``: the venue takes changes.
    """

    order_id: str = ""
    failures: int = 0
    shift_ticks: int = 0
    not_before_ns: int = 0
    bare_since_ns: int = 0
    changeable: bool = True

    def step(self, lots: int, trigger_ticks: int, stop: Order | None, now_ns: int) -> Step:
        """Return what is to be done for a position of signed lots that wants a trigger, in ticks."""
        if lots == 0:
            self.failures = self.shift_ticks = self.not_before_ns = 0
        step = self._next(lots, trigger_ticks, stop, now_ns)
        if lots == 0 or (stop is not None and stop.state in WORKING and step is not Step.WITHDRAW):
            self.bare_since_ns = 0
        elif self.bare_since_ns == 0:
            self.bare_since_ns = now_ns
        return step

    def _next(self, lots: int, trigger_ticks: int, stop: Order | None, now_ns: int) -> Step:
        if stop is None:
            return Step.PLACE if lots != 0 and now_ns >= self.not_before_ns else Step.NOTHING
        if stop.state in WAITING:
            return Step.NOTHING
        if stop.side * lots >= 0:
            return Step.WITHDRAW
        if stop.left == abs(lots) and stop.trigger_ticks == trigger_ticks:
            return Step.NOTHING
        return Step.CHANGE if self.changeable else Step.WITHDRAW

    def too_long(self, now_ns: int, params: ProtectionParams) -> bool:
        """Return whether a position has been without a working stop for too long."""
        return self.bare_since_ns > 0 and now_ns - self.bare_since_ns >= params.unprotected_ns

    def refused(self, action: Action, stop: Order, now_ns: int, params: ProtectionParams) -> bool:
        """Take note of a refused stop; return whether the position is to be closed instead of protected."""
        self.failures += 1
        if self.failures > 1 or action not in {Action.RETRY, Action.MOVE, Action.RESYNC}:
            self.not_before_ns = now_ns + (params.retry_ns << min(self.failures, _MOST_DOUBLINGS))
            return True
        if action is Action.MOVE:
            away = max(int(stop.trigger_ticks * params.retrigger), 1)
            self.shift_ticks += stop.side * away
        else:
            self.not_before_ns = now_ns + params.retry_ns
        return False

    def set_back(self, now_ns: int, params: ProtectionParams) -> None:
        """Date nothing later than it can be, in case the clock went back."""
        self.bare_since_ns = min(self.bare_since_ns, now_ns)
        self.not_before_ns = min(self.not_before_ns, now_ns + (params.retry_ns << _MOST_DOUBLINGS))

    def accepted(self) -> None:
        """Take note that a stop rests."""
        self.failures = 0

    def wake_ns(self, lots: int, stop: Order | None, closing: bool, params: ProtectionParams) -> int:  # noqa: FBT001
        """Return when it wants to be asked again whatever happens, ns UTC; 0 where it needs not."""
        if lots == 0 or self.bare_since_ns == 0:
            return 0
        retry = self.not_before_ns if stop is None else 0
        limit = 0 if closing else self.bare_since_ns + params.unprotected_ns
        return min(filter(None, (retry, limit)), default=0)
