"""A planted defect in what a node keeps, or in what a venue was sent, is found and named (`claims.py`)."""

import sys
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from claims import Claims
from implied import ENGINE_MARK, bareness, sent_twice

import configs
from adapters.state_store import MemoryStateStore
from core.causes import BreakerState
from core.protections import M, close_trade, new_memory, open_bar, record_entry
from core.trips import STATE_KEY, encoded, tripped

MINUTE_MS = 60_000
BEGAN_MS = 1_704_412_800_000  # 2024-01-05T00:00
DECIDED_MS = BEGAN_MS + MINUTE_MS
CONFIG = configs.load("testnet", ["market.decision_interval=1m"])
LIMITS = CONFIG.decision_params().risk
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def name(mark, ms):
    number, digits = (ms + 5) * 1_000_000, ""
    while number:
        number, digit = divmod(number, 36)
        digits = DIGITS[digit] + digits
    return f"{ENGINE_MARK}RL-001-{digits}-{mark}1"


def row(kind, ms, **what):
    return {"kind": kind, "time_ms": ms, "real_ms": ms, **what}


def filled(ms, order, side, price, position, wallet, realized="0"):
    return row("fill", ms, client_order_id=order, side=side, price=price, quantity="0.1", commission="1",
               realized=realized, position=position, wallet=wallet)  # fmt: skip


def sent(ms, order, path="/fapi/v1/order"):
    field = "newClientOrderId" if path.endswith("/order") else "clientAlgoId"
    return row("request", ms, method="POST", path=path, params={field: order})


def stop(ms, status):
    return row("algo", ms, algo_id=1, side="SELL", quantity="0.1", status=status)


ENTRY, STOP = name("N", DECIDED_MS), name("S", DECIDED_MS)
LEDGER = [
    sent(DECIDED_MS + 5, ENTRY),
    filled(DECIDED_MS + 5, ENTRY, "BUY", "40000", "0.1", "99999"),
    sent(DECIDED_MS + 9, STOP, "/fapi/v1/algoOrder"),
    stop(DECIDED_MS + 9, "NEW"),
    stop(DECIDED_MS + 70_000, "TRIGGERING"),
    filled(DECIDED_MS + 70_000, STOP, "SELL", "39000", "0", "99898", "-100"),
]
"""One trade: bought on the close of the first minute, stopped out in the third, 102 lost."""
CLOSES = {DECIDED_MS: 40_000.0, DECIDED_MS + MINUTE_MS: 39_500.0}


def trading():
    """What a node keeps that went through this."""
    memory = new_memory(LIMITS)
    open_bar(memory, 0, DECIDED_MS * 1_000_000, 0.5, LIMITS)
    record_entry(memory, 0, LIMITS)
    open_bar(memory, 0, (DECIDED_MS + MINUTE_MS) * 1_000_000, 0.5, LIMITS)
    close_trade(memory, 0, -0.001, True, LIMITS)
    day = BreakerState().day._replace(
        day=BEGAN_MS // 86_400_000, high_water_mark=100_000.0, drawdown=1.0 - 99_949.0 / 100_000.0, peak=100_000.0
    )
    return SimpleNamespace(memory=memory, realised=-102.0), BreakerState(day=day)


def found(trader, breaker, rows=LEDGER):
    store = MemoryStateStore()
    store.save(STATE_KEY, encoded(breaker))
    klines = [[ms - MINUTE_MS, "0", "0", "0", str(close)] for ms, close in CLOSES.items()]
    control = SimpleNamespace(
        ledger=lambda *, wire_since, since: {"exchange": rows[since:]},
        state=lambda: {"minute_ms": DECIDED_MS + MINUTE_MS},
        call=lambda *_: klines,
    )
    venue = SimpleNamespace(control=control)
    node = SimpleNamespace(venue=venue, store=store, trader=lambda: trader, differences=list)
    claims = Claims(node, MINUTE_MS, 100_000.0, LIMITS)
    claims.written_seconds = 0.0
    claims.lived(BEGAN_MS, DECIDED_MS + MINUTE_MS)
    return [each.split(":")[0] for each in claims.wrong()]


def test_a_node_that_went_through_what_the_ledger_says_is_right():
    assert found(*trading()) == []


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("day_entries", 0, ["entries of the day"]),
        ("entries", 0, ["entries of 24 hours"]),
        ("streak", 0, ["losses in a row"]),
        ("trades", 2, ["trades"]),
        ("stops", 0, ["trades that a stop ended"]),
    ],
)
def test_a_counter_that_is_not_the_ledgers_is_named(place, value, named):
    trader, breaker = trading()
    trader.memory[getattr(M, place)] = value
    assert found(trader, breaker) == named


def test_a_profit_that_is_not_the_ledgers_is_named():
    trader, breaker = trading()
    trader.realised += 0.05
    assert found(trader, breaker) == ["realised"]


def test_an_anchor_of_the_drawdown_that_is_not_the_ledgers_is_named():
    trader, breaker = trading()
    higher = breaker.day._replace(high_water_mark=100_001.0, drawdown=1.0 - 99_949.0 / 100_001.0)
    assert found(trader, msgspec.structs.replace(breaker, day=higher)) == ["high-water mark of the day"]
    poorer = breaker.day._replace(drawdown=0.001)
    assert found(trader, msgspec.structs.replace(breaker, day=poorer)) == ["equity of the last mark"]


def test_a_trip_or_a_request_that_nobody_asked_for_is_named():
    trader, breaker = trading()
    step = tripped(breaker, "manual", "a test", DECIDED_MS * 1_000_000, CONFIG.breaker_params())
    assert found(trader, step.state) == ["causes", "trips"]
    assert found(trader, msgspec.structs.replace(breaker, requests_done=1, rearms=1)) == ["re-arms", "requests"]


def test_how_long_a_position_was_bare_is_told():
    assert bareness(LEDGER) == (4, 4)
    assert bareness([each for each in LEDGER if each["kind"] != "algo"]) == (69_995, 69_995)
    late = [*LEDGER[:3], stop(DECIDED_MS + 30_005, "NEW"), *LEDGER[4:]]
    assert bareness(late) == (30_000, 30_000)


def test_an_order_that_was_sent_twice_or_by_others_or_opened_twice_is_named():
    assert sent_twice(LEDGER, MINUTE_MS) == []
    assert sent_twice([*LEDGER, LEDGER[0]], MINUTE_MS) == [f"{ENTRY} was sent 2 times"]
    assert sent_twice([*LEDGER, sent(DECIDED_MS, "by-hand")], MINUTE_MS) == ["by-hand is not ours"]
    again = filled(DECIDED_MS + 80_000, name("A", DECIDED_MS + 20), "BUY", "40000", "0.1", "99890")
    assert sent_twice([*LEDGER, again], MINUTE_MS) == [f"2 entries on the close of {DECIDED_MS}"]
