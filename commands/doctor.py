"""``autotrade doctor``: everything that a live node depends on, looked at before it does."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.table import Table

import configs
from adapters.alert_channels import HEARTBEAT, Channel, SecretUrl, alert_urls
from adapters.binance_account import BinanceAccount
from adapters.credentials import Credentials, credentials
from adapters.instruments import InstrumentInfo, parse_exchange_info
from adapters.machine import check_writable, free_bytes, open_files
from adapters.mainnet_promotion import Records
from adapters.onnx_policy import load_checked
from adapters.state_store import open_store
from adapters.venue import refuse_other_venues
from adapters.venue_clock import measure
from adapters.websocket_probe import asked_by_websocket
from commands.ranges import artifact_paths
from configs import alert_rules
from configs.schema import AppConfig
from core.alert_delivery import route
from core.breaker import STATES
from core.causes import trading_state
from core.checkup import (
    Check,
    Sizes,
    check_balance,
    check_clock,
    check_least,
    check_mode,
    check_rights,
    check_settings,
    check_size,
    exit_code,
)
from core.errors import ArtifactError, AutotradeError, RefusedError, StateError
from core.features import feature_spec
from core.gate import LEAST_SCALE
from core.promotion_gate import Doctor
from core.trips import STATE_KEY, state_of

__all__ = ["Outside", "add_parser", "examine", "keep"]

_ENVIRONMENTS = ("paper", "demo", "testnet", "mainnet")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_GB = 1e9
_CURRENCY = "USDT"
_PING = '{"id":"doctor","method":"ping"}'
_SUBSCRIBE = '{"id":1,"method":"SUBSCRIBE","params":["%s@bookTicker"]}'
_SHOWN = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "refuse": "REFUSED", "skip": "-"}


class Outside(NamedTuple):
    """What is looked at from: credentials (None where fills are simulated), a client made with them, a websocket.

    ``channels`` URLs of those who are called, and whether to ``send`` through them.
    """

    keys: Callable[[], Credentials | None]
    account: Callable[[Credentials | None], BinanceAccount]
    websocket: Callable[[str, str, object], float]
    channels: Callable[[], dict[str, SecretUrl]] = dict
    send: bool = False


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("doctor", help="examine clock, venue, key, account, models, state and machine")
    parser.add_argument("--env", choices=_ENVIRONMENTS, default="testnet", help="which (default: testnet)")
    parser.add_argument("--models", nargs="+", type=Path, metavar="DIR",
                        help="artifacts (default: those of catalog.models)")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                        help="override one value of the configuration, repeatable")  # fmt: skip
    parser.add_argument("--send", action="store_true", help="send a message through every alert channel")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Examine, print, and keep what was found of mainnet for the gate."""
    config = configs.load(args.env, args.overrides)
    models = tuple(args.models or artifact_paths(config.catalog.models))
    checks = list(examine(config, models, _outside(config, send=args.send)))
    code = exit_code(checks)
    if args.env == "mainnet":
        keep(config, checks, now_ns=time.time_ns())
    if args.json:
        content = {"environment": args.env, "exit_code": code, "checks": checks}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")
    else:
        _print(Console(highlight=False), args.env, checks)
    return code


def keep(config: AppConfig, checks: Sequence[Check], *, now_ns: int) -> None:
    """Keep what was found of an environment, signed, for the gate."""
    failed = tuple(check.name for check in checks if check.verdict in {"fail", "refuse"})
    doctor = Doctor(now_ns, configs.config_hash(config), failed)
    Records(config, make_key=True).keep_doctor(config.environment, doctor)


def _outside(config: AppConfig, *, send: bool) -> Outside:
    """Return the ways to the venue that a configuration names."""
    limits = config.doctor

    def account(keys: Credentials | None) -> BinanceAccount:
        return BinanceAccount(
            config.venue.http_url,
            keys,
            timeout_seconds=limits.timeout_seconds,
            recv_window_ms=config.venue.recv_window_ms,
            retries=0 if keys is None else 2,  # the clock is asked several times anyway
            permissions_url=limits.permissions_url,
        )

    return Outside(
        keys=lambda: credentials(config.environment, os.environ, Path(".env")),
        account=account,
        websocket=lambda url, message, number: asked_by_websocket(
            url, message, number, timeout_seconds=limits.timeout_seconds
        ),
        channels=lambda: alert_urls(os.environ, Path(".env")),
        send=send,
    )


