"""From configuration to the engine's clients of Binance USD-M futures, live or simulated."""

from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import urlsplit

from nautilus_trader.adapters.binance import (
    BinanceDataClientConfig,
    BinanceDataClientFactory,
    BinanceEnvironment,
    BinanceExecutionClientConfig,
    BinanceExecutionClientFactory,
    BinanceInstrumentProviderConfig,
    BinanceMarginType,
    BinanceProductType,
)
from nautilus_trader.adapters.sandbox import SandboxExecutionClientConfig, SandboxExecutionClientFactory
from nautilus_trader.common import Environment, LoggerConfig, LogLevel
from nautilus_trader.execution import MakerTakerFeeModel, StaticLatencyModel
from nautilus_trader.live import (
    LiveExecutionEngineConfig,
    LiveNode,
    LiveRiskEngineConfig,
    SubmissionRecoveryPolicy,
)
from nautilus_trader.model import AccountId, AccountType, Currency, Money, OmsType, TraderId
from nautilus_trader.model import Venue as VenueId

from adapters.credentials import Credentials
from adapters.instruments import InstrumentInfo
from configs.schema import AppConfig
from configs.venue import Venue
from core.errors import RefusedError

__all__ = ["FLOW_TYPE", "live_node", "refuse_other_venues"]

FLOW_TYPE = "BinanceBar"
"""The engine's name of Binance's bars with their taker flow."""

_ENVIRONMENTS = {
    "testnet": BinanceEnvironment.TESTNET,
    "demo": BinanceEnvironment.DEMO,
    "live": BinanceEnvironment.LIVE,
}
_PRODUCTS = {"usdm": BinanceProductType.USD_M}
_MARGIN_TYPES = {"isolated": BinanceMarginType.ISOLATED, "cross": BinanceMarginType.CROSS}
_SHUTDOWN_SECONDS = 5


def live_node(config: AppConfig, infos: Sequence[InstrumentInfo], keys: Credentials | None, currency: str) -> LiveNode:
    """Return a node with the clients of a configuration, without components.

    Parameters
    ----------
    config : AppConfig
        Of an environment that names a venue.
    infos : Sequence[InstrumentInfo]
        The instruments.
    keys : Credentials or None
        Needed where orders go to the venue.
    currency : str
        What the account is kept in.
    """
    venue = config.venue
    simulated = venue.execution == "simulated"
    builder = (
        LiveNode.builder("autotrade", TraderId("AUTOTRADE-001"), Environment.SANDBOX if simulated else Environment.LIVE)
        .with_logging(LoggerConfig(stdout_level=LogLevel.OFF))
        .with_timeout_connection(venue.connect_seconds)
        .with_timeout_reconciliation(venue.connect_seconds)
        .with_timeout_portfolio(_SHUTDOWN_SECONDS)
        .with_timeout_disconnection_secs(_SHUTDOWN_SECONDS)
        .with_delay_post_stop_secs(1)
        .with_load_state(False)
        .with_save_state(False)
        .with_reconciliation(not simulated)
        .with_exec_engine_config(_engine(venue, infos, simulated=simulated))
        .with_risk_engine_config(_barrier(config, infos))
        .add_data_client(None, BinanceDataClientFactory(), _data_client(venue, infos))
    )
    if simulated:
        builder = builder.add_simulated_exec_client(
            None, SandboxExecutionClientFactory(), _simulation(config, currency)
        )
    else:
        assert keys is not None
        builder = builder.add_exec_client(None, BinanceExecutionClientFactory(), _exec_client(venue, infos, keys))
    return builder.build()


def _instruments(infos: Sequence[InstrumentInfo]) -> BinanceInstrumentProviderConfig:
    return BinanceInstrumentProviderConfig(load_all=False, load_ids=[info.id for info in infos])


def _data_client(venue: Venue, infos: Sequence[InstrumentInfo]) -> BinanceDataClientConfig:
    """Market data need no key, so it is not given one."""
    return BinanceDataClientConfig(
        product_type=_PRODUCTS[venue.product],
        environment=_ENVIRONMENTS[venue.environment],
        base_url_http=venue.http_url,
        base_url_ws=venue.ws_url,
        instrument_provider=_instruments(infos),
        recv_window_ms=venue.recv_window_ms,
    )


