"""What a person is told: declarative rules over the rows of a session, as pure functions (row, state) -> alerts.

A rule looks at one kind of row. With a ``metric`` its condition holds while that field is beyond a limit; without one,
every row that fits is an event. What is done is one table, `judge`, the first line that fits:

=====  ===========  =========  ===========  =========================================================
holds  long enough  cool-down  quiet hours  verdict
=====  ===========  =========  ===========  =========================================================
no     any          any        any          ``resolve`` where it was told before, else ``clear``
yes    no           any        any          ``wait``
yes    yes          runs       any          ``hold``: counted, told together when the cool-down is over
yes    yes          over       yes          ``hold``: told together at the end of the quiet hours
yes    yes          over       no           ``tell``
=====  ===========  =========  ===========  =========================================================

A condition that lasts is told again after each cool-down, and not counted meanwhile; one that ends before it could be
told is forgotten. Times are those of the rows, so that rows read twice, after a kill, raise the very same alerts with
the very same names.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from core.bars import DAY_NS
from core.messages import Severity

__all__ = [
    "AlertState",
    "Quiet",
    "Raised",
    "Rule",
    "Standing",
    "Verdict",
    "judge",
    "observe",
    "tick",
]

type Verdict = Literal["clear", "resolve", "wait", "hold", "tell"]

ANY = "*"
MOST_STANDINGS = 10_000
MOST_TEXT = 600
_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_FIELD = re.compile(r"\{(\w+)\}")


class Quiet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Minutes of the UTC day from ``start`` up to ``end``, over midnight where it ends before; equal ones are none."""

    start: int = 0
    end: int = 0

    def holds(self, ts_ns: int) -> bool:
        """Return whether it is quiet at a time."""
        minute = ts_ns % DAY_NS // _MINUTE_NS
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule.

    ``on`` kind of row (``*`` any); ``where`` values a row must have, by field; ``metric`` a numeric field that is
    ``above`` or ``below`` a limit, for ``for_seconds``; ``absent_seconds``: told where no such row came for so long;
    ``by`` fields whose values make alerts of this rule different ones; ``severity`` or the row's own (``told``);
    ``cooldown_minutes`` between two alerts of a kind; ``quiet``: it may be kept back in quiet hours; ``text`` with
    fields in braces.

    Raises
    ------
    ValueError
        Where it says nothing, or two things at once.
    """

    name: str
    on: str
    text: str
    severity: Literal["info", "warning", "critical", "told"]
    where: Mapping[str, str | list[str]] = {}
    metric: str = ""
    above: float | None = None
    below: float | None = None
    for_seconds: float = 0.0
    absent_seconds: float = 0.0
    cooldown_minutes: float = 30.0
    by: tuple[str, ...] = ()
    quiet: bool = False

    def __post_init__(self) -> None:
        """Refuse what could never be told, or always."""
        limits = [limit for limit in (self.above, self.below) if limit is not None]
        if bool(self.metric) != bool(limits):
            raise ValueError("a metric needs `above` or `below`, and a limit needs a metric")
        if not all(map(math.isfinite, (*limits, self.for_seconds, self.absent_seconds, self.cooldown_minutes))):
            raise ValueError("a limit or a time is no finite number")
        if min(self.for_seconds, self.absent_seconds, self.cooldown_minutes) < 0.0:
            raise ValueError("a time is below 0")
        if self.for_seconds and not self.metric:
            raise ValueError("`for_seconds` needs a metric: an event does not last")
        if self.absent_seconds and (self.metric or self.by or self.severity == "told"):
            raise ValueError("`absent_seconds` goes with `on` and `where` alone: there is no row to look at")

    def fits(self, kind: str, row: Mapping[str, Any]) -> bool:
        """Return whether the rule looks at a row."""
        if self.on not in (ANY, kind):
            return False
        return all(
            str(row.get(field)) in (wanted if isinstance(wanted, list) else [wanted])
            for field, wanted in self.where.items()
        )

    def beyond(self, value: object) -> bool:
        """Return whether a metric's value is beyond the limit; what is no number is not."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)


