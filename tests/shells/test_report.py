"""A run's summary and its page, from a small run written out by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from adapters.recorder import RunRecorder
from adapters.report import summarise, write_report
from core.costs import CostParams

BAR = 900_000_000_000
DAY_BARS = 96
NAME = "BTCUSDT-PERP.BINANCE"


def write_run(out: Path, *, name: str = NAME, fills: bool = True) -> None:
    """Three days: bought 1 at 100, sold at 110 with 0.1 of fees, funding of -0.5 in between."""
    recorder = RunRecorder(out)
    for i in range(3 * DAY_BARS):
        ts = (i + 1) * BAR
        close = 100.0 + 10.0 * i / (3 * DAY_BARS - 1)
        equity = 1000.0 + (close - 100.0 if fills else 0.0)
        recorder.record("decisions", {
            "ts_event": ts, "instrument_id": name, "close": close, "level": 1.0, "confidence": 0.8, "agreement": 1.0,
            "voters": 2, "abstention": "", "tradable": True, "levels": (1.0, 1.0), "confidences": (0.8, 0.8),
            "observation_hash": "", "volatility": 0.5, "volatility_rank": 0.5, "atr": 1.0, "equity": equity,
            "drawdown": 0.0, "state": "ACTIVE", "position_lots": 1, "entry_price": 100.0, "stop_price": 90.0,
            "target_lots": 1, "new_stop_price": 90.0, "exit_reason": "", "verdict": "allowed", "client_order_id": "",
            "reason": "", "rules": "", "models": (), "weights": (),
        })  # fmt: skip
        recorder.record("equity", {
            "ts_event": ts, "equity": equity if i < 3 * DAY_BARS - 1 or not fills else 1009.4, "balance": equity,
            "high_water_mark": equity, "drawdown": 0.0, "exposure": 0.1, "state": "ACTIVE",
        })  # fmt: skip
    if fills:
        for ts, side, price, purpose, lots in (
            (BAR, "BUY", "100.0", "entry", 1),
            (200 * BAR, "SELL", "110.0", "exit", 0),
        ):
            recorder.record("fills", {
                "ts_event": ts, "instrument_id": name, "client_order_id": purpose, "side": side, "quantity": "1",
                "price": price, "commission": 0.05, "liquidity": "TAKER", "arrival_price": float(price) - 0.1,
                "purpose": purpose, "exit_reason": "signal" if lots == 0 else "", "lots_after": lots,
            })  # fmt: skip
        recorder.record("funding", {"ts_event": 100 * BAR, "instrument_id": name, "rate": 0.005, "amount": -0.5})
    recorder.close()


def summary_of(out: Path) -> dict:
    return summarise(out, starting_equity=1000.0, costs=CostParams(0.0005, 0.0002, 0.0001), currency="USDT")


def test_a_summary_adds_up_by_hand(tmp_path):
    write_run(tmp_path)
    summary = summary_of(tmp_path)
    assert summary["ending_equity"] == 1009.4
    assert summary["total_return"] == pytest.approx(0.0094)
    assert summary["fees"] == pytest.approx(0.1)
    assert summary["funding"] == pytest.approx(-0.5)
    assert summary["notional"] == pytest.approx(210.0)
    assert summary["fee_bps"] == pytest.approx(0.1 / 210 * 1e4)
    assert summary["break_even_fee_bps"] == pytest.approx((9.4 + 0.1) / 210 * 1e4)
    assert summary["slippage_bps"] == pytest.approx((0.1 - 0.1) / 209.8 * 1e4, abs=1e-9), "paid 0.1, then gained 0.1"
    assert summary["buy_and_hold_return"] == pytest.approx(0.1)
    assert summary["win_rate"] == 1.0
    assert (summary["decisions"], summary["fills"], summary["round_trips"]) == (288, 2, 1)
    by_multiple = {r["multiple"]: r["ending_equity"] for r in summary["cost_sensitivity"]}
    assert by_multiple[1.0] == pytest.approx(1009.4)
    assert by_multiple[2.0] == pytest.approx(1009.4 - 0.1 - 210.0 * 0.0001)


def page_of(out: Path, **more: object) -> str:
    return write_report(out, summary_of(out) | more).read_text(encoding="utf-8")


def test_a_page_needs_nothing_but_itself_and_says_first_what_was_made(tmp_path):
    write_run(tmp_path)
    page = page_of(tmp_path, run_id="r1", model_ids=["a", "b"])
    assert not re.search(r"(?:src|href)\s*=|@import|url\((?!#)", page), "no other file, no network"
    assert page.index("Made 0.94% after costs") < page.index("Does it survive its costs?")
    data = json.loads(re.search(r'id="chart-data">(.*?)</script>', page, re.DOTALL).group(1))
    assert {"equity", "drawdown", "exposure"} <= set(data)
    assert np.isfinite(data["equity"]["lines"][1]["v"]).all()


def test_a_synthetic_market_and_a_range_that_was_trained_on_are_called_so(tmp_path):
    write_run(tmp_path / "a", name="SYNTHBTCUSDT-PERP.BINANCE")
    assert "SYNTHETIC" in page_of(tmp_path / "a")
    write_run(tmp_path / "b")
    page = page_of(tmp_path / "b", in_sample=True, models_trained_until="2024-01-01T00:00:00+00:00")
    assert "IN SAMPLE" in page
    assert "SYNTHETIC" not in page


def test_a_run_without_a_fill_has_a_page_too(tmp_path):
    write_run(tmp_path, fills=False)
    summary = summary_of(tmp_path)
    assert summary["total_return"] == 0.0
    assert summary["break_even_fee_bps"] is None
    assert "Traded nothing" in page_of(tmp_path)


def test_names_are_shown_as_text_not_as_markup(tmp_path):
    write_run(tmp_path)
    assert "<script>alert" not in page_of(tmp_path, model_ids=["<script>alert(1)</script>"])
