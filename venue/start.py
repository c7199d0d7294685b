"""Starting a stand-in venue: in this process until a signal, or as a child for as long as a block lasts."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from venue.control_client import ControlClient
from venue.feed_catalog import FeedError
from venue.params import VenueParams
from venue.server import Venue

__all__ = ["TOKEN_VARIABLE", "RunningVenue", "serve", "started_venue"]

TOKEN_VARIABLE = "AUTOTRADE_VENUE_TOKEN"  # noqa: S105 - the name of a variable
_TOKEN_BYTES = 24
_STOP_SECONDS = 10.0


class RunningVenue(NamedTuple):
    """Where a venue is reached, and its controls."""

    url: str
    ws_url: str
    ws_trading_url: str
    control: ControlClient
    pid: int


def serve(params: VenueParams, *, until_stdin_ends: bool = False) -> int:
    """Serve until SIGTERM or SIGINT; print one line of JSON when ready; return the exit code.

    The token of the controlling API is taken from ``AUTOTRADE_VENUE_TOKEN``, or made and written to a file that only
    its owner can read; the line says where.

    Raises
    ------
    FeedError
        Where there is nothing to play.
    OSError
        Where the port is taken.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    file = None
    if not token:
        token = secrets.token_hex(_TOKEN_BYTES)
        descriptor, file = tempfile.mkstemp(prefix="autotrade-venue-", suffix=".token")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(token)
    try:
        asyncio.run(_serve(params, token, file, until_stdin_ends=until_stdin_ends))
    finally:
        if file is not None:
            with suppress(FileNotFoundError):
                Path(file).unlink()
    return 0


async def _serve(params: VenueParams, token: str, file: str | None, *, until_stdin_ends: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if until_stdin_ends:
        loop.add_reader(sys.stdin.fileno(), _heard, over)
    venue = Venue(params, token)
    port = await venue.start()
    try:
        print(json.dumps({**_addresses(params.host, port), "token_file": file, "pid": os.getpid()}), flush=True)
        await over.wait()
    finally:
        await venue.stop()


def _heard(over: asyncio.Event) -> None:
    """Note the end of standard input: whoever started this has gone."""
    if not os.read(sys.stdin.fileno(), 4_096):
        over.set()


def _addresses(host: str, port: int) -> dict[str, str]:
    return {
        "url": f"http://{host}:{port}",
        "ws_url": f"ws://{host}:{port}/ws",
        "ws_trading_url": f"ws://{host}:{port}/ws-fapi/v1",
    }


@contextmanager
def started_venue(params: VenueParams) -> Iterator[RunningVenue]:
    """Run a venue as a child process; it ends with the block, or with this process however that ends.

    Raises
    ------
    FeedError
        Where it does not start: its own words.
    """
    token = secrets.token_hex(_TOKEN_BYTES)
    child = subprocess.Popen(
        [sys.executable, "-m", "venue.start"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        env={**os.environ, TOKEN_VARIABLE: token},
        text=True,
        start_new_session=True,  # Ctrl-C is for whoever started it
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        child.stdin.write(msgspec.json.encode(params).decode() + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            said = child.stderr.read().strip() or "no word why"
            raise FeedError(f"the venue did not start: {said.splitlines()[-1]}")
        ready: dict[str, Any] = json.loads(line)
        control = ControlClient(ready["url"], token)
        try:
            yield RunningVenue(ready["url"], ready["ws_url"], ready["ws_trading_url"], control, ready["pid"])
        finally:
            control.close()
    finally:
        child.terminate()
        try:
            child.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for stream in (child.stdin, child.stdout, child.stderr):
            with suppress(BrokenPipeError):
                stream.close()


def _main() -> int:
    """Serve what the first line of standard input says, until there is no more input."""
    try:
        return serve(msgspec.json.decode(sys.stdin.readline(), type=VenueParams), until_stdin_ends=True)
    except (FeedError, OSError, msgspec.MsgspecError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(_main())
