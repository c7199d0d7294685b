"""Plain words: every closed list is covered, and the numbers are those of a decision recomputed by hand."""

import math

import msgspec
import pytest

from core.breaker import ACTIVE
from core.decision import Decided
from core.ensemble import ABSTENTIONS
from core.exits import EXIT_REASONS
from core.explain import ABSTENTION_WORDS, EXIT_WORDS, Evidence, brief, explain, judgement, outcome
from core.gate import Proposal, allowed_lots, explained, spoken
from core.protections import new_memory, open_bar
from core.reasons import REASONS, why_nothing
from core.risk import RiskParams
from core.rules import ADD_ROOM, ADD_SIZE, ADD_TAKEN, ALLOWED, PYRAMIDING, RULES, VERDICTS
from core.situation import Account, Instrument, Market
from core.sizing import SizingParams

TS = 1_705_709_700_000_000_000
RISK = RiskParams(0.01, 0.05, 0.5, 0.0006, 1, 24, 0.98, 1, 0, max_instrument=0.25)
SIZING = SizingParams(0.5, 0.3, 0.35, 0.7, 0.25)
MARKET = Market(100.0, 1.0, 0.3, 0.5, 99.0)


def row(**change: object) -> dict[str, object]:
    """Return a decision of a long signal at level 0.8, confidence 0.56, volatility 0.3, equity 10,000, close 100."""
    memory = new_memory(RISK)
    open_bar(memory, 0, TS, 0.5, RISK)
    lots, verdict = allowed_lots(
        Proposal(1, 320, 0, 0.0, 97.0, 0), MARKET, Account(10_000.0, 0.0, ACTIVE), memory, 0,
        Instrument(0.01, 0.1, 1, 10_000, 5.0), RISK,
    )  # fmt: skip
    rules = {"wanted": 320, "held": 0, "rules": spoken(memory, 0, RISK)}
    return {
        "ts_event": TS, "instrument_id": "X", "close": 100.0, "level": 0.8, "confidence": 0.56, "agreement": 1.0,
        "voters": 2, "abstention": "", "tradable": True, "levels": [1.0, 0.6], "confidences": [0.5, 0.625],
        "observation_hash": "", "volatility": 0.3, "volatility_rank": 0.5, "atr": 1.0, "equity": 10_000.0,
        "drawdown": 0.01, "state": "ACTIVE", "position_lots": 0, "entry_price": 0.0, "stop_price": 0.0,
        "target_lots": lots, "new_stop_price": 97.0, "exit_reason": "", "verdict": VERDICTS[verdict], "reason": "",
        "rules": msgspec.json.encode(rules).decode(), "client_order_id": "O-1",
    } | change  # fmt: skip


def text(decision: dict[str, object]) -> str:
    return "\n".join(explain(Evidence(decision, [], [], ["one", "two"], SIZING)))


def test_every_closed_list_has_its_words():
    assert set(EXIT_WORDS) == set(EXIT_REASONS.values())
    assert set(ABSTENTION_WORDS) == {*ABSTENTIONS.values(), "window"} - {""}
    assert all(REASONS.values())


def test_the_numbers_are_those_of_the_decision_done_by_hand():
    trust = 0.5 + 0.5 * (0.56 - 0.35) / (0.7 - 0.35)
    exposure = 0.8 * trust * min(0.5, 0.3 / 0.3)
    wanted = math.floor(exposure * 10_000 / (100.0 * 0.1))
    assert (exposure, wanted) == (pytest.approx(0.32), 320)
    # 0.25 of the equity in one instrument leaves 250 lots of 10 each; a lot loses 3 to its stop, and pays 0.0006 of the
    # price each way: 0.312 a lot of 0.1, of which 100 buys 320
    assert math.floor(0.25 * 10_000 / 10) == 250
    assert math.floor(0.01 * 10_000 / ((3.0 + 2 * 0.0006 * 100.0) * 0.1)) == 320
    decision = row()
    assert (decision["target_lots"], decision["verdict"]) == (250, "instrument")
    said = text(decision)
    assert "opens a long of 250 lots, cut from 320 by the rule instrument" in said
    assert "ask for +0.32 of the equity, 3200" in said
    assert (
        "capital           gross notional of all instruments: 3200, passes <= 5000 (quote currency); leaves 320" in said
    )
    assert (
        "instrument        notional of the instrument: 3200, passes <= 2500 (quote currency); leaves 250 lots" in said
    )
    assert "loss at the stop, of what is held and what is added: 99.84, passes <= 100 (quote currency)" in said
    assert "one +1 with confidence 0.5" in said
    assert "two +0.6 with confidence 0.625" in said
    assert "97 planned, 0.03 of the close away" in said


