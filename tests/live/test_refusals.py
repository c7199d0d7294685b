"""A node that must not or cannot start says why in one line and ends with the right code."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import configs
from adapters.instance_lock import InstanceLock
from commands.live import session_folder

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started(folder: Path, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Run the node; return its exit code and what it printed."""
    url = f"127.0.0.1:{free_port()}"
    known = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRADE_")}
    done = subprocess.run(
        [
            sys.executable, "run_live.py", *arguments[:1],
            "--set", f"breaker.state_path={folder / 'state'}", "--out", str(folder / "out"),
            *arguments[1:],
            *(("--set", f"venue.http_url=http://{url}", "--set", f"venue.ws_url=ws://{url}/ws")
              if not any("venue." in argument for argument in arguments) and "mainnet" not in arguments else ()),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, env={**known, **environ},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


KEYS = {"AUTOTRADE_TESTNET_API_KEY": "key-of-a-test", "AUTOTRADE_TESTNET_API_SECRET": "secret-of-a-test"}


def assert_refused(run: tuple[int, str, str], code: int, *words: str) -> None:
    """One line on standard error, nothing on standard output, the code, the words, and never the secret."""
    found, out, err = run
    assert (found, out, len(err.splitlines())) == (code, "", 1), err
    assert "Traceback" not in err
    for word in words:
        assert word in err
    for secret in KEYS.values():
        assert secret not in out + err


def test_a_venue_that_cannot_be_reached_is_an_error(tmp_path: Path) -> None:
    assert_refused(started(tmp_path, "testnet", **KEYS), 1, "does not answer", "127.0.0.1")


def test_a_missing_model_is_bad_usage(tmp_path: Path) -> None:
    assert_refused(started(tmp_path, "paper", "--set", "catalog.models=['nowhere/*']"), 2, "no models")
    assert_refused(started(tmp_path, "paper", "--models", str(tmp_path / "none")), 2, "none")


def test_missing_credentials_are_bad_usage(tmp_path: Path) -> None:
    assert_refused(started(tmp_path, "testnet"), 2, "AUTOTRADE_TESTNET_API_KEY")


def test_an_environment_without_a_venue_is_bad_usage(tmp_path: Path) -> None:
    assert_refused(started(tmp_path, "backtest"), 2, "paper", "mainnet")
    assert_refused(started(tmp_path), 2, "environment")


def test_mainnet_is_refused_without_a_promotion(tmp_path: Path) -> None:
    keys = {name.replace("TESTNET", "MAINNET"): value for name, value in KEYS.items()}
    assert_refused(started(tmp_path, "mainnet", **keys), 3, "autotrade promote")
    assert_refused(started(tmp_path, "mainnet"), 3, "autotrade promote")


def test_mainnet_takes_no_stand_in(tmp_path: Path) -> None:
    keys = {name.replace("TESTNET", "MAINNET"): value for name, value in KEYS.items()}
    stand_in = ("--set", "venue.http_url=http://127.0.0.1:1")
    assert_refused(started(tmp_path, "mainnet", *stand_in, **keys), 3, "venue.http_url")


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("venue.http_url=https://fapi.binance.com", "venue.http_url"),
        ("venue.ws_trading_url=wss://ws-fapi.binance.com/ws-fapi/v1", "venue.ws_trading_url"),
        ("venue.environment=live", "venue.environment"),
        ("venue.execution=simulated", "venue.execution"),
    ],
)
def test_no_switch_but_mainnet_leads_to_the_real_market(tmp_path: Path, override: str, word: str) -> None:
    assert_refused(started(tmp_path, "testnet", "--set", override, **KEYS), 3, word)


def test_an_unreachable_state_server_is_an_error(tmp_path: Path) -> None:
    place = f"breaker.state_path=redis://user:secret-of-a-test@127.0.0.1:{free_port()}/0"
    assert_refused(started(tmp_path, "paper", "--set", place), 1, "no answer")


def test_a_second_node_of_an_environment_is_refused(tmp_path: Path) -> None:
    with InstanceLock(tmp_path / "state" / "testnet" / "node.lock"):
        assert_refused(started(tmp_path, "testnet", **KEYS), 3, "runs already", str(os.getpid()))
    assert_refused(started(tmp_path, "testnet", **KEYS), 1, "does not answer")


@pytest.fixture(name="wrong_server")
def _wrong_server() -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_is_no_venue_is_an_error(tmp_path: Path, wrong_server: str) -> None:
    urls = ("--set", f"venue.http_url=http://{wrong_server}", "--set", f"venue.ws_url=ws://{wrong_server}/ws")
    assert_refused(started(tmp_path, "paper", *urls), 1, "does not answer")


def test_an_address_that_is_none_is_bad_usage(tmp_path: Path) -> None:
    assert_refused(started(tmp_path, "paper", "--set", "venue.http_url=nonsense"), 2, "venue.http_url")


def test_a_session_lies_where_the_record_is_said_to_be(tmp_path):
    config = configs.load("paper", [f"record.path={tmp_path}/kept", f"catalog.path={tmp_path}/elsewhere/data"])
    assert session_folder(config).parent == tmp_path / "kept"
    assert "-paper-" in session_folder(config).name
