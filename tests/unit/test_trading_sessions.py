"""Ten thousand random sessions against a venue that errs; ``SESSIONS=1000000`` makes it a soak."""

import os
from collections import Counter

import pytest

from tests.unit.trading_session import Session

SESSIONS = int(os.environ.get("SESSIONS", "10000"))
STEPS = 30
CHUNKS = 20


def played(seed: int) -> Session:
    session = Session(seed)
    for _ in range(STEPS):
        session.step()
    if not session.calm():
        session.problems.append("the venue answers, and it is never quiet")
    if session.venue.lots != session.trader.position.lots:
        session.problems.append(f"{session.trader.position.lots} lots held, {session.venue.lots} at the venue")
    protected = sum(stop.left for stop in session.venue.stops())
    if protected != abs(session.venue.lots):
        session.problems.append(f"stops for {protected} lots under a position of {session.venue.lots}")
    if session.settle() >= 12:
        session.problems.append("HALTED, and not flat though the venue answers")
    return session


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_the_venue_does_no_limit_is_exceeded_and_everything_ends_protected_or_flat(chunk):
    seen: Counter[str] = Counter()
    for seed in range(chunk * SESSIONS // CHUNKS, (chunk + 1) * SESSIONS // CHUNKS):
        session = played(seed)
        assert not session.problems, f"seed {seed}: {session.problems[0]} (and {len(session.problems) - 1} more)"
        seen.update(session.seen)
        seen["kills"] += session.kills
    if SESSIONS >= 100 * CHUNKS:
        assert min(seen[kind] for kind in ("entry", "increase", "reduce", "exit", "stop", "Query", "kills")) > 10, seen


def test_a_session_is_the_same_again_for_the_same_seed():
    first, second = played(7), played(7)
    assert (first.seen, first.now, first.venue.orders) == (second.seen, second.now, second.venue.orders)
