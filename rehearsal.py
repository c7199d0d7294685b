"""The components of a recorded session without an engine: told again what they were told, answered as they were.

The same shells and cores as in a node are hosted by nothing but a bus. What came in from outside is told them in the
recorded order and times, what they ask is answered as it was, and what they want of the venue is taken note of; what
the venue said is in the record.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from actors.ensemble import EnsembleActor
from actors.risk import RiskActor
from adapters.model_store import Artifact
from adapters.session_replay import Begin, Call, Decisions, Told, Turn, bar_of, replayed_argument
from composition import Outside, Shells, components
from core.commands import Cancel, Command, Modify, Query, Reconcile, Submit, WriteDecision, WriteFill, WriteOrder
from core.errors import ArtifactError, DataError, StateError
from core.faults import Faults
from core.features import Window, feature_spec
from core.messages import flatten_topic, freeze_topic, risk_topic, signal_topic
from core.protocols import Offer, Policy
from core.serving import Candidate
from core.trader import Fill, OpenOrder, TraderState
from strategies.rl import RLStrategy

__all__ = ["retaken", "windows_of"]

_SWAP_SECONDS = 30.0
_VENUE = (Submit, Modify, Cancel, Query, Reconcile)
_FOLLOWED: tuple[tuple[Callable[[str], str], str], ...] = (
    (lambda _: risk_topic(), "on_risk"),
    (signal_topic, "on_signal"),
    (flatten_topic, "on_flatten"),
    (lambda _: freeze_topic(), "on_freeze"),
)
"""Whose messages a trader is called with, by topic of its instrument."""
_PLAIN = {"on_filled": (Fill,), "inherit": (TraderState, int, float, tuple[OpenOrder, ...], int)}


def retaken(
    turns_of: Iterable[Begin | Turn],
    policies: Callable[[Begin], Mapping[str, Policy]],
    artifacts: Mapping[str, Artifact],
) -> tuple[Decisions, tuple[str, ...], str]:
    """Take all decisions again; return them, the names of the features, and the first error that a handler raised.

    A process that ceased to decide on an error does so again.
    """
    made = Decisions()
    columns: tuple[str, ...] = ()
    fault = ""
    host: _Host | None = None
    for part in turns_of:
        if isinstance(part, Begin):
            spec = feature_spec(part.config.market.base_interval, part.config.market.decision_interval)
            columns = spec.columns
            begun = part
            host = None
            continue
        if host is None:
            host = _Host(begun, policies(begun), artifacts, made, part)
        host.play(part)
        made.turn_over()
        fault = fault or host.faults.first
    return made, columns, fault


def windows_of(begun: Begin) -> dict[str, Window]:
    """Return the windows that a process began with."""
    spec = feature_spec(begun.config.market.base_interval, begun.config.market.decision_interval)
    windows = {name: Window(spec) for name in begun.windows}
    for name, state in begun.windows.items():
        windows[name].restore(state)
    return windows


class _Host:
    """What a process of the session is without an engine: components, a bus, and the answers of a turn."""

    def __init__(
        self,
        begin: Begin,
        policies: Mapping[str, Policy],
        artifacts: Mapping[str, Artifact],
        made: Decisions,
        first: Turn,
    ) -> None:
        self.faults = Faults()
        self.made = made
        self.turn = first
        self.topics: dict[str, list[Callable[[object], None]]] = {}
        self.last: dict[Any, tuple[Any, bool]] = {}
        self._artifacts = artifacts
        self._names: dict[int, str] = {}
        self.faults.listener = self
        outside = Outside(
            policies={name: _Asked(policy, name, self) for name, policy in policies.items()},
            windows=windows_of(begin),
            flow=self,
            models=self,
            store=self if begin.store else None,
            journal=self,
            faults=self.faults,
            clock=lambda: int(self.said("outside", "clock", ())),
            progress=lambda _: None,
            trade_from_ns=begin.trade_from_ns,
            time=_NoTime(),
        )
        built = components(begin.config, begin.instruments, outside, Shells(_Risk, _Ensemble, _Strategy))
        risk, ensembles = built.deciding
        self.components: dict[str, Any] = {"risk": risk}
        for info, ensemble, strategy in zip(begin.instruments, ensembles, built.strategies, strict=True):
            self.components |= {f"ensemble.{info.id}": ensemble, f"trader.{info.id}": strategy}
        self._names = {id(component): name for name, component in self.components.items()}
        for component in self.components.values():
            component.host = self
        for info, strategy in zip(begin.instruments, built.strategies, strict=True):
            for topic, method in _FOLLOWED:
                self.subscribe(topic(info.id), _Follower(self, f"trader.{info.id}", strategy, method))

    def play(self, turn: Turn) -> None:
        """Play a turn: the event, then whatever of it nobody waited for."""
        self.turn = turn
        for told in turn.told:
            self._tell(told)
        while turn.calls:
            self.deliver(turn.calls.popleft())

    def deliver(self, call: Call) -> None:
        """Call a trader as it was called."""
        strategy = self.components[call.trader]
        arguments = list(call.arguments)
        for place, kind in enumerate(_PLAIN.get(call.method, ())):
            arguments[place] = msgspec.convert(arguments[place], kind)
        if call.method in {"on_freeze", "on_flatten"}:
            arguments[0] = replayed_argument(
                {"on_freeze": "Freeze", "on_flatten": "Flatten"}[call.method], arguments[0]
            )
        if call.method == "inherit":
            strategy.trader.restore(arguments.pop(0))
        strategy.carry_out(getattr(strategy.trader, call.method)(*arguments))

    def executed(self, trader: str, command: Command) -> None:
        """Take note of what is wanted of the venue, and deliver what it said at once."""
        fields = msgspec.to_builtins(command)
        self.made.wanted(trader.removeprefix("trader."), type(command).__name__, fields)
        calls, about = self.turn.calls, fields.get("order_id")
        while (
            calls
            and calls[0].trader == trader
            and (calls[0].order_id == about if about else calls[0].method == "on_position")
        ):
            self.deliver(calls.popleft())

    def before(self, command: WriteDecision) -> None:
        """Deliver what was said before a decision was written down."""
        written = self.turn.decided.get(command.signal.instrument_id, 0)
        calls = self.turn.calls
        while calls and calls[0].seq < written:
            self.deliver(calls.popleft())

    def publish(self, topic: str, message: object) -> None:
        """Tell all who listen."""
        for handler in self.topics.get(topic, ()):
            handler(message)

    def subscribe(self, topic: str, handler: Callable[[object], None]) -> None:
        """Have a handler listen."""
        self.topics.setdefault(topic, []).append(handler)

    def enter(self, component: object, handler: str, args: tuple[Any, ...]) -> None:
        """Let a handler begin."""

    def leave(self) -> None:
        """Let a handler end."""

    def answer(self, component: object, question: str, args: tuple[Any, ...], _: Callable[[], Any]) -> Any:
        """Answer a component's question as it was answered."""
        return self.said(self._names[id(component)], question, args)

    def said(self, name: str, question: str, args: tuple[Any, ...], default: Any = None) -> Any:
        """Return the recorded answer; where other questions are asked than were, the last one to the same."""
        key = (name, question, str(list(args)))
        answers = self.turn.answers.get(key)
        if answers:
            self.last[key] = answers.popleft()
        elif default is not None or key not in self.last:
            if default is None:
                raise DataError(f"nobody ever asked for {question} {args} before")
            return default
        said, raised = self.last[key]
        if raised:
            raise RuntimeError(said)
        return said

    def raised(self, question: str, *args: Any) -> None:
        """Raise what the outside raised."""
        answers = self.turn.answers.get(("outside", question, str(list(args))))
        if answers and answers[0][1]:
            raise StateError(answers.popleft()[0])

    def taker_buy(self, instrument_id: str, ts_close: int) -> float | None:
        """Return the taker-buy volume as it was (`core.protocols.FlowSource`)."""
        answers = self.turn.answers.get(("outside", "taker_buy", str([instrument_id, ts_close])))
        return answers.popleft()[0] if answers else None

    def offers(self, ts_ns: int, seen: int) -> Sequence[Offer]:
        """Return the models that came and went (`core.protocols.ModelSource`)."""
        answers = self.turn.answers.get(("outside", "offers", str([ts_ns, seen])))
        said = answers.popleft()[0] if answers else ()
        return [
            Offer(kind, Candidate(name, sha256, horizon, self._artifacts.get(sha256)), reason)
            for kind, name, sha256, horizon, reason in said
        ]

    def load(self, key: str) -> bytes | None:
        """Return what was found in the store (`core.protocols.StateStore`)."""
        self.raised("load", key)
        answers = self.turn.answers.get(("outside", "load", str([key])))
        return answers.popleft()[0] if answers else None

    def save(self, key: str, _: bytes) -> None:
        """Fail where the store failed."""
        self.raised("save", key)

    def put(self, key: str, _: bytes) -> None:
        """Fail where the store failed."""
        self.raised("put", key)

    def record(self, kind: str, row: Mapping[str, object]) -> None:
        """Take a row of the journal (`core.protocols.Journal`)."""
        self.made.row(kind, msgspec.to_builtins(row))

    def _tell(self, told: Told) -> None:
        """Tell a component what it was told; what a strategy was told, its trader was called for."""
        known = bar_of(self.turn, told)
        if known is not None:
            self.made.bar(known[0], known[1])
        if not told.component.startswith("trader."):
            arguments = [replayed_argument(kind, body) for kind, body in told.arguments]
            getattr(self.components[told.component], told.handler)(*arguments)


