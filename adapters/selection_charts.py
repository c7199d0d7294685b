"""The pictures of a selection: folds, equity, luck, dispersion and calibration."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from adapters.report_charts import POINTS, thinned
from adapters.report_plot import Scale, around, drawing, guides, ticks
from adapters.report_shell import seconds_of
from adapters.report_tables import known, percent, ratio
from core.selection import Calibrated, Curve, Selection, TrialRow

__all__ = ["Histogram", "equity_panel", "folds_picture", "histogram", "reliability", "strip", "strip_axis"]

_DAY = 86_400
_ALL_POINTS = 80_000
"""Most points of all curves together."""
_LOG_FROM = 4.0
"""Ratio of the highest to the lowest equity from which on equal steps are equal ratios."""
_BINS = 24
_ROW, _LOW_ROW, _MANY = 26, 16, 16


def folds_picture(selection: Selection) -> str:
    """Return one row a fold along the calendar, and one for the holdout where there is one."""
    rows = [(f"Fold {fold.number}", fold.fit, fold.validation, fold.test) for fold in selection.folds]
    held = selection.holdout.get("start"), selection.holdout.get("end")
    spans = [(seconds_of(a), seconds_of(b)) for row in rows for a, b in row[1:]]
    if all(held):
        spans.append((seconds_of(str(held[0])), seconds_of(str(held[1]))))
    calendar = around((time for span in spans for time in span), room=0.005)
    height = _ROW if len(rows) <= _MANY else _LOW_ROW
    parts = []
    for number, (name, *ranges) in enumerate(rows):
        y = number * height
        parts.append(_row_name(name, y, height))
        edges = [(seconds_of(start), seconds_of(end)) for start, end in ranges]
        for (_, before), (after, _) in pairwise(edges):
            parts.append(_bar("gap", (before, after), calendar, y, height, f"{name}: purged and embargoed"))
        for kind, span, (start, end) in zip(("fit", "validation", "test"), edges, ranges, strict=True):
            parts.append(_bar(kind, span, calendar, y, height, f"{name}, {kind}: {start} to {end}"))
    lines = len(rows)
    if all(held):
        parts.append(_row_name("Holdout", lines * height, height))
        parts.append(_bar("holdout", spans[-1], calendar, lines * height, height, f"Holdout: {held[0]} to {held[1]}"))
        lines += 1
    alt = (
        f"{len(rows)} folds along the calendar: each is fitted, validated and tested in that order, with gaps; "
        f"the dates stand in the table below"
    )
    behind = guides(calendar, _calendar_marks(calendar), across=True)
    return drawing(behind + "".join(parts), alt=alt, height=lines * height + 4, left=58)


def equity_panel(selection: Selection) -> dict[str, Any]:
    """Return the panel of all curves for `report_charts.js`: seeds below, baselines over them, the ensemble on top.

    A day's equity stands at its close, the next midnight.
    """
    order = {"seed": 0, "baseline": 1, "ensemble": 2}
    curves = sorted((curve for curve in selection.curves if curve.days), key=lambda curve: order[curve.kind])
    points = max(200, min(POINTS, _ALL_POINTS // max(len(curves), 1)))
    values = [value for curve in curves for value in curve.equity]
    lowest, highest = min(values, default=1.0), max(values, default=1.0)
    baselines = [curve.name for curve in curves if curve.kind == "baseline"]
    panel: dict[str, Any] = {
        "format": "number",
        "include": 1.0,
        "lines": [_line(curve, _style(curve, baselines), points) for curve in curves],
        "borders": [
            {"t": seconds_of(fold.test[0]), "name": str(fold.number)} for fold in selection.folds if len(curves) > 0
        ],
    }
    if lowest > 0.0 and highest / lowest > _LOG_FROM:
        panel["log"] = True
    return panel


class Histogram(NamedTuple):
    """Counts of values in bins (``edges[i]``, ``edges[i + 1]``], and their drawing."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    picture: str


