"""What is asked of a node: fit or not, once, and what is paused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.control import (
    DONE,
    REFUSED,
    UNFIT,
    ControlAnswer,
    ControlRequest,
    ControlState,
    control_state_of,
    freeze_source,
    objection,
    paused,
    remembered,
    resumed,
    said_before,
)
from core.errors import StateError
from core.node_status import InstrumentStatus, NodeStatus, OrderStatus, Pause, problems

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"


def request(command="pause", name="r1", **more):
    return ControlRequest(request_id=name, command=command, **{"reason": "a look", **more})


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (request(name=""), "name"),
        (request(reason=""), "--reason"),
        (request(reason=" \t "), "--reason"),
        (request(reason="x" * 501), "501"),
        (request(reason="two\nlines"), "one line"),
        (request(instrument_id="DOGE"), "DOGE is not traded here, only BTCUSDT-PERP.BINANCE, ETHUSDT-PERP.BINANCE"),
        (request("rearm", instrument_id=BTC), "everything"),
        (request("stop", instrument_id=BTC), "everything"),
    ],
)
def test_what_is_not_fit_is_said_in_one_line(asked, word):
    said = objection(asked, (BTC, ETH))
    assert word in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "asked",
    [request(), request(instrument_id=BTC), request("status", reason=""), request("flatten", instrument_id=ETH),
     request("stop", positions="keep"), request("rearm", new_anchor=True)],
)  # fmt: skip
def test_what_is_fit_is_not_objected_to(asked):
    assert objection(asked, (BTC, ETH)) == ""


def test_a_pause_of_everything_and_one_of_an_instrument_are_lifted_apart():
    state = paused(ControlState(), Pause(BTC, "btc", 1))
    state = paused(state, Pause("", "all", 2))
    assert len({freeze_source(one.instrument_id) for one in state.pauses}) == 2
    after, lifted, refused = resumed(state, BTC)
    assert (after, lifted) == (state, ())
    assert "everything is paused (all)" in refused
    after, lifted, refused = resumed(state, "")
    assert (after.pauses, len(lifted), refused) == ((), 2, "")
    one, lifted, refused = resumed(paused(paused(ControlState(), Pause(BTC, "b", 1)), Pause(ETH, "e", 1)), BTC)
    assert [pause.instrument_id for pause in one.pauses] == [ETH]
    assert ([pause.instrument_id for pause in lifted], refused) == ([BTC], "")


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["", BTC, ETH])), max_size=12))
def test_what_is_paused_is_what_was_paused_last_and_not_resumed(steps):
    state, wanted = ControlState(), set()
    for number, (pauses, name) in enumerate(steps):
        if pauses:
            state = paused(state, Pause(name, "why", number))
            wanted.add(name)
        else:
            state, _, refused = resumed(state, name)
            assert bool(refused) == (name != "" and "" in wanted)
            if not refused:
                wanted = wanted - {name} if name else set()
    assert {one.instrument_id for one in state.pauses} == wanted
    assert len(state.pauses) == len(wanted)


def test_a_request_that_is_repeated_gets_its_first_answer():
    asked = request()
    assert said_before(ControlState(), asked) is None
    state = remembered(ControlState(), asked, ControlAnswer(request_id="r1", code=REFUSED, said="no"))
    again = said_before(state, asked)
    assert (again.code, again.said) == (REFUSED, "no (done before)")
    other = said_before(state, request("flatten"))
    assert other.code == UNFIT
    assert "was a pause" in other.said
    assert said_before(state, request(name="r2")) is None


def test_only_the_newest_answers_are_remembered_and_a_restart_knows_them():
    state = ControlState()
    for number in range(100):
        asked = request(name=f"r{number}")
        state = remembered(state, asked, ControlAnswer(request_id=asked.request_id, code=DONE, said="done"))
    kept = control_state_of(msgspec.json.encode(paused(state, Pause(BTC, "why", 7))))
    assert kept.pauses == (Pause(BTC, "why", 7),)
    assert said_before(kept, request(name="r99")) is not None
    assert said_before(kept, request(name="r35")) is None
    assert said_before(kept, request(name="r36")) is not None


def test_a_state_of_another_version_is_refused():
    assert control_state_of(None) == ControlState()
    for kept in (b'{"version":2}', b'{"pauses":[],"more":1}', b"nonsense"):
        with pytest.raises(StateError, match="paused"):
            control_state_of(kept)


def instrument(**more):
    given = {
        "instrument_id": BTC, "quantity": "0.000", "entry_price": 0.0, "stop_price": 0.0, "resting_stop": 0.0,
        "holding_bars": 0, "unrealised": 0.0, "closing": False, "orders": (), "frozen": {}, "models": {},
        "level": 0.0, "decision_age_seconds": 10.0, "bar_age_seconds": 10.0,
    }  # fmt: skip
    return InstrumentStatus(**given | more)


def status(*instruments, **more):
    given = {
        "environment": "testnet", "session": "s", "pid": 1, "market_ns": 0, "uptime_seconds": 5_000.0,
        "state": "ACTIVE", "causes": (), "equity": 1.0, "balance": 1.0, "high_water_mark": 1.0, "day_loss": 0.0,
        "day_limit": 0.05, "evaluated_age_seconds": 1.0, "mode": "LIVE", "mode_reason": "", "decision_seconds": 900.0,
        "pauses": (), "others": {}, "fault": "", "stopping": "", "health": {"record": ""},
    }  # fmt: skip
    return NodeStatus(instruments=instruments or (instrument(),), **given | more)


def test_a_healthy_node_gives_nothing_to_look_into_and_neither_does_a_pause():
    held = instrument(quantity="-0.023", resting_stop=61_000.0, frozen={"pause": "lunch", f"pause.{BTC}": "tea"})
    order = OrderStatus("S1", "stop", "ACCEPTED", 1, "0.023", "0.000", 61_000.0)
    assert problems(status(msgspec.structs.replace(held, orders=(order,)), pauses=(Pause("", "lunch", 1),))) == []
    assert problems(status(instrument(decision_age_seconds=None), uptime_seconds=1_000.0)) == []


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (status(fault="RLStrategy raised"), "ceased on a fault"),
        (status(mode="CUT", mode_reason="no bar"), "CUT: no bar"),
        (status(health={"record": "disk full"}), "record: disk full"),
        (status(others={"DOGE": "5"}), "nobody here owns"),
        (status(instrument(quantity="0.1")), "without a stop"),
        (status(instrument(quantity="-0.1")), "without a stop"),
        (status(instrument(frozen={"liveness": "late"})), "frozen by liveness: late"),
        (status(instrument(decision_age_seconds=1_801.0)), "no decision for 1801 s"),
        (status(instrument(decision_age_seconds=None)), "no decision for 5000 s"),
    ],
)
def test_each_problem_is_named(found, word):
    (line,) = problems(found)
    assert word in line


def test_a_position_that_is_being_closed_needs_no_stop():
    assert problems(status(instrument(quantity="0.1", closing=True))) == []
