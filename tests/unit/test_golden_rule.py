"""The golden rule: every rule decides by its limit alone, and its profiles refuse what they cannot mean."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs import golden_rule as profiles
from core.errors import ConfigError
from core.golden_rule import RULES, Profile, judge, passed

NAMES = [rule.name for rule in RULES]
SENSE = {rule.name: rule.sense for rule in RULES}
GOOD = {
    "sharpe": 2.0, "annualised_return": 0.6, "total_return": 1.0, "max_drawdown": 0.1, "win_rate": 0.6,
    "profit_factor": 1.5, "trades_a_month": 30.0, "median_seed_sharpe": 1.2, "worst_seed_sharpe": 0.3,
    "worst_fold_return": -0.02, "profitable_folds": 0.9, "worst_regime_sharpe": 0.2, "break_even_fee_bps": 15.0,
    "double_cost_return": 0.3, "deflated_sharpe": 0.99, "pbo": 0.05, "over_buy_and_hold": 0.8,
    "over_moving_average": 0.5, "over_random": 1.0, "member_correlation": 0.4, "calibration_error": 0.03,
}  # fmt: skip

finite = st.floats(-1e6, 1e6)


def worse(name, value):
    return math.nextafter(value, -math.inf if SENSE[name] == "at_least" else math.inf)


@given(st.dictionaries(st.sampled_from(NAMES), finite, min_size=1), st.dictionaries(st.sampled_from(NAMES), finite))
def test_every_rule_of_a_profile_is_judged_once_by_its_own_figure_limit_and_sense(limits, figures):
    results = judge(figures, Profile("any", limits))
    assert [result.rule for result in results] == [name for name in NAMES if name in limits]
    for result in results:
        value, limit = figures.get(result.rule), limits[result.rule]
        assert (result.value, result.limit, result.sense) == (value, limit, SENSE[result.rule])
        sign = 1.0 if result.sense == "at_least" else -1.0
        assert result.passed == (value is not None and sign * (value - limit) >= 0.0)
    assert passed(results) == all(result.passed for result in results)


@pytest.mark.parametrize("name", ["default", "targets"])
def test_a_profile_of_the_product_holds_every_rule_and_a_good_ensemble_passes_it(name):
    profile = profiles.load(name)
    assert set(profile.limits) == set(NAMES) == set(GOOD)
    assert passed(judge(GOOD, profile))


@pytest.mark.parametrize("profile", ["default", "targets"])
@pytest.mark.parametrize("name", NAMES)
def test_one_figure_past_its_limit_or_undefined_fails_the_whole(profile, name):
    rules = profiles.load(profile)
    limit = rules.limits[name]
    assert passed(judge(GOOD | {name: limit}, rules))
    for bad in (worse(name, limit), None):
        results = judge(GOOD | {name: bad}, rules)
        assert [result.rule for result in results if not result.passed] == [name]
        assert not passed(results)
    assert not passed(judge({key: value for key, value in GOOD.items() if key != name}, rules))


def test_the_targets_are_the_users_four_and_no_looser_than_the_default_elsewhere():
    default, targets = profiles.load(), profiles.load("targets")
    four = {"annualised_return": 0.5, "max_drawdown": 0.2, "sharpe": 1.5, "win_rate": 0.55}
    assert {name: targets.limits[name] for name in four} == four
    for name, limit in default.limits.items():
        sign = 1.0 if SENSE[name] == "at_least" else -1.0
        assert sign * (targets.limits[name] - limit) >= 0.0


def test_an_account_that_never_traded_passes_no_profile():
    idle = dict.fromkeys(NAMES) | {
        "total_return": 0.0,
        "max_drawdown": 0.0,
        "trades_a_month": 0.0,
        "profitable_folds": 0,
    }
    for name in profiles.profiles():
        assert not passed(judge(idle, profiles.load(name)))


def test_no_rule_at_all_is_no_pass():
    assert not passed(())
    with pytest.raises(ValueError, match="profile empty has limits for"):
        judge(GOOD, Profile("empty", {}))
    with pytest.raises(ValueError, match=r"limits for \['luck'\]; name rules of core.golden_rule"):
        judge(GOOD, Profile("odd", {"luck": 1.0}))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_or_a_limit_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match=r"sharpe: the figure is -?(nan|inf); give a finite one, or None"):
        judge(GOOD | {"sharpe": value}, profiles.load())
    with pytest.raises(ValueError, match="pbo: the limit is"):
        judge(GOOD, Profile("odd", {"pbo": value}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[default]\nsharp = 1", "default.sharp: unknown rule; did you mean sharpe?"),
        ("[default]\nxyzzy = 1", "default.xyzzy: unknown rule; choose sharpe, annualised_return, total_return,"),
        ("[default]\nsharpe = true", "default.sharpe: true is not a number; give the limit as a fraction"),
        ("[default]\nsharpe = nan", "default.sharpe: nan is not a number"),
        ('[default]\nsharpe = "1"', 'default.sharpe: "1" is not a number'),
        ("[default]\n[default.sharpe]\nlimit = 1", "default.sharpe: {'limit': 1} is not a number"),
        ("[default]", "default has no limits; write [default] and below it a limit for each rule"),
        ("default = 1", "default has no limits"),
        ("[strict]\nsharpe = 1", 'no profile "default"; choose strict'),
        ("", 'no profile "default"; choose one and write it'),
        ("[default\nsharpe = 1", "no valid TOML"),
    ],
)
def test_a_bad_profile_is_refused_in_one_line(tmp_path: Path, text, message):
    path = tmp_path / "golden_rule.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        profiles.load(path=path)
    assert str(refused.value).startswith(f"{path}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_refused_and_whole_numbers_are_limits(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.toml: No such file or directory; restore the file"):
        profiles.load(path=tmp_path / "none.toml")
    path = tmp_path / "own.toml"
    path.write_text("[mine]\nsharpe = 1\n[yours]\npbo = 0.5")
    assert profiles.profiles(path) == ("mine", "yours")
    assert profiles.load("mine", path) == Profile("mine", {"sharpe": 1.0})
