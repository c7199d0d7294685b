"""Every invariant, held to a look in which it holds and to one in which it does not."""

from math import nan

import pytest

from core.invariants import INVARIANTS, Limits, Look, StandingOrder, violations

LIMITS = Limits(30.0, 20.0, 1800.0, 180.0, 0.5)
STOP = StandingOrder("S", True, True, True, -1, 5, True, 90.0, True)
GOOD = Look(
    instrument_id="X",
    cache_lots=5,
    owner_lots=5,
    journal_lots=5,
    venue_lots=5,
    kept_lots=5,
    most_long=5,
    most_short=0,
    apart_seconds=0.0,
    orders=(STOP,),
    close=100.0,
    decision_age_seconds=1800.0,
    breaker_age_seconds=180.0,
    committed=5_000.0,
    equity=10_000.0,
)

BROKEN = {
    "unprotected": [
        ({"orders": ()}, "5 lots have been held for 30 seconds or longer, stops for 0 lots rest"),
        ({"orders": (STOP._replace(resting=False),)}, "stops for 0 lots rest"),
        ({"orders": (STOP._replace(lots=4),)}, "stops for 4 lots rest"),
        ({"orders": (STOP._replace(side=1),), "kept_lots": 5, "most_short": 9}, "stops for 0 lots rest"),
        ({"orders": (), "kept_lots": -5}, "-5 lots have been held"),
    ],
    "overprotected": [
        ({"orders": (STOP._replace(lots=6),)}, "sell 6 lots rest, at most 5 lots have been long in the last 20"),
        ({"orders": (STOP, STOP._replace(order_id="T", lots=1))}, "stops that sell 6 lots rest"),
        ({"orders": (STOP, STOP._replace(side=1, lots=1, trigger=110.0))}, "buy 1 lots rest, at most 0 lots"),
        ({"orders": (STOP._replace(reduce_only=False),)}, "the stop S of 5 lots is not reduce-only"),
    ],
    "used_capital": [
        ({"committed": 5_000.01}, "5000.01 were committed when an increase was ordered, the limit is 0.5 of 10000.00"),
        ({"equity": 9_999.0}, "the limit is 0.5 of 9999.00, 4999.50"),
    ],
    "reconciled": [({"apart_seconds": 20.0, "journal_lots": 4}, "5 by the cache, 4 by the journal, 5 by the venue")],
    "known_orders": [({"orders": (STOP, STOP._replace(order_id="Z", known=False))}, "the order Z is open and sells")],
    "fresh_decision": [({"decision_age_seconds": 1801.0}, "the last is 1801 seconds old")],
    "breaker_evaluated": [({"breaker_age_seconds": 181.0}, "evaluated 181 seconds ago, the limit is 180")],
    "stop_side": [
        ({"orders": (STOP._replace(trigger=100.0),)}, "the stop of a long was placed at 100, not below the close 100"),
        ({"orders": (STOP._replace(side=1, trigger=99.0, resting=False),)}, "of a short was placed at 99"),
    ],
}  # fmt: skip

HARMLESS = {
    "unprotected": {"orders": (), "kept_lots": 0},
    "overprotected": {"orders": (STOP._replace(lots=9),), "most_long": 9},
    "used_capital": {"committed": nan, "equity": nan},
    "reconciled": {"apart_seconds": 19.9, "journal_lots": 4},
    "known_orders": {"orders": (STOP, STOP._replace(order_id="Z", protective=False))},
    "fresh_decision": {"decision_age_seconds": nan},
    "breaker_evaluated": {"breaker_age_seconds": nan},
    "stop_side": {"orders": (STOP._replace(trigger=101.0, placed=False),)},
}


def test_every_invariant_is_tested_and_no_two_share_a_name():
    names = [invariant.name for invariant in INVARIANTS]
    assert sorted(names) == sorted(BROKEN) == sorted(HARMLESS)
    assert all(set(invariant.inputs) <= set(Look._fields) for invariant in INVARIANTS)
    assert all(invariant.meaning for invariant in INVARIANTS)


def test_where_all_is_well_nothing_is_violated():
    assert violations(GOOD, LIMITS) == ()


@pytest.mark.parametrize(("name", "change", "said"), [(n, *case) for n, cases in BROKEN.items() for case in cases])
def test_what_does_not_hold_is_named_with_its_numbers(name, change, said):
    found = {violation.name: violation for violation in violations(GOOD._replace(**change), LIMITS)}
    assert name in found
    assert said in found[name].detail
    assert found[name].text.startswith(f"invariant {name} violated: X: ")
    assert "\n" not in found[name].text


@pytest.mark.parametrize(("name", "change"), HARMLESS.items())
def test_what_is_allowed_is_no_violation(name, change):
    assert name not in {violation.name for violation in violations(GOOD._replace(**change), LIMITS)}
