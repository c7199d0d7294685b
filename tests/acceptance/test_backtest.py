"""A replay from the outside: its files, its account, its determinism, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import empyrical
import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import configs
from adapters.catalog import iter_bars
from adapters.scripted_policy import ScriptedPolicy
from core.errors import AutotradeError
from run_backtest import Replay, run_backtest

ROOT = Path(__file__).parents[2]
BTC, ETH = "BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"
START, END = "2024-01-15T00:00:00", "2024-02-05T00:00:00"
EAGER = ("ensemble.min_agreement=0.3", "ensemble.quorum=1")
"""Lets the ensemble trade often enough for a test of three weeks."""


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def command(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run_backtest.py", *map(str, args)], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="session")
def demo_models() -> list[Path]:
    return sorted(p.parent for p in (ROOT / "catalog" / "models").glob("*/manifest.json"))


@pytest.fixture(scope="session")
def replay(history: Path, demo_models: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Replay:
    return Replay(
        config=configs.load("backtest", EAGER),
        catalog=history,
        instruments=(BTC, ETH),
        start_ns=ns(START),
        end_ns=ns(END),
        out=tmp_path_factory.mktemp("run"),
        models=tuple(demo_models),
    )


@pytest.fixture(scope="session")
def summary(replay: Replay) -> dict:
    return run_backtest(replay)


def frame(replay: Replay, name: str) -> pd.DataFrame:
    return pd.read_parquet(replay.out / f"{name}.parquet")


def test_a_run_leaves_every_file_and_every_figure_that_others_rely_on(replay, summary):
    tables = [f"{kind}.parquet" for kind in ("decisions", "orders", "fills", "equity")]
    for name in ("summary.json", "config.json", *tables, "report.html"):
        assert (replay.out / name).is_file(), name
    on_disk = json.loads((replay.out / "summary.json").read_text())
    promised = (
        "run_id config_hash data_hash model_hashes bars decisions orders fills decisions_sha256 fills_sha256 "
        "starting_equity ending_equity total_return annualised_return sharpe sortino max_drawdown win_rate "
        "profit_factor turnover fees funding slippage_bps break_even_fee_bps buy_and_hold_return engine_seconds "
        "wall_seconds peak_rss_mb"
    )
    assert set(promised.split()) <= set(on_disk)
    assert on_disk["bars"] == 2 * 21 * 1440
    assert on_disk["decisions"] == len(frame(replay, "decisions")) == 2 * 21 * 96
    assert on_disk["fills"] == len(frame(replay, "fills")) > 10


def test_the_account_equals_the_fills_added_up_by_hand(replay, summary):
    fills, funding = frame(replay, "fills"), frame(replay, "funding")
    decisions = frame(replay, "decisions")
    signed = fills.quantity.astype(float) * fills.side.map({"BUY": 1.0, "SELL": -1.0})
    cash = -(signed * fills.price.astype(float)).sum() - fills.commission.sum() + funding.amount.sum()
    held = signed.groupby(fills.instrument_id).sum()
    last_close = decisions.groupby("instrument_id").close.last()
    equity = summary["starting_equity"] + cash + (held * last_close.reindex(held.index)).sum()
    assert summary["ending_equity"] == pytest.approx(equity, abs=0.01)
    assert summary["fees"] == pytest.approx(fills.commission.sum(), abs=0.01)
    assert summary["funding"] == pytest.approx(funding.amount.sum(), abs=0.01)
    notional = fills.quantity.astype(float) * fills.price.astype(float)
    assert (notional * 0.0005 - fills.commission).abs().max() < 1e-7


def test_limits_hold_on_every_row(replay, summary):
    decisions = frame(replay, "decisions")
    gross = (decisions.target_lots.abs() * 0.001 * decisions.close) / decisions.equity
    grown = decisions.target_lots.abs() > decisions.position_lots.abs()
    assert gross[grown].max() <= 0.5 + 1e-9
    assert (decisions.state[grown] == "ACTIVE").all()
    held = decisions[(decisions.position_lots != 0)]
    assert (held.stop_price > 0).all(), "no position without a stop"


def test_every_position_rests_on_a_reduce_only_stop(replay, summary):
    orders, fills = frame(replay, "orders"), frame(replay, "fills")
    opened = fills[fills.purpose == "entry"]
    stops = orders[(orders.purpose == "stop") & (orders.status == "submitted")]
    assert stops.reduce_only.all()
    for fill in opened.itertuples():
        at_once = stops[(stops.ts_event == fill.ts_event) & (stops.instrument_id == fill.instrument_id)]
        assert len(at_once) == 1


def test_two_runs_decide_and_fill_the_same_and_another_process_too(replay, summary, tmp_path):
    again = run_backtest(msgspec.structs.replace(replay, out=tmp_path / "again", report=False))
    eager = [word for rule in EAGER for word in ("--set", rule)]
    args = [
        *eager,
        "--catalog",
        replay.catalog,
        "--instrument",
        BTC,
        "--instrument",
        ETH,
        "--start",
        START,
        "--end",
        END,
    ]
    other = command(*args, "--models", *replay.models, "--out", tmp_path / "other", "--json")
    assert other.returncode == 0, other.stderr
    for key in ("decisions_sha256", "fills_sha256", "data_hash", "config_hash", "ending_equity"):
        assert summary[key] == again[key] == json.loads(other.stdout)[key], key


def test_one_flipped_tick_changes_both_hashes(replay, summary, tmp_path):
    """The determinism test can fail: the newest entry's bar is moved by one tick."""
    flipped = tmp_path / "catalog"
    shutil.copytree(replay.catalog, flipped)
    fills = frame(replay, "fills")
    ts = int(fills[(fills.instrument_id == BTC) & (fills.purpose == "entry")].ts_event.iloc[0]) - 1_000_000
    flip_close(flipped, BTC, ts)
    changed = run_backtest(msgspec.structs.replace(replay, catalog=flipped, out=tmp_path / "run", report=False))
    for key in ("decisions_sha256", "fills_sha256", "data_hash"):
        assert changed[key] != summary[key], key