class _Follower:
    """Calls a trader with the message of another component, at the recorded time."""

    def __init__(self, host: _Host, name: str, strategy: Any, method: str) -> None:
        self._host = host
        self._name = name
        self._strategy = strategy
        self._method = method
        self._last: tuple[Any, ...] = ()

    def __call__(self, message: object) -> None:
        """Hand a message on."""
        following = self._host.turn.following
        call = next((c for c in following if c.trader == self._name and c.method == self._method), None)
        if call is not None:
            following.remove(call)
            self._last = call.arguments
        elif self._method != "on_risk" and (self._host.faults or not self._last):
            return  # nobody decides any more after an error
        self._strategy.carry_out(getattr(self._strategy.trader, self._method)(message, *self._last))


class _Asked:
    """A policy that exchanges its models when it did (`core.protocols.Policy`)."""

    def __init__(self, policy: Policy, instrument_id: str, host: _Host) -> None:
        self._policy = policy
        self._instrument_id = instrument_id
        self._host = host

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models, in the order of the votes."""
        return self._policy.candidates

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Build the next set of models."""
        self._policy.prepare(candidates)

    def swap(self) -> bool:
        """Take the next set when it was taken."""
        answers = self._host.turn.answers.get(("outside", "swap", str([self._instrument_id])))
        if not answers:
            return False
        said, raised = answers.popleft()
        if raised:
            raise ArtifactError(said)
        until = time.monotonic() + _SWAP_SECONDS
        while not self._policy.swap():
            if time.monotonic() > until:
                raise ArtifactError(f"the models that {self._instrument_id} changed to are not built in time")
            time.sleep(0.001)
        return True

    def vote(self, observation: Any) -> Any:
        """Return the votes."""
        self._host.made.observed(self._instrument_id, observation.tobytes())
        return self._policy.vote(observation)


