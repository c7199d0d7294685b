"""Puts faults into a node's way while it trades, takes them away, and waits until it is what the venue is."""

import os
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fault_table import FAULTS, Fault
from nodes import Trial, Zygote, trial
from verdicts import eager, opened_in_doubt, sent_twice, unheard

from adapters.session_log import SessionLog
from adapters.state_store import FileStateStore
from core.causes import BreakerState
from core.order_states import OrderState
from core.trips import state_of
from venue.control_client import ControlError

__all__ = ["Injected", "faulted"]

QUICK = {
    "orders.submit_timeout_seconds": "1.0",
    "orders.retry_seconds": "0.2",
    "orders.max_retry_seconds": "1.0",
    "orders.unprotected_seconds": "6.0",
    "invariants.unprotected_seconds": "120.0",
    "live.check_seconds": "0.2",
    "live.bar_late_seconds": "1.0",
    "live.cut_seconds": "3.0",
    "live.position_seconds": "2.0",
    "live.rest_seconds": "2.0",
    "live.weight_per_minute": "100000",
    "live.clock_minutes": "0.01",
    "live.clock_samples": "1",
    "venue.backfill_seconds": "3.0",
    "venue.inflight_check_seconds": "0.5",
    "venue.inflight_seconds": "0.5",
    "venue.open_check_seconds": "1.0",
    "venue.position_check_seconds": "5.0",
}
"""A node that waits less, so that many faults fit into a minute; but a bar passes at once here, and what no request
can mend for some seconds lasts for minutes of the market."""
WORLD = {"symbols": ("BTCUSDT",), "start": "2024-01-05T00:00:00Z"}
TRADE_BARS = 1_500
"""Bars in which what a fault waits for (an order, a position) must come."""
RIGHTLY = {"order_errors", "latency"}
"""What a breaker reduces for, for an hour: faults of many weeks come within minutes here."""
RECOVERY_SECONDS = 40.0
RECOVERY_BARS = 4_000
RESTING_SECONDS = 90.0
_LOCK = threading.Lock()


class Course(NamedTuple):
    """Faults that strike one node, each so many bars after the beginning."""

    names: tuple[str, ...]
    after: tuple[int, ...]

    @classmethod
    def of(cls, *names: str) -> "Course":
        """Return faults that strike at once."""
        return cls(names, (0,) * len(names))


class Injected(NamedTuple):
    """What came of one or several faults at once: how often they hit, seconds and bars to recover, what is wrong."""

    names: tuple[str, ...]
    hits: int
    seconds: float
    bars: int
    struck: float
    wrong: tuple[str, ...]
    span: tuple[int, int] = (0, 0)


class _EndedError(Exception):
    """The node has ended."""