def test_a_changed_future_leaves_every_earlier_observation_and_decision_untouched(replay, summary, tmp_path):
    changed = tmp_path / "catalog"
    shutil.copytree(replay.catalog, changed)
    moment = ns("2024-01-25T12:07:00")
    for minutes in range(0, 300, 7):
        flip_close(changed, BTC, moment + minutes * 60_000_000_000)
    other = msgspec.structs.replace(replay, catalog=changed, out=tmp_path / "run", report=False)
    run_backtest(other)
    before, after = frame(replay, "decisions"), frame(other, "decisions")
    known = before.ts_event < moment
    assert known.sum() > 1_000
    pd.testing.assert_frame_equal(before[known], after[after.ts_event < moment], check_exact=True)
    later = before[~known].reset_index(drop=True)
    assert not later.equals(after[after.ts_event >= moment].reset_index(drop=True)), (
        "the change is seen once it is past"
    )


def test_measures_equal_an_independent_librarys_on_the_same_curve(replay, summary):
    """Daily UTC closes, 365 days a year, risk-free 0; Sharpe by the sample deviation, Sortino by target 0."""
    curve = frame(replay, "equity")
    stamps = pd.to_datetime(curve.ts_event - 1, utc=True)
    closes = curve.groupby(stamps.dt.floor("D")).equity.last()
    daily = pd.concat([pd.Series([summary["starting_equity"]]), closes]).pct_change().dropna()
    assert summary["sharpe"] == pytest.approx(empyrical.sharpe_ratio(daily, annualization=365), rel=1e-9)
    assert summary["sortino"] == pytest.approx(empyrical.sortino_ratio(daily, annualization=365), rel=1e-9)
    steps = pd.concat([pd.Series([summary["starting_equity"]]), curve.equity]).pct_change().dropna()
    assert summary["max_drawdown"] == pytest.approx(-empyrical.max_drawdown(steps), rel=1e-9)


