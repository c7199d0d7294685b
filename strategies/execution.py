"""Works parent orders: slices over time, slices of the volume, or a post-only limit order that chases the market.

Contract with the owner (names of slices, cancelling, the end of a parent: `core.slices`):

- The owner submits a market order with ``exec_algorithm_id=ExecAlgorithmId("SLICER")`` and
  ``exec_algorithm_params={"style": "twap" | "participation" | "limit", "arrival": "<price at the decision>"}``.
  Protective stops and orders of the breaker are never routed here.
- Slices carry the owner's strategy id, so their fills reach its ``on_order_filled`` under ``<parent>-E<n>``:
  ``core.slices.parent_of`` gives the parent. Accepted, cancelled, expired and rejected slices are worked here; the
  owner passes over their events.
- ``strategy.cancel_order(parent)`` stops it: the engine answers with ``OrderCanceled`` of the parent at once, which
  is not its end.
- `core.messages.ParentEnded` on ``ended_topic(instrument_id)`` is: nothing of the parent is at the venue any more.
"""

from decimal import Decimal
from functools import partial
from typing import Any, Self

import msgspec
from nautilus_trader.model import (
    BarType,
    ClientOrderId,
    ExecAlgorithmId,
    InstrumentId,
    OrderCanceled,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderSide,
    Price,
    Quantity,
    TimeInForce,
)
from nautilus_trader.trading import ExecutionAlgorithm, ExecutionAlgorithmConfig

from core.chase import Order
from core.faults import Faults, recorded
from core.messages import ParentEnded, ended_topic
from core.parent import STYLES, Command, ExecutionParams, Parent, ParentOrder, Touch
from core.protocols import Timekeeper
from core.situation import Instrument
from core.slices import MAX_PARENT_ID, parent_of, seed_of
from core.timekeeping import EngineTime

__all__ = ["SLICER", "Slicer", "WorkedInstrument"]

SLICER = "SLICER"
"""The algorithm's name: the ``exec_algorithm_id`` of the orders that it works."""
_ENDED = "ended"


class WorkedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """An instrument: its filters as floats and as decimal strings, and its base bars, whose volume counts."""

    instrument: Instrument
    lot: str
    tick: str
    bar_type: str
    bar_ns: int


class _Work(msgspec.Struct):
    """A parent at work, and the volume counted for it: lots, and until when."""

    parent: Parent
    order: Any
    worked: WorkedInstrument
    traded_lots: float
    counted_ns: int
    alerts: int = 0


