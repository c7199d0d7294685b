"""The invariant checker in the real engine: silent on what is right, and each planted defect fails the run by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nautilus_trader.model import ClientOrderId, OrderSide, Price, Quantity

import composition
import configs
import core.desk
from actors.ensemble import EnsembleActor
from actors.monitor import Monitor
from actors.risk import RiskActor
from adapters.scripted_policy import ScriptedPolicy
from configs.schema import AppConfig
from core.errors import AutotradeError
from core.invariants import INVARIANTS
from core.messages import Evaluated, RiskState, Signal
from core.protection import Protection, Step
from run_backtest import Replay, run_backtest
from strategies.rl import RLStrategy

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
HOUR_NS = 3_600_000_000_000


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


START = ns("2024-01-20")
LONG_THEN_FLAT = [1.0] * 8 + [0.0] * 24


def play(
    history: Path, out: Path, levels: dict[str, list[float]], hours: int, *overrides: str
) -> dict[str, pd.DataFrame]:
    replay = Replay(
        config=configs.load("backtest", ["ensemble.quorum=1", *overrides]),
        catalog=history,
        instruments=tuple(levels),
        start_ns=START,
        end_ns=START + hours * HOUR_NS,
        out=out,
        policies={name: ScriptedPolicy(script) for name, script in levels.items()},
        report=False,
    )
    run_backtest(replay)
    return {kind: pd.read_parquet(out / f"{kind}.parquet") for kind in ("decisions", "fills", "alerts", "breaker")}


class ForgetfulProtection(Protection):
    """Neither places a stop nor minds that there is none."""

    def step(self, *_: object) -> Step:
        return Step.NOTHING

    def too_long(self, *_: object) -> bool:
        return False


class DoublesItsStop(RLStrategy):
    """Sends a stop twice as large as the position."""

    def submit_order(self, order, **more):
        if order.order_type.name == "STOP_MARKET":
            order = self.order_factory.stop_market(
                order.instrument_id, order.side, Quantity.from_decimal(order.quantity.as_decimal() * 2),
                order.trigger_price, reduce_only=True, client_order_id=order.client_order_id,
            )  # fmt: skip
        super().submit_order(order, **more)


class SendsMore(RLStrategy):
    """Sends an order that it does not write down."""

    def submit_order(self, order, **more):
        super().submit_order(order, **more)
        if order.order_type.name == "MARKET" and not order.is_reduce_only:
            far = self.order_factory.limit(
                order.instrument_id, OrderSide.BUY, order.quantity, Price.from_str("20000.0"),
                client_order_id=ClientOrderId("STRANGER"),
            )  # fmt: skip
            super().submit_order(far)


class StopsOnTheWrongSide(RLStrategy):
    """Mirrors the trigger of a long's stop to above the market."""

    def submit_order(self, order, **more):
        if order.order_type.name == "STOP_MARKET":
            order = self.order_factory.stop_market(
                order.instrument_id, order.side, order.quantity, Price.from_str("60000.0"),
                reduce_only=True, client_order_id=order.client_order_id,
            )  # fmt: skip
        super().submit_order(order, **more)


class StopsThatOpen(RLStrategy):
    """Sends stops that are not reduce-only."""

    def submit_order(self, order, **more):
        if order.order_type.name == "STOP_MARKET":
            order = self.order_factory.stop_market(
                order.instrument_id, order.side, order.quantity, order.trigger_price,
                reduce_only=False, client_order_id=order.client_order_id,
            )  # fmt: skip
        super().submit_order(order, **more)


class ForgetfulJournal:
    """Loses the first fill."""

    def __init__(self, journal):
        self._journal = journal
        self._lost = False

    def record(self, kind, row):
        if kind == "fills" and not self._lost:
            self._lost = True
        else:
            self._journal.record(kind, row)


class LosesAFill(RLStrategy):
    """Writes one fill less down than there were."""

    def __init__(self, params, *, journal, **more):
        super().__init__(params, journal=ForgetfulJournal(journal), **more)


class FallsSilent(EnsembleActor):
    """Sends no signal after the third hour."""

    def publish_message(self, topic, message):
        if not isinstance(message, Signal) or message.ts_event <= START + 3 * HOUR_NS:
            super().publish_message(topic, message)


class StopsLooking(RiskActor):
    """Tells nobody of its looks after the first hour."""

    def publish_message(self, topic, message):
        if not isinstance(message, RiskState | Evaluated) or message.ts_event <= START + HOUR_NS:
            super().publish_message(topic, message)


def bold(self):
    """Let the strategy, not the checker, use more of the equity than is allowed."""
    params = DECISION_PARAMS(self)
    risk = params.risk._replace(max_capital=1.0, max_instrument=1.0, max_group=1.0, loss_per_trade=1.0)
    return params._replace(sizing=params.sizing._replace(max_exposure=0.9, volatility_target=9.0), risk=risk)


