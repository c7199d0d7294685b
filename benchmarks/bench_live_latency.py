"""A live node on the stand-in venue: from the closed bar to the order, start to ready, and its import.

Three clocks: the stand-in's stamp of the closed bar to its stamp of the order that came for it (both ways of the wire,
the engine and the node); the node's own, from the bar's arrival at its first actor until the engine has taken the
order; the vote of the models alone. Five models of random weights, which turn all the time, a decision every 15
minutes, the state kept durably before each order.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters.session_log import SessionLog
from benchmarks.__main__ import Row, main
from core.commands import Submit
from tests.unit.networks import artifact, random_network
from venue.params import DEMO_KEY, DEMO_SECRET, VenueParams
from venue.start import started_venue

BARS = int(os.environ.get("LATENCY_BARS", "6000"))
ROOT = Path(__file__).parents[1]
MINUTE_NS = 60_000_000_000
IMPORTS = 5
EAGER = {
    "ensemble.quorum": "1",
    "ensemble.min_vote_confidence": "0.0",
    "ensemble.min_agreement": "0.0",
    "ensemble.min_confidence": "0.0",
    "sizing.max_exposure": "0.1",
    "sizing.rebalance_threshold": "0.05",
    "exits.stop_atr": "1.0",
    "exits.max_holding_bars": "3",
    "risk.daily_drawdown": "0.1",
    "risk.min_entry_spacing_minutes": "0",
    "risk.max_entries_24h": "1440",
    "risk.max_entries_per_day": "1440",
    "risk.loss_streak": "100",
    "risk.stop_guard_stops": "100",
    "risk.low_profit_trades": "100",
    "risk.volatility_quantile": "1.0",
    "risk.volatility_calm_quantile": "1.0",
}
"""Rules under which an order follows of most decisions."""


class Lived(NamedTuple):
    """Milliseconds of each order: from stand-in to stand-in, inside the node, and of these what it waited for the disk
    (what a restart must know is durable before an order is sent); of each vote; seconds to ready.
    """

    outside: np.ndarray
    inside: np.ndarray
    disk: np.ndarray
    votes: np.ndarray
    ready: float


def lived() -> Lived:
    """Let a node trade; return how long everything took."""
    with tempfile.TemporaryDirectory() as name, started_venue(VenueParams(walk=7, weight_limit=0)) as venue:
        session = Path(name) / "session"
        settings = EAGER | {
            "venue.http_url": venue.url,
            "venue.ws_url": venue.ws_url,
            "venue.ws_trading_url": venue.ws_trading_url,
            "venue.replay": "true",
            "breaker.state_path": f"{name}/state",
        }
        models = [str(artifact(Path(name) / f"m{seed}", random_network(seed, hidden=(64, 64)))) for seed in range(5)]
        stamps = Path(name) / "stamps.json"
        command = [sys.executable, "-m", "benchmarks.bench_live_latency", str(stamps), "testnet", "--json"]
        command += ["--out", str(session), "--models", *models]
        command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        keys = {"AUTOTRADE_TESTNET_API_KEY": DEMO_KEY, "AUTOTRADE_TESTNET_API_SECRET": DEMO_SECRET}
        env = {**os.environ, **keys, "AUTOTRADE_VENUE_TOKEN": venue.control.token}
        node = subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE)
        assert node.stdout is not None
        try:
            node.stdout.readline()
            while venue.control.rest(timeout=60.0)["played_in_all"] < BARS:
                venue.control.go()
            venue.control.go()
            node.terminate()
            summary = json.loads(node.stdout.read().splitlines()[-1])
            ledger = venue.control.ledger()
        finally:
            node.kill()
            node.wait()
            node.stdout.close()
        return Lived(*_measured(session, ledger, json.loads(stamps.read_text())), summary["ready_seconds"])


def stamped(stamps: Path, argv: list[str]) -> int:
    """Be the node; write down when its bars came and when the engine took its orders, by close (ns)."""
    import run_live  # noqa: PLC0415 - a node's own process
    from actors.feed import BarFeed  # noqa: PLC0415
    from strategies.carrier import Carrier  # noqa: PLC0415

    came: dict[int, int] = {}
    taken: dict[str, int] = {}
    waited: dict[str, int] = {}
    on_data, submit, kept = BarFeed.on_data, Carrier._submit, Carrier._kept  # noqa: SLF001 - what is measured

    def came_in(self: BarFeed, data: Any) -> None:
        now = time.time_ns()
        came.setdefault(-(-int(data.data.ts_event) // MINUTE_NS) * MINUTE_NS, now)
        on_data(self, data)

    def handed(self: Carrier, command: Submit) -> None:
        waited[command.order_id] = self.waited_ns
        submit(self, command)
        taken[command.order_id] = time.time_ns()

    def keep(self: Carrier, *, durable: bool) -> bool:
        began = time.perf_counter_ns()
        done = kept(self, durable=durable)
        self.waited_ns = time.perf_counter_ns() - began
        return done

    BarFeed.on_data, Carrier._submit, Carrier._kept = came_in, handed, keep  # type: ignore[method-assign] # noqa: SLF001
    try:
        return run_live.main(argv)
    finally:
        stamps.write_text(
            json.dumps({"came": {str(close): ns for close, ns in came.items()}, "taken": taken, "waited": waited})
        )


def _measured(
    session: Path, ledger: dict[str, list], stamps: dict[str, dict[str, int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the milliseconds of orders outside, inside and at the disk, and of votes."""
    told = {end_ms * 1_000_000: ns for end_ms, ns in ledger["told_ns"]}
    came = {
        row["params"]["newClientOrderId"].partition("-R")[2]: row["came_ns"]
        for row in ledger["wire"]
        if row["method"] == "POST" and row["params"].get("newClientOrderId")
    }
    outside, inside, disk, votes, clock = [], [], [], [], 0
    for row in SessionLog(session).rows():
        if row.kind == "answer" and row.body[:2] == ["outside", "clock"]:
            votes.append(row.body[3] - clock)
            clock = row.body[3]
        elif row.kind == "wanted":
            for kind, order in row.body[1]:
                if kind != "Submit" or order["purpose"] == "stop":
                    continue
                close_ns = order["ts_event"] // MINUTE_NS * MINUTE_NS
                if close_ns in told and order["order_id"] in came:
                    outside.append(came[order["order_id"]] - told[close_ns])
                    disk.append(stamps["waited"][order["order_id"]])
                    inside.append(stamps["taken"][order["order_id"]] - stamps["came"][str(close_ns)])
    return np.array(outside) / 1e6, np.array(inside) / 1e6, np.array(disk) / 1e6, np.array(votes[1::2]) / 1e6


