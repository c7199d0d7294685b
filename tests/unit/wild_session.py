"""A session in which more goes wrong than a venue's errors: clocks, hands, a state that is lost, news that outlive it.

Beside what `tests.unit.trading_session` does: signals come twice and late; requests are overtaken by later ones; the
process comes back with an old snapshot, or with none, while news to the one before are still under way; a person trades
by hand and takes the stop away; the clock of the process goes back, or ahead of the venue's.
"""

import heapq
from collections.abc import Callable

import msgspec

from core.commands import Submit
from core.messages import Signal
from core.trader import Trader, TraderState
from tests.unit.trading_session import DECISION, EQUITY, INSTRUMENT, SECOND, Session, params

__all__ = ["WildSession"]


class WildSession(Session):
    """One wild session; parameters as of `Session`."""

    def __init__(self, seed: int, *, kinds: frozenset[str] = frozenset()) -> None:
        super().__init__(seed)
        self.lossless = False
        self.ahead_ns = 0
        self.kinds = kinds or frozenset(self.random.sample(["signals", "requests", "states", "hands", "clock"], 2))
        self.by_hand = False
        self._two_ns = self._much_ns = 0
        self._decided = -1
        self._signals: list[Signal] = []
        self._snapshots: list[bytes] = []
        match = self.venue.match
        self.venue.match = lambda now_ns: match(now_ns - self.ahead_ns)  # type: ignore[method-assign]

    def step(self) -> None:
        """Let some time pass, and something go wrong."""
        self._snapshots.append(msgspec.msgpack.encode(self.trader.snapshot()))
        kind = self.random.random()
        if self.venue.faults and kind < 0.06 and "clock" in self.kinds:
            self._set_clock(
                self.random.choice([-1, 1]) * self.random.choice([1, 5, 600]) * (SECOND + self.random.randint(1, 999))
            )
        elif self.venue.faults and kind < 0.12 and "hands" in self.kinds:
            self._trade_by_hand()
        elif kind > 0.9 and "signals" in self.kinds and self._signals:
            super()._signalled(self.random.choice(self._signals))
        super().step()

    def check(self) -> None:
        """Look at what must hold after every step, and at how much is held."""
        before = len(self.problems)
        super().check()
        if len(self.venue.stops()) <= 1:
            self._two_ns = 0
        elif self._two_ns == 0 or self.now - self._two_ns < 60 * SECOND:  # one that came late is cancelled
            self._two_ns = self._two_ns or self.now
            self.problems[before:] = [text for text in self.problems[before:] if "stops rest" not in text]
        worth = abs(self.venue.lots) * INSTRUMENT.lot * self.venue.entry
        much = not self.by_hand and worth > DECISION.risk.max_capital * EQUITY * 1.15
        self._much_ns = (self._much_ns or self.now) if much else 0
        if much and self.now - self._much_ns > 60 * SECOND:  # what came late is closed again
            self.problems.append(f"{worth:.0f} are held, beyond the capital allowed")

    def _check_submit(self, command: Submit) -> None:
        super()._check_submit(command)
        if command.purpose in {"entry", "increase"} and self._decided == self._signals[-1].ts_event:
            self.problems.append("two increases of one bar")
        if command.purpose in {"entry", "increase"}:
            self._decided = self._signals[-1].ts_event

    def _market_ns(self) -> int:
        return self.now - self.ahead_ns

    def _signalled(self, signal: Signal) -> None:
        self._signals.append(signal)
        super()._signalled(signal)

    def _request(self, act: Callable[[], None]) -> None:
        """Send a request that a later one may overtake."""
        if "requests" in self.kinds and self.random.random() < self.venue.faults * 0.3:
            due = self.now + self.random.randint(4, 20) * SECOND
            heapq.heappush(self._queue, (due, next(self._counter), True, act))
        else:
            super()._request(act)

    def _kill(self) -> None:
        """End the process; it may come back without its state, and with news to the one before under way."""
        if "states" not in self.kinds:
            super()._kill()
            return
        news = [entry for entry in self._queue if not entry[2] and self.random.random() < 0.5]
        self._queue = [entry for entry in self._queue if entry[2]] + news
        heapq.heapify(self._queue)
        self.venue.forget_parents()
        self.kills += 1
        self.now += self.random.randint(1, SECOND)  # names are made of the time, so that a lost state repeats none
        kept = [msgspec.msgpack.encode(self.trader.snapshot()), self.random.choice(self._snapshots[-5:]), b""]
        state = self.random.choice(kept)
        self.trader = Trader(params(self.style))
        if state:
            self.trader.restore(msgspec.msgpack.decode(state, type=TraderState))
            self.trader.desk.freezes = dict.fromkeys(self._frozen, "")
        self._frozen &= set(self.trader.desk.freezes)
        self._bare_ns = 0
        self._decided = -1
        self._call(lambda: self.trader.inherit(self.venue.lots, self.venue.entry, self.venue.open_orders(), self.now))

    def _trade_by_hand(self) -> None:
        """Close, shrink, enlarge or turn the position at the venue, or take its stops away."""
        self.by_hand = True
        for stop in self.venue.stops():
            if self.random.random() < 0.5:
                self.venue._end(stop, "canceled")
        lots = self.venue.lots
        self.venue.lots = self.random.choice([0, 0, lots // 2, lots + 3, lots, lots, -lots])
        if self.venue.lots * lots <= 0:
            self.venue.entry = self.venue.price

    def _set_clock(self, by_ns: int) -> None:
        """Set the clock of the process; nothing takes longer or shorter by that."""
        self.now += by_ns
        self.ahead_ns += by_ns
        self._request_ns += by_ns
        self._queue = [(due + by_ns, number, request, act) for due, number, request, act in self._queue]
        heapq.heapify(self._queue)
        self._bare_ns, self._two_ns = 0, self._two_ns and self.now
        self._much_ns = self._much_ns and self.now

    def _compare(self) -> None:
        """Hold the open orders against those that are known, too."""
        for order in list(self.venue.orders.values()):
            if (
                order.status == "working"
                and order.kind != "parent"
                and order.order_id not in self.trader.desk.orders.live
            ):
                self.venue.answer(order.order_id)
        super()._compare()
