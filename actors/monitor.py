"""Holds what the venue, the cache, the journal and the strategies say to the invariants, always."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from math import nan
from typing import Self

import msgspec
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, BarType, InstrumentId, OrderSide

from core.degraded import ModeState, mode_topic
from core.faults import Faults, recorded
from core.invariants import Limits, Look, Violation, violations
from core.messages import (
    Alert,
    ClosedBar,
    Evaluated,
    Freeze,
    OrderOutcome,
    PositionState,
    RiskState,
    Trip,
    alert_topic,
    bar_topic,
    evaluated_topic,
    freeze_topic,
    outcome_topic,
    position_topic,
    risk_topic,
    trip_topic,
)
from core.protocols import Journal, Timekeeper
from core.slices import parent_of
from core.timekeeping import EngineTime
from core.venue_words import OrderWord, PositionWord, Wanted, wanted_topic, word_topic
from core.watch import OpenOrder, Watch, Words
from core.witness import Witness

__all__ = ["Monitor", "MonitorParams", "WatchedInstrument"]

SOURCE = "invariants"
ENGINE = "engine"
"""Who freezes entries while the engine's cache holds something else than the venue and the strategy."""
STOPS = frozenset({"STOP_MARKET", "STOP_LIMIT", "TRAILING_STOP_MARKET", "TRAILING_STOP_LIMIT"})
DAY_NS = 86_400_000_000_000
_NOBODY = PositionState("", 0, 0, 0.0, 0.0, 0, 0.0, 0)


class WatchedInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument: its base bars, as a type and as lots of base asset; the base bars that make a decision bar."""

    bar_type: str
    lot: str
    bars_per_decision: int


class MonitorParams(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched, against which limits; how often at least it is looked at; length of a decision bar."""

    instruments: Mapping[str, WatchedInstrument]
    limits: Limits
    check_interval_ns: int
    decision_ns: int


ENDED = frozenset({"filled", "canceled", "expired", "rejected"})
"""What the venue says of an order that rests no more."""
_REMEMBERED = 1_024
"""Orders of which the venue said that they have ended."""


