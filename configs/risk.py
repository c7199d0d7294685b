"""The limits of the gate."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section, safest_first
from core.risk import RiskParams

__all__ = ["Risk"]

_MINUTE_NS = 60_000_000_000


class Risk(Section, frozen=True, kw_only=True):
    """Limits of the gate. Closing and shrinking a position never pass through them."""

    loss_per_trade: Annotated[
        float, Meta(ge=0.01, le=0.03, description="loss at the stop, all costs included", extra=SAFER_IS_LOWER)
    ]
    daily_drawdown: Annotated[
        float,
        Meta(ge=0.05, le=0.10, description="from the UTC day's high; half of it stops entries", extra=SAFER_IS_LOWER),
    ]
    max_capital: Annotated[
        float, Meta(ge=0.01, le=0.5, description="gross notional of all positions", extra=SAFER_IS_LOWER)
    ]
    min_entry_spacing_minutes: Annotated[
        int, Meta(ge=0, le=1_440, description="between two entries in an instrument", extra=SAFER_IS_HIGHER)
    ]
    max_entries_per_day: Annotated[
        int, Meta(ge=0, le=1_440, description="in an instrument in 24 hours", extra=SAFER_IS_LOWER)
    ]
    volatility_quantile: Annotated[
        float, Meta(ge=0.0, le=1.0, description="no entry while volatility ranks above it", extra=SAFER_IS_LOWER)
    ]
    pyramiding: Annotated[bool, Meta(description="may a position in profit be added to", extra=SAFER_IS_LOWER)]
    rearm: Annotated[
        Literal["explicit", "next_day"],
        Meta(description="what ends a halt: a person, or the next UTC day", extra=safest_first("explicit", "next_day")),
    ]

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
            max_entries_per_day=self.max_entries_per_day,
            volatility_quantile=self.volatility_quantile,
            pyramiding=int(self.pyramiding),
            auto_rearm=int(self.rearm == "next_day"),
        )
