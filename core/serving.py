"""The roster of an ensemble: which models vote, with what weight, and why one comes in or goes out.

Theory of operation. The founding members are active. What arrives later is evaluated at once but has no weight
(shadow), then a reduced one (canary), then a full one; where it bears the name of a model that serves, that one is
superseded at this last step and is reinstated if its successor fails. A model is dropped for what it does, never for
what others do; the rest stands. Changes that a person wants (promotion, withdrawal) wait for the hand-over, those for
safety do not. What a bar teaches counts from the next bar on, so that nothing of it delays the decision.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from core.scores import QUIET, S, ScoreParams, Votes, observe, weigh
from core.stages import (
    ACTIVE,
    ARRIVED,
    CANARY,
    DROPPED,
    EVENTS,
    FAILED_LOAD,
    LIVE,
    REINSTATED,
    RETIRED,
    SERVED,
    SHADOW,
    SLOW_ANSWER,
    STAGES,
    SUPERSEDED,
    WITHDRAWN,
    next_stage,
)

__all__ = ["REFUSED", "Candidate", "Change", "Member", "Roster", "RosterState", "ServingParams"]

FloatArray = npt.NDArray[np.float64]

REFUSED = "REFUSED"
"""Where a model goes that never came in."""


class ServingParams(NamedTuple):
    """How models come in and go out.

    ``score``: limits of the scores; ``canary_share`` of a full vote; ``learned``: weights are learned from outcomes, by
    ``learning_rate`` within ``min_weight`` and ``max_weight``; ``slow_ns`` and ``slow_strikes``: that many answers
    above the limit within ``window_bars`` bars are too many, 0 for no limit; ``when_flat``: hand over only without a
    position; ``max_members`` that are asked for their votes.
    """

    score: ScoreParams
    canary_share: float
    learned: bool
    learning_rate: float
    min_weight: float
    max_weight: float
    slow_ns: int
    slow_strikes: int
    when_flat: bool
    max_members: int


class Candidate(msgspec.Struct, frozen=True):
    """A model that passed every check: its name, its hash, the horizon of its calibration, and what it is built from.

    ``horizon_bars`` decision bars, 0 without a calibration.
    """

    model_id: str
    sha256: str
    horizon_bars: int
    content: object


class Member(msgspec.Struct, frozen=True):
    """A model that the roster knows.

    ``reason`` why it is in its stage; ``prior`` weight before anything was learned; ``founding``: it was there from the
    first; ``predecessor`` whom it supersedes (a hash, empty for nobody).
    """

    model_id: str
    sha256: str
    horizon_bars: int
    stage: int
    reason: str
    prior: float
    founding: bool
    predecessor: str = ""


class Change(msgspec.Struct, frozen=True):
    """A model moved from a stage (empty: unknown so far) to another; ``weight`` is its new one."""

    model_id: str
    sha256: str
    stage_from: str
    stage_to: str
    weight: float
    reason: str


class RosterState(msgspec.Struct, frozen=True):
    """All that a roster must know after a restart; ``scores`` by hash, in the order of `core.scores.Score`."""

    members: tuple[Member, ...]
    scores: dict[str, tuple[float, ...]]
    slow_since: int
    slow_answers: int


class Roster:
    """Members by hash; the scores of those that are seated, in the order in which they vote.

    A member that is live but not seated yet waits for the policy to be built with it; one that is seated but not live
    any more has no weight and leaves with the next set.

    Parameters
    ----------
    params : ServingParams
        The rules.
    state : RosterState | None
        Of an earlier run, to go on from.

    Attributes
    ----------
    weights : float64[N]
        Of each seated model; not to be changed by a reader.
    wanted : tuple[str, ...]
        Hashes of the models that should be asked for their votes.
    """

    def __init__(self, params: ServingParams, state: RosterState | None = None) -> None:
        self._params = params
        known = state if state is not None else RosterState((), {}, 0, 0)
        self._members = {member.sha256: member for member in known.members}
        self._kept = {sha: np.array(row) for sha, row in known.scores.items()}
        self._slow = (known.slow_since, known.slow_answers)
        self._fresh = state is None
        self._leaving: dict[str, str] = {}
        self._seats: tuple[str, ...] = ()
        self._scores: FloatArray = np.zeros((0, len(S)))
        self._take_stages()

    @property
    def members(self) -> tuple[Member, ...]:
        """All that are known, in the order of their arrival."""
        return tuple(self._members.values())

    @property
    def seats(self) -> tuple[str, ...]:
        """Hashes of the models that are asked for their votes, in order."""
        return self._seats

    @property
    def able(self) -> int:
        """Members that vote with some weight."""
        return int(np.count_nonzero(self.weights > 0.0))

    def found(self, candidates: Sequence[Candidate], priors: Sequence[float]) -> tuple[Change, ...]:
        """Take the models that a run begins with, and seat them.

        In a fresh roster they are active at once. In one that goes on from an earlier run every model has the stage
        that it had, an unknown one begins in the shadow, and one that is not there any more is withdrawn.
        """
        there = {candidate.sha256 for candidate in candidates}
        changes = [self._apply(sha, WITHDRAWN, "its artifact is gone") for sha in self.wanted if sha not in there]
        for candidate, prior in zip(candidates, priors, strict=True):
            if candidate.sha256 not in self._members:
                changes.append(self._enter(candidate, prior=prior, founding=self._fresh))
        self._fresh = False
        self.seat([candidate.sha256 for candidate in candidates])
        return self._weighed(changes)

    def admit(self, candidate: Candidate) -> tuple[Change, ...]:
        """Take a model that arrived while others serve; one that was dropped stays out."""
        known = self._members.get(candidate.sha256)
        if known is not None and (known.stage != RETIRED or len(self.wanted) < self._params.max_members):
            self._kept.pop(candidate.sha256, None)
            change = self._apply(candidate.sha256, ARRIVED, "its artifact came back")
            return () if change.stage_from == change.stage_to else (change,)
        if len(self.wanted) >= self._params.max_members:
            return (self.refuse(candidate.model_id, f"{self._params.max_members} members serve, which is the limit"),)
        return (self._enter(candidate, prior=1.0, founding=False),)

    def refuse(self, model_id: str, reason: str) -> Change:
        """Say that a model never came in."""
        return Change(model_id, "", "", REFUSED, 0.0, reason)

    def withdraw(self, sha256: str, reason: str) -> None:
        """Retire a live member whose artifact is gone, at the next hand-over."""
        if sha256 in self._members:
            self._leaving[sha256] = reason

    def fail(self, sha256: str, reason: str) -> tuple[Change, ...]:
        """Drop a live member that could not be built."""
        return self._out(sha256, reason, FAILED_LOAD)

    def seat(self, hashes: Sequence[str]) -> None:
        """Take note of who votes from now on, in order; who votes already keeps its score, who is new begins at 0."""
        kept = self._kept | dict(zip(self._seats, self._scores, strict=True))
        self._kept = {}
        self._seats = tuple(hashes)
        self._scores = np.zeros((len(hashes), len(S)))
        for row, sha in zip(self._scores, hashes, strict=True):
            row[:] = kept.get(sha, 0.0)
        self._take_stages()

    def observe(
        self, levels: FloatArray, confidences: FloatArray, *, bar: int, close: float, latency_ns: int, flat: bool
    ) -> tuple[Change, ...]:
        """Fold the votes of a closed decision bar into the scores; return who moved.

        Parameters
        ----------
        levels, confidences : float64[N]
            Of the seated models, as tallied with `weights`.
        bar : int
            Number of the decision bar since the epoch.
        close : float
            Its close, quote currency.
        latency_ns : int
            What the answer of all of them took.
        flat : bool
            Whether nothing is held and no order is under way.
        """
        votes = Votes(levels, confidences, self.weights, bar, close)
        moved = observe(self._scores, self._stages, self._horizons, votes, self._params.score, self._events)
        late = 0 < self._params.slow_ns < latency_ns and self._late(bar)
        if self._params.learned:
            self._weigh()
        if not (moved or late or self._leaving):
            return ()
        handing_over = flat or not self._params.when_flat
        changes: list[Change] = []
        for sha, event in zip(self._seats, self._events.tolist(), strict=True):
            if event == SERVED and handing_over:
                changes += self._promote(sha)
            elif event not in {QUIET, SERVED}:
                changes += self._out(sha, self._said(sha, event), event)
        while self._leaving and handing_over:
            changes += self._out(*self._leaving.popitem(), event=WITHDRAWN)
        if late:
            changes += self._blame(latency_ns)
        return self._weighed(changes)

    def snapshot(self) -> RosterState:
        """Return all that a restart needs."""
        scores = {sha: tuple(row.tolist()) for sha, row in zip(self._seats, self._scores, strict=True)}
        return RosterState(self.members, scores, *self._slow)

    def _enter(self, candidate: Candidate, *, prior: float, founding: bool) -> Change:
        stage, reason = (ACTIVE, "founding") if founding else (SHADOW, EVENTS[ARRIVED])
        serving = [m.sha256 for m in self._members.values() if m.model_id == candidate.model_id and m.stage in LIVE]
        self._members[candidate.sha256] = Member(
            candidate.model_id,
            candidate.sha256,
            candidate.horizon_bars,
            stage,
            reason,
            prior,
            founding,
            predecessor=serving[-1] if serving and not founding else "",
        )
        self._take_stages()
        return Change(candidate.model_id, candidate.sha256, "", STAGES[stage], 0.0, reason)

    def _apply(self, sha: str, event: int, reason: str) -> Change:
        """Move a member by the table."""
        before = self._members[sha]
        stage = next_stage(before.stage, event)
        said = f"{EVENTS[event]}: {reason}"
        if stage != before.stage:
            self._members[sha] = msgspec.structs.replace(before, stage=stage, reason=said)
            if sha in self._seats:
                self._scores[self._seats.index(sha), S.bars] = 0.0
            self._take_stages()
        return Change(before.model_id, sha, STAGES[before.stage], STAGES[stage], 0.0, said)

    def _promote(self, sha: str) -> list[Change]:
        bars = int(self._scores[self._seats.index(sha), S.bars])
        changes = [self._apply(sha, SERVED, f"{bars} bars as {STAGES[self._members[sha].stage].lower()}")]
        own = self._members[sha]
        if own.stage != ACTIVE:
            return changes
        for before in self.members:
            same = before.model_id == own.model_id and before.sha256 != sha
            if same and (before.stage == ACTIVE or (before.stage in LIVE and before.sha256 == own.predecessor)):
                changes.append(self._apply(before.sha256, SUPERSEDED, _by(sha)))
                own = msgspec.structs.replace(own, predecessor=before.sha256)
        self._members[sha] = own
        return changes

    def _out(self, sha: str, reason: str, event: int) -> tuple[Change, ...]:
        """Take a live member out; the one that it superseded comes back."""
        member = self._members[sha]
        if member.stage not in LIVE:
            return ()
        changes = [self._apply(sha, event, reason)]
        before = self._members.get(member.predecessor)
        stood_down = before is not None and before.stage == RETIRED and before.reason.endswith(_by(sha))
        filled = any(m.model_id == member.model_id and m.stage == ACTIVE for m in self.members)
        if before is not None and stood_down and not filled and self._members[sha].stage == DROPPED:
            changes.append(self._apply(before.sha256, REINSTATED, f"{sha[:16]} failed"))
        return self._weighed(changes)

    def _late(self, bar: int) -> bool:
        """Count an answer above the limit; return whether there are too many within the window."""
        since, answers = self._slow
        if bar - since >= self._params.score.window_bars:
            since, answers = bar, 0
        self._slow = (since, answers + 1)
        return answers + 1 >= self._params.slow_strikes

    def _blame(self, latency_ns: int) -> tuple[Change, ...]:
        """Drop the newest member that is no founding one: before it came, answers were in time."""
        self._slow = (0, 0)
        newest = next((sha for sha in reversed(self.wanted) if not self._members[sha].founding), None)
        if newest is None:
            return ()
        said = f"{self._params.slow_strikes} answers too slow, the last took {latency_ns / 1e6:.3f} ms"
        return self._out(newest, f"{said}; at most {self._params.slow_ns / 1e6:.3f} ms are allowed", SLOW_ANSWER)

    def _said(self, sha: str, event: int) -> str:
        """Return the numbers behind an event."""
        row, limits = self._scores[self._seats.index(sha)], self._params.score
        match EVENTS[event]:
            case "loss":
                return f"its votes lost {-row[S.gain]:.4f} on paper, at most {limits.max_loss} is allowed"
            case "decayed":
                return (
                    f"CUSUM {row[S.cusum]:.3f} after {row[S.judged]:.0f} judgements, at most {limits.decay_limit:.3f} "
                    "is allowed: it is right less often than it says"
                )
            case "disagreement":
                return f"it opposed the rest in more than {limits.max_disagreement} of {limits.window_bars} bars"
            case _:
                return "its answer is no number"

    def _take_stages(self) -> None:
        """Bring what the compiled code reads in line with the members."""
        self.wanted = tuple(sha for sha, member in self._members.items() if member.stage in LIVE)
        seated = [self._members[sha] for sha in self._seats]
        self._stages = np.array([m.stage for m in seated], dtype=np.int64)
        self._horizons = np.array([m.horizon_bars for m in seated], dtype=np.int64)
        self._priors = np.array([m.prior if self._params.learned else 1.0 for m in seated])
        shares = {ACTIVE: 1.0, CANARY: self._params.canary_share}
        self._shares = np.array([shares.get(m.stage, 0.0) for m in seated])
        self._events = np.full(len(seated), QUIET, dtype=np.int64)
        self._weigh()

    def _weigh(self) -> None:
        """Work the weights out anew."""
        if not self._params.learned:
            self.weights = self._shares
            return
        p = self._params
        gains = np.ascontiguousarray(self._scores[:, S.gain])
        self.weights = weigh(gains, self._priors, self._shares, p.learning_rate, p.min_weight, p.max_weight)

    def _weighed(self, changes: Sequence[Change]) -> tuple[Change, ...]:
        """Return changes with the weights that came of them."""
        weight = dict(zip(self._seats, self.weights.tolist(), strict=True))
        return tuple(msgspec.structs.replace(c, weight=weight.get(c.sha256, 0.0)) for c in changes)


def _by(sha: str) -> str:
    """Return how a model that was superseded says by whom."""
    return f"by {sha[:16]}"
