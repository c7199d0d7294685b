"""A decision in plain words, from the rows of the journal alone: what was seen, wanted, allowed, ordered and filled."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

import msgspec

from core.gate import RuleResult
from core.reasons import REASONS
from core.rules import RULES
from core.sizing import SizingParams, signed_exposure
from core.times import iso

__all__ = ["ABSTENTION_WORDS", "EXIT_WORDS", "Evidence", "Judgement", "brief", "explain", "judgement", "shown"]

type Row = Mapping[str, Any]

EXIT_WORDS: dict[str, str] = {
    "": "",
    "stop_loss": "the stop that it was opened with was reached",
    "trailing_stop": "a stop that had been moved was reached",
    "take_profit": "the profit aimed at was reached",
    "max_holding": "it had been held as long as it may be",
    "partial_take": "a part of the profit is taken",
    "break_even": "the stop at break-even was reached",
    "dust": "what was left is worth less than the exchange's smallest order",
    "signal": "the ensemble no longer wants it",
    "breaker": "trading is HALTED",
    "inherited": "it was found at the start, and the configuration closes such",
}
"""Exit reason (`core.exits.EXIT_REASONS`) -> in words."""

ABSTENTION_WORDS: dict[str, str] = {
    "window": "the window of market data is not ready",
    "no_quorum": "too few models voted",
    "quorum_lost": "too few models are left that may vote",
    "tie": "the votes for long and short were equal",
    "no_agreement": "too small a share of the weight stood behind one side",
    "unsure": "the winning side was not confident enough",
}
"""Abstention of a signal (`core.ensemble.ABSTENTIONS`, ``window``) -> in words."""

_RULES = {rule.name: rule for rule in RULES}
_BPS = 1e4


class Judgement(msgspec.Struct, frozen=True):
    """What the column ``rules`` of a decision holds, as JSON: lots wanted of the gate and held, and each rule's word.

    A rule is ``[name, verdict, value, limit, lots]`` (`core.gate.RuleResult`); a value that is no number is null.
    """

    wanted: int
    held: int
    rules: tuple[tuple[str, str, float | None, float | None, int], ...]

    def results(self) -> tuple[RuleResult, ...]:
        """Return the rules' words as the gate gave them."""
        return tuple(RuleResult(*rule[:2], _number(rule[2]), _number(rule[3]), rule[4]) for rule in self.rules)


class Evidence(NamedTuple):
    """The rows that belong to one decision.

    ``decision``; ``orders`` and ``fills`` of the order that it sent, in order of time; ``model_ids`` in the order of
    the votes; ``sizing`` of the run, None where unknown.
    """

    decision: Row
    orders: Sequence[Row]
    fills: Sequence[Row]
    model_ids: Sequence[str]
    sizing: SizingParams | None


def judgement(row: Row) -> Judgement | None:
    """Return what the gate was asked at a decision, None where it was not asked or an older run did not keep it."""
    text = row.get("rules", "")
    return msgspec.json.decode(text, type=Judgement) if text else None


def shown(value: float) -> str:
    """Return a number as it is printed: eight significant digits.

    Examples
    --------
    >>> shown(41356.05715830834), shown(96), shown(-0.25)
    ('41356.057', '96', '-0.25')
    """
    return f"{value:.8g}"


def explain(evidence: Evidence) -> list[str]:
    """Return a decision in words, one line a fact, the outcome first."""
    row = evidence.decision
    lines = [
        f"{row['instrument_id']}, decision at the close of {iso(row['ts_event'])}",
        _line("outcome", outcome(row, evidence.fills)),
        _line("market", f"close {shown(row['close'])}, average true range {shown(row['atr'])}, volatility "
              f"{shown(row['volatility'])} a year, ranked {shown(row['volatility_rank'])}"),
        _line("account", f"equity {shown(row['equity'])}, {shown(row['drawdown'])} below the day's high; "
              f"breaker {row['state']}"),
        _line("position", _position(row)),
    ]  # fmt: skip
    lines += _votes(evidence)
    lines += [_line("tally", _tally(row)), _line("sizing", _sizing(row, evidence.sizing))]
    lines += _gate(row)
    lines.append(_line("stop", _stop(row)))
    lines += orders_told(evidence.orders, evidence.fills)
    return lines


