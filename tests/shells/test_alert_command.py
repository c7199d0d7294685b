"""``autotrade alerts``: list, acknowledge, try; and what the doctor says of channels."""

import json

import pytest

import cli
import configs
from adapters.alert_channels import SecretUrl
from adapters.alert_queue import AlertQueue
from adapters.mainnet_promotion import Records
from adapters.session_tail import Cursor
from commands.doctor import Outside, _channels
from core.alert_rules import Raised
from tests.shells.alert_servers import api_server

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A machine with two alerts of the breaker and one of the feed, and the options that name it."""
    monkeypatch.chdir(tmp_path)
    queue = AlertQueue(tmp_path / "state" / "testnet" / "alerts.sqlite", limit=100, history=100)
    queue.begin(tmp_path / "s1", NOW)
    for number, source in enumerate(("breaker", "feed", "breaker")):
        raised = Raised(f"{number:010x}", "told", "critical", source, f"{source}: text {number}", NOW + number)
        queue.commit(tmp_path / "s1", Cursor(1, number), {}, [(raised, ("hook",))], NOW)
    queue.close()
    values = {"breaker.state_path": "state", "promotion.path": "promotions", "promotion.key_path": "keys/key"}
    return [part for name, value in values.items() for part in ("--set", f"{name}={tmp_path / value}")]


def records(place):
    return Records(configs.load("testnet", place[1::2]), make_key=False)


def test_alerts_are_listed_the_newest_last(place, capsys):
    assert cli.main(["alerts", "--json", *place]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["alert_id"][-1], one["status"]) for one in shown] == [(str(n), "waiting") for n in range(3)]
    assert cli.main(["alerts", *place]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("2023-11-14T22:13:20Z  0000000000  critical  breaker: te")


def test_an_acknowledgement_is_signed_for_the_gate_and_ends_the_sending(place, capsys):
    assert cli.main(["alerts", "ack", "0" * 10, "--reason", "a drill", *place]) == 0
    assert {ack.source: ack.until_ns for ack in records(place).alert_acks("testnet")} == {"breaker": NOW}
    assert cli.main(["alerts", "ack", "0" * 9 + "2", "--reason", "another", *place]) == 0
    assert cli.main(["alerts", "ack", "0" * 10, "--reason", "said again", *place]) == 0
    assert {ack.source: ack.until_ns for ack in records(place).alert_acks("testnet")} == {"breaker": NOW + 2}
    capsys.readouterr()
    assert cli.main(["alerts", "--json", *place]) == 0
    assert [one["status"] for one in json.loads(capsys.readouterr().out)] == ["not sent", "waiting", "not sent"]


@pytest.mark.parametrize("arguments", [["ack"], ["ack", "0" * 10], ["ack", "unknown", "--reason", "x"], ["follow"],
                                       ["test"], ["--limit", "0"]])  # fmt: skip
def test_what_means_nothing_is_refused_in_one_line(place, capsys, arguments, monkeypatch, tmp_path):
    empty = (tmp_path / "empty").open("w+")
    monkeypatch.setattr("sys.stdin", empty)
    monkeypatch.setattr("commands.alerts.unmoved", lambda: None)
    monkeypatch.setattr("adapters.alert_follower.select.select", lambda *_: ([1], [], []))
    assert cli.main(["alerts", *arguments, *place]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    empty.close()


def test_every_channel_is_tried_and_named_by_itself(place, capsys, monkeypatch):
    with api_server() as api:
        monkeypatch.setenv("AUTOTRADE_ALERT_HOOK_URL", f"json://127.0.0.1:{api.port}/secret")
        monkeypatch.setenv("AUTOTRADE_ALERT_HEARTBEAT_URL", f"http://127.0.0.1:{api.port}/secret")
        assert cli.main(["alerts", "--test", "--json", *place]) == 0
        assert json.loads(capsys.readouterr().out) == {"hook": "delivered", "heartbeat": "delivered"}
        monkeypatch.setenv("AUTOTRADE_ALERT_BAD_URL", "nonsense://secret")
        assert cli.main(["alerts", "test", "--json", *place]) == 1
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err


def test_the_doctor_names_each_channel_and_sends_where_that_is_wished():
    config = configs.load("testnet", ["alerts.timeout_seconds=2.0"])
    with api_server() as api:
        urls = {"hook": SecretUrl("hook", f"json://127.0.0.1:{api.port}/x"), "sms": SecretUrl("sms", "nonsense://x")}
        for send, found in ((False, "its URL is understood; --send tries it"), (True, "delivers")):
            outside = Outside(keys=lambda: None, account=None, websocket=None, channels=lambda: dict(urls), send=send)
            checks = {check.name: (check.verdict, check.found) for check in _channels(config, outside)}
            assert checks["alert channel hook"] == ("ok", found)
            assert checks["alert channel sms"][0] == "fail"
            assert checks["outside watchdog"][0] == "warn"
        assert len(api.asked) == 1
        api.answer = lambda _: 500
        assert {check.name: check.verdict for check in _channels(config, outside)}["alert channel hook"] == "fail"
