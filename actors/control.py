"""Carries out what a person asks of a running node, and says how it stands."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import msgspec
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId

from core.causes import BreakerState
from core.control import (
    CONTROL_KEY,
    DONE,
    FAILED,
    REFUSED,
    UNFIT,
    ControlAnswer,
    ControlDesk,
    ControlRequest,
    control_state_of,
    freeze_source,
    objection,
    paused,
    remembered,
    resumed,
    said_before,
)
from core.degraded import mode_topic
from core.desk import Desk
from core.errors import StateError
from core.faults import Faults, recorded
from core.messages import (
    Alert,
    Answered,
    Asked,
    Flatten,
    Freeze,
    Severity,
    alert_topic,
    answered_topic,
    asked_topic,
    bar_topic,
    evaluated_topic,
    flatten_topic,
    freeze_topic,
    risk_topic,
    signal_topic,
)
from core.node_status import NodeStatus, Pause
from core.protocols import Journal, StateStore, Timekeeper
from core.status_board import NodeFacts, StatusBoard
from core.stop_request import StopRequest

__all__ = ["ControlActor", "ControlParams"]

SOURCE = "control"


class ControlParams(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change: ``facts`` of the node; ``poll_ns`` between two looks for requests, in the engine's time."""

    facts: NodeFacts
    poll_ns: int


