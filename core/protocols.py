"""What the shells need from outside, typed here, handed in by the run files."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from core.bars import Bars
from core.serving import Candidate

__all__ = [
    "BarHistory",
    "ClockWatch",
    "FlowSource",
    "Journal",
    "ModelSource",
    "Offer",
    "Policy",
    "ReplayStep",
    "ReplaySteps",
    "StateStore",
    "Timekeeper",
]


class Policy(Protocol):
    """N models as one callable, which can be exchanged between two calls."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models, in the order of the votes."""

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Begin to build the next set of models, off the path of decisions."""

    def swap(self) -> bool:
        """Take the next set if it is whole, carry over what its models remember, and return whether that was done.

        Raises
        ------
        AutotradeError
            Where it could not be built; the set stays as it is.
        """

    def vote(self, observation: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the level and the confidence of each model's vote, float64[N] each, for an observation float32[D]."""


class Offer(NamedTuple):
    """A model came, went, or was refused with a reason; of one that was refused only the name is known."""

    kind: Literal["arrived", "withdrawn", "refused"]
    candidate: Candidate
    reason: str = ""


class ModelSource(Protocol):
    """Where models come from while others serve."""

    def offers(self, ts_ns: int, seen: int) -> Sequence[Offer]:
        """Return the offers known at ``ts_ns`` after the first ``seen`` ones. Never blocks."""


class ClockWatch(Protocol):
    """How far our clock is from the venue's."""

    @property
    def offset_ns(self) -> int:
        """Our clock less the venue's, as it was found last."""


class FlowSource(Protocol):
    """Taker-buy volume of a closed base bar, where it is known."""

    def taker_buy(self, instrument_id: str, ts_close: int) -> float | None:
        """Return the taker-buy volume (base asset) of the bar that closed at ``ts_close`` (ns), NaN where unknown.

        None where it is not told yet: the bar comes once more, with it, on `core.messages.bar_topic`.
        """


class BarHistory(Protocol):
    """Where base bars are had that did not come by themselves."""

    def ask(self, instrument_id: str, first_ns: int, last_ns: int) -> None:
        """Begin to look for the bars that closed from ``first_ns`` to ``last_ns`` (ns, both included). Never blocks."""

    def answers(self) -> Sequence[tuple[str, Bars]]:
        """Return what was found since the last call, by instrument; bars that are nowhere are not in it."""


class Journal(Protocol):
    """Where decisions, orders, fills and equity are written down. Never blocks and never raises into trading."""

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take one row of ``kind`` (decisions, orders, fills, positions, equity ...)."""


class StateStore(Protocol):
    """Where state outlives the process."""

    def load(self, key: str) -> bytes | None:
        """Return what was last saved under a key, None where nothing was; refuse what is not whole."""

    def save(self, key: str, value: bytes) -> None:
        """Replace what is saved under a key: durable when it returns, never half of it.

        Raises
        ------
        StateError
            Where it is not, or not in time.
        """

    def put(self, key: str, value: bytes) -> None:
        """Replace what is saved under a key, soon: nothing waits for it.

        Raises
        ------
        StateError
            Where the last value that was to be saved, of any key, is not.
        """


class Timekeeper(Protocol):
    """Market time, in which decisions are made and answers waited for; `core.timekeeping` has both kinds.

    ``clock`` is the engine's, of the component that sets an alarm: names need be unique within it alone. All times ns.
    """

    def now_ns(self, engine_ns: int) -> int:
        """Return market time at a time of the engine's clock."""

    def engine_ns(self, market_ns: int) -> int:
        """Return when on the engine's clock it is so late in the market, as things stand."""

    def alarm(self, clock: Any, name: str, market_ns: int, ring: Callable[[int], None]) -> None:
        """Have an alarm ring once, at once where its time is past; one of the same name is void."""

    def every(self, clock: Any, name: str, interval_ns: int, ring: Callable[[int], None]) -> None:
        """Have an alarm ring again and again."""


class ReplayStep(NamedTuple):
    """What a replaying venue says after a step: close of the last bar that it played (ns), and whether that was all."""

    close_ns: int
    done: bool


class ReplaySteps(Protocol):
    """A replaying venue's step, taken by somebody else's thread."""

    def ask(self) -> None:
        """Begin a step. Never blocks."""

    def taken(self) -> Sequence[ReplayStep]:
        """Return the steps finished since the last call."""
