"""The channel to a running node, by its real socket and from the command line; somebody else stands for the engine."""

import json
import os
import pwd
import socket
import stat
import struct
import threading
from contextlib import contextmanager

import msgspec
import pytest

import cli
import configs
from adapters.control import ControlServer, NoNodeError, ask, is_running
from adapters.state_store import FileStateStore
from configs.control import Control
from core.control import DONE, REFUSED, UNFIT, ControlAnswer, ControlRequest
from core.errors import AutotradeError, RefusedError
from core.node_status import CauseStatus, InstrumentStatus, NodeStatus, OrderStatus, Pause
from core.trips import REQUESTS_KEY, requests_of

PARAMS = Control(poll_ms=10.0, answer_seconds=0.5, request_kb=4, flat_seconds=2.0)


def done(request):
    return ControlAnswer(request_id=request.request_id, code=DONE, said=f"{request.command}: {request.reason}")


@contextmanager
def served(folder, answer=done, params=PARAMS):
    """Serve a folder; ``answer`` stands for the engine, None for one that hangs."""
    asked, over = [], threading.Event()
    with ControlServer(folder, params) as server:

        def engine():
            while not over.wait(0.005):
                for request in server.requests():
                    asked.append(request)
                    if answer is not None:
                        server.answer(answer(request))

        thread = threading.Thread(target=engine)
        thread.start()
        try:
            yield asked
        finally:
            over.set()
            thread.join()


def run(capsys, *arguments):
    """Run a command; return its exit code, its output and its one line of error."""
    code = cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert err.count("\n") <= 1
    return code, out.strip(), err.strip()


def test_a_command_is_carried_out_and_its_answer_printed(tmp_path, capsys):
    with served(tmp_path) as asked:
        assert run(capsys, "pause", "--reason", "a look", "--state", tmp_path) == (0, "pause: a look", "")
        code, out, _ = run(capsys, "rearm", "--reason", "well", "--new-anchor", "--json", "--state", tmp_path)
        assert (code, json.loads(out)["said"]) == (0, "rearm: well")
        assert run(capsys, "resume", "--instrument", "X", "--reason", "on", "--state", tmp_path)[0] == 0
    assert [(one.command, one.instrument_id, one.new_anchor) for one in asked] == [
        ("pause", "", False),
        ("rearm", "", True),
        ("resume", "X", False),
    ]
    assert {one.asked_by for one in asked} == {pwd.getpwuid(os.getuid()).pw_name}


@pytest.mark.parametrize(("code", "command"), [(1, "pause"), (2, "flatten"), (3, "rearm"), (3, "stop")])
def test_the_code_of_the_answer_is_the_commands_exit_code(tmp_path, capsys, code, command):
    with served(tmp_path, lambda asked: ControlAnswer(request_id=asked.request_id, code=code, said="because")):
        assert run(capsys, command, "--reason", "r", "--state", tmp_path) == (code, "", "autotrade: error: because")


@pytest.mark.parametrize("command", ["status", "pause", "resume", "flatten", "rearm", "stop"])
def test_without_a_node_there_is_one_clear_line(tmp_path, capsys, command):
    why = () if command == "status" else ("--reason", "r")
    code, out, err = run(capsys, command, *why, "--state", tmp_path)
    assert (code, out) == (1, "")
    assert "no node runs here" in err
    assert "autotrade live" in err


@pytest.mark.parametrize("command", ["pause", "resume", "flatten", "rearm", "stop"])
def test_a_reason_is_needed_and_the_environment_must_be_one_of_a_node(tmp_path, capsys, command):
    assert run(capsys, command, "--state", tmp_path)[0] == 2
    assert "--reason is empty" in run(capsys, command, "--reason", " ", "--state", tmp_path)[2]
    code, _, err = run(capsys, command, "--reason", "r", "--env", "backtest")
    assert (code, "paper, demo, testnet, mainnet" in err) == (2, True)


def test_a_socket_that_was_left_behind_is_recognised_and_replaced(tmp_path, capsys):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control.sock"))
        left.listen()
    assert not is_running(tmp_path)
    code, _, err = run(capsys, "status", "--state", tmp_path)
    assert (code, "was killed" in err) == (1, True)
    with served(tmp_path):
        assert run(capsys, "pause", "--reason", "r", "--state", tmp_path)[0] == 0
    assert not any(tmp_path.iterdir())


def test_two_nodes_do_not_serve_one_folder(tmp_path):
    with served(tmp_path), pytest.raises(RefusedError, match="another process"), ControlServer(tmp_path, PARAMS):
        pass


