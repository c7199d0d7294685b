"""The stand-in venue as a process of its own: started by the command, or as a child."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

import cli
from venue.control_client import ControlClient, ControlError
from venue.feed_catalog import FeedError
from venue.params import VenueParams
from venue.start import started_venue

ROOT = Path(__file__).parents[2]


def started(*arguments: str, **environ: str) -> subprocess.Popen[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRADE_VENUE")}
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "venue", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**clean, **environ},
    )


def test_the_command_says_where_it_is_keeps_its_token_to_its_owner_and_stops_when_told():
    with started("--walk", "3", "--speed", "step") as process:
        ready = json.loads(process.stdout.readline())
        token_file = Path(ready["token_file"])
        assert token_file.stat().st_mode & 0o777 == 0o600
        control = ControlClient(ready["url"], token_file.read_text())
        assert control.next(2)["played_in_all"] == 2
        assert token_file.read_text() not in repr(control)
        with pytest.raises(ControlError, match="unknown"):
            control.fault("no such fault")
        control.close()
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(ready["url"] + "/control/next", method="POST"))
        assert refused.value.code == 401
        refused.value.close()
        process.send_signal(signal.SIGTERM)
        assert (process.wait(10), process.stderr.read()) == (0, "")
        assert not token_file.exists()


def test_a_token_of_the_environment_is_used_and_written_nowhere():
    with started("--speed", "step", AUTOTRADE_VENUE_TOKEN="given") as process:
        ready = json.loads(process.stdout.readline())
        assert ready["token_file"] is None
        control = ControlClient(ready["url"], "given")
        assert control.state()["played_in_all"] == 0
        control.close()
        process.terminate()
        assert process.wait(10) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--speed", "0.5"], 2, "--speed 0.5"),
        (["--speed", "fast"], 2, "--speed fast"),
        (["--catalog", "nowhere", "--walk", "1"], 2, "exclude each other"),
        (["--catalog", "nowhere"], 1, "no one-minute bars of BTCUSDT"),
        (["--symbols", "NOPEUSDT"], 1, "NOPEUSDT"),
        (["--start", "yesterday"], 1, "yesterday"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(arguments, code, words, capsys):
    assert cli.main(["venue", *arguments]) == code
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_busy_port_is_refused_in_one_line(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["venue", "--port", str(port)]) == 2
    assert f"port {port}" in capsys.readouterr().err


def test_a_child_ends_with_its_block_and_says_why_it_could_not_begin():
    with started_venue(VenueParams(symbols=("SOLUSDT",))) as venue:
        assert venue.control.next()["done"] is False
        pid = venue.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(FeedError, match="has no one-minute bars of BTCUSDT"), started_venue(VenueParams(catalog="x")):
        pass