class Standing(msgspec.Struct, frozen=True):
    """What is known of one kind of alert: since when its condition holds, when it was told last, and what is held."""

    since_ns: int = 0
    told_ns: int = 0
    seen_ns: int = 0
    firing: bool = False
    held: int = 0
    text: str = ""
    severity: Severity = "warning"
    source: str = ""


class AlertState(msgspec.Struct, frozen=True):
    """What is remembered between rows: by rule and key, and when a row that a rule waits for came last."""

    standings: Mapping[str, Standing] = {}
    seen: Mapping[str, int] = {}


class Raised(msgspec.Struct, frozen=True):
    """An alert. ``alert_id`` is the same whenever it is raised from the same row; ``ts_ns`` of the row."""

    alert_id: str
    rule: str
    severity: Severity
    source: str
    text: str
    ts_ns: int


class _Judged(NamedTuple):
    verdict: Verdict
    standing: Standing


def judge(rule: Rule, standing: Standing, *, holds: bool, now_ns: int, quiet: bool) -> _Judged:
    """Return what is done about a condition, and what is known of it afterwards.

    Parameters
    ----------
    rule : Rule
        Whose condition it is.
    standing : Standing
        What was known.
    holds : bool
        Whether the condition holds now.
    now_ns : int
        The time, ns.
    quiet : bool
        Whether these are quiet hours.
    """
    change = msgspec.structs.replace
    if not holds:
        verdict: Verdict = "resolve" if standing.firing else "clear"
        return _Judged(verdict, change(standing, since_ns=0, firing=False, held=0, seen_ns=now_ns))
    since = standing.since_ns or now_ns
    known = change(standing, since_ns=since, seen_ns=now_ns)
    if now_ns - since < rule.for_seconds * _SECOND_NS:
        return _Judged("wait", known)
    if _cooling(rule, standing, now_ns) or (quiet and rule.quiet):
        return _Judged("hold", change(known, held=standing.held + (not standing.firing)))
    return _Judged("tell", change(known, told_ns=now_ns, firing=True, held=0))


def observe(
    rules: Sequence[Rule],
    quiet: Quiet,
    state: AlertState,
    *,
    kind: str,
    row: Mapping[str, Any],
    ts_ns: int,
    origin: str,
) -> tuple[AlertState, tuple[Raised, ...]]:
    """Hold a row against all rules.

    Parameters
    ----------
    rules : Sequence[Rule]
        All of them.
    quiet : Quiet
        Hours in which what may wait does.
    state : AlertState
        What is remembered.
    kind, row : str, Mapping
        The row.
    ts_ns : int
        Its time.
    origin : str
        Names the row, the same whenever it is read.
    """
    standings, seen, raised = dict(state.standings), dict(state.seen), []
    for rule in rules:
        if not rule.fits(kind, row):
            continue
        if rule.absent_seconds:
            seen[rule.name] = ts_ns
            holds = False
        else:
            holds = rule.beyond(row.get(rule.metric)) if rule.metric else True
        name = "|".join((rule.name, *(str(row.get(field, "")) for field in rule.by)))
        before = standings.get(name, Standing())
        verdict, after = judge(rule, before, holds=holds, now_ns=ts_ns, quiet=quiet.holds(ts_ns))
        if not rule.metric and not rule.absent_seconds:
            after = msgspec.structs.replace(after, since_ns=0, firing=False)
        if holds:
            said = _severity(rule, row)
            text = _FIELD.sub(lambda found: _shown(row.get(found[1], "")), rule.text)[:MOST_TEXT]
            after = msgspec.structs.replace(after, text=text, severity=said, source=str(row.get("source", rule.name)))
        if verdict == "tell":
            raised.append(_raised(rule, after, _more(before), ts_ns, f"{origin}|{name}"))
        elif verdict == "resolve":
            raised.append(_over(rule, after, ts_ns, f"{origin}|{name}"))
        standings[name] = after
    return AlertState(_bounded(standings), seen), tuple(raised)


