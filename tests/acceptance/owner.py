"""A strategy that owns parent orders and does nothing else, and an engine to run it in."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple, Self

import msgspec
from nautilus_trader.backtest import BacktestEngine, BacktestEngineConfig
from nautilus_trader.common import LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.model import (
    AccountType,
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

import configs
from adapters.instruments import InstrumentInfo, default_instruments, to_engine
from core.bars import bar_type
from core.faults import Faults, recorded
from core.messages import ParentEnded, ended_topic
from core.slices import least_lots, parent_of
from strategies.execution import SLICER, Slicer, WorkedInstrument


class Ask(NamedTuple):
    """A parent order: sent at ``at_ns``, ``lots`` signed, cancelled by its owner at ``cancel_ns`` where not 0."""

    name: str
    at_ns: int
    lots: int
    arrival: float
    cancel_ns: int = 0
    reduce_only: bool = False


class Run(msgspec.Struct):
    """What happened: in the order in which the owner saw it."""

    events: list[tuple[str, str, int, float, str]]
    ended: dict[str, ParentEnded]
    position: Decimal
    faults: Faults
    orders: list[Any]

    def fills(self, name: str) -> list[tuple[int, int, float, str]]:
        """Time, lots, price and liquidity of the fills of a parent."""
        return [
            (ts, int(text.split()[0]), price, text.split()[1])
            for kind, order, ts, price, text in self.events
            if kind == "filled" and parent_of(order) == name
        ]

    def slices(self, name: str) -> list[Any]:
        """Orders that were sent for a parent, in order."""
        mine = [o for o in self.orders if parent_of(str(o.client_order_id)) == name != str(o.client_order_id)]
        return sorted(mine, key=lambda o: int(str(o.client_order_id).rpartition("-E")[2]))


class Owner(Strategy):
    """Sends parents at their times, cancels some, and writes down what it hears."""

    def __new__(cls, **_: object) -> Self:
        return super().__new__(cls, StrategyConfig(strategy_id=StrategyId("OWNER-001")))

    def __init__(self, *, info: InstrumentInfo, style: str, asks: Sequence[Ask], faults: Faults) -> None:
        self.faults = faults
        self.events: list[tuple[str, str, int, float, str]] = []
        self.ended: dict[str, ParentEnded] = {}
        self._info = info
        self._style = style
        self._asks = {ask.name: ask for ask in asks}
        self._instrument = InstrumentId.from_str(info.id)

    @recorded
    def on_start(self) -> None:
        self.subscribe_topic(ended_topic(self._info.id), self.on_ended)
        for ask in self._asks.values():
            self.clock.set_time_alert_ns(f"{ask.name}|send", ask.at_ns)
            if ask.cancel_ns:
                self.clock.set_time_alert_ns(f"{ask.name}|cancel", ask.cancel_ns)

    @recorded
    def on_time_event(self, event: Any) -> None:
        name, _, what = event.name.partition("|")
        if what == "cancel":
            if name not in self.ended:
                self.cancel_order(ClientOrderId(name))
            return
        ask = self._asks[name]
        self.submit_order(
            self.order_factory.market(
                self._instrument,
                OrderSide.BUY if ask.lots > 0 else OrderSide.SELL,
                Quantity.from_decimal(abs(ask.lots) * self._info.lot),
                reduce_only=ask.reduce_only,
                exec_algorithm_id=ExecAlgorithmId(SLICER),
                exec_algorithm_params={"style": self._style, "arrival": repr(ask.arrival)},
                client_order_id=ClientOrderId(name),
            )
        )

    @recorded
    def on_ended(self, message: object) -> None:
        assert isinstance(message, ParentEnded)
        assert message.client_order_id not in self.ended, "a parent ends once"
        self.ended[message.client_order_id] = message
        seen = sum(
            int(text.split()[0])
            for kind, order, _, _, text in self.events
            if kind == "filled" and parent_of(order) == message.client_order_id
        )
        assert seen == message.filled_lots, "every fill was seen before the end was told"

    @recorded
    def on_order_filled(self, event: Any) -> None:
        lots = round(event.last_qty.as_decimal() / self._info.lot)
        row = (event.ts_event, event.last_px.as_double(), f"{lots} {event.liquidity_side.name}")
        self.events.append(("filled", str(event.client_order_id), *row))

    @recorded
    def on_order_canceled(self, event: Any) -> None:
        self.events.append(("canceled", str(event.client_order_id), event.ts_event, 0.0, ""))

    @recorded
    def on_order_rejected(self, event: Any) -> None:
        self.events.append(("rejected", str(event.client_order_id), event.ts_event, 0.0, str(event.reason)))


def bitcoin() -> InstrumentInfo:
    """Return the filters of the perpetual."""
    return next(i for i in default_instruments(market="um") if i.id == "BTCUSDT-PERP.BINANCE")


def work(
    style: str,
    asks: Sequence[Ask],
    chunks: Sequence[list[Any]],
    *overrides: str,
    info: InstrumentInfo | None = None,
    trade_execution: bool = False,
) -> Run:
    """Run the engine on lists of data with an owner of these parents, all of one style."""
    info = info or bitcoin()
    config = configs.load("backtest", [f"execution.style={style}", *overrides])
    faults = Faults()
    engine = BacktestEngine(BacktestEngineConfig(logging=LoggerConfig(stdout_level=LogLevel.ERROR), run_analysis=False))
    engine.add_venue(
        Venue("BINANCE"),
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(10_000_000, Currency.from_str("USDT"))],
        default_leverage=Decimal(1),
        fee_model=MakerTakerFeeModel(Decimal("0.0002"), Decimal("0.0005")),
        latency_model=StaticLatencyModel(1_000_000),
        bar_execution=False,
        trade_execution=trade_execution,
    )
    engine.add_instrument(to_engine(info))
    worked = WorkedInstrument(
        instrument=info.filters(),
        lot=str(info.lot),
        tick=str(info.tick),
        bar_type=bar_type(info.id, "1m"),
        bar_ns=60_000_000_000,
    )
    engine.add_exec_algorithm(Slicer(instruments={info.id: worked}, params=config.execution.params(), faults=faults))
    owner = Owner(info=info, style=style, asks=asks, faults=faults)
    engine.add_strategy(owner)
    for data in chunks:
        engine.add_data(data, sort=False)
    engine.sort_data()
    engine.run()
    position = sum(
        (p.quantity.as_decimal() * (1 if p.is_long else -1) for p in engine.cache.positions_open()),
        Decimal(0),
    )
    run = Run(owner.events, owner.ended, position, faults, engine.cache.orders())
    engine.dispose()
    return run


def check(run: Run, asks: Sequence[Ask], info: InstrumentInfo | None = None) -> None:
    """Assert what holds for every style: all filled or reported, sums exact, filters kept, books right."""
    info = info or bitcoin()
    assert not run.faults, run.faults.first
    assert set(run.ended) == {ask.name for ask in asks}
    total = 0
    for ask in asks:
        end = run.ended[ask.name]
        filled = sum(lots for _, lots, _, _ in run.fills(ask.name))
        assert (end.total_lots, end.filled_lots) == (abs(ask.lots), filled)
        assert end.filled_lots + end.unfilled_lots == end.total_lots
        assert (end.outcome == "filled") == (end.unfilled_lots == 0)
        total += filled if ask.lots > 0 else -filled
        for order in run.slices(ask.name):
            lots = round(order.quantity.as_decimal() / info.lot)
            assert info.min_lots <= lots <= info.max_lots
            if not ask.reduce_only:
                assert lots >= least_lots(info.filters(), ask.arrival * 1.05) or lots == abs(ask.lots)
    assert run.position == total * info.lot
    counted = Counter(str(order.client_order_id) for order in run.orders)
    assert max(counted.values()) == 1
