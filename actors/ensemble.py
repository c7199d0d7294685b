"""From closed bars to signals: window, features, observation, votes, tally."""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import msgspec
import numpy as np
import numpy.typing as npt
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, Bar, BarType, FundingRateUpdate, InstrumentId

from actors.members import Members
from core.ensemble import ABSTENTIONS, NO_QUORUM, SIGNALLED, Tally, TallyParams, tally
from core.faults import Faults, guarded, recorded
from core.features import OPEN, FeatureSpec, Window
from core.messages import (
    Alert,
    ClosedBar,
    FundingSettled,
    Mark,
    PositionState,
    RiskState,
    Signal,
    alert_topic,
    bar_topic,
    funding_topic,
    mark_topic,
    position_topic,
    risk_topic,
    signal_topic,
)
from core.observation import observe, position_inputs
from core.protocols import FlowSource, Policy

__all__ = ["EnsembleActor", "EnsembleParams"]

NOT_READY = "window"
FIXED_SCALE = 10**16
"""The engine's prices are integers of this scale; their own `as_double` is off by a bit in one price of five."""


class EnsembleParams(msgspec.Struct, frozen=True, kw_only=True):
    """What one ensemble actor works on.

    ``lot`` base asset a lot; ``expiry_bars`` decision bars (of ``decision_ns``) after which a signal is void;
    ``vote_ns`` in which the models must vote, or their votes do not count; ``trade_from_ns`` the first decision close
    (bars before it only warm the window up).
    """

    instrument_id: str
    bar_type: str
    lot: float
    spec: FeatureSpec
    tally: TallyParams
    max_holding_bars: int
    decision_ns: int
    expiry_bars: int
    vote_ns: int
    trade_from_ns: int = 0


class Votes(NamedTuple):
    """Votes as they are told: level, confidence, model and weight of each."""

    levels: tuple[float, ...]
    confidences: tuple[float, ...]
    models: tuple[str, ...]
    weights: tuple[float, ...]


_NO_VOTES = Votes((), (), (), ())
_NO_TALLY = Tally(0.0, 0.0, 0.0, 0, NO_QUORUM)