def outcome(row: Row, fills: Sequence[Row]) -> str:
    """Return in one sentence what a decision came to, given the fills of the order that it sent."""
    held, target = row["position_lots"], row["target_lots"]
    words = EXIT_WORDS.get(row["exit_reason"], row["exit_reason"])
    if row["client_order_id"]:
        why = f": {words}" if words else _cut(row)
        return f"{_change(held, target)}{why}{_unfilled(target, fills)}"
    reason = row.get("reason")
    wanted = f"{_change(held, target)} was wanted ({words or 'see below'}), but " if held != target else ""
    if reason is None:
        return f"{wanted}nothing was ordered; why, this older run did not keep; the gate's verdict: {row['verdict']}"
    if reason == "denied":
        return f"nothing was ordered: {_denial(row)}"
    if reason in {"abstained", "window"}:
        said = ABSTENTION_WORDS.get(row["abstention"], row["abstention"])
        return f"{wanted}nothing was ordered: {REASONS[reason]}: {said} ({row['abstention']})"
    return f"{wanted}nothing was ordered: {REASONS.get(reason, reason)}"


def brief(row: Row, fills: Sequence[Row]) -> str:
    """Return one line on a decision, for a list."""
    price = f" at {shown(_average(fills))}" if fills else ""
    order = f"  {row['client_order_id']}" if row["client_order_id"] else ""
    moved = (
        f"; the stop {_stop(row)}"
        if row["stop_price"] and row["new_stop_price"] not in {0.0, row["stop_price"]}
        else ""
    )
    return f"{iso(row['ts_event'])}  {row['instrument_id']}  {outcome(row, fills)}{price}{moved}{order}"


def orders_told(orders: Sequence[Row], fills: Sequence[Row]) -> list[str]:
    """Return orders and their fills in words, with the slippage against the price at the decision."""
    lines = []
    for order in orders:
        trigger = f", trigger {order['trigger_price']}" if order["trigger_price"] else ""
        only = ", reduce-only" if order["reduce_only"] else ""
        said = f" ({order['reason']})" if order["reason"] else ""
        what = f"{order['side']} {order['quantity']} {order['order_type']}{trigger}{only}"
        text = f"{order['client_order_id']} {order['purpose']}: {what}: {order['status']}{said}"
        lines.append(_line("order", f"{text} at {iso(order['ts_event'])}"))
    for fill in fills:
        arrival = fill["arrival_price"]
        side = 1.0 if fill["side"] == "BUY" else -1.0
        slipped = f", slippage {shown(side * (float(fill['price']) / arrival - 1.0) * _BPS)} bps" if arrival else ""
        words = EXIT_WORDS.get(fill["exit_reason"], fill["exit_reason"])
        lines.append(
            _line("fill", f"{fill['side']} {fill['quantity']} at {fill['price']} ({fill['liquidity'].lower()}) at "
                  f"{iso(fill['ts_event'])}, "
                  f"{shown(arrival)} expected{slipped}, fee {shown(fill['commission'])}; "
                  f"{fill['lots_after']} lots after it{f' ({words})' if words else ''}")
        )  # fmt: skip
    if orders and not fills:
        lines.append(_line("fill", "none"))
    return lines


def _line(label: str, text: str) -> str:
    return f"  {label:<9} {text}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _change(held: int, target: int) -> str:
    """Return a change of position in words."""
    side = "long" if (target or held) > 0 else "short"
    if held == 0:
        return f"opens a {side} of {abs(target)} lots"
    if target == 0:
        return f"closes a {side} of {abs(held)} lots"
    verb = "adds to" if abs(target) > abs(held) else "reduces"
    return f"{verb} a {side} of {abs(held)} lots, to {abs(target)}"


def _unfilled(target: int, fills: Sequence[Row]) -> str:
    """Return how far an order came that did not fill whole, empty where it did."""
    if not fills:
        return "; but nothing was filled"
    reached = fills[-1]["lots_after"]
    return "" if reached == target else f"; filled as far as {abs(reached)} lots"