DECISION_PARAMS = AppConfig.decision_params

DEFECTS = {
    "unprotected": (core.desk, "Protection", ForgetfulProtection),
    "overprotected": (composition, "RLStrategy", DoublesItsStop),
    "reconciled": (composition, "RLStrategy", LosesAFill),
    "known_orders": (composition, "RLStrategy", SendsMore),
    "fresh_decision": (composition, "EnsembleActor", FallsSilent),
    "breaker_evaluated": (composition, "RiskActor", StopsLooking),
    "stop_side": (composition, "RLStrategy", StopsOnTheWrongSide),
    "used_capital": (AppConfig, "decision_params", bold),
}


def test_every_invariant_has_a_planted_defect():
    assert sorted(DEFECTS) == sorted(invariant.name for invariant in INVARIANTS)


@pytest.mark.parametrize(("name", "planted"), DEFECTS.items(), ids=DEFECTS)
def test_a_planted_defect_fails_the_run_by_the_name_of_its_invariant(history, tmp_path, monkeypatch, name, planted):
    monkeypatch.setattr(*planted)
    with pytest.raises(AutotradeError, match=rf"proves nothing.* invariant {name} violated: {BTC}: "):
        play(history, tmp_path, {BTC: LONG_THEN_FLAT}, 8)


def test_a_stop_that_could_open_a_position_fails_the_run(history, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "RLStrategy", StopsThatOpen)
    with pytest.raises(AutotradeError, match=r"invariant overprotected violated: .* is not reduce-only"):
        play(history, tmp_path, {BTC: LONG_THEN_FLAT}, 2)


def test_where_a_violation_is_not_fatal_it_freezes_trips_alerts_and_is_written_down_once(
    history, tmp_path, monkeypatch
):
    told = []

    class Tolerant(Monitor):
        def __init__(self, params, *, violated, **more):
            super().__init__(params, violated=lambda text: None, **more)

        def publish_message(self, topic, message):
            told.append((topic, message))
            super().publish_message(topic, message)

    monkeypatch.setattr(composition, "Monitor", Tolerant)
    monkeypatch.setattr(composition, "RLStrategy", SendsMore)
    run = play(history, tmp_path, {BTC: [1.0]}, 3)
    topics = [topic for topic, _ in told]
    assert topics == ["entries.freeze", "breaker.trip", "alerts"]
    freeze, trip, alert = (message for _, message in told)
    assert (freeze.instrument_id, freeze.frozen, freeze.source) == (BTC, True, "invariants")
    assert trip.trigger == "invariant_violation"
    assert trip.detail == freeze.reason == alert.text
    ours = run["alerts"].query("source == 'invariants'")
    assert ours.severity.tolist() == ["critical"]
    assert ours.text.item() == alert.text
    assert run["breaker"].trigger.tolist()[0] == "invariant_violation"


def test_several_real_days_of_two_instruments_violate_nothing(history, tmp_path):
    rng = np.random.default_rng(4)
    levels = {name: np.repeat(rng.choice([-1.0, 0.0, 1.0], 400), 6).tolist() for name in (BTC, ETH)}
    run = play(
        history, tmp_path, levels, 24 * 7, "exits.stop_atr=1.5", "exits.trail_start_atr=0.5", "exits.trail_atr=1"
    )
    assert len(run["fills"]) > 100
    assert {"stop_loss", "trailing_stop", "signal"} <= set(run["fills"].exit_reason)
    assert not run["alerts"].source.eq("invariants").any()


@pytest.mark.parametrize("style", ["twap", "limit"])
def test_orders_that_are_worked_violate_nothing_while_they_fill(history, tmp_path, style):
    levels = {BTC: np.repeat(np.random.default_rng(5).choice([-1.0, 0.0, 1.0], 50), 4).tolist()}
    run = play(history, tmp_path, levels, 24 * 2, f"execution.style={style}")
    assert run["fills"].client_order_id.str.contains("-E").any(), "in slices"


def test_the_checker_looks_at_what_it_is_for(history, tmp_path, monkeypatch):
    looks = []

    class Counting(Monitor):
        def _look(self, name, now, **more):
            looks.append((now, self._cache_lots(name), len(self._open_orders(name))))
            super()._look(name, now, **more)

    monkeypatch.setattr(composition, "Monitor", Counting)
    run = play(history, tmp_path, {BTC: LONG_THEN_FLAT}, 8)
    assert set(run["fills"].ts_event) <= {now for now, *_ in looks}, "at each fill"
    held = [(now, orders) for now, lots, orders in looks if lots != 0]
    assert any(orders == 1 for _, orders in held)
    last = run["fills"].ts_event.max()
    assert not [now for now, *_ in looks if now > last + 900_000_000_000], "flat, and nothing happens: no looks"