def examine(config: AppConfig, models: Sequence[Path], outside: Outside) -> Iterator[Check]:
    """Yield one check after the other.

    Raises
    ------
    RefusedError
        Where another venue is named than the environment's.
    """
    overlay = configs.load(config.environment)
    refuse_other_venues(config, overlay)
    _refuse_other_permissions(config, overlay)
    yield Check("environment", "ok", f"{config.environment}: {config.venue.http_url}, orders {config.venue.execution}")
    with outside.account(None) as public:
        clock = _tried("clock", lambda: _clock(config, public))
        yield clock
        reached = clock.verdict != "fail" or bool(clock.limit)
        infos: list[InstrumentInfo] = []
        yield _tried("REST", lambda: _rest(config, public, infos))
        yield from _websockets(config, outside)
        if config.venue.execution == "simulated":
            yield Check("API key", "skip", "not needed: fills are simulated")
            yield from _sizes(config, public, infos, config.backtest.starting_equity)
        elif reached:
            yield from _account(config, outside, infos)
        else:
            yield Check("API key", "skip", "the venue was not reached")
    yield _tried("models", lambda: _models(config, models))
    yield from _keeping(config)
    yield from _channels(config, outside)


def _tried(name: str, look: Callable[[], Check]) -> Check:
    """Return a check; what is raised instead is its verdict."""
    try:
        return look()
    except (ArtifactError, StateError) as error:
        return Check(name, "fail", str(error))
    except RefusedError as error:
        return Check(name, "refuse", str(error))
    except AutotradeError as error:
        return Check(name, "fail", str(error))


def _refuse_other_permissions(config: AppConfig, overlay: AppConfig) -> None:
    """Refuse to be told of a key's rights by whom the overlay does not name."""
    asked, given = config.doctor.permissions_url, overlay.doctor.permissions_url
    loopback = urlsplit(asked).hostname in _LOOPBACK
    if asked != given and not (loopback and config.environment != "mainnet"):
        raise RefusedError(
            f"doctor.permissions_url: {asked or 'nothing'} is not that of {config.environment}, which is "
            f"{given or 'nothing'}; only a stand-in on this machine may take its place, and not mainnet's"
        )


def _clock(config: AppConfig, public: BinanceAccount) -> Check:
    offset = measure(public.server_time, config.live.clock_samples)
    return check_clock(
        offset.offset_ns / 1e6,
        offset.round_trip_ns / 1e6,
        limit_ms=config.live.clock_limit_ms,
        refuse_ms=config.live.clock_refuse_ms,
    )


def _rest(config: AppConfig, public: BinanceAccount, infos: list[InstrumentInfo]) -> Check:
    """Ask for the instruments; put the configured ones into a list."""
    began = time.perf_counter()
    known = {info.id: info for info in parse_exchange_info(public.exchange_info(), market="um")}
    took_ms = (time.perf_counter() - began) * 1e3
    missing = [name for name in config.market.instruments if name not in known]
    infos += [known[name] for name in config.market.instruments if name in known]
    if missing:
        return Check("REST", "fail", f"{', '.join(missing)} not traded there", "all instruments",
                     "choose other market.instruments")  # fmt: skip
    return _timed("REST", f"{len(infos)} instruments found", took_ms, config)


def _websockets(config: AppConfig, outside: Outside) -> Iterator[Check]:
    venue = config.venue
    symbol = config.market.instruments[0].partition("-")[0].lower()
    asked: list[tuple[str, str, str, object]] = [("market stream", venue.ws_url, _SUBSCRIBE % symbol, 1)]
    if venue.execution == "venue" and venue.ws_trading_url:
        asked.append(("trading websocket", venue.ws_trading_url, _PING, "doctor"))
    for name, url, message, number in asked:

        def look(name: str = name, url: str = url, message: str = message, number: object = number) -> Check:
            return _timed(name, f"{url} answers", outside.websocket(url, message, number), config)

        yield _tried(name, look)


