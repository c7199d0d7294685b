"""What is remembered between looks, against a brute-force account of every second."""

from math import isnan

from hypothesis import given
from hypothesis import strategies as st

from core.invariants import Limits, violations
from core.watch import OpenOrder, Watch, Words

S = 1_000_000_000
LIMITS = Limits(
    unprotected_seconds=30.0, settle_seconds=20.0, decision_seconds=1e9, breaker_seconds=1e12, max_capital=0.5
)


def stop(lots: int, trigger: float = 90.0) -> OpenOrder:
    return OpenOrder("S", True, True, True, -1 if lots > 0 else 1, abs(lots), True, trigger)


def words(lots: int, **more: object) -> Words:
    return Words(lots, more.pop("owner", lots), more.pop("journal", lots), more.pop("venue", None), 100.0, 0)


def names(watch: Watch, at: int, said: Words, *orders: OpenOrder) -> set[str]:
    return {violation.name for violation in violations(watch.look(at, said, orders), LIMITS)}


@given(st.lists(st.tuples(st.integers(1, 25), st.integers(-4, 4)), min_size=1, max_size=30), st.integers(0, 40))
def test_lots_kept_and_most_lots_are_those_of_every_second_counted_one_by_one(steps, rest):
    watch, now, seconds, lots = Watch("X", LIMITS), 0, [], 0
    for wait, change in steps:
        seconds += [lots] * wait
        now += wait
        watch.look(now * S, words(change), ())
        lots = change
    seconds += [lots] * rest
    now += rest
    look = watch.look(now * S, words(lots), ())
    padded = [0] * 60 + seconds + [lots]
    window = padded[-31:]
    kept = min(window) if min(window) > 0 else min(0, max(window))
    assert look.kept_lots == kept
    recent = padded[-21:]
    assert (look.most_long, look.most_short) == (max(0, *recent), -min(0, *recent))


def test_a_bare_position_is_looked_at_again_when_it_has_been_so_for_too_long():
    watch = Watch("X", LIMITS)
    assert names(watch, 0, words(5)) == set()
    assert watch.due_ns == 30 * S
    assert names(watch, 30 * S - 1, words(5)) == set()
    assert names(watch, 30 * S, words(5)) == {"unprotected"}


def test_a_stop_that_is_replaced_leaves_the_position_bare_only_when_none_comes():
    watch = Watch("X", LIMITS)
    names(watch, 0, words(5), stop(5))
    assert names(watch, 500 * S, words(5)) == set()
    assert watch.due_ns == 530 * S
    assert names(watch, 501 * S, words(5), stop(5, trigger=95.0)) == set()
    assert names(watch, 600 * S, words(5)) == set()
    assert names(watch, 630 * S - 1, words(5)) == set()
    assert names(watch, 630 * S, words(5)) == {"unprotected"}


def test_a_position_that_grows_lot_by_lot_is_judged_by_lots_not_by_the_whole():
    watch = Watch("X", LIMITS)
    for second in range(0, 200, 10):
        lots = 1 + second // 10
        covered = max(lots - 2, 1)
        assert names(watch, second * S, words(lots), stop(covered)) == set(), "each lot is covered twenty seconds later"
    assert names(watch, 240 * S, words(20), stop(18)) == {"unprotected"}


def test_a_stop_may_be_larger_than_the_position_only_while_it_settles():
    watch = Watch("X", LIMITS)
    watch.look(0, words(5), [stop(5)])
    assert names(watch, 100 * S, words(2), stop(5)) == set()
    assert watch.due_ns == 120 * S
    assert names(watch, 120 * S, words(2), stop(5)) == {"overprotected"}
    assert names(watch, 121 * S, words(2), stop(2)) == set()
    assert watch.due_ns == 0, "all is in step: nobody needs to look"


def test_books_may_differ_only_while_they_settle():
    watch = Watch("X", LIMITS)
    assert names(watch, 0, words(0, journal=1)) == set()
    assert watch.due_ns == 20 * S
    assert names(watch, 20 * S, words(0, journal=1)) == {"reconciled"}
    assert names(watch, 21 * S, words(0)) == set()
    assert names(watch, 22 * S, words(0, owner=1)) == set(), "the time begins anew"
    assert names(watch, 50 * S, words(0, venue=3)) == {"reconciled"}


def test_a_stop_is_judged_where_it_is_placed_and_where_it_is_moved_to_not_where_the_market_goes():
    watch = Watch("X", LIMITS)
    assert not names(watch, 0, words(5), stop(5, 90.0))
    gone = words(5)._replace(close=80.0)
    assert not names(watch, S, gone, stop(5, 90.0)), "the market fell below a stop that has not filled yet"
    assert names(watch, 2 * S, gone, stop(5, 85.0)) == {"stop_side"}


def test_an_increase_is_judged_once_by_what_was_committed_against_the_equity_of_then():
    watch = Watch("X", LIMITS)
    watch.ordered(5_100.0, 10_000.0)
    watch.ordered(100.0, 10_000.0)
    assert names(watch, 0, words(0)) == {"used_capital"}
    look = watch.look(S, words(0), ())
    assert isnan(look.committed)
    watch.ordered(5_000.0, 10_000.0)
    assert names(watch, 2 * S, words(0)) == set()


def test_what_was_held_before_a_start_is_not_known_and_its_stop_has_time_to_shrink():
    watch = Watch("X", LIMITS)
    watch.begin(1_000 * S)
    assert names(watch, 1_000 * S, words(5), stop(8)) == set()
    assert watch.due_ns == 1_020 * S
    assert names(watch, 1_020 * S, words(5), stop(8)) == {"overprotected"}


def test_a_cache_that_holds_a_fill_twice_is_told_of_and_judged_by_nobody():
    watch = Watch("X", LIMITS)
    names(watch, 0, words(5), stop(5))
    twice = words(10, owner=5, journal=5, venue=5)
    for second in (1, 40, 80):
        assert names(watch, second * S, twice, stop(5)) == set()
    look = watch.look(100 * S, twice, [stop(5)])
    assert (look.kept_lots, look.apart_seconds, look.astray_seconds) == (5, 0.0, 99.0)
    assert watch.look(101 * S, words(5, venue=5), [stop(5)]).astray_seconds == 0.0


def test_a_cache_that_nobody_contradicts_but_the_books_is_judged():
    watch = Watch("X", LIMITS)
    apart = words(10, owner=5, journal=5)
    names(watch, 0, apart, stop(5))
    assert "reconciled" in names(watch, 20 * S, apart, stop(5))


def test_a_position_that_the_venue_does_not_have_is_judged_though_cache_and_owner_agree():
    watch = Watch("X", LIMITS)
    names(watch, 0, words(5, venue=3), stop(5))
    assert names(watch, 20 * S, words(5, venue=3), stop(5)) == {"reconciled"}


def test_a_stop_that_was_not_seen_for_a_while_is_not_placed_again():
    watch = Watch("X", LIMITS)
    assert not names(watch, 0, words(5), stop(5, 90.0))
    assert not names(watch, S, words(5))
    assert not names(watch, 2 * S, words(5)._replace(close=80.0), stop(5, 90.0))
