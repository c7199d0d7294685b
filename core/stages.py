"""Stages of a model in the ensemble as one transition table: on trial, serving, gone."""

__all__ = [
    "ACTIVE", "ARRIVED", "CANARY", "DECAYED", "DISAGREEMENT", "DROPPED", "EVENTS", "FAILED_LOAD", "LIVE", "LOSS",
    "NAN_ANSWER", "REINSTATED", "RETIRED", "SERVED", "SHADOW", "SLOW_ANSWER", "STAGES", "SUPERSEDED", "TRANSITIONS",
    "WITHDRAWN", "next_stage",
]  # fmt: skip

SHADOW, CANARY, ACTIVE, RETIRED, DROPPED = range(5)
STAGES: tuple[str, ...] = ("SHADOW", "CANARY", "ACTIVE", "RETIRED", "DROPPED")
LIVE = (SHADOW, CANARY, ACTIVE)
"""Stages in which a model is asked for its vote."""

(
    SERVED, NAN_ANSWER, SLOW_ANSWER, DISAGREEMENT, LOSS, DECAYED, WITHDRAWN, SUPERSEDED, FAILED_LOAD, ARRIVED,
    REINSTATED,
) = range(11)  # fmt: skip
EVENTS: tuple[str, ...] = (
    "served", "nan_answer", "slow_answer", "disagreement", "loss", "decayed", "withdrawn", "superseded",
    "failed_load", "arrived", "reinstated",
)  # fmt: skip
"""Served its bars; answered NaN; answered too slowly too often; voted against the rest too often; lost too much by its
own votes; is right less often than its confidence says; its artifact is gone; its successor is active; could not be
built; its artifact came (back); its successor failed."""

_TRIAL_ENDS = {
    NAN_ANSWER: DROPPED,
    SLOW_ANSWER: DROPPED,
    DISAGREEMENT: DROPPED,
    LOSS: DROPPED,
    DECAYED: DROPPED,
    WITHDRAWN: RETIRED,
    SUPERSEDED: RETIRED,
    FAILED_LOAD: DROPPED,
}

TRANSITIONS: dict[tuple[int, int], int] = {
    **{(stage, event): stage for stage in range(len(STAGES)) for event in range(len(EVENTS))},
    **{(stage, event): gone for stage in LIVE for event, gone in _TRIAL_ENDS.items()},
    (SHADOW, SERVED): CANARY,
    (CANARY, SERVED): ACTIVE,
    (ACTIVE, DECAYED): RETIRED,
    (RETIRED, ARRIVED): SHADOW,
    (RETIRED, REINSTATED): ACTIVE,
}
"""(stage, event) -> stage, total. What was dropped stays dropped: train anew. What was retired begins again."""


def next_stage(stage: int, event: int) -> int:
    """Return the stage after ``event``, by the transition table."""
    return TRANSITIONS[(stage, event)]
