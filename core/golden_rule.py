"""The golden rule: what a model must show out of sample before it may trade, rule by rule.

Every rule compares one figure with one limit. The figures are those of the chosen ensemble over all folds' test ranges,
after all costs, unless a rule says otherwise; which rules count, and their limits, is a profile
(``configs/golden_rule.toml``). A figure that is undefined never passes: what can't be measured can't be trusted.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from core.selection import RuleResult

__all__ = ["RULES", "Profile", "Rule", "judge", "passed"]


class Rule(NamedTuple):
    """One rule: the ``name`` of its figure, whether that must be at least or at most the limit, and what it means."""

    name: str
    sense: Literal["at_least", "at_most"]
    meaning: str


class Profile(NamedTuple):
    """Limits by rule name; the rules that are not among them do not count."""

    name: str
    limits: Mapping[str, float]


RULES = (
    Rule("sharpe", "at_least", "annualised Sharpe ratio of the daily returns"),
    Rule("annualised_return", "at_least", "geometric return a year of 365 days"),
    Rule("total_return", "at_least", "return over all test ranges: the distance to an account that stays flat"),
    Rule("max_drawdown", "at_most", "deepest loss from the highest equity so far"),
    Rule("win_rate", "at_least", "share of round trips with a profit after fees"),
    Rule("profit_factor", "at_least", "gains over losses of round trips, after fees"),
    Rule("trades_a_month", "at_least", "round trips in 365/12 days"),
    Rule("median_seed_sharpe", "at_least", "Sharpe ratio of the median seed of the members' candidates"),
    Rule("worst_seed_sharpe", "at_least", "Sharpe ratio of the worst seed of the members' candidates"),
    Rule("worst_fold_return", "at_least", "return over the test range of the worst fold"),
    Rule("profitable_folds", "at_least", "share of folds whose test range ends with a profit"),
    Rule("worst_regime_sharpe", "at_least", "Sharpe ratio over the days of the worst regime"),
    Rule("break_even_fee_bps", "at_least", "fee, in bps of every fill's notional, that would eat the whole profit"),
    Rule("double_cost_return", "at_least", "total return of a replay with every cost doubled"),
    Rule(
        "deflated_sharpe",
        "at_least",
        "probability that the Sharpe ratio is above what the best of all trials owes luck",
    ),
    Rule("pbo", "at_most", "probability that the best candidate in sample is below the median out of sample"),
    Rule("over_buy_and_hold", "at_least", "Sharpe ratio less that of buying and holding the same instruments"),
    Rule("over_moving_average", "at_least", "Sharpe ratio less that of a moving-average rule at the same costs"),
    Rule("over_random", "at_least", "share of random policies, at the same costs, whose total return is lower"),
    Rule("member_correlation", "at_most", "mean correlation of the members' daily returns on validation, pair by pair"),
    Rule(
        "calibration_error",
        "at_most",
        "mean distance of a member's confidence from the share of its votes that is right, on validation",
    ),
)
"""All rules, in the order in which they are shown. Baselines are compared by Sharpe ratio, not by return: an ensemble
that holds half as much as the market is not to be blamed for half its gain, nor praised for half its loss."""


def judge(figures: Mapping[str, float | None], profile: Profile) -> tuple[RuleResult, ...]:
    """Return the outcome of every rule of a profile, in the order of `RULES`.

    Parameters
    ----------
    figures : Mapping[str, float | None]
        Figures by rule name, fractions; ``None`` or absent where undefined. Others may be among them.
    profile : Profile
        The limits; a figure that equals its limit passes.

    Raises
    ------
    ValueError
        Where a figure or a limit is NaN or infinite, a limit belongs to no rule, or there is no limit at all.
    """
    known = {rule.name for rule in RULES}
    if not profile.limits or not profile.limits.keys() <= known:
        raise ValueError(
            f"profile {profile.name} has limits for {sorted(profile.limits)}; name rules of core.golden_rule"
        )
    return tuple(
        _result(rule, figures.get(rule.name), profile.limits[rule.name])
        for rule in RULES
        if rule.name in profile.limits
    )


def passed(results: tuple[RuleResult, ...]) -> bool:
    """Return whether every rule passed; no rule at all is no pass."""
    return bool(results) and all(result.passed for result in results)


def _result(rule: Rule, value: float | None, limit: float) -> RuleResult:
    """Return the outcome of one rule."""
    for what, number in (("figure", value), ("limit", limit)):
        if number is not None and not math.isfinite(number):
            raise ValueError(f"{rule.name}: the {what} is {number}; give a finite one, or None where it is undefined")
    held = value is not None and (value >= limit if rule.sense == "at_least" else value <= limit)
    return RuleResult(rule=rule.name, value=value, limit=limit, sense=rule.sense, passed=held, meaning=rule.meaning)
