"""Kill -9 at every state of an order and every stage of a decision; `make soak` does it two thousand times.

A node trades against a stand-in venue in lock-step. At a moment that chance draws (`moments.py`) it is killed; another
one starts with the state that was kept. As soon as it is at rest, before any further bar, it must know the venue's
position, have it protected exactly, have no order there that it does not mind, and its counters and its breaker must
say what the venue's ledger implies (`implied.py`). Nothing may have been sent twice, and nothing held without a stop
for longer than the limit. The lives of one number are the same for every run.
"""

import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parent))

from claims import Claims
from implied import bareness, sent_twice
from moments import ANY, MOMENTS, WORKED
from networks import artifact, random_network
from nodes import EAGER, trial

import configs
from core.bars import interval_ns
from core.features import feature_spec
from venue.control_client import ControlError

KILLS = int(os.environ.get("KILLS", "200"))
LIVES = 4
SHARE = -(-KILLS // LIVES)
"""Kills of a life."""
WORLD = 50
"""Kills on one venue; then another one begins, with other prices and another model."""
UNPROTECTED_SECONDS = 20.0
"""As `orders.unprotected_seconds` is: in real time, the start of the next node included, and in the market's."""
PATIENCE = 45.0
"""Seconds in which a node must be at rest."""
SETTLING = 2
"""Bars that it may take until all that was under way is known."""
BALANCE = 100_000.0
HALT = 7
"""A person halts the breaker before this one of every ten kills, and re-arms it before the next."""
RARE = 2.5
"""Seconds after which a moment that does not come is put off."""
ALWAYS = {
    "sizing.max_exposure": "0.1",
    "risk.min_entry_spacing_minutes": "0",
    "risk.max_entries_24h": "1440",
    "risk.max_entries_per_day": "1440",
    "exits.stop_atr": "0.5",
    "exits.min_stop_fraction": "0.001",
    "breaker.order_errors_count": "1000",
    "breaker.latency_count": "1000",
    "live.save_ms": "5000.0",
}
"""Small positions, so that fees do not trip the breaker; near stops; what a kill makes late or vain trips nothing."""


class Course(NamedTuple):
    """How a life trades: decision interval, style of its increases, and the venue's parameters."""

    interval: str
    style: str = "market"
    venue: tuple[tuple[str, float], ...] = ()


COURSES = (
    Course("1m"),
    Course("1m", venue=(("fill_share", 0.1), ("depth_quote", 30_000.0))),
    Course("5m"),
    Course("5m", venue=(("fill_share", 0.1), ("depth_quote", 30_000.0))),
    Course("1m", style="limit"),
)
"""The first `LIVES` are lived. The last FAILS and is not: a restart amid a worked order still trips an invariant."""


class Report:
    """What came of a life."""

    def __init__(self, life: int) -> None:
        self.life = life
        self.killed: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.compared = 0
        self.slowest = self.bare = 0.0
        self.settled: Counter[int] = Counter()

    @property
    def text(self) -> str:
        """What is worth telling, and a line of JSON for who adds several up."""
        figures = {
            "life": self.life, "kills": self.killed.total(), "compared": self.compared,
            "slowest_start_s": round(self.slowest, 2), "worst_bare_s": self.bare,
            "settled_after_bars": dict(sorted(self.settled.items())), "wrong": len(self.wrong),
            "struck": dict(sorted(self.killed.items())),
        }  # fmt: skip
        return json.dumps(figures)


def deck_of(course):
    """Return the moments that may come in a life."""
    return {**MOMENTS, **(WORKED if course.style == "limit" else {})}


def absent(report):
    """Return the moments that no kill struck, of a life that was long enough for all of them."""
    moments = deck_of(COURSES[report.life])
    return [name for name in moments if report.killed[name] == 0] if SHARE >= WORLD else []


def lived(life, zygote, folder):
    """Kill one node after the other, venue by venue; return a `Report`."""
    report, number = Report(life), 0
    folder.mkdir()
    missing = list(deck_of(COURSES[life]))
    while report.killed.total() < SHARE and len(report.wrong) < 3:
        _world(report, missing, life + LIVES * number, zygote, folder / str(number))
        number += 1
        (folder / "report.json").write_text(report.text + "\n")
    return report


def _world(report, deck, seed, zygote, folder):
    """Kill on one venue; ``deck``: what chance has not drawn yet, shuffled anew where it is empty."""
    course, rng = COURSES[report.life], random.Random(seed)
    moments = deck_of(course)
    spec = feature_spec("1m", course.interval)
    folder.mkdir()
    network = random_network(3 + seed, hidden=(16, 16))
    changes = {"features": spec, "features_digest": spec.digest, "decision_interval": course.interval}
    models = [artifact(folder / "m1", network, **changes)]
    settings = {**ALWAYS, "market.decision_interval": course.interval, "execution.style": course.style}
    limits = configs.load("testnet", [f"{name}={value}" for name, value in {**EAGER, **settings}.items()])
    limits = limits.decision_params().risk
    world = {"walk": 5 + seed, "balance": BALANCE, "symbols": ("BTCUSDT",), "start": "2024-01-05T22:00:00Z"}
    world |= {"depth_quote": 4_000.0} | dict(course.venue)
    with trial(zygote, folder, models, settings, **world) as node:
        claims = Claims(node, interval_ns(course.interval) // 1_000_000, BALANCE, limits)
        claims.counted = course.style == "market"
        for count in range(min(WORLD, SHARE - report.killed.total())):
            if count % 10 == HALT:
                claims.ask(rng.choice(("halt", "reduce")))
            elif claims.halted:
                claims.ask("rearm")
            if not deck:
                deck += moments
            name = "a bar closed" if claims.halted else deck.pop(rng.randrange(len(deck)))
            struck = _killed(report, node, claims, moments[name], rng)
            if struck is None:
                return
            if not struck:
                deck.append(name)
            report.killed[name if struck else ANY] += 1
            if not report.wrong:
                shutil.rmtree(node.session, ignore_errors=True)
        rows = claims.rows()
    report.wrong += [f"life {seed}: {each}" for each in sent_twice(rows, claims.interval_ms)]
    bare = bareness(rows)
    report.bare = max(report.bare, bare.real_ms / 1e3, bare.market_ms / 1e3)
    if report.bare > UNPROTECTED_SECONDS:
        report.wrong.append(f"life {seed}: bare for {bare}")


def _killed(report, node, claims, moment, rng):
    """Kill one node; return whether it was at its moment, None where it ended otherwise."""
    control, skip = node.venue.control, rng.randrange(3)
    node.heal()
    if moment.starting:
        node.kill_at(moment.stage, 0)
        node.start()
        code = node.ended(PATIENCE)
        return _ended(report, node, code)
    began = time.perf_counter()
    node.start()
    try:
        control.rest(timeout=PATIENCE)
        report.slowest = max(report.slowest, time.perf_counter() - began)
        claims.begin()
        bars = 0
        while (wrong := claims.wrong()) and bars < SETTLING:
            control.go()
            control.rest(timeout=PATIENCE)
            bars += 1
        report.settled[bars] += 1
        report.compared += 1
        report.wrong += [f"life {report.life}, after {report.killed.total()} kills: {each}" for each in wrong]
    except ControlError as error:
        report.wrong.append(f"life {report.life}: {error}: {node.log.read_text()[-500:]}")
        return None
    if moment.stage:
        node.kill_at(moment.stage, skip)
    else:
        control.fault(moment.kind, match=dict(moment.match), pid=node.pid, count=1, skip=0 if moment.ended else skip)
    code = node.ended(0.0)
    deadline = time.monotonic() + RARE
    while code is None and moment.ended and time.monotonic() < deadline:
        if orders := control.state()["account"][moment.ended]:
            control.act("cancel", client_order_id=orders[0].get("clientAlgoId") or orders[0]["clientOrderId"])
            code = node.ended(1.0)
            break
        control.go()
        control.rest(timeout=PATIENCE)
    control.go()
    code = node.ended(RARE) if code is None else code
    struck = code is not None
    if not struck:
        os.kill(node.pid, 9)
        code = node.ended(10)
    claims.end()
    return struck if _ended(report, node, code) else None


def _ended(report, node, code):
    """Return whether a node was killed, as it should be."""
    if code != -9:
        report.wrong.append(f"life {report.life}: the node ended with {code}: {node.log.read_text()[-500:]}")
    return code == -9
