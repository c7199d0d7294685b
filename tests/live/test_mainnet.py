"""Mainnet starts whole under a promotion, and on its first day every order is small."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import configs
from adapters.mainnet_promotion import MainnetPromotion, Records, model_digests, values_of
from core.bars import DAY_NS
from core.promotion_gate import Item
from tests.live.nodes import running_node, started_venue, venue_params
from tests.live.test_run_live import journal_fills, venue_fills
from tests.unit.networks import artifact, random_network
from venue.params import DEMO_KEY, DEMO_SECRET, ApiKey
from venue.start import RunningVenue

PROGRAM = ("-m", "tests.live.mainnet_node")
RULES = {"exits.stop_atr": "1.0", "exits.max_holding_bars": "4", "sizing.rebalance_threshold": "0.05"}


class World:
    """A venue, models, and where promotions and sessions lie."""

    def __init__(self, venue: RunningVenue, folder: Path) -> None:
        self.venue, self.folder = venue, folder
        network = random_network(3, hidden=(16, 16))
        twins = [network._replace(mean=network.mean + 1e-4 * number) for number in range(5)]
        self.models = [artifact(folder / f"m{number}", twin) for number, twin in enumerate(twins)]
        given = {
            **RULES,
            "venue.http_url": venue.url,
            "venue.ws_url": venue.ws_url,
            "venue.ws_trading_url": venue.ws_trading_url,
            "venue.replay": "true",
            "doctor.permissions_url": venue.url,
            "breaker.state_path": str(folder / "state"),
            "record.path": str(folder / "sessions"),
            "promotion.path": str(folder / "promotions"),
            "promotion.key_path": str(folder / "promotion.key"),
        }
        self.given = [f"{name}={value}" for name, value in given.items()]

    def promote(self, *, days_ago: float) -> None:
        """Write a promotion that was made so long ago, with a first session at once where that was before now."""
        config = configs.load("mainnet", self.given)
        made = time.time_ns() - round(days_ago * DAY_NS)
        self.records = Records(config, make_key=True)
        self.records.keep_promotion(
            MainnetPromotion(
                format=1, config_hash=configs.config_hash(config), values=values_of(config),
                models=model_digests(self.models), instruments=config.market.instruments,
                items=(Item("all", passed=True, found="3", limit="3", advice=""),), created_ns=made,
                expires_ns=made + 30 * DAY_NS, first_day_ns=DAY_NS, exposure=0.25, entries=0.5,
            )
        )  # fmt: skip
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(made / 1e9 + 1))
        if days_ago > 0:
            (self.folder / "sessions" / f"{stamp}-mainnet-0a0b0c").mkdir(parents=True)

    def lived(self) -> tuple[int, list[str], list[tuple[str, str, Decimal, Decimal, float]]]:
        """Let a node live; return its exit code, its errors and the fills of its journal."""
        models = ["--models", *map(str, self.models)]
        with running_node(self.venue, "mainnet", self.folder, *self.options(), *models, program=PROGRAM) as node:
            code, _ = node.ended()
        session = self.folder / "session"
        return code, node.errors, journal_fills(session) if (session / "fills.parquet").exists() else []

    def options(self) -> list[str]:
        """Return the overrides as words of a command line."""
        return [part for setting in self.given for part in ("--set", setting)]


@pytest.fixture(name="world")
def _world(history: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    keys = (ApiKey(key=DEMO_KEY, secret=DEMO_SECRET, withdraw=getattr(request, "param", "") == "withdraws"),)
    params: Any = venue_params(history, "2024-03-04T00:00:00Z", "2024-03-04T12:00:00Z", keys=keys)
    with started_venue(params) as venue:
        yield World(venue, tmp_path)


@pytest.mark.parametrize(("days_ago", "share"), [(0.0, 0.25), (3.0, 1.0)])
def test_a_promoted_node_trades_within_the_limits_of_its_day(world, days_ago, share) -> None:
    world.promote(days_ago=days_ago)
    code, errors, fills = world.lived()
    assert (code, errors) == (0, [])
    assert fills == venue_fills(world.venue.control) != []
    config = configs.load("mainnet", world.given)
    most = max(quantity * price for _, _, quantity, price, _ in fills)
    full = Decimal(config.sizing.max_exposure * 10_100)
    assert most <= full * Decimal(share)
    assert (most > full / 4) == (share == 1.0)


def test_without_a_promotion_or_after_its_end_or_with_another_model_it_does_not_start(world) -> None:
    code, errors, _ = world.lived()
    assert (code, "no promotion is recorded" in errors[-1]) == (3, True)
    world.promote(days_ago=31.0)
    code, errors, _ = world.lived()
    assert (code, "the promotion was good from" in errors[-1]) == (3, True)
    world.promote(days_ago=0.0)
    world.models[-1] = artifact(world.folder / "other", random_network(4, hidden=(16, 16)))
    code, errors, _ = world.lived()
    assert (code, "the models are not those that were promoted" in errors[-1]) == (3, True)


@pytest.mark.parametrize("world", ["withdraws"], indirect=True)
def test_a_key_that_can_withdraw_is_refused_though_all_else_is_promoted(world) -> None:
    world.promote(days_ago=0.0)
    code, errors, _ = world.lived()
    assert (code, "withdraw" in errors[-1]) == (3, True)
    assert venue_fills(world.venue.control) == []
