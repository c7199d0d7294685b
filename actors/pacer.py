"""Drives a venue that replays history: one bar after the other, each when the node is done with the one before.

Exists in replays only. Market time is the close of the bar that came last, and runs on with the engine's clock until
the next one; `core.timekeeping.ReplayTime` jumps, and rings what is due on the way.
"""

from collections.abc import Callable
from typing import Any, Self

import msgspec
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, Bar, BarType

from core.faults import Faults, recorded
from core.messages import ClosedBar, bar_topic
from core.protocols import ReplayStep, ReplaySteps
from core.timekeeping import ReplayTime

__all__ = ["Pacer", "PacerParams"]

TICK_NS = 1_000_000


class PacerParams(msgspec.Struct, frozen=True, kw_only=True):
    """What is waited for: bars of these types of ``base_ns``.

    A bar that does not come, or an order without an answer, holds the replay up so long (ns of the engine's time) and
    no longer.
    """

    bar_types: tuple[str, ...]
    base_ns: int
    bar_wait_ns: int = 2_000_000_000
    order_wait_ns: int = 60_000_000_000


class Pacer(DataActor):
    """Moves market time on and asks for the next bar.

    Parameters
    ----------
    params : PacerParams
        What is waited for.
    time : ReplayTime
        The market's, which is moved here and nowhere else.
    steps : ReplaySteps
        The venue's controls.
    at_rest : Callable[[], bool]
        Whether every order has its answer.
    ended : Callable[[], None]
        Called once, when the venue has no more bars and all are dealt with.
    faults : Faults
        Where handler errors are kept.
    """

    def __new__(cls, params: PacerParams, **_: object) -> Self:  # noqa: ARG004
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("PACER-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: PacerParams,
        *,
        time: ReplayTime,
        steps: ReplaySteps,
        at_rest: Callable[[], bool],
        ended: Callable[[], None],
        faults: Faults,
    ) -> None:
        self.faults = faults
        self._params = params
        self._time = time
        self._steps = steps
        self._at_rest = at_rest
        self._ended = ended
        self._closes = {str(BarType.from_str(bar_type).instrument_id): 0 for bar_type in params.bar_types}
        self._market_ns = 0
        self._stepping = False
        self._waited_for = ReplayStep(0, done=False)
        self._since_ns = 0
        self._quiet = 0
        self._given_up: set[str] = set()
        self._over = False

    @recorded
    def on_start(self) -> None:
        """Listen to bars; the first one is asked for once what was inherited is settled."""
        for bar_type in self._params.bar_types:
            self.subscribe_bars(BarType.from_str(bar_type))
        for name in self._closes:
            self.subscribe_topic(bar_topic(name), self._on_closed_bar)
        self._since_ns = self._now()
        self.clock.set_timer_ns("pacer", TICK_NS, callback=self._on_tick)

    @recorded
    def on_stop(self) -> None:
        """Look no more."""
        self.clock.cancel_timers()

    @recorded
    def on_bar(self, bar: Bar) -> None:
        """Make it as late as the bar's close."""
        close_ns = -(-int(bar.ts_event) // self._params.base_ns) * self._params.base_ns
        if close_ns > self._market_ns:
            self._market_ns = close_ns
            self._time.jump(self._now(), close_ns)

    @recorded
    def _on_closed_bar(self, message: object) -> None:
        """Take note that a bar is decided on, now."""
        if isinstance(message, ClosedBar):
            self._closes[message.instrument_id] = message.ts_close
            self._quiet = 0

    @recorded
    def _on_tick(self, _: Any) -> None:
        """Ask for the next bar where the last one is dealt with: twice in a row, for what is under way in between."""
        now = self._now()
        for step in self._steps.taken():
            self._stepping, self._waited_for, self._since_ns = False, step, now
        if self._stepping or self._over:
            return
        waited_ns = now - self._since_ns
        here = all(close_ns >= self._waited_for.close_ns for close_ns in self._closes.values())
        if not here and waited_ns < self._params.bar_wait_ns:
            return
        resting = self._at_rest() and self._answered(waited_ns)
        self._quiet = self._quiet + 1 if resting else 0
        if self._quiet >= 2 or waited_ns > self._params.order_wait_ns:
            self._go_on()

    def _answered(self, waited_ns: int) -> bool:
        """Whether the engine waits for no answer but such as were waited for long enough, once.

        What the venue never took, as its owner found out by asking, stays in flight for the engine.
        """
        if self.cache.orders_inflight_count() == 0:
            return True
        waiting = {str(order.client_order_id) for order in self.cache.orders_inflight()} - self._given_up
        if waiting and waited_ns < self._params.bar_wait_ns:
            return False
        self._given_up |= waiting
        return True

    def _go_on(self) -> None:
        self._quiet = 0
        if self._waited_for.done:
            self._over = True
            self._ended()
            return
        if self._waited_for.close_ns > self._market_ns:  # its bar never came
            self._market_ns = self._waited_for.close_ns
            self._time.jump(self._now(), self._market_ns)
        self._stepping = True
        self._steps.ask()

    def _now(self) -> int:
        return int(self.clock.timestamp_ns())