def _timed(name: str, found: str, took_ms: float, config: AppConfig) -> Check:
    limit = config.doctor.slow_ms
    return Check(name, "ok" if took_ms <= limit else "warn", f"{found} after {took_ms:.0f} ms", f"{limit:g} ms",
                 "the way to the venue is slow: use a machine nearer to it")  # fmt: skip


def _account(config: AppConfig, outside: Outside, infos: Sequence[InstrumentInfo]) -> Iterator[Check]:
    """Yield what the account shows to our key."""
    state: dict[str, Any] = {}

    def look() -> Check:
        state["keys"] = keys = outside.keys()
        assert keys is not None
        with outside.account(keys) as client:
            state["account"] = client.account()
        return Check("API key", "ok", f"{keys.kind} key {keys.hint} is accepted")

    yield _tried("API key", look)
    if "account" not in state:
        return
    account = state["account"]
    with outside.account(state["keys"]) as client:
        try:
            rights = client.permissions()
            yield from check_rights(rights, environment=config.environment, can_trade=bool(account["canTrade"]))
            yield from check_mode(hedge=client.hedge_mode(), multi_assets=bool(account.get("multiAssetsMargin")))
            rows = {row["symbol"]: row for row in client.positions() if row.get("positionSide", "BOTH") == "BOTH"}
            for info in infos:
                yield _settings(config, info, rows)
            equity, available = float(account["totalMarginBalance"]), float(account["availableBalance"])
            yield check_balance(equity, available, _CURRENCY)
            yield _standing(config, client, rows)
            yield from _sizes(config, client, infos, equity)
        except AutotradeError as error:
            yield Check("account", "fail", str(error))


def _settings(config: AppConfig, info: InstrumentInfo, rows: dict[str, Any]) -> Check:
    row = rows.get(info.raw_symbol)
    if row is None:
        return Check(f"margin of {info.raw_symbol}", "fail", "the account has no such symbol", "one row",
                     "choose other market.instruments")  # fmt: skip
    return check_settings(
        info.raw_symbol,
        margin_type="cross" if row["marginType"].lower().startswith("cross") else "isolated",
        leverage=int(row["leverage"]),
        held=float(row["positionAmt"]) != 0.0,
        wanted_type=config.venue.margin_type,
        wanted_leverage=config.venue.leverage,
    )


def _standing(config: AppConfig, client: BinanceAccount, rows: dict[str, Any]) -> Check:
    """Say what the account holds already; what is not ours is left alone, and worth a look."""
    ours = {name.partition("-")[0] for name in config.market.instruments}
    held = [symbol for symbol, row in rows.items() if float(row["positionAmt"]) != 0.0]
    orders = [order["symbol"] for order in (*client.open_orders(), *client.open_algo_orders())]
    others = sorted({symbol for symbol in (*held, *orders) if symbol not in ours})
    return Check(
        "positions and orders",
        "warn" if others else "ok",
        f"{len(held)} positions, {len(orders)} orders" + (f"; not traded here: {', '.join(others)}" if others else ""),
        "only of the instruments traded",
        "they use margin that the limits do not know of: close them, or use an account of its own",
    )


def _sizes(
    config: AppConfig, client: BinanceAccount, infos: Sequence[InstrumentInfo], equity: float
) -> Iterator[Check]:
    costs, risk = config.cost_params(), config.risk
    sizes = Sizes(
        loss_per_trade=risk.loss_per_trade,
        max_exposure=config.sizing.max_exposure,
        max_capital=risk.max_capital,
        max_instrument=risk.max_instrument,
        max_order_notional=risk.max_order_notional,
        nearest_stop=config.exits.min_stop_fraction,
        farthest_stop=config.exits.max_stop_fraction,
        cost=2.0 * (costs.taker + costs.away),
    )
    for info in infos:

        def look(info: InstrumentInfo = info) -> Check:
            price = client.price(info.raw_symbol)
            return check_size(
                info.raw_symbol, info.filters(), price=price, equity=equity, sizes=sizes, least=LEAST_SCALE
            )

        yield _tried(f"smallest order of {info.raw_symbol}", look)


