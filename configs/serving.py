"""How models come into the ensemble and go out of it."""

import math
from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section
from core.scores import ScoreParams
from core.serving import ServingParams

__all__ = ["Serving"]


class Serving(Section, frozen=True, kw_only=True):
    """Stages of a new model (shadow without weight, canary, active), and what takes one out again."""

    shadow_bars: Annotated[
        int,
        Meta(
            ge=0, le=100_000, description="decision bars that a new model votes without weight", extra=SAFER_IS_HIGHER
        ),
    ]
    canary_bars: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="decision bars that it then votes with a reduced weight",
            extra=SAFER_IS_HIGHER,
        ),
    ]
    canary_share: Annotated[float, Meta(ge=0.0, le=1.0, description="of a full vote", extra=SAFER_IS_LOWER)]
    handover: Annotated[
        Literal["flat", "next_bar"],
        Meta(description="a model is promoted or withdrawn only without a position, or at the next bar"),
    ]
    max_members: Annotated[int, Meta(ge=1, le=64, description="models that are asked for their votes at a time")]
    signal_expiry_bars: Annotated[
        int, Meta(ge=1, le=100, description="decision bars after which a signal is void", extra=SAFER_IS_LOWER)
    ]
    slow_ms: Annotated[float, Meta(ge=0.0, le=10_000.0, description="longest answer of all models; 0: no limit")]
    slow_strikes: Annotated[
        int, Meta(ge=1, le=1_000, description="slower answers within a window that drop the newest model")
    ]
    window_bars: Annotated[int, Meta(ge=1, le=100_000, description="window of disagreement and of slow answers")]
    max_disagreement: Annotated[
        float,
        Meta(
            ge=0.0, le=1.0, description="share of a window opposed to a clear rest; 1: no limit", extra=SAFER_IS_LOWER
        ),
    ]
    max_loss: Annotated[
        float,
        Meta(
            ge=0.001,
            le=10.0,
            description="lost on paper by a model's own votes at full size, decayed",
            extra=SAFER_IS_LOWER,
        ),
    ]
    half_life_bars: Annotated[float, Meta(ge=1.0, le=1e6, description="after which a bar's outcome counts half")]
    learning_rate: Annotated[
        float, Meta(ge=0.0, le=1_000.0, description="of performance weights: e-fold for 1 / rate earned on paper")
    ]
    min_weight: Annotated[float, Meta(ge=0.001, le=1.0, description="lowest performance weight; 1 is the mean")]
    max_weight: Annotated[float, Meta(ge=1.0, le=64.0, description="highest performance weight", extra=SAFER_IS_LOWER)]
    decay_odds: Annotated[
        float, Meta(ge=0.01, le=0.99, description="odds of being right, against what the confidence says: decayed")
    ]
    decay_alarm: Annotated[
        int, Meta(ge=0, le=10**9, description="judgements to a false alarm of decay, at least; 0: no watch")
    ]

    def params(self, *, cost: float, learned: bool) -> ServingParams:
        """Return the rules of the roster.

        Parameters
        ----------
        cost : float
            Of changing hands, fraction of notional.
        learned : bool
            Whether the vote is weighed by performance.
        """
        score = ScoreParams(
            shadow_bars=self.shadow_bars,
            canary_bars=self.canary_bars,
            keep=0.5 ** (1.0 / self.half_life_bars),
            cost=cost,
            max_loss=self.max_loss,
            window_bars=self.window_bars,
            max_disagreement=self.max_disagreement,
            decay_odds=self.decay_odds,
            decay_limit=math.log(self.decay_alarm) if self.decay_alarm > 0 else math.inf,
        )
        return ServingParams(
            score=score,
            canary_share=self.canary_share,
            learned=learned,
            learning_rate=self.learning_rate,
            min_weight=self.min_weight,
            max_weight=self.max_weight,
            slow_ns=round(self.slow_ms * 1e6),
            slow_strikes=self.slow_strikes,
            when_flat=self.handover == "flat",
            max_members=self.max_members,
        )
