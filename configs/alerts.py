"""Who is called when something happens, and how stubbornly."""

from typing import Annotated

from msgspec import Meta

from configs.section import Section
from core.alert_delivery import Patience
from core.trading_patterns import Baseline, PatternLimits

__all__ = ["Alerts"]

_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_HOUR_NS = 60 * _MINUTE_NS


class Alerts(Section, frozen=True, kw_only=True):
    """Rules and routes are in a file of their own; channels come from the environment (docs/alerts.md)."""

    rules: Annotated[
        str, Meta(pattern=r"^(\S.*)?$", description="file of rules (TOML); empty: configs/alert_rules.toml")
    ]
    poll_seconds: Annotated[float, Meta(ge=0.02, le=60.0, description="between two looks at the session's record")]
    timeout_seconds: Annotated[float, Meta(ge=0.5, le=120.0, description="of one message to one channel")]
    retry_seconds: Annotated[
        float, Meta(ge=0.05, le=600.0, description="before a failed message is sent again; doubles")
    ]
    max_retry_seconds: Annotated[float, Meta(ge=0.05, le=86_400.0, description="the longest of these waits")]
    tries: Annotated[int, Meta(ge=1, le=20, description="failures of a channel before the next one is tried as well")]
    escalate_seconds: Annotated[float, Meta(ge=0.5, le=3_600.0, description="silence of a channel before the next one")]
    give_up_hours: Annotated[float, Meta(ge=0.01, le=720.0, description="older messages are not sent any more")]
    queue: Annotated[
        int, Meta(ge=10, le=100_000, description="messages that wait; beyond, the oldest less urgent goes")
    ]
    history: Annotated[
        int, Meta(ge=10, le=1_000_000, description="messages that are remembered when they are done with")
    ]
    linger_seconds: Annotated[
        float, Meta(ge=0.0, le=600.0, description="messages are sent so long after an orderly end")
    ]
    heartbeat_seconds: Annotated[
        float, Meta(ge=0.2, le=3_600.0, description="between two signs of life to the watchdog")
    ]
    replays: Annotated[bool, Meta(description="whether a node that replays history calls anybody")]
    telegram_url: Annotated[
        str,
        Meta(pattern=r"^https?://[^/\s]+$", description="the Bot API server", examples=["https://api.telegram.org"]),
    ]
    baseline: Annotated[
        str, Meta(pattern=r"^(\S.*)?$", description="folder of the backtest whose trading is normal; empty: none")
    ]
    rejections: Annotated[int, Meta(ge=2, le=1_000, description="orders refused within rejection_minutes")]
    rejection_minutes: Annotated[float, Meta(ge=0.1, le=1_440.0, description="in which they are counted")]
    flips: Annotated[int, Meta(ge=2, le=1_000, description="changes of a position's side within flip_hours")]
    flip_hours: Annotated[float, Meta(ge=0.1, le=168.0, description="in which they are counted")]
    slippage_bps: Annotated[float, Meta(ge=0.1, le=1_000.0, description="of a fill, against its decision's price")]
    slippage_deviations: Annotated[
        float, Meta(ge=1.0, le=100.0, description="robust deviations from earlier fills, where those are worse")
    ]
    rate_odds: Annotated[
        float, Meta(ge=0.0, le=0.1, description="a day's number of entries less likely than this is told")
    ]
    size_factor: Annotated[float, Meta(ge=1.0, le=100.0, description="times the backtest's largest entry")]

    def patience(self) -> Patience:
        """Return the limits of `core.alert_delivery.plan`."""
        return Patience(
            retry_ns=round(self.retry_seconds * _SECOND_NS),
            most_ns=round(self.max_retry_seconds * _SECOND_NS),
            tries=self.tries,
            silence_ns=round(self.escalate_seconds * _SECOND_NS),
            give_up_ns=round(self.give_up_hours * _HOUR_NS),
        )

    def pattern_limits(self, baseline: Baseline) -> PatternLimits:
        """Return the limits of `core.trading_patterns`."""
        return PatternLimits(
            rejections=self.rejections,
            rejections_ns=round(self.rejection_minutes * _MINUTE_NS),
            flips=self.flips,
            flips_ns=round(self.flip_hours * _HOUR_NS),
            slippage_bps=self.slippage_bps,
            slippage_deviations=self.slippage_deviations,
            rate_odds=self.rate_odds,
            size_factor=self.size_factor,
            baseline=baseline,
        )
