"""What a person asks of the breaker of a running system is done at once, in the real engine, and answered."""

import pytest

import composition
from core.messages import Answered, Asked, Trip, answered_topic, asked_topic, trip_topic
from tests.acceptance.test_breaker_in_the_engine import AT, BTC, REFUSED, Teller, play


class Asker(Teller):
    """A teller that hears what the breaker answers."""

    answers: tuple[Answered, ...] = ()

    def on_start(self):
        super().on_start()
        self.subscribe_topic(answered_topic(), self.take)

    def take(self, message):
        Asker.answers += (message,)


@pytest.fixture(name="told")
def _told(monkeypatch):
    monkeypatch.setattr(composition, "RLStrategy", Asker)
    Teller.messages = Teller.heard = ()
    Asker.answers = ()
    return Asker


def asked(action, reason="a look", *, new_anchor=False):
    return asked_topic(), Asked(action, reason, AT, new_anchor)


def test_a_halt_and_a_rearm_are_done_and_answered_at_once(told, history, tmp_path):
    Teller.messages = (asked("halt", "news"), asked("rearm", "over"), asked("reduce", "more news"))
    _, run = play(history, tmp_path)
    assert told.answers == (Answered("", AT),) * 3
    assert [(row.ts_event, row.state_to, row.reason) for row in run["breaker"].itertuples()] == [
        (AT, "HALTED", "news"),
        (AT, "ACTIVE", "re-armed: over"),
        (AT, "REDUCING", "more news"),
    ]


def test_a_rearm_is_refused_while_the_cause_persists_and_nothing_changes(told, history, tmp_path):
    Teller.messages = ((trip_topic(), Trip("data_integrity", "a price of 0", AT)), *[REFUSED] * 5, asked("rearm"))
    _, run = play(history, tmp_path, "breaker.order_errors_rearm=manual", "breaker.data_integrity_rearm=manual")
    (answer,) = told.answers
    assert "5 are still counted; wait until" in answer.refused
    assert list(run["breaker"].trigger) == ["data_integrity", "order_errors"]
    assert set(run["decisions"][run["decisions"].ts_event > AT].state) == {"REDUCING"}


def test_a_request_without_a_reason_is_refused(told, history, tmp_path):
    Teller.messages = (asked("halt", " "),)
    _, run = play(history, tmp_path, names=(BTC,))
    assert "without a reason" in told.answers[0].refused
    assert run["breaker"].empty
