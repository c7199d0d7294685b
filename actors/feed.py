"""The live market at the door: closed bars with their taker flow, each once and in order, and settled funding."""

from collections.abc import Mapping
from math import isnan, nan
from typing import Any, Self

import msgspec
from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import (
    ActorId,
    BarType,
    DataType,
    FundingRateUpdate,
    InstrumentId,
    MarkPriceUpdate,
    QuoteTick,
)

from core.bar_sequence import BarSequence
from core.faults import Faults, recorded
from core.messages import Alert, ClosedBar, FundingSettled, alert_topic, bar_topic, funding_topic
from core.protocols import BarHistory
from core.settlements import Settlements

__all__ = ["BarFeed", "FeedParams"]

SOURCE = "feed"
LOOK_NS = 100_000_000
"""Between two looks for bars that were asked for."""


class FeedParams(msgspec.Struct, frozen=True, kw_only=True):
    """What comes in.

    ``bar_types`` by instrument id, of bars of ``base_ns``; ``last_ns`` closes of the last bars that are known already;
    ``flow_type`` the engine's name of bars that carry their taker flow; ``give_up_ns`` of the engine's time a missing
    bar is looked for; ``max_jump`` as of `core.bar_sequence`; ``quotes``: best prices are wanted too;
    ``funding_booked``: the account shows what funding was paid, and the venue says so later.
    """

    bar_types: Mapping[str, str]
    base_ns: int
    last_ns: Mapping[str, int]
    flow_type: str
    give_up_ns: int
    max_jump: float
    quotes: bool
    funding_booked: bool


class BarFeed(DataActor):
    """Takes what the venue streams and hands on what may be decided on.

    Parameters
    ----------
    params : FeedParams
        What comes in.
    history : BarHistory
        Who is asked for bars that are missing.
    faults : Faults
        Where handler errors are kept.
    """

    def __new__(cls, params: FeedParams, **_: object) -> Self:  # noqa: ARG004
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("FEED-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(self, params: FeedParams, *, history: BarHistory, faults: Faults) -> None:
        self.faults = faults
        self._params = params
        self._history = history
        self._sequences = {
            name: BarSequence(base_ns=params.base_ns, last_ns=params.last_ns.get(name, 0), max_jump=params.max_jump)
            for name in params.bar_types
        }
        self._settlements = {name: Settlements() for name in params.bar_types}
        self._marks = dict.fromkeys(params.bar_types, nan)
        self._asked: dict[str, tuple[int, int]] = {}
        self._asked_ns: dict[str, int] = {}
        self._looks = 0

    @property
    def complete(self) -> bool:
        """Whether no bar is missing."""
        return not self._asked

    @recorded
    def on_start(self) -> None:
        """Subscribe to the streams."""
        for name, bar_type in self._params.bar_types.items():
            instrument = InstrumentId.from_str(name)
            metadata = {"bar_type": bar_type, "instrument_id": name}
            self.subscribe_bars(BarType.from_str(bar_type))
            self.subscribe_data(DataType(self._params.flow_type, metadata=metadata))
            self.subscribe_funding_rates(instrument)
            self.subscribe_mark_prices(instrument)
            if self._params.quotes:
                self.subscribe_quotes(instrument)

    @recorded
    def on_stop(self) -> None:
        """Look no more."""
        self.clock.cancel_timers()

    @recorded
    def on_data(self, data: Any) -> None:
        """Take a closed bar with its taker flow."""
        bar = data.data
        name = str(bar.bar_type.instrument_id)
        base_ns = self._params.base_ns
        closed = ClosedBar(
            instrument_id=name,
            ts_close=-(-int(bar.ts_event) // base_ns) * base_ns,  # the venue closes a bar a millisecond before
            open=float(bar.open.as_decimal()),
            high=float(bar.high.as_decimal()),
            low=float(bar.low.as_decimal()),
            close=float(bar.close.as_decimal()),
            volume=float(bar.volume.as_decimal()),
            taker_buy=float(bar.taker_buy_base_volume),
        )
        self._hand_on(name, self._sequences[name].take(closed))

    @recorded
    def on_funding_rate(self, funding_rate: FundingRateUpdate) -> None:
        """Keep the running estimate."""
        if funding_rate.next_funding_ns is not None:
            name = str(funding_rate.instrument_id)
            self._settlements[name].estimate(float(funding_rate.rate), int(funding_rate.next_funding_ns))

    @recorded
    def on_mark_price(self, mark_price: MarkPriceUpdate) -> None:
        """Keep the price that funding is paid on."""
        self._marks[str(mark_price.instrument_id)] = mark_price.value.as_double()

    def on_quote(self, quote: QuoteTick) -> None:
        """Leave quotes to the engine's cache."""

    def _hand_on(self, name: str, bars: list[ClosedBar]) -> None:
        """Publish what is in order, and look for what is not."""
        for bar in bars:
            for settlement in self._settlements[name].due(bar.ts_close):
                mark = self._marks[name]
                price = bar.close if isnan(mark) else mark
                booked = self._params.funding_booked
                told = FundingSettled(name, settlement.ts_ns, settlement.rate, price, booked, final=not booked)
                self.publish_message(funding_topic(name), told)
            self.publish_message(bar_topic(name), bar)
        wanted = self._sequences[name].wanted
        if wanted is None:
            self._asked.pop(name, None)
            self._asked_ns.pop(name, None)
        elif wanted != self._asked.get(name):
            now = self._now()
            self._asked[name] = wanted
            self._asked_ns.setdefault(name, now)
            self._history.ask(name, *wanted)
            self._look_at(now + LOOK_NS)

    def _look_at(self, at_ns: int) -> None:
        self._looks += 1
        self.clock.set_time_alert_ns(f"look-{self._looks}", at_ns, callback=self._on_look, allow_past=True)

    @recorded
    def _on_look(self, _: Any) -> None:
        """Take what was found; give up what has been looked for too long."""
        for name, found in self._history.answers():
            bars = [ClosedBar(name, *row) for row in zip(*(column.tolist() for column in found), strict=True)]
            self._hand_on(name, self._sequences[name].fill(bars))
        now = self._now()
        for name, asked_ns in tuple(self._asked_ns.items()):
            if now - asked_ns > self._params.give_up_ns:
                first, last = self._asked[name]
                count = (last - first) // self._params.base_ns + 1
                text = f"{name}: {count} bars are missing and nowhere to be had; decisions wait until the hole is past"
                self.publish_message(alert_topic(), Alert(SOURCE, "critical", text, last))
                self._hand_on(name, self._sequences[name].give_up())
        if self._asked:
            self._look_at(now + LOOK_NS)

    def _now(self) -> int:
        return int(self.clock.timestamp_ns())
