"""Real crashes, the replays through them, and what they cost, recomputed from fills and bars alone."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

import configs
from adapters.binance_history import ImportRequest, import_files
from adapters.scripted_policy import ScriptedPolicy
from core.rules import CAPITAL, INSTRUMENT, LOSS_PER_TRADE, RULES
from run_backtest import Replay, run_backtest

WARM_DAYS = 17
SPOT = "binancevision-spot-{}-1m.parquet"
FUTURES_5M, FUTURES_15M = "stitched-usdm-{}-5m.parquet", "stitched-usdm-{}-15m.parquet"
NEAR = "raw/vision_csv_monthly/usdm-{}-1m-2025-02.csv.gz"
FILTERS = "raw/exchange_info/usdm-exchangeInfo-20260331-reserialised.json.gz"
KEPT = {CAPITAL, INSTRUMENT, LOSS_PER_TRADE}
UNRULED = [rule.name for rule in RULES if rule.switchable and rule.code not in KEPT]
BOLD = (
    "ensemble.quorum=1", "sizing.max_exposure=0.5", "sizing.volatility_target=2.0", "risk.loss_per_trade=0.03",
    "risk.max_capital=0.5", "risk.daily_drawdown=0.05", "risk.tighten_volatility=0.0", "risk.tighten_loss=0.0",
    "risk.tighten_drawdown=0.0", f"risk.disabled={UNRULED}", "exits.stop_atr=6.0", "exits.break_even_atr=0.0",
    "exits.trail_atr=0.0",
)  # fmt: skip
"""As much exposure as the limits of capital and loss let anybody choose, no pause after anything, a stop far away."""


class Crash(NamedTuple):
    """Some days of one market: decisions from ``start`` to ``end``, on bars of a file of the shared history."""

    name: str
    symbol: str
    start: str
    end: str
    file: str
    interval: str

    @property
    def instrument(self) -> str:
        return f"{self.symbol}-PERP.BINANCE"


MAJORS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
CRASHES = [
    *(Crash("2022-05 LUNA", symbol, "2022-05-08", "2022-05-14", SPOT, "1m") for symbol in MAJORS),
    *(Crash("2022-11 FTX", symbol, "2022-11-07", "2022-11-11", SPOT, "1m") for symbol in MAJORS),
    *(Crash("2023-03 SVB", symbol, "2023-03-09", "2023-03-13", SPOT, "1m") for symbol in MAJORS),
    Crash("2023-03-24", "BTCUSDT", "2023-03-23", "2023-03-26", SPOT, "1m"),
    *(Crash("2024-03-05", symbol, "2024-03-04", "2024-03-07", SPOT, "1m") for symbol in MAJORS),
    Crash("2024-08-05", "BTCUSDT", "2024-08-04", "2024-08-07", FUTURES_5M, "5m"),
    Crash("2024-08-05", "ETHUSDT", "2024-08-04", "2024-08-07", FUTURES_15M, "15m"),
    Crash("2025-02-03", "BTCUSDT", "2025-02-01", "2025-02-05", FUTURES_5M, "5m"),
    Crash("2025-02-03", "ETHUSDT", "2025-02-01", "2025-02-05", FUTURES_15M, "15m"),
    Crash("2025-02-25", "NEARUSDT", "2025-02-24", "2025-03-01", NEAR, "1m"),
]


class Outcome(NamedTuple):
    """What a replay came to: fractions of the day's high-water mark; ``halts`` as (time, ns)."""

    largest_loss: float
    beyond_limit: float
    explained: float
    halts: tuple[int, ...]
    stop_gap_bps: float
    opened_while_halted: int
    held_after_flattening: int
    total_return: float
    exposure: float


