"""Ends a node in order: entries freeze, what is wanted flat is closed, what is under way is waited for."""

from collections.abc import Callable
from typing import Any, Self

import msgspec
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId

from core.faults import Faults, recorded
from core.messages import Alert, Flatten, Freeze, alert_topic, flatten_topic, freeze_topic
from core.stop_request import StopRequest

__all__ = ["Stopper", "StopperParams"]

SOURCE = "stop"
TICK_NS = 50_000_000
TIDY_TICKS = 200


class StopperParams(msgspec.Struct, frozen=True, kw_only=True):
    """``instruments`` that may be held; ``flatten``: they are closed at a stop; ``wait_ns`` for what is under way."""

    instruments: tuple[str, ...]
    flatten: bool
    wait_ns: int


class Stopper(DataActor):
    """Says when the node is ready, and ends it when that is wished.

    Parameters
    ----------
    params : StopperParams
        How.
    request : StopRequest
        The wish.
    started : Callable[[], None]
        Called when the node trades.
    at_rest : Callable[[], bool]
        Whether every order has its answer.
    flat : Callable[[], bool]
        Whether nothing is held.
    end : Callable[[], None]
        Stops the node.
    tidy : Callable[[], None]
        Called every few seconds, in the engine's thread.
    faults : Faults
        Where handler errors are kept.
    """

    def __new__(cls, params: StopperParams, **_: object) -> Self:  # noqa: ARG004
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("STOPPER-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: StopperParams,
        *,
        request: StopRequest,
        started: Callable[[], None],
        at_rest: Callable[[], bool],
        flat: Callable[[], bool],
        end: Callable[[], None],
        tidy: Callable[[], None],
        faults: Faults,
    ) -> None:
        self.faults = faults
        self._params = params
        self._request = request
        self._started = started
        self._at_rest = at_rest
        self._flat = flat
        self._end = end
        self._tidy = tidy
        self._ticks = 0
        self._ready = False
        self._until_ns = 0

    @recorded
    def on_start(self) -> None:
        """Look for the wish from now on."""
        self.clock.set_timer_ns("stop", TICK_NS, callback=self._on_tick)

    @recorded
    def on_stop(self) -> None:
        """Look no more."""
        self.clock.cancel_timers()

    @recorded
    def _on_tick(self, _: Any) -> None:
        now = int(self.clock.timestamp_ns())
        if not self._ready:
            self._ready = True
            self._freeze(now, frozen=False)  # the traders have kept it since the last stop
            self._started()
        self._ticks += 1
        if self._ticks % TIDY_TICKS == 0:
            self._tidy()
        if not self._request.reason:
            return
        flatten = self._params.flatten if self._request.flatten is None else self._request.flatten
        if self._until_ns == 0:
            self._until_ns = now + self._params.wait_ns
            self._freeze(now, frozen=True)
            if flatten:
                for name in self._params.instruments:
                    self.publish_message(flatten_topic(name), Flatten(self._request.reason, now))
        if (self._at_rest() and (self._flat() or not flatten)) or now > self._until_ns:
            if now > self._until_ns:
                text = f"the node stops with orders unanswered or positions open after {self._params.wait_ns / 1e9:g} s"
                self.publish_message(alert_topic(), Alert(SOURCE, "critical", text, now))
            self._request.carried_out, self._request.reason = self._request.reason, ""
            self.clock.cancel_timer("stop")
            self._end()

    def _freeze(self, now: int, *, frozen: bool) -> None:
        reason = self._request.reason if frozen else "the node starts"
        self.publish_message(freeze_topic(), Freeze("", SOURCE, frozen=frozen, reason=reason, ts_event=now))
