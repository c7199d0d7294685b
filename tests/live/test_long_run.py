"""Two thousand decisions of a node on real bars: journal, venue's ledger and engine say the same, to the cent.

The decisions are of one minute, so that a night has two thousand, by networks of random weights, which turn all the
time. Little stands in the book, so that what they order fills in parts.
"""

from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from adapters.onnx_policy import load_checked
from adapters.session_log import SessionLog
from core.features import feature_spec
from run_parity import parity_of
from tests.acceptance.recorded_session import changed, ns
from tests.live.nodes import running_node, started_venue, venue_params
from tests.live.test_run_live import rows
from tests.unit.networks import artifact, random_network
from venue.params import VenueParams

SPEC = feature_spec("1m", "1m")
NAMES = {"BTCUSDT": "BTCUSDT-PERP.BINANCE", "ETHUSDT": "ETHUSDT-PERP.BINANCE"}
START, END = "2024-01-10T15:30:00Z", "2024-01-11T08:30:00Z"
BARS = 17 * 60
BAR_NS = 60_000_000_000
CENT = Decimal("0.005")
RESTLESS = {
    "market.decision_interval": "1m",
    "market.instruments": msgspec.json.encode(list(NAMES.values())).decode(),
    "ensemble.quorum": "1",
    "ensemble.min_vote_confidence": "0.0",
    "ensemble.min_agreement": "0.0",
    "ensemble.min_confidence": "0.0",
    "sizing.max_exposure": "0.1",
    "sizing.rebalance_threshold": "0.15",
    "exits.stop_atr": "1.0",
    "risk.daily_drawdown": "0.1",
    "risk.min_entry_spacing_minutes": "0",
    "risk.max_entries_24h": "1440",
    "risk.max_entries_per_day": "1440",
    "risk.loss_streak": "100",
    "risk.stop_guard_stops": "100",
    "risk.low_profit_trades": "100",
    "risk.volatility_quantile": "1.0",
    "risk.volatility_calm_quantile": "1.0",
}
"""Rules under which a random network trades at every occasion, a little at a time."""


class Lived(NamedTuple):
    """A session: where it is, by which models, how it ended, and the venue's ledger and account after it."""

    session: Path
    models: list[Path]
    summary: dict[str, Any]
    ledger: list[dict[str, Any]]
    account: dict[str, Any]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return what of one kind stands in the venue's ledger."""
        return [row for row in self.ledger if row["kind"] == kind]


