"""What a person asks is carried out in the engine's thread: in a replay, at exact times."""

import msgspec
import pandas as pd
import pytest

import composition
import configs
import run_backtest as backtest
from actors.stopper import StopRequest
from adapters.scripted_policy import ScriptedPolicy
from adapters.state_store import MemoryStateStore
from core.control import CONTROL_KEY, DONE, REFUSED, UNFIT, ControlRequest, control_state_of
from core.errors import StateError
from run_backtest import Replay, run_backtest
from tests.acceptance.crashes import BOLD, ns

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
START = ns("2024-01-20")
MINUTE_NS = 60_000_000_000


class Desk:
    """Hands requests out at given minutes after the start of the replay, and keeps the answers (`ControlDesk`)."""

    def __init__(self, asked):
        self._asked = sorted(asked, key=lambda one: one[0])
        self._minutes = -1
        self.answers = {}
        self.said = []

    def requests(self):
        self._minutes += 1
        return [request for minute, request in self._asked if minute == self._minutes]

    def answer(self, answer):
        self.answers[answer.request_id] = answer
        self.said.append(answer)


class Beside(MemoryStateStore):
    """A store that takes nothing once it is full."""

    full = False

    def save(self, key, value):
        if self.full:
            raise StateError("the disk is full")
        super().save(key, value)


class Session:
    """One replay with somebody who asks."""

    def __init__(self, history, out, monkeypatch):
        self._history, self._out, self._patch = history, out, monkeypatch
        self.store, self.stop, self.beats, self.failing = Beside(), StopRequest(), 0, ()
        self.actor = None

    def play(self, *asked, names=(BTC,), settings=()):
        desk, build = Desk(asked), composition.components

        def components(config, infos, outside, *more):
            parts = build(config, infos, outside, *more)
            controls = composition.Controls(
                desk=desk, stop=self.stop, session="a-replay", pid=7, health=self._health, beat=self._beat
            )
            outside = msgspec.structs.replace(outside, store=self.store)
            self.actor = composition.control_actor(config, infos, parts, outside, controls)
            return parts._replace(actors=(*parts.actors, self.actor))

        self._patch.setattr(backtest, "components", components)
        config = configs.load("backtest", [*BOLD, *settings])
        poll = msgspec.structs.replace(config.control)
        msgspec.structs.force_setattr(poll, "poll_ms", 60_000.0)  # a look a minute, not in the range of a node
        replay = Replay(
            config=msgspec.structs.replace(config, control=poll),
            catalog=self._history,
            instruments=names,
            start_ns=START,
            end_ns=ns("2024-01-20T12:00"),
            out=self._out,
            policies={name: ScriptedPolicy([1.0]) for name in names},
            report=False,
        )
        self.summary = run_backtest(replay)
        return desk

    def rows(self, kind):
        return pd.read_parquet(self._out / f"{kind}.parquet")

    def _health(self):
        if "health" in self.failing:
            raise ValueError("broken")
        return {"record": "", "disk": "nearly full"}

    def _beat(self):
        self.beats += 1


@pytest.fixture(name="session")
def _session(history, tmp_path, monkeypatch):
    return Session(history, tmp_path, monkeypatch)


def ask(minute, command, name=None, **more):
    given = {"reason": "a look", **more}
    return minute, ControlRequest(request_id=name or f"{command}-{minute}", command=command, **given)


def test_a_flatten_closes_within_the_minute_and_nothing_is_opened_until_the_resume(session):
    desk = session.play(
        ask(120, "flatten", instrument_id=BTC), ask(121, "status"), ask(300, "resume"), ask(301, "status"),
        names=(BTC, ETH), settings=("sizing.max_exposure=0.2",),
    )  # fmt: skip
    fills = session.rows("fills")
    first, last = START + 120 * MINUTE_NS, START + 300 * MINUTE_NS
    (closed,) = fills[(fills.instrument_id == BTC) & (fills.purpose == "exit")].itertuples()
    assert 0 <= closed.ts_event - first < MINUTE_NS
    assert (closed.lots_after, closed.exit_reason) == (0, "breaker")
    decided = session.rows("decisions")
    resting = decided[(decided.instrument_id == BTC) & decided.ts_event.between(first, last, inclusive="right")]
    assert len(resting) == 12
    assert (resting.client_order_id == "").all()
    assert decided[(decided.instrument_id == BTC) & (decided.ts_event > last)].target_lots.iloc[-1] > 0
    assert (fills[fills.instrument_id == ETH].purpose != "exit").all()
    status, after = desk.answers["status-121"].status, desk.answers["status-301"].status
    held = {one.instrument_id: one for one in status.instruments}
    assert (held[BTC].quantity.strip("0."), list(held[BTC].frozen)) == ("", [f"pause.{BTC}"])
    assert (float(held[ETH].quantity) > 0, held[ETH].frozen) == (True, {})
    assert held[ETH].resting_stop == pytest.approx(held[ETH].stop_price, abs=0.011)
    assert [pause.instrument_id for pause in status.pauses] == [BTC]
    assert (after.pauses, after.pid, after.health["disk"]) == ((), 7, "nearly full")
    assert [(row.command, row.code, row.instrument_id) for row in session.rows("control").itertuples()] == [
        ("flatten", DONE, BTC),
        ("resume", DONE, ""),
    ]


