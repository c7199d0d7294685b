"""How a node comes up and goes down: what it loads, a key that is refused, a second signal."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.live.nodes import ROOT, running_node, started_venue, venue_params
from venue.params import ApiKey


def test_the_live_program_loads_neither_torch_nor_a_server() -> None:
    heavy = ("torch", "aiohttp", "redis", "sqlalchemy", "pandas", "matplotlib", "training", "venue")
    code = f"import sys, run_live; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_key_is_an_error_in_one_line_without_the_secret(history: Path, tmp_path: Path) -> None:
    keys = (ApiKey(key="another-key-0123456789", secret="another-secret-0123456789"),)
    params = venue_params(history, "2024-03-05T12:00:00Z", keys=keys)
    with started_venue(params) as venue, running_node(venue, "testnet", tmp_path) as node:
        code, _ = node.ended(60.0)
    assert (code, len(node.errors)) == (1, 1), node.errors
    assert "stand-in-secret" not in node.errors[0]


def test_signals_may_come_in_a_row(history: Path, tmp_path: Path) -> None:
    params = venue_params(history, "2024-03-05T12:00:00Z")
    with started_venue(params) as venue, running_node(venue, "paper", tmp_path) as node:
        node.wait_ready()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            node.signal(number)
        code, summary = node.ended(60.0)
    assert code == 0, node.errors
    assert summary["stopped_by"] in {"SIGTERM", "SIGINT"}  # pending ones are told by number, not by time