class Monitor(DataActor):
    """Looks after every event that changes something, when something may have lasted too long, and on a timer.

    A violation freezes the entries of its instrument, trips the breaker, alerts and is written down, once as long as
    it lasts; ``violated`` is what else the run makes of it. While nothing is held and nothing happens it asks only,
    on the timer, whether decisions are still made.

    Parameters
    ----------
    params : MonitorParams
        What is watched.
    witness : Witness
        What the journal was told.
    journal : Journal
        Takes the rows of ``alerts``, of everybody.
    faults : Faults
        Where handler errors are kept.
    violated : Callable[[str], None]
        Told each violation in one line.
    time : Timekeeper, optional
        Market time; by default the engine's.
    """

    def __new__(cls, params: MonitorParams, **_: object) -> Self:  # noqa: ARG004
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("MONITOR-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: MonitorParams,
        *,
        witness: Witness,
        journal: Journal,
        faults: Faults,
        violated: Callable[[str], None],
        time: Timekeeper | None = None,
    ) -> None:
        self.faults = faults
        self._params = params
        self._witness = witness
        self._journal = journal
        self._violated = violated
        self._time = time or EngineTime()
        self._ids = {name: InstrumentId.from_str(name) for name in params.instruments}
        self._bar_types = {name: BarType.from_str(one.bar_type) for name, one in params.instruments.items()}
        self._lots = {name: Decimal(one.lot) for name, one in params.instruments.items()}
        self._sizes = {name: float(one.lot) for name, one in params.instruments.items()}
        self._watches = {name: Watch(name, params.limits) for name in params.instruments}
        self._positions = dict.fromkeys(params.instruments, _NOBODY)
        self._closes: dict[str, float] = {}
        self._risk: RiskState | None = None
        self._started_ns = self._evaluated_ns = 0
        self._over: dict[str, str] = {}
        self._standing: dict[str, set[str]] = {name: set() for name in params.instruments}
        self._astray: set[str] = set()
        self._pending: dict[str, int] = {}
        self._alerts = 0
        self._venue_lots: dict[str, int | None] = dict.fromkeys(params.instruments)
        self._told_lots: dict[str, int | None] = dict.fromkeys(params.instruments)
        self._shed = False

    @recorded
    def on_start(self) -> None:
        """Listen to everybody who changes something, and set the timer; what has not been yet is as old as this."""
        self._started_ns = self._evaluated_ns = self._now()
        for watch in self._watches.values():
            watch.begin(self._started_ns)
        self.subscribe_topic(risk_topic(), self._on_risk)
        self.subscribe_topic(evaluated_topic(), self._on_evaluated)
        self.subscribe_topic(outcome_topic(), self._on_outcome)
        self.subscribe_topic(alert_topic(), self._on_alert)
        self.subscribe_topic(mode_topic(), self._on_mode)
        for name in self._ids:
            self.subscribe_topic(bar_topic(name), self._on_closed_bar)
            self.subscribe_topic(position_topic(name), self._on_position)
            self.subscribe_topic(word_topic(name), self._on_word)
        self._time.every(self.clock, "invariants", self._params.check_interval_ns, self._on_timer)

    @recorded
    def on_stop(self) -> None:
        """Look no more: the engine complains of alarms that ring after its end."""
        self.clock.cancel_timers()

    @recorded
    def _on_risk(self, message: object) -> None:
        if isinstance(message, RiskState):
            self._risk = message
            self._evaluated_ns = max(self._evaluated_ns, message.evaluated_ns)  # 0 before the first mark

    @recorded
    def _on_evaluated(self, message: object) -> None:
        if isinstance(message, Evaluated):
            self._evaluated_ns = message.ts_event

    @recorded
    def _on_closed_bar(self, message: object) -> None:
        """Keep the close of what was taken at the door: the engine's cache has what was refused there, too."""
        if isinstance(message, ClosedBar):
            self._closes[message.instrument_id] = message.close

    @recorded
    def _on_position(self, message: object) -> None:
        """Look where the position, what is committed to it or its stop has changed; most decisions change nothing."""
        if not isinstance(message, PositionState):
            return
        name = message.instrument_id
        before, self._positions[name] = self._positions[name], message
        if message.lots == before.lots and message.committed_lots == before.committed_lots:
            if message.stop_price != before.stop_price:
                self._look_at(name, self._now() + round(self._params.limits.settle_seconds * 1e9))
            return
        if message.committed_lots > before.committed_lots and self._risk is not None and self._risk.equity > 0.0:
            self._watches[name].ordered(self._committed(), self._risk.equity)
        self._venue_lots[name] = self._told_lots[name] = None  # what was said before is no word of this position
        self._watches[name].held(self._now(), message.lots)
        self._look_at(name, self._now())

    @recorded
    def _on_word(self, message: object) -> None:
        """Take what the venue says is held and how an order has ended; look where what is held differs."""
        if isinstance(message, OrderWord) and message.status != "working":
            self._over[message.order_id] = message.status
            while len(self._over) > _REMEMBERED:
                del self._over[next(iter(self._over))]
        elif isinstance(message, PositionWord) and message.instrument_id in self._ids:
            name = message.instrument_id
            lots = round(Decimal(message.quantity) / self._lots[name])
            if lots != self._positions[name].lots and 0 < message.ts_event < self._positions[name].ts_event:
                return  # asked before what was done last
            twice = self._told_lots[name] == lots  # one that was under way when something filled is of before
            self._told_lots[name] = lots
            if twice or lots == self._positions[name].lots:
                self._venue_lots[name] = lots
            if lots != self._positions[name].lots or lots != self._cache_lots(name):
                self._look_at(name, self._now())

    @recorded
    def _on_mode(self, message: object) -> None:
        if isinstance(message, ModeState):
            self._shed = message.shed

    @recorded
    def _on_outcome(self, message: object) -> None:
        if isinstance(message, OrderOutcome) and message.instrument_id in self._ids:
            self._look_at(message.instrument_id, self._now())

    @recorded
    def _on_alert(self, message: object) -> None:
        if isinstance(message, Alert):
            self._journal.record("alerts", msgspec.structs.asdict(message))

    @recorded
    def _on_timer(self, now: int) -> None:
        """Look at all that is held, that has an order though nothing is held, or that nobody decides on any more."""
        if self._shed:
            return
        for name, instrument_id in self._ids.items():
            age = self._decision_age(name, now)
            if (
                self._positions[name].lots != 0
                or self._standing[name]
                or name in self._astray
                or age > self._params.limits.decision_seconds
                or self.cache.orders_open_count(instrument_id=instrument_id) > 0
            ):
                self._look(name, now, decision_age_seconds=age)
            if now % DAY_NS < self._params.check_interval_ns:
                known = {
                    str(order.client_order_id)
                    for orders in (self.cache.orders_open, self.cache.orders_inflight)
                    for order in orders(instrument_id=instrument_id)
                }
                self._witness.forget(name, now - DAY_NS, known | {parent_of(order_id) for order_id in known})

    @recorded
    def _on_due(self, name: str, now: int) -> None:
        """Look where a look is due, once the handler that gave rise to it is done; one that was put forward is void."""
        if name in self._pending and now >= self._pending[name]:
            del self._pending[name]
            self._look(name, now)

    def _look_at(self, name: str, at_ns: int) -> None:
        """Look at an instrument at a time, or sooner where that is pending."""
        if self._pending.get(name, at_ns + 1) <= at_ns:
            return
        self._pending[name] = at_ns
        self._alerts += 1
        self._time.alarm(self.clock, f"invariants-{self._alerts}", at_ns, partial(self._on_due, name))

    def _look(self, name: str, now: int, *, decision_age_seconds: float = nan) -> None:
        """Look at an instrument, report what does not hold, and take note of what does again."""
        watch = self._watches[name]
        words = Words(
            cache_lots=self._cache_lots(name),
            owner_lots=self._positions[name].lots,
            journal_lots=round(self._witness.held(name) / self._lots[name]),
            venue_lots=self._venue_lots[name],
            close=self._witness.decided(name)[1],
            breaker_ns=self._evaluated_ns,
            decision_age_seconds=decision_age_seconds,
        )
        if words.venue_lots is None and words.cache_lots != words.owner_lots:
            self.publish_message(wanted_topic(), Wanted("positions"))
        look = watch.look(now, words, self._open_orders(name))
        found = violations(look, self._params.limits)
        self._mind_engine(look, now)
        standing = self._standing[name]
        new = [violation for violation in found if violation.name not in standing]
        healed = standing and not found
        self._standing[name] = {violation.name for violation in found}
        for violation in new:
            self._report(violation, now)
        if healed:
            self.publish_message(
                freeze_topic(), Freeze(name, SOURCE, frozen=False, reason="all hold again", ts_event=now)
            )
        if watch.due_ns > 0:
            self._look_at(name, watch.due_ns)

    def _mind_engine(self, look: Look, now: int) -> None:
        """Freeze entries while the engine's cache is wrong of what is held; its own checks set it right."""
        name, lasts = look.instrument_id, look.astray_seconds >= self._params.limits.settle_seconds
        if (look.astray_seconds > 0.0 and not lasts) or lasts == (name in self._astray):
            return
        (self._astray.add if lasts else self._astray.remove)(name)
        text = f"{name}: the engine holds {look.cache_lots} lots, the venue and the strategy {look.owner_lots}"
        if not lasts:
            text = f"{name}: the engine holds what the venue holds again"
        self.publish_message(freeze_topic(), Freeze(name, ENGINE, frozen=lasts, reason=text, ts_event=now))
        self.publish_message(alert_topic(), Alert(SOURCE, "warning" if lasts else "info", text, now))

    def _report(self, violation: Violation, now: int) -> None:
        """Freeze, trip, alert; whoever hears the alert writes it down."""
        text = violation.text
        self._violated(text)
        self.publish_message(
            freeze_topic(), Freeze(violation.instrument_id, SOURCE, frozen=True, reason=text, ts_event=now)
        )
        self.publish_message(trip_topic(), Trip("invariant_violation", text, now))
        self.publish_message(alert_topic(), Alert(SOURCE, "critical", text, now))

    def _cache_lots(self, name: str) -> int:
        """Return the signed lots of the engine's cache: quantities are exact, the portfolio's net position is not."""
        total = Decimal(0)
        for position in self.cache.positions_open(instrument_id=self._ids[name]):
            quantity = position.quantity.as_decimal()
            total += quantity if position.is_long else -quantity
        return round(total / self._lots[name])

    def _open_orders(self, name: str) -> list[OpenOrder]:
        """Return what rests; the engine may not know yet that an order ended, which the venue has said."""
        orders: dict[str, OpenOrder] = {}
        resting = self.cache.orders_open(instrument_id=self._ids[name])
        for place, order in enumerate((*resting, *self.cache.orders_inflight(instrument_id=self._ids[name]))):
            order_id = str(order.client_order_id)
            ended = self._over.get(order_id, "working")
            if ended in ENDED or (ended == "absent" and place >= len(resting)):
                continue
            protective = order.order_type.name in STOPS
            orders.setdefault(
                order_id,
                OpenOrder(
                    order_id=order_id,
                    known=self._witness.knows(name, parent_of(order_id)),
                    resting=place < len(resting),
                    protective=protective,
                    side=1 if order.side == OrderSide.BUY else -1,
                    lots=round(order.leaves_qty.as_decimal() / self._lots[name]),
                    reduce_only=bool(order.is_reduce_only),
                    trigger=float(order.trigger_price.as_decimal()) if protective else 0.0,
                ),
            )
        return list(orders.values())

    def _committed(self) -> float:
        """Return what all positions may use with the orders under way, at the last closes, quote currency."""
        total = 0.0
        for name, position in self._positions.items():
            if position.committed_lots != 0:
                bar = self.cache.bar(self._bar_types[name])
                close = self._closes.get(name, bar.close.as_double() if bar else nan)
                total += position.committed_lots * self._sizes[name] * close
        return total

    def _decision_age(self, name: str, now: int) -> float:
        """Return the age (s) of the last decision where no bar has been missing for as long as one must be made."""
        bars = round(self._params.limits.decision_seconds * 1e9 / self._params.decision_ns)
        first = self.cache.bar(self._bar_types[name], bars * self._params.instruments[name].bars_per_decision - 1)
        flowed = first is not None and now - first.ts_event <= self._params.limits.decision_seconds * 1e9
        return (now - max(self._witness.decided(name)[0], self._started_ns)) / 1e9 if flowed else nan

    def _now(self) -> int:
        return self._time.now_ns(int(self.clock.timestamp_ns()))
