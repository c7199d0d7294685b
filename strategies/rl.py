"""The shell of `core.trader`: what the engine and the others tell it (what it asks for: `strategies.carrier`)."""

from math import isnan
from typing import Any

import msgspec
from nautilus_trader.model import (
    OrderAccepted,
    OrderCanceled,
    OrderCancelRejected,
    OrderDenied,
    OrderExpired,
    OrderFilled,
    OrderModifyRejected,
    OrderRejected,
    OrderUpdated,
)

from core.degraded import ModeState, mode_topic
from core.faults import guarded, recorded
from core.messages import (
    Flatten,
    Freeze,
    ParentEnded,
    RiskState,
    Signal,
    ended_topic,
    flatten_topic,
    freeze_topic,
    risk_topic,
    signal_topic,
)
from core.trader import TraderState
from core.venue_words import NoWord, OrderWord, PositionWord, word_topic
from strategies.carrier import Carrier, RLStrategyParams
from strategies.orders import is_slice

__all__ = ["RLStrategy", "RLStrategyParams"]

_MOST_DIFFERENCES = 2
"""Words of the venue in a row that may differ from what we hold before they are believed."""


class RLStrategy(Carrier):
    """Owns one instrument's position and every order on it.

    Parameters
    ----------
    params : RLStrategyParams
        The instrument and the limits.
    journal : Journal
        Takes the rows of ``decisions``, ``orders`` and ``fills``.
    faults : Faults
        Where handler errors are kept.
    store : StateStore, optional
        Keeps what a restart must know, at every change and before anything is sent.
    time : Timekeeper, optional
        Market time; by default the engine's.
    venue : VenueDesk, optional
        Asks the venue beside the engine; without it what the engine knows is all there is.
    """

    @recorded
    def on_start(self) -> None:
        """Listen to the ensemble, to the risk actor and to whoever may stop entries; go on with what was there."""
        name = self._name
        self.subscribe_topic(risk_topic(), self._on_risk)
        self.subscribe_topic(signal_topic(name), self.on_decision)
        self.subscribe_topic(flatten_topic(name), self._on_flatten)
        self.subscribe_topic(freeze_topic(), self._on_freeze)
        self.subscribe_topic(ended_topic(name), self._on_parent_ended)
        self.subscribe_topic(word_topic(name), self._on_word)
        self.subscribe_topic(mode_topic(), self._on_mode)
        kept: bytes | None = b""
        try:
            kept = self._store.load(self._key) if self._store is not None else None
            if kept is not None:
                self.trader.restore(msgspec.msgpack.decode(kept, type=TraderState))
                self.trader.desk.freezes = {}  # who still has a reason says so again
        finally:  # what is held is protected though nobody can read what was known of it
            (lots, price), rest = self._desk.held(self.cache), self._desk.open_orders(self.cache)
            if kept is not None or lots != 0 or rest:
                self._carry_out(self.trader.inherit(lots, price, rest, self._now()))
            self._inherited = True

    @recorded
    def on_stop(self) -> None:
        """Look after nothing any more; what rests at the venue stays there."""
        self.clock.cancel_timers()

    @recorded
    def _on_risk(self, message: object) -> None:
        if isinstance(message, RiskState):
            self._carry_out(self.trader.on_risk(message, self._now()))

    @guarded
    def on_decision(self, message: object) -> None:
        """Decide on a signal."""
        if isinstance(message, Signal):
            self._carry_out(self.trader.on_signal(message, self._now()))

    @recorded
    def _on_flatten(self, message: object) -> None:
        if isinstance(message, Flatten):
            self._carry_out(self.trader.on_flatten(message, self._now()))

    @recorded
    def _on_freeze(self, message: object) -> None:
        if isinstance(message, Freeze):
            self._carry_out(self.trader.on_freeze(message, self._now()))

    @recorded
    def _on_parent_ended(self, message: object) -> None:
        if isinstance(message, ParentEnded):
            outcome = {"timed_out": "expired"}.get(message.outcome, message.outcome)
            now_ns = self._now()
            self._carry_out(self.trader.on_ended(message.client_order_id, outcome, message.reason, now_ns))

    @recorded
    def _on_mode(self, message: object) -> None:
        """While nobody hears us by the engine's ways, exits go by REST."""
        if isinstance(message, ModeState):
            self._by_rest = message.by_rest

    @recorded
    def _on_word(self, message: object) -> None:
        """Take the venue's own word; a position's only where it was wanted."""
        now_ns = self._now()
        if isinstance(message, OrderWord | NoWord):
            self._due.discard(message.order_id)
        if isinstance(message, OrderWord):
            filled = float(message.filled)
            told = filled > 0.0 and not isnan(message.commission)
            fee = message.commission / (filled * message.price) if told else self._fee
            lots, as_of_ns = self._desk.counted(message.filled), message.ts_event or now_ns
            before = self.trader.position.lots
            resolved = self.trader.on_resolved(
                message.order_id, message.status, lots, message.price, as_of_ns, now_ns, fee
            )
            self._carry_out(resolved)
            if self.trader.position.lots != before and self._venue is not None:
                self._venue.ask_positions()  # the engine may not have heard of it: the venue confirms it at once
        elif isinstance(message, PositionWord):
            self._take_position(self._desk.counted(message.quantity), message.entry_price, now_ns)

    def _take_position(self, lots: int, entry_price: float, now_ns: int) -> None:
        """Take the venue's position where it was wanted, or differs again and again, the same, though no answer is due.

        At first the fate of every order is asked for: what filled unheard is booked as what it was. It is asked for
        as long as anything is held, too: a stop that has ended unheard protects nothing.
        """
        if self._reconciling and self.trader.position.lots != self._asked_lots:
            self._reconcile()  # what came meanwhile may not be in it: asked again
            return
        if self._reconciling and self._venue is not None and self._due & self.trader.desk.orders.live.keys():
            self._venue.ask_positions()  # asked before: its orders are heard first
            return
        orders = self.trader.desk.orders
        differs = lots != self.trader.position.lots and orders.wake_ns() == 0
        difference = (lots, self.trader.position.lots)  # words that crossed with fills differ, each in its own way
        if not differs or difference != self._difference:
            self._differed = 0
        self._differed, self._difference = self._differed + differs, difference
        if self._reconciling or self._differed > _MOST_DIFFERENCES:
            self._reconciling, self._differed = False, 0
            self._carry_out(self.trader.on_position(lots, entry_price, now_ns))
        elif self._venue is not None and (self._differed == 1 or (lots != 0 and orders.wake_ns() == 0)):
            for order_id in orders.live:
                self._venue.ask_order(self._name, order_id)

    @recorded
    def on_order_filled(self, event: OrderFilled) -> None:
        """Report a fill, of an order or of a slice; one that the engine made up to get in line is none."""
        if event.reconciliation and self.trader.desk.orders.find(str(event.client_order_id)) is None:
            self._reconcile()
            return
        self._fills[str(event.trade_id)] = event
        self._carry_out(self.trader.on_filled(self._desk.fill(event, self._fee), self._now()))

    @recorded
    def on_order_accepted(self, event: OrderAccepted) -> None:
        """Report an acceptance."""
        if not is_slice(event.client_order_id):
            self._carry_out(self.trader.on_accepted(str(event.client_order_id), self._now()))

    @recorded
    def on_order_updated(self, event: OrderUpdated) -> None:
        """Report a change."""
        if not is_slice(event.client_order_id) and event.trigger_price is not None:
            lots, ticks = self._desk.lots(event.quantity), self._desk.ticks(event.trigger_price)
            self._carry_out(self.trader.on_modified(str(event.client_order_id), lots, ticks, self._now()))

    @recorded
    def on_order_modify_rejected(self, event: OrderModifyRejected) -> None:
        """Report a refused change."""
        if not is_slice(event.client_order_id):
            name = str(event.client_order_id)
            self._carry_out(self.trader.on_modify_rejected(name, str(event.reason), self._now()))

    @recorded
    def on_order_cancel_rejected(self, event: OrderCancelRejected) -> None:
        """Report a refused cancel."""
        if not is_slice(event.client_order_id):
            name = str(event.client_order_id)
            self._carry_out(self.trader.on_cancel_rejected(name, str(event.reason), self._now()))

    @recorded
    def on_order_rejected(self, event: OrderRejected) -> None:
        """Report a rejection."""
        self._ended(event, "rejected", str(event.reason))

    @recorded
    def on_order_denied(self, event: OrderDenied) -> None:
        """Report a denial of the engine."""
        self._ended(event, "denied", str(event.reason))

    @recorded
    def on_order_expired(self, event: OrderExpired) -> None:
        """Report an expiry."""
        self._ended(event, "expired", "")

    @recorded
    def on_order_canceled(self, event: OrderCanceled) -> None:
        """Report a cancellation; that of a sliced order is not its end."""
        order = self.trader.desk.orders.find(str(event.client_order_id))  # the engine's cache is closed meanwhile
        if order is None or order.style in {"market", "stop"}:
            self._ended(event, "canceled", "")

    def _ended(self, event: Any, outcome: str, reason: str) -> None:
        """Report an end; where the engine concludes it from silence, the venue is asked."""
        name = str(event.client_order_id)
        if is_slice(event.client_order_id):
            return
        if self._venue is not None and getattr(event, "reconciliation", False):
            self._carry_out(self.trader.on_doubted(name, f"{outcome}, as the engine concludes: {reason}", self._now()))
        else:
            self._carry_out(self.trader.on_ended(name, outcome, reason, self._now()))