class ControlActor(DataActor):
    """Looks for requests on a timer of the engine, so that nothing of the engine is touched by another thread.

    Parameters
    ----------
    params : ControlParams
        What does not change.
    desk : ControlDesk
        Where requests come in.
    stop : StopRequest
        Told of the wish to stop.
    breaker : Callable[[], BreakerState]
        What is known of the circuit breaker.
    desks : Mapping[str, Callable[[], Desk]]
        Who holds an instrument's position and orders, by instrument id.
    store : StateStore or None
        Keeps what is paused; None where it ends with the run.
    journal : Journal
        Takes the rows of ``control``.
    health : Callable[[], Mapping[str, str]]
        What is wrong with what lies outside, in words by name; empty where nothing is.
    beat : Callable[[], None]
        Called at every look: the engine's thread lives.
    time : Timekeeper
        Market time.
    faults : Faults
        Where handler errors are kept.

    Raises
    ------
    StateError
        Where what was kept cannot be trusted.
    """

    def __new__(cls, params: ControlParams, **_: object) -> Self:  # noqa: ARG004
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("CONTROL-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: ControlParams,
        *,
        desk: ControlDesk,
        stop: StopRequest,
        breaker: Callable[[], BreakerState],
        desks: Mapping[str, Callable[[], Desk]],
        store: StateStore | None,
        journal: Journal,
        health: Callable[[], Mapping[str, str]],
        beat: Callable[[], None],
        time: Timekeeper,
        faults: Faults,
    ) -> None:
        self.faults = faults
        self._params = params
        self._desk = desk
        self._stop = stop
        self._breaker = breaker
        self._desks = desks
        self._store = store
        self._journal = journal
        self._health = health
        self._beat = beat
        self._time = time
        self._state = control_state_of(store.load(CONTROL_KEY) if store is not None else None)
        self._board = StatusBoard(params.facts)
        self._begun = False
        self._answered: Answered | None = None

    @recorded
    def on_start(self) -> None:
        """Listen to what a status tells, and look for requests from now on."""
        self.subscribe_topic(answered_topic(), self._on_answered)
        topics = [risk_topic(), evaluated_topic(), mode_topic()]
        for name in self._params.facts.lots:
            topics += [signal_topic(name), bar_topic(name)]
        for topic in topics:
            self.subscribe_topic(topic, self._on_news)
        self._board.started_ns = int(self.clock.timestamp_ns())
        self.clock.set_timer_ns("control", self._params.poll_ns, callback=self._on_poll, fire_immediately=True)

    @recorded
    def on_stop(self) -> None:
        """Look no more."""
        self.clock.cancel_timers()

    @recorded
    def _on_news(self, message: object) -> None:
        self._board.hear(message)

    @recorded
    def _on_answered(self, message: object) -> None:
        if isinstance(message, Answered):
            self._answered = message

    @recorded
    def _on_poll(self, _: Any) -> None:
        """Show that the engine's thread lives; carry out what was asked since."""
        if not self._begun:
            self._begun = True
            for pause in self._state.pauses:  # by now everybody listens
                self._freeze(pause, frozen=True)
        self._beat()
        for request in self._desk.requests():
            try:
                answer = self._done(request)
            except Exception as error:
                self._desk.answer(_answer(request, FAILED, f"{type(error).__name__}: {error}"))
                raise
            self._desk.answer(answer)

    def _done(self, request: ControlRequest) -> ControlAnswer:
        """Carry a request out, once; write down what became of it."""
        objected = objection(request, self._params.facts.lots)
        if objected:
            return _answer(request, UNFIT, objected)
        if request.command == "status":
            return ControlAnswer(request_id=request.request_id, code=DONE, said="", status=self._status())
        before = said_before(self._state, request)
        if before is not None:
            return before
        now = self._now()
        answer = self._carried_out(request, now)
        self._state = remembered(self._state, request, answer)
        unkept = self._kept()
        if unkept:
            answer = msgspec.structs.replace(answer, said=f"{answer.said}; a restart will not know of it: {unkept}")
        self._write(request, answer, now)
        return answer

    def _carried_out(self, request: ControlRequest, now: int) -> ControlAnswer:
        match request.command:
            case "pause":
                return self._pause(request, now)
            case "resume":
                return self._resume(request, now)
            case "flatten":
                return self._flatten(request, now)
            case "stop":
                return self._end(request)
            case _:
                return self._ask_breaker(request, now)

    def _pause(self, request: ControlRequest, now: int) -> ControlAnswer:
        pause = Pause(request.instrument_id, request.reason, now)
        self._state = paused(self._state, pause)
        self._freeze(pause, frozen=True)
        whose = request.instrument_id or "all instruments"
        return _answer(request, DONE, f"entries of {whose} rest until a resume; exits and stops go on")

    def _resume(self, request: ControlRequest, now: int) -> ControlAnswer:
        self._state, lifted, refused = resumed(self._state, request.instrument_id)
        if refused:
            return _answer(request, REFUSED, refused)
        for pause in lifted:
            self._freeze(Pause(pause.instrument_id, request.reason, now), frozen=False)
        said = "entries are free again as far as pauses go" if lifted else "nothing was paused"
        rest = [f"{name} by {source}" for name, desk in self._desks.items() for source in desk().freezes]
        state = self._board.state_of(self._breaker())
        rest += [f"the breaker, which is {state}"] if state != "ACTIVE" else []
        return _answer(request, DONE, said + (f"; still stopped: {', '.join(rest)}" if rest else ""))

    def _flatten(self, request: ControlRequest, now: int) -> ControlAnswer:
        """Close what is held and keep it closed: nothing is opened again until a resume."""
        self._pause(request, now)
        for name in [request.instrument_id] if request.instrument_id else self._desks:
            self.publish_message(flatten_topic(name), Flatten(f"a person said so: {request.reason}", now))
        whose = request.instrument_id or "all instruments"
        said = f"{whose}: what is held is being closed and what is under way cancelled; entries rest until a resume"
        others = self._others()
        if others and not request.instrument_id:
            said += f"; nobody here owns {', '.join(others)}: close that at the venue"
        return _answer(request, DONE, said)

    def _end(self, request: ControlRequest) -> ControlAnswer:
        if self._stop.reason:
            return _answer(request, REFUSED, f"the node stops already: {self._stop.reason}")
        flatten = None if not request.positions else request.positions == "flatten"
        self._stop.ask(f"a person said so: {request.reason}", flatten=flatten)
        held = {None: "as the configuration says", False: "kept under their stops", True: "closed first"}
        return _answer(request, DONE, f"the node stops; positions are {held[flatten]}")

    def _ask_breaker(self, request: ControlRequest, now: int) -> ControlAnswer:
        """Have the circuit breaker halt, reduce or re-arm; it answers before the call returns."""
        self._answered = None
        action: Any = request.command
        self.publish_message(asked_topic(), Asked(action, request.reason, now, request.new_anchor))
        answered: Answered | None = self._answered
        if answered is None:
            return _answer(request, FAILED, "the circuit breaker does not answer")
        if answered.refused:
            return _answer(request, REFUSED, f"no {request.command}: {answered.refused}")
        return _answer(request, DONE, f"the breaker is {self._board.state_of(self._breaker())}")

    def _status(self) -> NodeStatus:
        return self._board.status(
            self._breaker(),
            {name: desk() for name, desk in self._desks.items()},
            engine_ns=int(self.clock.timestamp_ns()),
            now_ns=self._now(),
            pauses=self._state.pauses,
            others=self._others(),
            fault=self.faults.first,
            stopping=self._stop.reason,
            health=self._health(),
        )

    def _others(self) -> dict[str, str]:
        """Return the positions of instruments that nobody here owns."""
        return {
            str(position.instrument_id): f"{'' if position.is_long else '-'}{position.quantity}"
            for position in self.cache.positions_open()
            if str(position.instrument_id) not in self._desks
        }

    def _freeze(self, pause: Pause, *, frozen: bool) -> None:
        source = freeze_source(pause.instrument_id)
        freeze = Freeze(pause.instrument_id, source, frozen=frozen, reason=pause.reason, ts_event=self._now())
        self.publish_message(freeze_topic(), freeze)

    def _kept(self) -> str:
        """Keep what a restart must know; return why that failed, empty where it did not."""
        if self._store is None:
            return ""
        try:
            self._store.save(CONTROL_KEY, msgspec.json.encode(self._state))
        except StateError as error:
            return str(error)
        return ""

    def _write(self, request: ControlRequest, answer: ControlAnswer, now: int) -> None:
        row = {
            "ts_event": now,
            "request_id": request.request_id,
            "command": request.command,
            "instrument_id": request.instrument_id,
            "reason": request.reason,
            "asked_by": request.asked_by,
            "code": answer.code,
            "said": answer.said,
        }
        self._journal.record("control", row)
        text = f"{request.command} by {request.asked_by or 'somebody'} ({request.reason}): {answer.said}"
        severity: Severity = "info" if answer.code == DONE else "warning"
        self.publish_message(alert_topic(), Alert(SOURCE, severity, text, now))

    def _now(self) -> int:
        return self._time.now_ns(int(self.clock.timestamp_ns()))


def _answer(request: ControlRequest, code: int, said: str) -> ControlAnswer:
    return ControlAnswer(request_id=request.request_id, code=code, said=said)
