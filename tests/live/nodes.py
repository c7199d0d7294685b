"""A stand-in venue and a node of its own, each a process, for tests of the whole."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from venue.control_client import ControlClient
from venue.params import DEMO_KEY, DEMO_SECRET, VenueParams
from venue.start import RunningVenue, started_venue

__all__ = ["Node", "running_node", "started_venue"]

ROOT = Path(__file__).parents[2]


class Node:
    """A node of its own process; what it says is read as it comes."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self._ready = threading.Event()
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(ValueError):
                self.events.append(json.loads(line))
            self._ready.set()
        self._ready.set()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors.extend(self.process.stderr)

    def wait_ready(self, seconds: float = 90.0) -> None:
        """Wait until it trades."""
        assert self._ready.wait(seconds), "the node said nothing"
        assert self.events, self.errors
        assert self.events[0]["event"] == "ready"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self, seconds: float = 120.0) -> tuple[int, dict[str, Any]]:
        """Wait for its end; return its exit code and its summary."""
        code = self.process.wait(seconds)
        for reader in self._readers:
            reader.join(10.0)
        return code, self.events[-1] if self.events else {}


@contextmanager
def running_node(
    venue: RunningVenue,
    environment: str,
    folder: Path,
    *arguments: str,
    replay: bool = True,
    token: str = "",
    environ: Mapping[str, str] | None = None,
    program: Sequence[str] = ("run_live.py",),
) -> Iterator[Node]:
    """Run a node against a venue; it is killed where the block ends before it does."""
    prefix = f"AUTOTRADE_{environment.upper()}_API_"
    known = {name: value for name, value in os.environ.items() if not name.startswith("AUTOTRADE_")}
    keys = {f"{prefix}KEY": DEMO_KEY, f"{prefix}SECRET": DEMO_SECRET, "AUTOTRADE_VENUE_TOKEN": token or _token(venue)}
    values = {
        "venue.http_url": venue.url,
        "venue.ws_url": venue.ws_url,
        **({"venue.ws_trading_url": venue.ws_trading_url} if environment in {"testnet", "mainnet"} else {}),
        "venue.replay": str(replay).lower(),
        "breaker.state_path": str(folder / "state"),
    }
    given = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, *program, environment, "--json", "--out", str(folder / "session"), *given]
    process = subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT, env={**known, **keys, **(environ or {})}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    node = Node(process)
    try:
        yield node
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10.0)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _token(venue: RunningVenue) -> str:
    client: ControlClient = venue.control
    return client._headers["Authorization"].removeprefix("Bearer ")


def venue_params(catalog: Path, start: str, end: str | None = None, **more: Any) -> VenueParams:
    """Return a venue that replays BTCUSDT of a catalog bar by bar, with the costs of the configuration."""
    return VenueParams(catalog=str(catalog), symbols=("BTCUSDT",), start=start, end=end, weight_limit=0, **more)