def history(crash: Crash, shared: Path, folder: Path) -> tuple[Path, pd.DataFrame]:
    """Import a crash and the days before it; return the catalog and the bars of its days, by close (ns)."""
    source = shared / crash.file.format(crash.symbol)
    first = pd.Timestamp(crash.start, tz="UTC") - pd.Timedelta(days=WARM_DAYS)
    catalog, part = folder / "catalog", source
    if source.suffix == ".parquet":
        table = pq.read_table(source)
        opened = table["open_time"]
        wanted = pc.and_(pc.greater_equal(opened, first), pc.less(opened, pd.Timestamp(crash.end, tz="UTC")))
        part = folder / f"{crash.symbol}.parquet"
        pq.write_table(table.filter(wanted), part)
    filters = str(shared / FILTERS) if crash.symbol == "NEARUSDT" else None
    import_files(ImportRequest([part], catalog, crash.symbol, interval=crash.interval, exchange_info=filters))
    folder_of_bars = next((catalog / "data" / "bars").glob(f"{crash.instrument}-*"))
    bars = pd.concat([pd.read_parquet(path) for path in sorted(folder_of_bars.glob("*.parquet"))])
    bars = bars[["high", "low", "close"]].astype(float).assign(ts=bars.ts_init.astype("int64"))
    return catalog, bars[(bars.ts > ns(crash.start)) & (bars.ts <= ns(crash.end))].reset_index(drop=True)


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def replayed(crash: Crash, level: float, catalog: Path, bars: pd.DataFrame, out: Path) -> Outcome:
    """Replay a policy that always wants the same, and take its losses from fills and bars."""
    config = configs.load("backtest", [f"market.base_interval={crash.interval}", *BOLD])
    replay = Replay(
        config=config,
        catalog=catalog,
        instruments=(crash.instrument,),
        start_ns=ns(crash.start),
        end_ns=ns(crash.end),
        out=out,
        policies={crash.instrument: ScriptedPolicy([level])},
        report=False,
    )
    run_backtest(replay)
    tables = {name: pd.read_parquet(out / f"{name}.parquet") for name in ("fills", "equity", "breaker", "decisions")}
    return outcome(tables, bars, config.risk.daily_drawdown)


def outcome(tables: dict[str, pd.DataFrame], bars: pd.DataFrame, limit: float) -> Outcome:
    """Recompute an account at every base bar's close."""
    fills, marks = tables["fills"], tables["equity"]
    signed = fills.quantity.astype(float) * fills.side.map({"BUY": 1.0, "SELL": -1.0})
    price = fills.price.astype(float)
    at = np.searchsorted(fills.ts_event.to_numpy(), bars.ts.to_numpy(), side="right")
    cash = np.concatenate([[0.0], np.cumsum(-(signed * price) - fills.commission)])[at]
    lots = np.concatenate([[0.0], np.cumsum(signed)])[at].round(6)
    equity = 10_000.0 + cash + lots * bars.close.to_numpy()
    np.testing.assert_allclose(equity[np.searchsorted(bars.ts, marks.ts_event)], marks.equity, atol=1e-4)

    day = (bars.ts.to_numpy() - 1) // 86_400_000_000_000
    decided = dict(zip(marks.ts_event, marks.equity, strict=True))
    high, previous, last = np.full(len(bars), 10_000.0), -1, 10_000.0
    top = last
    for i, ts in enumerate(bars.ts):
        if day[i] != previous:
            top, previous = last, day[i]
        if ts in decided:
            last = decided[ts]
            top = max(top, last)
        high[i] = top
    loss = 1.0 - equity / high

    halted = tables["breaker"].query("state_to == 'HALTED' and state_from != 'HALTED'").ts_event.tolist()
    explained, held, opened = 0.0, 0, 0
    for ts in halted:
        i = int(np.searchsorted(bars.ts, ts))
        below = int(np.flatnonzero(loss[: i + 1] < limit)[-1])
        span = slice(below + 1, i + 2)
        largest = lots[below : i + 1][np.abs(lots[below : i + 1]).argmax()]
        worst = bars.low[span].min() if largest > 0 else bars.high[span].max()
        costs = abs(largest) * bars.high[span].max() * (0.0005 + 0.0001)
        explained = max(explained, (abs(largest * (worst - bars.close[below])) + costs) / high[i])
        until = int(np.searchsorted(day, day[i], side="right"))
        held += int(np.count_nonzero(lots[i + 1 : until]))
        inside = (fills.ts_event > ts) & (fills.ts_event <= bars.ts[until - 1])
        opened += int(fills[inside].purpose.isin(["entry", "increase"]).sum())
    stops = fills[fills.purpose == "stop"]
    gaps = signed[stops.index].apply(np.sign) * (stops.price.astype(float) / stops.arrival_price - 1.0) * 1e4
    return Outcome(
        largest_loss=float(loss.max()),
        beyond_limit=float(max(loss.max() - limit, 0.0)),
        explained=explained,
        halts=tuple(halted),
        stop_gap_bps=float(gaps.max()) if len(gaps) else 0.0,
        opened_while_halted=opened,
        held_after_flattening=held,
        total_return=float(equity[-1] / 10_000.0 - 1.0),
        exposure=float(np.abs(lots * bars.close.to_numpy() / equity).max()),
    )
