"""``autotrade promote``: from the testnet to real money, if the records say so and a person confirms it."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

import configs
from adapters.golden_verdict import golden_verdict
from adapters.mainnet_promotion import (
    Acknowledged,
    MainnetPromotion,
    Records,
    model_digests,
    phrase_of,
    values_of,
)
from adapters.model_store import load_manifest
from adapters.session_facts import facts_of, session_folders
from adapters.state_store import open_store
from commands.ranges import artifact_paths
from configs import golden_rule
from configs.schema import AppConfig
from core.bars import DAY_NS
from core.errors import AutotradeError, RefusedError, UsageError
from core.promotion_gate import Item, ParityOf, SessionFacts, checklist, counts, passed
from core.promotion_gate import Records as GateRecords
from core.times import iso
from core.trips import STATE_KEY, state_of

__all__ = ["Proposal", "accept", "add_parser", "propose"]

_HOUR_NS = 3_600_000_000_000
_PROFILE = "default"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("promote", help="the gate from the testnet to real money")
    parser.add_argument("--models", nargs="+", type=Path, metavar="DIR",
                        help="artifacts that are to trade (default: those of catalog.models)")  # fmt: skip
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
                        help="override one value of mainnet's configuration; give it at the start, too")  # fmt: skip
    parser.add_argument("--accept", action="store_true", help="promote, after a phrase that is typed")
    parser.add_argument("--acknowledge", metavar="REASON", help="note that all alerts up to now were read")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


class Proposal(NamedTuple):
    """What would be signed, the phrase that confirms it, and what differs from the testnet, by dotted path."""

    promotion: MainnetPromotion
    phrase: str
    differing: dict[str, tuple[str, str]]


def _run(args: argparse.Namespace) -> int:
    """Show the checklist, the limits of the first day and what differs; promote where that is wished."""
    now_ns = time.time_ns()
    config, testnet = configs.load("mainnet", args.overrides), configs.load("testnet")
    models = tuple(args.models or artifact_paths(config.catalog.models))
    if not models:
        raise UsageError("no models to promote; name artifacts with --models")
    records = Records(config, make_key=True)
    if args.acknowledge is not None:
        if not args.acknowledge.strip():
            raise UsageError("--acknowledge: say what came of the alerts")
        records.keep_acknowledged(Acknowledged(now_ns, args.acknowledge, now_ns))
    proposal = propose(config, testnet, models, records, now_ns=now_ns)
    promotion = proposal.promotion
    if not args.json or args.accept:
        _print(Console(file=sys.stderr if args.json else sys.stdout, highlight=False), proposal)
    place = None
    if args.accept:
        _refuse_failed(promotion)
        sys.stderr.write(f"Real money will be traded. To confirm, type: {proposal.phrase}\n> ")
        sys.stderr.flush()
        place = accept(records, proposal, sys.stdin.readline())
    if args.json:
        content = {
            "passed": passed(promotion.items), "items": promotion.items, "config_hash": promotion.config_hash,
            "models": promotion.models, "differences": proposal.differing, "phrase": proposal.phrase,
            "first_day": _first_day(promotion), "promoted": None if place is None else str(place),
            "expires": iso(promotion.expires_ns),
        }  # fmt: skip
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")
    elif place is not None:
        Console(highlight=False).print(f"promoted until {iso(promotion.expires_ns)}: {place}", soft_wrap=True)
    return 0 if passed(promotion.items) else 1


def propose(
    config: AppConfig, testnet: AppConfig, models: Sequence[Path], records: Records, *, now_ns: int
) -> Proposal:
    """Return what would be promoted, with the checklist as it stands.

    Parameters
    ----------
    config, testnet : AppConfig
        Of mainnet and of the testnet.
    models : Sequence[Path]
        Artifacts that are to trade.
    records : Records
        Signed ones of this machine.
    now_ns : int
        The time now, ns.

    Raises
    ------
    ArtifactError
        Where there is no such artifact.
    RefusedError
        Where a signed record was changed.
    """
    differing = _differing(testnet, config)
    found = _gathered(config, testnet, models, records, len(differing), now_ns)
    digests = model_digests(models)
    promotion = _promotion(config, digests, checklist(found, config.promotion.limits()), now_ns)
    return Proposal(promotion, phrase_of(config, digests), differing)


def accept(records: Records, proposal: Proposal, typed: str) -> Path:
    """Put a promotion in force, if that is what was typed; return its place.

    Raises
    ------
    RefusedError
        Where an item failed, or another phrase was typed.
    """
    _refuse_failed(proposal.promotion)
    if typed.strip() != proposal.phrase:
        raise RefusedError("not promoted: what was typed is not the phrase; nothing has changed")
    return records.keep_promotion(proposal.promotion)


def _refuse_failed(promotion: MainnetPromotion) -> None:
    failed = [item.name for item in promotion.items if not item.passed]
    if failed:
        raise RefusedError(f"not promoted: {len(failed)} items fail: {', '.join(failed)}")


def _gathered(
    config: AppConfig, testnet: AppConfig, models: Sequence[Path], records: Records, differences: int, now_ns: int
) -> GateRecords:
    """Return all that the gate looks at."""
    state = state_of(open_store(testnet.breaker.state_path, "testnet").load(STATE_KEY))
    acknowledged = records.acknowledged()
    profile = golden_rule.load(_PROFILE)
    return GateRecords(
        instruments=config.market.instruments,
        models=frozenset(load_manifest(path).sha256 for path in models),
        verdicts=[golden_verdict(path, Path(config.catalog.studies_path), profile) for path in models],
        sessions=_sessions(testnet, models),
        causes=[(cause.trigger, cause.reason) for cause in state.causes],
        acknowledged_ns=0 if acknowledged is None else acknowledged.until_ns,
        doctor=records.doctor("mainnet"),
        differences=differences,
        config_hash=configs.config_hash(config),
        now_ns=now_ns,
        acknowledged={ack.source: ack.until_ns for ack in records.alert_acks("testnet")},
    )


def _sessions(testnet: AppConfig, models: Sequence[Path]) -> list[SessionFacts]:
    """Return what each session shows; its decisions are taken again, here and now."""
    wanted = frozenset(load_manifest(path).sha256 for path in models)
    shown = []
    for folder in session_folders(Path(testnet.record.path), "testnet"):
        facts = facts_of(folder)
        if counts(facts, wanted):
            facts = msgspec.structs.replace(facts, parity=_parity(folder, models))
        shown.append(facts)
    return shown


def _parity(folder: Path, models: Sequence[Path]) -> ParityOf:
    """Take the decisions of a session again; that this cannot be done is an answer, too."""
    from adapters.onnx_policy import load_checked  # noqa: PLC0415 - the engine is loaded where there are sessions
    from core.features import feature_spec  # noqa: PLC0415
    from run_parity import parity_of  # noqa: PLC0415

    market = configs.load("mainnet").market
    spec = feature_spec(market.base_interval, market.decision_interval)
    try:
        artifacts = [load_checked(path, spec=spec) for path in models]
        found = parity_of(folder, {artifact.manifest.sha256: artifact for artifact in artifacts})
    except AutotradeError as error:
        return ParityOf(0, 0, exact=False, error=str(error))
    return ParityOf(found.decisions, found.identical, found.exact)


def _promotion(config: AppConfig, digests: dict[str, str], items: tuple[Item, ...], now_ns: int) -> MainnetPromotion:
    """Return the record that would be signed."""
    rules = config.promotion
    return MainnetPromotion(
        format=1,
        config_hash=configs.config_hash(config),
        values=values_of(config),
        models=digests,
        instruments=config.market.instruments,
        items=items,
        created_ns=now_ns,
        expires_ns=now_ns + rules.valid_days * DAY_NS,
        first_day_ns=round(rules.first_day_hours * _HOUR_NS),
        exposure=rules.first_day_exposure,
        entries=rules.first_day_entries,
    )


def _differing(testnet: AppConfig, mainnet: AppConfig) -> dict[str, tuple[str, str]]:
    """Return what differs from the testnet, by dotted path."""
    was, now = values_of(testnet), values_of(mainnet)
    return {path: (was[path], now[path]) for path in now if was[path] != now[path]}


def _first_day(promotion: MainnetPromotion) -> dict[str, float]:
    return {
        "hours": promotion.first_day_ns / _HOUR_NS,
        "exposure": promotion.exposure,
        "entries": promotion.entries,
    }


def _print(console: Console, proposal: Proposal) -> None:
    """Print the checklist and all that is confirmed with it."""
    promotion = proposal.promotion
    console.width = max(console.width, 120)
    failed = sum(not item.passed for item in promotion.items)
    table = Table("", "what", "found", "limit", title="From the testnet to real money", title_justify="left")
    for item in promotion.items:
        table.add_row("ok" if item.passed else "FAIL", item.name, item.found, item.limit)
    console.print(table)
    changes = Table("setting", "testnet", "mainnet", title="What differs on mainnet", title_justify="left")
    for path, (was, now) in proposal.differing.items():
        changes.add_row(path, was, now)
    console.print(changes)
    hours = promotion.first_day_ns / _HOUR_NS
    console.print(
        f"first {hours:g} hours: {promotion.exposure:.0%} of the limits of size, {promotion.entries:.0%} of the "
        "numbers of entries; then the whole, from the next start on",
        soft_wrap=True,
    )
    for name, digest in sorted(promotion.models.items()):
        console.print(f"model {name}, SHA-256 {digest}", soft_wrap=True)
    for item in promotion.items:
        if not item.passed:
            console.print(f"to do: {item.name}: {item.advice}", soft_wrap=True)
    console.print(f"NOT YET: {failed} of {len(promotion.items)} items fail" if failed
                  else "READY: `autotrade promote --accept` asks for your word", soft_wrap=True)  # fmt: skip
