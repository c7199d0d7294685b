"""A trader and a hand that plays the venue: what it is told, and what it asked for since."""

import msgspec

from core.breaker import ACTIVE
from core.commands import Command, Publish, Submit, WriteDecision, WritePosition
from core.messages import Alert, RiskState, Signal
from core.trader import Fill, Trader, TraderState
from tests.unit.trading_session import EQUITY, NAME, SECOND, params

__all__ = ["Table", "only"]


class Table:
    """Plays one trader by hand; ``asked`` holds its commands since the last look, publications aside."""

    def __init__(self, style: str = "market", inherited: str = "adopt") -> None:
        self.params = params(style, inherited)
        self.trader = Trader(self.params)
        self.now = 1_700_000_000 * SECOND
        self.asked: list[Command] = []
        self.told: list[object] = []
        self.trades = 0

    def __call__(self, commands: tuple[Command, ...]) -> list[Command]:
        """Keep what was asked for and return it."""
        self.told += [command.message for command in commands if isinstance(command, Publish)]
        asked = [c for c in commands if not isinstance(c, Publish | WriteDecision | WritePosition)]
        self.asked += asked
        return asked

    def wait(self, seconds: float) -> list[Command]:
        """Let time pass, the alarm ring."""
        self.now += round(seconds * SECOND)
        first = self(self.trader.on_timer(self.now))
        if 0 < self.trader.wake_ns - self.now < SECOND // 10:
            self.now = self.trader.wake_ns
            return first + self(self.trader.on_timer(self.now))
        return first

    def risk(self, state: int = ACTIVE) -> list[Command]:
        """Mark the account."""
        return self(self.trader.on_risk(RiskState(self.now, EQUITY, EQUITY, EQUITY, 0.0, state, 0.0)))

    def signal(self, level: float, price: float = 30_000.0, state: int = ACTIVE) -> list[Command]:
        """Close a bar a minute later."""
        self.now += 60 * SECOND
        self.risk(state)
        signal = Signal(
            NAME, self.now, level, 1.0, 1.0, 3, "", True, price, 120.0, 0.6, 0.5, price, 0.0, 480.0, (), (), ""
        )  # fmt: skip
        return self(self.trader.on_signal(signal, self.now))

    def fill(self, order: Submit | str, lots: int, price: float = 30_000.0, side: int = 0) -> list[Command]:
        """Fill a part of an order."""
        self.trades += 1
        self.now += 1
        name = order if isinstance(order, str) else order.order_id
        side = side if isinstance(order, str) else order.side
        return self(self.trader.on_filled(Fill(name, f"T{self.trades}", side, lots, price, 0.0, self.now), self.now))

    def accept(self, order: Submit) -> list[Command]:
        """Accept an order."""
        return self(self.trader.on_accepted(order.order_id, self.now))

    def end(self, order: Submit, outcome: str, reason: str = "") -> list[Command]:
        """End an order."""
        return self(self.trader.on_ended(order.order_id, outcome, reason, self.now))

    def enter(self, lots: int | None = None) -> tuple[Submit, Submit]:
        """Go long, fill so much of it (all), accept the stop; return both orders."""
        entry = only(self.signal(1.0), "entry")
        stop = only(self.fill(entry, lots or entry.lots), "stop")
        self.accept(stop)
        return entry, stop

    def restart(self) -> None:
        """Kill the process; what it knew comes back through bytes."""
        kept = msgspec.msgpack.encode(self.trader.snapshot())
        self.trader = Trader(self.params)
        self.trader.restore(msgspec.msgpack.decode(kept, type=TraderState))
        self.asked.clear()
        self.now += SECOND

    def alerts(self) -> str:
        """Return what a person was told."""
        return "\n".join(message.text for message in self.told if isinstance(message, Alert))


def only(commands: list[Command], purpose: str) -> Submit:
    """Return the one order of a purpose among commands."""
    (order,) = (c for c in commands if isinstance(c, Submit) and c.purpose == purpose)
    return order
