"""Live nodes against a stand-in venue: started, killed and started again, and held against the venue's ledger."""

import json
import os
import queue
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec

from adapters.state_store import FileStateStore
from core.inheritance import TraderState
from core.order_states import OVER
from venue.params import DEMO_KEY, DEMO_SECRET, VenueParams
from venue.start import started_venue

ROOT = Path(__file__).parents[2]
INSTRUMENT = "BTCUSDT-PERP.BINANCE"
LOT = Decimal("0.001")
ENGINE_MARK = "x-aHRE4BCj-R"
"""What the engine puts before our names of orders."""
EAGER = {
    "ensemble.quorum": "1",
    "ensemble.min_vote_confidence": "0.0",
    "ensemble.min_agreement": "0.0",
    "ensemble.min_confidence": "0.0",
    "sizing.rebalance_threshold": "0.05",
    "risk.min_entry_spacing_minutes": "1",
    "risk.max_entries_24h": "500",
    "risk.max_entries_per_day": "500",
    "risk.loss_streak": "100",
    "risk.stop_guard_stops": "100",
    "risk.low_profit_trades": "100",
    "risk.volatility_quantile": "1.0",
    "risk.volatility_calm_quantile": "1.0",
    "risk.max_data_age_seconds": "3600.0",
    "risk.max_state_age_seconds": "3600.0",
    "exits.stop_atr": "1.0",
    "orders.submit_timeout_seconds": "1.0",
    "venue.recv_window_ms": "900",
    "orders.retry_seconds": "0.2",
    "venue.inflight_seconds": "1.0",
    "venue.inflight_check_seconds": "0.5",
    "live.position_seconds": "1.0",
    "live.weight_per_minute": "100000",
}
"""A configuration that trades at every occasion: what is tested is not whether it earns."""


class Zygote:
    """Forks nodes (`zygote.py`)."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", str(ROOT / "tests" / "faults" / "zygote.py")],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._ended: dict[int, int] = {}
        threading.Thread(target=self._read, daemon=True).start()
        assert self._lines.get(timeout=300) == "ready\n"

    def start(self, *, argv: list[str], env: dict[str, str], cwd: Path, log: Path, kill: Path) -> int:
        """Fork a node; return its process id."""
        order = {"argv": argv, "env": env, "cwd": str(cwd), "log": str(log), "kill": str(kill)}
        self._process.stdin.write(json.dumps(order) + "\n")
        while True:
            said = json.loads(self._lines.get(timeout=30))
            if isinstance(said, int):
                return said
            self._ended[said[0]] = said[1]

    def ended(self, pid: int, timeout: float) -> int | None:
        """Return the exit code of a node once it has ended (negative: the signal), None where it has not in time."""
        while pid not in self._ended:
            try:
                said = json.loads(self._lines.get(timeout=timeout))
            except queue.Empty:
                return None
            self._ended[said[0]] = said[1]
        return self._ended.pop(pid)

    def close(self) -> None:
        """End; nodes that live are killed."""
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _read(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)


class Trial:
    """One venue and the nodes that trade on it, one after the other, with one state."""

    def __init__(self, venue, zygote: Zygote, folder: Path, models: list[Path], changes: dict[str, str]) -> None:
        self.venue, self._zygote, self._folder, self._models = venue, zygote, folder, models
        self._changes = {**EAGER, **changes}
        self._count = 0
        self.pid = 0

    @property
    def log(self) -> Path:
        """What the node of now prints."""
        return self._folder / f"node-{self._count}.log"

    @property
    def session(self) -> Path:
        """Where the node of now writes its session."""
        return self._folder / f"session-{self._count}"

    def start(self) -> int:
        """Start a node; return its process id."""
        self._count += 1
        settings = {
            **self._changes,
            "venue.http_url": self.venue.url,
            "venue.ws_url": self.venue.ws_url,
            "venue.ws_trading_url": self.venue.ws_trading_url,
            "venue.replay": "true",
            "breaker.state_path": str(self._folder / "state"),
        }
        argv = ["testnet", "--json", "--out", str(self.session), "--models"]
        argv += [str(path) for path in self._models]
        for name, value in settings.items():
            argv += ["--set", f"{name}={value}"]
        env = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/tmp"),
            "AUTOTRADE_VENUE_TOKEN": self.venue.control.token,
            "AUTOTRADE_TESTNET_API_KEY": DEMO_KEY,
            "AUTOTRADE_TESTNET_API_SECRET": DEMO_SECRET,
        }
        self.pid = self._zygote.start(argv=argv, env=env, cwd=ROOT, log=self.log, kill=self._folder / "kill.json")
        return self.pid

    def kill_at(self, stage: str, skip: int) -> None:
        """Let the node end at a stage of `stages.py`, or the next one where none lives."""
        file = self._folder / "kill.json"
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({"stage": stage, "skip": skip}))
        partial.replace(file)

    def heal(self) -> None:
        """Let the node live."""
        self.venue.control.heal()
        (self._folder / "kill.json").unlink(missing_ok=True)

    @property
    def store(self) -> FileStateStore:
        """Where the nodes keep their state."""
        return FileStateStore(self._folder / "state" / "testnet")

    def ended(self, timeout: float) -> int | None:
        """Return the exit code of the node once it has ended."""
        return self._zygote.ended(self.pid, timeout)

    def trader(self) -> TraderState | None:
        """Return what the node keeps of its trader."""
        kept = self.store.load(f"trader.{INSTRUMENT}")
        return None if kept is None else msgspec.msgpack.decode(kept, type=TraderState)

    def differences(self) -> list[str]:
        """Return where the node's state is not the venue's, the client being at rest."""
        account = self.venue.control.state()["account"]
        trader = self.trader()
        held = sum((Decimal(each["positionAmt"]) for each in account["positions"]), Decimal(0)) / LOT
        stops = [each for each in account["algos"] if each["algoStatus"] == "NEW"]
        found = []
        if trader is None:
            return [f"no state is kept; the venue holds {held} lots"] if held or stops else []
        if trader.position.lots != held:
            found.append(f"position: node {trader.position.lots} lots, venue {held}")
        guarded = sum((Decimal(each["quantity"]) for each in stops), Decimal(0)) / LOT
        side = "SELL" if held > 0 else "BUY"
        if guarded != abs(held) or any(each["side"] != side for each in stops):
            found.append(f"protection: {[(e['side'], e['quantity'], e['triggerPrice']) for e in stops]} of {held} lots")
        living = {order.order_id for order in trader.orders.live if order.state not in OVER}
        names = [each["clientOrderId"] for each in account["orders"]] + [each["clientAlgoId"] for each in stops]
        at_venue = {re.sub(r"-E\d+$", "", name.removeprefix(ENGINE_MARK)) for name in names}
        living = {re.sub(r"-E\d+$", "", name) for name in living}
        if living != at_venue:
            found.append(f"orders: node {sorted(living)}, venue {sorted(at_venue)}")
        return found


@contextmanager
def trial(zygote: Zygote, folder: Path, models: list[Path], changes: dict[str, str] | None = None, **params):
    """Start a venue that waits for its client after every bar; yield what runs nodes on it."""
    given = {"speed": 0.0, "weight_limit": 0, "order_limit_10s": 0, "order_limit_1m": 0, "depth_quote": 20_000.0}
    with started_venue(VenueParams(**{**given, **params})) as venue:
        yield Trial(venue, zygote, folder, models, changes or {})
