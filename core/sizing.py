"""From a signal to a wanted exposure: strength, confidence and volatility, capped."""

from typing import NamedTuple

from core.compiled import inlined

__all__ = ["SizingParams", "signed_exposure"]


class SizingParams(NamedTuple):
    """Sizing.

    ``max_exposure``: fraction of equity that the strongest, surest signal may hold; ``volatility_target``:
    annualised volatility of equity that a full position aims at; ``min_confidence``: below it nothing is wanted;
    ``full_confidence``: from it on confidence no longer shrinks the position; ``rebalance_threshold``: relative
    change of a held position below which it is left alone.
    """

    max_exposure: float
    volatility_target: float
    min_confidence: float
    full_confidence: float
    rebalance_threshold: float


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
        In [0, 1]; below ``min_confidence`` the answer is 0.
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
