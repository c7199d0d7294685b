"""Trading that looks wrong though every order was allowed: pure detectors over the rows of a session.

::

    rejections      too many orders refused within minutes
    flips           the position changed its side too often within hours
    slippage        a fill far worse than the price it was decided on, and than fills used to be
    entry rate      entries within a day that the backtest's rate makes all but impossible, too many or too few
    size            an entry larger than the backtest ever made
    no signal       a position beyond, or against, what the last decision wanted, or taken over from the venue
"""

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from statistics import median
from typing import Any

import msgspec

from core.bars import DAY_NS

__all__ = ["Baseline", "Pattern", "PatternLimits", "PatternState", "baseline_of", "look", "poisson_tails"]

_HOUR_NS = 3_600_000_000_000
_MINUTE_NS = 60_000_000_000
_MAD_TO_SIGMA = 1.4826
_FEWEST_FILLS = 20
_MOST = 512
_BPS = 1e4
_ENTRIES = frozenset({"entry", "increase"})
_REFUSED = frozenset({"rejected", "denied"})


class Baseline(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the backtest did: entries a day, and the largest entry as a fraction of equity; 0: not known."""

    entries_per_day: float = 0.0
    largest_entry: float = 0.0


class PatternLimits(msgspec.Struct, frozen=True, kw_only=True):
    """From where on it is told: counts within spans (ns), slippage (bps, and robust deviations), odds, a factor."""

    rejections: int
    rejections_ns: int
    flips: int
    flips_ns: int
    slippage_bps: float
    slippage_deviations: float
    rate_odds: float
    size_factor: float
    baseline: Baseline = Baseline()


class PatternState(msgspec.Struct, frozen=True):
    """What is remembered, by instrument; ``entries`` times of entries by order; ``since_ns`` of the first row."""

    since_ns: int = 0
    equity: float = 0.0
    rate_told_ns: int = 0
    rejections: Mapping[str, tuple[int, ...]] = {}
    flips: Mapping[str, tuple[int, ...]] = {}
    sides: Mapping[str, int] = {}
    slippages: Mapping[str, tuple[float, ...]] = {}
    entries: Mapping[str, int] = {}
    sizes: Mapping[str, float] = {}
    targets: Mapping[str, tuple[int, ...]] = {}


class Pattern(msgspec.Struct, frozen=True):
    """What was found: its ``pattern``, where, the ``value`` and the ``limit`` it is beyond, in words too."""

    pattern: str
    instrument_id: str
    value: float
    limit: float
    text: str
    ts_event: int


def look(
    state: PatternState, kind: str, row: Mapping[str, Any], limits: PatternLimits
) -> tuple[PatternState, tuple[Pattern, ...]]:
    """Take a row that was decided; return what looks wrong with it.

    Parameters
    ----------
    state : PatternState
        What is remembered.
    kind, row : str, Mapping
        As `adapters.recorder.SCHEMAS`.
    limits : PatternLimits
        From where on it is told.
    """
    match kind:
        case "orders" if row["status"] in _REFUSED:
            return _refused(state, row, limits)
        case "fills":
            return _filled(state, row, limits)
        case "decisions":
            return _decided(state, row, limits)
        case "equity":
            return msgspec.structs.replace(state, equity=row["equity"]), ()
        case "positions" if Decimal(row["quantity"]) != 0:
            name, text = row["instrument_id"], f"{row['quantity']} taken over from the venue: {row['reason']}"
            side = 1 if Decimal(row["quantity"]) > 0 else -1
            found = Pattern("no signal", name, float(row["quantity"]), 0.0, text, row["ts_event"])
            return msgspec.structs.replace(state, sides={**state.sides, name: side}), (found,)
        case _:
            return state, ()


def poisson_tails(count: int, mean: float) -> tuple[float, float]:
    """Return the odds of at most, and of at least, so many events where ``mean`` are expected.

    Examples
    --------
    >>> at_most, at_least = poisson_tails(0, 2.0)
    >>> round(at_most, 6), at_least
    (0.135335, 1.0)
    """
    if mean <= 0.0:
        return 1.0, 1.0 if count == 0 else 0.0
    terms = [math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1)]
    at_most = min(math.fsum(terms), 1.0)
    return at_most, 1.0 if count == 0 else max(1.0 - math.fsum(terms[:-1]), 0.0)


def baseline_of(fills: Sequence[Mapping[str, Any]], equities: Sequence[float], days: float) -> Baseline:
    """Return what a backtest did.

    Parameters
    ----------
    fills : Sequence[Mapping]
        Rows of its fills.
    equities : Sequence[float]
        Equity (quote currency), any number of marks; the median of them measures an entry.
    days : float
        Its length.
    """
    sizes: dict[str, float] = {}
    for row in fills:
        if row["purpose"] in _ENTRIES:
            sizes[row["client_order_id"]] = sizes.get(row["client_order_id"], 0.0) + _notional(row)
    if not sizes or days <= 0.0 or not equities:
        return Baseline()
    return Baseline(len(sizes) / days, max(sizes.values()) / median(equities))


def _refused(
    state: PatternState, row: Mapping[str, Any], limits: PatternLimits
) -> tuple[PatternState, tuple[Pattern, ...]]:
    name, ts = row["instrument_id"], row["ts_event"]
    times = _recent(state.rejections.get(name, ()), ts, limits.rejections_ns)
    found: tuple[Pattern, ...] = ()
    if len(times) >= limits.rejections:
        span = limits.rejections_ns // _MINUTE_NS
        text = f"{len(times)} orders refused within {span} minutes, the last: {row['reason'] or row['status']}"
        found = (Pattern("rejections", name, len(times), limits.rejections, text, ts),)
    return msgspec.structs.replace(state, rejections={**state.rejections, name: times}), found


def _filled(
    state: PatternState, row: Mapping[str, Any], limits: PatternLimits
) -> tuple[PatternState, tuple[Pattern, ...]]:
    name, ts, lots = row["instrument_id"], row["ts_event"], row["lots_after"]
    found: list[Pattern] = []
    side = (lots > 0) - (lots < 0)
    flips = state.flips.get(name, ())
    if side and side == -state.sides.get(name, side):
        flips = _recent(flips, ts, limits.flips_ns)
        if len(flips) >= limits.flips:
            text = f"the position changed its side {len(flips)} times within {limits.flips_ns // _HOUR_NS} hours"
            found.append(Pattern("flips", name, len(flips), limits.flips, text, ts))
    slippages = state.slippages.get(name, ())
    if row["arrival_price"] > 0.0 and row["purpose"] != "stop":
        signed = 1.0 if row["side"] == "BUY" else -1.0
        slipped = signed * (float(row["price"]) / row["arrival_price"] - 1.0) * _BPS
        most = _slippage_limit(slippages, limits)
        if slipped > most:
            text = f"filled {slipped:.1f} bps worse than the price it was decided on; {most:.1f} is the limit"
            found.append(Pattern("slippage", name, slipped, most, text, ts))
        slippages = (*slippages, slipped)[-_MOST:]
    entries, sizes = state.entries, state.sizes
    if row["purpose"] in _ENTRIES:
        order = row["client_order_id"]
        recent = {key: at for key, at in entries.items() if ts - at < DAY_NS}
        entries = {**recent, order: entries.get(order, ts)}
        sizes = {key: size for key, size in sizes.items() if key in recent}
        sizes[order] = state.sizes.get(order, 0.0) + _notional(row)
        found += _sized(state, name, order, sizes[order], limits, ts)
        found += _unwanted(state, name, lots, ts)
    state = msgspec.structs.replace(
        state,
        flips={**state.flips, name: flips},
        sides={**state.sides, name: side or state.sides.get(name, 0)},
        slippages={**state.slippages, name: slippages},
        entries=entries,
        sizes=sizes,
    )
    return state, tuple(found)


def _decided(
    state: PatternState, row: Mapping[str, Any], limits: PatternLimits
) -> tuple[PatternState, tuple[Pattern, ...]]:
    """Keep the last two targets, since an order may be filled while the next decision is taken; judge the rate."""
    name, ts = row["instrument_id"], row["ts_event"]
    targets = (*state.targets.get(name, ()), row["target_lots"])[-2:]
    state = msgspec.structs.replace(state, targets={**state.targets, name: targets}, since_ns=state.since_ns or ts)
    expected, found = limits.baseline.entries_per_day, ()
    if expected > 0.0 and ts - state.rate_told_ns >= DAY_NS:
        count = sum(ts - at < DAY_NS for at in state.entries.values())
        at_most, at_least = poisson_tails(count, expected)
        whole = ts - state.since_ns >= DAY_NS
        if at_least < limits.rate_odds or (whole and at_most < limits.rate_odds):
            text = f"{count} entries within 24 hours; the backtest made {expected:.1f} a day"
            state = msgspec.structs.replace(state, rate_told_ns=ts)
            return state, (Pattern("entry rate", name, count, expected, text, ts),)
    return state, found


def _sized(
    state: PatternState, name: str, order: str, notional: float, limits: PatternLimits, ts: int
) -> list[Pattern]:
    most = limits.baseline.largest_entry * limits.size_factor
    size = notional / state.equity if state.equity > 0.0 else 0.0
    if not 0.0 < most < size:
        return []
    text = f"entry {order} is {size:.3g} of equity; the backtest's largest was {limits.baseline.largest_entry:.3g}"
    return [Pattern("size", name, size, most, text, ts)]


def _unwanted(state: PatternState, name: str, lots: int, ts: int) -> list[Pattern]:
    """Say that an entry made more of a position than the last decisions wanted."""
    targets = state.targets.get(name, (0,))
    if min(*targets, 0) <= lots <= max(*targets, 0):
        return []
    text = f"{lots:+d} lots are held after an entry, and the last decision wanted {targets[-1]:+d}"
    return [Pattern("no signal", name, lots, targets[-1], text, ts)]


def _slippage_limit(past: Sequence[float], limits: PatternLimits) -> float:
    """Return from where on a fill is an outlier: a fixed limit, or where fills are worse, far beyond those so far."""
    if len(past) < _FEWEST_FILLS:
        return limits.slippage_bps
    middle = median(past)
    spread = _MAD_TO_SIGMA * median(abs(one - middle) for one in past)
    return max(limits.slippage_bps, middle + limits.slippage_deviations * spread)


def _notional(row: Mapping[str, Any]) -> float:
    return abs(float(row["quantity"])) * float(row["price"])


def _recent(times: Sequence[int], ts: int, span: int) -> tuple[int, ...]:
    """Return the times within a span, and now."""
    return (*(at for at in times if ts - at < span), ts)[-_MOST:]
