"""A node that lives for hours of the market while faults strike: what grows, how late it is, what it misses.

``python tests/faults/soak.py [--hours 24] [--paced-hours 8] [--out DIR]``

Two stretches, three instruments, a decision every minute. In the first the market waits for the node (lock-step): as
many bars as can be, in which nothing may grow. In the second it does not: a bar every half second, ready or not. A
fault strikes five times an hour; it lasts no longer than the bar that it strikes in, as in the market, where a bar is
a minute.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "unit"))

from fault_table import FAULTS
from injection import QUICK
from networks import artifact, random_network
from nodes import Trial, Zygote, trial
from soak_page import Figures, figures, page, table

from adapters.session_log import SessionLog
from core.features import feature_spec
from venue.control_client import ControlClient, ControlError

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MINUTE_MS = 60_000
EVERY_BARS = 12
SAMPLES = 240
PATIENCE_BARS = 30
"""A client's question for the next bar that goes without an answer for too long is the end of its replay."""
LONGEST_SECONDS = 1.5
"""In lock-step a bar is waited for two seconds: what lasts longer loses it, which no fault of a minute does."""
RESTLESS = QUICK | {
    "market.decision_interval": "1m",
    "market.instruments": json.dumps([f"{symbol}-PERP.BINANCE" for symbol in SYMBOLS]),
    "sizing.max_exposure": "0.1",
    "sizing.rebalance_threshold": "0.2",
    "risk.daily_drawdown": "0.1",
    "risk.min_entry_spacing_minutes": "5",
    "orders.unprotected_seconds": "30.0",
}
STRUCK = sorted(name for name, fault in FAULTS.items() if not fault.halts and "clock" not in name)


class Sample(NamedTuple):
    """What the process uses at a bar."""

    bar: int
    rss_mb: float
    handles: int
    threads: int


class Stretch(NamedTuple):
    """What was seen from outside: when each bar left the venue (``time.perf_counter_ns`` by close, ns)."""

    seconds: float
    gone: dict[int, int]
    samples: list[Sample]
    hits: Counter[str]
    wire: list[dict[str, Any]]


def sample(pid: int, bar: int) -> Sample:
    """Return what a process uses."""
    said = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    handles = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(bar, int(said["VmRSS"].split()[0]) / 1024, handles, int(said["Threads"]))


class Striker:
    """Strikes with one fault after the other; what has not hit by the next one is taken away."""

    def __init__(self, control: ControlClient, seed: int, longest: float) -> None:
        self._control, self._random, self._longest = control, random.Random(seed), longest
        self.struck = ""
        self.hits: Counter[str] = Counter()

    def strike(self) -> None:
        """End the last fault, and begin another one."""
        self.end()
        self.struck = self._random.choice(STRUCK)
        fault = FAULTS[self.struck]
        lasts = {"seconds": min(fault.seconds, self._longest)} if fault.seconds else {}
        for rule in fault.rules:
            self._control.fault(**rule, **lasts)
        for act in fault.acts:
            if act["do"] == "cancel":
                for row in self._control.state()["account"]["algos"]:
                    self.hits[self.struck] += self._control.act("cancel", client_order_id=row["clientAlgoId"])
            else:
                self.hits[self.struck] += max(1, self._control.act(**act))

    def end(self) -> None:
        """Take away what is in force."""
        self.hits[self.struck] += sum(row["hits"] for row in self._control.faults())
        self._control.heal()
        del self.hits[""]


def held(control: ControlClient, node: Trial) -> dict[str, Any]:
    """Wait until the node asks for the next bar; let it wait."""
    for _ in range(30):
        try:
            return control.rest(timeout=3.0)
        except ControlError:
            code = node.ended(0.01)
            if code is not None:
                raise SystemExit(f"the node ended with {code}: {node.log.read_text()[-2000:]}") from None
    raise SystemExit("the node has not come to rest for a minute and a half")


