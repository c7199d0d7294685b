"""The gate: each item has its limit, and each can fail alone."""

import msgspec
import pytest

from core.bars import DAY_NS
from core.promotion_gate import (
    AlertRow,
    BreakerRow,
    Doctor,
    GateLimits,
    ModelVerdict,
    ParityOf,
    Records,
    SessionFacts,
    checklist,
    counts,
    passed,
)

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
HOUR = 3_600_000_000_000
NOW = 1_700_000_000_000_000_000
LIMITS = GateLimits(days=3, decisions=6, stops=1, doctor_ns=24 * HOUR, drill_ns=7 * DAY_NS)
MODELS = frozenset({"a" * 64, "b" * 64})


def session(name: str, *days_ago: int, **changes: object) -> SessionFacts:
    """Return a session with a decision of both instruments on some days."""
    times = [NOW - days * DAY_NS for days in days_ago]
    facts = SessionFacts(
        name=name,
        environment="testnet",
        stand_in=False,
        models=MODELS,
        decisions={BTC: times, ETH: times},
        stops={BTC: 4, ETH: 3},
        stops_filled={BTC: 2, ETH: 1},
        breaker=[
            BreakerRow(times[0], "ACTIVE", "HALTED", "manual", "drill"),
            BreakerRow(times[0] + HOUR, "HALTED", "ACTIVE", "manual", "re-armed: drill is over"),
        ],
        alerts=[AlertRow("breaker", "critical", "ACTIVE -> HALTED: manual: drill", times[0])],
        parity=ParityOf(2 * len(times), 2 * len(times), exact=True),
    )
    return msgspec.structs.replace(facts, **changes)


def records(**changes: object) -> Records:
    """Return records that pass in everything."""
    good = Records(
        instruments=(BTC, ETH),
        models=MODELS,
        verdicts=[ModelVerdict("m1", "a" * 64, True, "study s"), ModelVerdict("m2", "b" * 64, True, "study s")],
        sessions=[session("one", 3, 2), session("two", 1)],
        causes=[],
        acknowledged_ns=NOW - HOUR,
        doctor=Doctor(NOW - HOUR, "c" * 64, ()),
        differences=31,
        config_hash="c" * 64,
        now_ns=NOW,
    )
    return msgspec.structs.replace(good, **changes)


def failing(found: Records) -> list[str]:
    """Return the names of the items that fail."""
    return [item.name for item in checklist(found, LIMITS) if not item.passed]


def test_what_shows_everything_passes():
    items = checklist(records(), LIMITS)
    assert passed(items)
    assert [item.name for item in items] == [
        "days on the testnet", "decisions on the testnet", "parity", "reconciliation", "breaker", "breaker drill",
        f"protective stop of {BTC}", f"protective stop of {ETH}", "alerts", "golden rule of m1", "golden rule of m2",
        "doctor", "configuration",
    ]  # fmt: skip
    assert all(item.found and item.limit and item.advice for item in items)
    assert items[0].found == "3 UTC days with decisions in 2 sessions"
    assert not passed(())


BAD = Doctor(NOW - HOUR, "c" * 64, ("key may not withdraw",))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sessions": [session("one", 2, 2, 2), session("two", 1)]}, ["days on the testnet"]),
        ({"sessions": [session("one", 3, 2), session("two", 1, decisions={BTC: [NOW - DAY_NS]})]},
         ["decisions on the testnet"]),
        ({"sessions": [session("one", 3, 2, 1, parity=ParityOf(6, 5, False))]}, ["parity"]),
        ({"sessions": [session("one", 3, 2, 1, parity=ParityOf(0, 0, False, "3 rows are missing"))]}, ["parity"]),
        ({"sessions": [session("one", 3, 2, 1, parity=None)]}, ["parity"]),
        ({"causes": [("reconciliation_mismatch", "books 3 lots, venue 2")]}, ["reconciliation", "breaker"]),
        ({"causes": [("daily_drawdown", "5.1 % fell")]}, ["breaker"]),
        ({"sessions": [session("one", 3, 2, 1, breaker=[])]}, ["breaker drill"]),
        ({"sessions": [session("one", 3, 2, 1, breaker=session("x", 3).breaker[:1])]}, ["breaker drill"]),
        ({"sessions": [session("one", 9, 2, 1)]}, ["breaker drill"]),
        ({"sessions": [session("one", 3, 2, 1, stops_filled={BTC: 1})]}, [f"protective stop of {ETH}"]),
        ({"acknowledged_ns": NOW - 2 * DAY_NS}, ["alerts"]),
        ({"verdicts": [ModelVerdict("m1", "a" * 64, False, "fails sharpe")]}, ["golden rule of m1"]),
        ({"doctor": None}, ["doctor"]),
        ({"doctor": BAD}, ["doctor"]),
        ({"doctor": Doctor(NOW - 25 * HOUR, "c" * 64, ())}, ["doctor"]),
        ({"doctor": Doctor(NOW + HOUR, "c" * 64, ())}, ["doctor"]),
        ({"config_hash": "d" * 64}, ["doctor"]),
    ],
)  # fmt: skip
def test_each_item_fails_by_itself(changes, named):
    assert failing(records(**changes)) == named


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "demo"}, {"stand_in": True}, {"models": frozenset({"a" * 64})},
        {"models": MODELS | {"e" * 64}}, {"models": frozenset()},
    ],
)  # fmt: skip
def test_a_session_with_other_models_or_at_another_venue_proves_nothing(change):
    assert counts(session("one", 1), MODELS)
    other = session("one", 1, **change)
    assert not counts(other, MODELS)
    proven = checklist(records(sessions=[other]), LIMITS)
    assert proven[0].found == (
        "0 UTC days with decisions in 0 sessions; 1 sessions do not count (other models or environment, or a stand-in)"
    )
    assert {item.name for item in proven if not item.passed} >= {"days on the testnet", "parity", "alerts"}


def test_without_a_single_session_nothing_is_proven_by_default():
    names = failing(records(sessions=[]))
    assert names == ["days on the testnet", "decisions on the testnet", "parity", "reconciliation", "breaker drill",
                     f"protective stop of {BTC}", f"protective stop of {ETH}", "alerts"]  # fmt: skip


def test_models_that_are_none_never_count():
    assert not counts(session("one", 1, models=frozenset()), frozenset())


def test_a_halt_within_a_drill_does_not_end_it():
    rows = [
        BreakerRow(NOW - 5 * HOUR, "ACTIVE", "REDUCING", "manual", "drill"),
        BreakerRow(NOW - 4 * HOUR, "REDUCING", "HALTED", "manual", "drill, all of it"),
    ]
    assert "breaker drill" in failing(records(sessions=[session("one", 3, 2, 1, breaker=rows)]))
    rows.append(BreakerRow(NOW - 3 * HOUR, "HALTED", "ACTIVE", "manual", "re-armed: done"))
    assert failing(records(sessions=[session("one", 3, 2, 1, breaker=rows)])) == []


def test_critical_alerts_may_be_acknowledged_source_by_source():
    row = AlertRow("feed", "critical", "no bars", NOW - DAY_NS)
    late = session("two", 1, alerts=[row, msgspec.structs.replace(row, source="breaker")])
    unread = records(acknowledged_ns=0, sessions=[late])
    half = msgspec.structs.replace(unread, acknowledged={"feed": row.ts_event, "breaker": row.ts_event - 1})
    read = msgspec.structs.replace(unread, acknowledged={"feed": row.ts_event, "breaker": row.ts_event})
    assert [("alerts" in failing(one)) for one in (unread, half, read)] == [True, True, False]
