"""What the gate remembers of an instrument: entries, closed trades, pauses, and the numbers of its last judgement.

The memory is a stretch of a float64 array that begins at ``at``, so that a simulation keeps it within its own state;
alone it begins at 0. It holds everything that the rules remember, and nothing else does: saved and restored as it is,
it goes on. Its first place says how it is laid out, `fits` compares that with the limits of today.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.compiled import inlined
from core.risk import RiskParams
from core.rules import RULES

__all__ = [
    "NEVER_BARS",
    "Memory",
    "Protections",
    "close_trade",
    "fits",
    "memory_size",
    "new_memory",
    "open_bar",
    "recall",
    "record_entry",
    "reset",
    "withdraw_entry",
]

FloatArray = npt.NDArray[np.float64]

DAY_NS = 86_400_000_000_000
NEVER_BARS = 1_000_000
"""Bars since the last entry where there has been none."""

_VERSION = 1
"""Raised with every change of what a place means."""


class Memory(NamedTuple):
    """Places of the memory, float64.

    ``layout`` version and lengths of the rings; ``ts`` (ns) and ``bar`` (count) of the bar that was opened last;
    ``paused`` (0 or 1) by volatility, ``calm`` bars in a row since; ``entry_bar`` of the last entry; ``entries`` in
    all; ``day`` (UTC) of the last entry and the entries on it; ``streak`` losses in a row; ``stops`` and ``trades`` in
    all;
    ``*_until``: the last bar of each pause; ``judged_ts``, ``wanted`` and ``held`` lots of the last judgement;
    ``explain`` (0 or 1): whether judgements are written down.

    After these: value, limit and lots of each rule in the last judgement; then the rings: times of the entries,
    times of the stop-outs, times and returns of the trades.
    """

    layout: int
    ts: int
    bar: int
    paused: int
    calm: int
    entry_bar: int
    entries: int
    day: int
    day_entries: int
    streak: int
    streak_until: int
    stops: int
    stops_until: int
    trades: int
    profit_until: int
    judged_ts: int
    wanted: int
    held: int
    explain: int


M = Memory(*range(len(Memory._fields)))
"""Places of the memory by name."""
JUDGED = len(Memory._fields)
"""Place of the first rule's numbers."""
NUMBERS = 3
"""Numbers of a rule: value, limit, lots that it leaves."""
_ENTRIES = JUDGED + NUMBERS * len(RULES)


class Protections(NamedTuple):
    """What the memory says at a decision.

    ``entries_24h``, ``entries_today`` (UTC day); ``bars_since_entry``; ``calm_bars_missing`` before volatility no
    longer pauses; ``loss_streak`` losses in a row; ``streak_bars_left``, ``stop_bars_left``, ``profit_bars_left`` of
    the pauses. Bars are decision bars, the present one included.
    """

    entries_24h: int
    entries_today: int
    bars_since_entry: int
    calm_bars_missing: int
    loss_streak: int
    streak_bars_left: int
    stop_bars_left: int
    profit_bars_left: int


@inlined
def memory_size(params: RiskParams) -> int:
    """Return how many places the memory takes."""
    return _trade_ring(params) + 2 * max(params.low_profit_trades, 1)


@inlined
def layout(params: RiskParams) -> float:
    """Return the number that names the layout: version and lengths of the rings, exact in a float64."""
    rings = (max(params.max_entries_24h, 1) * 65_536 + max(params.stop_guard_stops, 1)) * 65_536
    return float((rings + max(params.low_profit_trades, 1)) * 16 + _VERSION)


def new_memory(params: RiskParams) -> FloatArray:
    """Return a memory of nothing, which explains."""
    memory = np.zeros(memory_size(params))
    reset(memory, 0, params)
    memory[M.explain] = 1.0
    return memory


def fits(memory: FloatArray, params: RiskParams) -> bool:
    """Return whether a saved memory is laid out as these limits need it; otherwise begin with a new one."""
    return len(memory) == memory_size(params) and bool(memory[M.layout] == layout(params))


@inlined
def reset(memory: FloatArray, at: int, params: RiskParams) -> None:
    """Forget everything; explain nothing, as nobody asks an account of a simulation."""
    for place in range(at, at + memory_size(params)):
        memory[place] = 0.0
    memory[at + M.layout] = layout(params)
    memory[at + M.entry_bar] = -NEVER_BARS
    memory[at + M.day] = -1.0
    memory[at + M.judged_ts] = -1.0


@inlined
def open_bar(memory: FloatArray, at: int, ts: int, volatility_rank: float, params: RiskParams) -> None:
    """Begin a decision bar that closed at ``ts`` (ns); its decision follows.

    A ``volatility_rank`` in [0, 1] above the quantile begins a pause. Bars at or below the calm quantile end it, enough
    of them in a row; a NaN, of bars that nobody decides on, leaves everything as it is.
    """
    memory[at + M.ts] = ts
    memory[at + M.bar] += 1.0
    if volatility_rank > params.volatility_quantile:
        memory[at + M.paused] = 1.0
        memory[at + M.calm] = 0.0
    elif memory[at + M.paused] == 1.0:
        if volatility_rank > params.volatility_calm_quantile:
            memory[at + M.calm] = 0.0
        elif volatility_rank <= params.volatility_calm_quantile:
            memory[at + M.calm] += 1.0
            if memory[at + M.calm] >= params.volatility_observation_bars:
                memory[at + M.paused] = 0.0