def _cut(row: Row) -> str:
    """Return what cut an increase, empty where nothing did."""
    judged = judgement(row)
    if judged is None or row["verdict"] == "allowed":
        return ""
    return f", cut from {judged.wanted} by the rule {row['verdict']}"


def _denial(row: Row) -> str:
    """Return what refused an increase, with its numbers."""
    judged = judgement(row)
    name = row["verdict"]
    found = next((result for result in judged.results() if result.name == name), None) if judged else None
    meaning = _RULES[name].meaning if name in _RULES else name
    numbers = f" ({_compared(found)})" if found is not None else ""
    return f"the gate refused it by the rule {name}: {meaning}{numbers}"


def _position(row: Row) -> str:
    lots = row["position_lots"]
    if lots == 0:
        return "none"
    stop = f"stop {shown(row['stop_price'])}" if row["stop_price"] else "no stop"
    return f"{lots} lots at {shown(row['entry_price'])}, {stop}"


def _votes(evidence: Evidence) -> list[str]:
    """Return one line a model."""
    row = evidence.decision
    levels, confidences = row["levels"], row["confidences"]
    if not levels:
        return [_line("votes", "none")]
    names = row.get("models") or evidence.model_ids
    if len(names) != len(levels):
        names = [f"model {number}" for number in range(1, len(levels) + 1)]
    weights = row.get("weights") or ()
    lines = []
    for place, (name, level, confidence) in enumerate(zip(names, levels, confidences, strict=True)):
        weight = f", weight {shown(weights[place])}" if len(weights) == len(levels) else ""
        lines.append(
            _line("votes" if place == 0 else "", f"{name} {level:+.8g} with confidence {shown(confidence)}{weight}")
        )
    return lines


def _tally(row: Row) -> str:
    text = (
        f"level {row['level']:+.8g}, confidence {shown(row['confidence'])}, agreement {shown(row['agreement'])}, "
        f"{row['voters']} voted"
    )
    return f"{text}; abstained: {row['abstention']}" if row["abstention"] else text


def _sizing(row: Row, sizing: SizingParams | None) -> str:
    """Return what the signal alone would have held."""
    if sizing is None:
        return "unknown: the run kept no configuration"
    exposure = signed_exposure(row["level"], row["confidence"], row["volatility"], sizing)
    return f"level, confidence and volatility ask for {exposure:+.8g} of the equity, {shown(exposure * row['equity'])}"


def _gate(row: Row) -> list[str]:
    """Return one line a rule, with the size that it and those before it leave."""
    if "rules" not in row:
        return [_line("gate", f"{row['verdict']}; the rules' numbers were not kept by this older run")]
    judged = judgement(row)
    if judged is None:
        verdict = "" if row["verdict"] == "allowed" else f"; verdict before it was asked: {row['verdict']}"
        return [_line("gate", f"not asked: no increase was proposed{verdict}")]
    lines = [_line("gate", f"asked for {judged.wanted} lots, {judged.held} held; verdict: {row['verdict']}")]
    for result in judged.results():
        text = f"{result.verdict:<6} {result.name:<17} {_compared(result)}"
        lines.append(_line("", f"{text}; leaves {result.lots} lots"))
    return lines


def _compared(result: RuleResult) -> str:
    """Return what a rule measured, and against what."""
    rule = _RULES.get(result.name)
    if rule is None:
        return f"{shown(result.value)} against {shown(result.limit)}"
    if isnan(result.value):
        return f"{rule.value}: nothing to judge"
    return f"{rule.value}: {shown(result.value)}, passes {rule.passes} {shown(result.limit)} ({rule.unit})"


def _stop(row: Row) -> str:
    old, new = row["stop_price"], row["new_stop_price"]
    if not new:
        return "none: nothing is held after it"
    away = f"{shown(abs(row['close'] - new) / row['close'])} of the close away"
    if not old:
        return f"{shown(new)} planned, {away}"
    return f"stays at {shown(new)}, {away}" if old == new else f"moved from {shown(old)} to {shown(new)}, {away}"


def _average(fills: Sequence[Row]) -> float:
    total = sum(float(fill["quantity"]) for fill in fills)
    return sum(float(fill["quantity"]) * float(fill["price"]) for fill in fills) / total
