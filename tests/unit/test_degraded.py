"""The table of modes, and what leads from one to the other."""

import itertools

import pytest

from core.degraded import TRANSITIONS, Mode, Sign, step
from core.liveness import Liveness, LivenessLimits

MINUTE = 60_000_000_000
SECOND = 1_000_000_000
LIMITS = LivenessLimits(MINUTE, 15 * SECOND, 20 * SECOND, 500_000_000, 2)
START = 1_700_000_040 * SECOND


def watch(**closes):
    return Liveness(LIMITS, closes or {"BTC": START})


def test_nothing_but_agreement_frees_entries():
    for mode, sign in itertools.product(Mode, Sign):
        after = step(mode, sign)
        assert (after is Mode.LIVE) == (
            (mode is Mode.LIVE and sign in {Sign.ALIVE, Sign.AGREED})
            or (mode is Mode.RECOVERING and sign is Sign.AGREED)
        ), (mode, sign)
    assert all(after is not mode for (mode, _), after in TRANSITIONS.items())


def test_a_bar_is_late_a_while_after_its_close_and_cut_off_a_while_after_that():
    live = watch()
    assert live.look(START + MINUTE + 15 * SECOND).mode is Mode.LIVE
    found = live.look(START + MINUTE + 16 * SECOND)
    assert (found.before, found.mode) == (Mode.LIVE, Mode.SUSPECT)
    assert found.reason == "the bar of BTC is 16 s late"
    assert live.look(START + MINUTE + 34 * SECOND).mode is Mode.SUSPECT
    assert live.look(START + MINUTE + 36 * SECOND).mode is Mode.CUT


def test_a_stream_that_speaks_again_frees_nothing_before_what_is_held_agreed_often_enough():
    live = watch()
    live.look(START + 2 * MINUTE)
    live.bar("BTC", START + 2 * MINUTE)
    now = START + 2 * MINUTE + SECOND
    assert live.look(now).mode is Mode.RECOVERING
    live.compared(equal=True)
    assert live.look(now).mode is Mode.RECOVERING
    live.compared(equal=False)
    live.compared(equal=True)
    assert live.look(now).mode is Mode.RECOVERING, "two in a row"
    live.compared(equal=True)
    assert live.look(now).mode is Mode.LIVE


def test_what_agreed_before_an_outage_says_nothing_after_it():
    live = watch()
    for _ in range(5):
        live.compared(equal=True)
    live.look(START + 2 * MINUTE)
    live.bar("BTC", START + 2 * MINUTE)
    assert live.look(START + 2 * MINUTE).mode is Mode.RECOVERING
    assert live.look(START + 2 * MINUTE).mode is Mode.RECOVERING


def test_an_order_without_an_answer_is_heard_of_and_after_a_while_not_waited_for():
    live = watch()
    live.unanswered("X1", START)
    assert live.look(START).mode is Mode.SUSPECT
    assert not live.look(START + 19 * SECOND).unheard
    assert live.look(START + 20 * SECOND).unheard
    live.answered("X1")
    assert not live.look(START + 21 * SECOND).unheard


def test_a_venue_that_does_not_answer_and_a_clock_that_is_off_stop_entries():
    live = watch()
    live.asked(answered=False, now_ns=START)
    assert "not answered" in live.look(START).reason
    live.asked(answered=True, now_ns=START)
    live.clock(-501_000_000)
    assert "our clock is -501 ms off, the limit is 500" in live.look(START).reason


@pytest.mark.parametrize("late", ["BTC", "ETH"])
def test_every_instrument_is_watched(late):
    live = watch(BTC=START, ETH=START)
    live.bar("ETH" if late == "BTC" else "BTC", START + 2 * MINUTE)
    assert f"the bar of {late} is" in live.look(START + 2 * MINUTE).reason
