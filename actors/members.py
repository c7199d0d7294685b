"""Who votes: the models of one instrument's ensemble, as they arrive, rise and go out between two decisions."""

from collections.abc import Sequence
from contextlib import suppress

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import AutotradeError, StateError
from core.messages import Alert
from core.protocols import Journal, ModelSource, Offer, Policy, StateStore
from core.serving import REFUSED, Change, Roster, RosterState, ServingParams
from core.stages import DROPPED, RETIRED, STAGES

__all__ = ["Members", "MembersParams"]

FloatArray = npt.NDArray[np.float64]

_GONE = (STAGES[RETIRED], STAGES[DROPPED], REFUSED)


class MembersParams(msgspec.Struct, frozen=True, kw_only=True):
    """The rules: ``quorum`` of the tally; ``priors`` weights of the first models before they have earned any."""

    instrument_id: str
    serving: ServingParams
    quorum: int
    priors: tuple[float, ...]


class Members:
    """Holds the roster against the policy that evaluates it: `seat` before a decision, `learn` after it.

    Parameters
    ----------
    params : MembersParams
        The rules.
    policy : Policy
        The models that it begins with.
    source : ModelSource
        Where models come from while these serve.
    store : StateStore | None
        Keeps what was learned of the models; None begins anew.
    journal : Journal
        Takes a row of ``members`` for every change.

    Attributes
    ----------
    names : tuple[str, ...]
        Of the models, in the order of the votes.
    weights : float64[N]
        What each vote counts.
    """

    def __init__(
        self,
        params: MembersParams,
        *,
        policy: Policy,
        source: ModelSource,
        store: StateStore | None,
        journal: Journal,
    ) -> None:
        self._params = params
        self._policy = policy
        self._source = source
        self._store = store
        self._journal = journal
        self._key = f"members.{params.instrument_id}"
        saved = None if store is None else store.load(self._key)
        self._roster = Roster(params.serving, None if saved is None else msgspec.json.decode(saved, type=RosterState))
        self._contents = {candidate.sha256: candidate for candidate in policy.candidates}
        self._building: tuple[str, ...] = ()
        self._offers = 0
        self._opened = self._quorum_lost = False
        self._alerts: list[Alert] = []
        self.names: tuple[str, ...] = ()
        self.weights: FloatArray = np.zeros(0)

    def seat(self, ts_event: int) -> Sequence[Alert]:
        """Let a set of models that was built since the last decision take over; return what a person should know."""
        self._alerts = []
        if not self._opened:
            self._opened = True
            self._tell(ts_event, self._roster.found(self._policy.candidates, self._params.priors))
            self.names = tuple(candidate.model_id for candidate in self._policy.candidates)
        try:
            if self._policy.swap():
                self._roster.seat([candidate.sha256 for candidate in self._policy.candidates])
                self.names = tuple(candidate.model_id for candidate in self._policy.candidates)
        except AutotradeError as error:
            for sha256 in set(self._building) - set(self._roster.seats):
                self._tell(ts_event, self._roster.fail(sha256, str(error)))
        self.weights = self._roster.weights
        return self._alerts

    def learn(
        self,
        levels: FloatArray,
        confidences: FloatArray,
        *,
        ts_event: int,
        bar: int,
        close: float,
        latency_ns: int,
        flat: bool,
    ) -> Sequence[Alert]:
        """Take in what a decision taught and what arrived meanwhile; return what a person should know.

        Parameters are those of `core.serving.Roster.observe`.
        """
        self._alerts = []
        changes = self._roster.observe(levels, confidences, bar=bar, close=close, latency_ns=latency_ns, flat=flat)
        if changes:
            self._tell(ts_event, changes)
        for offer in self._source.offers(ts_event, self._offers):
            self._offers += 1
            self._take(offer, ts_event)
        wanted = self._roster.wanted
        if wanted and wanted not in (self._roster.seats, self._building):
            self._building = wanted
            self._policy.prepare([self._contents[sha256] for sha256 in wanted])
        if self._store is not None:
            with suppress(StateError):  # what was learned is learned again; others say that the store fails
                self._store.put(self._key, msgspec.json.encode(self._roster.snapshot()))
        return self._alerts

    def _take(self, offer: Offer, ts_event: int) -> None:
        candidate = offer.candidate
        if offer.kind == "arrived":
            self._contents[candidate.sha256] = candidate
            self._tell(ts_event, self._roster.admit(candidate))
        elif offer.kind == "withdrawn":
            self._roster.withdraw(candidate.sha256, offer.reason)
        else:
            self._tell(ts_event, (self._roster.refuse(candidate.model_id, offer.reason),))

    def _tell(self, ts_event: int, changes: Sequence[Change]) -> None:
        """Write changes down; a person is told of those that take a model away."""
        instrument = self._params.instrument_id
        for change in changes:
            row = msgspec.structs.asdict(change)
            self._journal.record("members", {"ts_event": ts_event, "instrument_id": instrument} | row)
            if change.stage_to in _GONE:
                text = f"{instrument}: model {change.model_id} {change.stage_to.lower()}: {change.reason}"
                self._alerts.append(Alert("ensemble", "warning", text, ts_event))
        lost = self._roster.able < self._params.quorum
        if lost and not self._quorum_lost:
            text = f"{instrument}: {self._roster.able} models vote, the quorum is {self._params.quorum}: only exits"
            self._alerts.append(Alert("ensemble", "critical", text, ts_event))
        self._quorum_lost = lost