@inlined
def record_entry(memory: FloatArray, at: int, params: RiskParams) -> None:
    """Remember that an increase was decided at this bar."""
    ts = memory[at + M.ts]
    day = _day(ts)
    if day != memory[at + M.day]:
        memory[at + M.day] = day
        memory[at + M.day_entries] = 0.0
    memory[at + M.day_entries] += 1.0
    memory[at + _ENTRIES + int(memory[at + M.entries]) % max(params.max_entries_24h, 1)] = ts
    memory[at + M.entries] += 1.0
    memory[at + M.entry_bar] = memory[at + M.bar]


@inlined
def withdraw_entry(memory: FloatArray, at: int, params: RiskParams) -> None:
    """Take the last entry back: its order ended without a fill. The next one keeps its distance all the same."""
    if memory[at + M.entries] == 0.0:
        return
    memory[at + M.entries] -= 1.0
    place = at + _ENTRIES + int(memory[at + M.entries]) % max(params.max_entries_24h, 1)
    if memory[place] > 0.0 and _day(memory[place]) == memory[at + M.day]:
        memory[at + M.day_entries] = max(memory[at + M.day_entries] - 1.0, 0.0)
    memory[place] = 0.0


@inlined
def close_trade(
    memory: FloatArray,
    at: int,
    trade_return: float,
    stopped: bool,  # noqa: FBT001
    params: RiskParams,
) -> None:
    """Remember that the position went flat, and begin the pauses that follow from it.

    ``trade_return``: realised profit less commissions of the whole position, a fraction of the equity at its first
    entry (NaN counts as a loss); ``stopped``: its protective stop closed it. A trade is dated by the bar that was
    opened last.
    """
    ts, bar = memory[at + M.ts], memory[at + M.bar]
    if trade_return >= 0.0:
        memory[at + M.streak] = 0.0
    else:
        memory[at + M.streak] += 1.0
        if memory[at + M.streak] >= params.loss_streak:
            memory[at + M.streak_until] = bar + params.loss_streak_bars
    if stopped:
        ring = max(params.stop_guard_stops, 1)
        first = at + _stop_ring(params)
        memory[first + int(memory[at + M.stops]) % ring] = ts
        memory[at + M.stops] += 1.0
        count = int(memory[at + M.stops])
        if count >= ring and memory[first + count % ring] > ts - params.stop_guard_ns:
            memory[at + M.stops_until] = bar + params.stop_guard_bars
    ring = max(params.low_profit_trades, 1)
    first = at + _trade_ring(params)
    place = first + 2 * (int(memory[at + M.trades]) % ring)
    memory[place] = ts
    memory[place + 1] = trade_return
    memory[at + M.trades] += 1.0
    count = int(memory[at + M.trades])
    if count >= ring and memory[first + 2 * (count % ring)] > ts - params.low_profit_ns:
        total = 0.0
        for i in range(ring):
            total += memory[first + 2 * i + 1]
        if not total >= params.low_profit_return:
            memory[at + M.profit_until] = bar + params.low_profit_bars


@inlined
def recall(memory: FloatArray, at: int, params: RiskParams) -> Protections:
    """Return what is remembered at the bar that was opened last."""
    ts, bar = memory[at + M.ts], memory[at + M.bar]
    ring = max(params.max_entries_24h, 1)
    entries = int(memory[at + M.entries])
    place = (entries - 1) % ring
    count = 0
    while count < min(entries, ring) and memory[at + _ENTRIES + place] > ts - DAY_NS:
        count += 1
        place = place - 1 if place > 0 else ring - 1
    today = int(memory[at + M.day_entries]) if _day(ts) == memory[at + M.day] else 0
    missing = 0
    if memory[at + M.paused] == 1.0:
        missing = params.volatility_observation_bars - int(memory[at + M.calm])
    return Protections(
        count,
        today,
        int(bar - memory[at + M.entry_bar]),
        missing,
        int(memory[at + M.streak]),
        int(max(memory[at + M.streak_until] - bar + 1.0, 0.0)),
        int(max(memory[at + M.stops_until] - bar + 1.0, 0.0)),
        int(max(memory[at + M.profit_until] - bar + 1.0, 0.0)),
    )


@inlined
def _day(ts: float) -> float:
    """Return the UTC day of a close; one at midnight belongs to the day that it ends, as in `core.breaker`."""
    return float(np.ceil(ts / DAY_NS) - 1.0)


@inlined
def _stop_ring(params: RiskParams) -> int:
    """Return the place of the first stop-out."""
    return _ENTRIES + max(params.max_entries_24h, 1)


@inlined
def _trade_ring(params: RiskParams) -> int:
    """Return the place of the first trade."""
    return _stop_ring(params) + max(params.stop_guard_stops, 1)
