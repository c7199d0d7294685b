"""Implementation shortfall of the styles of execution on recorded markets, fees apart and included.

Parents are worked by `core.parent`, the code that trades; what they get is told by `benchmarks.tape`, where all
assumptions stand. The engine's matching is not used: on this recording it gave large resting orders five times the
volume that was traded at their price or through it, because a displayed size is there again at every update.

The grid of start times, sides and sizes was fixed before the first run; how orders are matched was mended twice after
looking at results (the engine's resting fills, and what `benchmarks.tape` says of waiting). Orders overlap in time and
share one market, so they are fewer independent observations than they are orders; the perpetual's book is 5.7 minutes
of one day. Fees are those of perpetuals (`configs/base.toml`) everywhere, on the spot pair too.
"""

import sys
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

import configs
from adapters.instruments import InstrumentInfo, default_instruments, load_exchange_info, parse_exchange_info
from benchmarks.__main__ import Row, main
from benchmarks.recordings import BOOK, DAYS, SHARED, Recording, read_book, read_day
from benchmarks.tape import Tape
from configs.schema import AppConfig
from core.parent import Parent, ParentOrder, Style
from core.shortfall import Shortfall, shortfall, summarised
from core.slices import seed_of

SECOND = 1_000_000_000
SHARES = (0.001, 0.01, 0.1)
"""Sizes, as shares of the volume traded in a horizon on average."""
STYLES: tuple[Style | None, ...] = (None, "twap", "participation", "limit")
FILTERS = {
    "APEUSDT": ("um", SHARED / "exchange_info" / "usdm-exchangeInfo-20260331-reserialised.json.gz"),
    "PEPEUSDT": ("spot", SHARED / "exchange_info" / "spot-exchangeInfo-20240908.json.gz"),
}


class Case(NamedTuple):
    """A market and its grid: orders are worked for ``horizon`` seconds and begin every ``every`` seconds."""

    name: str
    market: Recording
    info: InstrumentInfo
    horizon: int
    every: int


def _cases() -> list[Case]:
    if not BOOK.is_file():
        return []
    bitcoin = next(i for i in default_instruments(market="um") if i.id == "BTCUSDT-PERP.BINANCE")
    cases = [Case("BTCUSDT book", read_book(BOOK), bitcoin, 60, 10)]
    for symbol, path in DAYS.items():
        kind, source = FILTERS[symbol]
        infos = parse_exchange_info(load_exchange_info(str(source)), market=kind)
        info = next(i for i in infos if i.raw_symbol == symbol)
        cases.append(Case(f"{symbol} trades", read_day(path), info, 300, 900))
    return cases


def _config(horizon: int) -> AppConfig:
    return configs.load(
        "backtest",
        [
            "execution.slices=6",
            f"execution.duration_seconds={horizon}",
            "execution.participation_rate=0.1",
            "execution.interval_seconds=1",
            f"execution.chase_timeout_seconds={horizon}",
            "execution.chase_moves=60",
            "execution.slippage_cap_bps=15",
        ],
    )


def _measured(case: Case, share: float, style: Style | None) -> list[Shortfall]:
    """Return the shortfalls of all orders of one size in one style; None is a single market order."""
    market, lot = case.market, float(case.info.lot)
    config = _config(case.horizon)
    params = config.execution.params()
    if style is None:
        params = params._replace(slices=1)
    first, last = int(market.ts[0]), int(market.ts[-1])
    volume = float(np.sum(market.size)) * case.horizon * SECOND / (last - first)
    lots = max(round(share * volume / lot), case.info.min_lots)
    costs = []
    for at in range(first + 5 * SECOND, last - (case.horizon + 10) * SECOND, case.every * SECOND):
        row = max(int(np.searchsorted(market.ts, at, side="right")) - 1, 0)
        arrival = float(market.bid[row] + market.ask[row]) / 2.0
        for side in (1, -1):
            wanted = ParentOrder(
                style or "twap", side, lots, arrival, case.info.filters(), reduce_only=False,
                seed=seed_of(f"{at}{side:+d}"), start_ns=at,
            )  # fmt: skip
            tape = Tape(market, Parent(wanted, params))
            fills = tape.play()
            quantity = np.array([fill.lots * lot for fill in fills])
            price = np.array([fill.price for fill in fills])
            rate = np.array([config.costs.maker_bps if fill.maker else config.costs.taker_bps for fill in fills])
            costs.append(
                shortfall(
                    side=side,
                    wanted=lots * lot,
                    decision_price=arrival,
                    arrival_price=arrival,
                    quantity=quantity,
                    price=price,
                    fees=float(np.sum(quantity * price * rate)) * 1e-4,
                    ending_price=tape.mid(tape.ended_ns),
                )
            )
    return costs


def rows() -> list[Row]:
    """Measure every style and size on every recorded market; the value of a row is the mean, all costs included."""
    found: list[Row] = []
    for case in _cases():
        table = Table(
            "size", "style", "orders", "median", "mean", "5 %", "95 %", "fees", "missed", "all, mean", "filled",
            title=f"{case.name}: shortfall in bps against the arrival mid; 5 % to 95 % without fees",
        )  # fmt: skip
        for share in SHARES:
            for style in STYLES:
                costs = _measured(case, share, style)
                price = summarised([cost.price + cost.opportunity for cost in costs])
                if price is None:
                    continue
                columns = zip(*((c.fees, c.opportunity, c.total, c.filled) for c in costs), strict=True)
                fees, missed, total, filled = (float(np.mean(column)) for column in columns)
                shown = (price.median, price.mean, price.low, price.high, fees, missed, total)
                name = style or "market"
                table.add_row(f"{share:.1%}", name, str(price.orders), *(f"{n:+.2f}" for n in shown), f"{filled:.1%}")
                label = f"shortfall, {case.name}, {name}, {share:.1%}"
                found.append({"row": label, "value": total, "unit": "bps", "goal": ""})
        Console(width=120, stderr=True).print(table)
    return found


if __name__ == "__main__":
    sys.exit(main(["execution"]))