def _models(config: AppConfig, models: Sequence[Path]) -> Check:
    """Load every artifact: hashes, manifest, golden vectors."""
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    names = [load_checked(path, spec=spec).manifest.model_id for path in models]
    quorum = config.ensemble.quorum
    return Check(
        "models",
        "ok" if len(names) >= quorum else "fail",
        f"{len(names)} load and pass their self-test" + (f": {', '.join(names[:4])}" if names else ""),
        f"at least {quorum} (ensemble.quorum)",
        "name artifacts with --models, or train some: `autotrade train`",
    )


def _keeping(config: AppConfig) -> Iterator[Check]:
    """Yield what the machine offers to those who write."""
    sessions, limits = Path(config.record.path), config.doctor

    def journal() -> Check:
        check_writable(sessions)
        return Check("session records", "ok", f"{sessions} takes what is written")

    def state() -> Check:
        store = open_store(config.breaker.state_path, config.environment)
        store.save("doctor", b"examined")
        if store.load("doctor") != b"examined":
            raise StateError("the state store gives back something else than was saved")
        name = STATES[trading_state(state_of(store.load(STATE_KEY)))]
        kind = "Redis" if "://" in config.breaker.state_path else config.breaker.state_path
        return Check("state", "ok" if name == "ACTIVE" else "warn", f"{kind} saves and loads; the breaker is {name}",
                     "ACTIVE", f"see `autotrade breaker status --env {config.environment}`")  # fmt: skip

    yield _tried("session records", journal)
    yield _tried("state", state)
    yield check_least("disk", free_bytes(sessions) / _GB, limits.min_disk_gb, "GB free", "make room")
    yield check_least("open files", open_files(), limits.min_open_files, "may be open", "raise the limit: ulimit -n")


def _channels(config: AppConfig, outside: Outside) -> Iterator[Check]:
    """Yield whether anybody would be called, and with ``--send`` whether each channel delivers."""
    try:
        urls, rules = outside.channels(), alert_rules.load(config.alerts.rules)
    except AutotradeError as error:
        yield Check("alert channels", "fail", str(error))
        return
    watched = urls.pop(HEARTBEAT, None) is not None
    if not route("critical", rules.routes, urls):
        yield Check("alert channels", "warn", "none configured", "at least one that critical alerts are sent to",
                    "nobody is told when the breaker trips: name one as docs/alerts.md says")  # fmt: skip
        return
    for url in urls.values():
        yield _tried(f"alert channel {url.name}", partial(_channel, config, url, send=outside.send))
    yield Check("outside watchdog", "ok" if watched else "warn", "configured" if watched else "none configured", "one",
                "nobody misses a machine that is gone: set AUTOTRADE_ALERT_HEARTBEAT_URL")  # fmt: skip


def _channel(config: AppConfig, url: SecretUrl, *, send: bool) -> Check:
    limits, name = config.alerts, f"alert channel {url.name}"
    channel = Channel(url, timeout_seconds=limits.timeout_seconds, telegram_url=limits.telegram_url)
    if not send:
        return Check(name, "ok", "its URL is understood; --send tries it")
    problem = channel.send(f"autotrade {config.environment}", "`autotrade doctor --send`: this channel delivers")
    return Check(name, "fail" if problem else "ok", problem or "delivers", "delivers", "try `autotrade alerts test`")


def _print(console: Console, environment: str, checks: Sequence[Check]) -> None:
    """Print the table, then what to do."""
    console.width = max(console.width, 120)
    table = Table("", "what", "found", "limit", title=f"Examination of {environment}", title_justify="left")
    for check in checks:
        table.add_row(_SHOWN[check.verdict], check.name, check.found, check.limit)
    console.print(table)
    for check in checks:
        if check.verdict not in {"ok", "skip"} and check.advice:
            console.print(f"{_SHOWN[check.verdict]} {check.name}: {check.advice}", soft_wrap=True)
    counts = {name: sum(check.verdict == name for check in checks) for name in ("ok", "warn", "fail", "refuse")}
    console.print(
        f"{counts['ok']} ok, {counts['warn']} warnings, {counts['fail']} failures, {counts['refuse']} refusals",
        soft_wrap=True,
    )
