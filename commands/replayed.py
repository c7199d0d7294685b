"""A live node on history: the stand-in venue replays it, and waits for the node after every bar."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from adapters.credentials import Credentials
from adapters.sample import write_sample
from commands.ranges import base_series, decision_range
from configs.schema import AppConfig
from core.bars import DAY_NS
from core.errors import AutotradeError, DataError, UsageError
from core.times import iso
from run_live import ReplayControl
from venue.control_client import ControlClient, ControlError
from venue.feed_catalog import FeedError
from venue.params import DEMO_KEY, DEMO_SECRET, VenueParams
from venue.start import TOKEN_VARIABLE, started_venue

__all__ = ["controlled", "replayed"]

_DEFAULT_NS = 7 * DAY_NS
_HEARD_SECONDS = 5.0
"""For which the venue waits until the node listens."""


@contextmanager
def controlled(url: str) -> Iterator[ReplayControl]:
    """Yield the controls of a venue that runs already; its token is in the environment.

    Raises
    ------
    UsageError
        Where there is no token.
    AutotradeError
        Where it does not answer.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise UsageError(f"venue.replay: the venue's control token is needed; set {TOKEN_VARIABLE}")
    client = ControlClient(url, token)
    try:
        yield _control_of(client, url)
    finally:
        client.close()


@contextmanager
def replayed(
    config: AppConfig, catalog: Path | None, span: tuple[str | None, str | None], out: Path, notes: Console
) -> Iterator[tuple[AppConfig, Credentials, ReplayControl, tuple[int, int]]]:
    """Start a stand-in venue; yield the configuration to trade on it with, its keys, its controls and the range (ns).

    State is kept beside the session: a replay neither finds nor leaves any of another run. An empty default catalog is
    filled with a synthetic market.

    Raises
    ------
    UsageError, DataError
        For a range or a catalog that holds nothing to replay.
    """
    place = catalog or Path(config.catalog.path)
    names = config.market.instruments
    series = base_series(place, config)
    if catalog is None and not any(name in series for name in names):
        sample = config.sample
        notes.print(
            f"The catalog has no bars of {', '.join(names)}: {sample.days} days of a SYNTHETIC market "
            f"(seed {sample.seed}) are replayed; no real price is in it.",
            soft_wrap=True,
        )
        names = (write_sample(place, seed=sample.seed, days=sample.days),)
        series = base_series(place, config)
    for name in names:
        if name not in series:
            held = ", ".join(sorted(series)) or "nothing"
            raise DataError(f"catalog {place} has no {config.market.base_interval} bars of {name}, it holds {held}")
    start, end = decision_range(*span, config, [series[name] for name in names])
    if span[0] is None:
        start = max(start, end - _DEFAULT_NS)
    params = VenueParams(
        catalog=str(place),
        symbols=tuple(name.removesuffix("-PERP.BINANCE") for name in names),
        start=iso(start),
        end=iso(end),
        balance=config.backtest.starting_equity,
        taker_bps=config.costs.taker_bps,
        maker_bps=config.costs.maker_bps,
        away_bps=config.costs.half_spread_bps + config.costs.slippage_bps,
        weight_limit=0,
        order_limit_10s=0,
        order_limit_1m=0,
    )
    try:
        with started_venue(params) as venue:
            trading = venue.ws_trading_url if config.venue.ws_trading_url else ""
            changed = msgspec.structs.replace(
                config,
                market=msgspec.structs.replace(config.market, instruments=names),
                venue=msgspec.structs.replace(
                    config.venue, http_url=venue.url, ws_url=venue.ws_url, ws_trading_url=trading, replay=True
                ),
                breaker=msgspec.structs.replace(config.breaker, state_path=str(out / "state")),
            )
            control = _control_of(venue.control, venue.url)
            yield changed, Credentials(DEMO_KEY, DEMO_SECRET), control, (start, end)
    except FeedError as error:
        raise DataError(str(error)) from None


def _control_of(client: ControlClient, url: str) -> ReplayControl:
    try:
        state = client.state()
    except (ControlError, OSError) as error:
        raise AutotradeError(f"{url} is no venue that replays: {error}") from None
    following = partial(client.next, heard=_HEARD_SECONDS)
    return ReplayControl(following=following, market_ns=int(state["market_ms"]) * 1_000_000)
