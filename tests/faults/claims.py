"""What a node claims to know, held against what the venue's ledger implies."""

import time
from decimal import Decimal

import numpy as np
from implied import MINUTE_MS, PLACING, anchors, implied, marks

from core.protections import M, recall
from core.trips import REQUESTS_KEY, STATE_KEY, Request, encoded, state_of

__all__ = ["Claims"]

CENT = 0.02
"""Of quote currency: how exact the books are, funding that was estimated included."""
WRITTEN = 0.5
"""Seconds in which state that nothing waited for is on the disk."""


class Claims:
    """The claims of the nodes that live one after the other on one venue.

    Parameters
    ----------
    node : Trial
        They.
    interval_ms : int
        Of their decisions.
    balance : float
        Of the account at the start.
    limits : RiskParams
        Their limits.

    Attributes
    ----------
    counted : bool
        Whether what fills while no node lives must be in its counters: slices of an order that is worked are not yet.
    """

    def __init__(self, node, interval_ms, balance, limits) -> None:
        self.interval_ms = interval_ms
        self.halted = False
        self.counted = True
        self.written_seconds = WRITTEN
        self._node, self._limits = node, limits
        self._balance = Decimal(repr(balance))
        self._rows, self._closes, self._certain = [], {}, {}
        self._requests = []
        self._since_ms = 0

    def rows(self):
        """Return the venue's ledger."""
        self._rows += self._node.venue.control.ledger(wire_since=2**62, since=len(self._rows))["exchange"]
        return self._rows

    def ask(self, action):
        """Ask the breaker for something, as a person does while no node lives."""
        self._requests.append(Request(len(self._requests) + 1, action, f"request {len(self._requests) + 1}", 1))
        self._node.store.save(REQUESTS_KEY, encoded(tuple(self._requests)))
        self.halted = action != "rearm"

    def begin(self):
        """Take note that a node is at rest for the first time."""
        self._since_ms = self._node.venue.control.state()["minute_ms"]

    def end(self):
        """Take note that a node was killed.

        It is certain that a mark was kept that something was sent after, but for that of the minute of its death: what
        was sent then may have been an answer to a fill that came before the bar.
        """
        minute_ms = self._node.venue.control.state()["minute_ms"]
        sent = (row["time_ms"] for row in self.rows() if row["kind"] == "request" and row["path"] in PLACING)
        self.lived(self._since_ms, minute_ms, certain_ms=min(max(sent, default=0), minute_ms) - 1)

    def wrong(self):
        """Return what does not agree, once state that nothing waited for had its time to be written."""
        until = time.monotonic() + self.written_seconds
        self.lived(self._since_ms, self._node.venue.control.state()["minute_ms"])
        while True:
            found = [*self._node.differences(), *(self._counters() if self.counted else []), *self._breaker()]
            if not found or time.monotonic() > until:
                return found
            time.sleep(0.01)

    def lived(self, since_ms, until_ms, *, certain_ms=2**62):
        """Take note of the closes that a node lived through: ``since_ms < t <= until_ms``."""
        if until_ms <= since_ms:
            return
        asked = f"/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500&startTime={since_ms}&endTime={until_ms - 1}"
        for row in self._node.venue.control.call("GET", asked):
            close_ms = int(row[0]) + MINUTE_MS
            if close_ms % self.interval_ms == 0 and since_ms < close_ms <= until_ms:
                self._closes[close_ms] = float(row[4])
                self._certain[close_ms] = close_ms <= certain_ms

    def _counters(self):
        """Return which counters of the gate and which profits are not those of the ledger."""
        trader, truth = self._node.trader(), implied(self.rows(), self.interval_ms)
        if trader is None:
            return ["nothing is kept of the counters"] if truth.entries else []
        memory = np.asarray(trader.memory)
        now_ms = int(memory[M.ts]) // 1_000_000
        said = recall(memory, 0, self._limits)
        streak = said.loss_streak
        pairs = {
            "entries of 24 hours": (said.entries_24h, truth.entries_24h(now_ms)),
            "entries of the day": (said.entries_today, truth.entries_today(now_ms)),
            "losses in a row": (streak, truth.loss_streak),
            "trades": (int(memory[M.trades]), len(truth.trades)),
            "trades that a stop ended": (int(memory[M.stops]), truth.stops),
        }
        found = [f"{name}: node {ours}, ledger {theirs}" for name, (ours, theirs) in pairs.items() if ours != theirs]
        if abs(trader.realised - float(truth.realised)) > CENT:
            found.append(f"realised: node {trader.realised:.4f}, ledger {truth.realised}")
        return found

    def _breaker(self):
        """Return what of the breaker is not as marks and requests make it."""
        state = state_of(self._node.store.load(STATE_KEY))
        asked = [request.action for request in self._requests]
        pairs = {
            "causes": ([cause.trigger for cause in state.causes], ["manual"] if self.halted else []),
            "trips": (state.trips, len(asked) - asked.count("rearm")),
            "re-arms": (state.rearms, asked.count("rearm")),
            "requests": (state.requests_done, len(asked)),
        }
        found = [f"{name}: breaker {ours}, expected {theirs}" for name, (ours, theirs) in pairs.items()
                 if ours != theirs]  # fmt: skip
        if state.day.day < 0:
            return found + (["no mark is kept"] if any(self._certain.values()) else [])
        made = marks(self.rows(), self._closes, self._balance)
        truth = anchors((mark, self._certain[mark.close_ms]) for mark in made)
        values = {
            "high-water mark of the day": (state.day.high_water_mark, truth.high(state.day.day)),
            "equity of the last mark": (state.equity, truth.last),
        }
        found += [
            f"{name}: breaker {value:.4f}, ledger {low:.4f} to {high:.4f}"
            for name, (value, (low, high)) in values.items()
            if not low - CENT <= value <= high + CENT
        ]
        return found
