"""Funding is booked by the last estimate, until the venue says what it was."""

import pytest

from core.books import Books
from core.messages import FundingPaid, FundingSettled, PositionState
from core.settlements import Payments
from core.venue_words import FundingWord

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
EIGHT_NS = 1_704_960_000_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


def settled(name=BTC, ts=EIGHT_NS, rate=0.0001, *, final=False):
    return FundingSettled(name, ts, rate, 46_000.0, final=final)


def books():
    found = Books({BTC: 0.001, ETH: 0.001})
    held = dict.fromkeys(PositionState.__struct_fields__, 0)
    state = held | {"instrument_id": BTC, "lots": 20, "entry_price": 46_000.0, "realised": 0.0}
    found.take(PositionState(**state))
    assert found.audit(EIGHT_NS - 3_600 * SECOND_NS, 10_000.0) == ""
    return found


def test_what_the_venue_paid_takes_the_place_of_the_estimate():
    mine = books()
    assert mine.fund(settled()) == pytest.approx(-0.092)
    assert mine.balance == pytest.approx(9_999.908)
    assert [one.rate for one, _ in mine.estimated] == [0.0001]
    assert mine.paid(FundingPaid(BTC, EIGHT_NS, 0.0001, "-0.13500000")) == -0.135
    assert mine.balance == pytest.approx(9_999.865, abs=1e-9)
    assert mine.estimated == []
    assert mine.audit(EIGHT_NS + MINUTE_NS, 9_999.865) == ""


def test_no_account_is_audited_while_a_payment_is_an_estimate():
    """The venue pays within seconds of the settlement, before or after the first mark of the day."""
    mine = books()
    midnight = 1_704_931_200_000_000_000 + 86_400 * SECOND_NS
    mine.fund(settled(ts=midnight))
    assert not mine.due(midnight + MINUTE_NS)
    mine.paid(FundingPaid(BTC, midnight, 0.0001, "-0.092"))
    assert mine.due(midnight + MINUTE_NS)


def test_an_estimate_stands_where_the_venue_says_nothing_and_a_payment_counts_that_nobody_expected():
    mine = books()
    mine.fund(settled())
    assert mine.paid(FundingPaid(BTC, EIGHT_NS, 0.0001, None)) == pytest.approx(-0.092)
    assert mine.balance == pytest.approx(9_999.908)
    assert mine.paid(FundingPaid(ETH, EIGHT_NS, 0.0001, "0.5")) == 0.5
    assert mine.balance == pytest.approx(10_000.408)
    assert mine.paid(FundingPaid(BTC, EIGHT_NS, 0.0001, "-0.1")) == pytest.approx(-0.008)  # after all: the rest of it
    assert mine.balance == pytest.approx(10_000.4)


def test_a_payment_is_told_once_and_only_of_settlements_that_were_seen():
    payments = Payments(5 * MINUTE_NS)
    assert payments.since_ns == 0
    payments.settled(settled(), 77 * MINUTE_NS)
    payments.settled(settled(ETH), 78 * MINUTE_NS)
    assert payments.since_ns == 67 * MINUTE_NS
    word = FundingWord(BTC, "4711", "-0.135", EIGHT_NS + 7 * SECOND_NS)
    assert payments.paid(word) == FundingPaid(BTC, EIGHT_NS, 0.0001, "-0.135")
    assert payments.paid(word) is None
    assert payments.paid(FundingWord(BTC, "4700", "-0.1", EIGHT_NS - 8 * 60 * MINUTE_NS)) is None
    assert payments.since_ns == 68 * MINUTE_NS
    assert payments.given_up(83 * MINUTE_NS) == []
    assert payments.given_up(84 * MINUTE_NS) == [FundingPaid(ETH, EIGHT_NS, 0.0001, None)]
    assert (payments.given_up(99 * MINUTE_NS), payments.since_ns) == ([], 0)
    late = FundingWord(ETH, "4712", "0.01", EIGHT_NS + 400 * SECOND_NS)
    assert payments.paid(late) == FundingPaid(ETH, EIGHT_NS, 0.0001, "0.01")


def test_what_the_venue_does_not_list_was_not_paid_and_what_it_was_not_asked_for_stands_as_estimated():
    payments = Payments(5 * MINUTE_NS)
    payments.settled(settled(), 77 * MINUTE_NS)
    payments.listed(78 * MINUTE_NS)
    assert payments.given_up(83 * MINUTE_NS) == [FundingPaid(BTC, EIGHT_NS, 0.0001, None)], "it may come yet, then"
    payments.settled(settled(), 90 * MINUTE_NS)
    payments.listed(94 * MINUTE_NS)
    assert payments.given_up(96 * MINUTE_NS) == [FundingPaid(BTC, EIGHT_NS, 0.0001, "0")]
    mine = books()
    before = mine.balance
    mine.fund(settled())
    assert mine.balance != before
    assert mine.paid(FundingPaid(BTC, EIGHT_NS, 0.0001, "0")) == 0.0
    assert mine.balance == before
