"""The chase: against any market and any venue it keeps its limits, and it always ends."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import chase
from core.chase import ChaseParams, Order, Phase, Withdraw

PARAMS = ChaseParams(move_ticks=2, max_moves=3, interval_ns=10, timeout_ns=100, cap=0.01)


def start(side: int = 1, lots: int = 10, least: int = 1, **more: Any) -> chase.Chase:
    return chase.begin(side, lots, least=least, arrival=1000.0, tick=1.0, now_ns=0, params=PARAMS, **more)


def look(state: chase.Chase, now_ns: int, bid: int, ask: int | None = None) -> tuple[chase.Chase, Any]:
    return chase.look(state, now_ns=now_ns, bid=bid, ask=ask if ask is not None else bid + 1, params=PARAMS)


def test_it_rests_at_the_best_price_and_follows_when_the_market_has_moved_away():
    state, command = look(start(), 0, 1000)
    assert command == Order("post_only", 10, 1000)
    assert look(state, 50, 1001)[1] is None, "not far enough"
    assert look(state, 9, 1005)[1] is None, "not long enough"
    assert look(state, 50, 990)[1] is None, "the market has come to it"
    state, command = look(state, 50, 1002)
    assert (command, state.phase) == (Withdraw(), Phase.LEAVING)
    assert look(state, 60, 1009) == (state, None), "its end is waited for"
    state = chase.ended(chase.filled(state, 4))
    assert look(state, 60, 1003)[1] == Order("post_only", 6, 1003), "only what is left"


def test_a_sell_is_the_mirror_image():
    state, command = look(start(-1), 0, 999, 1000)
    assert command == Order("post_only", 10, 1000)
    assert look(state, 50, 1005, 1006)[1] is None
    assert look(state, 50, 997, 998)[1] == Withdraw()
    state, command = look(chase.ended(look(state, 100, 997, 998)[0]), 100, 992, 993)
    assert command == Order("immediate", 10, 990)


def test_after_its_moves_it_stays_and_after_its_time_it_takes_within_the_cap():
    state, _ = look(start(), 0, 1000)
    for move in range(1, 4):
        state, command = look(state, 20 * move, 1000 + 2 * move)
        assert command == Withdraw()
        state, _ = look(chase.ended(state), 20 * move, 1000 + 2 * move)
    assert look(state, 90, 1020)[1] is None
    state, command = look(state, 100, 1007)
    assert command == Withdraw()
    state, command = look(chase.ended(state), 101, 1007)
    assert command == Order("immediate", 10, 1010)
    assert chase.ended(chase.filled(state, 7)).outcome == "timed_out"
    assert chase.filled(state, 10).outcome == "filled"


def test_a_market_beyond_the_cap_is_neither_followed_nor_taken():
    state, command = look(start(), 0, 1500)
    assert command == Order("post_only", 10, 1010)
    assert look(state, 50, 1600)[1] is None, "it rests at its limit already"
    late = chase.ended(look(state, 100, 1600)[0])
    state, command = look(late, 101, 1600)
    assert (command, state.outcome) == (None, "timed_out")


def test_a_post_only_rejection_goes_a_tick_back_and_any_other_ends_it():
    state, _ = look(start(), 0, 1000)
    state = chase.ended(state, refused=True, post_only=True)
    state, command = look(state, 10, 1000)
    assert command == Order("post_only", 10, 999)
    state = chase.ended(state, refused=True, post_only=True)
    state, command = look(state, 20, 1000)
    assert command == Order("post_only", 10, 998)
    assert chase.ended(state, refused=True).outcome == "rejected"


def test_a_rest_below_the_minimum_is_not_moved_and_not_taken():
    state, _ = look(start(least=4), 0, 1000)
    state = chase.filled(state, 8)
    assert look(state, 50, 1005)[1] is None
    state, command = look(state, 100, 1005)
    assert command == Withdraw()
    state, command = look(chase.ended(state), 100, 1005)
    assert (command, state.outcome, state.left) == (None, "timed_out", 2)


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.OVER])
def test_the_end_of_an_order_that_was_not_there_is_an_error(phase):
    with pytest.raises(ValueError, match="where none was at the venue"):
        chase.ended(start()._replace(phase=phase))
    with pytest.raises(ValueError, match="11 lots where 10 were left"):
        chase.filled(start(), 11)


def test_every_phase_can_be_stopped():
    idle = start()
    resting, _ = look(idle, 0, 1000)
    leaving, _ = look(resting, 50, 1010)
    taking, _ = look(idle, 100, 1000)
    commands = {state.phase: chase.stop(state) for state in (idle, resting, leaving, taking)}
    assert commands[Phase.IDLE][0].outcome == "canceled"
    assert commands[Phase.RESTING][1] == Withdraw()
    for phase in (Phase.RESTING, Phase.LEAVING, Phase.TAKING):
        stopping, _ = commands[phase]
        assert look(stopping, 200, 1000) == (stopping, None)
        assert chase.ended(stopping).outcome == "canceled"
        assert chase.filled(stopping, 10).outcome == "filled"


@settings(max_examples=500, deadline=None)
@given(st.data(), st.sampled_from([1, -1]), st.integers(1, 50), st.integers(1, 5))
def test_against_any_market_and_any_venue_it_keeps_its_limits_and_ends(data, side, lots, least):
    params = ChaseParams(
        move_ticks=data.draw(st.integers(1, 5)),
        max_moves=data.draw(st.integers(0, 4)),
        interval_ns=data.draw(st.integers(1, 50)),
        timeout_ns=data.draw(st.integers(1, 300)),
        cap=data.draw(st.floats(0.0, 0.05)),
    )
    state = chase.begin(side, lots, least=least, arrival=1000.0, tick=1.0, now_ns=0, params=params)
    now, bid, at_venue, bought = 0, 1000, 0, 0
    moved: list[int] = []
    for _ in range(400):
        now += data.draw(st.integers(0, 30))
        bid = max(bid + data.draw(st.integers(-8, 8)), 1)
        before = state
        state, command = chase.look(state, now_ns=now, bid=bid, ask=bid + 1, params=params)
        if isinstance(command, Order):
            assert at_venue == 0, "one order at a time"
            assert command.lots == state.left == lots - bought
            assert command.lots >= min(least, lots)
            assert side * (command.ticks - 1000.0 * (1 + side * params.cap)) <= 1e-6
            if command.kind == "post_only":
                assert side * command.ticks <= side * (bid if side > 0 else bid + 1)
                assert now < params.timeout_ns
            at_venue = command.lots
        elif isinstance(command, Withdraw) and now < params.timeout_ns:
            moved.append(now)
            assert now - before.placed_ns >= params.interval_ns
        if state.phase == Phase.OVER:
            break
        if at_venue:
            event = data.draw(st.sampled_from(["nothing", "fill", "end", "post_only"]))
            if event == "fill" or (event == "end" and state.phase == Phase.TAKING and data.draw(st.booleans())):
                size = data.draw(st.integers(1, at_venue))
                at_venue, bought = at_venue - size, bought + size
                state = chase.filled(state, size)
            if event in {"end", "post_only"} and at_venue and state.phase != Phase.OVER:
                leaving = state.phase in {Phase.LEAVING, Phase.TAKING}
                if event == "post_only" and state.phase == Phase.RESTING:
                    state, at_venue = chase.ended(state, refused=True, post_only=True), 0
                elif leaving:
                    state, at_venue = chase.ended(state), 0
        assert state.left == lots - bought
        if state.phase == Phase.OVER:
            break
    assert len(moved) <= params.max_moves
    if state.phase == Phase.OVER:
        assert at_venue == 0
        assert state.outcome == ("filled" if bought == lots else "timed_out")
    while state.phase != Phase.OVER:  # with a venue that answers, it ends
        now += 1 + params.timeout_ns
        if at_venue:
            state, _ = chase.stop(state)
            state, at_venue = chase.ended(state), 0
        else:
            state, command = chase.look(state, now_ns=now, bid=bid, ask=bid + 1, params=params)
            at_venue = command.lots if isinstance(command, Order) else 0
