"""Every rule of the gate: what it alone takes away, and that nothing does once it is off or its input is mended."""

import json
import math
import operator
from typing import Any, NamedTuple, get_args

import pytest

import configs
from cli import main
from configs import risk as risk_config
from configs.section import settings_of
from core.breaker import ACTIVE, HALTED, REDUCING
from core.errors import ConfigError
from core.gate import Proposal, allowed_lots, explained
from core.protections import close_trade, new_memory, open_bar, record_entry
from core.risk import RiskParams
from core.rules import ALLOWED, NO_ADD, RULES, VERDICTS, Rule, off_mask
from core.situation import Account, Instrument, Market

BY_NAME = {rule.name: rule for rule in RULES}
COMPARED = {"==": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
BAR_NS = 900_000_000_000
TS = 19_700 * 86_400_000_000_000 + 40 * BAR_NS

PARAMS = RiskParams(
    loss_per_trade=0.02, daily_drawdown=0.05, max_capital=0.5, exit_cost=0.0006, min_entry_spacing_bars=2,
    max_entries_24h=6, volatility_quantile=0.95, pyramiding=1, auto_rearm=0, total_drawdown=0.2, max_instrument=0.4,
    max_group=0.3, max_order_notional=10_000.0, max_price_distance=0.1, max_data_age_seconds=30.0,
    max_state_age_seconds=60.0, max_entries_per_day=4, volatility_calm_quantile=0.8, volatility_observation_bars=3,
    loss_streak=3, loss_streak_bars=8, stop_guard_stops=2, stop_guard_ns=4 * BAR_NS, stop_guard_bars=8,
    low_profit_trades=4, low_profit_ns=96 * BAR_NS, low_profit_return=-0.02, low_profit_bars=8, max_adds=2,
    funding_minutes=30.0, max_funding_rate=0.0005, maintenance_margin=0.025, max_liquidation_share=0.5,
)  # fmt: skip
"""As strict as can be without a rule that hides another in the situations below."""


class Case(NamedTuple):
    """One proposal, and what happened before it: entries, then trades (return, stopped), then ranks, a bar each."""

    proposal: Proposal = Proposal(side=1, size=20, held=0, entry_price=0.0, stop_price=49_500.0, adds=0)
    market: Market = Market(close=50_000.0, atr=200.0, volatility=0.5, volatility_rank=0.5, previous_close=50_100.0)
    account: Account = Account(equity=10_000.0, other_notional=0.0, state=ACTIVE)
    instrument: Instrument = Instrument(tick=0.1, lot=0.001, min_lots=1, max_lots=1_000, min_notional=5.0)
    entries: int = 0
    trades: tuple[tuple[float, bool], ...] = ()
    ranks: tuple[float, ...] = (0.5,)
    quiet_bars: int = 0
    params: RiskParams = PARAMS

    def proposing(self, **changes: Any) -> "Case":
        return self._replace(proposal=self.proposal._replace(**changes))

    def trading(self, **changes: Any) -> "Case":
        return self._replace(market=self.market._replace(**changes))

    def owning(self, **changes: Any) -> "Case":
        return self._replace(account=self.account._replace(**changes))

    def limited(self, **changes: Any) -> "Case":
        return self._replace(params=self.params._replace(**changes))

    def without(self, rule: Rule) -> "Case":
        return self.limited(rules_off=1 << rule.code)


ORDINARY = Case()
HOLDING = ORDINARY.proposing(held=10, entry_price=49_900.0, adds=1)

SITUATIONS: dict[str, tuple[Case, Case, int]] = {
    # name: what the rule takes away, the same with its input mended, lots that are left
    "not_active": (ORDINARY.owning(state=REDUCING), ORDINARY, 0),
    "frozen": (ORDINARY.owning(frozen=1), ORDINARY, 0),
    "stale_data": (ORDINARY.owning(data_age_seconds=30.1), ORDINARY.owning(data_age_seconds=30.0), 0),
    "stale_state": (ORDINARY.owning(state_age_seconds=60.1), ORDINARY.owning(state_age_seconds=60.0), 0),
    "price_distance": (ORDINARY.trading(previous_close=44_000.0), ORDINARY.trading(previous_close=46_000.0), 0),
    "volatility": (ORDINARY.trading(volatility_rank=0.951), ORDINARY.trading(volatility_rank=0.95), 0),
    "volatility_pause": (ORDINARY._replace(ranks=(0.96, 0.5, 0.5)), ORDINARY._replace(ranks=(0.96, 0.5, 0.5, 0.5)), 0),
    "entry_count": (
        ORDINARY._replace(entries=6, quiet_bars=8).limited(max_entries_per_day=9),
        ORDINARY._replace(entries=5, quiet_bars=8).limited(max_entries_per_day=9), 0,
    ),
    "entry_count_day": (ORDINARY._replace(entries=4, quiet_bars=8), ORDINARY._replace(entries=3, quiet_bars=8), 0),
    "entry_spacing": (ORDINARY._replace(entries=1), ORDINARY._replace(entries=1, quiet_bars=1), 0),
    "loss_streak": (
        ORDINARY._replace(trades=((-0.001, False),) * 3), ORDINARY._replace(trades=((-0.001, False),) * 2), 0,
    ),
    "stop_guard": (
        ORDINARY._replace(trades=((0.001, True),) * 2), ORDINARY._replace(trades=((0.001, True), (0.001, False))), 0,
    ),
    "low_profit": (
        ORDINARY._replace(trades=((-0.03, False), (0.001, False), (0.001, False), (0.001, False))),
        ORDINARY._replace(trades=((-0.02, False), (0.001, False), (0.001, False), (0.001, False))), 0,
    ),
    "pyramiding": (HOLDING.proposing(entry_price=50_000.0), HOLDING, 10),
    "add_count": (HOLDING.proposing(adds=2), HOLDING, 10),
    "funding": (
        ORDINARY.trading(funding_rate=0.0006, minutes_to_funding=15.0),
        ORDINARY.trading(funding_rate=0.0006, minutes_to_funding=30.0), 0,
    ),
    "liquidation": (
        ORDINARY.proposing(side=-1, size=2, stop_price=74_500.0),
        ORDINARY.proposing(side=-1, size=2, stop_price=73_500.0), 0,
    ),
    "capital": (ORDINARY.owning(other_notional=4_500.0), ORDINARY.owning(other_notional=4_000.0), 10),
    "instrument": (ORDINARY.limited(max_instrument=0.05), ORDINARY.limited(max_instrument=0.1), 10),
    "group": (ORDINARY.owning(group_notional=2_500.0), ORDINARY.owning(group_notional=2_000.0), 10),
    "loss_per_trade": (ORDINARY.proposing(stop_price=34_000.0), ORDINARY.proposing(stop_price=41_000.0), 12),
    "order_notional": (ORDINARY.limited(max_order_notional=500.0), ORDINARY.limited(max_order_notional=1_000.0), 10),
    "max_lots": (
        ORDINARY._replace(instrument=ORDINARY.instrument._replace(max_lots=10)),
        ORDINARY._replace(instrument=ORDINARY.instrument._replace(max_lots=20)), 10,
    ),
    "min_notional": (
        ORDINARY._replace(instrument=ORDINARY.instrument._replace(min_notional=1_000.1)),
        ORDINARY._replace(instrument=ORDINARY.instrument._replace(min_notional=1_000.0)), 0,
    ),
}  # fmt: skip


def judged(case: Case):
    """Return lots, verdict's name and every rule's result."""
    memory = new_memory(case.params)
    ts = TS
    for _ in range(case.entries):
        ts += BAR_NS
        open_bar(memory, 0, ts, 0.5, case.params)
        record_entry(memory, 0, case.params)
    for trade_return, stopped in case.trades:
        ts += BAR_NS
        open_bar(memory, 0, ts, 0.5, case.params)
        close_trade(memory, 0, trade_return, stopped, case.params)
    for rank in (*(0.5,) * case.quiet_bars, *case.ranks):
        ts += BAR_NS
        open_bar(memory, 0, ts, rank, case.params)
    given = (case.proposal, case.market, case.account, memory, 0, case.instrument, case.params)
    lots, verdict = allowed_lots(*given)
    return lots, VERDICTS[verdict], explained(memory, 0, case.params)


def test_the_table_is_numbered_from_one_and_every_rule_has_a_situation_here():
    assert [rule.code for rule in RULES] == list(range(1, len(RULES) + 1))
    assert list(SITUATIONS) == [rule.name for rule in RULES]
    assert list(VERDICTS) == list(range(len(RULES) + 1 + len(NO_ADD)))


@pytest.mark.parametrize("case", [ORDINARY, HOLDING], ids=["open", "add"])
def test_nothing_is_taken_from_an_ordinary_increase(case):
    lots, verdict, results = judged(case)
    assert (lots, verdict) == (20, "allowed")
    assert {result.verdict for result in results} <= {"passed", "idle"}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_rule_alone_takes_away_what_it_should(name):
    case, mended, lots_left = SITUATIONS[name]
    rule = BY_NAME[name]
    lots, verdict, results = judged(case)
    assert (lots, verdict) == (lots_left, name)
    assert lots_left <= case.proposal.held or rule.cuts
    for result in results:
        if result.name == name:
            assert result.verdict == ("cut" if lots_left > case.proposal.held else "denied")
            assert result.lots == lots_left
            assert not COMPARED[rule.passes](result.value, result.limit)
        else:
            assert result.verdict in ("passed", "idle"), result
    assert judged(mended)[:2] == (mended.proposal.size, "allowed")


@pytest.mark.parametrize("name", [rule.name for rule in RULES if rule.switchable])
def test_a_rule_that_is_off_takes_nothing_and_still_shows_its_numbers(name):
    case = SITUATIONS[name][0]
    lots, verdict, results = judged(case.without(BY_NAME[name]))
    assert (lots, verdict) == (case.proposal.size, "allowed")
    on = next(result for result in judged(case)[2] if result.name == name)
    off = next(result for result in results if result.name == name)
    assert (off.verdict, off.value, off.limit) == ("off", on.value, on.limit)


@pytest.mark.parametrize("name", [rule.name for rule in RULES if not rule.switchable])
def test_a_rule_that_is_always_on_cannot_be_named_as_off(name):
    with pytest.raises(ConfigError, match=f'"{name}" is no rule that can be off'):
        off_mask([name])
    with pytest.raises(ConfigError, match="is not known"):
        configs.load("backtest", [f'risk.disabled=["{name}"]'])


def test_a_halted_breaker_opens_nothing_whatever_else_is_off():
    everything = off_mask(rule.name for rule in RULES if rule.switchable)
    assert judged(ORDINARY.owning(state=HALTED).limited(rules_off=everything))[:2] == (0, "not_active")


@pytest.mark.parametrize(
    "case",
    [
        ORDINARY.owning(equity=math.nan), ORDINARY.owning(equity=0.0), ORDINARY.owning(equity=-5.0),
        ORDINARY.owning(other_notional=math.nan), ORDINARY.owning(data_age_seconds=math.nan),
        ORDINARY.owning(state_age_seconds=math.nan), ORDINARY.owning(group_notional=math.nan),
        ORDINARY.trading(close=math.nan), ORDINARY.trading(close=0.0), ORDINARY.trading(close=-1.0),
        ORDINARY.trading(previous_close=math.nan), ORDINARY.trading(volatility_rank=math.nan),
        ORDINARY.trading(minutes_to_funding=math.nan, funding_rate=math.nan),
        ORDINARY.proposing(stop_price=math.nan), ORDINARY.proposing(stop_price=0.0),
        ORDINARY.proposing(stop_price=50_000.0), ORDINARY.proposing(stop_price=50_001.0),
        HOLDING.proposing(entry_price=math.nan), HOLDING.proposing(entry_price=0.0),
        ORDINARY._replace(trades=((math.nan, False),) * 3),
    ],
)  # fmt: skip
def test_what_is_not_known_or_makes_no_sense_opens_nothing(case):
    assert judged(case)[0] == case.proposal.held


def test_what_does_not_matter_to_an_opening_is_idle_and_unknown_prices_before_are_no_distance():
    results = {result.name: result for result in judged(ORDINARY.trading(previous_close=0.0))[2]}
    assert {name for name, result in results.items() if result.verdict == "idle"} == {
        "price_distance", "pyramiding", "add_count", "funding",
    }  # fmt: skip


def test_a_side_that_receives_funding_is_welcome():
    short = ORDINARY.proposing(side=-1, stop_price=50_500.0).trading(funding_rate=0.01, minutes_to_funding=1.0)
    assert judged(short)[:2] == (20, "allowed")
    assert judged(short.trading(funding_rate=-0.01))[:2] == (0, "funding")


def test_of_several_denials_the_first_is_named_and_every_rule_still_says_its_own():
    case = ORDINARY.owning(frozen=1, group_notional=2_500.0).trading(volatility_rank=0.99)
    lots, verdict, results = judged(case)
    assert (lots, verdict) == (0, "frozen")
    said = {result.name: (result.verdict, result.lots) for result in results}
    assert said["not_active"] == ("passed", 20)
    assert said["frozen"] == said["volatility"] == ("denied", 0)
    assert said["group"] == ("cut", 0)


def test_of_several_cuts_the_tightest_is_named():
    case = ORDINARY.owning(other_notional=4_400.0, group_notional=2_600.0)
    assert judged(case)[:2] == (8, "group")
    assert judged(ORDINARY.owning(other_notional=4_600.0, group_notional=2_500.0))[:2] == (8, "capital")


def test_a_bar_at_which_nothing_was_proposed_has_nothing_to_explain():
    memory = new_memory(PARAMS)
    assert explained(memory, 0, PARAMS) == ()
    open_bar(memory, 0, TS, 0.5, PARAMS)
    case = ORDINARY
    allowed_lots(case.proposal, case.market, case.account, memory, 0, case.instrument, PARAMS)
    assert len(explained(memory, 0, PARAMS)) == len(RULES)
    open_bar(memory, 0, TS + BAR_NS, 0.5, PARAMS)
    assert explained(memory, 0, PARAMS) == ()


# ------------------------------------------------------------------------------------------ the table and the config


def test_the_configuration_can_name_exactly_the_rules_that_can_be_off():
    names = get_args(risk_config.RuleName.__value__)
    assert sorted(names) == sorted(rule.name for rule in RULES if rule.switchable)
    for name in names:
        params = configs.load("backtest", [f'risk.disabled=["{name}"]']).decision_params().risk
        assert params.rules_off == 1 << BY_NAME[name].code
    assert configs.load("backtest").decision_params().risk.rules_off == 0


def test_every_setting_of_the_gate_belongs_to_a_rule_or_to_what_is_no_rule():
    of_rules = {key for rule in RULES for key in rule.keys}
    no_rule = {"daily_drawdown", "total_drawdown", "disabled", "rearm"}
    no_rule |= {"tighten_volatility", "tighten_loss", "tighten_drawdown"}
    assert of_rules | no_rule == {setting.name for setting in settings_of(risk_config.Risk)}
    assert not of_rules & no_rule


def test_no_limit_is_left_to_the_default_of_the_core(monkeypatch):
    given = {}
    monkeypatch.setattr(risk_config, "RiskParams", lambda **fields: given.update(fields))
    configs.load("mainnet").decision_params()
    assert set(given) == set(RiskParams._fields)


def test_an_instrument_in_two_groups_is_refused_and_one_in_none_has_no_peers():
    with pytest.raises(ConfigError, match=r'risk.groups\[1\]: "A.X" is listed twice'):
        configs.load("backtest", ['risk.groups=[["A.X", "B.X"], ["A.X"]]'])
    risk = configs.load("backtest", ['risk.groups=[["A.X", "B.X", "C.X"], ["D.X"]]']).risk
    assert risk.peers("B.X") == ("A.X", "C.X")
    assert risk.peers("D.X") == risk.peers("E.X") == ()


def test_risk_show_lists_every_rule_in_order_with_its_switch_and_its_limits(capsys):
    assert main(["risk", "show", "--env", "mainnet", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [rule["name"] for rule in report["rules"]] == [rule.name for rule in RULES]
    assert {rule["switch"] for rule in report["rules"]} == {"on", "always on"}
    capital = next(rule for rule in report["rules"] if rule["name"] == "capital")
    assert capital["settings"][0]["value"] == configs.load("mainnet").risk.max_capital

    assert main(["risk", "show", "--set", 'risk.disabled=["capital"]', "--set", "risk.max_adds=7"]) == 0
    text = capsys.readouterr().out
    assert "capital (off)" in text
    assert "risk.max_adds = 7" in text
    assert all(rule.meaning in text for rule in RULES)


def test_risk_show_refuses_a_rule_that_mainnet_may_not_switch_off(capsys):
    assert main(["risk", "show", "--env", "mainnet", "--set", 'risk.disabled=["capital"]']) == 2
    assert 'risk.disabled: ["capital"] is looser than [] of mainnet.toml' in capsys.readouterr().err


def test_the_verdict_of_an_allowed_increase_is_code_zero():
    assert VERDICTS[ALLOWED] == "allowed"
