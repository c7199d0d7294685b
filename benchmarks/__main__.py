"""Run every ``bench_*`` module; print a table, then one JSON line a row.

``python -m benchmarks [WORD ...]`` runs those whose name contains one of the words. Each module has
``rows() -> list[Row]``; a goal is written ``>= 200000`` or ``<= 1.5``, and is empty where a row only reports.
"""

import importlib
import json
import operator
import pkgutil
import sys
from typing import TypedDict

from rich.console import Console
from rich.table import Table

import benchmarks


class Row(TypedDict):
    """One measurement: what, how much, of which unit, and the goal."""

    row: str
    value: float
    unit: str
    goal: str


def met(value: float, goal: str) -> bool | None:
    """Return whether a value meets its goal; None where there is none."""
    if not goal:
        return None
    sign, limit = goal.split()
    return bool({">=": operator.ge, "<=": operator.le}[sign](value, float(limit)))


def main(words: list[str]) -> int:
    """Measure, and return 1 where nothing was found to measure."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name.startswith("bench_")]
    wanted = [name for name in names if not words or any(word in name for word in words)]
    rows: list[Row] = []
    for name in wanted:
        print(f"running {name}", file=sys.stderr)
        rows += importlib.import_module(f"benchmarks.{name}").rows()
    if not rows:
        print(f"benchmarks: nothing matches {words}; choose from {', '.join(names)}", file=sys.stderr)
        return 1
    table = Table("row", "value", "unit", "goal", "met")
    for row in rows:
        value = f"{row['value']:,.0f}" if abs(row["value"]) >= 1000 else f"{row['value']:.4g}"
        verdict = {None: "", True: "yes", False: "NO"}[met(row["value"], row["goal"])]
        table.add_row(row["row"], value, row["unit"], row["goal"], verdict)
    Console(width=max(110, Console().width)).print(table)
    for row in rows:
        print(json.dumps({**row, "met": met(row["value"], row["goal"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