def tick(
    rules: Sequence[Rule], quiet: Quiet, state: AlertState, *, now_ns: int
) -> tuple[AlertState, tuple[Raised, ...]]:
    """Let time pass: durations that are over, rows that do not come, and what was held."""
    standings, raised, hushed = dict(state.standings), [], quiet.holds(now_ns)
    for rule in rules:
        if rule.absent_seconds and rule.name in state.seen:
            late = now_ns - state.seen[rule.name] >= rule.absent_seconds * _SECOND_NS
            before = standings.get(rule.name, Standing())
            if late:
                verdict, after = judge(rule, before, holds=True, now_ns=now_ns, quiet=hushed)
                after = msgspec.structs.replace(after, text=rule.text, severity=_severity(rule, {}), source=rule.name)
                if verdict == "tell":
                    raised.append(_raised(rule, after, "", now_ns, f"{now_ns}|{rule.name}"))
                standings[rule.name] = msgspec.structs.replace(after, held=0)
            continue
        for name in [known for known in standings if known == rule.name or known.startswith(f"{rule.name}|")]:
            before = standings[name]
            lasting = rule.for_seconds > 0.0 and before.since_ns > 0 and not before.firing and not before.held
            if not (lasting or before.held) or _cooling(rule, before, now_ns):
                continue
            verdict, after = judge(rule, before, holds=True, now_ns=now_ns, quiet=hushed)
            if verdict == "tell":
                raised.append(_raised(rule, after, _more(before, tail=False), now_ns, f"{now_ns}|{name}"))
                gone = before.since_ns == 0
                standings[name] = msgspec.structs.replace(after, since_ns=before.since_ns, firing=not gone)
    return AlertState(standings, state.seen), tuple(raised)


def alert_id(origin: str) -> str:
    """Return the name of what was raised from one row by one rule: 10 hex digits."""
    return hashlib.sha256(origin.encode()).hexdigest()[:10]


def _cooling(rule: Rule, standing: Standing, now_ns: int) -> bool:
    """Return whether it was told too lately to be told again; one that lasts is never repeated without a cool-down."""
    if not rule.cooldown_minutes:
        return standing.firing
    return standing.told_ns > 0 and now_ns - standing.told_ns < rule.cooldown_minutes * _MINUTE_NS


def _severity(rule: Rule, row: Mapping[str, Any]) -> Severity:
    """Return a rule's severity, or the row's; a word that is none counts as critical."""
    if rule.severity != "told":
        return rule.severity
    match row.get("severity"):
        case "info":
            return "info"
        case "warning":
            return "warning"
        case _:
            return "critical"


def _raised(rule: Rule, standing: Standing, more: str, ts_ns: int, origin: str) -> Raised:
    text = f"{standing.text}{more}"
    return Raised(alert_id(origin), rule.name, standing.severity, standing.source, text, ts_ns)


def _over(rule: Rule, standing: Standing, ts_ns: int, origin: str) -> Raised:
    return Raised(alert_id(origin), rule.name, "info", standing.source, f"over: {standing.text}", ts_ns)


def _more(before: Standing, *, tail: bool = True) -> str:
    """Return how many alike were held back since the last one was told."""
    if tail:
        return f" (and {before.held} more since)" if before.held else ""
    return f" ({before.held} times since)" if before.held > 1 else ""


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _bounded(standings: dict[str, Standing]) -> dict[str, Standing]:
    """Return what is known, without the oldest where it is too much."""
    if len(standings) <= MOST_STANDINGS:
        return standings
    oldest = sorted(standings, key=lambda name: standings[name].seen_ns)
    return {name: standings[name] for name in standings if name not in set(oldest[: MOST_STANDINGS // 10])}
