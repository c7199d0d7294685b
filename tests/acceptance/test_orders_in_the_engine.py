"""What the strategy does with its orders when the venue does not play along, on real bars in the real engine."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import adapters.replay_stream
import composition
import configs
from adapters.scripted_policy import ScriptedPolicy
from adapters.state_store import MemoryStateStore
from core.errors import AutotradeError, StateError
from run_backtest import Replay, run_backtest
from strategies.rl import RLStrategy

BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def play(
    history: Path, out: Path, levels: dict[str, list[float]], end: str, *overrides: str
) -> dict[str, pd.DataFrame]:
    replay = Replay(
        config=configs.load("backtest", ["ensemble.quorum=1", *overrides]),
        catalog=history,
        instruments=tuple(levels),
        start_ns=ns("2024-01-20"),
        end_ns=ns(end),
        out=out,
        policies={name: ScriptedPolicy(script) for name, script in levels.items()},
        report=False,
    )
    run_backtest(replay)
    return {kind: pd.read_parquet(out / f"{kind}.parquet") for kind in ("decisions", "orders", "fills", "equity")}


def test_two_instruments_that_enter_at_one_close_share_the_capital(history, tmp_path):
    bold = ("risk.loss_per_trade=0.03", "sizing.volatility_target=2.0", "exits.stop_atr=1.5")
    run = play(history, tmp_path, {BTC: [1.0], ETH: [1.0]}, "2024-01-27", *bold)
    decisions, fills = run["decisions"], run["fills"]
    wanting = decisions[(decisions.position_lots == 0) & decisions.tradable].groupby("ts_event").instrument_id.nunique()
    assert (wanting == 2).any(), "both want to enter at one close"
    assert decisions.verdict.eq("capital").any()
    assert set(fills.instrument_id) == {BTC, ETH}
    lots = decisions.target_lots.abs() * 0.001 * decisions.close
    grew = decisions.target_lots.abs() > decisions.position_lots.abs()
    share = (lots / decisions.equity).groupby(decisions.ts_event).sum()
    assert share[decisions[grew].ts_event.unique()].max() <= 0.5 + 1e-3
    assert run["equity"].exposure.abs().max() <= 0.5 * 1.05, "beyond the limit only by what prices moved since"


class RefusedStops(RLStrategy):
    """A strategy whose first stop the venue refuses."""

    refused = False

    def submit_order(self, order, **more):
        if order.order_type.name == "STOP_MARKET" and not RefusedStops.refused:
            RefusedStops.refused = True
            event = SimpleNamespace(client_order_id=order.client_order_id, ts_event=order.ts_init, reason="-4045")
            self.on_order_rejected(event)
            return
        super().submit_order(order, **more)


def test_a_position_whose_stop_is_refused_is_closed_at_once(history, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "RLStrategy", RefusedStops)
    run = play(history, tmp_path, {BTC: [1.0]}, "2024-01-21")
    entry, leave = run["fills"].iloc[0], run["fills"].iloc[1]
    assert (entry.purpose, leave.purpose, leave.lots_after) == ("entry", "exit", 0)
    assert leave.exit_reason == "stop_loss"
    assert leave.ts_event - entry.ts_event <= 20_000_000_000, "at the next quote"


@pytest.mark.parametrize("depth", [7, 40])
def test_partial_fills_leave_no_lot_unprotected_and_the_books_right(history, tmp_path, monkeypatch, depth):
    monkeypatch.setattr(adapters.replay_stream, "DEPTH_LOTS", depth)
    rng = np.random.default_rng(4)
    script = np.repeat(rng.choice([-1.0, 0.0, 1.0], 200), 6).tolist()
    run = play(history, tmp_path, {BTC: script}, "2024-01-30", "exits.stop_atr=1.5", "risk.daily_drawdown=0.10")
    fills = run["fills"]
    assert fills.groupby("client_order_id").size().max() > 1, "orders were filled in parts"
    signed = fills.quantity.astype(float) * fills.side.map({"BUY": 1, "SELL": -1}) * 1000
    np.testing.assert_array_equal(signed.cumsum().round().astype(int), fills.lots_after)
    assert (run["decisions"].query("position_lots != 0").stop_price > 0).all()
    stops = run["orders"].query("purpose == 'stop'")
    assert not stops.status.isin(["rejected", "denied", "modify_rejected"]).any()


class TornPage(RLStrategy):
    """A strategy whose first fill cannot be written down, and that remembers what it sent."""

    sent: list[str] = []  # noqa: RUF012 - the engine makes the strategy
    torn = False

    def submit_order(self, order, **more):
        TornPage.sent.append(order.order_type.name)
        super().submit_order(order, **more)

    def on_order_filled(self, event):
        super().on_order_filled(event)
        TornPage.sent.append("heard")

    def _write_fill(self, command):
        if not TornPage.torn:
            TornPage.torn = True
            raise OSError("no space left on device")
        super()._write_fill(command)


def test_a_fill_that_cannot_be_written_down_is_protected_all_the_same(history, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "RLStrategy", TornPage)
    with pytest.raises(AutotradeError, match="no space left"):
        play(history, tmp_path, {BTC: [1.0]}, "2024-01-21")
    assert TornPage.sent == ["MARKET", "STOP_MARKET", "heard"]


class Torn(MemoryStateStore):
    """A store whose state is not whole."""

    def load(self, key):
        raise StateError(f"{key}: its checksum is wrong")


class Unreadable(RLStrategy):
    """A strategy that cannot read what it knew, and remembers what it began with."""

    begun: list[int] = []  # noqa: RUF012 - the engine makes the strategy

    def on_start(self):
        self._store = Torn()
        inherit = self.trader.inherit
        self.trader.inherit = lambda lots, *rest: (Unreadable.begun.append(lots), inherit(lots, *rest))[1]
        super().on_start()


def test_what_is_held_is_looked_after_though_the_state_cannot_be_read(history, tmp_path, monkeypatch):
    monkeypatch.setattr(composition, "RLStrategy", Unreadable)
    with pytest.raises(AutotradeError, match="its checksum is wrong"):
        play(history, tmp_path, {BTC: [1.0]}, "2024-01-21")
    assert Unreadable.begun == [0]