def test_socket_and_token_are_the_owners_alone(tmp_path):
    folder = tmp_path / "state" / "testnet"
    folder.mkdir(parents=True, mode=0o755)
    with served(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "control.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((folder / "control.token").stat().st_mode) == 0o600
        (folder / "control.token").chmod(0o640)
        with pytest.raises(RefusedError, match="chmod 600"):
            ask(folder, ControlRequest(request_id="1", command="status"))


def test_a_wrong_token_is_refused_and_nothing_reaches_the_engine(tmp_path):
    with served(tmp_path) as asked:
        (tmp_path / "control.token").write_text("0" * 64)
        answer = ask(tmp_path, ControlRequest(request_id="1", command="pause", reason="r"))
        assert (answer.code, "token" in answer.said) == (REFUSED, True)
        (tmp_path / "control.token").unlink()
        with pytest.raises(NoNodeError):
            ask(tmp_path, ControlRequest(request_id="1", command="pause", reason="r"))
    assert asked == []


def raw(folder, content):
    """Send bytes; return the answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5.0)
        connection.connect(str(folder / "control.sock"))
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        (length,) = struct.unpack(">I", connection.recv(4))
        return msgspec.json.decode(connection.recv(length), type=ControlAnswer)


def framed(content):
    return struct.pack(">I", len(content)) + content


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "ends before"),
        (struct.pack(">I", 10) + b"12345", "ends before"),
        (struct.pack(">I", 5_000), "5000 bytes are above the limit 4096"),
        (struct.pack(">I", 2**32 - 1) + b"x", "above the limit"),
        (framed(b"no json"), "JSON"),
        (framed(b"[]"), "object"),
        (framed(b'{"token":"x","request":{"request_id":"1","command":"sell all"}}'), "command"),
        (framed(b'{"token":"x","request":{"request_id":"1","command":"stop","more":1}}'), "more"),
        (framed(b'{"token":"x","request":{"command":"stop"}}'), "request_id"),
    ],
)
def test_what_is_no_request_is_answered_with_why_and_the_next_one_is_served(tmp_path, content, word):
    with served(tmp_path) as asked:
        answer = raw(tmp_path, content)
        assert answer.code == UNFIT
        assert word in answer.said
        assert ask(tmp_path, ControlRequest(request_id="1", command="pause", reason="r")).code == DONE
    assert len(asked) == 1


def test_who_says_nothing_does_not_hold_up_others_for_long(tmp_path):
    with served(tmp_path), socket.socket(socket.AF_UNIX) as silent:
        silent.connect(str(tmp_path / "control.sock"))
        assert ask(tmp_path, ControlRequest(request_id="1", command="pause", reason="r")).code == DONE


def test_an_engine_that_hangs_is_said_to_and_the_request_may_be_repeated(tmp_path, capsys):
    with served(tmp_path, None) as asked:
        code, _, err = run(capsys, "pause", "--reason", "r", "--request", "mine", "--state", tmp_path)
    assert code == 1
    assert "no answer within 0.5 s" in err
    assert "--request mine" in err
    assert [one.request_id for one in asked] == ["mine"]


def test_a_late_answer_is_not_taken_for_another_ones(tmp_path):
    wakes = threading.Event()

    def late(request):
        assert wakes.wait(10.0)
        return done(request)

    with served(tmp_path, late) as asked:
        assert "no answer" in ask(tmp_path, ControlRequest(request_id="1", command="pause", reason="one")).said
        wakes.set()
        assert ask(tmp_path, ControlRequest(request_id="2", command="pause", reason="two")).said == "pause: two"
    assert [one.request_id for one in asked] == ["1", "2"]


def test_a_very_long_path_is_no_hindrance(tmp_path, capsys):
    folder = tmp_path.joinpath(*["a-rather-long-name-of-a-folder"] * 5)
    with served(folder):
        assert run(capsys, "pause", "--reason", "r", "--state", folder)[0] == 0
    assert run(capsys, "pause", "--reason", "r", "--state", folder)[0] == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match="no control channel"), ControlServer(tmp_path / "file" / "x", PARAMS):
        pass


def test_breaker_commands_go_to_a_node_that_runs_and_are_left_for_one_that_does_not(tmp_path, capsys):
    with served(tmp_path) as asked:
        assert run(capsys, "breaker", "halt", "--reason", "news", "--state", tmp_path) == (0, "halt: news", "")
    assert [one.command for one in asked] == ["halt"]
    store = FileStateStore(tmp_path)
    assert store.load(REQUESTS_KEY) is None
    code, out, _ = run(capsys, "breaker", "halt", "--reason", "news", "--state", tmp_path)
    assert (code, "no node runs" in out) == (0, True)
    assert [one.action for one in requests_of(store.load(REQUESTS_KEY))] == ["halt"]


def test_the_folder_is_that_of_the_configuration(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with served(tmp_path / configs.load("paper").breaker.state_path / "paper"):
        assert run(capsys, "pause", "--reason", "r", "--env", "paper")[0] == 0
    assert run(capsys, "pause", "--reason", "r", "--env", "demo")[0] == 1


def test_a_node_that_ends_in_the_middle_is_an_error(tmp_path):
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        (tmp_path / "control.token").touch(mode=0o600)

        def hang_up():
            listening.accept()[0].close()

        dying = threading.Thread(target=hang_up)
        dying.start()
        with pytest.raises(AutotradeError, match="did not answer"):
            ask(tmp_path, ControlRequest(request_id="1", command="status"))
        dying.join()


def status_of(request, **more):
    """Answer with a node that holds something, every part of it worth a line."""
    order = OrderStatus("RL-001-A-N1", "entry", "ACCEPTED", 1, "0.040", "0.010", 0.0)
    held = InstrumentStatus(
        instrument_id="BTCUSDT-PERP.BINANCE", quantity="-0.023", entry_price=67_344.7, stop_price=68_000.0,
        resting_stop=68_000.1, holding_bars=7, unrealised=-12.5, closing=False, orders=(order,),
        frozen={"liveness": "the bar is late"}, models={"ppo": 1.0, "dqn": 0.25}, level=-0.5,
        decision_age_seconds=480.0, bar_age_seconds=12.0,
    )  # fmt: skip
    given = {
        "environment": "testnet", "session": "20260301T000000Z-testnet-0a1b2c", "pid": 7, "market_ns": 0,
        "uptime_seconds": 90_061.0, "state": "REDUCING", "causes": (CauseStatus("latency", "5 slow answers", 0, None),),
        "equity": 9_900.0, "balance": 9_912.5, "high_water_mark": 10_000.0, "day_loss": 0.01, "day_limit": 0.05,
        "evaluated_age_seconds": 3.0, "mode": "SUSPECT", "mode_reason": "late", "decision_seconds": 900.0,
        "instruments": (held,), "pauses": (Pause("", "lunch", 0),), "others": {"DOGE": "5"}, "fault": "",
        "stopping": "", "health": {"record": ""},
    }  # fmt: skip
    return ControlAnswer(request_id=request.request_id, code=DONE, said="", status=NodeStatus(**given | more))


def test_the_status_is_shown_in_plain_words_and_as_json(tmp_path, capsys):
    with served(tmp_path, status_of):
        code, out, _ = run(capsys, "status", "--state", tmp_path)
        assert code == 0
        for words in (
            "testnet, session 20260301T000000Z-testnet-0a1b2c, process 7", "up 1 d 1 h", "REDUCING, looked 3 s ago",
            "latency since 1970-01-01", "5 slow answers", "9,900.00, balance 9,912.50", "1.00% of 5.00% below",
            "SUSPECT: late", "paused     everything since", "-0.023 at 67344.7 for 7 bars, -12.50; stop 68000.1",
            "RL-001-A-N1: entry, buy 0.040, 0.010 filled", "8 min 0 s ago, level -0.50", "ppo 1.00, dqn 0.25",
            "by liveness: the bar is late", "look into  DOGE: 5 is held and nobody here owns it",
        ):  # fmt: skip
            assert words in out
        code, out, _ = run(capsys, "status", "--check", "--json", "--state", tmp_path)
        said = json.loads(out)
        assert (code, said["instruments"][0]["quantity"], len(said["problems"])) == (1, "-0.023", 4)


def test_a_flatten_waits_until_nothing_is_held(tmp_path, capsys):
    looks = []

    def closing(request):
        if request.command == "flatten":
            return done(request)
        looks.append(request)
        answer = status_of(request)
        if len(looks) < 3:
            return answer
        flat = msgspec.structs.replace(answer.status.instruments[0], quantity="0.000", orders=())
        return msgspec.structs.replace(answer, status=msgspec.structs.replace(answer.status, instruments=(flat,)))

    with served(tmp_path, closing):
        assert run(capsys, "flatten", "--reason", "r", "--state", tmp_path)[:2] == (0, "flatten: r")
    assert len(looks) == 3
    with served(tmp_path, lambda request: done(request) if request.command == "flatten" else status_of(request)):
        code, _, err = run(capsys, "flatten", "--reason", "r", "--wait", "0.2", "--state", tmp_path)
        assert (code, "not flat after 0.2 s: BTCUSDT-PERP.BINANCE holds -0.023" in err) == (1, True)
        assert run(capsys, "flatten", "--reason", "r", "--wait", "0", "--state", tmp_path)[0] == 0


def test_a_stop_that_takes_too_long_is_said_so(tmp_path, capsys):
    with served(tmp_path):
        code, _, err = run(capsys, "stop", "keep", "--reason", "r", "--wait", "0.2", "--state", tmp_path)
    assert (code, "has not ended after 0.2 s" in err) == (1, True)
