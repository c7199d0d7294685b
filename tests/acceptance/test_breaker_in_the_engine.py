"""What trips the breaker by message, and what its timer does and leaves alone, in the real engine."""

import pandas as pd
import pytest

import composition
import configs
from adapters.scripted_policy import ScriptedPolicy
from core.messages import OrderOutcome, RiskState, Trip, outcome_topic, risk_topic, trip_topic
from run_backtest import Replay, run_backtest
from strategies.rl import RLStrategy
from tests.acceptance.crashes import BOLD, ns

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
MINUTE_NS = 60_000_000_000
AT = ns("2024-01-20T06:00")


def play(history, out, *overrides, names=(BTC,), end="2024-01-21", level=1.0):
    replay = Replay(
        config=configs.load("backtest", [*BOLD, *overrides]),
        catalog=history,
        instruments=names,
        start_ns=ns("2024-01-20"),
        end_ns=ns(end),
        out=out,
        policies={name: ScriptedPolicy([level]) for name in names},
        report=False,
    )
    summary = run_backtest(replay)
    return summary, {kind: pd.read_parquet(out / f"{kind}.parquet") for kind in ("decisions", "fills", "breaker")}


class Teller(RLStrategy):
    """A strategy that tells the breaker something at one decision, and hears what becomes of it."""

    messages: tuple[tuple[str, object], ...] = ()
    heard: tuple[RiskState, ...] = ()

    def on_start(self):
        super().on_start()
        self.subscribe_topic(risk_topic(), self.listen)

    def listen(self, message):
        Teller.heard += (message,)

    def on_decision(self, message):
        super().on_decision(message)
        if message.ts_event == AT and message.instrument_id == BTC:
            for topic, told in Teller.messages:
                self.publish_message(topic, told)


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr(composition, "RLStrategy", Teller)
    Teller.messages = Teller.heard = ()
    return Teller


REFUSED = (outcome_topic(), OrderOutcome(BTC, "O-1", "rejected", "margin", 5_000_000, AT))
SLOW = (outcome_topic(), OrderOutcome(BTC, "O-2", "filled", "", 3_000_000_000, AT))


@pytest.mark.parametrize(
    ("messages", "trigger"),
    [
        ([(trip_topic(), Trip("data_integrity", "a price of 0", AT))], "data_integrity"),
        ([(trip_topic(), Trip("model_failure", "quorum lost", AT))], "model_failure"),
        ([(trip_topic(), Trip("invariant_violation", "unprotected for 31 s", AT))], "invariant_violation"),
        ([REFUSED] * 5, "order_errors"),
        ([SLOW] * 5, "latency"),
    ],
)
@pytest.mark.parametrize("action", ["reduce", "halt", "flatten"])
def test_a_trip_is_obeyed_from_the_next_moment_on(messages, trigger, action, told, history, tmp_path):
    told.messages = tuple(messages)
    rules = (f"breaker.{trigger}={action}", f"breaker.{trigger}_rearm=manual")
    _, run = play(history, tmp_path, *rules, names=(BTC, ETH))
    (row,) = run["breaker"].itertuples()
    assert (row.ts_event, row.trigger, row.state_from) == (AT, trigger, "ACTIVE")
    assert row.state_to == ("REDUCING" if action == "reduce" else "HALTED")
    after = run["decisions"][run["decisions"].ts_event > AT]
    assert (after.state == row.state_to).all()
    assert not (after.target_lots.abs() > after.position_lots.abs()).any()
    last = run["decisions"][run["decisions"].ts_event == AT]
    assert (last.target_lots > 0).any(), "something was held"
    closing = run["fills"][(run["fills"].ts_event > AT) & (run["fills"].purpose == "exit")]
    if action == "reduce":
        assert not (closing.exit_reason == "breaker").any()
    else:
        wait = (closing.ts_event.max() - AT) / MINUTE_NS
        assert (closing.exit_reason == "breaker").all()
        assert wait < 1 if action == "flatten" else 15 <= wait < 16


def test_four_errors_are_not_five(told, history, tmp_path):
    told.messages = (REFUSED,) * 4
    _, run = play(history, tmp_path)
    assert run["breaker"].empty


def test_the_state_says_when_the_breaker_last_looked_and_what_each_instrument_holds(told, history, tmp_path):
    play(history, tmp_path, "breaker.mark_interval_seconds=60", "sizing.max_exposure=0.2", names=(BTC, ETH))
    late = [state for state in told.heard if state.ts_event > AT]
    assert max(state.ts_event - state.evaluated_ns for state in late) <= MINUTE_NS
    gaps = pd.Series([state.ts_event for state in late]).diff().max()
    assert gaps <= MINUTE_NS
    assert any(set(state.notionals) == {BTC, ETH} for state in late)
    for state in late:
        assert sum(state.notionals.values()) == pytest.approx(state.gross_notional)


def test_the_timer_changes_no_decision_and_no_fill(history, tmp_path):
    runs = [
        play(
            history,
            tmp_path / str(seconds),
            f"breaker.mark_interval_seconds={seconds}",
            names=(BTC, ETH),
            end="2024-01-26",
        )
        for seconds in (7, 60, 900, 3_600)
    ]
    assert len({(summary["decisions_sha256"], summary["fills_sha256"]) for summary, _ in runs}) == 1
    assert runs[0][0]["fills"] > 4


def test_the_timer_watches_when_the_data_stop(outage, tmp_path, monkeypatch):
    """72 minutes without a trade, then 80 missing ones: what is held is marked at its last price and called stale."""
    monkeypatch.setattr(composition, "RLStrategy", Teller)
    Teller.messages = Teller.heard = ()
    replay = Replay(
        config=configs.load("backtest", [*BOLD, "breaker.mark_interval_seconds=60"]),
        catalog=outage,
        instruments=(BTC,),
        start_ns=ns("2023-03-24"),
        end_ns=ns("2023-03-25"),
        out=tmp_path,
        policies={BTC: ScriptedPolicy([1.0])},
        report=False,
    )
    run_backtest(replay)
    hole = [s for s in Teller.heard if ns("2023-03-24T12:45") < s.ts_event < ns("2023-03-24T13:55")]
    assert len(hole) >= 69
    assert all(s.stale == (BTC,) and s.ts_event - s.evaluated_ns <= MINUTE_NS for s in hole)
    assert Teller.heard[-1].stale == ()
