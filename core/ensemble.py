"""The tally: many votes, one signal, or an abstention that says why."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import compiled

__all__ = [
    "ABSTENTIONS",
    "CONFIDENCE",
    "MAJORITY",
    "METHODS",
    "NO_AGREEMENT",
    "NO_QUORUM",
    "PERFORMANCE",
    "QUORUM_LOST",
    "SIGNALLED",
    "TIE",
    "UNSURE",
    "Tally",
    "TallyParams",
    "tally",
]

FloatArray = npt.NDArray[np.float64]

MAJORITY, CONFIDENCE, PERFORMANCE = 0, 1, 2
METHODS: dict[str, int] = {"majority": MAJORITY, "confidence": CONFIDENCE, "performance": PERFORMANCE}

SIGNALLED, NO_QUORUM, TIE, NO_AGREEMENT, UNSURE, QUORUM_LOST = 0, 1, 2, 3, 4, 5
ABSTENTIONS: dict[int, str] = {
    SIGNALLED: "",
    NO_QUORUM: "no_quorum",
    TIE: "tie",
    NO_AGREEMENT: "no_agreement",
    UNSURE: "unsure",
    QUORUM_LOST: "quorum_lost",
}
"""Why nothing is to be opened. No quorum: too few were sure enough; quorum lost: too few have a weight at all."""


class TallyParams(NamedTuple):
    """How votes become a signal.

    ``method``: what a vote weighs: as much as any (majority), its confidence, or as much as the model has earned
    (performance); the model's weight comes on top;
    ``quorum``: voters needed; ``min_vote_confidence``: a model less sure than this does not vote;
    ``min_agreement``: weight share that the winning direction needs; ``min_confidence``: of the signal.
    """

    method: int
    quorum: int
    min_vote_confidence: float
    min_agreement: float
    min_confidence: float


class Tally(NamedTuple):
    """The signal.

    ``level`` in [-1, 1] (0 where abstained); ``confidence`` and ``agreement`` in [0, 1]; ``voters`` count;
    ``abstention`` code, `SIGNALLED` where there is a signal.
    """

    level: float
    confidence: float
    agreement: float
    voters: int
    abstention: int


@compiled
def tally(levels: FloatArray, confidences: FloatArray, weights: FloatArray, params: TallyParams) -> Tally:
    """Tally the votes of N models.

    Parameters
    ----------
    levels, confidences : float64[N]
        Votes as decoded by `core.actions`. NaN, and a confidence below the limit, do not vote.
    weights : float64[N]
        Of the models, by stage and performance; one not above 0 does not vote, whatever the method.
    params : TallyParams
        The rules.

    Returns
    -------
    Tally
        The direction (short, flat, long) with the most weight wins; equal weights abstain. The level is the
        weighted mean level of the winners, the agreement their share of the weight, and the confidence the
        weighted mean confidence of the winners times the agreement.
    """
    total = np.zeros(3)
    strength = np.zeros(3)
    trust = np.zeros(3)
    voters = able = 0
    for i in range(levels.shape[0]):
        weight = weights[i]
        if not weight > 0.0:
            continue
        able += 1
        if not np.isfinite(levels[i]) or not confidences[i] >= params.min_vote_confidence:
            continue
        if params.method == CONFIDENCE:
            weight *= confidences[i]
        if not weight > 0.0:
            continue
        side = int(np.sign(levels[i])) + 1
        voters += 1
        total[side] += weight
        strength[side] += weight * levels[i]
        trust[side] += weight * confidences[i]
    if voters < params.quorum or voters == 0:
        return Tally(0.0, 0.0, 0.0, voters, QUORUM_LOST if able < params.quorum or able == 0 else NO_QUORUM)
    best = int(np.argmax(total))
    agreement = total[best] / total.sum()
    confidence = trust[best] / total[best] * agreement
    for side in range(3):
        if side != best and total[side] >= total[best] * (1.0 - 1e-12):
            return Tally(0.0, confidence, agreement, voters, TIE)
    if agreement < params.min_agreement:
        return Tally(0.0, confidence, agreement, voters, NO_AGREEMENT)
    if confidence < params.min_confidence:
        return Tally(0.0, confidence, agreement, voters, UNSURE)
    return Tally(strength[best] / total[best], confidence, agreement, voters, SIGNALLED)
