"""Implementation shortfall of the styles of execution on recorded markets, fees apart and included.

**Recorded book** (a perpetual, BTCUSDT, 2024-08-08, 5.7 minutes): the engine's own matching on the recorded book,
quotes and trades. A market order walks the book; a resting one waits for its place in the queue. Assumed: 10 ms to the
venue; nobody reacts to our orders, and what we take is there again at the book's next update. Orders overlap in time,
and the market fell by 0.2 % in these minutes: sides are reported together, so that the fall cancels out.

**Recorded trades** (no book; a day each of a perpetual and a spot pair): a stated model, which `_TradeVenue` is.

The grid of start times and sizes was written down before the first run. Parents are worked by `core.parent`.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self

import numpy as np
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.model import (
    AccountType,
    BookType,
    ClientOrderId,
    Currency,
    ExecAlgorithmId,
    InstrumentId,
    Money,
    OmsType,
    OrderSide,
    Quantity,
    StrategyId,
    Venue,
)
from nautilus_trader.trading import Strategy, StrategyConfig
from rich.console import Console
from rich.table import Table

import configs
from adapters.instruments import InstrumentInfo, default_instruments, to_engine
from benchmarks.__main__ import Row, main
from benchmarks.recordings import BOOK, read_book
from core.bars import bar_type
from core.faults import Faults, recorded
from core.messages import ParentEnded, ended_topic
from core.parent import ExecutionParams
from core.shortfall import Shortfall, shortfall, summarised
from core.slices import parent_of
from strategies.execution import SLICER, Slicer, WorkedInstrument

SECOND = 1_000_000_000
STYLES = ("market", "twap", "participation", "limit")
HORIZON_SECONDS = 60
EVERY_SECONDS = 10
SHARES = (0.001, 0.01, 0.1)
"""Sizes, as shares of the volume traded in a horizon on average."""
SETTINGS = (
    "execution.slices=6",
    f"execution.duration_seconds={HORIZON_SECONDS}",
    "execution.participation_rate=0.1",
    "execution.interval_seconds=1",
    f"execution.chase_timeout_seconds={HORIZON_SECONDS}",
    "execution.chase_moves=60",
    "execution.slippage_cap_bps=15",
)
LATENCY_NS = 10_000_000


class Wanted(NamedTuple):
    """A parent of the grid: ``lots`` signed, ``share`` its size class."""

    name: str
    at_ns: int
    lots: int
    share: float


class _Owner(Strategy):
    """Sends the parents of the grid and keeps what came of them."""

    def __new__(cls, **_: object) -> Self:
        return super().__new__(cls, StrategyConfig(strategy_id=StrategyId("BENCH-001")))

    def __init__(self, *, info: InstrumentInfo, style: str, wanted: Sequence[Wanted], faults: Faults) -> None:
        self.faults = faults
        self.arrival: dict[str, float] = {}
        self.ending: dict[str, float] = {}
        self.fills: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        self._info = info
        self._style = style
        self._wanted = {parent.name: parent for parent in wanted}
        self._instrument = InstrumentId.from_str(info.id)

    @recorded
    def on_start(self) -> None:
        self.subscribe_topic(ended_topic(self._info.id), self.on_ended)
        for parent in self._wanted.values():
            self.clock.set_time_alert_ns(parent.name, parent.at_ns)

    @recorded
    def on_time_event(self, event: Any) -> None:
        parent = self._wanted[event.name]
        self.arrival[event.name] = self._mid()
        side = OrderSide.BUY if parent.lots > 0 else OrderSide.SELL
        quantity = Quantity.from_decimal(abs(parent.lots) * self._info.lot)
        worked: dict[str, Any] = {}
        if self._style != "market":
            worked["exec_algorithm_id"] = ExecAlgorithmId(SLICER)
            worked["exec_algorithm_params"] = {"style": self._style, "arrival": repr(self.arrival[event.name])}
        name = ClientOrderId(event.name)
        self.submit_order(self.order_factory.market(self._instrument, side, quantity, client_order_id=name, **worked))

    @recorded
    def on_ended(self, message: object) -> None:
        assert isinstance(message, ParentEnded)
        self.ending[message.client_order_id] = self._mid()

    @recorded
    def on_order_filled(self, event: Any) -> None:
        fill = (event.last_qty.as_double(), event.last_px.as_double(), event.commission.as_double())
        self.fills[parent_of(str(event.client_order_id))].append(fill)

    def _mid(self) -> float:
        quote: Any = self.cache.quote(self._instrument)
        return (quote.bid_price.as_double() + quote.ask_price.as_double()) / 2.0

    def costs(self) -> Iterator[tuple[float, Shortfall]]:
        """Yield size class and shortfall of every parent."""
        for name, parent in self._wanted.items():
            fills = np.array(self.fills.get(name, [])).reshape(-1, 3)
            yield (
                parent.share,
                shortfall(
                    side=1 if parent.lots > 0 else -1,
                    wanted=abs(parent.lots) * float(self._info.lot),
                    decision_price=self.arrival[name],
                    arrival_price=self.arrival[name],
                    quantity=fills[:, 0],
                    price=fills[:, 1],
                    fees=float(fills[:, 2].sum()),
                    ending_price=self.ending.get(name, self.arrival[name]),
                ),
            )


def _work(style: str, data: list[Any], wanted: Sequence[Wanted], info: InstrumentInfo) -> list[tuple[float, Shortfall]]:
    """Return the shortfalls of all parents in one style, on the recorded book."""
    faults = Faults()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.ERROR), run_analysis=False))
    engine.add_venue(
        Venue("BINANCE"),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(10_000_000_000, Currency.from_str("USDT"))],
        default_leverage=Decimal(1),
        fee_model=MakerTakerFeeModel(Decimal("0.0002"), Decimal("0.0005")),
        latency_model=StaticLatencyModel(LATENCY_NS),
        book_type=BookType.L2_MBP,
        bar_execution=False,
        trade_execution=True,
        queue_position=True,
    )
    engine.add_instrument(to_engine(info))
    worked = WorkedInstrument(
        instrument=info.filters(), lot=str(info.lot), tick=str(info.tick), bar_type=bar_type(info.id, "1m"),
        bar_ns=60 * SECOND,
    )  # fmt: skip
    engine.add_exec_algorithm(Slicer(instruments={info.id: worked}, params=_params(), faults=faults))
    owner = _Owner(info=info, style=style, wanted=wanted, faults=faults)
    engine.add_strategy(owner)
    engine.add_data(data, validate=False, sort=True)
    engine.run()
    costs = list(owner.costs())
    engine.dispose()
    if faults:
        raise RuntimeError(faults.first)
    return costs


def _params() -> ExecutionParams:
    return configs.load("backtest", list(SETTINGS)).execution.params()


def _grid(data: list[Any], info: InstrumentInfo) -> list[Wanted]:
    """Return the parents: every ten seconds, as long as a horizon and ten seconds are left, both sides, all sizes."""
    first, last = data[0].ts_init, data[-1].ts_init
    volume = sum(item.size.as_double() for item in data if type(item).__name__ == "TradeTick")
    horizon_lots = volume / ((last - first) / SECOND) * HORIZON_SECONDS / float(info.lot)
    starts = range(first + 5 * SECOND, last - (HORIZON_SECONDS + 10) * SECOND, EVERY_SECONDS * SECOND)
    return [
        Wanted(f"P{number}-{side:+d}-{size}", at, side * max(round(share * horizon_lots), 1), share)
        for number, at in enumerate(starts)
        for side in (1, -1)
        for size, share in enumerate(SHARES)
    ]


def _shown(title: str, found: dict[tuple[float, str], list[Shortfall]]) -> None:
    """Print the table of a market: price alone, and with fees and what was missed."""
    table = Table("size", "style", "orders", "median", "mean", "5 %", "95 %", "fees", "total", "filled", title=title)
    for (share, style), costs in found.items():
        price = summarised([cost.price + cost.opportunity for cost in costs])
        assert price is not None
        fees, total, filled = (float(np.mean(column)) for column in zip(*((c.fees, c.total, c.filled) for c in costs)))
        numbers = (price.median, price.mean, price.low, price.high, fees, total)
        table.add_row(f"{share:.1%}", style, str(price.orders), *(f"{n:+.2f}" for n in numbers), f"{filled:.1%}")
    Console(width=120, stderr=True).print(table)


def _rows(market: str, found: dict[tuple[float, str], list[Shortfall]]) -> list[Row]:
    """Return a row for every size and style: the mean shortfall, fees and what was missed included."""
    return [
        {
            "row": f"shortfall, {market}, {style}, size {share:.1%}",
            "value": float(np.mean([cost.total for cost in costs])),
            "unit": "bps",
            "goal": "",
        }
        for (share, style), costs in found.items()
    ]


def rows() -> list[Row]:
    """Measure every style on the recorded markets that are here."""
    if not BOOK.is_file():
        return []
    info = next(i for i in default_instruments(market="um") if i.id == "BTCUSDT-PERP.BINANCE")
    data = read_book(BOOK, info.id)
    wanted = _grid(data, info)
    found: dict[tuple[float, str], list[Shortfall]] = {(share, style): [] for share in SHARES for style in STYLES}
    for style in STYLES:
        for share, cost in _work(style, data, wanted, info):
            found[share, style].append(cost)
    _shown("BTCUSDT perpetual, recorded book, bps against the arrival mid", found)
    return _rows("recorded book", found)


if __name__ == "__main__":
    sys.exit(main(["execution"]))