class _NoTime:
    """Nobody's alarms ring (`core.protocols.Timekeeper`): what rang is told."""

    def now_ns(self, engine_ns: int) -> int:
        """Return no other time."""
        return engine_ns

    def engine_ns(self, market_ns: int) -> int:
        """Return no other time."""
        return market_ns

    def alarm(self, clock: Any, name: str, market_ns: int, ring: Callable[[int], None]) -> None:
        """Set no alarm."""

    def every(self, clock: Any, name: str, interval_ns: int, ring: Callable[[int], None]) -> None:
        """Set no alarm."""


class _Hosted:
    """A component without an engine."""

    host: _Host
    clock: Any = None
    cache: Any = None

    def publish_message(self, topic: str, message: object) -> None:
        """Tell all who listen."""
        self.host.publish(topic, message)

    def subscribe_topic(self, topic: str, handler: Callable[[object], None]) -> None:
        """Have a handler listen."""
        self.host.subscribe(topic, handler)

    def subscribe_bars(self, *_: object) -> None:
        """Wait for what is told."""

    subscribe_funding_rates = subscribe_bars


class _Ensemble(_Hosted, EnsembleActor):  # type: ignore[misc] # the engine's part is covered up
    """An ensemble without an engine."""


class _Risk(_Hosted, RiskActor):  # type: ignore[misc] # the engine's part is covered up
    """A breaker without an engine."""


class _Strategy(_Hosted, RLStrategy):  # type: ignore[misc] # the engine's part is covered up
    """A strategy without an engine: its trader is told and asked, and the venue is the record."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"store": None})

    def carry_out(self, commands: tuple[Command, ...]) -> None:
        """Carry out what the trader said."""
        self._carry_out(commands)

    def _do(self, command: Command) -> None:
        if isinstance(command, _VENUE):
            self.host.executed(f"trader.{self._name}", command)
        elif not isinstance(command, WriteOrder | WriteFill):
            if isinstance(command, WriteDecision):
                self.host.before(command)
            super()._do(command)
