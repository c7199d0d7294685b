"""From the testnet to real money: a recorded session opens the gate, and whatever changes afterwards closes it."""

import json
import shutil
from pathlib import Path

import msgspec
import pandas as pd
import pytest

import cli
import configs
from actors.listener import SessionListener
from adapters.golden_verdict import golden_verdict
from adapters.mainnet_promotion import (
    Acknowledged,
    MainnetPromotion,
    Records,
    promoted,
    promotion_for,
    reduced,
    values_of,
)
from adapters.model_store import load_artifact, load_manifest, seal
from adapters.session_facts import facts_of
from adapters.session_record import SessionRecord
from adapters.state_store import MemoryStateStore
from commands.promote import accept, propose
from configs import golden_rule
from configs.schema import AppConfig
from core.bars import DAY_NS
from core.errors import ArtifactError, RefusedError
from core.features import feature_spec
from core.promotion_gate import Doctor, passed
from core.trips import REQUESTS_KEY, Request, encoded
from run_backtest import Replay, run_backtest
from run_live import check_start
from tests.live.golden_study import judged

ROOT = Path(__file__).parents[2]
DEMO = tuple(sorted(path.parent for path in (ROOT / "catalog" / "models").glob("*/manifest.json")))
NAMES = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE")
RULES = ('market.instruments=["BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE"]', "ensemble.min_agreement=0.3",
         "ensemble.quorum=1", "exits.stop_atr=1.0")  # fmt: skip
HOUR_NS = 3_600_000_000_000


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


NOW = ns("2024-01-26")


@pytest.fixture(scope="module")
def recorded(history, tmp_path_factory) -> Path:
    """Three days of the testnet's configuration on real bars, with a drill of the breaker: a place of sessions."""
    place = tmp_path_factory.mktemp("recorded")
    store, first = MemoryStateStore(), ns("2024-01-22")
    asked = (Request(1, "halt", "drill", first), Request(2, "rearm", "the drill is over", first))
    store.save(REQUESTS_KEY, encoded(asked))
    config = configs.load("testnet", RULES)
    folder = place / "20240122T000000Z-testnet-0a0b0c"
    with SessionRecord(folder, config.record, {"session_id": folder.name}) as record:
        run_backtest(
            Replay(config=config, catalog=history, instruments=NAMES, start_ns=first, end_ns=ns("2024-01-25"),
                   out=place / "run", models=DEMO, store=store, report=False, listener=SessionListener(record))
        )  # fmt: skip
    return place


class World:
    """Everything that the gate reads, below one folder."""

    def __init__(self, folder: Path, sessions: Path) -> None:
        self.places = (
            f"promotion.path={folder}/promotions", f"promotion.key_path={folder}/keys/promotion.key",
            f"record.path={sessions}", f"breaker.state_path={folder}/state", f"catalog.studies_path={folder}/studies",
        )  # fmt: skip
        config = configs.load("mainnet", (*self.places, RULES[0]))
        asked = msgspec.structs.replace(config.promotion, min_days=3, min_decisions=500)  # no overlay may loosen it so
        self.config = msgspec.structs.replace(config, promotion=asked)
        self.testnet = configs.load("testnet", (*self.places, *RULES))
        self.models = judged(DEMO, folder / "models", folder / "studies")
        self.records = Records(self.config, make_key=True)
        self.folder = folder

    def read(self) -> None:
        """Read the alerts and examine mainnet."""
        self.records.keep_acknowledged(Acknowledged(NOW, "of the drill", NOW))
        self.records.keep_doctor("mainnet", Doctor(NOW - HOUR_NS, configs.config_hash(self.config), ()))

    def promote(self) -> MainnetPromotion:
        proposal = propose(self.config, self.testnet, self.models, self.records, now_ns=NOW)
        accept(self.records, proposal, f"{proposal.phrase}\n")
        return proposal.promotion


@pytest.fixture(scope="module")
def promoted_world(recorded, tmp_path_factory) -> World:
    world = World(tmp_path_factory.mktemp("promoted"), recorded)
    world.read()
    world.promote()
    return world


