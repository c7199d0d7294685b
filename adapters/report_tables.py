"""The tables of a report as HTML, and how its numbers are written."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any, TypeGuard

import numpy as np
import pyarrow.compute as pc

from adapters.run_files import Run
from core.fills import RoundTrip, profit_factor, win_rate
from core.performance import EquityCurve, monthly_returns

__all__ = [
    "bps",
    "count_table",
    "duration",
    "extremes_table",
    "hash_table",
    "known",
    "money",
    "monthly_table",
    "percent",
    "ratio",
    "reason_of",
    "signed",
    "table",
    "tone",
    "trips_table",
]

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
EXTREMES = 5


def known(value: float | None) -> TypeGuard[float]:
    """Return whether there is a figure to write; a dash stands for one that is undefined."""
    return value is not None and math.isfinite(value)


def percent(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """Write a fraction as per cent, for people only."""
    return _minus(f"{value:{'+' if sign else ''}.{digits}%}") if known(value) else "\u2013"


def money(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """Write an amount of quote currency."""
    return _minus(f"{value:{'+' if sign else ''},.{digits}f}") if known(value) else "\u2013"


def ratio(value: float | None, digits: int = 2) -> str:
    """Write a plain number."""
    return _minus(f"{value:,.{digits}f}") if known(value) else "\u2013"


def bps(value: float | None) -> str:
    """Write basis points."""
    return f"{_minus(f'{value:.2f}')} bps" if known(value) else "\u2013"


def signed(value: float | None) -> str:
    """Write an amount with its sign, coloured by it."""
    return f'<span class="{tone(value)}">{money(value, sign=True)}</span>'


def tone(value: float | None) -> str:
    """Return the class that colours a gain or a loss."""
    return "" if not known(value) or value == 0.0 else "gain" if value > 0.0 else "loss"


def duration(seconds: float | None) -> str:
    """Write a time span in its two largest units."""
    if seconds is None:
        return "\u2013"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    return f"{hours // 24} d {hours % 24} h"


def moment(ts_ns: int) -> str:
    """Write a time, UTC, to the minute."""
    return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M")


def monthly_table(curve: EquityCurve) -> str:
    """Return the monthly returns as a heat table, years down, each month a button that zooms the charts to it."""
    months = monthly_returns(curve)
    if not months:
        return '<p class="note">Less than a day was replayed.</p>'
    strongest = max(abs(value) for value in months.values()) or 1.0
    head = "".join(f'<th scope="col">{name}</th>' for name in MONTHS)
    rows = []
    for year in range(min(months)[0], max(months)[0] + 1):
        cells = "".join(_month(year, month, months.get((year, month)), strongest) for month in range(1, 13))
        whole = float(np.prod([1.0 + value for (y, _), value in months.items() if y == year]) - 1.0)
        rows.append(f'<tr><th scope="row">{year}</th>{cells}<td class="year">{percent(whole, 1, sign=True)}</td></tr>')
    return (
        f'<div class="wide"><table class="months heat"><thead><tr><th></th>{head}<th scope="col">Year</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _month(year: int, month: int, value: float | None, strongest: float) -> str:
    if value is None:
        return "<td></td>"
    start = datetime(year, month, 1, tzinfo=UTC)
    end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    direction = "" if value == 0.0 else "up" if value > 0.0 else "down"
    return (
        f'<td class="{direction}" style="--v:{abs(value) / strongest:.3f}"><button '
        f'data-from="{int(start.timestamp())}" data-to="{int(end.timestamp())}" '
        f'title="zoom to {MONTHS[month - 1]} {year}">{percent(value, 1, sign=True)}</button></td>'
    )


def trips_table(label: str, trips: Sequence[RoundTrip], group: Callable[[RoundTrip], str]) -> str:
    """Return round trips grouped by a name: how many, how many won, what they made."""
    groups: dict[str, list[RoundTrip]] = {}
    for trip in trips:
        groups.setdefault(group(trip), []).append(trip)
    profits = {name: sum(trip.profit for trip in own) for name, own in groups.items()}
    largest = max((abs(profit) for profit in profits.values()), default=0.0) or 1.0
    rows = []
    for name in sorted(groups, key=lambda name: -len(groups[name])):
        own, profit = groups[name], profits[name]
        bar = f'<i class="bar {tone(profit)}" style="width:{abs(profit) / largest:.1%}"></i>'
        halves = f"<span>{bar if profit < 0.0 else ''}</span><span>{bar if profit >= 0.0 else ''}</span>"
        rows.append(
            f'<tr><th scope="row">{escape(name)}</th><td class="n">{len(own):,}</td>'
            f'<td class="n">{percent(win_rate(own), 0)}</td><td class="n">{ratio(profit_factor(own))}</td>'
            f'<td class="n">{signed(profit)}</td><td class="bars"><div>{halves}</div></td></tr>'
        )
    head = (
        f'<th scope="col">{escape(label)}</th><th class="n" scope="col">trips</th><th class="n" scope="col">won</th>'
        '<th class="n" scope="col">factor</th><th class="n" scope="col">profit</th><th></th>'
    )
    return table(head, rows)


def reason_of(run: Run) -> Callable[[RoundTrip], str]:
    """Return what names the exit reason of a round trip, in words."""
    reasons, purposes = run.fill_table["exit_reason"].to_pylist(), run.fill_table["purpose"].to_pylist()
    return lambda trip: str(reasons[trip.last_fill] or purposes[trip.last_fill]).replace("_", " ")


def extremes_table(trips: Sequence[RoundTrip], reason: Callable[[RoundTrip], str]) -> str:
    """Return the round trips that gained and lost most."""
    ranked = sorted(trips, key=lambda trip: trip.profit)
    few = len(ranked) <= 2 * EXTREMES
    chosen = ranked[::-1] if few else [*ranked[: -EXTREMES - 1 : -1], *ranked[EXTREMES - 1 :: -1]]
    rows = [
        f"<tr><td>{moment(trip.ts_entry)}</td><td>{escape(trip.instrument_id)}</td>"
        f"<td>{'long' if trip.side > 0 else 'short'}</td>"
        f'<td class="n">{trip.entry_price:,.6g}</td><td class="n">{trip.exit_price:,.6g}</td>'
        f'<td class="n">{duration((trip.ts_exit - trip.ts_entry) / 1e9)}</td><td class="n">{escape(reason(trip))}</td>'
        f'<td class="n">{signed(trip.profit)}</td></tr>'
        for trip in chosen
    ]
    head = (
        '<th scope="col">entry, UTC</th><th scope="col">instrument</th><th scope="col">side</th>'
        '<th class="n" scope="col">entry price</th><th class="n" scope="col">exit price</th>'
        '<th class="n" scope="col">held</th><th class="n" scope="col">exit</th><th class="n" scope="col">profit</th>'
    )
    return f'<div class="wide">{table(head, rows)}</div>'


def count_table(label: str, run: Run, column: str, empty: str) -> str:
    """Return how often each value of a decision column occurred, as shares; ``empty`` names the empty text."""
    counts: list[Mapping[str, Any]] = pc.value_counts(run.decisions[column]).to_pylist()
    rows = []
    for item in sorted(counts, key=lambda item: -int(item["counts"])):
        share = item["counts"] / run.decisions.num_rows
        rows.append(
            f'<tr><th scope="row">{escape((item["values"] or empty).replace("_", " "))}</th>'
            f'<td class="n">{item["counts"]:,}</td><td class="n">{percent(share, 1)}</td>'
            f'<td class="bars"><i class="bar" style="width:{share:.2%}"></i></td></tr>'
        )
    head = (
        f'<th scope="col">{escape(label)}</th><th class="n" scope="col">decisions</th>'
        '<th class="n" scope="col">share</th><th></th>'
    )
    return table(head, rows)


def hash_table(summary: Mapping[str, Any]) -> str:
    """Return every hash of the summary, a model's beside its name."""
    rows: list[str] = []
    for key, value in summary.items():
        if key == "model_hashes":
            names = summary.get("model_ids") or range(1, len(value) + 1)
            rows.extend(_hash(f"model {name}", digest) for name, digest in zip(names, value, strict=False))
        elif key.endswith(("_hash", "_sha256")):
            rows.append(_hash(key.removesuffix("_sha256").removesuffix("_hash"), value))
    return table('<th scope="col">what</th><th scope="col">SHA-256</th>', rows)


def _hash(name: str, value: object) -> str:
    return f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(str(value))}</code></td></tr>'


def table(head: str, rows: Iterable[str]) -> str:
    """Return a table of the cells of its head and its rows, which are markup."""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
