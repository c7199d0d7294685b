"""Random sessions in which clocks, people and lost states do their worst; ``SESSIONS`` as for the others."""

import pytest

from tests.unit import test_trading_sessions as ordinary
from tests.unit.test_trading_sessions import CHUNKS, SESSIONS
from tests.unit.wild_session import WildSession

SHARE = 20
"""One wild session for so many ordinary ones."""


@pytest.mark.parametrize("chunk", range(CHUNKS // 5))
def test_whatever_clocks_people_and_lost_states_do_everything_ends_protected_or_flat(chunk, monkeypatch):
    monkeypatch.setattr(ordinary, "Session", WildSession)
    chunks = CHUNKS // 5
    total = SESSIONS // SHARE
    for seed in range(chunk * total // chunks, (chunk + 1) * total // chunks):
        session = ordinary.played(seed)
        assert not session.problems, f"seed {seed}: {session.problems[0]} (and {len(session.problems) - 1} more)"