@pytest.fixture
def world(promoted_world, tmp_path) -> World:
    """A copy of a promoted world, to spoil."""
    shutil.copytree(promoted_world.folder, tmp_path / "copy")
    spoilt = World.__new__(World)
    vars(spoilt).update(vars(promoted_world))
    spoilt.folder = tmp_path / "copy"
    place = str(tmp_path / "copy")
    rules = msgspec.structs.replace(
        promoted_world.config.promotion, path=f"{place}/promotions", key_path=f"{place}/keys/promotion.key"
    )
    spoilt.config = msgspec.structs.replace(promoted_world.config, promotion=rules)
    spoilt.models = tuple(tmp_path / "copy" / "models" / path.name for path in promoted_world.models)
    spoilt.records = Records(spoilt.config, make_key=False)
    old = promoted_world.records.promotion()
    assert old is not None
    moved = msgspec.structs.replace(
        old, config_hash=configs.config_hash(spoilt.config), values=values_of(spoilt.config)
    )
    spoilt.records.keep_promotion(moved)
    return spoilt


def test_a_session_shows_what_its_record_holds(recorded):
    facts = facts_of(next(recorded.glob("*-testnet-*")))
    assert (facts.environment, facts.stand_in) == ("testnet", False)
    assert {name: len(times) for name, times in facts.decisions.items()} == dict.fromkeys(NAMES, 3 * 96)
    assert len(facts.models) == len(DEMO)
    assert all(facts.stops[name] >= facts.stops_filled[name] >= 1 for name in NAMES)
    assert [row.trigger for row in facts.breaker[:2]] == ["manual", "manual"]
    assert any(alert.severity == "critical" for alert in facts.alerts)


def test_the_gate_opens_item_by_item_and_then_asks_for_a_phrase(recorded, tmp_path):
    world = World(tmp_path, recorded)
    proposal = propose(world.config, world.testnet, world.models, world.records, now_ns=NOW)
    assert [item.name for item in proposal.promotion.items if not item.passed] == ["alerts", "doctor"]
    with pytest.raises(RefusedError, match="not promoted: 2 items fail: alerts, doctor"):
        accept(world.records, proposal, proposal.phrase)
    world.read()
    proposal = propose(world.config, world.testnet, world.models, world.records, now_ns=NOW)
    items = {item.name: item.found for item in proposal.promotion.items}
    assert passed(proposal.promotion.items)
    assert items["days on the testnet"] == "3 UTC days with decisions in 1 sessions"
    assert items["parity"] == "576 of 576 decisions are the same when taken again"
    assert proposal.differing["risk.max_capital"] == ("0.5", "0.25")
    for typed in ("", "yes", proposal.phrase.upper(), proposal.phrase[:-1]):
        with pytest.raises(RefusedError, match="is not the phrase; nothing has changed"):
            accept(world.records, proposal, typed)
    assert not (tmp_path / "promotions" / "mainnet.json").exists()
    place = accept(world.records, proposal, f" {proposal.phrase}\n")
    assert world.records.promotion() == proposal.promotion
    assert (tmp_path / "promotions" / "promotions.jsonl").read_bytes() == place.read_bytes()
    assert (tmp_path / "keys" / "promotion.key").stat().st_mode & 0o777 == 0o600


def test_the_phrase_names_these_models_and_this_configuration(promoted_world):
    def phrase(config: AppConfig, models: tuple[Path, ...]) -> str:
        return propose(config, promoted_world.testnet, models, promoted_world.records, now_ns=NOW).phrase

    first = phrase(promoted_world.config, promoted_world.models)
    assert first.startswith("trade real money with ")
    assert len(first.split()[-1]) == 12
    assert phrase(promoted_world.config, promoted_world.models[1:]) != first
    other = msgspec.structs.replace(
        promoted_world.config, risk=msgspec.structs.replace(promoted_world.config.risk, max_capital=0.2)
    )
    assert phrase(other, promoted_world.models) != first


def test_what_was_promoted_may_trade(world):
    promotion = promotion_for(world.config, world.models, now_ns=NOW + DAY_NS)
    assert set(promotion.models) == {load_artifact(path, spec=feature_spec()).manifest.model_id for path in DEMO}


def _risk(config: AppConfig, **changes: float) -> AppConfig:
    return msgspec.structs.replace(config, risk=msgspec.structs.replace(config.risk, **changes))


