"""What a selection came to: the verdict on a study and everything that it rests on, as `selection.json` holds it.

Fractions, never per cent; drawdown >= 0; what is undefined is ``None``; times are ISO in UTC, days are counted since
the epoch; an equity curve starts at 1.
"""

from typing import Literal

import msgspec

__all__ = [
    "BaselineRow",
    "Bin",
    "Calibrated",
    "Curve",
    "FoldSpan",
    "Member",
    "Overfitting",
    "RegimeRow",
    "RuleResult",
    "Selection",
    "StressRow",
    "TrialRow",
]


class _Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row that refuses unknown fields."""


class FoldSpan(_Row, frozen=True, kw_only=True):
    """One fold: (start, end] of the decision closes of its three parts."""

    number: int
    fit: tuple[str, str]
    validation: tuple[str, str]
    test: tuple[str, str]


class TrialRow(_Row, frozen=True, kw_only=True):
    """One model on the test range of its fold, traded alone through the engine (``fold`` from 1 on)."""

    trial_id: str
    candidate: str
    algorithm: str
    seed: int
    fold: int
    validation_sharpe: float | None
    total_return: float
    sharpe: float | None
    max_drawdown: float
    win_rate: float | None
    profit_factor: float | None
    round_trips: int
    fees: float
    break_even_fee_bps: float | None


class Curve(_Row, frozen=True, kw_only=True):
    """An out-of-sample equity curve over all folds' test ranges, one after the other.

    ``kind``: the ensemble that was chosen, one seed of one candidate, or a baseline. ``days`` and ``equity`` of equal
    length, at the close of each UTC day.
    """

    name: str
    kind: Literal["ensemble", "seed", "baseline"]
    days: tuple[int, ...]
    equity: tuple[float, ...]


class RuleResult(_Row, frozen=True, kw_only=True):
    """One rule of the golden rule: what was found, what it is held to, and whether it passed.

    ``sense``: the value must be at least or at most the limit. A value of ``None`` never passes.
    """

    rule: str
    value: float | None
    limit: float
    sense: Literal["at_least", "at_most"]
    passed: bool
    meaning: str


class Overfitting(_Row, frozen=True, kw_only=True):
    """How much of the result may be luck.

    ``deflated_sharpe``: probability that the true Sharpe ratio is above what the best of ``trials`` skilless ones is
    expected to show (``expected_max_sharpe``, annualised, as ``sharpe`` is); ``trial_sharpes`` of all trials with a
    figure, annualised. ``pbo``: probability of backtest overfitting; ``logits`` of the ranks behind it, over ``splits``
    combinations. ``abandoned``: trials that were begun and gave no figure; they count among ``trials``.
    """

    sharpe: float | None
    trials: int
    abandoned: int
    trial_sharpes: tuple[float, ...]
    expected_max_sharpe: float | None
    deflated_sharpe: float | None
    pbo: float | None
    splits: int
    logits: tuple[float, ...]


class Bin(_Row, frozen=True, kw_only=True):
    """Votes whose confidence fell into a bin: their count, mean confidence, and share that was right."""

    count: int
    confidence: float
    hit_rate: float


class Calibrated(_Row, frozen=True, kw_only=True):
    """Confidence against outcome on a model's validation range: ``error`` is the expected calibration error.

    ``before`` is that error before calibration, ``temperature`` what the logits were divided by. A vote is right where
    the close ``horizon_bars`` later lies in its direction; flat votes are not counted.
    """

    horizon_bars: int
    temperature: float
    before: float | None
    error: float | None
    bins: tuple[Bin, ...]


class Member(_Row, frozen=True, kw_only=True):
    """A member of the chosen ensemble: a candidate's seed, and its artifact of the last fold."""

    model_id: str
    candidate: str
    algorithm: str
    seed: int
    sha256: str
    validation_sharpe: float | None
    calibration: Calibrated | None


class RegimeRow(_Row, frozen=True, kw_only=True):
    """The ensemble on the test days of one regime, e.g. ``trend, high volatility``."""

    regime: str
    days: int
    total_return: float
    sharpe: float | None


class StressRow(_Row, frozen=True, kw_only=True):
    """The ensemble replayed with every cost multiplied."""

    multiple: float
    total_return: float
    sharpe: float | None
    max_drawdown: float


class BaselineRow(_Row, frozen=True, kw_only=True):
    """A rule that anybody could have followed, over the same test ranges and costs."""

    name: str
    total_return: float
    annualised_return: float | None
    sharpe: float | None
    max_drawdown: float


class Selection(_Row, frozen=True, kw_only=True):
    """The verdict on a study.

    ``correlation`` [k][k]: of the members' daily validation returns, in their order. ``figures``: the ensemble out of
    sample, by name (total_return, annualised_return, sharpe, max_drawdown, win_rate, profit_factor, trades_a_month,
    break_even_fee_bps, fees ...). ``holdout``: the same on a range that no choice has seen, with its ``start`` and
    ``end``; empty where none was replayed. ``override``: why a FAIL was promoted all the same, empty where it was not.
    """

    study: str
    created: str
    profile: str
    passed: bool
    instruments: tuple[str, ...]
    base_interval: str
    decision_interval: str
    anchored: bool
    purge_bars: int
    embargo_bars: int
    folds: tuple[FoldSpan, ...]
    trials: tuple[TrialRow, ...]
    members: tuple[Member, ...]
    correlation: tuple[tuple[float, ...], ...]
    figures: dict[str, float | None]
    rules: tuple[RuleResult, ...]
    overfitting: Overfitting
    curves: tuple[Curve, ...]
    baselines: tuple[BaselineRow, ...]
    regimes: tuple[RegimeRow, ...]
    stress: tuple[StressRow, ...]
    holdout: dict[str, float | str | None]
    override: str