def lived(node: Trial, bars: int, *, beat_seconds: float, seed: int) -> Stretch:
    """Play bars to a node; ``beat_seconds`` 0: as fast as it goes."""
    control = node.venue.control
    node.start()
    at_ms = held(control, node)["minute_ms"]
    striker = Striker(control, seed, LONGEST_SECONDS if beat_seconds == 0.0 else beat_seconds * 0.6)
    gone: dict[int, int] = {}
    samples: list[Sample] = []
    wire: list[dict[str, Any]] = []
    began = due = time.perf_counter()
    for bar in range(bars):
        if bar % EVERY_BARS == EVERY_BARS // 2:
            striker.strike()
            print(f"bar {bar}: {striker.struck}", file=sys.stderr, flush=True)
        due = max(due + beat_seconds, time.perf_counter())
        time.sleep(max(0.0, due - time.perf_counter()))
        at_ms += MINUTE_MS
        gone[at_ms * 1_000_000] = time.perf_counter_ns()
        if beat_seconds and bar % PATIENCE_BARS:
            control.play()
        else:
            control.go()
            held(control, node)
        if bar % max(1, bars // SAMPLES) == 0:
            try:
                samples.append(sample(node.pid, bar))
            except FileNotFoundError:
                raise SystemExit(f"the node has ended: {node.log.read_text()[-2000:]}") from None
        if bar % 1_000 == 999 or bar == bars - 1:
            wire += control.ledger(wire[-1]["n"] if wire else 0)["wire"]
            print(f"bar {bar + 1} of {bars}: {samples[-1]}", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - began
    striker.end()
    time.sleep(1.0)
    control.go()
    os.kill(node.pid, signal.SIGTERM)
    code = node.ended(60.0)
    if code != 0:
        raise SystemExit(f"the node ended with {code}: {node.log.read_text()[-2000:]}")
    return Stretch(seconds, gone, samples, striker.hits, wire)


def decided(session: Path) -> tuple[list[tuple[int, str, int]], Counter[str]]:
    """Return close, instrument and time (``perf_counter_ns``) of each decision, and how the node's orders went."""
    found, clock, orders = [], 0, Counter[str]()
    for row in SessionLog(session).rows():
        if row.kind == "answer" and row.body[:2] == ["outside", "clock"]:
            clock = row.body[3]
        elif row.kind == "decisions":
            found.append((row.body["ts_event"], row.body["instrument_id"], clock))
        elif row.kind == "orders":
            orders[row.body["status"]] += 1
        elif row.kind == "breaker":
            orders[f"breaker {row.body['trigger']}"] += 1
    return found, orders


def soaked(zygote: Zygote, folder: Path, hours: float, *, beat_seconds: float, seed: int) -> Figures:
    """Let a node live, and return what came of it."""
    folder.mkdir(parents=True)
    spec = feature_spec("1m", "1m")
    models = [
        artifact(
            folder / f"m{n}", random_network(n), features=spec, features_digest=spec.digest, decision_interval="1m"
        )
        for n in (3, 5)
    ]
    bars = round(hours * 60)
    # Limits in the market's time that answers of the real world must keep: a second here is many there.
    patient = {"orders.unprotected_seconds": "60.0", "invariants.unprotected_seconds": "300.0"} if beat_seconds else {}
    with trial(zygote, folder, models, RESTLESS | patient, walk=seed, symbols=SYMBOLS, depth_quote=2_000.0) as node:
        stretch = lived(node, bars, beat_seconds=beat_seconds, seed=seed)
    decisions, orders = decided(folder / "session-1")
    late_seconds = None if beat_seconds else 15.0  # within a bar of a lock-step time runs as in the market
    found = figures(stretch, decisions, orders, len(SYMBOLS), late_seconds)
    print(table({folder.name: found}), flush=True)
    return found


def main() -> int:
    """Soak; print the tables, write the page."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("--hours", type=float, default=24.0, help="of the market, in lock-step")
    reader.add_argument("--paced-hours", type=float, default=8.0, help="of the market, at a pace of its own")
    reader.add_argument("--beat-seconds", type=float, default=0.5, help="between two bars at that pace")
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--out", type=Path, default=Path("catalog/soak"))
    given = reader.parse_args()
    place = given.out / time.strftime("%Y%m%dT%H%M%S")
    zygote = Zygote()
    try:
        found = {}
        if given.hours:
            found["lock-step"] = soaked(zygote, place / "lock-step", given.hours, beat_seconds=0.0, seed=given.seed)
        if given.paced_hours:
            paced = f"a bar every {given.beat_seconds:g} s"
            found[paced] = soaked(
                zygote, place / "paced", given.paced_hours, beat_seconds=given.beat_seconds, seed=given.seed + 1
            )
    finally:
        zygote.close()
    (place / "soak.html").write_text(page(found))
    (place / "soak.json").write_text(json.dumps({name: one.rows for name, one in found.items()}, indent=2))
    print(place / "soak.html")
    return 0 if all(one.good for one in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
