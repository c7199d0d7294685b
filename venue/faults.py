"""Faults on demand: rules that say what goes wrong, where, how often and for how long.

A rule's ``match`` names what it is about by dotted keys, with ``*`` as in file names. A request has ``by`` (rest,
trading), ``method``, ``path`` and ``params.<name>``; an event has ``channel`` (market, user) and its own keys, such as
``e``, ``s``, ``k.x``, ``o.X``; a new connection has ``channel``. What lacks a key is not matched.
"""

import asyncio
import copy
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from venue.fault_kinds import ANSWERS, ANSWERS_AFTER, KINDS, KLINE_ROWS, KLINES
from venue.hooks import Answer, Call

__all__ = ["Faults", "Rule"]

Sent = list[tuple[float, dict[str, Any]]]


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault.

    ``kind`` as in `venue.fault_kinds.KINDS`; ``skip`` matches pass before it begins, ``count`` are hit (None: all),
    each with ``probability`` by ``seed``; it lives for ``seconds`` (None: until removed). ``delay_ms`` to wait,
    ``skew_ms`` of the clock; ``pid`` of the process that a ``kill_...`` ends by SIGKILL: before a request is carried
    out, after it but before the answer, or before an event is sent; ``status``, ``code``, ``msg``, ``retry_after``
    change the answer of the kind.
    """

    kind: str
    match: dict[str, str] = {}
    skip: int = 0
    count: int | None = None
    probability: float = 1.0
    seed: int = 0
    seconds: float | None = None
    delay_ms: float = 0.0
    skew_ms: int = 0
    pid: int = 0
    status: int | None = None
    code: int | None = None
    msg: str | None = None
    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is unknown: one of {', '.join(sorted(KINDS))}")
        if self.kind.startswith("kill") and self.pid <= 1:
            raise ValueError(f"pid is {self.pid}: name the process that {self.kind} ends")


class _Armed:
    """A rule and what has become of it."""

    def __init__(self, number: int, rule: Rule) -> None:
        self.number, self.rule = number, rule
        self.seen = self.hits = 0
        self._chance = random.Random(rule.seed)  # noqa: S311 - faults, not secrets
        self._ends = None if rule.seconds is None else time.monotonic() + rule.seconds

    def strikes(self, subject: Mapping[str, Any]) -> bool:
        """Return whether the rule hits this time, and count."""
        rule = self.rule
        if (
            (rule.count is not None and self.hits >= rule.count)
            or not self.alive()
            or not _matches(rule.match, subject)
        ):
            return False
        self.seen += 1
        if self.seen <= rule.skip or self._chance.random() >= rule.probability:
            return False
        self.hits += 1
        if rule.pid:
            with suppress(ProcessLookupError):
                os.kill(rule.pid, signal.SIGKILL)
        return True

    def alive(self) -> bool:
        """Return whether its time is not over."""
        return self._ends is None or time.monotonic() < self._ends


class Faults:
    """The rules in force (`venue.hooks.Hooks`)."""

    def __init__(self) -> None:
        self._armed: dict[int, _Armed] = {}
        self._held: dict[str, Sent] = {}
        self._last = 0

    def arm(self, rule: Rule) -> int:
        """Put a rule in force; return its number."""
        self._last += 1
        self._armed[self._last] = _Armed(self._last, rule)
        return self._last

    def disarm(self, number: int | None = None) -> None:
        """Take one rule away, or all of them."""
        if number is None:
            self._armed.clear()
        else:
            self._armed.pop(number, None)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rules in force, with what they saw and hit."""
        return [
            {"id": each.number, "seen": each.seen, "hits": each.hits, "rule": msgspec.to_builtins(each.rule)}
            for each in self._armed.values()
        ]

    async def before(self, call: Call) -> Answer | None:
        """Wait, or answer in the exchange's place."""
        for armed in self._of("before", _subject(call)):
            rule = armed.rule
            await asyncio.sleep(rule.delay_ms / 1_000)
            if rule.kind in ANSWERS:
                return _answer(rule, ANSWERS[rule.kind])
        return None

    async def after(self, call: Call, body: Any) -> Answer | None:
        """Keep back, lose or spoil the answer to what has been carried out."""
        changed = None
        for armed in self._of("after", _subject(call)):
            rule = armed.rule
            await asyncio.sleep(rule.delay_ms / 1_000)
            if rule.kind in ANSWERS_AFTER:
                return _answer(rule, ANSWERS_AFTER[rule.kind])
        if call.path.endswith("lines") and isinstance(body, list) and (last := _last_closed(body, call)) >= 0:
            for armed in self._of("kline", _subject(call)):
                changed = Answer(200, {}, KLINE_ROWS[armed.rule.kind](copy.deepcopy(body), last))
        return changed

    def outgoing(self, channel: str, event: dict[str, Any]) -> Sent:
        """Return what is sent for an event, and after how many seconds."""
        if not self._armed and not self._held:
            return [(0.0, event)]
        subject = {"channel": channel, **event} if isinstance(event, dict) else {"channel": channel}
        sent: Sent = [(0.0, event)]
        for armed in self._of("outgoing", subject):
            rule, delay = armed.rule, armed.rule.delay_ms / 1_000
            if rule.kind in {"suppress", "stall"}:
                return []
            if rule.kind == "delay":
                sent = [(wait + delay, what) for wait, what in sent]
            elif rule.kind == "duplicate":
                sent = sent + [(wait + delay, what) for wait, what in sent]
            elif rule.kind == "reorder":
                self._held.setdefault(channel, []).extend(sent)
                return []
        if subject.get("e") == "kline":
            sent = self._spoilt(subject, sent)
        return sent + self._held.pop(channel, []) if sent else sent

    def accepts(self, channel: str) -> bool:
        """Whether a new connection is taken."""
        subject = {"channel": channel}
        return not (self._of("accept", subject) or (channel != "rest" and self._of("socket", subject)))

    def clock_skew_ms(self) -> int:
        """Milliseconds by which the exchange's clock is ahead."""
        return sum(each.rule.skew_ms for each in self._armed.values() if each.rule.kind == "skew" and each.alive())

    def _of(self, place: str, subject: Mapping[str, Any]) -> list[_Armed]:
        armed = [each for each in self._armed.values() if place in KINDS[each.rule.kind]]
        return [each for each in armed if each.strikes(subject)]

    def _spoilt(self, subject: Mapping[str, Any], sent: Sent) -> Sent:
        """Return what becomes of a kline event; one that is out of order waits for the next closed one of its kind."""
        kline = subject["k"]
        place = f"{kline['s']} {kline['i']}"
        waiting = self._held.pop(place, []) if kline["x"] else []
        for armed in self._of("kline", subject):
            kind = armed.rule.kind
            if kind == "kline_missing":
                sent = []
            elif kind == "kline_duplicate":
                sent = [*sent, *sent]
            elif kind == "kline_out_of_order":
                self._held.setdefault(place, []).extend(sent)
                sent = []
            else:
                sent = [(wait, {**what, "k": KLINES[kind](dict(what["k"]))}) for wait, what in sent]
        return sent + waiting


def _subject(call: Call) -> dict[str, Any]:
    return {"by": call.by, "channel": call.by, "method": call.method, "path": call.path, "params": call.params}


def _last_closed(rows: list[Any], call: Call) -> int:
    """Return which row is the last closed one, -1 for none: without an end in the past the very last is running."""
    whole = bool(rows) and int(rows[-1][6]) <= int(call.params.get("endTime", 0))
    return len(rows) - (1 if whole else 2)


def _matches(match: Mapping[str, str], subject: Mapping[str, Any]) -> bool:
    for key, pattern in match.items():
        value: Any = subject
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None:
            return False
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not fnmatchcase(text, pattern):
            return False
    return True


def _answer(rule: Rule, usual: tuple[int, int, str, int | None]) -> Answer:
    status, code, msg, retry_after = usual
    retry_after = rule.retry_after if rule.retry_after is not None else retry_after
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    said = {"code": code if rule.code is None else rule.code, "msg": msg if rule.msg is None else rule.msg}
    return Answer(status if rule.status is None else rule.status, headers, said)
