"""Why a decision sent no order: a closed list of reasons, the first that applies, in the order of `core.decision`.

An increase that the gate refused is one of them; which rule refused it is the decision's verdict.
"""

from core.decision import Decided
from core.rules import ALLOWED, NO_ADD

__all__ = ["REASONS", "why_nothing"]

REASONS: dict[str, str] = {
    "": "an order was sent",
    "pending": "an order was still under way, and what both together would have made of the position was not known",
    "barred": "something else kept the order from being sent: the position is being closed, or entries are frozen",
    "window": "the market data of the window were not fit to be decided on: not enough history, or a hole in it",
    "abstained": "the ensemble abstained",
    "flat_signal": "the ensemble wants no position",
    "expired": "the signal was too old to be traded",
    "denied": "the gate refused the increase",
    "add_size": "an add would be smaller than one lot: each is at most a share of the one before (sizing.add_fraction)",
    "add_taken": "a part of the profit was taken already: the position is not added to any more",
    "add_room": "with an add, the stop of the whole would stand nearer to the price than exits.min_stop_fraction",
    "unsure": "the confidence is below what sizing asks for",
    "too_small": "what sizing wants is less than one lot",
    "rebalance": "what sizing wants is too near to what is held to be worth an order",
}
"""Reason -> in words. ``window`` and ``abstained`` are told apart by the signal's abstention."""


def why_nothing(
    decided: Decided,
    *,
    order_id: str,
    held_lots: int,
    level: float,
    abstention: str,
    tradable: bool,
    busy: bool,
    unsure: bool,
) -> str:
    """Return why no order was sent, empty where one was.

    Parameters
    ----------
    decided : Decided
        The decision.
    order_id : str
        Of the order that it sent, empty where there is none.
    held_lots : int
        Before the decision, signed.
    level, abstention, tradable
        Of the signal.
    busy : bool
        Whether an order was under way.
    unsure : bool
        Whether the confidence is below what sizing asks for.
    """
    if order_id:
        return ""
    if decided.target_lots != held_lots:
        return "pending" if busy else "barred"
    if abstention:
        return "window" if abstention == "window" else "abstained"
    if held_lots == 0 and level == 0.0:
        return "flat_signal"
    if not tradable:
        return "expired"
    if busy:
        return "pending"
    if decided.verdict in NO_ADD:
        return NO_ADD[decided.verdict]
    if decided.verdict != ALLOWED:
        return "denied"
    if unsure:
        return "unsure"
    return "rebalance" if held_lots != 0 else "too_small"
