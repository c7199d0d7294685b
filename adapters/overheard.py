"""The outside of a session, overheard: what it answers goes to the record on its way to the components."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from core.commands import Cancel, Modify, Query, Reconcile, Submit
from core.errors import AutotradeError
from core.protocols import FlowSource, ModelSource, Offer, Policy, StateStore
from core.serving import Candidate
from core.trader import Trader

__all__ = ["OUTSIDE", "Hears", "OverheardClock", "OverheardFlow", "OverheardModels", "OverheardPolicy",
           "OverheardStore", "OverheardTrader", "told_models"]  # fmt: skip

OUTSIDE = "outside"


class Hears(Protocol):
    """Who listens (`actors.listener.SessionListener`)."""

    def follows(self, message: object) -> bool:
        """Return whether a message follows from what was written down already."""

    def heard(self, name: str, question: str, args: tuple[Any, ...], said: object, *, raised: bool = False) -> None:
        """Write an answer down."""

    def observed(self, instrument_id: str, observation: bytes) -> None:
        """Write down what the models saw."""

    def write(self, kind: str, body: object) -> None:
        """Write anything else down."""


class OverheardPolicy:
    """A policy whose observations and exchanges of models are written down (`core.protocols.Policy`)."""

    def __init__(self, policy: Policy, instrument_id: str, listener: Hears) -> None:
        self._policy = policy
        self._instrument_id = instrument_id
        self._listener = listener

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models, in the order of the votes."""
        return self._policy.candidates

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Begin to build the next set of models."""
        self._policy.prepare(candidates)

    def swap(self) -> bool:
        """Take the next set if it is whole; when it was is written down."""
        try:
            swapped = self._policy.swap()
        except AutotradeError as error:
            self._listener.heard(OUTSIDE, "swap", (self._instrument_id,), str(error), raised=True)
            raise
        if swapped:
            self._listener.heard(OUTSIDE, "swap", (self._instrument_id,), said=True)
        return swapped

    def vote(self, observation: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return the votes."""
        self._listener.observed(self._instrument_id, observation.tobytes())
        return self._policy.vote(observation)


class OverheardFlow:
    """Taker-buy volume, written down (`core.protocols.FlowSource`)."""

    def __init__(self, flow: FlowSource, listener: Hears) -> None:
        self._flow = flow
        self._listener = listener

    def taker_buy(self, instrument_id: str, ts_close: int) -> float | None:
        """Return the taker-buy volume of a bar."""
        volume = self._flow.taker_buy(instrument_id, ts_close)
        self._listener.heard(OUTSIDE, "taker_buy", (instrument_id, ts_close), volume)
        return volume


class OverheardModels:
    """Models that come and go, written down by name and hash (`core.protocols.ModelSource`)."""

    def __init__(self, models: ModelSource, listener: Hears) -> None:
        self._models = models
        self._listener = listener

    def offers(self, ts_ns: int, seen: int) -> Sequence[Offer]:
        """Return the offers after the first ``seen`` ones."""
        offers = self._models.offers(ts_ns, seen)
        if offers:
            said = [(one.kind, *told_models((one.candidate,))[0], one.reason) for one in offers]
            self._listener.heard(OUTSIDE, "offers", (ts_ns, seen), said)
        return offers


class OverheardStore:
    """A state store: what is found in it, and what it refuses, is written down (`core.protocols.StateStore`)."""

    def __init__(self, store: StateStore, listener: Hears) -> None:
        self._store = store
        self._listener = listener

    def load(self, key: str) -> bytes | None:
        """Return what was last saved under a key."""
        try:
            value = self._store.load(key)
        except AutotradeError as error:
            self._listener.heard(OUTSIDE, "load", (key,), str(error), raised=True)
            raise
        if value is not None:
            self._listener.heard(OUTSIDE, "load", (key,), value)
        return value

    def save(self, key: str, value: bytes) -> None:
        """Replace what is saved under a key."""
        self._heard("save", key, value)

    def put(self, key: str, value: bytes) -> None:
        """Replace what is saved under a key, soon."""
        self._heard("put", key, value)

    def _heard(self, how: str, key: str, value: bytes) -> None:
        try:
            getattr(self._store, how)(key, value)
        except AutotradeError as error:
            self._listener.heard(OUTSIDE, how, (key,), str(error), raised=True)
            raise


class OverheardClock:
    """A clock for latencies, written down."""

    def __init__(self, clock: Callable[[], int], listener: Hears) -> None:
        self._clock = clock
        self._listener = listener

    def __call__(self) -> int:
        """Return the time, ns."""
        now = self._clock()
        self._listener.heard(OUTSIDE, "clock", (), now)
        return now


class OverheardTrader:
    """A trader: what it is told, and what it wants of the venue, is written down.

    It is the trader itself to everybody else; messages of components that are followed need not be written down again.
    """

    def __init__(self, trader: Trader, name: str, listener: Hears) -> None:
        self._trader = trader
        self._name = name
        self._listener = listener

    def __getattr__(self, member: str) -> Any:
        """Return what the trader has."""
        value = getattr(self._trader, member)
        if not (member.startswith("on_") or member in {"inherit", "restore"}):
            return value

        def call(*args: Any) -> Any:
            follows = bool(args) and self._listener.follows(args[0])
            told: Any = args[1:] if follows else args
            if member == "inherit":  # with all that it begins with
                told = msgspec.Raw(msgspec.msgpack.encode((self._trader.snapshot(), *args)))
            if member != "restore":
                self._listener.write("call", (self._name, member, follows, told))
            commands = value(*args)
            wanted = [c for c in commands or () if isinstance(c, Submit | Modify | Cancel | Query | Reconcile)]
            if wanted:
                told = [(type(c).__name__, msgspec.structs.asdict(c)) for c in wanted]
                self._listener.write("wanted", (self._name, told))
            return commands

        self.__dict__[member] = call
        return call


def told_models(candidates: Sequence[Candidate]) -> list[tuple[str, str, int]]:
    """Return models by name, hash and horizon."""
    return [(one.model_id, one.sha256, one.horizon_bars) for one in candidates]
