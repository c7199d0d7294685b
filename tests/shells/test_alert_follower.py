"""The process that tells people, against real servers: delivered, repeated, handed on, whoever is killed."""

import os
import re
import signal
import sqlite3
import stat
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import configs
from adapters.alert_process import AlertProcess
from adapters.alert_queue import AlertQueue
from adapters.session_record import SessionRecord
from core.errors import ConfigError
from tests.shells.alert_servers import api_server

NOW = time.time_ns()
QUICK = ("alerts.poll_seconds=0.02", "alerts.retry_seconds=0.05", "alerts.max_retry_seconds=0.2", "alerts.tries=2",
         "alerts.timeout_seconds=1.0", "alerts.linger_seconds=5.0", "record.write_seconds=0.01")  # fmt: skip


def config_of(folder: Path, *more: str):
    return configs.load("testnet", [*QUICK, f"breaker.state_path={folder / 'state'}", *more])


def environ_of(**urls: str) -> dict[str, str]:
    given = {f"AUTOTRADE_ALERT_{name.upper()}_URL": url for name, url in urls.items()}
    return {"PATH": os.environ["PATH"], **given, "AUTOTRADE_TESTNET_API_SECRET": "never-handed-on"}


def queue_of(folder: Path) -> AlertQueue:
    return AlertQueue(folder / "state" / "testnet" / "alerts.sqlite", limit=1_000, history=1_000)


@contextmanager
def recorded(folder: Path, config, name="s1", alert=lambda _: None):
    with SessionRecord(folder / name, config.record, {}, alert=alert) as record:
        yield record


def raise_alert(record, text, *, source="breaker", severity="critical", ts=NOW):
    record.record("alerts", {"ts_event": ts, "source": source, "severity": severity, "text": text})


def url_of(api) -> str:
    return f"json://127.0.0.1:{api.port}/hook"


def ids(asked):
    return [re.search(r"id ([0-9a-f]{10})", text)[1] for _, text in asked]


def has(*parts):
    return lambda asked: all(any(part in text for _, text in asked) for part in parts)


def test_an_alert_of_the_record_reaches_a_person_once_and_the_end_of_the_node_does(tmp_path):
    config = config_of(tmp_path)
    with api_server() as api:
        with (
            AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api))) as people,
            recorded(tmp_path, config) as record,
        ):
            raise_alert(record, "the breaker is HALTED")
            raise_alert(record, "nothing to see", severity="info")
            asked = api.wait(has("breaker: the breaker is HALTED"))
            people.stopped_by = "SIGTERM"
            pid = people._process.pid
            environ = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        assert len(asked) == 1
        assert asked[0][1].startswith("CRITICAL: autotrade testnet")
        assert b"never-handed-on" not in environ
        queue = queue_of(tmp_path)
        kept = _until(queue, lambda rows: any(row.rule == "node" and "SIGTERM" in row.text for row in rows))
        assert {row.alert_id for row in kept if row.status == "delivered"} == set(ids(asked))
        mode = stat.S_IMODE((tmp_path / "state" / "testnet" / "alerts.sqlite").stat().st_mode)
        assert mode == 0o600
        queue.close()


def test_a_node_that_dies_without_a_word_is_told_by_the_process_that_outlives_it(tmp_path):
    config = config_of(tmp_path)
    with api_server() as api:
        people = AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api)))
        people.__enter__()
        people._stop.set()  # the node is gone, and nobody starts anything again
        people._process.stdin.close()
        api.wait(has("node of s1 has died"))
        assert people._process.wait(30.0) == 0


def test_a_node_that_fails_is_told_with_its_error(tmp_path):
    config = config_of(tmp_path)
    with api_server() as api:
        with (
            pytest.raises(ConfigError),
            AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api))),
        ):
            raise ConfigError("venue.product: nonsense")
        api.wait(has("node of s1 has failed: venue.product: nonsense"))


def test_a_channel_that_fails_is_tried_again_and_then_the_next_one_is_called_too(tmp_path):
    config = config_of(tmp_path)
    with api_server() as first, api_server() as second:
        first.answer = lambda number: 500
        environ = environ_of(telegram="json" + url_of(first)[4:], sms=url_of(second))
        with AlertProcess(config, tmp_path / "s1", environ), recorded(tmp_path, config) as record:
            raise_alert(record, "flatten failed")
            asked = second.wait(has("flatten failed"))
            assert len(first.asked) >= 2
            assert set(ids(first.asked)) == set(ids(asked))
            _until(queue_of(tmp_path), lambda rows: any(row.status == "delivered" for row in rows))
            done = len(first.asked)
            raise_alert(record, "another", source="feed")
            second.wait(has("another"))
        assert ids(first.asked[:done]) == [ids(asked)[0]] * done


def test_a_channel_that_fails_for_a_while_delivers_in_the_end(tmp_path):
    config = config_of(tmp_path)
    with api_server() as api:
        api.answer = lambda number: 503 if number < 5 else 200
        with (
            AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api))),
            recorded(tmp_path, config) as record,
        ):
            raise_alert(record, "late")
            kept = _until(queue_of(tmp_path), lambda rows: any(row.status == "delivered" for row in rows))
        assert len(api.asked) == 6
        assert kept[0].channel == "hook"


def test_a_channel_that_hangs_delays_no_other(tmp_path):
    config = config_of(tmp_path, "alerts.escalate_seconds=0.5", "alerts.timeout_seconds=20.0")
    with api_server() as hanging, api_server() as good:
        hanging.released.clear()
        with (
            AlertProcess(config, tmp_path / "s1", environ_of(telegram=url_of(hanging), sms=url_of(good))),
            recorded(tmp_path, config) as record,
        ):
            for number in range(5):
                raise_alert(record, f"alert {number}", source=f"source {number}")
            good.wait(has(*(f"alert {number}" for number in range(5))))
            assert len(hanging.asked) == 1
            hanging.released.set()


