"""Marks the account to market at every closed decision bar and tells the gate what it must know."""

from collections.abc import Mapping
from typing import Self

from nautilus_trader.common import DataActor, DataActorConfig
from nautilus_trader.model import ActorId, BarType, Currency, FundingRateUpdate, InstrumentId, PriceType, Venue

from core.bars import DAY_NS
from core.breaker import ACTIVE, STATES, DayRisk, update_day
from core.faults import Faults, guarded, recorded
from core.messages import Mark, PositionState, RiskState, mark_topic, position_topic, risk_topic
from core.protocols import Journal
from core.risk import RiskParams

__all__ = ["RiskActor"]

BOOKS_TOLERANCE = 0.01
"""Largest difference (quote currency) between our books and the account: a cent."""


class RiskActor(DataActor):
    """Equity, high-water mark, drawdown and trading state, answered at once whenever a mark is asked for.

    A question and its answer are nested calls: the order in which the engine hands a bar to its components does not
    matter, and it is not the order in which they were added.

    Parameters
    ----------
    bar_types : Mapping[str, str]
        Base bar type by instrument id.
    lots : Mapping[str, float]
        Base asset a lot, by instrument id.
    venue, currency : str
        Where the account is, and what it is kept in.
    params : RiskParams
        Limits.
    journal : Journal
        Takes the rows of ``equity`` and ``funding``.
    faults : Faults
        Where handler errors are kept.
    """

    def __new__(cls, **_: object) -> Self:
        """Pass the engine its own configuration, which it takes at creation."""
        config = DataActorConfig(actor_id=ActorId("RISK-001"))
        return super().__new__(cls, config)  # type: ignore[call-arg] # the stub has it at __init__

    def __init__(
        self,
        *,
        bar_types: Mapping[str, str],
        lots: Mapping[str, float],
        venue: str,
        currency: str,
        params: RiskParams,
        journal: Journal,
        faults: Faults,
    ) -> None:
        self.faults = faults
        self._bar_types = {instrument: BarType.from_str(name) for instrument, name in bar_types.items()}
        self._lots = dict(lots)
        self._venue = Venue(venue)
        self._currency = Currency.from_str(currency)
        self._params = params
        self._journal = journal
        self._positions: dict[str, PositionState] = {}
        self._day = DayRisk(-1, 0.0, 0.0, ACTIVE, 0.0, 0)
        self._last: RiskState | None = None
        self._net_notional = 0.0
        self._funding = 0.0
        self._latest_funding = (0, 0.0)
        self._opening: float | None = None
        self._audited_day = -1

    @recorded
    def on_start(self) -> None:
        """Subscribe to what moves the account."""
        self.subscribe_topic(mark_topic(), self.on_mark)
        for instrument in self._bar_types:
            self.subscribe_funding_rates(InstrumentId.from_str(instrument))
            self.subscribe_topic(position_topic(instrument), self._on_position)

    @recorded
    def on_stop(self) -> None:
        """Write the last mark down."""
        self._record_equity()

    @guarded
    def on_mark(self, message: object) -> None:
        """Mark to market at the close of a decision bar and tell everybody."""
        if isinstance(message, Mark):
            self._mark(message.ts_event, message.instrument_id, message.close)

    @recorded
    def on_funding_rate(self, funding_rate: FundingRateUpdate) -> None:
        """Book what a held position pays or receives; the venue books it by itself, after this bar's decision."""
        instrument = str(funding_rate.instrument_id)
        position = self._positions.get(instrument)
        if position is None or position.lots == 0:
            return
        price = self.cache.price(funding_rate.instrument_id, PriceType.MID)
        if price is None:
            raise RuntimeError(f"funding of {instrument} cannot be written down: no quote of it has been seen")
        rate = float(funding_rate.rate)
        amount = -round(position.lots * self._lots[instrument] * price.as_double() * rate, 8)
        self._funding += amount
        same = self._latest_funding[1] if self._latest_funding[0] == funding_rate.ts_event else 0.0
        self._latest_funding = (funding_rate.ts_event, same + amount)
        row = {"ts_event": funding_rate.ts_event, "instrument_id": instrument, "rate": rate, "amount": amount}
        self._journal.record("funding", row)

    @recorded
    def _on_position(self, message: object) -> None:
        if isinstance(message, PositionState):
            self._positions[message.instrument_id] = message

    def _mark(self, ts_event: int, instrument: str, close: float) -> None:
        if self._last is not None and self._last.ts_event != ts_event:
            self._record_equity()
        balance = self._balance(ts_event)
        profit = gross = net = 0.0
        for name, position in self._positions.items():
            if position.committed_lots != 0:
                quantity = position.lots * self._lots[name]
                price = close if name == instrument else self._last_close(name)
                profit += quantity * (price - position.entry_price)
                gross += position.committed_lots * self._lots[name] * price
                net += quantity * price
        equity = balance + profit
        self._day = update_day(self._day, ts_event, equity, self._params)
        self._net_notional = net
        self._last = RiskState(
            ts_event=ts_event,
            equity=equity,
            balance=balance,
            high_water_mark=self._day.high_water_mark,
            drawdown=self._day.drawdown,
            state=self._day.state,
            gross_notional=gross,
        )
        self.publish_message(risk_topic(), self._last)

    def _last_close(self, instrument: str) -> float:
        bar = self.cache.bar(self._bar_types[instrument])
        if bar is None:
            raise RuntimeError(f"a position in {instrument} cannot be marked: no bar of it has been seen")
        return bar.close.as_double()

    def _balance(self, ts_event: int) -> float:
        """Return the balance by our own books, which the venue's account must equal once a UTC day.

        The engine copies an account with its whole history at every look, which a decision has no time for. Funding
        that is due at this very close is in our books and not yet in the account.
        """
        booked = sum(position.realised for position in self._positions.values()) + self._funding
        unsettled = self._latest_funding[1] if self._latest_funding[0] == ts_event else 0.0
        day = (ts_event - 1) // DAY_NS
        if day != self._audited_day:
            self._audited_day = day
            actual = self._account_balance() + unsettled
            if self._opening is None:
                self._opening = actual - booked
            elif abs(self._opening + booked - actual) > BOOKS_TOLERANCE:
                raise RuntimeError(f"the books say a balance of {self._opening + booked:.4f}, the account {actual:.4f}")
        return (self._opening or 0.0) + booked

    def _account_balance(self) -> float:
        account = self.cache.account_for_venue(self._venue)
        if account is None:
            raise RuntimeError(f"no account at {self._venue}")
        return float(account.balance_total(self._currency).as_double())

    def _record_equity(self) -> None:
        last = self._last
        if last is None:
            return
        self._journal.record(
            "equity",
            {
                "ts_event": last.ts_event,
                "equity": last.equity,
                "balance": last.balance,
                "high_water_mark": last.high_water_mark,
                "drawdown": last.drawdown,
                "exposure": self._net_notional / last.equity if last.equity > 0.0 else 0.0,
                "state": STATES[last.state],
            },
        )
