"""The gate from the testnet to real money: what the records must show, item by item.

Every item compares what was found with a limit and says what to do where it falls short. Records that were made with
other models, or at a stand-in of the venue, prove nothing here and are left out.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from core.bars import DAY_NS
from core.times import iso

__all__ = [
    "AlertRow",
    "BreakerRow",
    "Doctor",
    "GateLimits",
    "Item",
    "ModelVerdict",
    "ParityOf",
    "Records",
    "SessionFacts",
    "checklist",
    "counts",
    "passed",
]

_HOUR_NS = 3_600_000_000_000
_MANUAL = "manual"
_MISMATCH = "reconciliation_mismatch"


class GateLimits(NamedTuple):
    """What is asked for: UTC days with decisions, decisions, filled stops of each instrument, ages (ns)."""

    days: int
    decisions: int
    stops: int
    doctor_ns: int
    drill_ns: int


class BreakerRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change of the breaker, as the journal has it; ``ts_event`` ns."""

    ts_event: int
    state_from: str
    state_to: str
    trigger: str
    reason: str


class AlertRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person should have been told; ``ts_event`` ns."""

    source: str
    severity: str
    text: str
    ts_event: int


class ParityOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a session compares with its replay: decisions and identical ones; ``error`` where it could not be told."""

    decisions: int
    identical: int
    exact: bool
    error: str = ""


class SessionFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a recorded session shows.

    ``models`` hashes of all that began in it; ``decisions`` times (ns) by instrument; ``stops`` that were sent and
    ``stops_filled`` by instrument; ``stand_in``: it was not the venue itself.
    """

    name: str
    environment: str
    stand_in: bool
    models: frozenset[str]
    decisions: Mapping[str, Sequence[int]]
    stops: Mapping[str, int]
    stops_filled: Mapping[str, int]
    breaker: Sequence[BreakerRow]
    alerts: Sequence[AlertRow]
    parity: ParityOf | None


class ModelVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the golden rule says of an artifact: ``why`` not, or the study that passed."""

    model_id: str
    sha256: str
    passed: bool
    why: str


class Doctor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last examination of mainnet: when (ns), with which configuration, and what was not green."""

    ts_event: int
    config_hash: str
    not_green: tuple[str, ...]


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gate looks at.

    ``models`` hashes of what is to be promoted, with the ``verdicts`` on them; ``causes`` that keep the testnet's
    breaker from being ACTIVE; ``acknowledged_ns``: alerts up to then were read by a person, and up to
    ``acknowledged`` those of a source; ``differences`` between the
    configurations; ``config_hash`` of mainnet's.
    """

    instruments: Sequence[str]
    models: frozenset[str]
    verdicts: Sequence[ModelVerdict]
    sessions: Sequence[SessionFacts]
    causes: Sequence[tuple[str, str]]
    acknowledged_ns: int
    doctor: Doctor | None
    differences: int
    config_hash: str
    now_ns: int
    acknowledged: Mapping[str, int] = {}


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the checklist: its ``name``, what was ``found``, the ``limit``, and what to do where it fails."""

    name: str
    passed: bool
    found: str
    limit: str
    advice: str


def checklist(records: Records, limits: GateLimits) -> tuple[Item, ...]:
    """Return every item, in the order in which they are shown."""
    counted = [one for one in records.sessions if counts(one, records.models)]
    return (
        _days(records, counted, limits),
        _decisions(counted, limits),
        _parity(counted),
        _reconciled(records, counted),
        _quiet(records),
        _drill(records, counted, limits),
        *(_stop(name, counted, limits) for name in records.instruments),
        _alerts(records, counted),
        *(_golden(verdict) for verdict in records.verdicts),
        _doctor(records, limits),
        Item("configuration", passed=True, found=f"{records.differences} values differ from the testnet's",
             limit="shown below", advice="read them: they are what you confirm"),
    )  # fmt: skip


def passed(items: Sequence[Item]) -> bool:
    """Return whether all items passed; none at all is no pass."""
    return bool(items) and all(item.passed for item in items)


def counts(session: SessionFacts, models: frozenset[str]) -> bool:
    """Return whether a session proves anything of these models on the testnet."""
    return session.environment == "testnet" and not session.stand_in and bool(models) and session.models == models


def _days(records: Records, counted: Sequence[SessionFacts], limits: GateLimits) -> Item:
    days = {(ts - 1) // DAY_NS for one in counted for times in one.decisions.values() for ts in times}
    left_out = len(records.sessions) - len(counted)
    more = f"; {left_out} sessions do not count (other models or environment, or a stand-in)" if left_out else ""
    return Item(
        "days on the testnet",
        passed=len(days) >= limits.days,
        found=f"{len(days)} UTC days with decisions in {len(counted)} sessions{more}",
        limit=f"at least {limits.days}",
        advice="run `python run_live.py testnet` with these very models for longer",
    )


def _decisions(counted: Sequence[SessionFacts], limits: GateLimits) -> Item:
    number = sum(len(times) for one in counted for times in one.decisions.values())
    return Item(
        "decisions on the testnet",
        passed=number >= limits.decisions,
        found=f"{number:,}",
        limit=f"at least {limits.decisions:,}",
        advice="run `python run_live.py testnet` for longer",
    )


def _parity(counted: Sequence[SessionFacts]) -> Item:
    """Judge whether every decision of every session, taken again from its record, is the same."""
    compared = [one.parity for one in counted if one.parity is not None]
    same, all_of_them = sum(one.identical for one in compared), sum(one.decisions for one in compared)
    bad = next((one for one in counted if one.parity is None or one.parity.error or not one.parity.exact), None)
    why = ""
    if bad is not None:
        said = "not compared" if bad.parity is None else bad.parity.error or "not identical"
        why = f"; {bad.name}: {said}"
    return Item(
        "parity",
        passed=bool(counted) and bad is None and same == all_of_them > 0,
        found=f"{same:,} of {all_of_them:,} decisions are the same when taken again{why}",
        limit="all of them",
        advice="see `autotrade parity SESSION`: it names the first cause",
    )


def _reconciled(records: Records, counted: Sequence[SessionFacts]) -> Item:
    """Judge whether our books and the venue's differ nowhere that nobody has looked at."""
    seen = sum(_left_active(row) and row.trigger == _MISMATCH for one in counted for row in one.breaker)
    standing = [reason for trigger, reason in records.causes if trigger == _MISMATCH]
    return Item(
        "reconciliation",
        passed=bool(counted) and not standing,
        found=f"{len(standing)} unresolved of {seen} mismatches" + (f": {standing[0]}" if standing else ""),
        limit="0 unresolved",
        advice="find out why books and venue differ, then `autotrade rearm`",
    )


