"""Watches over the streams of a live node, asks the venue beside the engine, and says how far both may be trusted."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Self

import msgspec
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, InstrumentId

from core.degraded import Mode, ModeState, mode_topic
from core.faults import Faults, recorded
from core.liveness import Finding, Liveness, LivenessLimits
from core.messages import (
    AccountBalance,
    Alert,
    ClosedBar,
    Flatten,
    Freeze,
    FundingPaid,
    FundingSettled,
    OrderOutcome,
    PositionState,
    Severity,
    Trip,
    alert_topic,
    balance_topic,
    bar_topic,
    flatten_topic,
    freeze_topic,
    funding_topic,
    outcome_topic,
    position_topic,
    trip_topic,
)
from core.protocols import ClockWatch, Journal, Timekeeper
from core.settlements import Payments
from core.venue_words import (
    FundingListed,
    FundingWord,
    NoWord,
    OrderWord,
    PositionWord,
    VenueDesk,
    WalletWord,
    Wanted,
    wanted_topic,
    word_topic,
)

__all__ = ["LivenessActor", "LivenessParams"]

SOURCE = "liveness"
POLL_NS = 50_000_000
"""Between two looks for answers of the venue, in the engine's time."""


class LivenessParams(msgspec.Struct, frozen=True, kw_only=True):
    """What is watched: ``lots`` base asset a lot and ``closes`` of the last bars known (ns), by instrument id.

    ``check_ns`` between two looks, ``position_ns`` between two questions what is held or was paid, ``funding_ns`` that
    a payment is waited for, ``lag_ns`` by which an alarm rings late on a machine that is too busy: in the engine's
    time. ``blind_ns`` without bars until what is held is closed: in the market's.
    """

    lots: Mapping[str, str]
    closes: Mapping[str, int]
    limits: LivenessLimits
    check_ns: int
    position_ns: int
    funding_ns: int
    lag_ns: int
    blind_ns: int


