"""Every tunable of the product, with its range: one frozen tree.

Values live in ``base.toml`` and the overlays beside this file; nothing has a default here, so that a value stands in
one place. Fractions are fractions of equity unless said otherwise; costs are in basis points of notional.
"""

import hashlib
import math
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from configs.alerts import Alerts
from configs.breaker import Breaker
from configs.control import Control
from configs.doctor import Doctor
from configs.execution import Execution
from configs.invariants import Invariants
from configs.live import Live
from configs.orders import Orders
from configs.position import Exits, Sizing
from configs.promotion import Promotion
from configs.record import Record
from configs.risk import Risk
from configs.section import SAFER_IS_HIGHER, Section, shown
from configs.serving import Serving
from configs.venue import Venue
from core.bars import INTERVALS_NS
from core.causes import BreakerParams
from core.costs import CostParams
from core.decision import DecisionParams
from core.ensemble import METHODS, TallyParams
from core.errors import ConfigError
from core.invariants import Limits
from core.serving import ServingParams

__all__ = [
    "SECTIONS",
    "AppConfig",
    "Backtest",
    "Catalog",
    "Costs",
    "Download",
    "Ensemble",
    "Market",
    "Sample",
    "config_hash",
]

_BPS = 1e-4

type InstrumentName = Annotated[str, Meta(pattern=r"^[A-Z0-9]+(-PERP)?\.[A-Z]+$", examples=["BTCUSDT-PERP.BINANCE"])]
type Url = Annotated[str, Meta(pattern=r"^https?://[^/\s]+$", examples=["https://host", "http://127.0.0.1:8080"])]
type Folder = Annotated[str, Meta(pattern=r"^\S.*$", examples=["catalog/data"])]


class Market(Section, frozen=True, kw_only=True):
    """What is traded, and on which bars."""

    venue: Annotated[Literal["BINANCE"], Meta(description="venue part of every instrument's name")]
    instruments: Annotated[
        tuple[InstrumentName, ...], Meta(min_length=1, description="BTCUSDT-PERP.BINANCE is a USD-M perpetual")
    ]
    base_interval: Annotated[str, Meta(description="bars that are read, and on which orders are filled")]
    decision_interval: Annotated[str, Meta(description="bars on whose close is decided; whole base bars, up to 1d")]

    def __post_init__(self) -> None:
        """Refuse intervals that do not fit each other and instruments of another venue."""
        super().__post_init__()
        for name in ("base_interval", "decision_interval"):
            if getattr(self, name) not in INTERVALS_NS:
                raise ConfigError(
                    f"market.{name}: {shown(getattr(self, name))} is not known; choose one of {', '.join(INTERVALS_NS)}"
                )
        if INTERVALS_NS[self.decision_interval] % INTERVALS_NS[self.base_interval] != 0:
            raise ConfigError(
                f'market.decision_interval: "{self.decision_interval}" is not a multiple of '
                f'market.base_interval "{self.base_interval}"; choose whole base bars'
            )
        for index, instrument in enumerate(self.instruments):
            if not instrument.endswith(f".{self.venue}"):
                raise ConfigError(
                    f'market.instruments[{index}]: "{instrument}" is not of market.venue "{self.venue}"; '
                    f"choose a name that ends in .{self.venue}"
                )
            if instrument in self.instruments[:index]:
                raise ConfigError(f'market.instruments[{index}]: "{instrument}" is listed twice; list it once')


class Catalog(Section, frozen=True, kw_only=True):
    """Where data, models and results lie."""

    path: Annotated[Folder, Meta(description="market data (Parquet)")]
    models_path: Annotated[Folder, Meta(description="where a trainer writes artifacts")]
    runs_path: Annotated[Folder, Meta(description="where a run writes its results")]
    studies_path: Annotated[Folder, Meta(description="where a study keeps its models, runs and verdict")]
    ledger_path: Annotated[Folder, Meta(description="the record of every trial ever begun (SQLite)")]
    models: Annotated[
        tuple[Folder, ...], Meta(min_length=1, description="artifact directories of the ensemble; * and ? match names")
    ]


class Download(Section, frozen=True, kw_only=True):
    """Where history comes from, and how stubbornly."""

    archive_url: Annotated[Url, Meta(description="monthly and daily archive files")]
    um_url: Annotated[Url, Meta(description="REST API of USD-M futures")]
    spot_url: Annotated[Url, Meta(description="REST API of spot")]
    retries: Annotated[int, Meta(ge=0, le=20, description="further attempts after a failed request")]
    backoff_seconds: Annotated[
        float, Meta(ge=0.0, le=60.0, description="wait before the first retry; doubles with each")
    ]
    timeout_seconds: Annotated[float, Meta(ge=0.1, le=300.0, description="of one request without an answer")]


class Ensemble(Section, frozen=True, kw_only=True):
    """How votes become a signal."""

    method: Annotated[
        Literal["majority", "confidence", "performance"],
        Meta(description="weight of a vote: 1, its confidence, or its model's weight"),
    ]
    quorum: Annotated[int, Meta(ge=1, le=99, description="models that must vote", extra=SAFER_IS_HIGHER)]
    min_vote_confidence: Annotated[
        float, Meta(ge=0.0, le=1.0, description="a model less sure than this does not vote", extra=SAFER_IS_HIGHER)
    ]
    min_agreement: Annotated[
        float, Meta(ge=0.0, le=1.0, description="share of the weight behind the signal", extra=SAFER_IS_HIGHER)
    ]
    min_confidence: Annotated[
        float, Meta(ge=0.0, le=1.0, description="of the signal; below it nothing is wanted", extra=SAFER_IS_HIGHER)
    ]
    weights: Annotated[
        tuple[Annotated[float, Meta(ge=0.0, le=100.0)], ...],
        Meta(description="of each model, for the method performance, until it has earned its own; empty: all alike"),
    ]


