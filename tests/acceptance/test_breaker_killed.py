"""Killed inside each state of the breaker, and started again: nothing is forgotten, and the first decision obeys."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import configs
from adapters.scripted_policy import ScriptedPolicy
from adapters.state_store import FileStateStore, MemoryStateStore
from core.breaker import ACTIVE, HALTED, REDUCING, STATES
from core.causes import trading_state
from core.errors import StateError
from core.trips import REQUESTS_KEY, STATE_KEY, Request, encoded, state_of
from run_backtest import Replay, run_backtest
from tests.acceptance.crashes import BOLD, ns

ROOT = Path(__file__).parents[2]
BTC = "BTCUSDT-PERP.BINANCE"
START, END = "2024-03-04", "2024-03-07"
CODES = (ACTIVE, REDUCING, HALTED)

CHILD = """
import os, signal, sys
from pathlib import Path
from adapters.state_store import FileStateStore
from tests.acceptance.test_breaker_killed import play
catalog, out, state, start, at = sys.argv[1:]
def progress(ts):
    if ts == int(at):
        os.kill(os.getpid(), signal.SIGKILL)
play(Path(catalog), Path(out), int(start), FileStateStore(Path(state)), progress)
"""


def play(catalog, out, start_ns, store, progress=None, rearm="explicit"):
    """Replay an always-long policy, a person being the only one who ends a halt; return its decisions."""
    replay = Replay(
        config=configs.load("backtest", [*BOLD, f"risk.rearm={rearm}"]),
        catalog=catalog,
        instruments=(BTC,),
        start_ns=start_ns,
        end_ns=ns(END),
        out=out,
        policies={BTC: ScriptedPolicy([1.0])},
        store=store,
        report=False,
        progress=progress,
    )
    run_backtest(replay)
    return pd.read_parquet(out / "decisions.parquet")


@pytest.fixture(scope="module")
def undisturbed(history, tmp_path_factory):
    """What is kept after each decision of a replay that nobody kills."""
    store, kept = MemoryStateStore(), {}
    play(history, tmp_path_factory.mktemp("run"), ns(START), store, lambda ts: kept.update({ts: store.load(STATE_KEY)}))
    return kept


def moment(undisturbed, code):
    """Return the third decision in a row that is made in a state."""
    times = [ts for ts, kept in undisturbed.items() if trading_state(state_of(kept)) == code]
    return times[2]


@pytest.fixture(scope="module", params=CODES, ids=STATES)
def killed(request, undisturbed, history, tmp_path_factory):
    """A process that was killed while it decided in one of the states: the state, when, and where it is kept."""
    folder, at = tmp_path_factory.mktemp("killed"), moment(undisturbed, request.param)
    words = [history, folder / "run", folder / "state", ns(START), at]
    done = subprocess.run([sys.executable, "-c", CHILD, *map(str, words)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    return request.param, at, folder / "state"


def test_what_is_found_after_a_kill_is_what_was_known_before_it(killed, undisturbed):
    code, at, folder = killed
    found = FileStateStore(folder).load(STATE_KEY)
    assert found == undisturbed[at]
    assert trading_state(state_of(found)) == code
    assert state_of(found).trips == {ACTIVE: 0, REDUCING: 1, HALTED: 2}[code]


def test_the_first_decision_after_a_restart_obeys_what_was_kept(killed, history, tmp_path):
    code, at, folder = killed
    store = MemoryStateStore()
    store.save(STATE_KEY, FileStateStore(folder).load(STATE_KEY))
    decisions = play(history, tmp_path, at, store)
    assert decisions.state.iloc[0] == STATES[code]
    today = decisions[(decisions.ts_event - 1) // 86_400_000_000_000 == (at - 1) // 86_400_000_000_000]
    assert (today.target_lots.iloc[0] > 0) == (code == ACTIVE)
    if code != ACTIVE:
        assert (today.target_lots == 0).all()
        fresh = play(history, tmp_path / "fresh", at, None)
        assert fresh.target_lots.iloc[0] > 0, "without what was kept it would have bought"
    if code == HALTED:
        assert (decisions.target_lots == 0).all(), "not the next day either"


def breaker(*words):
    return subprocess.run(
        [sys.executable, "-m", "cli", "breaker", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_halt_is_shown_refuses_a_rearm_and_ends_by_one_with_a_new_anchor(undisturbed, history, tmp_path):
    at, store = moment(undisturbed, HALTED), FileStateStore(tmp_path / "state")
    store.save(STATE_KEY, undisturbed[at])
    place = ("--state", tmp_path / "state")
    shown = json.loads(breaker("status", *place, "--json").stdout)
    assert (shown["state"], shown["day"], shown["trips"]) == ("HALTED", "2024-03-05", 2)
    assert "HALTED since 2024-03-05T" in breaker("status", *place).stdout
    anew = breaker("rearm", "--reason", "I take the loss", "--new-anchor", *place)
    assert (anew.returncode, anew.stderr) == (0, "")
    assert "not taken yet" in breaker("status", *place).stdout
    decisions = play(history, tmp_path / "run", at, store)
    assert decisions.state.iloc[0] == "ACTIVE"
    assert decisions.target_lots.iloc[0] > 0
    assert state_of(store.load(STATE_KEY)).requests_done == 1
    rows = pd.read_parquet(tmp_path / "run" / "breaker.parquet")
    assert rows.reason.iloc[0] == "re-armed: I take the loss"


def test_a_rearm_whose_cause_persists_is_refused_with_code_3(undisturbed, tmp_path):
    """The day of the loss is long over when the command runs, so the loss is put on today."""
    kept, store = state_of(undisturbed[moment(undisturbed, HALTED)]), FileStateStore(tmp_path)
    lost = kept.day._replace(day=(time.time_ns() - 1) // 86_400_000_000_000, drawdown=0.06)
    store.save(STATE_KEY, encoded(msgspec.structs.replace(kept, day=lost)))
    refused = breaker("rearm", "--reason", "again", "--state", tmp_path)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert "6.00% below the day's high" in refused.stderr
    assert store.load(REQUESTS_KEY) is None


def test_a_stopped_system_takes_a_halt_at_its_next_start_and_only_once(history, tmp_path):
    assert breaker("halt", "--reason", "upgrade of the venue", "--state", tmp_path / "state").returncode == 0
    store = FileStateStore(tmp_path / "state")
    decisions = play(history, tmp_path / "run", ns("2024-03-06"), store)
    assert (decisions.state == "HALTED").all()
    assert (decisions.target_lots == 0).all()
    state = state_of(store.load(STATE_KEY))
    assert (state.requests_done, [cause.reason for cause in state.causes]) == (1, ["upgrade of the venue"])


def test_a_running_system_takes_a_request_at_its_next_mark(history, tmp_path):
    store, asked_at = MemoryStateStore(), ns("2024-03-06T06:00")

    def progress(ts):
        if ts == asked_at:
            store.save(REQUESTS_KEY, encoded((Request(1, "halt", "stop", ts),)))

    decisions = play(history, tmp_path, ns("2024-03-06"), store, progress)
    before, after = decisions[decisions.ts_event <= asked_at], decisions[decisions.ts_event > asked_at]
    assert (before.state == "ACTIVE").all()
    assert before.target_lots.iloc[-1] > 0
    assert (after.state == "HALTED").all()
    assert after.exit_reason.iloc[0] == "breaker"


def test_a_damaged_state_is_refused_before_anything_trades(history, tmp_path):
    store = FileStateStore(tmp_path / "state")
    store.save(STATE_KEY, b'{"day": "yesterday"}')
    with pytest.raises(StateError, match="not of this version"):
        play(history, tmp_path / "run", ns("2024-03-06"), store)


class Full(MemoryStateStore):
    """A store that takes no state of the breaker for some of its saves."""

    def __init__(self, refused):
        super().__init__()
        self.saves, self.refused = 0, refused

    def save(self, key, value):
        self.saves += key == STATE_KEY
        if key == STATE_KEY and self.saves in self.refused:
            raise StateError("disk full")
        super().save(key, value)


def test_a_state_that_cannot_be_kept_opens_nothing_until_it_is(history, tmp_path):
    store = Full(range(1, 60))
    decisions = play(history, tmp_path, ns("2024-03-06"), store)
    rows = pd.read_parquet(tmp_path / "breaker.parquet")
    assert rows.trigger.tolist() == ["state_store", "state_store"]
    first, second = rows.ts_event
    during = decisions[(decisions.ts_event >= first) & (decisions.ts_event < second)]
    assert len(during) > 10
    assert (during.state == "REDUCING").all()
    assert (during.target_lots == 0).all()
    assert decisions.target_lots.iloc[-1] > 0
    assert state_of(store.load(STATE_KEY)).causes == ()