@pytest.fixture(scope="module")
def lived(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """A night of a node on the testnet's stand-in."""
    folder = tmp_path_factory.mktemp("long")
    models = [
        artifact(
            folder / f"m{seed}",
            random_network(seed),
            features=SPEC,
            features_digest=SPEC.digest,
            decision_interval=SPEC.decision_interval,
        )
        for seed in (3, 5)
    ]
    params: VenueParams = msgspec.structs.replace(
        venue_params(history, START, END, depth_quote=600.0, fill_share=0.5, order_limit_10s=0, order_limit_1m=0),
        symbols=tuple(NAMES),
    )
    sets = [part for name, value in RESTLESS.items() for part in ("--set", f"{name}={value}")]
    arguments = ["--models", *map(str, models), *sets]
    with started_venue(params) as venue, running_node(venue, "testnet", folder, *arguments) as node:
        node.wait_ready()
        code, summary = node.ended(400.0)
        ledger, account = venue.control.ledger()["exchange"], venue.control.state()["account"]
    assert (code, node.errors, summary["faults"]) == (0, [], "")
    return Lived(folder / "session", models, summary, ledger, account)


def test_everything_that_can_happen_to_a_position_has_happened(lived: Lived) -> None:
    decisions, fills = rows(lived.session, "decisions"), lived.of_kind("fill")
    assert len(decisions) == 2 * BARS >= 2_000
    assert rows(lived.session, "breaker") == []
    purposes = Counter(row["purpose"] for row in rows(lived.session, "fills"))
    assert min(purposes[name] for name in ("entry", "increase", "reduce", "exit", "stop")) >= 5, purposes
    parts = Counter(row["order_id"] for row in fills)
    assert sum(count > 1 for count in parts.values()) > 50
    for symbol in NAMES:
        held = [Decimal(row["position"]) for row in fills if row["symbol"] == symbol]
        sides = [amount > 0 for amount in held if amount != 0]
        assert sum(before != after for before, after in pairwise(sides)) > 5, "the node has not turned around"
    assert len(lived.of_kind("funding")) >= 3


def test_the_journal_is_the_venues_ledger_to_the_last_digit(lived: Lived) -> None:
    written = [
        (row["client_order_id"], row["side"], Decimal(row["quantity"]), Decimal(row["price"]), str(row["commission"]))
        for row in rows(lived.session, "fills")
    ]
    assert written == [
        (
            row["client_order_id"].partition("-R")[2],
            row["side"],
            Decimal(row["quantity"]),
            Decimal(row["price"]),
            str(float(row["commission"])),
        )
        for row in lived.of_kind("fill")
    ]
    assert [(row["instrument_id"], str(row["amount"])) for row in rows(lived.session, "funding")] == [
        (NAMES[row["symbol"]], str(float(row["amount"]))) for row in lived.of_kind("funding")
    ]


def test_what_the_journal_adds_up_to_is_the_venues_wallet_and_what_the_engine_holds_its_position(lived: Lived) -> None:
    """Start + profit of all fills - fees + funding, in exact arithmetic, from the journal alone."""
    fills, funding = rows(lived.session, "fills"), rows(lived.session, "funding")
    sizes, costs = dict.fromkeys(NAMES.values(), Decimal(0)), dict.fromkeys(NAMES.values(), Decimal(0))
    profit = Decimal(0)
    for row in fills:
        name, size = row["instrument_id"], Decimal(row["quantity"]) * (1 if row["side"] == "BUY" else -1)
        cost = size * Decimal(row["price"])
        if sizes[name] * size < 0:  # at most closed: a reversal is two orders
            share = costs[name] * (-size / sizes[name])
            profit, cost = profit - cost - share, -share
        sizes[name] += size
        costs[name] += cost
    fees = sum((Decimal(str(row["commission"])) for row in fills), Decimal(0))
    paid = sum((Decimal(str(row["amount"])) for row in funding), Decimal(0))
    wallet = Decimal(next(row["balance"] for row in lived.account["balance"] if row["asset"] == "USDT"))
    assert abs(10_000 + profit - fees + paid - wallet) < CENT
    held = {NAMES[row["symbol"]]: Decimal(row["positionAmt"]) for row in lived.account["positions"]}
    engine = {name: Decimal(one["engine"]) for name, one in lived.summary["held"].items()}
    owner = {name: Decimal(one["owner"]) for name, one in lived.summary["held"].items()}
    assert sizes == engine == owner == {name: held.get(name, Decimal(0)) for name in NAMES.values()}


def test_the_equity_of_every_quiet_decision_is_the_venues(lived: Lived) -> None:
    """The wallet after all that the ledger has until a close, and what is held at that close.

    Not where something filled about that close, which may be told before or after it, and not in the first minutes,
    whose bars the node may have had to fetch.
    """
    closes: dict[int, dict[str, Decimal]] = {}
    for row in rows(lived.session, "decisions"):
        closes.setdefault(row["ts_event"], {})[row["instrument_id"]] = Decimal(str(row["close"]))
    events = [row for row in lived.ledger if row["kind"] in {"fill", "funding"}]
    sizes, costs = dict.fromkeys(NAMES.values(), Decimal(0)), dict.fromkeys(NAMES.values(), Decimal(0))
    wallet, last_ns, compared, n = Decimal(10_000), ns(START) + 600_000_000_000, 0, 0
    for row in rows(lived.session, "equity"):
        ts = row["ts_event"]
        while n < len(events) and events[n]["time_ms"] * 1_000_000 <= ts:
            event, n = events[n], n + 1
            wallet = Decimal(event["wallet"])
            if event["kind"] == "fill":
                name, after = NAMES[event["symbol"]], Decimal(event["position"])
                size, before = after - sizes[name], sizes[name]
                grown = before * size >= 0
                costs[name] += size * Decimal(event["price"]) if grown else costs[name] * size / before
                sizes[name], last_ns = after, max(last_ns, event["time_ms"] * 1_000_000)
        follows_ns = events[n]["time_ms"] * 1_000_000 if n < len(events) else ts + BAR_NS
        if ts - last_ns < 3 * BAR_NS // 4 or follows_ns - ts < BAR_NS // 4 or len(closes.get(ts, {})) < len(NAMES):
            continue
        worth = sum((sizes[name] * closes[ts][name] - costs[name] for name in NAMES.values()), Decimal(0))
        assert abs(Decimal(str(row["equity"])) - wallet - worth) < CENT, row
        compared += 1
    assert compared > BARS // 10


def test_every_decision_is_taken_again_and_one_tick_is_found(lived: Lived, tmp_path: Path) -> None:
    artifacts = {one.manifest.sha256: one for one in (load_checked(path, spec=SPEC) for path in lived.models)}
    parity = parity_of(lived.session, artifacts)
    assert parity.exact, parity.first
    assert (parity.share, parity.decisions, parity.identical) == (1.0, 2 * BARS, 2 * BARS)
    assert parity.orders == parity.orders_identical > 500
    assert parity.rows["funding"][0] == parity.rows["funding"][1] >= 3
    assert SessionLog(lived.session).missing == 0

    flipped_ns = ns("2024-01-11T03:10")

    def one_tick(row: list[Any]) -> bool:
        if row[2] != "told" or row[3][1] != "_on_closed_bar":
            return False
        bar = row[3][3][0][1]
        if (bar["instrument_id"], bar["ts_close"]) != (NAMES["BTCUSDT"], flipped_ns):
            return False
        bar["close"] += 0.1
        return True

    other = parity_of(changed(lived.session, tmp_path / "flipped", one_tick), artifacts)
    first = other.first
    assert first is not None
    assert not other.exact
    assert (first.cause, first.name, first.instrument_id) == ("data", "bar.close", NAMES["BTCUSDT"])
    assert first.bar_ns == first.ts_event == flipped_ns
    assert first.replayed - first.recorded == pytest.approx(0.1)
    assert first.features[0][0] == "return_1"
    assert any(said.startswith("feature return_1 ") for said in first.consequences)
    assert any(said.startswith("confidences ") for said in first.consequences)
    assert 0 < other.identical < other.decisions