def test_one_limit_that_changed_closes_the_gate_tighter_or_looser(world):
    for value in (0.2, 0.2500001):
        with pytest.raises(RefusedError, match=rf"risk\.max_capital was 0\.25 and is {value}; change it back"):
            promotion_for(_risk(world.config, max_capital=value), world.models, now_ns=NOW)
    market = msgspec.structs.replace(world.config.market, instruments=NAMES[:1])
    fewer = msgspec.structs.replace(world.config, market=market)
    with pytest.raises(RefusedError, match=r"market\.instruments was"):
        promotion_for(fewer, world.models, now_ns=NOW)


def test_one_model_that_changed_closes_the_gate(world):
    with pytest.raises(RefusedError, match=r"the models are not those that were promoted: \S+ is missing"):
        promotion_for(world.config, world.models[1:], now_ns=NOW)
    manifest = world.models[0] / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"seed":', b'"seed": ', 1).replace(b"2023", b"2022", 1))
    with pytest.raises(ArtifactError, match="it was changed; restore it"):
        promotion_for(world.config, world.models, now_ns=NOW)


def test_a_model_that_is_exchanged_under_its_name_closes_the_gate(world):
    path = world.models[0]
    other = seal(msgspec.structs.replace(load_manifest(path), git_revision="0" * 40))
    (path / "manifest.json").write_bytes(msgspec.json.encode(other))
    with pytest.raises(RefusedError, match=rf"{other.model_id} is another one; trade those"):
        promotion_for(world.config, world.models, now_ns=NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"exposure":0.25', b'"exposure":1.0'),
        (b'"passed":true', b'"passed":false'),
        (b'"signature":"', b'"signature":"A'),
    ],
)
def test_one_byte_of_the_record_or_its_signature_closes_the_gate(world, old, new):
    path = world.folder / "promotions" / "mainnet.json"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(RefusedError, match=r"mainnet\.json (was changed|is no signed record)"):
        promotion_for(world.config, world.models, now_ns=NOW)


def test_another_key_or_one_that_others_can_read_closes_the_gate(world):
    key = world.folder / "keys" / "promotion.key"
    key.chmod(0o644)
    with pytest.raises(RefusedError, match="is open to others: mode 0644"):
        promotion_for(world.config, world.models, now_ns=NOW)
    key.unlink()
    with pytest.raises(RefusedError, match="there is no signing key"):
        promotion_for(world.config, world.models, now_ns=NOW)
    Records(world.config, make_key=True)
    with pytest.raises(RefusedError, match="was changed, or signed with another key"):
        promotion_for(world.config, world.models, now_ns=NOW)


def test_a_signed_record_of_another_kind_is_no_promotion(world):
    folder = world.folder / "promotions"
    shutil.copy(folder / "doctor-mainnet.json", folder / "mainnet.json")
    with pytest.raises(RefusedError, match=r"mainnet\.json was changed"):
        promotion_for(world.config, world.models, now_ns=NOW)


@pytest.mark.parametrize("now_ns", [NOW - 1, NOW + 30 * DAY_NS])
def test_a_promotion_is_good_for_its_days_alone(world, now_ns):
    with pytest.raises(RefusedError, match="the promotion was good from 2024-01-26T00:00:00Z until 2024-02-25"):
        promotion_for(world.config, world.models, now_ns=now_ns)


def test_a_promotion_with_a_failed_item_closes_the_gate(world):
    old = world.records.promotion()
    assert old is not None
    items = (msgspec.structs.replace(old.items[0], passed=False), *old.items[1:])
    world.records.keep_promotion(msgspec.structs.replace(old, items=items))
    with pytest.raises(RefusedError, match="without a passed checklist"):
        promotion_for(world.config, world.models, now_ns=NOW)


