"""Why orders are refused, and what follows."""

import pytest

from core.rejections import ACTIONS, CODES, Action, Rejection, action, classify

R, A = Rejection, Action


@pytest.mark.parametrize(
    ("reason", "rejection"),
    [
        ("-1003: Too many requests; current limit is 2400 requests per minute", R.RATE),
        ("-1015: Too many new orders", R.RATE),
        ("-1021: Timestamp for this request is outside of the recvWindow.", R.RATE),
        (
            "-1007: Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
            R.UNKNOWN,
        ),
        ("-1111: Precision is over the maximum defined for this asset.", R.FILTER),
        ("-1013: Filter failure: LOT_SIZE", R.FILTER),
        ("-4003: Quantity less than zero.", R.FILTER),
        ("-4005: Quantity greater than max quantity.", R.FILTER),
        ("-4131: The counterparty's best price does not meet the PERCENT_PRICE filter limit", R.FILTER),
        ("-4164: Order's notional must be no smaller than 5 (unless you choose reduce only)", R.FILTER),
        ("-2010: NEW_ORDER_REJECTED", R.MARGIN),
        ("-2018: Balance is insufficient", R.MARGIN),
        ("-2019: Margin is insufficient.", R.MARGIN),
        ("-2027: Exceeded the maximum allowable position at current leverage.", R.MARGIN),
        ("-2021: Order would immediately trigger.", R.WOULD_TRIGGER),
        ("-2022: ReduceOnly Order is rejected.", R.REDUCE_ONLY),
        ("-5022: Due to the order could not be executed as maker, the Post Only order will be rejected.", R.POST_ONLY),
        ("-4045: Reach max stop order limit.", R.OTHER),
        ("Binance error {'code': -2019, 'msg': 'Margin is insufficient.'}", R.MARGIN),
        ("NOTIONAL_EXCEEDS_FREE_BALANCE: free=1.00 USDT, notional=5.00 USDT", R.MARGIN),
        ("NOTIONAL_LESS_THAN_MIN_FOR_INSTRUMENT: min_notional=5, notional=1", R.FILTER),
        ("quantity 0.0001 invalid (precision 4 > 3)", R.FILTER),
        ("Exceeded MAX_ORDER_SUBMIT_RATE", R.RATE),
        ("REDUCE_ONLY BUY MARKET order would have increased position", R.REDUCE_ONLY),
        ("POST_ONLY LIMIT BUY order limit px of 1.0 would have been a TAKER", R.POST_ONLY),
        ("request timed out", R.UNKNOWN),
        ("connection reset by peer", R.UNKNOWN),
        ("", R.OTHER),
        ("the cat sat on the keyboard", R.OTHER),
    ],
)
def test_a_reason_belongs_to_its_class(reason, rejection):
    assert classify(reason) is rejection


def test_a_code_is_not_read_out_of_a_number():
    assert classify("free=-2019.5 of 1-2021") is R.OTHER
    assert classify("-20190 lots") is R.OTHER


def test_every_class_has_an_action_for_every_purpose():
    assert set(ACTIONS) == set(R)
    assert set(CODES.values()) <= set(R)
    for actions in ACTIONS.values():
        assert set(actions) == {"entry", "exit", "stop"}


def test_an_exit_is_never_given_up_and_a_stop_never_left_out():
    for rejection in R:
        assert action(rejection, "exit") in {A.RETRY, A.RESYNC, A.FREEZE}
        assert action(rejection, "stop") in {A.RETRY, A.RESYNC, A.FREEZE, A.MOVE, A.FLATTEN}
        assert action(rejection, "entry") in {A.GIVE_UP, A.RESYNC, A.FREEZE}, "an entry is not sent again by itself"


def test_what_nobody_knows_freezes_whatever_it_was_for():
    assert {action(R.UNKNOWN, purpose) for purpose in ("entry", "increase", "reduce", "exit", "stop")} == {A.FREEZE}