def _exec_client(venue: Venue, infos: Sequence[InstrumentInfo], keys: Credentials) -> BinanceExecutionClientConfig:
    return BinanceExecutionClientConfig(
        account_id=AccountId("BINANCE-001"),
        product_type=_PRODUCTS[venue.product],
        environment=_ENVIRONMENTS[venue.environment],
        base_url_http=venue.http_url,
        base_url_ws=venue.ws_url,
        base_url_ws_trading=venue.ws_trading_url or None,
        use_ws_trading=bool(venue.ws_trading_url),
        instrument_provider=_instruments(infos),
        use_position_ids=False,
        oms_type=OmsType.NETTING,
        recv_window_ms=venue.recv_window_ms,
        api_key=keys.key,
        api_secret=keys.secret,
        futures_leverages={info.raw_symbol: venue.leverage for info in infos},
        futures_margin_types={info.raw_symbol: _MARGIN_TYPES[venue.margin_type] for info in infos},
    )


def _engine(venue: Venue, infos: Sequence[InstrumentInfo], *, simulated: bool) -> LiveExecutionEngineConfig:
    """Return how the engine holds its cache to the venue; what is made here needs no such checks."""
    return LiveExecutionEngineConfig(
        reconciliation=not simulated,
        reconciliation_startup_delay_secs=0.0,
        reconciliation_lookback_mins=venue.reconciliation_minutes,
        reconciliation_instrument_ids=[info.id for info in infos],
        submission_recovery_policy=SubmissionRecoveryPolicy.RETAIN_UNRESOLVED,  # silence is no rejection
        inflight_check_interval_ms=round(venue.inflight_check_seconds * 1e3),
        inflight_check_threshold_ms=round(venue.inflight_seconds * 1e3),
        open_check_interval_secs=None if simulated else venue.open_check_seconds,
        position_check_interval_secs=None if simulated else venue.position_check_seconds,
        position_check_threshold_ms=round(venue.position_check_seconds * 1e3),  # what has just moved is left alone
        purge_closed_orders_interval_mins=60,
        purge_closed_orders_buffer_mins=60,
        purge_closed_positions_interval_mins=60,
        purge_closed_positions_buffer_mins=60,
        purge_account_events_interval_mins=60,
        purge_account_events_lookback_mins=60,
    )


def _barrier(config: AppConfig, infos: Sequence[InstrumentInfo]) -> LiveRiskEngineConfig:
    """Return the engine's own limits: the second barrier, behind the gate, wide enough to close a whole position."""
    most = str(Decimal(repr(config.risk.max_order_notional)) * (2 + config.risk.max_adds))
    return LiveRiskEngineConfig(max_notional_per_order={info.id: most for info in infos})


def _simulation(config: AppConfig, currency: str) -> SandboxExecutionClientConfig:
    """Return an exchange that is made here, on the live quotes, with the costs of the configuration."""
    costs = config.costs
    return SandboxExecutionClientConfig(
        venue=VenueId(config.market.venue),
        starting_balances=[Money(config.backtest.starting_equity, Currency.from_str(currency))],
        account_id=AccountId("BINANCE-001"),
        oms_type=OmsType.NETTING,
        account_type=AccountType.MARGIN,
        default_leverage=Decimal(config.venue.leverage),
        bar_execution=False,
        trade_execution=False,
        reject_stop_orders=False,
        use_position_ids=False,
        fee_model=MakerTakerFeeModel(
            Decimal(repr(costs.maker_bps)).scaleb(-4), Decimal(repr(costs.taker_bps)).scaleb(-4)
        ),
        latency_model=StaticLatencyModel(costs.latency_ms * 1_000_000),
    )


def refuse_other_venues(config: AppConfig, overlay: AppConfig) -> None:
    """Refuse addresses that the environment's overlay does not name, but for a stand-in on this machine.

    Real orders are sent where the overlay says, and only mainnet's says the real market. Mainnet takes no stand-in.

    Raises
    ------
    RefusedError
        Where another venue is named.
    """
    asked, given = config.venue, overlay.venue
    for name in ("environment", "product", "execution"):
        if getattr(asked, name) != getattr(given, name):
            raise RefusedError(
                f'venue.{name}: "{getattr(asked, name)}" is not what {config.environment} trades with, which is '
                f'"{getattr(given, name)}"; run the environment that is meant'
            )
    for name in ("http_url", "ws_url", "ws_trading_url"):
        url, allowed = getattr(asked, name), getattr(given, name)
        loopback = urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}
        if url != allowed and not (loopback and config.environment != "mainnet"):
            raise RefusedError(
                f"venue.{name}: {url or 'nothing'} is not the venue of {config.environment}, which is "
                f"{allowed or 'nothing'}; only a stand-in on this machine may take its place, and not mainnet's"
            )