class _Life:
    """One node on one venue."""

    def __init__(self, node: Trial, folder: Path) -> None:
        self.node, self.control, self.folder = node, node.venue.control, folder
        self.rest: dict[str, Any] = {}
        self.lasting: dict[int, float] = {}
        self.hits = 0

    def step(self, bars: int = 1) -> None:
        """Let it go on, and wait until it rests again."""
        for _ in range(bars):
            self.control.go()
            self.hold()

    def hold(self) -> None:
        """Wait until it rests; faults that last end in time, whether it rests or not."""
        ends = time.monotonic() + RESTING_SECONDS
        while (now := time.monotonic()) < ends:
            over = min(self.lasting.values(), default=ends)
            try:
                self.rest = self.control.rest(timeout=min(max(over - now, 0.05), 10.0))
            except ControlError:
                self.look()
                self.relieve()
            else:
                self.relieve()
                return
        raise _EndedError(f"it has not come to rest for {RESTING_SECONDS:g} s")

    def relieve(self) -> None:
        """Take away what has lasted long enough and has struck."""
        over = {number for number, end in self.lasting.items() if end <= time.monotonic()}
        for row in self.control.faults() if over else ():
            if row["id"] in over and (row["hits"] or row["rule"]["kind"] == "skew"):
                self.hits += row["hits"]
                self.control.heal(row["id"])
                del self.lasting[row["id"]]

    def look(self) -> None:
        """Notice that it has ended."""
        with _LOCK:
            code = self.node.ended(0.01)
        if code is not None:
            raise _EndedError(f"it ended with {code}: {self.node.log.read_text()[-600:]}")

    def held(self) -> bool:
        """Whether there is a position, under a stop."""
        account = self.control.state()["account"]
        return any(float(each["positionAmt"]) for each in account["positions"]) and bool(account["algos"])

    def breaker(self) -> BreakerState:
        """Return what the node keeps of its breaker."""
        return state_of(FileStateStore(self.folder / "state" / "testnet").load("breaker"))

    def open_questions(self) -> list[str]:
        """Return what keeps it from being whole."""
        found = self.node.differences()
        found += [f"no {name} stream" for name, sockets in self.control.state()["sockets"].items() if not sockets]
        trader = self.node.trader()
        if trader is not None:
            found += [f"frozen by {source}: {reason}" for source, reason in trader.freezes.items()]
            doubtful = (order for order in trader.orders.live if order.state is OrderState.UNKNOWN)
            found += [f"{order.order_id} is unknown" for order in doubtful]
        return found

    def inject(self, course: Course) -> Injected:
        """Strike, heal, wait; the node is at rest before and after."""
        begun_ns = self.rest["minute_ms"] * 1_000_000
        self.hits, passed = 0, 0
        struck = time.monotonic()
        for name, after in sorted(zip(course.names, course.after, strict=True), key=lambda each: each[1]):
            self.step(after - passed)
            passed = after
            self.strike(FAULTS[name])
        self.step()
        skewed = any(rule["kind"] == "skew" for name in course.names for rule in FAULTS[name].rules)
        self.until(lambda: not self.lasting and self.struck())
        self.hits += sum(row["hits"] for row in self.control.faults())
        self.control.heal()
        self.lasting.clear()
        healed, bars, calm = time.monotonic(), 0, 0
        questions: list[str] = []
        while calm < 2:
            self.step()
            bars += 1
            questions = self.open_questions()
            calm = 0 if questions else calm + 1
            if bars > RECOVERY_BARS or time.monotonic() - healed > RECOVERY_SECONDS:
                break
        wrong = [f"after {bars} bars: {each}" for each in questions]
        if self.hits == 0 and not skewed:
            wrong.append("the fault never struck")
        span = (begun_ns, self.rest["minute_ms"] * 1_000_000)
        hits, seconds = max(self.hits, 1), time.monotonic() - healed
        return Injected(course.names, hits, seconds, bars, healed - struck, tuple(wrong), span)

    def strike(self, fault: Fault) -> None:
        """Put one fault in the way, under a position where it begins under one."""
        if fault.holding:
            self.until(self.held)
            if not self.held():
                raise _EndedError("no position came under which to begin")
        for rule in fault.rules:
            number = self.control.fault(**rule)
            if "count" not in rule:
                self.lasting[number] = time.monotonic() + fault.seconds
        done = sum(self.act(act) for act in fault.acts)
        self.hits += done
        if done:
            begun = time.monotonic()
            self.settle()
            waited = time.monotonic() - begun
            self.lasting = {number: end + waited for number, end in self.lasting.items()}

    def settle(self) -> None:
        """Give it time to deal with what was done at the venue, before the market jumps to the next bar."""
        ends = time.monotonic() + 3.0
        while self.open_questions() and time.monotonic() < ends:
            time.sleep(0.01)

    def act(self, act: Mapping[str, Any]) -> int:
        """Do something at the venue at once; return how often."""
        if act["do"] != "cancel":
            return max(1, self.control.act(**act))
        rows = self.control.state()["account"]["algos"]
        return sum(self.control.act("cancel", client_order_id=row["clientAlgoId"]) for row in rows)

    def struck(self) -> bool:
        """Whether every rule that counts has hit so often."""
        return all(row["hits"] >= (row["rule"]["count"] or 0) for row in self.control.faults())

    def until(self, wanted: Any) -> None:
        """Let it trade until something is so, or for long enough."""
        for _ in range(TRADE_BARS):
            if wanted():
                return
            self.step()


def faulted(zygote: Zygote, folder: Path, models: list[Path], courses: Iterable[Course], seed: int) -> list[Injected]:
    """Put faults in a node's way, several at once and one course after the other; return what came of each.

    A node that ended, or that a breaker has halted, is followed by a fresh one on a fresh venue.
    """
    waiting, found = list(courses), []
    while waiting:
        seed += 1
        place = folder / f"life-{seed}"
        place.mkdir(parents=True)
        with trial(zygote, place, models, QUICK, walk=seed, **WORLD) as node:
            found += _lived(_Life(node, place), waiting)
    return found


def _lived(life: _Life, waiting: list[Course]) -> list[Injected]:
    """Spend one node on as many courses as it lives for; then look at all that it wrote."""
    found: list[Injected] = []
    with _LOCK:
        life.node.start()
    course = Course.of("start")
    halted = False
    try:
        life.hold()
        life.step(3)
        while waiting and not halted:
            course = waiting.pop(0)
            one = life.inject(course)
            halted = bool(life.breaker().causes)
            undue = {cause.trigger for cause in life.breaker().causes} - RIGHTLY
            if undue and not any(FAULTS[name].halts for name in course.names):
                one = one._replace(wrong=(*one.wrong, f"the breaker: {life.breaker().causes}"))
            found.append(one)
            print(f"{life.folder.name} {one}", flush=True)
            halted = halted or bool(one.wrong)
        life.control.go()
    except _EndedError as end:
        found.append(Injected(course.names, 1, 0.0, 0, 0.0, (str(end),)))
        return found
    finally:
        _stop(life)
    log = [row for row in SessionLog(life.folder / "session-1").rows() if row.source == "decided"]
    found = [one._replace(wrong=(*one.wrong, *unheard(one.names, one.span, log))) for one in found]
    ledger = life.control.ledger()
    whole = (*eager(log), *opened_in_doubt(log, ledger["wire"]), *sent_twice(ledger["exchange"]))
    return [*found[:-1], found[-1]._replace(wrong=(*found[-1].wrong, *whole))]


def _stop(life: _Life) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.kill(life.node.pid, number)
        for _ in range(150):
            with _LOCK:
                if life.node.ended(0.02) is not None:
                    return
            time.sleep(0.05)