def test_chunks_of_the_stream_change_nothing(replay, summary, tmp_path):
    config = configs.load("backtest", ["backtest.chunk_days=2", *EAGER])
    again = run_backtest(msgspec.structs.replace(replay, config=config, out=tmp_path, report=False))
    for key in ("decisions_sha256", "fills_sha256", "ending_equity"):
        assert again[key] == summary[key], key


def flip_close(catalog: Path, instrument: str, ts_close: int) -> None:
    """Move the close of one bar, and the next bar's open, up by one tick, in the file itself."""
    folder = catalog / "data" / "bars" / f"{instrument}-1-MINUTE-LAST-EXTERNAL"
    tick = Decimal("0.1")
    for path in folder.glob("*.parquet"):
        table = pq.ParquetFile(path).read()
        stamps = table["ts_init"].cast(pa.int64()).to_numpy()
        if not stamps[0] <= ts_close <= stamps[-1]:
            continue
        for name, moment in (("close", ts_close), ("high", ts_close), ("open", ts_close + 60_000_000_000),
                             ("high", ts_close + 60_000_000_000)):  # fmt: skip
            values = table[name].to_pylist()
            row = int(np.searchsorted(stamps, moment))
            values[row] += tick
            column = pa.array(values, table.schema.field(name).type)
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
        pq.write_table(table, path)
        return
    pytest.fail(f"no file holds {ts_close}")


def test_bars_come_to_the_replay_as_they_are_in_the_history(history, shared_data):
    raw = pd.read_parquet(shared_data / "binancevision-spot-BTCUSDT-1m.parquet")
    raw = raw[(raw.open_time >= START) & (raw.open_time < END)]
    got = np.concatenate([b.close for b in iter_bars(history, BTC, "1m", start_ns=ns(START), end_ns=ns(END))])
    assert np.abs(got - raw.close.to_numpy()).max() <= 0.05 + 1e-9


def test_a_handler_that_raises_fails_the_run(replay, tmp_path):
    class Broken(ScriptedPolicy):
        def vote(self, observation):
            raise ZeroDivisionError("planted")

    broken = msgspec.structs.replace(
        replay, out=tmp_path, policies={BTC: Broken([0.0]), ETH: Broken([0.0])}, report=False
    )
    with pytest.raises(AutotradeError, match=r"EnsembleActor.on_bar raised ZeroDivisionError: planted"):
        run_backtest(broken)


def test_ctrl_c_while_the_engine_runs_ends_the_replay_and_leaves_nothing_behind(history, tmp_path):
    out = tmp_path / "run"
    running = subprocess.Popen(
        [sys.executable, "run_backtest.py", "--catalog", str(history), "--out", str(out)],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / ".fills.parquet.partial").exists():
        assert running.poll() is None, "it ended before it began"
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (130, "autotrade: interrupted\n")
    assert list(out.iterdir()) == []


def test_a_directory_that_holds_a_run_is_not_overwritten(replay, summary):
    result = command("--catalog", replay.catalog, "--out", replay.out)
    assert result.returncode == 2
    assert "exists and is not empty" in result.stderr
    assert json.loads((replay.out / "summary.json").read_text())["fills_sha256"] == summary["fills_sha256"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["--catalog", "nowhere"], 1, "nowhere"),
        (["--catalog", "HISTORY", "--start", "2030-01-01", "--end", "2030-02-01"], 1, "no bars"),
        (["--catalog", "HISTORY", "--start", "yesterday"], 2, "--start is 'yesterday'"),
        (["--catalog", "HISTORY", "--instrument", "XRPUSDT-PERP.BINANCE"], 1, "XRPUSDT-PERP.BINANCE"),
        (["--set", "risk.loss_per_trade=0.5"], 2, "risk.loss_per_trade"),
        (["--set", "risk.los_per_trade=0.01"], 2, "loss_per_trade"),
        (["--env", "mars"], 2, "mars"),
        (["--catalog", "HISTORY", "--models", "nowhere"], 3, "nowhere"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(history, tmp_path, args, code, said):
    result = command(*[str(history) if a == "HISTORY" else a for a in args], "--out", tmp_path / "run")
    assert result.returncode == code, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert said in result.stderr
    assert "Traceback" not in result.stderr
