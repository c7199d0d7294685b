"""From a signal to a wanted exposure: strength, confidence and volatility, capped; and how much may be added."""

from typing import NamedTuple

import numpy as np

from core.compiled import inlined

__all__ = ["SizingParams", "largest_add", "signed_exposure"]


class SizingParams(NamedTuple):
    """Sizing.

    ``max_exposure``: fraction of equity that the strongest, surest signal may hold; ``volatility_target``:
    annualised volatility of equity that a full position aims at; ``min_confidence``: below it nothing is wanted;
    ``full_confidence``: from it on confidence no longer shrinks the position; ``rebalance_threshold``: relative
    change of a held position below which it is left alone; ``add_fraction``: an add is at most this share of the add
    before it, the first of what the position was opened with.
    """

    max_exposure: float
    volatility_target: float
    min_confidence: float
    full_confidence: float
    rebalance_threshold: float
    add_fraction: float = 0.5


@inlined
def signed_exposure(level: float, confidence: float, volatility: float, params: SizingParams) -> float:
    """Return the wanted exposure as a signed fraction of equity.

    ``exposure = level * f(confidence) * min(max_exposure, volatility_target / volatility)`` with ``f`` rising
    linearly from 0.5 at ``min_confidence`` to 1 at ``full_confidence``.

    Parameters
    ----------
    level : float
        Signed strength in [-1, 1].
    confidence : float
        In [0, 1]; below ``min_confidence`` the answer is 0. An ensemble's confidence is that of its winning votes times
        their agreement (`core.ensemble.tally`), so that disagreement shrinks the position here, and once only.
    volatility : float
        Annualised volatility of the instrument (fraction); 0 or less leaves only the cap.
    params : SizingParams
        The limits.
    """
    if confidence < params.min_confidence:
        return 0.0
    if confidence >= params.full_confidence:
        trust = 1.0
    else:
        trust = 0.5 + 0.5 * (confidence - params.min_confidence) / (params.full_confidence - params.min_confidence)
    cap = params.max_exposure
    if volatility > 0.0:
        cap = min(cap, params.volatility_target / volatility)
    return max(-1.0, min(1.0, level)) * trust * cap


@inlined
def largest_add(last_lots: int, params: SizingParams) -> int:
    """Return the lots that may be added after ``last_lots`` (unsigned) were; 0 where those are unknown (0)."""
    return int(np.floor(params.add_fraction * last_lots + 1e-9))