def test_kill_9_of_the_process_loses_no_alert_and_says_none_under_two_names(tmp_path):
    config = config_of(tmp_path)
    with (
        api_server() as api,
        AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api))) as people,
        recorded(tmp_path, config) as record,
    ):
        for number in range(60):
            raise_alert(record, f"alert {number:02d}", source=f"source {number}", ts=NOW + number)
            if number in {10, 30, 50}:
                api.wait(has(f"alert {number // 2:02d}"))
                killed = people._process
                os.kill(killed.pid, signal.SIGKILL)
                killed.wait(10.0)
        asked = api.wait(has(*(f"alert {number:02d}" for number in range(60))), 60.0)
    told: dict[str, set[str]] = {}
    for (_, text), name in zip(asked, ids(asked), strict=True):
        told.setdefault(text.split("alert ")[1][:2], set()).add(name)
    assert all(len(names) == 1 for names in told.values())
    assert len(asked) <= 60 + 3


def test_the_trouble_of_the_record_reaches_a_person_though_no_row_can_be_written(tmp_path, monkeypatch):
    config = config_of(tmp_path)
    with (
        api_server() as api,
        AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api))) as people,
        recorded(tmp_path, config, alert=people.tell) as record,
    ):
        write = os.write

        def full(file, content):
            if file == record._file:
                raise OSError(28, "No space left on device")
            return write(file, content)

        monkeypatch.setattr(os, "write", full)
        raise_alert(record, "unheard")
        api.wait(has("record: ", "No space left on device; the session is not recorded"))
        monkeypatch.setattr(os, "write", write)
        api.wait(has("breaker: unheard"))


def test_alerts_are_sent_though_their_own_queue_cannot_be_written(tmp_path):
    config = config_of(tmp_path)
    path = tmp_path / "state" / "testnet" / "alerts.sqlite"
    path.mkdir(parents=True)  # no file can be there
    with (
        api_server() as api,
        AlertProcess(config, tmp_path / "s1", environ_of(hook=url_of(api))),
        recorded(tmp_path, config) as record,
    ):
        raise_alert(record, "all the same")
        api.wait(has("all the same"))


def test_a_later_session_takes_over_and_tells_that_the_earlier_node_had_died(tmp_path):
    config = config_of(tmp_path)
    with api_server() as api:
        api.answer = lambda _: 500
        environ = environ_of(hook=url_of(api))
        with recorded(tmp_path, config) as record:
            people = AlertProcess(config, tmp_path / "s1", environ)
            people.__enter__()
            raise_alert(record, "undelivered")
            api.wait(has("undelivered"))
        people._stop.set()
        os.kill(people._process.pid, signal.SIGKILL)  # machine and all
        people._process.wait(10.0)
        people._process.stdin.close()
        api.answer = lambda _: 200
        with AlertProcess(config, tmp_path / "s2", environ):
            api.wait(has("undelivered", "node of s1 had died"))


def test_nothing_is_started_where_nobody_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of(tmp_path)
    with AlertProcess(config, tmp_path / "s1", environ_of()) as people:
        people.tell("unheard")
        assert people._process is None
    with AlertProcess(config, tmp_path / "s1", environ_of(hook="json://x"), wanted=False) as people:
        assert people._process is None
    assert not (tmp_path / "state").exists()


def test_the_watchdog_hears_from_a_node_that_lives_and_nothing_after_its_end(tmp_path):
    config = config_of(tmp_path, "alerts.heartbeat_seconds=0.2")
    with api_server() as api:
        url = f"http://127.0.0.1:{api.port}/beat"
        with AlertProcess(config, tmp_path / "s1", environ_of(heartbeat=url)) as people:
            api.wait(lambda asked: len(asked) >= 3)
            process = people._process
        assert process.wait(30.0) == 0 or sys.exc_info()


def test_what_waits_is_bounded_and_the_urgent_stays(tmp_path):
    from adapters.session_tail import Cursor
    from core.alert_rules import Raised

    queue = AlertQueue(tmp_path / "q.sqlite", limit=10, history=20)
    queue.begin(tmp_path / "s", NOW)
    for number in range(100):
        severity = "critical" if number < 5 else "warning"
        raised = Raised(f"{number:010d}", "r", severity, "s", str(number), NOW)
        queue.commit(tmp_path / "s", Cursor(1, number), {}, [(raised, ("hook",))], NOW)
    waiting = [name for name, *_ in queue.waiting()]
    assert waiting == [f"{number:010d}" for number in (0, 1, 2, 3, 4, 95, 96, 97, 98, 99)]
    assert len(queue.recent(1_000)) <= 10 + 20
    queue.commit(tmp_path / "s", Cursor(1, 200), {}, [(raised, ("hook",))], NOW)
    assert len([name for name, *_ in queue.waiting()]) == 10
    with pytest.raises(sqlite3.Error):
        queue.commit(tmp_path / "s", Cursor(2, 1), {"x": object()}, [], NOW)
    assert queue.open_sessions()[0].cursor == Cursor(1, 200)
    queue.close()


def _until(queue, done, seconds=30.0):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        rows = queue.recent(1_000)
        if done(rows):
            return rows
        time.sleep(0.02)
    raise AssertionError([msgspec.to_builtins(row) for row in rows])
