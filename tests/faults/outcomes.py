"""What came of the faults, as a table: text to read, JSON to keep."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fault_table import FAULTS
from injection import Injected

__all__ = ["Outcome", "kept", "needless_halts", "outcomes", "table"]


class Outcome(NamedTuple):
    """One fault: in how many trials it was, how often it struck in all, in how many nothing was wrong.

    ``needless_halts``: trials after which a breaker stood, or something was frozen, that should not have;
    ``worst_seconds`` (real) and ``worst_bars`` until the state was the venue's and nothing was frozen.
    """

    fault: str
    injected: int
    struck: int
    survived: int
    needless_halts: int
    worst_seconds: float
    worst_bars: int


def needless_halts(one: Injected) -> int:
    """Return 1 where a halt or a freeze was left that had no need, 0 where none was."""
    return int(any("the breaker:" in each or "frozen by" in each for each in one.wrong))


def outcomes(found: Sequence[Injected]) -> list[Outcome]:
    """Return a row for each fault, in the order of the table of faults."""
    by_name = defaultdict(list)
    for one in found:
        for name in one.names:
            by_name[name].append(one)
    return [
        Outcome(
            name,
            len(some),
            sum(one.hits for one in some),
            sum(not one.wrong for one in some),
            sum(map(needless_halts, some)),
            round(max(one.seconds for one in some), 1),
            max(one.bars for one in some),
        )
        for name in (*FAULTS, *sorted(set(by_name) - set(FAULTS)))
        if (some := by_name.get(name))
    ]


def table(found: Sequence[Injected]) -> str:
    """Return the rows as text."""
    head = f"{'fault':45}{'injected':>9}{'struck':>8}{'survived':>9}{'halts':>6}{'worst s':>9}{'bars':>6}"
    lines = [
        f"{o.fault:45}{o.injected:>9}{o.struck:>8}{o.survived:>9}{o.needless_halts:>6}{o.worst_seconds:>9.1f}{o.worst_bars:>6}"
        for o in outcomes(found)
    ]
    trials, survived = len(found), sum(not one.wrong for one in found)
    halts, worst = sum(map(needless_halts, found)), max(one.seconds for one in found)
    return "\n".join(
        [head, *lines, f"{trials} trials, {survived} survived, {halts} needless halts, worst {worst:.1f} s"]
    )


def kept(found: Sequence[Injected], path: Path) -> None:
    """Add the trials to a JSON file: every trial, and the table of all that it holds."""
    known = json.loads(path.read_text()) if path.exists() else {"trials": []}
    trials = [Injected(**row) for row in known["trials"]] + list(found)
    rows = {"table": [o._asdict() for o in outcomes(trials)], "trials": [one._asdict() for one in trials]}
    path.write_text(json.dumps(rows, indent=1) + "\n")