def _quiet(records: Records) -> Item:
    named = ", ".join(trigger for trigger, _ in records.causes)
    return Item(
        "breaker",
        passed=not records.causes,
        found=f"the testnet's is not ACTIVE: {named}" if named else "the testnet's is ACTIVE",
        limit="ACTIVE",
        advice="see `autotrade breaker status --env testnet`",
    )


def _drill(records: Records, counted: Sequence[SessionFacts], limits: GateLimits) -> Item:
    """Judge whether a person has tripped the breaker and re-armed it: both work, and somebody knows how."""
    rows = sorted((row for one in counted for row in one.breaker if row.trigger == _MANUAL), key=lambda r: r.ts_event)
    done, tripped = 0, False
    for row in rows:
        if _left_active(row):
            tripped = True
        elif tripped:
            done, tripped = row.ts_event, False
    fresh = done > 0 and records.now_ns - done <= limits.drill_ns
    return Item(
        "breaker drill",
        passed=fresh,
        found=f"tripped by hand and re-armed, last at {iso(done)}" if done else "never tripped by hand and re-armed",
        limit=f"within {limits.drill_ns // DAY_NS} days",
        advice="on the testnet: `autotrade breaker halt --reason drill`, see it close and refuse, then re-arm it",
    )


def _stop(instrument: str, counted: Sequence[SessionFacts], limits: GateLimits) -> Item:
    sent = sum(one.stops.get(instrument, 0) for one in counted)
    filled = sum(one.stops_filled.get(instrument, 0) for one in counted)
    return Item(
        f"protective stop of {instrument}",
        passed=filled >= limits.stops,
        found=f"{filled} of {sent} that were sent to the venue were triggered and filled",
        limit=f"at least {limits.stops} filled",
        advice="trade this instrument on the testnet until a stop has closed a position",
    )


def _alerts(records: Records, counted: Sequence[SessionFacts]) -> Item:
    critical = [row for one in counted for row in one.alerts if row.severity == "critical"]
    read_ns = records.acknowledged_ns
    unread = [row for row in critical if row.ts_event > max(read_ns, records.acknowledged.get(row.source, 0))]
    return Item(
        "alerts",
        passed=bool(counted) and not unread,
        found=f"{len(unread)} of {len(critical)} critical ones are not acknowledged"
        + (f", the last: {unread[-1].text}" if unread else ""),
        limit="0",
        advice="read them, then `autotrade alerts ack ID --env testnet --reason ...`, or all of them at once: "
        '`autotrade promote --acknowledge "what came of them"`',
    )


def _golden(verdict: ModelVerdict) -> Item:
    return Item(
        f"golden rule of {verdict.model_id}",
        passed=verdict.passed,
        found=f"{'PASS' if verdict.passed else 'no PASS'} ({verdict.why}), SHA-256 {verdict.sha256[:12]}",
        limit="PASS of this very artifact",
        advice="promote a model that a study has passed: `autotrade select STUDY --promote NAME`",
    )


def _doctor(records: Records, limits: GateLimits) -> Item:
    """Judge whether the last examination is recent, of this very configuration, and without a failure."""
    last = records.doctor
    if last is None:
        found, good = "mainnet was never examined", False
    else:
        good = not last.not_green and last.config_hash == records.config_hash
        found = f"mainnet was examined at {iso(last.ts_event)}: " + (", ".join(last.not_green) or "no failure")
        if last.config_hash != records.config_hash:
            found += ", with another configuration"
    return Item(
        "doctor",
        passed=last is not None and good and 0 <= records.now_ns - last.ts_event <= limits.doctor_ns,
        found=found,
        limit=f"no failure within {limits.doctor_ns / _HOUR_NS:g} hours",
        advice="run `autotrade doctor --env mainnet` and mend what it names",
    )


def _left_active(row: BreakerRow) -> bool:
    """Return whether a change made the breaker stricter, or kept it so for one more cause."""
    return row.state_to != "ACTIVE" and not row.reason.startswith("re-armed")
