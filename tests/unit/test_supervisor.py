"""What a service manager hears, on a real datagram socket."""

import os
import socket

import pytest

from adapters.supervisor import Supervisor


@pytest.fixture(name="manager")
def _manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield str(tmp_path / "notify"), listening


def heard(listening):
    """Return all that was said so far."""
    words = []
    while True:
        try:
            words.append(listening.recv(4_096).decode())
        except BlockingIOError:
            return words


def test_a_node_says_that_it_is_ready_that_it_lives_and_that_it_ends(manager):
    address, listening = manager
    seconds = [0.0]
    with Supervisor({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"}, lambda: seconds[0]) as supervisor:
        supervisor.ready("testnet trades")
        assert heard(listening) == ["READY=1\nSTATUS=testnet trades"]
        fed = []
        for seconds[0] in (0.0, 1.0, 9.9, 10.1, 12.0, 20.2, 20.3):
            supervisor.beat()
            fed += [seconds[0]] * heard(listening).count("WATCHDOG=1")
        assert fed == [0.0, 10.1, 20.2]
    assert heard(listening) == ["STOPPING=1"]
    supervisor.beat()
    assert heard(listening) == []


def test_the_watchdog_gets_no_word_while_the_engines_thread_is_silent(manager):
    address, listening = manager
    with Supervisor({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}):
        assert heard(listening) == []
    assert heard(listening) == ["STOPPING=1"]


@pytest.mark.parametrize(
    "environ",
    [{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1000"}],
)
def test_without_a_manager_nothing_is_said_and_nothing_fails(environ):
    with Supervisor(environ) as supervisor:
        supervisor.ready("trades")
        supervisor.beat()


def test_a_watchdog_of_another_process_is_not_fed(manager):
    address, listening = manager
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000", "WATCHDOG_PID": str(os.getpid() + 1)}
    with Supervisor(environ) as supervisor:
        supervisor.beat()
        assert heard(listening) == []
    with Supervisor(environ | {"WATCHDOG_PID": str(os.getpid())}) as supervisor:
        supervisor.beat()
        assert heard(listening) == ["STOPPING=1", "WATCHDOG=1"]


def test_an_abstract_address_is_understood():
    name = f"autotrade-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.setblocking(False)
        with Supervisor({"NOTIFY_SOCKET": f"@{name}"}):
            pass
        assert heard(listening) == ["STOPPING=1"]


def test_a_manager_that_takes_no_word_does_not_hold_the_node_up(manager):
    address, listening = manager
    with Supervisor({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1"}) as supervisor:
        for _ in range(5_000):
            supervisor.beat()
    assert 1 <= len(heard(listening)) < 5_000
