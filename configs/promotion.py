"""What must be shown on the testnet before real money is traded, and with how little that begins."""

from typing import Annotated

from msgspec import Meta

from configs.section import SAFER_IS_HIGHER, SAFER_IS_LOWER, Section
from core.bars import DAY_NS
from core.promotion_gate import GateLimits

__all__ = ["Promotion"]

_HOUR_NS = 3_600_000_000_000


class Promotion(Section, frozen=True, kw_only=True):
    """The gate to mainnet (`core.promotion_gate`), and the limits of the first day on it."""

    path: Annotated[str, Meta(pattern=r"^\S.*$", description="signed records: promotions, examinations")]
    key_path: Annotated[str, Meta(pattern=r"^\S.*$", description="the key that signs them; made at the first use")]
    min_days: Annotated[
        int, Meta(ge=1, le=365, description="UTC days with decisions on the testnet", extra=SAFER_IS_HIGHER)
    ]
    min_decisions: Annotated[int, Meta(ge=1, le=10_000_000, description="on the testnet", extra=SAFER_IS_HIGHER)]
    min_stops: Annotated[
        int, Meta(ge=1, le=1_000, description="filled stops of every instrument", extra=SAFER_IS_HIGHER)
    ]
    doctor_hours: Annotated[
        float, Meta(ge=0.1, le=168.0, description="age of a doctor without a failure", extra=SAFER_IS_LOWER)
    ]
    drill_days: Annotated[
        int, Meta(ge=1, le=365, description="since the breaker was tripped by hand", extra=SAFER_IS_LOWER)
    ]
    valid_days: Annotated[int, Meta(ge=1, le=365, description="a promotion expires after", extra=SAFER_IS_LOWER)]
    first_day_hours: Annotated[
        float,
        Meta(ge=1.0, le=720.0, description="from the first start, with smaller limits", extra=SAFER_IS_HIGHER),
    ]
    first_day_exposure: Annotated[
        float, Meta(ge=0.05, le=1.0, description="share of the limits of size, then", extra=SAFER_IS_LOWER)
    ]
    first_day_entries: Annotated[
        float, Meta(ge=0.05, le=1.0, description="share of the numbers of entries, then", extra=SAFER_IS_LOWER)
    ]

    def limits(self) -> GateLimits:
        """Return what the gate asks for."""
        return GateLimits(
            days=self.min_days,
            decisions=self.min_decisions,
            stops=self.min_stops,
            doctor_ns=round(self.doctor_hours * _HOUR_NS),
            drill_ns=self.drill_days * DAY_NS,
        )
