"""The daily audit: the engine's account may be behind, so the venue itself is asked before anybody is halted."""

import pytest

from actors.account_view import AccountView
from core.books import Books
from core.faults import Faults
from core.messages import AccountBalance, PositionState
from core.timekeeping import EngineTime
from core.venue_words import Wanted

DAY_NS = 86_400_000_000_000


class Clock:
    """Stands still."""

    def timestamp_ns(self):
        return 5


class Auditor(AccountView):
    """Books that say 9,990 after an opening of 10,000, an engine that says what the test wants."""

    def __init__(self, *, confirms):
        self.faults, self._time, self.clock = Faults(), EngineTime(), Clock()
        self._books, self._confirms = Books({"X": 0.001}), confirms
        self.engine, self.told = 10_000.0, []
        assert self._audited(DAY_NS) == ""
        self.booked(-10.0)

    def booked(self, realised):
        fields = dict.fromkeys(PositionState.__struct_fields__, 0)
        self._books.take(PositionState(**fields | {"instrument_id": "X", "realised": realised}))

    def _balance(self):
        return self.engine

    def publish_message(self, topic, message):
        self.told.append(message)


def test_an_account_of_the_engine_that_is_behind_halts_nobody():
    auditor = Auditor(confirms=True)
    assert auditor._audited(2 * DAY_NS) == ""
    assert auditor.told == [Wanted("balance")]
    assert auditor._confirmed(AccountBalance(9_990.0)) == ""
    assert "is behind the venue's, which is 9990.0000" in auditor.told[-1].text
    assert auditor._confirmed(AccountBalance(1.0)) == "", "nobody asked any more"


def test_a_fill_on_its_way_is_no_mismatch_and_a_balance_that_differs_three_times_is():
    auditor = Auditor(confirms=True)
    auditor._audited(2 * DAY_NS)
    assert auditor._confirmed(AccountBalance(9_985.0)) == ""
    auditor.booked(-15.0)
    assert auditor._confirmed(AccountBalance(9_985.0)) == ""
    auditor.engine = 1.0
    auditor._audited(3 * DAY_NS)
    words = [auditor._confirmed(AccountBalance(9_000.0)) for _ in range(3)]
    assert words == ["", "", "the books say a balance of 9985.0000, the account 9000.0000"]
    assert auditor.told.count(Wanted("balance")) == 5


@pytest.mark.parametrize(("engine", "said"), [(9_990.0, ""), (9_990.02, "the books say a balance of 9990.0000")])
def test_where_nobody_can_be_asked_the_engine_is_right(engine, said):
    auditor = Auditor(confirms=False)
    auditor.engine = engine
    assert auditor._audited(2 * DAY_NS).startswith(said)
    assert bool(auditor._audited(3 * DAY_NS)) == bool(said)
    assert auditor.told == []