def test_the_status_is_what_the_run_writes_down(session):
    desk = session.play(ask(300, "status"))
    status = desk.answers["status-300"].status
    decisions, equity = session.rows("decisions"), session.rows("equity")
    before = decisions[decisions.ts_event <= status.market_ns].iloc[-1]
    (one,) = status.instruments
    assert one.decision_age_seconds == (status.market_ns - before.ts_event) / 1e9
    assert one.level == before.level
    assert one.models == dict(zip(before.models, before.weights, strict=True))
    assert status.high_water_mark == equity[equity.ts_event <= status.market_ns].high_water_mark.iloc[-1]
    assert status.equity == pytest.approx(status.balance + one.unrealised, abs=1.0)
    assert 0.0 <= status.day_loss < status.day_limit == 0.05
    assert (status.state, status.mode, status.fault, status.environment) == ("ACTIVE", "LIVE", "", "backtest")
    assert one.resting_stop > 0.0


def test_a_pause_keeps_the_position_and_its_stop(session):
    session.play(ask(120, "pause"))
    fills, decided = session.rows("fills"), session.rows("decisions")
    assert set(fills[fills.ts_event > START + 120 * MINUTE_NS].purpose) <= {"stop", "reduce", "exit"}
    at = decided[decided.ts_event == START + 120 * MINUTE_NS]
    assert (at.position_lots > 0).all()
    assert control_state_of(session.store.load(CONTROL_KEY)).pauses[0].reason == "a look"


def test_a_pause_that_was_kept_is_in_force_from_the_first_decision_on(session):
    session.play(ask(0, "pause"))
    assert session.rows("fills").empty
    desk = session.play(ask(5, "status"))
    assert desk.answers["status-5"].status.instruments[0].frozen == {"pause": "a look"}
    assert session.rows("fills").empty


def test_a_request_is_carried_out_once_though_it_is_repeated_and_though_the_node_was_restarted(session):
    twice = ask(120, "halt", "mine"), ask(180, "rearm"), ask(240, "halt", "mine")
    desk = session.play(*twice)
    assert [row.state_to for row in session.rows("breaker").itertuples()] == ["HALTED", "ACTIVE"]
    assert desk.said[-1].said.endswith("(done before)")
    desk = session.play(ask(10, "halt", "mine"), ask(11, "pause", "mine"))
    assert session.rows("breaker").empty
    assert [answer.code for answer in desk.said] == [DONE, UNFIT]
    assert session.rows("control").empty


def test_a_state_that_cannot_be_kept_does_not_keep_a_pause_from_being_in_force(session):
    session.store.full = True
    desk = session.play(ask(0, "pause"))
    answer = desk.answers["pause-0"]
    assert (answer.code, "a restart will not know of it: the disk is full" in answer.said) == (DONE, True)
    assert session.rows("fills").empty


def test_what_is_not_fit_or_refused_changes_nothing_and_is_answered(session):
    desk = session.play(
        ask(120, "flatten", reason=" "), ask(121, "pause", instrument_id="DOGEUSDT-PERP.BINANCE"), ask(122, "pause"),
        ask(123, "resume", instrument_id=BTC),
    )  # fmt: skip
    assert [answer.code for answer in desk.said] == [UNFIT, UNFIT, DONE, REFUSED]
    assert list(session.rows("control").command) == ["pause", "resume"]
    assert "exit" not in set(session.rows("fills").purpose)


def test_a_stop_is_wished_once(session):
    desk = session.play(ask(60, "stop", positions="flatten", reason="enough"), ask(61, "stop", positions="keep"))
    assert [answer.code for answer in desk.said] == [DONE, REFUSED]
    assert (session.stop.reason, session.stop.flatten) == ("a person said so: enough", True)


def test_an_error_is_answered_and_kept_as_a_fault(session):
    session.failing = ("health",)
    with pytest.raises(Exception, match=r"ControlActor\._on_poll raised ValueError: broken"):
        session.play(ask(60, "status"))


def test_every_look_is_a_heartbeat(session):
    session.play()
    assert session.beats in {12 * 60, 12 * 60 + 1}
