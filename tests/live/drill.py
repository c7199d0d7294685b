"""A node at the stand-in venue in a replay, with faults on the way: what it wrote, and what the venue has."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from venue.control_client import ControlClient
from venue.params import DEMO_KEY, DEMO_SECRET, VenueParams
from venue.start import TOKEN_VARIABLE, started_venue

ROOT = Path(__file__).parents[2]
SETTINGS = (
    "venue.replay=true", "ensemble.quorum=2", "ensemble.min_agreement=0.3", "venue.position_check_seconds=5",
    "orders.submit_timeout_seconds=2", "venue.recv_window_ms=1500",
    "orders.unprotected_seconds=6", "live.cut_seconds=4", "venue.backfill_seconds=5",
)  # fmt: skip


class Session(NamedTuple):
    """What a drill came to: exit code, output, rows by kind, and the venue's state and ledger at the end."""

    code: int
    output: str
    rows: Mapping[str, list[dict[str, Any]]]
    state: Mapping[str, Any]
    ledger: Mapping[str, Any]

    def held(self) -> Decimal:
        """Return what the journal says is held, base asset."""
        total = Decimal(0)
        for row in sorted((*self.rows["fills"], *self.rows["positions"]), key=lambda row: row["ts_event"]):
            quantity = Decimal(row["quantity"])
            taken = "reason" in row
            total = quantity if taken else total + (quantity if row["side"] == "BUY" else -quantity)
        return total


def drilled(
    catalog: Path, folder: Path, span: tuple[str, str], faults: Callable[[ControlClient], None], *settings: str,
    during: Callable[[ControlClient, Mapping[str, Any]], bool] | None = None,
) -> Session:  # fmt: skip
    """Replay a range with faults put in force before it begins; ``during`` is shown the state until it returns True."""
    params = VenueParams(catalog=str(catalog), start=span[0], end=span[1], weight_limit=0, order_limit_10s=0,
                         order_limit_1m=0)  # fmt: skip
    with started_venue(params) as venue:
        faults(venue.control)
        token = venue.control._headers["Authorization"].removeprefix("Bearer ")
        urls = (f"venue.http_url={venue.url}", f"venue.ws_url={venue.ws_url}",
                f"venue.ws_trading_url={venue.ws_trading_url}")  # fmt: skip
        options = [part for setting in (*SETTINGS, *urls, f"breaker.state_path={folder / 'state'}", *settings)
                   for part in ("--set", setting)]  # fmt: skip
        node = subprocess.Popen(
            [sys.executable, "run_live.py", "testnet", "--instrument", "BTCUSDT-PERP.BINANCE", *options,
             "--out", str(folder / "out"), "--json"],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, TOKEN_VARIABLE: token, "AUTOTRADE_TESTNET_API_KEY": DEMO_KEY,
                 "AUTOTRADE_TESTNET_API_SECRET": DEMO_SECRET},
        )  # fmt: skip
        try:
            while during is not None and node.poll() is None and not during(venue.control, venue.control.state()):
                time.sleep(0.01)
            output, _ = node.communicate(timeout=120)
        finally:
            if node.poll() is None:
                node.kill()
                node.communicate()
        state, ledger = venue.control.state(), venue.control.ledger()
    out = folder / "out"
    rows = {path.stem: pq.read_table(path).to_pylist() for path in out.glob("*.parquet")}
    return Session(node.returncode, output, rows, state, ledger)
