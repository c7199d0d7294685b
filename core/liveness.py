"""Whether the streams of a live node speak, judged by what they say and not by their sockets being open."""

from collections.abc import Mapping
from typing import NamedTuple

from core.degraded import Mode, Sign, step

__all__ = ["Finding", "Liveness", "LivenessLimits"]


class LivenessLimits(NamedTuple):
    """When something is late, ns.

    ``bar_late_ns`` a closed bar of ``base_ns`` has not come so long after its close; ``cut_ns`` after which what is
    late is cut off; ``clock_ns`` largest offset of our clock; ``agree_checks`` comparisons in a row that must agree.
    """

    base_ns: int
    bar_late_ns: int
    cut_ns: int
    clock_ns: int
    agree_checks: int


class Finding(NamedTuple):
    """What a look found: the mode before and after, why, and whether orders go unanswered for too long."""

    before: Mode
    mode: Mode
    reason: str
    unheard: bool


class Liveness:
    """What was heard last, of whom, and the mode that follows from it; times ns UTC, of the market.

    Parameters
    ----------
    limits : LivenessLimits
        When something is late.
    closes : Mapping[str, int]
        Close of the last bar known, by instrument id.
    """

    def __init__(self, limits: LivenessLimits, closes: Mapping[str, int]) -> None:
        self.mode = Mode.LIVE
        self._limits = limits
        self._closes = dict(closes)
        self._unanswered: dict[str, int] = {}
        self._offset_ns = 0
        self._silent_since = 0
        self._late_since = 0
        self._agreed = 0

    def bar(self, instrument_id: str, ts_close: int) -> None:
        """Take note of a closed bar."""
        self._closes[instrument_id] = max(ts_close, self._closes.get(instrument_id, 0))

    def unanswered(self, order_id: str, now_ns: int) -> None:
        """Take note that nobody said what became of an order."""
        self._unanswered.setdefault(order_id, now_ns)

    def answered(self, order_id: str) -> None:
        """Take note that somebody has."""
        self._unanswered.pop(order_id, None)

    def clock(self, offset_ns: int) -> None:
        """Take note of the offset of our clock."""
        self._offset_ns = offset_ns

    def asked(self, *, answered: bool, now_ns: int) -> None:
        """Take note whether the venue answers when it is asked directly."""
        self._silent_since = 0 if answered else self._silent_since or now_ns

    def compared(self, *, equal: bool) -> None:
        """Take note whether the venue, the engine and the owners agree on what is held."""
        self._agreed = self._agreed + 1 if equal else 0

    def look(self, now_ns: int) -> Finding:
        """Judge, and move on."""
        limits = self._limits
        causes = self._causes(now_ns)
        if causes:
            self._late_since = self._late_since or min(since for since, _ in causes)
            self._agreed = 0
            sign = Sign.LONG if now_ns - self._late_since >= limits.cut_ns else Sign.LATE
        else:
            self._late_since = 0
            sign = Sign.AGREED if self._agreed >= limits.agree_checks else Sign.ALIVE
        before, self.mode = self.mode, step(self.mode, sign)
        reason = "; ".join(text for _, text in causes) or "all streams speak"
        unheard = any(now_ns - since >= limits.cut_ns for since in self._unanswered.values())
        return Finding(before, self.mode, reason, unheard)

    def _causes(self, now_ns: int) -> list[tuple[int, str]]:
        """Return what is late: since when, and a line with the numbers."""
        limits = self._limits
        found = []
        for name, close_ns in self._closes.items():
            due_ns = close_ns + limits.base_ns + limits.bar_late_ns
            if close_ns and now_ns > due_ns:
                late = (now_ns - close_ns - limits.base_ns) / 1e9
                found.append((due_ns, f"the bar of {name} is {late:.0f} s late"))
        for order_id, since_ns in self._unanswered.items():
            found.append((since_ns, f"nobody has answered for {order_id} since {(now_ns - since_ns) / 1e9:.0f} s"))
        if self._silent_since:
            silent = (now_ns - self._silent_since) / 1e9
            found.append((self._silent_since, f"the venue has not answered a question since {silent:.0f} s"))
        if abs(self._offset_ns) > limits.clock_ns:
            text = f"our clock is {self._offset_ns / 1e6:.0f} ms off, the limit is {limits.clock_ns / 1e6:.0f}"
            found.append((now_ns, text))
        return found
