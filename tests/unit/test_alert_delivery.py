"""How an alert finds a person: routes, patience, escalation."""

from hypothesis import given
from hypothesis import strategies as st

from core.alert_delivery import Attempt, Patience, pause_ns, plan, route

SECOND = 1_000_000_000
PATIENCE = Patience(retry_ns=SECOND, most_ns=60 * SECOND, tries=2, silence_ns=30 * SECOND, give_up_ns=3_600 * SECOND)
ROUTES = {"critical": ("telegram", "sms", "*"), "warning": ("email", "*"), "info": ()}


def test_a_route_names_the_channels_that_are_there_in_its_order_and_all_others_for_a_star():
    there = {"sms", "zulip", "discord", "telegram"}
    assert route("critical", ROUTES, there) == ("telegram", "sms", "discord", "zulip")
    assert route("warning", ROUTES, there) == ("discord", "zulip")
    assert route("info", ROUTES, there) == ()
    assert route("unheard of", ROUTES, there) == ()


def test_the_next_channel_is_tried_when_the_last_one_fails_twice_or_says_nothing():
    path = ("telegram", "sms")
    assert plan(0, 0, path, [], PATIENCE) == ("start", "telegram")
    assert plan(SECOND, 0, path, [Attempt("telegram", 0, 1)], PATIENCE).action == "wait"
    assert plan(SECOND, 0, path, [Attempt("telegram", 0, 2)], PATIENCE) == ("start", "sms")
    assert plan(30 * SECOND, 0, path, [Attempt("telegram", 0, 0)], PATIENCE) == ("start", "sms")
    both = [Attempt("telegram", 0, 9), Attempt("sms", SECOND, 9)]
    assert plan(600 * SECOND, 0, path, both, PATIENCE).action == "wait"
    assert plan(600 * SECOND, 0, path, [*both[:1], Attempt("sms", SECOND, 0, True)], PATIENCE).action == "done"
    assert plan(3_600 * SECOND, 0, path, both, PATIENCE).action == "give_up"


@given(st.integers(1, 200))
def test_a_pause_doubles_up_to_its_limit(failures):
    assert pause_ns(failures, PATIENCE) == min(2 ** (failures - 1), 60) * SECOND


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
    st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=60),
)
def test_every_channel_gets_its_turn_in_order_and_none_twice(path, steps):
    attempts, now = [], 0
    for seconds, fails in steps:
        now += seconds * SECOND
        action, channel = plan(now, 0, path, attempts, PATIENCE)
        if action == "start":
            attempts.append(Attempt(channel, now))
        elif fails and attempts:
            attempts[-1] = Attempt(attempts[-1].channel, attempts[-1].begun_ns, attempts[-1].failures + 1)
        assert (action == "give_up") == (not path or now >= PATIENCE.give_up_ns)
    assert [attempt.channel for attempt in attempts] == list(path)[: len(attempts)]
