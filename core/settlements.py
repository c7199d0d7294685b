"""When an estimate of the funding rate becomes the rate that is paid, and when the venue says what it was."""

from collections.abc import Sequence
from typing import NamedTuple

from core.messages import FundingPaid, FundingSettled
from core.venue_words import FundingWord

__all__ = ["Payments", "Settlement", "Settlements"]

_MATCH_NS = 600_000_000_000
"""A payment belongs to the last settlement, at most so long before it."""
_EARLY_NS = 60_000_000_000
"""By which the venue may stamp a payment before its settlement."""


class Settlement(NamedTuple):
    """A funding rate (fraction of notional, longs pay a positive one) and the time at which it was paid, ns."""

    ts_ns: int
    rate: float


class Settlements:
    """Turns the venue's running estimates into settlements: the last estimate for a time is what that time pays."""

    def __init__(self) -> None:
        self._rates: dict[int, float] = {}

    def estimate(self, rate: float, due_ns: int) -> None:
        """Take the rate as it stands for a settlement to come."""
        self._rates[due_ns] = rate

    def due(self, now_ns: int) -> Sequence[Settlement]:
        """Return the settlements whose time has come, in order, each once."""
        times = sorted(ts for ts in self._rates if ts <= now_ns)
        return [Settlement(ts, self._rates.pop(ts)) for ts in times]


class Payments:
    """Settlements whose payment the venue has not told yet.

    Whether anything was held in that very second only the venue knows: every settlement is asked for, and one of which
    it tells no payment in all the time that is waited was none.

    Parameters
    ----------
    wait_ns : int
        How long a payment is waited for, in the engine's time.
    """

    def __init__(self, wait_ns: int) -> None:
        self._wait_ns = wait_ns
        self._seen: dict[str, list[FundingSettled]] = {}
        self._waiting: dict[tuple[str, int], tuple[FundingSettled, int]] = {}
        self._known: set[str] = set()
        self._listed_ns = 0

    @property
    def since_ns(self) -> int:
        """The engine's time since which payments are wanted, 0 where none are."""
        return min((engine_ns for _, engine_ns in self._waiting.values()), default=_MATCH_NS) - _MATCH_NS

    def settled(self, settled: FundingSettled, engine_ns: int) -> None:
        """Take a settlement."""
        seen = self._seen.setdefault(settled.instrument_id, [])
        seen.append(settled)
        del seen[:-2]
        self._waiting[settled.instrument_id, settled.ts_event] = settled, engine_ns

    def paid(self, word: FundingWord) -> FundingPaid | None:
        """Return which settlement a payment is of; None for one that is known, or of a time before ours."""
        if word.number in self._known:
            return None
        for settled in reversed(self._seen.get(word.instrument_id, ())):
            if -_EARLY_NS <= word.ts_event - settled.ts_event < _MATCH_NS:
                self._known.add(word.number)
                self._waiting.pop((word.instrument_id, settled.ts_event), None)
                return FundingPaid(word.instrument_id, settled.ts_event, settled.rate, word.amount)
        return None

    def listed(self, engine_ns: int) -> None:
        """Take note that the venue has told all payments there are."""
        self._listed_ns = engine_ns

    def given_up(self, engine_ns: int) -> list[FundingPaid]:
        """Return what was waited for too long, each once: nothing was paid, unless the venue has long been silent."""
        late = [(one, since) for one, since in self._waiting.values() if engine_ns - since > self._wait_ns]
        for one, _ in late:
            del self._waiting[one.instrument_id, one.ts_event]
        return [
            FundingPaid(one.instrument_id, one.ts_event, one.rate, "0" if self._asked_enough(since) else None)
            for one, since in late
        ]

    def _asked_enough(self, since_ns: int) -> bool:
        return self._listed_ns - since_ns > self._wait_ns // 2