class LivenessActor(DataActor):
    """Freezes entries at once when a stream is late, and frees them when all speak and what is held agrees again.

    Parameters
    ----------
    params : LivenessParams
        What is watched.
    venue : VenueDesk or None
        Asks the venue beside the engine; what it says is told to everybody here. None where the engine is the venue.
    clock : ClockWatch
        How far our clock is off.
    time : Timekeeper
        Market time.
    journal : Journal
        Takes the rows of ``modes``.
    faults : Faults
        Where handler errors are kept.
    """

    def __new__(cls, params: LivenessParams, **_: object) -> Self:  # noqa: ARG004
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("LIVENESS-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: LivenessParams,
        *,
        venue: VenueDesk | None,
        clock: ClockWatch,
        time: Timekeeper,
        journal: Journal,
        faults: Faults,
    ) -> None:
        self.faults = faults
        self._params = params
        self._venue = venue
        self._offset = clock
        self._time = time
        self._journal = journal
        self._live = Liveness(params.limits, params.closes)
        self._ids = {name: InstrumentId.from_str(name) for name in params.lots}
        self._lots = {name: Decimal(lot) for name, lot in params.lots.items()}
        self._owned = dict.fromkeys(params.lots, 0)
        self._state = ModeState(Mode.LIVE, by_rest=False, shed=False, reason="", ts_event=0)
        self._asked_ns = self._payments_asked_ns = 0
        self._payments = Payments(params.funding_ns)
        self._calm = 0
        self._shed = False
        self._bar_ns = 0
        self._blind = False

    @recorded
    def on_start(self) -> None:
        """Listen to whatever shows that somebody is there."""
        self.subscribe_topic(outcome_topic(), self._on_outcome)
        self.subscribe_topic(wanted_topic(), self._on_wanted)
        for name in self._params.lots:
            self.subscribe_topic(bar_topic(name), self._on_closed_bar)
            self.subscribe_topic(position_topic(name), self._on_position)
            self.subscribe_topic(funding_topic(name), self._on_settled)
        if self._venue is not None:
            self.clock.set_timer_ns("words", POLL_NS, callback=self._on_poll)
        self.clock.set_timer_ns("liveness", self._params.check_ns, callback=self._on_check)
        self._bar_ns = self._now()

    @recorded
    def on_stop(self) -> None:
        """Look no more."""
        self.clock.cancel_timers()

    @recorded
    def _on_closed_bar(self, message: object) -> None:
        if isinstance(message, ClosedBar):
            self._live.bar(message.instrument_id, message.ts_close)
            self._bar_ns = self._now()
            self._blind = False

    @recorded
    def _on_position(self, message: object) -> None:
        if isinstance(message, PositionState):
            self._owned[message.instrument_id] = message.lots

    @recorded
    def _on_settled(self, message: object) -> None:
        """Ask what was paid, whoever holds anything: in that very second the venue knows better."""
        if isinstance(message, FundingSettled) and not message.final:
            self._payments.settled(message, int(self.clock.timestamp_ns()))
            self._ask_payments(int(self.clock.timestamp_ns()))

    @recorded
    def _on_outcome(self, message: object) -> None:
        if isinstance(message, OrderOutcome):
            if message.outcome == "unknown":
                self._live.unanswered(message.client_order_id, self._now())
            else:
                self._live.answered(message.client_order_id)

    @recorded
    def _on_wanted(self, message: object) -> None:
        """Ask the venue, where there is one beside the engine."""
        if isinstance(message, Wanted) and self._venue is not None:
            (self._venue.ask_positions if message.of == "positions" else self._venue.ask_balance)()

    @recorded
    def _on_poll(self, _: Any) -> None:
        """Tell everybody what the venue said."""
        for word in self._venue.words() if self._venue is not None else ():
            self._live.asked(answered=not isinstance(word, NoWord), now_ns=self._now())
            if isinstance(word, OrderWord):
                self._live.answered(word.order_id)
            elif isinstance(word, PositionWord):
                self._compare(word)
            elif isinstance(word, WalletWord):
                self.publish_message(balance_topic(), AccountBalance(word.balance))
                continue
            elif isinstance(word, FundingWord):
                paid = self._payments.paid(word)
                if paid is not None:
                    self.publish_message(funding_topic(word.instrument_id), paid)
                continue
            elif isinstance(word, FundingListed):
                self._payments.listed(int(self.clock.timestamp_ns()))
                continue
            self.publish_message(word_topic(word.instrument_id), word)

    @recorded
    def _on_check(self, event: Any) -> None:
        """Look at everything; ask what is held, where it is time or where that would end a doubt."""
        engine_ns, now = int(self.clock.timestamp_ns()), self._now()
        self._live.clock(self._offset.offset_ns)
        self._busy(engine_ns - int(event.ts_event))
        self._tell(self._live.look(now), now)
        apart = any(self._held(name) != lots for name, lots in self._owned.items())
        doubtful = apart or self._live.mode is not Mode.LIVE
        if doubtful or engine_ns - self._asked_ns >= self._params.position_ns:
            self._asked_ns = engine_ns
            self._ask()
        if self._payments.since_ns and engine_ns - self._payments_asked_ns >= self._params.position_ns:
            self._ask_payments(engine_ns)
        for unpaid in self._payments.given_up(engine_ns):
            self._tell_unpaid(unpaid)
        if now - self._bar_ns >= self._params.blind_ns and any(self._owned.values()) and not self._blind:
            self._blind = True
            self._close_all(now)

    def _ask(self) -> None:
        """Ask the venue what is held; where the engine is the venue, it says so at once."""
        if self._venue is not None:
            self._venue.ask_positions()
            return
        for name in self._params.lots:
            self._live.compared(equal=self._held(name) == self._owned[name])

    def _ask_payments(self, engine_ns: int) -> None:
        self._payments_asked_ns = engine_ns
        if self._venue is not None:
            self._venue.ask_funding(self._payments.since_ns)

    def _tell_unpaid(self, unpaid: FundingPaid) -> None:
        """Say what came of a settlement that the venue told no payment of: none, or what was estimated."""
        name = unpaid.instrument_id
        if unpaid.amount is None and self._owned[name] != 0:
            self._alert(f"{name}: the venue does not say what funding was paid; the estimate stands", "warning")
        self.publish_message(funding_topic(name), unpaid)

    def _compare(self, word: PositionWord) -> None:
        """Hold the venue's word to the engine's and the owner's; where they differ it is asked again at once."""
        name = word.instrument_id
        equal = round(Decimal(word.quantity) / self._lots[name]) == self._held(name) == self._owned[name]
        self._live.compared(equal=equal)
        if not equal:
            self._asked_ns = 0

    def _held(self, name: str) -> int:
        """Return the signed lots of the engine's cache."""
        total = Decimal(0)
        for position in self.cache.positions_open(instrument_id=self._ids[name]):
            quantity = position.quantity.as_decimal()
            total += quantity if position.is_long else -quantity
        return round(total / self._lots[name])

    def _busy(self, late_ns: int) -> None:
        """Have watching give way while the machine is too busy; ten looks in time in a row end that."""
        self._calm = 0 if late_ns > self._params.lag_ns else self._calm + 1
        if self._calm == 0 and not self._shed:
            self._alert(f"alarms ring {late_ns / 1e6:.0f} ms late: watching gives way to trading", "warning")
        self._shed = self._calm < 10 and (self._shed or self._calm == 0)

    def _tell(self, found: Finding, now: int) -> None:
        """Freeze or free entries, alert and write down, where the mode changed; tell those who act by it."""
        by_rest = found.unheard or (self._state.by_rest and found.mode is not Mode.LIVE)
        state = ModeState(found.mode, by_rest, self._shed, found.reason, now)
        if (state.mode, state.by_rest, state.shed) != (self._state.mode, self._state.by_rest, self._state.shed):
            self.publish_message(mode_topic(), state)
        self._state = state
        if found.mode is found.before:
            return
        row = {
            "ts_event": now,
            "mode_from": found.before.name,
            "mode_to": found.mode.name,
            "reason": found.reason,
        }
        self._journal.record("modes", row)
        frozen = found.mode is not Mode.LIVE
        if frozen or found.before is not Mode.LIVE:
            freeze = Freeze("", SOURCE, frozen=frozen, reason=found.reason, ts_event=now)
            self.publish_message(freeze_topic(), freeze)
        severity: Severity = "critical" if found.mode is Mode.CUT else "warning" if frozen else "info"
        self._alert(f"{found.before.name} -> {found.mode.name}: {found.reason}", severity)

    def _close_all(self, now: int) -> None:
        """Close what is held: nobody has seen the market for too long."""
        reason = f"no bar for {(now - self._bar_ns) / 6e10:.0f} minutes"
        self.publish_message(trip_topic(), Trip("data_integrity", reason, now))
        for name, lots in self._owned.items():
            if lots != 0:
                self.publish_message(flatten_topic(name), Flatten(reason, now))

    def _alert(self, text: str, severity: Severity) -> None:
        self.publish_message(alert_topic(), Alert(SOURCE, severity, text, self._now()))

    def _now(self) -> int:
        return self._time.now_ns(int(self.clock.timestamp_ns()))