class EnsembleActor(DataActor):
    """One instrument's ensemble: publishes a `Signal` at every closed decision bar, fit to be traded or not.

    Parameters
    ----------
    params : EnsembleParams
        The instrument, the features and the rules of the vote.
    policy : Policy
        The models.
    members : Members
        Who of them votes, and with what weight.
    clock : Callable[[], int]
        Nanoseconds, to measure how long the models take; a constant where a run must repeat.
    flow : FlowSource
        Taker-buy volume of closed base bars.
    window : Window
        The feature window, warmed up with history or fresh.
    faults : Faults
        Where handler errors are kept.
    progress : Callable[[int], None]
        Told the time (ns) of every decision.
    """

    def __new__(cls, params: EnsembleParams, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId(f"ENSEMBLE-{params.instrument_id}"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        params: EnsembleParams,
        *,
        policy: Policy,
        members: Members,
        clock: Callable[[], int],
        flow: FlowSource,
        window: Window,
        faults: Faults,
        progress: Callable[[int], None],
    ) -> None:
        self.faults = faults
        self._params = params
        self._policy = policy
        self._members = members
        self._clock = clock
        self._flow = flow
        self._window = window
        self._progress = progress
        self._observation: npt.NDArray[np.float32] = np.zeros(params.spec.observation_width, dtype=np.float32)
        self._risk: RiskState | None = None
        self._position: PositionState | None = None
        self._topic = signal_topic(params.instrument_id)

    @recorded
    def on_start(self) -> None:
        """Subscribe to bars, funding and the state of the account."""
        self.subscribe_bars(BarType.from_str(self._params.bar_type))
        self.subscribe_funding_rates(InstrumentId.from_str(self._params.instrument_id))
        self.subscribe_topic(bar_topic(self._params.instrument_id), self._on_closed_bar)
        self.subscribe_topic(funding_topic(self._params.instrument_id), self._on_settled)
        self.subscribe_topic(risk_topic(), self._on_risk)
        self.subscribe_topic(position_topic(self._params.instrument_id), self._on_position)

    @guarded
    def on_bar(self, bar: Bar) -> None:
        """Append a closed base bar whose taker flow is known; where it is not told yet, the bar comes once more."""
        ts_close = bar.ts_init
        flow = self._flow.taker_buy(self._params.instrument_id, ts_close)
        if flow is not None:
            self._take(
                ts_close,
                bar.open.raw / FIXED_SCALE,
                bar.high.raw / FIXED_SCALE,
                bar.low.raw / FIXED_SCALE,
                bar.close.raw / FIXED_SCALE,
                bar.volume.raw / FIXED_SCALE,
                flow,
            )

    @guarded
    def _on_closed_bar(self, message: object) -> None:
        if isinstance(message, ClosedBar):
            bar = message
            self._take(bar.ts_close, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.taker_buy)

    @guarded
    def _on_settled(self, message: object) -> None:
        if isinstance(message, FundingSettled):
            self._window.set_funding(message.rate)

    def _take(
        self, ts_close: int, open_: float, high: float, low: float, close: float, volume: float, flow: float
    ) -> None:
        """Append a closed base bar; at the close of a decision bar, vote."""
        closed = self._window.append(ts_close, open_, high, low, close, volume, flow)
        if closed != OPEN and self._window.ts_close == ts_close and ts_close >= self._params.trade_from_ns:
            mark = Mark(self._params.instrument_id, ts_close, close)
            self._warn(self._members.seat(ts_close))
            self.publish_message(mark_topic(), mark)
            if self._window.ready:
                self._vote(ts_close)
            else:
                self.publish_message(self._topic, self._signal(ts_close, _NO_TALLY, _NO_VOTES, ""))
            self._progress(ts_close)
        elif self._position is not None and self._position.committed_lots != 0:
            mark = Mark(self._params.instrument_id, ts_close, close, decision=False)
            self.publish_message(mark_topic(), mark)

    @guarded
    def on_funding_rate(self, funding_rate: FundingRateUpdate) -> None:
        """Take a settled funding rate into the features; one that says when it will be settled is an estimate."""
        if funding_rate.next_funding_ns is None and str(funding_rate.instrument_id) == self._params.instrument_id:
            self._window.set_funding(float(funding_rate.rate))

    @recorded
    def _on_risk(self, message: object) -> None:
        if isinstance(message, RiskState):
            self._risk = message

    @recorded
    def _on_position(self, message: object) -> None:
        if isinstance(message, PositionState):
            self._position = message

    def _vote(self, ts_event: int) -> None:
        """Ask the models, say what came of it, and only then learn from it."""
        members = self._members
        self._observe()
        digest = hashlib.blake2b(self._observation.data, digest_size=8).hexdigest()
        began = self._clock()
        levels, confidences = self._policy.vote(self._observation)
        latency_ns = self._clock() - began
        result = tally(levels, confidences, members.weights, self._params.tally)
        if latency_ns > self._params.vote_ns:
            text = f"{self._params.instrument_id}: the votes took {latency_ns / 1e6:.0f} ms: they do not count"
            self._warn((Alert("ensemble", "warning", text, ts_event),))
            result = _NO_TALLY
        votes = Votes(
            tuple(levels.tolist()), tuple(confidences.tolist()), members.names, tuple(members.weights.tolist())
        )
        self.publish_message(self._topic, self._signal(ts_event, result, votes, digest))
        alerts = members.learn(
            levels,
            confidences,
            ts_event=ts_event,
            bar=ts_event // self._params.decision_ns,
            close=self._window.market.close,
            latency_ns=latency_ns,
            flat=self._position is None or self._position.committed_lots == 0,
        )
        self._warn(alerts)

    def _signal(self, ts_event: int, result: Tally, votes: Votes, digest: str) -> Signal:
        market = self._window.market
        ready = self._window.ready
        return Signal(
            instrument_id=self._params.instrument_id,
            ts_event=ts_event,
            level=result.level,
            confidence=result.confidence,
            agreement=result.agreement,
            voters=result.voters,
            abstention=ABSTENTIONS[result.abstention] if ready else NOT_READY,
            tradable=ready and result.abstention == SIGNALLED,
            close=market.close,
            atr=market.atr,
            volatility=market.volatility,
            volatility_rank=market.volatility_rank,
            previous_close=market.previous_close,
            funding_rate=market.funding_rate,
            minutes_to_funding=market.minutes_to_funding,
            levels=votes.levels,
            confidences=votes.confidences,
            observation_hash=digest,
            models=votes.models,
            weights=votes.weights,
            expires_ns=ts_event + self._params.expiry_bars * self._params.decision_ns,
        )

    def _warn(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            self.publish_message(alert_topic(), alert)

    def _observe(self) -> None:
        """Fill the observation: features and what the account holds, as the training environment does."""
        position, risk = self._position, self._risk
        held = position is not None and position.lots != 0
        inputs = position_inputs(
            self._window.market.close,
            self._window.market.atr,
            position.lots if position is not None else 0,
            position.entry_price if position is not None else 0.0,
            position.stop_price if position is not None else 0.0,
            position.holding_bars + 1 if position is not None and held else 0,
            self._params.lot,
            risk.equity if risk is not None else 0.0,
            risk.drawdown if risk is not None else 0.0,
            self._params.max_holding_bars,
        )
        observe(self._window.features, *inputs, self._observation)