def imported() -> float:
    """Return the seconds of CPU that the import of the live program takes, the best of some."""
    asked = "import time; import run_live; print(time.process_time())"
    said = [
        subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(IMPORTS)
    ]
    return min(map(float, said))


def rows() -> list[Row]:
    """Measure."""
    found = lived()
    goals = {50.0: "<= 0.2", 99.0: "<= 1", 100.0: "<= 3"}
    measured = [
        Row(row=f"{what}, {_NAMES[share]}", value=float(np.percentile(taken, share)), unit="ms", goal=goal)
        for what, taken, bound in (
            ("bar received to order handed to the engine, less the disk", found.inside - found.disk, True),
            ("bar received to order handed to the engine", found.inside, False),
            ("state kept before an order is sent", found.disk, False),
            ("stand-in's closed bar to the order at the stand-in", found.outside, False),
            ("vote of five models", found.votes, False),
        )
        for share, goal in ((share, goal if bound else "") for share, goal in goals.items())
    ]
    return [
        *measured,
        Row(row="orders measured", value=float(len(found.inside)), unit="orders", goal=">= 100"),
        Row(row="start of a node to ready", value=found.ready, unit="s", goal="<= 5"),
        Row(row="import of the live program", value=imported(), unit="s CPU", goal="<= 1"),
    ]


_NAMES = {50.0: "p50", 99.0: "p99", 100.0: "most"}


if __name__ == "__main__":
    sys.exit(stamped(Path(sys.argv[1]), sys.argv[2:]) if sys.argv[1:] else main(["bench_live_latency"]))
