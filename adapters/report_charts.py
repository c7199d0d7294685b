"""The series of a run's charts, thinned to what a screen can show, as plain data for `report_charts.js`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from adapters.run_files import Run, buy_and_hold, floats
from core.performance import EquityCurve, drawdowns

__all__ = ["chart_data", "thinned"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

POINTS = 4000
"""Most points of a line."""
MARKS = 6000
"""Most fills marked on a price."""
MEANS = 480
"""Most buckets of a mean."""
SHADES = 4
"""Steps of colour on each side of a vote of 0."""


def chart_data(run: Run, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``{chart name: panel}``: lines, marks and strips with times in seconds since the epoch.

    A panel has ``format`` (money, percent, price, number), ``lines`` with columns ``t`` and ``v``, and may have
    ``range`` (fixed limits of the vertical axis), ``include`` (a value it must show), ``marks`` or ``strips``.
    """
    held = buy_and_hold(run.closes())
    start = float(summary["starting_equity"])
    market = EquityCurve(held.ts, held.close)
    charts: dict[str, Any] = {
        "equity": {
            "format": "money",
            "include": start,
            "lines": [
                _line("Buy and hold", "market", held.ts, held.close * start),
                _line("Ensemble", "own", run.curve.ts, run.curve.equity),
            ],
        },
        "drawdown": {
            "format": "percent",
            "include": 0.0,
            "lines": [
                _line("Buy and hold", "market", held.ts, -drawdowns(market)),
                _line("Ensemble", "own area", run.curve.ts, -drawdowns(run.curve)),
            ],
        },
        "exposure": {
            "format": "percent",
            "include": 0.0,
            "lines": [_line("Net exposure", "own area step", run.curve.ts, run.exposure)],
        },
        "signal": _signal(run),
        "votes": _votes(run, list(summary.get("model_ids", ()))),
    }
    for number, (name, closes) in enumerate(run.closes().items()):
        charts[f"price-{number}"] = {
            "format": "price",
            "lines": [_line("Price", "market", closes.ts, closes.close)],
            "marks": _marks(run, name),
        }
    return charts


def thinned(values: FloatArray, points: int = POINTS) -> IntArray:
    """Return which of ``values`` float64[n] to draw: the lowest and the highest of each bucket, the first, the last.

    At most ``points + 2`` indices, ascending; all of them where there are no more than ``points``.
    """
    n = len(values)
    if n <= points:
        return np.arange(n, dtype=np.int64)
    size = -(-n // (points // 2))
    buckets = -(-n // size)
    padded = np.concatenate((values, np.full(buckets * size - n, values[-1]))).reshape(buckets, size)
    first = np.arange(buckets) * size
    chosen = np.concatenate((first + padded.argmin(axis=1), first + padded.argmax(axis=1), [0, n - 1]))
    return np.unique(np.minimum(chosen, n - 1)).astype(np.int64)


def _line(name: str, style: str, ts: IntArray, values: FloatArray) -> dict[str, Any]:
    keep = thinned(values)
    return {"name": name, "style": style, "t": _seconds(ts[keep]), "v": _short(values[keep])}


def _marks(run: Run, instrument: str) -> list[dict[str, Any]]:
    """Return entries by side, exits and stops of one instrument, each with times, prices and what they were."""
    table = run.fill_table.filter(pc.equal(run.fill_table["instrument_id"], instrument))
    every = -(-max(table.num_rows, 1) // MARKS)
    rows = table.take(np.arange(0, table.num_rows, every))
    ts, price = np.asarray(rows["ts_event"]), floats(rows, "price")
    purpose = np.array(rows["purpose"].to_pylist(), dtype=object)
    buy = np.asarray(pc.equal(rows["side"], "BUY"))
    opens = (purpose == "entry") | (purpose == "increase")
    kinds = {
        ("Long entry", "long"): opens & buy,
        ("Short entry", "short"): opens & ~buy,
        ("Exit", "exit"): ~opens & (purpose != "stop"),
        ("Stop", "stop"): purpose == "stop",
    }
    return [
        {"name": name, "style": style, "t": _seconds(ts[which]), "v": _short(price[which])}
        for (name, style), which in kinds.items()
        if np.any(which)
    ]


def _signal(run: Run) -> dict[str, Any]:
    """Return mean confidence and agreement over time, of the decisions on which the models voted."""
    voted = _voted(run)
    ts = np.asarray(run.decisions["ts_event"])[voted]
    lines = []
    for name, column, style in (("Confidence", "confidence", "own"), ("Agreement", "agreement", "other")):
        t, v = _means(ts, floats(run.decisions, column)[voted])
        lines.append({"name": name, "style": style, "t": t, "v": v})
    return {"format": "percent", "range": [0.0, 1.0], "lines": lines}


def _votes(run: Run, model_ids: list[str]) -> dict[str, Any]:
    """Return each model's mean vote over time as shades from -SHADES (short) to SHADES (long)."""
    voted = _voted(run)
    ts = np.asarray(run.decisions["ts_event"])[voted]
    flat = np.asarray(pc.list_flatten(run.decisions["levels"]), dtype=np.float64)
    width = len(flat) // len(ts) if len(ts) else 0
    if width == 0 or width * len(ts) != len(flat):
        return {"format": "shade", "lines": [], "strips": []}
    levels = flat.reshape(len(ts), width)
    strips = []
    for model in range(width):
        t, v = _means(ts, levels[:, model])
        shade = np.rint(np.array(v) * SHADES).astype(int).tolist()
        name = model_ids[model] if len(model_ids) == width else f"model {model + 1}"
        strips.append({"name": name, "t": t, "v": shade})
    return {"format": "shade", "lines": [], "strips": strips}


def _voted(run: Run) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.greater(pc.list_value_length(run.decisions["levels"]), 0))


def _means(ts: IntArray, values: FloatArray) -> tuple[list[int], list[float]]:
    """Return the first time and the mean of each of at most `MEANS` buckets of equal count."""
    if len(ts) == 0:
        return [], []
    first = np.unique(np.linspace(0, len(ts), min(MEANS, len(ts)), endpoint=False).astype(np.int64))
    counts = np.diff(np.append(first, len(ts)))
    return _seconds(ts[first]), _short(np.add.reduceat(values, first) / counts)


def _seconds(ts: IntArray) -> list[int]:
    seconds: list[int] = (ts // 1_000_000_000).tolist()
    return seconds


def _short(values: FloatArray) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