class Costs(Section, frozen=True, kw_only=True):
    """What trading costs, in basis points of notional."""

    taker_bps: Annotated[float, Meta(ge=0.0, le=100.0, description="fee of a market order", extra=SAFER_IS_HIGHER)]
    maker_bps: Annotated[float, Meta(ge=0.0, le=100.0, description="fee of a resting order")]
    half_spread_bps: Annotated[
        float, Meta(ge=0.0, le=100.0, description="from the bar's price to bid or ask", extra=SAFER_IS_HIGHER)
    ]
    slippage_bps: Annotated[float, Meta(ge=0.0, le=100.0, description="beyond bid or ask", extra=SAFER_IS_HIGHER)]
    latency_ms: Annotated[int, Meta(ge=1, le=10_000, description="from decision to venue; 0 would fill in the past")]


class Backtest(Section, frozen=True, kw_only=True):
    """A replay of history."""

    starting_equity: Annotated[float, Meta(ge=100.0, le=1e9, description="quote currency")]
    chunk_days: Annotated[int, Meta(ge=1, le=366, description="days streamed at a time; bounds memory")]


class Sample(Section, frozen=True, kw_only=True):
    """The synthetic market that stands in for an empty catalog."""

    seed: Annotated[int, Meta(ge=0, le=2**32 - 1, description="the same seed makes the same market")]
    days: Annotated[int, Meta(ge=2, le=1_500, description="length of the market")]


class AppConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of one environment."""

    environment: str
    market: Market
    venue: Venue
    catalog: Catalog
    record: Record
    download: Download
    ensemble: Ensemble
    sizing: Sizing
    exits: Exits
    risk: Risk
    promotion: Promotion
    doctor: Doctor
    breaker: Breaker
    control: Control
    alerts: Alerts
    serving: Serving
    execution: Execution
    orders: Orders
    invariants: Invariants
    live: Live
    costs: Costs
    backtest: Backtest
    sample: Sample

    def __post_init__(self) -> None:
        """Refuse what no single section can see."""
        for name, section in SECTIONS.items():
            if not isinstance(getattr(self, name), section):
                raise ConfigError(f"{name}: {type(getattr(self, name)).__name__} found; give a {section.__name__}")
        if self.sizing.full_confidence < self.ensemble.min_confidence:
            raise ConfigError(
                f"sizing.full_confidence: {self.sizing.full_confidence} is below ensemble.min_confidence "
                f"{self.ensemble.min_confidence}; choose {self.ensemble.min_confidence} to 1"
            )
        if self.orders.submit_timeout_seconds * 1e3 <= self.venue.recv_window_ms:
            raise ConfigError(
                f"orders.submit_timeout_seconds: {self.orders.submit_timeout_seconds:g} is not beyond "
                f"venue.recv_window_ms {self.venue.recv_window_ms}: an order that is given up could still be carried "
                f"out; choose more than {self.venue.recv_window_ms / 1e3:g}, or a shorter window"
            )

    def tally_params(self) -> TallyParams:
        """Return the rules of the tally."""
        rules = self.ensemble
        return TallyParams(
            method=METHODS[rules.method],
            quorum=rules.quorum,
            min_vote_confidence=rules.min_vote_confidence,
            min_agreement=rules.min_agreement,
            min_confidence=rules.min_confidence,
        )

    def serving_params(self) -> ServingParams:
        """Return the rules of the roster."""
        costs = self.cost_params()
        return self.serving.params(cost=costs.taker + costs.away, learned=self.ensemble.method == "performance")

    def cost_params(self) -> CostParams:
        """Return the costs as fractions of notional."""
        costs = self.costs
        return CostParams(
            taker=costs.taker_bps * _BPS,
            maker=costs.maker_bps * _BPS,
            away=(costs.half_spread_bps + costs.slippage_bps) * _BPS,
        )

    def breaker_params(self) -> BreakerParams:
        """Return the rules of the circuit breaker."""
        return self.breaker.params(self.decision_params().risk)

    def invariant_limits(self) -> Limits:
        """Return the limits of the invariant checker; where the gate's rule of capital is off, so is the invariant."""
        return self.invariants.limits(
            decision_seconds=INTERVALS_NS[self.market.decision_interval] * 1e-9,
            max_capital=math.inf if "capital" in self.risk.disabled else self.risk.max_capital,
        )

    def decision_params(self) -> DecisionParams:
        """Return the parameters of `core.decision.decide`."""
        costs = self.cost_params()
        decision_ns = INTERVALS_NS[self.market.decision_interval]
        return DecisionParams(
            sizing=self.sizing.params(min_confidence=self.ensemble.min_confidence),
            exits=self.exits.params(),
            risk=self.risk.params(exit_cost=costs.taker + costs.away, decision_ns=decision_ns),
        )


SECTIONS: dict[str, type[Section]] = {
    section.__name__.lower(): section
    for section in (
        Market, Venue, Catalog, Record, Download, Ensemble, Sizing, Exits, Risk, Promotion, Doctor,
        Breaker, Control, Alerts, Serving, Execution, Orders, Invariants, Live, Costs, Backtest, Sample,
    )
}  # fmt: skip
"""The sections of `AppConfig` by name, in order."""


def config_hash(config: AppConfig) -> str:
    """Return the SHA-256 (hex) of a configuration's canonical JSON: sorted keys, shortest floats, no spaces."""
    return hashlib.sha256(msgspec.json.encode(config, order="sorted")).hexdigest()
