"""The roster: every stage and every event, what comes in, what goes out, and that a restart forgets nothing."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import configs
from core.serving import REFUSED, Candidate, Roster, RosterState
from core.stages import ACTIVE, DROPPED, EVENTS, LIVE, RETIRED, SHADOW, STAGES, TRANSITIONS, next_stage

CONFIG = (
    "serving.shadow_bars=3", "serving.canary_bars=2", "serving.canary_share=0.25", "serving.slow_strikes=2",
    "serving.slow_ms=1.0", "serving.window_bars=10", "serving.max_members=5",
)  # fmt: skip


def params(*overrides):
    return configs.load("backtest", [*CONFIG, *overrides]).serving_params()


def model(name, sha=None, horizon=0):
    return Candidate(name, sha or f"sha-{name}", horizon, None)


def begun(*overrides, names="abc", state=None):
    roster = Roster(params(*overrides), state)
    roster.found([model(name) for name in names], [1.0] * len(names))
    return roster


def bar(roster, k, *, votes=1.0, flat=True, latency_ns=0, close=100.0):
    """Play one decision with everybody seated that is wanted."""
    if roster.seats != roster.wanted and roster.wanted:
        roster.seat(roster.wanted)
    levels = np.broadcast_to(np.asarray(votes, float), len(roster.seats)).copy()
    return roster.observe(levels, np.full(len(levels), 0.6), bar=k, close=close, latency_ns=latency_ns, flat=flat)


def moves(changes):
    return [(c.model_id, c.stage_from, c.stage_to, c.reason.partition(":")[0]) for c in changes]


def stages(roster):
    return {m.model_id: STAGES[m.stage] for m in roster.members}


def test_the_table_is_total_and_a_model_never_rises_by_what_it_did_wrong():
    assert set(TRANSITIONS) == {(s, e) for s in range(len(STAGES)) for e in range(len(EVENTS))}
    for (stage, event), to in TRANSITIONS.items():
        assert 0 <= to < len(STAGES)
        name = EVENTS[event]
        if name not in {"served", "arrived", "reinstated"} and stage in LIVE:
            assert to in {RETIRED, DROPPED}, name
        if to in LIVE and to > stage:
            assert name == "served", "only who served rises"
        if stage == DROPPED:
            assert to == DROPPED
    assert next_stage(RETIRED, EVENTS.index("reinstated")) == ACTIVE
    assert next_stage(RETIRED, EVENTS.index("arrived")) == SHADOW


def test_the_first_models_serve_at_once_and_a_later_one_rises_step_by_step():
    roster = begun()
    assert roster.weights.tolist() == [1.0, 1.0, 1.0]
    assert moves(roster.admit(model("d"))) == [("d", "", "SHADOW", "arrived")]
    told, weights = [], []
    for k in range(6):
        told.append(moves(bar(roster, k)))
        weights.append(roster.weights[3])
    canary, active = ("d", "SHADOW", "CANARY", "served"), ("d", "CANARY", "ACTIVE", "served")
    assert told == [[], [], [canary], [], [active], []]
    assert weights == [0, 0, 0.25, 0.25, 1, 1]


@pytest.mark.parametrize(("handover", "when"), [("flat", 6), ("next_bar", 2)])
def test_a_promotion_and_a_withdrawal_wait_for_the_hand_over(handover, when):
    roster = begun(f'serving.handover="{handover}"')
    roster.admit(model("d"))
    rose = [k for k in range(8) if ("d", "SHADOW", "CANARY", "served") in moves(bar(roster, k, flat=k >= 6))]
    assert rose == [when]
    roster.withdraw("sha-a", "gone")
    left = [k for k in range(8, 12) if ("a", "ACTIVE", "RETIRED", "withdrawn") in moves(bar(roster, k, flat=k >= 10))]
    assert left == [10 if handover == "flat" else 8]


def test_a_broken_answer_drops_at_once_whatever_is_held_and_the_rest_stands():
    roster = begun()
    changes = bar(roster, 1, votes=[1.0, np.nan, 1.0], flat=False)
    assert moves(changes) == [("b", "ACTIVE", "DROPPED", "nan_answer")]
    assert roster.weights.tolist() == [1.0, 0.0, 1.0]
    assert roster.wanted == ("sha-a", "sha-c")
    bar(roster, 2)
    assert roster.seats == ("sha-a", "sha-c")
    assert roster.admit(model("b")) == (), "what was dropped stays out"


def test_slow_answers_drop_the_newest_and_never_a_founder():
    roster = begun()
    roster.admit(model("d"))
    roster.admit(model("e"))
    told = [moves(bar(roster, k, latency_ns=2_000_000)) for k in range(6)]
    slow = [("e", "SHADOW", "DROPPED", "slow_answer")], [("d", "CANARY", "DROPPED", "slow_answer")]
    assert told[1] == slow[0]
    assert told[3] == slow[1]
    assert told[4:] == [[], []]
    assert [m.model_id for m in roster.members if m.stage in LIVE] == ["a", "b", "c"]


def test_slow_answers_far_from_each_other_are_forgiven():
    roster = begun('serving.handover="next_bar"')
    roster.admit(model("d"))
    for k in range(60):
        bar(roster, k, latency_ns=2_000_000 if k % 12 == 0 else 900_000)
    assert stages(roster)["d"] == "ACTIVE"


def test_a_loser_is_dropped_with_its_numbers():
    roster = begun("serving.max_loss=0.02")
    closes = 100.0 * 0.99 ** np.arange(3)
    told = [bar(roster, k, votes=[-1.0, 1.0, 0.0], close=c) for k, c in enumerate(closes)]
    lost = [c for changes in told for c in changes]
    assert moves(lost) == [("b", "ACTIVE", "DROPPED", "loss")]
    assert "at most 0.02 is allowed" in lost[0].reason


def test_a_model_that_is_right_less_often_than_it_says_is_retired():
    roster = Roster(params("serving.decay_alarm=20", "serving.max_loss=10.0"))
    roster.found([model("a", horizon=1), model("b")], [1.0, 1.0])
    told = [moves(bar(roster, 1 + k, close=100.0 - 0.01 * k)) for k in range(20)]
    assert [("a", "ACTIVE", "RETIRED", "decayed")] in told
    assert stages(roster) == {"a": "RETIRED", "b": "ACTIVE"}


def test_a_successor_takes_over_only_when_active_and_its_fall_brings_the_old_one_back():
    roster = begun()
    roster.admit(model("a", "new"))
    for k in range(4):
        bar(roster, k)
        assert roster.weights[0] == 1.0, "the old one stands while the new one is on trial"
    assert moves(bar(roster, 4)) == [("a", "CANARY", "ACTIVE", "served"), ("a", "ACTIVE", "RETIRED", "superseded")]
    assert roster.wanted == ("sha-b", "sha-c", "new")
    bar(roster, 5)
    fallen = bar(roster, 6, votes=[1.0, 1.0, np.nan])
    assert moves(fallen) == [("a", "ACTIVE", "DROPPED", "nan_answer"), ("a", "RETIRED", "ACTIVE", "reinstated")]
    bar(roster, 7)
    assert sorted(roster.seats) == ["sha-a", "sha-b", "sha-c"]
    assert roster.weights.tolist() == [1.0, 1.0, 1.0]


def test_a_successor_that_fails_on_trial_leaves_the_old_one_as_it_was():
    roster = begun()
    roster.admit(model("a", "new"))
    bar(roster, 1)
    assert moves(bar(roster, 2, votes=[1.0, 1.0, 1.0, np.nan])) == [("a", "SHADOW", "DROPPED", "nan_answer")]
    assert roster.wanted == ("sha-a", "sha-b", "sha-c")


def test_a_full_roster_refuses_and_a_model_that_could_not_be_built_is_dropped():
    roster = begun(names="abcd")
    roster.admit(model("e"))
    (refused,) = roster.admit(model("f"))
    assert (refused.stage_to, refused.reason) == (REFUSED, "5 members serve, which is the limit")
    assert moves(roster.fail("sha-e", "no memory")) == [("e", "SHADOW", "DROPPED", "failed_load")]


def test_what_stays_keeps_its_score_when_the_seats_change():
    roster = begun("serving.max_loss=10.0")
    for k in range(5):
        bar(roster, k, votes=[1.0, -1.0, 0.5], close=100.0 + k)
    before = roster.snapshot().scores
    roster.admit(model("d"))
    roster.seat(["sha-d", "sha-c", "sha-a", "sha-b"])
    after = roster.snapshot().scores
    assert {sha: after[sha] for sha in before} == before
    assert set(after["sha-d"]) == {0.0}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_restart_at_any_bar_changes_nothing_that_follows(data):
    """Two rosters, one of them written down and read back at a random bar, move and weigh alike ever after."""
    wild = ('ensemble.method="performance"', "serving.max_loss=0.15", "serving.max_disagreement=0.6")
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    cut, length = data.draw(st.integers(1, 40)), 60
    one = begun(*wild)
    one.admit(model("d", horizon=2))
    for k in range(length):
        if k == cut:
            state = msgspec.json.decode(msgspec.json.encode(one.snapshot()), type=RosterState)
            other = Roster(params(*wild), state)
            seats = [next(model(m.model_id, m.sha256, m.horizon_bars) for m in one.members if m.sha256 == s)
                     for s in one.seats]  # fmt: skip
            assert moves(other.found(seats, [1.0] * len(seats))) == []
        rosters = (one,) if k < cut else (one, other)
        votes = rng.choice([-1.0, 0.0, 1.0, np.nan], size=8, p=[0.3, 0.39, 0.3, 0.01])
        late, close = int(rng.random() < 0.05) * 10**7, 100.0 * float(np.exp(rng.normal(0, 0.03)))
        flat = bool(rng.random() < 0.5)
        seen = [
            bar(r, k, votes=votes[: len(r.wanted or r.seats)], flat=flat, latency_ns=late, close=close) for r in rosters
        ]
        assert seen[0] == seen[-1]
        assert rosters[0].weights.tolist() == rosters[-1].weights.tolist()
        for roster in rosters:
            assert (roster.weights >= 0.0).all()
            assert (roster.weights <= 3.0).all()


def test_a_model_that_is_not_there_any_more_and_one_that_is_new_after_a_restart():
    state = begun().snapshot()
    roster = Roster(params(), state)
    changes = roster.found([model("a"), model("c"), model("x")], [1.0] * 3)
    assert moves(changes) == [("b", "ACTIVE", "RETIRED", "withdrawn"), ("x", "", "SHADOW", "arrived")]
    assert roster.weights.tolist() == [1.0, 1.0, 0.0]


def test_a_successor_of_one_that_failed_supersedes_whoever_serves_under_the_name():
    roster = begun()
    roster.admit(model("a", "second"))
    bar(roster, 0)
    roster.admit(model("a", "third"))
    bar(roster, 1, votes=[1.0, 1.0, 1.0, np.nan, 1.0])
    for k in range(2, 8):
        bar(roster, k)
        named = [member.sha256 for member in roster.members if member.model_id == "a" and member.stage == ACTIVE]
        assert len(named) == 1, "a name has one vote"
    assert named == ["third"]
    fallen = bar(roster, 8, votes=[1.0, 1.0, np.nan])
    assert moves(fallen) == [("a", "ACTIVE", "DROPPED", "nan_answer"), ("a", "RETIRED", "ACTIVE", "reinstated")]


def test_whom_another_superseded_does_not_come_back_where_the_name_is_served():
    roster = begun()
    roster.admit(model("a", "second"))
    for k in range(5):
        bar(roster, k)
    roster.admit(model("a", "third"))
    bar(roster, 5)
    roster.admit(model("a", "fourth"))
    for k in range(6, 10):
        bar(roster, k)
    assert [m.sha256 for m in roster.members if m.model_id == "a" and m.stage == ACTIVE] == ["third"]
    assert "second" not in roster.wanted
    bar(roster, 10, votes=[np.nan if sha == "fourth" else 1.0 for sha in roster.wanted])
    assert [m.sha256 for m in roster.members if m.model_id == "a" and m.stage in LIVE] == ["third"]


def test_what_comes_back_to_a_full_roster_is_refused():
    roster = begun(names="abcd")
    roster.withdraw("sha-d", "gone")
    bar(roster, 0)
    for name in "ef":
        roster.admit(model(name))
    (refused,) = roster.admit(model("d"))
    assert refused.stage_to == REFUSED
