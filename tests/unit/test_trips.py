"""What trips the breaker and what arms it again."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from core.breaker import ACTIVE, HALTED, REDUCING
from core.causes import ACTIONS, TRIGGERS, BreakerState, flattening, trading_state
from core.errors import StateError
from core.trips import (
    Request,
    cleared,
    elapsed,
    encoded,
    marked,
    order_answered,
    requested,
    requests_of,
    state_of,
    tripped,
)

MINUTE, DAY = 60_000_000_000, 86_400_000_000_000
NOW = DAY * 20_000 + 6 * 60 * MINUTE
LIVE = configs.load("testnet", ["risk.rearm=explicit"])
TOLD = sorted(set(TRIGGERS) - {"daily_drawdown", "total_drawdown", "manual", "state_store"})
SWITCHED = [name for name in TOLD if hasattr(LIVE.breaker, f"{name}_rearm")]


def params(**changes):
    """Return the rules of the breaker, some of them changed; drawdowns as in base.toml but for a total of 20 %."""
    section = msgspec.structs.replace(LIVE.breaker, **changes)
    return section.params(LIVE.decision_params().risk._replace(total_drawdown=0.2))


PARAMS = params()


def opened(equity=10_000.0, ts=NOW):
    """Return a breaker that saw one decision mark."""
    return marked(BreakerState(), ts, equity, PARAMS, decision=True).state


def rearm(state, ts=NOW + MINUTE, equity=10_000.0, *, reason="seen to", new_anchor=False, rules=PARAMS):
    request = Request(state.requests_done + 1, "rearm", reason, ts, new_anchor)
    return requested(state, request, ts, equity, rules)


def test_every_trigger_has_a_rule_and_only_those_of_drawdowns_and_people_have_no_switch():
    assert set(PARAMS.rules) == set(TRIGGERS)
    assert set(TOLD) == set(SWITCHED)


@pytest.mark.parametrize("trigger", SWITCHED)
@pytest.mark.parametrize("action", ACTIONS)
def test_a_trigger_leads_where_its_rule_says_and_nowhere_when_it_is_off(trigger, action):
    step = tripped(opened(), trigger, "3 of 3", NOW, params(**{trigger: action}))
    assert trading_state(step.state) == {"flatten": HALTED, "halt": HALTED, "reduce": REDUCING, "off": ACTIVE}[action]
    assert bool(flattening(step.state)) == (action == "flatten")
    if action == "off":
        assert (step.state, step.changes) == (opened(), ())
    else:
        (change,) = step.changes
        assert (change.state_from, change.trigger, change.reason) == (ACTIVE, trigger, "3 of 3")
        assert change.state_to == trading_state(step.state)


@pytest.mark.parametrize("trigger", SWITCHED)
@pytest.mark.parametrize(("word", "end"), [("timed", NOW + 60 * MINUTE), ("next_day", DAY * 20_001), ("manual", None)])
def test_what_ends_a_cause_is_what_its_rule_says(trigger, word, end):
    rules = params(**{trigger: "halt", f"{trigger}_rearm": word})
    state = tripped(opened(), trigger, "numbers", NOW, rules).state
    assert state.causes[0].rearm_at_ns == end
    if end is None:
        assert trading_state(elapsed(state, NOW + 30 * DAY, rules).state) == HALTED
        return
    assert trading_state(elapsed(state, end - 1, rules).state) == HALTED
    step = elapsed(state, end, rules)
    assert (trading_state(step.state), step.changes[0].state_to) == (ACTIVE, ACTIVE)


def test_a_trip_that_comes_again_is_waited_out_from_the_last_one():
    state = tripped(opened(), "data_integrity", "first", NOW, PARAMS).state
    again = tripped(state, "data_integrity", "second", NOW + 30 * MINUTE, PARAMS)
    assert again.changes == ()
    assert trading_state(elapsed(again.state, NOW + 60 * MINUTE, PARAMS).state) == REDUCING
    assert trading_state(elapsed(again.state, NOW + 90 * MINUTE, PARAMS).state) == ACTIVE


def test_what_ends_one_cause_never_hides_another():
    state = tripped(opened(), "model_failure", "quorum lost", NOW, PARAMS).state
    state = tripped(state, "invariant_violation", "unprotected", NOW, PARAMS).state
    assert trading_state(state) == HALTED
    later = elapsed(state, NOW + DAY, PARAMS).state
    assert [cause.trigger for cause in later.causes] == ["invariant_violation"]
    assert trading_state(cleared(state, "invariant_violation", "gone").state) == REDUCING


# ------------------------------------------------------------------------------------------------------ drawdowns


def test_the_days_drawdown_reduces_at_half_and_flattens_at_the_limit():
    half = marked(opened(), NOW + MINUTE, 9_740.0, PARAMS, decision=True)
    assert trading_state(half.state) == REDUCING
    assert half.changes[0].reason == "equity 9740.00 is 2.60% below the day's high 10000.00, the limit is 2.50%"
    assert flattening(half.state) == ""
    whole = marked(half.state, NOW + 2 * MINUTE, 9_500.0, PARAMS, decision=True)
    assert trading_state(whole.state) == HALTED
    assert flattening(whole.state).startswith("daily_drawdown: equity 9500.00 is 5.00% below")
    healed = marked(half.state, NOW + DAY, 9_740.0, PARAMS, decision=True)
    assert (trading_state(healed.state), healed.changes[-1].reason) == (ACTIVE, "a new UTC day began")


def test_between_decisions_half_the_limit_does_nothing_and_the_limit_flattens():
    assert marked(opened(), NOW + MINUTE, 9_600.0, PARAMS, decision=False).state == opened()
    step = marked(opened(), NOW + MINUTE, 9_500.0, PARAMS, decision=False)
    assert trading_state(step.state) == HALTED
    assert flattening(step.state)
    assert step.state.day[:3] == opened().day[:3]


def test_the_next_day_ends_a_halt_only_where_nobody_is_there_to_do_so():
    eager = PARAMS._replace(risk=PARAMS.risk._replace(auto_rearm=1))
    for rules, after in ((PARAMS, HALTED), (eager, ACTIVE)):
        halted = marked(opened(), NOW + MINUTE, 9_400.0, rules, decision=True).state
        tomorrow = marked(halted, NOW + DAY, 9_400.0, rules, decision=True).state
        assert trading_state(tomorrow) == after
        assert bool(tomorrow.causes) == (after == HALTED)


def test_a_halt_by_total_drawdown_ends_by_a_person_alone_and_begins_a_new_peak():
    rules = PARAMS._replace(risk=PARAMS.risk._replace(auto_rearm=1))
    state, ts = opened(), NOW
    for equity in (9_600.0, 9_200.0, 8_800.0, 8_400.0, 7_999.0):
        ts += DAY
        state = marked(state, ts, equity, rules, decision=True).state
    assert [cause.trigger for cause in state.causes] == ["daily_drawdown", "total_drawdown"]
    for equity in (8_000.0, 9_000.0):
        ts += DAY
        state = marked(state, ts, equity, rules, decision=True).state
        assert trading_state(state) == HALTED
    step = rearm(state, ts + MINUTE, 9_000.0, rules=rules)
    assert (step.refused, trading_state(step.state)) == ("", ACTIVE)
    assert (step.state.day.peak, step.state.day.latched) == (9_000.0, 0)
    assert trading_state(marked(step.state, ts + 2 * MINUTE, 9_000.0, rules, decision=True).state) == ACTIVE


# --------------------------------------------------------------------------------------------------- re-arm by hand


def test_a_rearm_is_refused_while_the_days_limit_is_reached_unless_a_new_anchor_is_wanted():
    halted = marked(opened(), NOW + MINUTE, 9_400.0, PARAMS, decision=True).state
    step = rearm(halted, equity=9_400.0)
    assert trading_state(step.state) == HALTED
    assert step.refused == (
        "equity 9400.00 is 6.00% below the day's high 10000.00, the limit is 5.00%; wait for the next UTC day, or "
        "re-arm with --new-anchor, which measures the drawdown from here on"
    )
    anew = rearm(halted, equity=9_400.0, new_anchor=True).state
    assert (trading_state(anew), anew.day.high_water_mark, anew.rearms) == (ACTIVE, 9_400.0, 1)
    assert trading_state(marked(anew, NOW + 2 * MINUTE, 9_300.0, PARAMS, decision=True).state) == ACTIVE
    tomorrow = rearm(halted, NOW + DAY, equity=9_400.0)
    assert (tomorrow.refused, trading_state(tomorrow.state)) == ("", ACTIVE)


def test_a_rearm_ends_all_causes_or_none_and_each_is_told():
    state = tripped(opened(), "reconciliation_mismatch", "a cent", NOW, PARAMS).state
    state = requested(state, Request(1, "halt", "I go to bed", NOW), NOW, 10_000.0, PARAMS).state
    step = rearm(state, reason="mended")
    assert trading_state(step.state) == ACTIVE
    assert [(change.trigger, change.reason) for change in step.changes] == [
        ("reconciliation_mismatch", "re-armed: mended"),
        ("manual", "re-armed: mended"),
    ]
    with_loss = marked(state, NOW + MINUTE, 9_000.0, PARAMS, decision=True).state
    assert len(rearm(with_loss, equity=9_000.0).state.causes) == 3


def test_a_request_without_a_reason_or_done_before_changes_nothing():
    halted = tripped(opened(), "invariant_violation", "x", NOW, PARAMS).state
    assert "reason" in rearm(halted, reason="  ").refused
    done = rearm(halted)
    assert requested(done.state, Request(1, "halt", "old", NOW), NOW, 10_000.0, PARAMS).state is done.state


@pytest.mark.parametrize(("word", "flattens"), [("halt", False), ("flatten", True)])
def test_a_person_halts_and_reduces_and_a_halt_is_not_softened(word, flattens):
    rules = params(manual=word)
    reduced = requested(opened(), Request(1, "reduce", "calm down", NOW), NOW, 10_000.0, rules).state
    assert trading_state(reduced) == REDUCING
    halted = requested(reduced, Request(2, "halt", "stop", NOW), NOW, 10_000.0, rules).state
    assert (trading_state(halted), bool(flattening(halted))) == (HALTED, flattens)
    assert trading_state(requested(halted, Request(3, "reduce", "?", NOW), NOW, 10_000.0, rules).state) == HALTED


def test_a_state_that_cannot_be_kept_is_not_rearmed_away():
    state = tripped(opened(), "state_store", "disk full", NOW, PARAMS).state
    assert "disk full" in rearm(state).refused


# ------------------------------------------------------------------------------------------------------ windows

answers = st.lists(
    st.tuples(st.integers(1, 240), st.sampled_from(["filled", "rejected", "denied", "unknown", "canceled"]),
              st.sampled_from([-1, 5, 3_000])), min_size=1, max_size=60,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(answers, st.integers(1, 5), st.integers(1, 5), st.integers(1, 12), st.integers(1, 12))
def test_windows_trip_exactly_when_so_many_lie_within_them(events, errors, slow, error_minutes, slow_minutes):
    rules = params(
        order_errors_count=errors, order_errors_window_minutes=error_minutes, order_errors_rearm="manual",
        latency_count=slow, latency_window_minutes=slow_minutes, latency_rearm="manual", latency="halt",
    )  # fmt: skip
    state, ts, wrong, late = opened(), NOW, [], []
    tripped_error = tripped_slow = False
    for seconds, outcome, latency_ms in events:
        ts += seconds * 1_000_000_000
        state = order_answered(state, outcome, latency_ms * 1_000_000, ts, rules).state
        wrong += [ts] * (outcome in {"rejected", "denied", "unknown"})
        late += [ts] * (latency_ms > 2_000)
        tripped_error |= sum(ts - error_minutes * MINUTE < t <= ts for t in wrong) >= errors
        tripped_slow |= sum(ts - slow_minutes * MINUTE < t <= ts for t in late) >= slow
        assert (state.order_errors, state.slow_answers) == (len(wrong), len(late))
        assert len(state.error_times) <= errors, "what is kept is bounded"
        assert len(state.slow_times) <= slow
        standing = {cause.trigger for cause in state.causes}
        assert ("order_errors" in standing, "latency" in standing) == (tripped_error, tripped_slow)


def test_a_window_that_is_still_full_is_neither_waited_out_nor_rearmed():
    rules = params(order_errors_count=2, timed_rearm_minutes=1.0, order_errors_window_minutes=10.0)
    state = order_answered(opened(), "unknown", -1, NOW, rules).state
    state = order_answered(state, "rejected", -1, NOW + MINUTE, rules).state
    assert trading_state(state) == REDUCING
    assert trading_state(elapsed(state, NOW + 5 * MINUTE, rules).state) == REDUCING
    assert "2 are still counted; wait until" in rearm(state, NOW + 5 * MINUTE, rules=rules).refused
    assert trading_state(elapsed(state, NOW + 10 * MINUTE, rules).state) == ACTIVE
    assert rearm(state, NOW + 10 * MINUTE, rules=rules).refused == ""


# ------------------------------------------------------------------------------------------------------ as a whole

happenings = st.lists(
    st.one_of(
        st.tuples(st.just("mark"), st.floats(9_000.0, 11_000.0), st.booleans()),
        st.tuples(st.just("trip"), st.sampled_from(TOLD), st.just("x")),
        st.tuples(st.just("order"), st.sampled_from(["rejected", "filled"]), st.sampled_from([-1, 10**10])),
        st.tuples(st.just("ask"), st.sampled_from(["halt", "reduce"]), st.just("why")),
        st.tuples(st.just("time"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(happenings)
def test_within_a_day_the_state_only_hardens_without_a_rearm_and_survives_its_encoding(events):
    rules = params(**{f"{name}_rearm": "next_day" for name in TOLD})
    state, ts = opened(), NOW
    for number, (kind, first, second) in enumerate(events, start=1):
        ts += MINUTE
        before = trading_state(state)
        if kind == "mark":
            step = marked(state, ts, first, rules, decision=second)
        elif kind == "trip":
            step = tripped(state, first, second, ts, rules)
        elif kind == "order":
            step = order_answered(state, first, second, ts, rules)
        elif kind == "ask":
            step = requested(state, Request(number, first, second, ts), ts, 10_000.0, rules)
        else:
            step = elapsed(state, ts, rules)
        state = step.state
        assert trading_state(state) >= max(before, state.day.state)
        assert trading_state(state) == max([ACTIVE, *(cause.leads_to for cause in state.causes)])
        assert len({cause.trigger for cause in state.causes}) == len(state.causes)
        path = [before, *(end for change in step.changes for end in (change.state_from, change.state_to))]
        assert path[-1] == trading_state(state)
        assert state_of(encoded(state)) == state


def test_requests_survive_their_encoding_and_what_is_none_is_refused():
    asked = (Request(1, "halt", "why", 5), Request(2, "rearm", "because", 6, new_anchor=True))
    assert requests_of(encoded(asked)) == asked
    assert (state_of(None), requests_of(None)) == (BreakerState(), ())
    for kept in (b"{}x", b'{"version": 2}', b'{"unknown": 1}'):
        with pytest.raises(StateError, match="not of this version"):
            state_of(kept)


@pytest.mark.parametrize("equity", [float("nan"), 0.0, -1.0])
@pytest.mark.parametrize("new_anchor", [True, False])
def test_nothing_is_re_armed_on_an_equity_that_is_none(equity, new_anchor):
    halted = tripped(opened(), "manual", "why", NOW, PARAMS).state
    step = rearm(halted, equity=equity) if not new_anchor else rearm(halted, equity=equity, new_anchor=True)
    assert "cannot be measured" in step.refused
    assert trading_state(step.state) == HALTED
    assert state_of(encoded(step.state)) == step.state, "an anchor that is no number could not even be kept"
    assert trading_state(rearm(step.state).state) == ACTIVE