def test_the_first_day_has_a_share_of_the_limits_and_nothing_ever_grows(world, tmp_path):
    promotion = promotion_for(world.config, world.models, now_ns=NOW)
    sessions = tmp_path / "sessions"
    record = msgspec.structs.replace(world.config.record, path=str(sessions))
    config = msgspec.structs.replace(world.config, record=record)
    small = reduced(config, promotion, now_ns=NOW)
    assert small.risk.max_capital == config.risk.max_capital * 0.25
    assert small.sizing.max_exposure == config.sizing.max_exposure * 0.25
    assert small.risk.max_order_notional == 2_500.0
    assert (config.risk.max_entries_24h, small.risk.max_entries_24h) == (12, 6)
    before, after = configs.leaves(config), configs.leaves(small)
    changed = {path for path in before if before[path] != after[path]}
    assert len(changed) == 7
    assert all(after[path] < before[path] for path in changed)
    (sessions / "20240126T030000Z-mainnet-0a0b0c").mkdir(parents=True)
    (sessions / "20240101T000000Z-mainnet-0a0b0c").mkdir()  # of an earlier promotion
    (sessions / "20240126T010000Z-testnet-0a0b0c").mkdir()
    assert reduced(config, promotion, now_ns=NOW + 26 * HOUR_NS) == small
    assert reduced(config, promotion, now_ns=NOW + 27 * HOUR_NS) == config


def test_a_model_that_arrives_while_trading_must_have_been_promoted(world):
    promotion = world.records.promotion()
    artifact = load_artifact(world.models[0], spec=feature_spec())
    assert promoted(artifact, promotion) is artifact
    assert promoted(artifact, None) is artifact
    other = artifact._replace(manifest=msgspec.structs.replace(artifact.manifest, manifest_sha256="0" * 64))
    with pytest.raises(ArtifactError, match="was not promoted to real money"):
        promoted(other, promotion)


def test_the_golden_rule_speaks_of_the_artifact_and_not_of_its_name(tmp_path):
    profile = golden_rule.load()
    studies = tmp_path / "studies"
    good, other = judged(DEMO[:1], tmp_path / "good", studies)[0], DEMO[1]
    assert golden_verdict(good, studies, profile).passed
    assert "is not in" in golden_verdict(other, studies, profile).why
    shutil.copytree(other, tmp_path / "forged")
    (tmp_path / "forged" / "promotion.json").unlink()
    assert golden_verdict(tmp_path / "forged", studies, profile).why == "no study has judged it"
    shutil.copy(good / "promotion.json", tmp_path / "forged")
    assert golden_verdict(tmp_path / "forged", studies, profile).why == "study wide has judged another artifact"
    assert "is not in" in golden_verdict(good, tmp_path / "elsewhere", profile).why
    bad = judged(DEMO[:1], tmp_path / "bad", tmp_path / "weak", sharpe=-1.0)[0]
    assert golden_verdict(bad, tmp_path / "weak", profile).why == "study wide fails sharpe"
    path = tmp_path / "weak" / "wide" / "selection.json"
    told = json.loads(path.read_bytes())
    told["passed"] = True
    for rule in told["rules"]:
        rule["passed"] = True
        rule["limit"] = min(rule["limit"], -2.0) if rule["rule"] == "sharpe" else rule["limit"]
    path.write_text(json.dumps(told))
    assert "held to other limits" in golden_verdict(bad, tmp_path / "weak", profile).why


def test_on_a_fresh_machine_the_command_says_what_is_to_be_done(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    models = ["--models", *map(str, DEMO[:4])]
    assert cli.main(["promote", *models]) == 1
    shown = capsys.readouterr().out
    assert "NOT YET: 12 of 14 items fail" in shown
    assert "to do: doctor: run `autotrade doctor --env mainnet`" in shown
    assert "no PASS" in shown
    assert cli.main(["promote", *models, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] is False
    assert told["promoted"] is None
    assert cli.main(["promote", *models, "--accept"]) == 3
    assert "not promoted: 12 items fail: days on the testnet," in capsys.readouterr().err
    assert cli.main(["promote", "--acknowledge", " ", *models]) == 2
    assert cli.main(["promote"]) == 2


def test_mainnet_does_not_start_without_a_promotion(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedError, match="no promotion is recorded in catalog/promotions; pass the gate with"):
        check_start(configs.load("mainnet"), DEMO)
    assert check_start(configs.load("testnet"), DEMO) is None
    assert cli.main(["live", "mainnet", "--models", *map(str, DEMO)]) == 3
    assert "pass the gate with `autotrade promote --accept`" in capsys.readouterr().err
