"""The limits of the gate."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section, safest_first
from core.errors import ConfigError
from core.risk import RiskParams
from core.rules import off_mask

__all__ = ["Risk"]

_MINUTE_NS = 60_000_000_000
_HOUR_NS = 60 * _MINUTE_NS

type InstrumentName = Annotated[str, Meta(pattern=r"^[A-Z0-9]+(-PERP)?\.[A-Z]+$", examples=["BTCUSDT-PERP.BINANCE"])]
type RuleName = Literal[
    "frozen", "stale_data", "stale_state", "price_distance", "volatility", "volatility_pause", "entry_count",
    "entry_count_day", "entry_spacing", "loss_streak", "stop_guard", "low_profit", "pyramiding", "add_count", "funding",
    "liquidation", "capital", "instrument", "group", "loss_per_trade", "order_notional",
]  # fmt: skip


class Risk(Section, frozen=True, kw_only=True):
    """Limits of the gate. Closing and shrinking a position never pass through them."""

    loss_per_trade: Annotated[
        float, Meta(ge=0.01, le=0.03, description="loss at the stop, all costs included", extra=SAFER_IS_LOWER)
    ]
    daily_drawdown: Annotated[
        float,
        Meta(ge=0.05, le=0.10, description="from the UTC day's high; half of it stops entries", extra=SAFER_IS_LOWER),
    ]
    total_drawdown: Annotated[
        float, Meta(ge=0.05, le=1.0, description="from the highest equity ever; 1 = off", extra=SAFER_IS_LOWER)
    ]
    max_capital: Annotated[
        float, Meta(ge=0.01, le=0.5, description="gross notional of all positions", extra=SAFER_IS_LOWER)
    ]
    max_instrument: Annotated[
        float, Meta(ge=0.01, le=0.5, description="notional of one instrument", extra=SAFER_IS_LOWER)
    ]
    max_group: Annotated[
        float, Meta(ge=0.01, le=0.5, description="gross notional of instruments of a group", extra=SAFER_IS_LOWER)
    ]
    groups: Annotated[
        tuple[Annotated[tuple[InstrumentName, ...], Meta(min_length=1)], ...],
        Meta(description="instruments that move together; one in no group is a group of its own"),
    ]
    max_order_notional: Annotated[
        float, Meta(ge=5.0, le=1e9, description="of one order, quote currency", extra=SAFER_IS_LOWER)
    ]
    max_price_distance: Annotated[
        float, Meta(ge=0.001, le=1.0, description="of a close from the one before it", extra=SAFER_IS_LOWER)
    ]
    max_data_age_seconds: Annotated[
        float, Meta(ge=0.1, le=3_600.0, description="of the bar that is decided on", extra=SAFER_IS_LOWER)
    ]
    max_state_age_seconds: Annotated[
        float, Meta(ge=0.1, le=3_600.0, description="of the last mark of the account", extra=SAFER_IS_LOWER)
    ]
    min_entry_spacing_minutes: Annotated[
        int, Meta(ge=0, le=1_440, description="between two entries in an instrument", extra=SAFER_IS_HIGHER)
    ]
    max_entries_24h: Annotated[
        int, Meta(ge=0, le=1_440, description="in an instrument in any 24 hours", extra=SAFER_IS_LOWER)
    ]
    max_entries_per_day: Annotated[
        int, Meta(ge=0, le=1_440, description="in an instrument on a UTC day", extra=SAFER_IS_LOWER)
    ]
    volatility_quantile: Annotated[
        float, Meta(ge=0.0, le=1.0, description="no entry while volatility ranks above it", extra=SAFER_IS_LOWER)
    ]
    volatility_calm_quantile: Annotated[
        float, Meta(ge=0.0, le=1.0, description="nor until it ranks at or below this", extra=SAFER_IS_LOWER)
    ]
    volatility_observation_bars: Annotated[
        int, Meta(ge=1, le=10_000, description="for so many decision bars in a row", extra=SAFER_IS_HIGHER)
    ]
    loss_streak: Annotated[
        int, Meta(ge=1, le=100, description="losses in a row that pause entries", extra=SAFER_IS_LOWER)
    ]
    loss_streak_bars: Annotated[
        int, Meta(ge=0, le=10_000, description="decision bars of that pause", extra=SAFER_IS_HIGHER)
    ]
    stop_guard_stops: Annotated[
        int, Meta(ge=1, le=100, description="stop-outs that pause entries", extra=SAFER_IS_LOWER)
    ]
    stop_guard_hours: Annotated[int, Meta(ge=0, le=8_760, description="within which they lie", extra=SAFER_IS_HIGHER)]
    stop_guard_bars: Annotated[
        int, Meta(ge=0, le=10_000, description="decision bars of that pause", extra=SAFER_IS_HIGHER)
    ]
    low_profit_trades: Annotated[
        int, Meta(ge=1, le=100, description="last trades that are summed up", extra=SAFER_IS_LOWER)
    ]
    low_profit_hours: Annotated[int, Meta(ge=0, le=8_760, description="within which they lie", extra=SAFER_IS_HIGHER)]
    low_profit_return: Annotated[
        float, Meta(ge=-1.0, le=0.0, description="sum of returns below which entries pause", extra=SAFER_IS_HIGHER)
    ]
    low_profit_bars: Annotated[
        int, Meta(ge=0, le=10_000, description="decision bars of that pause", extra=SAFER_IS_HIGHER)
    ]
    pyramiding: Annotated[bool, Meta(description="may a position in profit be added to", extra=SAFER_IS_LOWER)]
    max_adds: Annotated[int, Meta(ge=0, le=100, description="how often", extra=SAFER_IS_LOWER)]
    funding_minutes: Annotated[
        int, Meta(ge=0, le=480, description="no entry this close to a dear funding; 0 = never", extra=SAFER_IS_HIGHER)
    ]
    max_funding_rate: Annotated[
        float, Meta(ge=0.0, le=0.1, description="of notional; what is paid above it is dear", extra=SAFER_IS_LOWER)
    ]
    maintenance_margin: Annotated[
        float, Meta(ge=0.001, le=0.5, description="of notional, of the dearest instrument", extra=SAFER_IS_HIGHER)
    ]
    max_liquidation_share: Annotated[
        float, Meta(ge=0.01, le=0.9, description="of the way to liquidation, at the stop", extra=SAFER_IS_LOWER)
    ]
    tighten_volatility: Annotated[
        float,
        Meta(ge=0.0, le=0.9, description="share of limits lost at the highest volatility", extra=SAFER_IS_HIGHER),
    ]
    tighten_loss: Annotated[
        float, Meta(ge=0.0, le=0.9, description="share of limits lost with each loss in a row", extra=SAFER_IS_HIGHER)
    ]
    tighten_drawdown: Annotated[
        float, Meta(ge=0.0, le=0.9, description="share of limits lost at the day's limit", extra=SAFER_IS_HIGHER)
    ]
    disabled: Annotated[
        tuple[RuleName, ...], Meta(description="rules switched off, see `autotrade risk show`", extra=SAFER_IS_LOWER)
    ]
    rearm: Annotated[
        Literal["explicit", "next_day"],
        Meta(description="what ends a halt: a person, or the next UTC day", extra=safest_first("explicit", "next_day")),
    ]

    def __post_init__(self) -> None:
        """Refuse an instrument in two groups: the notional of its group would be two numbers."""
        super().__post_init__()
        seen: set[str] = set()
        for index, group in enumerate(self.groups):
            for name in group:
                if name in seen:
                    raise ConfigError(f'risk.groups[{index}]: "{name}" is listed twice; list it once, in one group')
                seen.add(name)

    def peers(self, instrument_id: str) -> tuple[str, ...]:
        """Return the other instruments of an instrument's group; none where it is in no group."""
        for group in self.groups:
            if instrument_id in group:
                return tuple(name for name in group if name != instrument_id)
        return ()

    def params(self, *, exit_cost: float, decision_ns: int) -> RiskParams:
        """Return what compiled code reads: minutes become decision bars, rounded up.

        Parameters
        ----------
        exit_cost : float
            Fee, half the spread and slippage of the way out, fraction of notional.
        decision_ns : int
            Length of a decision bar.
        """
        return RiskParams(
            loss_per_trade=self.loss_per_trade,
            daily_drawdown=self.daily_drawdown,
            max_capital=self.max_capital,
            exit_cost=exit_cost,
            min_entry_spacing_bars=-(-self.min_entry_spacing_minutes * _MINUTE_NS // decision_ns),
            max_entries_24h=self.max_entries_24h,
            volatility_quantile=self.volatility_quantile,
            pyramiding=int(self.pyramiding),
            auto_rearm=int(self.rearm == "next_day"),
            total_drawdown=self.total_drawdown,
            max_instrument=self.max_instrument,
            max_group=self.max_group,
            max_order_notional=self.max_order_notional,
            max_price_distance=self.max_price_distance,
            max_data_age_seconds=self.max_data_age_seconds,
            max_state_age_seconds=self.max_state_age_seconds,
            max_entries_per_day=self.max_entries_per_day,
            volatility_calm_quantile=self.volatility_calm_quantile,
            volatility_observation_bars=self.volatility_observation_bars,
            loss_streak=self.loss_streak,
            loss_streak_bars=self.loss_streak_bars,
            stop_guard_stops=self.stop_guard_stops,
            stop_guard_ns=self.stop_guard_hours * _HOUR_NS,
            stop_guard_bars=self.stop_guard_bars,
            low_profit_trades=self.low_profit_trades,
            low_profit_ns=self.low_profit_hours * _HOUR_NS,
            low_profit_return=self.low_profit_return,
            low_profit_bars=self.low_profit_bars,
            max_adds=self.max_adds,
            funding_minutes=float(self.funding_minutes),
            max_funding_rate=self.max_funding_rate,
            maintenance_margin=self.maintenance_margin,
            max_liquidation_share=self.max_liquidation_share,
            tighten_volatility=self.tighten_volatility,
            tighten_loss=self.tighten_loss,
            tighten_drawdown=self.tighten_drawdown,
            rules_off=off_mask(self.disabled),
        )