def test_the_rules_of_a_row_are_what_the_gate_explained():
    memory = new_memory(RISK)
    open_bar(memory, 0, TS, 0.5, RISK)
    allowed_lots(
        Proposal(1, 320, 0, 0.0, 97.0, 0), MARKET, Account(10_000.0, 0.0, ACTIVE), memory, 0,
        Instrument(0.01, 0.1, 1, 10_000, 5.0), RISK,
    )  # fmt: skip
    judged = judgement(row())
    assert judged is not None
    assert repr(judged.results()) == repr(explained(memory, 0, RISK))
    assert [result.name for result in judged.results()] == [rule.name for rule in RULES]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reason": "denied", "verdict": "entry_spacing", "target_lots": 0, "client_order_id": ""},
         "nothing was ordered: the gate refused it by the rule entry_spacing: two entries keep a distance in time"),
        ({"reason": "abstained", "abstention": "no_quorum", "target_lots": 0, "client_order_id": ""},
         "the ensemble abstained: too few models voted (no_quorum)"),
        ({"reason": "window", "abstention": "window", "target_lots": 0, "client_order_id": "", "levels": []},
         "the window of market data is not ready"),
        ({"position_lots": 5, "target_lots": 0, "exit_reason": "max_holding"},
         "closes a long of 5 lots: it had been held as long as it may be"),
        ({"position_lots": -5, "target_lots": -3, "verdict": "allowed"}, "reduces a short of 5 lots, to 3"),
        ({"position_lots": 5, "target_lots": 0, "exit_reason": "signal", "client_order_id": "", "reason": "pending"},
         "closes a long of 5 lots was wanted (the ensemble no longer wants it), but nothing was ordered"),
    ],
)  # fmt: skip
def test_what_a_decision_came_to_is_said_first(change, said):
    assert said in outcome(row(**change), [{"lots_after": row(**change)["target_lots"]}])
    assert said in text(row(**change)).splitlines()[1]
    assert said in brief(row(**change), [])


def test_a_run_of_before_says_what_it_did_not_keep():
    old = row(client_order_id="", target_lots=0, verdict="capital")
    del old["reason"], old["rules"]
    said = text(old)
    assert "this older run did not keep; the gate's verdict: capital" in said
    assert "the rules' numbers were not kept by this older run" in said


NOTHING = {
    "order_id": "", "held_lots": 0, "level": 1.0, "abstention": "", "tradable": True, "busy": False,
    "unsure": False,
}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "lots", "verdict", "change"),
    [
        ("", 5, ALLOWED, {"order_id": "O"}),
        ("pending", 0, ALLOWED, {"held_lots": 5, "busy": True}),
        ("barred", 5, ALLOWED, {}),
        ("window", 0, ALLOWED, {"abstention": "window", "tradable": False, "level": 0.0}),
        ("abstained", 0, ALLOWED, {"abstention": "tie", "tradable": False, "level": 0.0}),
        ("flat_signal", 0, ALLOWED, {"level": 0.0}),
        ("expired", 5, ALLOWED, {"held_lots": 5, "tradable": False}),
        ("pending", 5, ALLOWED, {"held_lots": 5, "busy": True}),
        ("denied", 5, PYRAMIDING, {"held_lots": 5}),
        ("add_size", 5, ADD_SIZE, {"held_lots": 5}),
        ("add_taken", 5, ADD_TAKEN, {"held_lots": 5}),
        ("add_room", 5, ADD_ROOM, {"held_lots": 5}),
        ("unsure", 0, ALLOWED, {"unsure": True}),
        ("too_small", 0, ALLOWED, {}),
        ("rebalance", 5, ALLOWED, {"held_lots": 5}),
    ],
)
def test_the_first_reason_that_applies_is_given(reason, lots, verdict, change):
    assert why_nothing(Decided(lots, 0.0, 0, verdict), **(NOTHING | change)) == reason
    assert reason in REASONS


def test_every_reason_can_be_given():
    given = test_the_first_reason_that_applies_is_given.pytestmark[0].args[1]
    assert {case[0] for case in given} == set(REASONS)
