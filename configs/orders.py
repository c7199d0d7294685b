"""How orders and positions are looked after, whatever their style."""

from typing import Annotated, Literal

from msgspec import Meta

from configs.section import SAFER_IS_LOWER, Section
from core.commands import Style
from core.desk import OrderParams
from core.protection import ProtectionParams

__all__ = ["Orders"]

_NS = 1_000_000_000


class Orders(Section, frozen=True, kw_only=True):
    """Time-outs, retries, and what was there before."""

    submit_timeout_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60.0,
            description="without an answer an order's fate is unknown after it, and entries are frozen",
            extra=SAFER_IS_LOWER,
        ),
    ]
    retry_seconds: Annotated[
        float,
        Meta(
            ge=0.1,
            le=60.0,
            description="before a failed close is sent again; doubles with each attempt",
            extra=SAFER_IS_LOWER,
        ),
    ]
    max_retry_seconds: Annotated[
        float,
        Meta(ge=1.0, le=600.0, description="longest wait between two attempts to close", extra=SAFER_IS_LOWER),
    ]
    unprotected_seconds: Annotated[
        float,
        Meta(
            ge=1.0,
            le=600.0,
            description="a position without a working stop for so long is closed",
            extra=SAFER_IS_LOWER,
        ),
    ]
    retrigger: Annotated[
        float,
        Meta(
            ge=0.0001,
            le=0.05,
            description="share of the trigger by which a stop that would trigger at once is moved, once",
            extra=SAFER_IS_LOWER,
        ),
    ]
    inherited: Annotated[Literal["adopt", "flatten"], Meta(description="what becomes of a position found at the start")]
    inherited_stop: Annotated[
        float,
        Meta(
            ge=0.001, le=0.2, description="distance of an adopted position's stop from its entry", extra=SAFER_IS_LOWER
        ),
    ]

    def params(self, style: Style) -> OrderParams:
        """Return the parameters of `core.trader.Trader`; ``style`` of increases."""
        return OrderParams(
            style=style,
            timeout_ns=round(self.submit_timeout_seconds * _NS),
            retry_ns=round(self.retry_seconds * _NS),
            max_retry_ns=round(self.max_retry_seconds * _NS),
            protection=ProtectionParams(
                retry_ns=round(self.retry_seconds * _NS),
                unprotected_ns=round(self.unprotected_seconds * _NS),
                retrigger=self.retrigger,
            ),
            inherited=self.inherited,
            inherited_stop=self.inherited_stop,
        )