def histogram(
    values: Sequence[float], *, alt: str, marks: Sequence[tuple[str, float]] = (), split: bool = False
) -> Histogram:
    """Return a histogram whose bins have an edge at 0.

    Parameters
    ----------
    values : Sequence[float]
        What is counted; at least one.
    alt : str
        The picture in words.
    marks : Sequence[tuple[str, float]]
        Style and value of what is marked by an upright line.
    split : bool
        Whether values at or below 0 have the colour of a loss, those above that of a gain.
    """
    held = np.asarray(values, dtype=np.float64)
    scale = around([*held.tolist(), *(value for _, value in marks), 0.0], room=0.02)
    steps = ticks(scale, _BINS)
    width = steps[1] - steps[0] if len(steps) > 1 else scale.high - scale.low
    first, last = math.floor(scale.low / width), math.ceil(scale.high / width)
    edges = np.arange(first, last + 1) * width
    counts = np.bincount(np.searchsorted(edges, held, side="left") - 1, minlength=len(edges) - 1)
    axis, heights = Scale(float(edges[0]), float(edges[-1])), Scale(0.0, float(counts.max()) * 1.08)
    parts = [
        guides(axis, ((at, _tick(at)) for at in ticks(axis, 7)), across=True),
        guides(heights, ((at, f"{at:,.0f}") for at in ticks(heights, 4) if at.is_integer()), across=False),
    ]
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        if not count:
            continue
        tone = ("loss" if right <= 0.0 else "gain") if split else ""
        parts.append(
            f'<rect class="bin {tone}" x="{axis.across(left)}" width="{axis.wide(left, right)}" '
            f'y="{heights.up(float(count))}" height="{heights.wide(0.0, float(count))}">'
            f"<title>{_tick(left)} to {_tick(right)}: {count:,}</title></rect>"
        )
    parts += [_upright(style, value, axis) for style, value in marks]
    picture = drawing("".join(parts), alt=alt, height=190, left=44)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()), picture)


def strip(name: str, trials: Sequence[TrialRow], scale: Scale) -> str:
    """Return every trial of a candidate as a dot by its Sharpe ratio, earlier folds above, worst and median marked."""
    folds = sorted({trial.fold for trial in trials})
    judged = [(trial, trial.sharpe) for trial in trials if known(trial.sharpe)]
    if not judged:
        return f'<div class="strip"><h3>{escape(name)} <small>without a Sharpe ratio</small></h3></div>'
    middle, (worst, lowest) = median(value for _, value in judged), min(judged, key=lambda pair: pair[1])
    rows = {fold: (number + 0.5) / len(folds) for number, fold in enumerate(folds)}
    dots = [
        f'<circle class="dot {"loss" if value < 0.0 else "gain"}{" worst" if trial is worst else ""}" '
        f'cx="{scale.across(value)}" cy="{12 + 76 * rows[trial.fold]:.1f}%" r="{4.5 if trial is worst else 3.3}">'
        f"<title>seed {trial.seed}, fold {trial.fold}: {ratio(value)}</title></circle>"
        for trial, value in judged
    ]
    behind = guides(scale, ((at, "") for at in ticks(scale, 7)), across=True, label=False)
    inside = behind + _upright("zero", 0.0, scale) + "".join(dots) + _upright("middle", middle, scale)
    counted = f"{len(judged):,} models, median {ratio(middle)}, worst {ratio(lowest)}"
    picture = drawing(inside, alt=f"{name} by Sharpe ratio: {counted}", height=44, bottom=0)
    return f'<div class="strip"><h3>{escape(name)} <small>{counted}</small></h3>{picture}</div>'


def strip_axis(scale: Scale) -> str:
    """Return the axis under the strips."""
    marks = ((at, _tick(at)) for at in ticks(scale, 7))
    return drawing(guides(scale, marks, across=True), alt="axis of Sharpe ratios", height=4)