class Slicer(ExecutionAlgorithm):
    """Carries out what `core.parent` says.

    Parameters
    ----------
    instruments : dict[str, WorkedInstrument]
        What may be traded, by instrument id.
    params : ExecutionParams
        How.
    faults : Faults
        Where handler errors are kept. After the first one anywhere nothing more is sent, and what rests is cancelled.
    time : Timekeeper, optional
        Market time; by default the engine's.

    Notes
    -----
    The market is looked at on timers, through the cache: the algorithm subscribes to nothing, so live somebody else
    must be subscribed to an instrument's quotes. Volume is that of the trades in the cache, or of the base bars where
    there are none, the share of a bar before the start left out.
    """

    def __new__(cls, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        config = ExecutionAlgorithmConfig(
            exec_algorithm_id=ExecAlgorithmId(SLICER), log_events=False, log_commands=False
        )
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        *,
        instruments: dict[str, WorkedInstrument],
        params: ExecutionParams,
        faults: Faults,
        time: Timekeeper | None = None,
    ) -> None:
        self.faults = faults
        self._instruments = instruments
        self._params = params
        self._time = time or EngineTime()
        self._works: dict[str, _Work] = {}
        self._over: dict[str, _Work] = {}

    @recorded
    def on_order(self, order: Any) -> None:
        """Begin to work a parent."""
        name = str(order.client_order_id)
        asked = order.exec_algorithm_params or {}
        style = asked.get("style", "")
        if style not in STYLES or len(name) > MAX_PARENT_ID or parent_of(name) != name:
            raise ValueError(f"order {name} cannot be sliced: style {style!r}, or a name that no slice can be named by")
        worked = self._instruments[str(order.instrument_id)]
        now_ns = self._now()
        wanted = ParentOrder(
            style=style,
            side=1 if order.side == OrderSide.BUY else -1,
            lots=round(order.quantity.as_decimal() / Decimal(worked.lot)),
            arrival=float(asked["arrival"]),
            instrument=worked.instrument,
            reduce_only=bool(order.is_reduce_only),
            seed=seed_of(name),
            start_ns=now_ns,
        )
        self._works[name] = _Work(Parent(wanted, self._params), order, worked, 0.0, now_ns)
        self._wake(name, now_ns)

    @recorded
    def _on_alarm(self, name: str, what: str, ts_ns: int) -> None:
        """Look at the market; after an error anywhere only clear up."""
        if what == _ENDED:
            self._tell(name, ts_ns)
        elif name in self._works and what == str(self._works[name].alerts):
            self._look(name)

    @recorded
    def on_stop(self) -> None:
        """Cancel what rests."""
        for name, work in self._works.items():
            self._carry_out(name, work.parent.stop())

    @recorded
    def on_order_filled(self, event: OrderFilled) -> None:
        """Count a fill."""
        name, number = _named(event.client_order_id)
        work = self._works.get(name)
        if work is not None and number > 0:
            lots = round(event.last_qty.as_decimal() / Decimal(work.worked.lot))
            self._carry_out(name, work.parent.on_filled(number, lots))
            self._end(name)

    @recorded
    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Stop a parent, or go on after the cancelling of a slice."""
        name, number = _named(event.client_order_id)
        work = self._works.get(name)
        if number > 0:
            self._ended(event.client_order_id)
        elif work is not None:
            self._carry_out(name, work.parent.stop())
            self._end(name)

    @recorded
    def on_order_expired(self, event: OrderExpired) -> None:
        """Go on after a slice that ended unfilled."""
        self._ended(event.client_order_id)

    @recorded
    def on_order_rejected(self, event: OrderRejected) -> None:
        """Place a post-only order anew; after any other refusal send nothing more."""
        self._ended(event.client_order_id, refusal=str(event.reason), post_only=bool(event.due_post_only))

    @recorded
    def on_order_denied(self, event: OrderDenied) -> None:
        """Send nothing more after a denial of the engine."""
        self._ended(event.client_order_id, refusal=str(event.reason))

    def _ended(self, order_id: ClientOrderId, *, refusal: str = "", post_only: bool = False) -> None:
        name, number = _named(order_id)
        work = self._works.get(name)
        if work is None or number == 0:
            return
        work.parent.on_ended(number, refusal=refusal, post_only=post_only)
        if not refusal and work.parent.order.style == "limit":
            self._look(name)  # what was withdrawn to be moved is placed anew at once
        self._end(name)

    def _look(self, name: str) -> None:
        work = self._works.get(name)
        if work is None:
            return
        now_ns = self._now()
        touch = self._touch(work, now_ns)
        if self.faults:
            self._carry_out(name, work.parent.stop())
        elif touch is not None:
            self._carry_out(name, work.parent.look(now_ns, touch))
        wake_ns = work.parent.wake_ns if touch is not None else now_ns + self._params.interval_ns
        if wake_ns > now_ns and not work.parent.outcome:
            self._wake(name, wake_ns)
        self._end(name)

    def _touch(self, work: _Work, now_ns: int) -> Touch | None:
        """Return the market as the cache has it, None before the first quote."""
        instrument_id = work.order.instrument_id
        quote: Any = self.cache.quote(instrument_id) if self.cache is not None else None
        if quote is None:
            return None
        tick = Decimal(work.worked.tick)
        if work.parent.order.style == "participation":
            work.traded_lots += self._traded(work, instrument_id, now_ns) / work.worked.instrument.lot
            work.counted_ns = now_ns
        return Touch(
            round(quote.bid_price.as_decimal() / tick), round(quote.ask_price.as_decimal() / tick), work.traded_lots
        )

    def _traded(self, work: _Work, instrument_id: InstrumentId, now_ns: int) -> float:
        """Return the volume (base asset) that was traded after what is counted already."""
        cache: Any = self.cache
        total, index = 0.0, 0
        trade = cache.trade(instrument_id)
        if trade is not None:
            while trade is not None and trade.ts_init > work.counted_ns:
                total += trade.size.as_double() if trade.ts_init <= now_ns else 0.0
                index += 1
                trade = cache.trade(instrument_id, index)
            return total
        bar_type = BarType.from_str(work.worked.bar_type)
        start_ns = work.parent.order.start_ns
        bar = cache.bar(bar_type)
        while bar is not None and bar.ts_event > work.counted_ns:
            total += bar.volume.as_double() * min((bar.ts_event - start_ns) / work.worked.bar_ns, 1.0)
            index += 1
            bar = cache.bar(bar_type, index)
        return total

    def _carry_out(self, name: str, commands: list[Command]) -> None:
        work = self._works[name]
        for command in commands:
            if isinstance(command, Order):
                self._send(work, command)
            else:
                order: Any = self.cache.order(ClientOrderId(f"{name}-E{command.number}")) if self.cache else None
                if order is not None and not order.is_closed and not order.is_pending_cancel:
                    self.cancel_order(order)

    def _send(self, work: _Work, order: Order) -> None:
        quantity = Quantity.from_decimal(order.lots * Decimal(work.worked.lot))
        reduce_only = work.parent.order.reduce_only
        if order.kind == "market":
            spawned: Any = self.spawn_market(work.order, quantity, reduce_only=reduce_only, reduce_primary=False)
        else:
            spawned = self.spawn_limit(
                work.order,
                quantity,
                Price.from_decimal(order.ticks * Decimal(work.worked.tick)),
                time_in_force=TimeInForce.GTC if order.kind == "post_only" else TimeInForce.IOC,
                post_only=order.kind == "post_only",
                reduce_only=reduce_only,
                reduce_primary=False,
            )
        self.submit_order(spawned)

    def _end(self, name: str) -> None:
        """Put a parent that is over aside; its owner is told once it has seen the event that ended it."""
        work = self._works.get(name)
        if work is not None and work.parent.outcome:
            self._over[name] = self._works.pop(name)
            self._alert(name, _ENDED, self._now())

    def _tell(self, name: str, ts_event: int) -> None:
        work = self._over.pop(name)
        parent, instrument_id = work.parent, str(work.order.instrument_id)
        message = ParentEnded(
            instrument_id=instrument_id,
            client_order_id=name,
            outcome=parent.outcome or "canceled",
            total_lots=parent.order.lots,
            filled_lots=parent.filled_lots,
            unfilled_lots=parent.unfilled_lots,
            reason=parent.reason,
            ts_event=ts_event,
        )
        self.publish_message(ended_topic(instrument_id), message)

    def _wake(self, name: str, at_ns: int) -> None:
        """Look at a parent again at a time; an alert set before is void."""
        work = self._works[name]
        work.alerts += 1
        self._alert(name, str(work.alerts), at_ns)

    def _alert(self, name: str, what: str, at_ns: int) -> None:
        self._time.alarm(self.clock, f"{name}|{what}", at_ns, partial(self._on_alarm, name, what))

    def _now(self) -> int:
        clock: Any = self.clock
        return self._time.now_ns(int(clock.timestamp_ns()))


def _named(order_id: ClientOrderId) -> tuple[str, int]:
    """Return the parent's name and the slice's number, 0 for the parent itself."""
    full = str(order_id)
    name = parent_of(full)
    return name, 0 if name == full else int(full[len(name) + 2 :])
