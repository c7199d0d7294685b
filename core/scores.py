"""What each model's votes were worth: paper returns, agreement with the rest, and a watch for decay.

One row of numbers a model, folded bar by bar in one compiled call: the decision's path holds no loop over models.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import compiled
from core.stages import ACTIVE, CANARY, DECAYED, DISAGREEMENT, LOSS, NAN_ANSWER, SERVED, SHADOW

__all__ = ["QUIET", "S", "Score", "ScoreParams", "Votes", "observe", "weigh"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

QUIET = -1
"""Nothing happened to a model at this bar."""
_SURE = 1e-3
"""A confidence is held this far from 0 and 1 where its odds are taken."""
_CLEAR = 0.5
"""Mean level beyond which the rest has a clear direction."""
_HALVINGS = 60
"""Steps to find which weights are at a bound; the others then follow exactly."""


class Score(NamedTuple):
    """A model's row.

    ``bars`` served in its stage; ``gain`` decayed sum of paper returns (fraction); ``level`` and ``close`` of its last
    vote, 0 without one. A prediction under judgement: the ``bar`` at which it is due (0: none), its ``side``,
    ``confidence`` and ``entry`` close. ``cusum`` of decay; ``judged`` predictions so far. Of the window of agreement:
    ``directed`` bars on which the model had a direction and the rest a clear one, and how often they were ``opposed``.
    """

    bars: int
    gain: int
    level: int
    close: int
    bar: int
    side: int
    confidence: int
    entry: int
    cusum: int
    judged: int
    directed: int
    opposed: int


S = Score(*range(12))
"""Column of each field."""


class ScoreParams(NamedTuple):
    """Limits of a score.

    ``shadow_bars``, ``canary_bars``: served before promotion; ``keep``: share of the gain that is left a bar later;
    ``cost``: fraction of notional for each unit of level that changes hands; ``max_loss``: fraction lost on paper;
    ``window_bars``, ``max_disagreement``: directed bars of a window, and the share of them that may be opposed;
    ``decay_odds``: odds of being right, as a factor, that count as decay; ``decay_limit`` of the CUSUM, infinite for
    none.
    """

    shadow_bars: int
    canary_bars: int
    keep: float
    cost: float
    max_loss: float
    window_bars: int
    max_disagreement: float
    decay_odds: float
    decay_limit: float


class Votes(NamedTuple):
    """The votes of N models at a closed decision bar and the weight that each had.

    ``levels``, ``confidences``, ``weights`` float64[N]; ``bar`` number of the decision bar since the epoch; ``close``.
    """

    levels: FloatArray
    confidences: FloatArray
    weights: FloatArray
    bar: int
    close: float


@compiled
def observe(
    scores: FloatArray, stages: IntArray, horizons: IntArray, votes: Votes, params: ScoreParams, events: IntArray
) -> bool:
    """Fold a bar's votes, and what came of the last ones, into the scores.

    Parameters
    ----------
    scores : float64[N, len(S)]
        Changed in place.
    stages : int64[N]
        Of `core.stages`.
    horizons : int64[N]
        Decision bars after which a vote is right or wrong, as at calibration; 0 where its confidence promises nothing.
    votes : Votes
        As they were counted.
    params : ScoreParams
        The limits.
    events : int64[N]
        Written: an event of `core.stages` a model, the gravest if several, or `QUIET`.

    Returns
    -------
    bool
        Whether there is any event.

    Notes
    -----
    A model earns on paper what its level of the last vote earned until this close, less the cost of changing it. It has
    one prediction under judgement at a time, so that judgements do not overlap; one whose due close was missed does not
    count, and a vote on no move is wrong, as at calibration. The rest has a clear direction where its weighted mean
    level is beyond one half; windows of agreement follow each other and do not overlap.

    The watch for decay is Page's CUSUM of the log likelihood ratio of "the odds of being right are ``decay_odds`` times
    what the confidence says" against "they are what it says". Without decay it takes at least ``exp(decay_limit)``
    judgements to a false alarm in the mean.

    References
    ----------
    Page, "Continuous inspection schemes", Biometrika 1954. Lorden, "Procedures for reacting to a change in
    distribution", Annals of Mathematical Statistics 1971. Steiner, Cook, Farewell, Treasure, "Monitoring surgical
    performance using risk-adjusted cumulative sum charts", Biostatistics 2000.
    """
    any_event = False
    total = leaning = 0.0
    for i in range(scores.shape[0]):
        if votes.weights[i] > 0.0 and np.isfinite(votes.levels[i]):
            total += votes.weights[i]
            leaning += votes.weights[i] * votes.levels[i]
    for i in range(scores.shape[0]):
        events[i] = QUIET
        if stages[i] > ACTIVE:
            continue
        row = scores[i]
        level, confidence = votes.levels[i], votes.confidences[i]
        if not (np.isfinite(level) and np.isfinite(confidence)):
            events[i] = NAN_ANSWER
            any_event = True
            continue
        earned = row[S.level] * (votes.close / row[S.close] - 1.0) if row[S.close] > 0.0 else 0.0
        row[S.gain] = params.keep * row[S.gain] + earned - params.cost * abs(level - row[S.level])
        row[S.level], row[S.close] = level, votes.close
        row[S.bars] += 1.0
        own = max(0.0, votes.weights[i])
        rest = leaning - own * level
        if level != 0.0 and total > own and abs(rest) > _CLEAR * (total - own):
            row[S.directed] += 1.0
            row[S.opposed] += 1.0 if rest * level < 0.0 else 0.0
        if horizons[i] > 0:
            _judge(row, level, confidence, horizons[i], votes.bar, votes.close, params.decay_odds)
        if row[S.cusum] > params.decay_limit:
            events[i] = DECAYED
        elif row[S.gain] < -params.max_loss:
            events[i] = LOSS
        elif row[S.directed] >= params.window_bars and row[S.opposed] > params.max_disagreement * row[S.directed]:
            events[i] = DISAGREEMENT
        elif (stages[i] == SHADOW and row[S.bars] >= params.shadow_bars) or (
            stages[i] == CANARY and row[S.bars] >= params.canary_bars
        ):
            events[i] = SERVED
        if row[S.directed] >= params.window_bars:
            row[S.directed] = row[S.opposed] = 0.0
        any_event = any_event or events[i] != QUIET
    return any_event


@compiled
def _judge(row: FloatArray, level: float, confidence: float, horizon: int, bar: int, close: float, odds: float) -> None:
    """Judge the prediction that is due and take the next one."""
    if row[S.bar] > 0.0 and bar >= row[S.bar]:
        if bar == row[S.bar]:
            p = min(max(row[S.confidence], _SURE), 1.0 - _SURE)
            right = row[S.side] * (close - row[S.entry]) > 0.0
            evidence = -math.log(1.0 - p + odds * p)
            if right:
                evidence += math.log(odds)
            row[S.cusum] = max(0.0, row[S.cusum] + evidence)
            row[S.judged] += 1.0
        row[S.bar] = 0.0
    if row[S.bar] == 0.0 and level != 0.0 and confidence > 0.0:
        row[S.bar] = bar + horizon
        row[S.side] = np.sign(level)
        row[S.confidence] = confidence
        row[S.entry] = close


@compiled
def weigh(
    gains: FloatArray, priors: FloatArray, shares: FloatArray, rate: float, low: float, high: float
) -> FloatArray:
    """Return the performance weight of each model: exponential in what its votes earned, bounded, 1 in the mean.

    Parameters
    ----------
    gains : float64[N]
        Decayed sums of paper returns (fraction).
    priors : float64[N]
        Weights before anything was earned; not above 0 never votes.
    shares : float64[N]
        Of a full vote that the model's stage gives; those above 0 are weighed against each other.
    rate : float
        Learning rate; 0 leaves the priors.
    low, high : float
        Bounds of a weight before its share is taken, ``0 < low <= 1 <= high``.

    Returns
    -------
    float64[N]
        ``share * min(max(c * prior * exp(rate * gain), low), high)`` with the c for which the bounded weights are 1 in
        the mean.

    References
    ----------
    Freund and Schapire, "A decision-theoretic generalization of on-line learning", 1997 (Hedge). Cesa-Bianchi and
    Lugosi, "Prediction, Learning, and Games", 2006, section 2.11 (discounted regret).
    """
    n = gains.shape[0]
    weights = np.zeros(n)
    raw = np.zeros(n)
    best = -np.inf
    for i in range(n):
        if shares[i] > 0.0 and priors[i] > 0.0:
            raw[i] = math.log(priors[i]) + rate * gains[i]
            best = max(best, raw[i])
    count = 0
    least, most = np.inf, 0.0
    for i in range(n):
        if shares[i] > 0.0 and priors[i] > 0.0:
            raw[i] = max(math.exp(raw[i] - best), 1e-300)
            least, most = min(least, raw[i]), max(most, raw[i])
            count += 1
    if count == 0:
        return weights
    lower, upper = math.log(low) - math.log(most), math.log(high) - math.log(least)
    for _ in range(_HALVINGS):
        middle = 0.5 * (lower + upper)
        c = math.exp(middle)
        total = 0.0
        for i in range(n):
            if raw[i] > 0.0:
                total += min(max(c * raw[i], low), high)
        if total < count:
            lower = middle
        else:
            upper = middle
    c = math.exp(0.5 * (lower + upper))
    free, left = 0.0, float(count)
    for i in range(n):
        if raw[i] > 0.0 and low < c * raw[i] < high:
            free += raw[i]
        elif raw[i] > 0.0:
            left -= low if c * raw[i] <= low else high
    if free > 0.0:
        c = left / free
    for i in range(n):
        if raw[i] > 0.0:
            weights[i] = shares[i] * min(max(c * raw[i], low), high)
    return weights