def reliability(calibration: Calibrated, scale: Scale, name: str) -> str:
    """Return how often votes were right against their confidence; a dot's area is the number of votes."""
    most = max((item.count for item in calibration.bins), default=1) or 1
    marks = [(at, percent(at, 0)) for at in ticks(scale, 4)]
    dots = [
        f'<circle class="dot {"loss" if item.hit_rate < item.confidence else "gain"}" '
        f'cx="{scale.across(item.confidence)}" cy="{scale.up(item.hit_rate)}" '
        f'r="{2.0 + 11.0 * math.sqrt(item.count / most):.1f}"><title>{item.count:,} votes: confidence '
        f"{percent(item.confidence, 1)}, right {percent(item.hit_rate, 1)}</title></circle>"
        for item in calibration.bins
        if item.count and known(item.confidence) and known(item.hit_rate)
    ]
    behind = guides(scale, marks, across=True) + guides(scale, marks, across=False)
    ideal = '<line class="ideal" x1="0" y1="100%" x2="100%" y2="0"/>'
    alt = f"Reliability of {name}: confidence across, share that was right upwards, in {len(calibration.bins)} bins"
    return drawing(behind + ideal + "".join(dots), alt=alt, height=200, left=40)


def _line(curve: Curve, style: str, points: int) -> dict[str, Any]:
    equity = np.asarray(curve.equity, dtype=np.float64)
    keep = thinned(equity, points)
    closes = (np.asarray(curve.days, dtype=np.int64)[keep] + 1) * _DAY
    values = [float(f"{value:.5g}") for value in equity[keep].tolist()]
    return {"name": curve.name.replace("_", " "), "style": style, "t": closes.tolist(), "v": values}


def _style(curve: Curve, baselines: Sequence[str]) -> str:
    if curve.kind == "baseline":
        return f"dashed dashed-{baselines.index(curve.name) % 4}"
    return "own thick" if curve.kind == "ensemble" else "seed"


def _row_name(name: str, y: int, height: int) -> str:
    return f'<text class="tick row" x="0" dx="-8" y="{y + height / 2 + 4:g}" text-anchor="end">{escape(name)}</text>'


def _bar(kind: str, span: tuple[float, float], scale: Scale, y: int, height: int, title: str) -> str:
    return (
        f'<rect class="span {kind}" x="{scale.across(span[0])}" width="{scale.wide(*span)}" y="{y + 3}" '
        f'height="{height - 6}"><title>{escape(title)}</title></rect>'
    )


def _upright(style: str, value: float, scale: Scale) -> str:
    at = scale.across(value)
    return f'<line class="upright {style}" x1="{at}" x2="{at}" y1="0" y2="100%"/>'


def _calendar_marks(scale: Scale, most: int = 6) -> list[tuple[float, str]]:
    """Return firsts of months, or days where the calendar is short, and how they are written."""
    first, last = (datetime.fromtimestamp(value, UTC) for value in scale)
    months = (last.year - first.year) * 12 + last.month - first.month
    if months < 3:
        step = max(1, math.ceil((scale.high - scale.low) / _DAY / most)) * _DAY
        starts = np.arange(math.ceil(scale.low / _DAY) * _DAY, scale.high, step).tolist()
        return [(at, f"{datetime.fromtimestamp(at, UTC):%d %b}") for at in starts]
    step = next((step for step in (1, 2, 3, 6, 12, 24) if months / step <= most), 60)
    begin = -(-(first.year * 12 + first.month) // step) * step
    marks = [datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC) for index in range(begin, begin + months + 1, step)]
    form = "%Y" if step >= 12 else "%b %Y"
    return [(mark.timestamp(), f"{mark:{form}}") for mark in marks if scale.low <= mark.timestamp() <= scale.high]


def _tick(value: float) -> str:
    return f"{value:.6g}".replace("-", "\u2212")
