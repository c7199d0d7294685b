"""The table of an order's life."""

import itertools

import pytest

from core.order_states import OVER, TRANSITIONS, WAITING, WORKING, Event, OrderState, step

S, E = OrderState, Event


@pytest.mark.parametrize(("state", "event"), list(itertools.product(S, E)))
def test_every_pair_leads_to_a_state_and_an_illegal_one_changes_nothing(state, event):
    after, legal = step(state, event)
    assert after in S
    assert legal == ((state, event) in TRANSITIONS)
    assert legal or after == state


@pytest.mark.parametrize(("state", "event"), list(itertools.product(sorted(OVER), E)))
def test_what_is_over_stays_over(state, event):
    assert step(state, event)[0] == state


def test_no_answer_is_unknown_and_never_the_end():
    for state in S:
        if state not in OVER:
            assert step(state, E.TIMEOUT) == (S.UNKNOWN, True)


def test_every_word_of_the_venue_leads_out_of_unknown():
    words = {E.ACCEPT, E.FILL_PART, E.FILL_WHOLE, E.MODIFIED, E.CANCEL, E.EXPIRE, E.REJECT, E.DENY, E.FOUND_WORKING}
    assert {event for event in words if step(S.UNKNOWN, event)[0] is S.UNKNOWN} == set()


def test_a_fill_may_cross_a_cancel_or_an_expiry_but_not_a_rejection():
    assert {state for state in OVER if step(state, E.FILL_PART)[1]} == {S.CANCELED, S.EXPIRED}


def test_every_state_is_waited_for_or_works_or_is_over():
    assert set(S) == WAITING | WORKING | OVER
    assert not OVER & (WAITING | WORKING)
