"""Marks the account to market, runs the circuit breaker, and tells everybody what they must know of both."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Self

from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, BarType, Currency, FundingRateUpdate, InstrumentId, Venue

from actors.account_view import AccountView, Prices
from actors.rows import breaker_row, equity_row, funding_row
from core.bars import DAY_NS
from core.books import Books
from core.breaker import ACTIVE
from core.causes import BreakerClocks, BreakerParams, BreakerState, Change, Step, flattening, trading_state
from core.errors import StateError
from core.faults import Faults, guarded, recorded
from core.messages import (
    AccountBalance,
    Alert,
    Answered,
    Asked,
    ClosedBar,
    Evaluated,
    Flatten,
    FundingPaid,
    FundingSettled,
    Mark,
    OrderOutcome,
    PositionState,
    RiskState,
    Severity,
    Trip,
    alert_topic,
    answered_topic,
    asked_topic,
    balance_topic,
    bar_topic,
    evaluated_topic,
    flatten_topic,
    funding_topic,
    mark_topic,
    outcome_topic,
    position_topic,
    risk_topic,
    trip_topic,
)
from core.protocols import Journal, StateStore, Timekeeper
from core.timekeeping import EngineTime
from core.trips import (
    REQUESTS_KEY,
    STATE_KEY,
    Request,
    cleared,
    elapsed,
    encoded,
    marked,
    order_answered,
    requested,
    requests_of,
    state_of,
    tripped,
)

__all__ = ["RiskActor"]


class RiskActor(AccountView, DataActor):
    """Equity, drawdown and trading state: answered at once whenever a mark is asked for, and kept before it is told.

    A question and its answer are nested calls: the order in which the engine hands a bar to its components does not
    matter, and it is not the order in which they were added.

    Parameters
    ----------
    bar_types : Mapping[str, str]
        Base bar type by instrument id.
    lots : Mapping[str, float]
        Base asset a lot, by instrument id.
    venue, currency : str
        Where the account is, and what it is kept in.
    params : BreakerParams
        Limits and triggers.
    clocks : BreakerClocks
        How often the account is marked, and which prices are stale.
    journal : Journal
        Takes the rows of ``equity``, ``funding`` and ``breaker``.
    store : StateStore or None
        Where the breaker's state is kept; None where it ends with the run.
    faults : Faults
        Where handler errors are kept.
    time : Timekeeper, optional
        Market time; by default the engine's.
    confirms : bool, optional
        Whether the venue says its balance when it is asked: a difference from the engine's is confirmed by it first.
    closes : Mapping[str, float]
        Last closes of history, by instrument id, where bars are taken at a door: what was held before is marked at
        them until one is taken.

    Raises `StateError` where the state that was kept cannot be trusted.
    """

    def __new__(cls, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("RISK-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        *,
        bar_types: Mapping[str, str],
        lots: Mapping[str, float],
        venue: str,
        currency: str,
        params: BreakerParams,
        clocks: BreakerClocks,
        journal: Journal,
        store: StateStore | None,
        faults: Faults,
        time: Timekeeper | None = None,
        confirms: bool = False,
        closes: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.faults = faults
        self._closes, self._confirms = dict(closes), confirms
        self._taken: dict[str, ClosedBar] = {}
        self._time = time or EngineTime()
        self._bar_types = {instrument: BarType.from_str(name) for instrument, name in bar_types.items()}
        self._books = Books(lots)
        self._venue = Venue(venue)
        self._currency = Currency.from_str(currency)
        self._params = params
        self._clocks = clocks
        self._journal, self._store = journal, store
        self._state = state_of(store.load(STATE_KEY) if store is not None else None)
        self._level, self._floor = ACTIVE, math.inf
        self._equity = self._state.equity
        self._evaluated = 0
        self._stale: tuple[str, ...] = ()
        self._flattening = False
        self._deaf = ""
        self._row: dict[str, object] | None = None
        self._row_ns = 0

    @recorded
    def on_start(self) -> None:
        """Subscribe to what moves the account and the breaker; take what a person asked for in the meantime."""
        self._level = trading_state(self._state)
        self.subscribe_topic(mark_topic(), self.on_mark)
        self.subscribe_topic(trip_topic(), self._on_trip)
        self.subscribe_topic(asked_topic(), self._on_asked)
        self.subscribe_topic(outcome_topic(), self._on_outcome)
        self.subscribe_topic(balance_topic(), self._on_balance)
        for instrument in self._bar_types:
            self.subscribe_funding_rates(InstrumentId.from_str(instrument))
            self.subscribe_topic(bar_topic(instrument), self._on_closed_bar)
            self.subscribe_topic(funding_topic(instrument), self._on_settled)
            self.subscribe_topic(position_topic(instrument), self._on_position)
        self._take_requests(self._now())
        self._time.every(self.clock, "breaker", self._clocks.mark_interval_ns, self._on_timer)

    @property
    def breaker(self) -> BreakerState:
        """What is known of the breaker."""
        return self._state

    @recorded
    def on_stop(self) -> None:
        """Write the last mark down, and funding as it was estimated where the venue has not told it yet."""
        self._record_equity()
        for settled, amount in self._books.estimated:
            self._journal.record("funding", funding_row(settled, amount))
        self.clock.cancel_timers()

    @guarded
    def on_mark(self, message: object) -> None:
        """Mark to market at the close of a bar; tell everybody where a decision follows or the state changes."""
        if isinstance(message, Mark):
            if message.decision:
                self._mark(message)
            else:
                self._guard(message.ts_event, self._prices(message))

    @recorded
    def on_funding_rate(self, funding_rate: FundingRateUpdate) -> None:
        """Book what a held position pays; the venue does after this bar. One with a time to come is an estimate."""
        instrument = str(funding_rate.instrument_id)
        if funding_rate.next_funding_ns is None and instrument in self._books.held():
            rate, price = float(funding_rate.rate), self._middle(instrument)
            self._fund(FundingSettled(instrument, funding_rate.ts_event, rate, price))

    @recorded
    def _on_closed_bar(self, message: object) -> None:
        """Keep what was taken at the door: the engine's cache has what was refused there, too."""
        if isinstance(message, ClosedBar):
            self._taken[message.instrument_id] = message

    @recorded
    def _on_settled(self, message: object) -> None:
        if isinstance(message, FundingSettled) and message.instrument_id in self._books.held():
            self._fund(message)
        elif isinstance(message, FundingPaid):
            amount = self._books.paid(message)
            if amount != 0.0:
                self._journal.record("funding", funding_row(message, amount))

    def _fund(self, settled: FundingSettled) -> None:
        """Book what is paid; it is written down once that is certain."""
        amount = self._books.fund(settled)
        if settled.final:
            self._journal.record("funding", funding_row(settled, amount))

    @recorded
    def _on_position(self, message: object) -> None:
        if isinstance(message, PositionState):
            self._books.take(message)

    @recorded
    def _on_trip(self, message: object) -> None:
        if isinstance(message, Trip):
            now = self._now()
            self._told(tripped(self._state, message.trigger, message.detail, now, self._params), now)

    @recorded
    def _on_asked(self, message: object) -> None:
        """Do what a person asks, after what was asked before by way of the store."""
        if isinstance(message, Asked):
            now = self._now()
            self._take_requests(now)
            number = self._state.requests_done + 1
            request = Request(number, message.action, message.reason, now, message.new_anchor)
            self.publish_message(answered_topic(), Answered(self._done(request, now), now))

    @recorded
    def _on_outcome(self, message: object) -> None:
        if isinstance(message, OrderOutcome):
            now = self._now()
            self._told(order_answered(self._state, message.outcome, message.latency_ns, now, self._params), now)

    @recorded
    def _on_balance(self, message: object) -> None:
        """Hold the books to the venue's own word, where the engine's account says something else."""
        if isinstance(message, AccountBalance) and (mismatch := self._confirmed(message)):
            now = self._now()
            self._told(tripped(self._state, "reconciliation_mismatch", mismatch, now, self._params), now)

    @recorded
    def _on_timer(self, now: int) -> None:
        """Mark at the last known prices, end what is over, take what a person asks; evaluated even without a bar."""
        self._told(elapsed(self._state, now, self._params), now)
        self._find_stale(now)
        if all(self._last_seen(name) for name in self._books.held()):
            self._guard(now, self._last_close)
            self._publish(now, self._last_close)
        self._take_requests(now)

    @recorded
    def _on_flatten(self, now: int) -> None:
        self._flattening = False
        self._flatten(now)

    def _mark(self, mark: Mark) -> None:
        """Fold the equity of a decision's close in and answer; the decision itself closes what it decides on."""
        ts, prices = mark.ts_event, self._prices(mark)
        if self._row is not None and self._row_ns < ts:
            self._record_equity()
        mismatch = self._audited(ts)
        if mismatch:
            self._take(tripped(self._state, "reconciliation_mismatch", mismatch, ts, self._params), ts)
        self._equity = self._books.equity(prices)
        self._evaluated = ts
        self._take(marked(self._state, ts, self._equity, self._params, decision=True), ts)
        state = self._publish(ts, prices)
        if ts >= self._row_ns:  # a bar that was looked for is of before: the account was marked later already
            self._row, self._row_ns = equity_row(state, self._books.net_notional(prices)), ts
        self._flatten(ts, sparing=mark.instrument_id)
        if mismatch:
            raise RuntimeError(mismatch)

    def _guard(self, ts: int, prices: Prices) -> None:
        """Hold the equity of a mark between decisions to the limits; most marks need no more than one comparison."""
        if not self._books.open:
            self._audited(ts)
        self._equity = self._books.equity(prices)
        self._evaluated = ts
        if self._equity > self._floor and (ts - 1) // DAY_NS == self._state.day.day:
            self.publish_message(evaluated_topic(), Evaluated(ts))
            return
        if self._take(marked(self._state, ts, self._equity, self._params, decision=False), ts):
            self._publish(ts, prices)
        self._flatten(ts)

    def _told(self, step: Step, ts: int) -> None:
        """Take a step that came by message, perhaps out of a strategy's handler: positions are closed after it."""
        if self._take(step, ts):
            self._publish(ts, self._last_close)
            if flattening(self._state) and not self._flattening:
                self._flattening = True
                self._time.alarm(self.clock, "breaker-flatten", ts, self._on_flatten)

    def _take(self, step: Step, ts: int) -> bool:
        """Keep a new state, then make it the state and tell of its changes; return whether there were any."""
        if step.state is self._state:
            return False
        self._state = step.state
        changes = step.changes + self._kept(ts, durable=bool(step.changes))
        self._level = trading_state(self._state)
        day, risk = self._state.day, self._params.risk
        highest = max(day.high_water_mark * (1.0 - risk.daily_drawdown), day.peak * (1.0 - risk.total_drawdown))
        self._floor = math.inf if flattening(self._state) or day.day < 0 else highest * (1.0 + 1e-9)
        for change in changes:
            self._tell(change, ts)
        return bool(changes)

    def _kept(self, ts: int, *, durable: bool = True) -> tuple[Change, ...]:
        """Save the state, at once where it changed; where that fails nothing is opened until it succeeds."""
        if self._store is None:
            return ()
        try:
            if durable:
                self._store.save(STATE_KEY, encoded(self._state))
            else:
                self._store.put(STATE_KEY, encoded(self._state))
        except Exception as error:  # noqa: BLE001 - whatever a store raises, trading goes on reduced
            step = tripped(self._state, "state_store", str(error), ts, self._params)
            self._state = step.state
            return step.changes
        step = cleared(self._state, "state_store", "the state is kept again")
        if step.state is not self._state:
            self._state = step.state
            return step.changes + self._kept(ts)
        return ()

    def _tell(self, change: Change, ts: int) -> None:
        """Write a change down and alert."""
        row = breaker_row(change, ts)
        self._journal.record("breaker", row)
        text = f"{row['state_from']} -> {row['state_to']}: {change.trigger}: {change.reason}"
        severity: Severity = "critical" if change.state_to > change.state_from else "warning"
        self.publish_message(alert_topic(), Alert("breaker", severity, text, ts))

    def _take_requests(self, ts: int) -> None:
        """Carry out what a person asked for and has not been done; retry a state that could not be kept."""
        if self._store is None:
            return
        if any(cause.trigger == "state_store" for cause in self._state.causes):
            for change in self._kept(ts):
                self._tell(change, ts)
            self._level = trading_state(self._state)
        try:
            requests, deaf = requests_of(self._store.load(REQUESTS_KEY)), ""
        except StateError as error:
            requests, deaf = (), str(error)
        if bool(deaf) != bool(self._deaf):
            text = f"no request is taken: {deaf}" if deaf else "requests are taken again"
            self.publish_message(alert_topic(), Alert("breaker", "critical" if deaf else "info", text, ts))
        self._deaf = deaf
        for request in requests:
            self._done(request, ts)

    def _done(self, request: Request, ts: int) -> str:
        """Carry a request out; return why it was refused, empty where it was not."""
        step = requested(self._state, request, ts, self._equity, self._params)
        self._told(step, ts)
        if step.refused:
            self.publish_message(alert_topic(), Alert("breaker", "warning", f"refused: {step.refused}", ts))
        return step.refused

    def _publish(self, ts: int, prices: Prices) -> RiskState:
        """Tell everybody the account and the state."""
        notionals = self._books.notionals(prices)
        day = self._state.day
        state = RiskState(
            ts_event=ts,
            equity=self._equity,
            balance=self._books.balance,
            high_water_mark=day.high_water_mark,
            drawdown=day.drawdown,
            state=self._level,
            gross_notional=sum(notionals.values()),
            notionals=notionals,
            evaluated_ns=self._evaluated,
            stale=self._stale,
        )
        self.publish_message(risk_topic(), state)
        return state

    def _flatten(self, ts: int, sparing: str = "") -> None:
        """Ask the owners of all positions but one to close them, for as long as a cause wants it."""
        reason = flattening(self._state)
        if reason:
            for name in self._books.held():
                if name != sparing:
                    self.publish_message(flatten_topic(name), Flatten(reason, ts))

    def _record_equity(self) -> None:
        """Write the last decision mark down; further instruments' marks at one close have replaced it."""
        if self._row is not None:
            self._journal.record("equity", self._row)
