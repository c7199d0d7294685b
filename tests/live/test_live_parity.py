"""A node at the stand-in venue, on real bars: every decision of its record is taken again, and is the same."""

import os
import subprocess
import sys
from pathlib import Path

from adapters.onnx_policy import load_checked
from adapters.session_log import SessionLog
from core.features import feature_spec
from run_parity import parity_of, simulated

ROOT = Path(__file__).parents[2]
MODELS = sorted(path.parent for path in (ROOT / "catalog" / "models").glob("*/manifest.json"))


def test_every_decision_of_a_node_is_taken_again_given_what_the_venue_did(history: Path, tmp_path: Path) -> None:
    """Entries, stops and exits are answered by a server; the answers come when they come, and all of it is recorded."""
    out = tmp_path / "session"
    sets = (f'breaker.state_path="{tmp_path / "state"}"', "ensemble.min_agreement=0.3", "ensemble.quorum=1")
    command = [
        sys.executable, str(ROOT / "run_live.py"), "testnet", "--replay", "--catalog", str(history), "--out", str(out),
        "--start", "2024-01-23", "--end", "2024-01-23T15:00", "--instrument", "BTCUSDT", "--instrument", "ETHUSDT",
        "--models", *map(str, MODELS), *(word for one in sets for word in ("--set", one)),
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    artifacts = {one.manifest.sha256: one for one in (load_checked(path, spec=feature_spec()) for path in MODELS)}
    parity = parity_of(out, artifacts)
    assert parity.exact, parity.first
    assert parity.decisions == 2 * 15 * 4
    assert parity.orders == parity.orders_identical > 5
    again, gap = simulated(out, artifacts)
    assert (again.missing, again.extra) == (0, 0)
    assert gap.matched > 0
    assert abs(gap.equity_last_bps) < 10.0
    log = SessionLog(out)
    assert log.header["environment"] == "testnet"
    assert {"start", "told", "answer", "call", "wanted", "observation"} <= {row.kind for row in log.rows()}
