"""Features: 59 columns a decision bar of 15 minutes, from bars of one minute."""

import json
import statistics
import time

import numpy as np

from benchmarks.__main__ import Row
from core.bars import Bars, interval_ns
from core.features import OPEN, Window, compute_features, feature_spec

_BARS = 150_000
_RUNS = 7


def _history() -> Bars:
    random = np.random.default_rng(1)
    close = 40_000.0 * np.exp(np.cumsum(5e-4 * random.standard_normal(_BARS)))
    open_ = np.concatenate([[40_000.0], close[:-1]])
    reach = 2e-4 * random.random((2, _BARS))
    volume = np.exp(random.standard_normal(_BARS))
    return Bars(
        interval_ns("1m") * np.arange(1, _BARS + 1),
        open_,
        np.maximum(open_, close) * (1.0 + reach[0]),
        np.minimum(open_, close) * (1.0 - reach[1]),
        close,
        volume,
        volume * random.random(_BARS),
    )


def _batch_seconds(bars: Bars, decision_interval: str) -> float:
    spec = feature_spec("1m", decision_interval)
    begin = time.perf_counter()
    compute_features(bars, None, spec)
    return time.perf_counter() - begin


def _step_times(bars: list[tuple[float, ...]], decision_interval: str) -> tuple[list[int], list[int]]:
    """Return the time in ns of each append that closed no decision bar, and of each that closed one."""
    window = Window(feature_spec("1m", decision_interval))
    append, clock = window.append, time.perf_counter_ns
    idle: list[int] = []
    closing: list[int] = []
    for bar in bars:
        begin = clock()
        outcome = append(*bar)
        taken = clock() - begin
        (idle if outcome == OPEN else closing).append(taken)
    return idle, closing


def _clock_ns() -> float:
    clock = time.perf_counter_ns
    return statistics.median(-(clock() - clock()) for _ in range(10_000))


def rows() -> list[Row]:
    """Measure: medians of several runs, compilation left out."""
    bars = _history()
    _batch_seconds(Bars(*(column[:100] for column in bars)), "15m")
    quarter = statistics.median(_batch_seconds(bars, "15m") for _ in range(_RUNS))
    minute = statistics.median(_batch_seconds(bars, "1m") for _ in range(_RUNS))
    some = list(zip(*(column[:45_000].tolist() for column in bars), strict=True))
    _step_times(some[:100], "15m")
    clock = _clock_ns()
    timed = [_step_times(some, "15m") for _ in range(_RUNS)]
    idle = statistics.median(statistics.median(first) for first, _ in timed) - clock
    closing = statistics.median(statistics.median(second) for _, second in timed) - clock
    return [
        {
            "row": "features, batch, a one-minute bar (15 m)",
            "value": quarter / _BARS * 1e6,
            "unit": "µs",
            "goal": "",
        },
        {
            "row": "features, batch, a decision bar of 15 m",
            "value": quarter / _BARS * 15e6,
            "unit": "µs",
            "goal": "<= 2.0",
        },
        {
            "row": "features, batch, a decision bar of 1 m",
            "value": minute / _BARS * 1e6,
            "unit": "µs",
            "goal": "<= 2.0",
        },
        {"row": "features, Window.append, nothing closes", "value": idle / 1e3, "unit": "µs", "goal": "<= 0.7"},
        {
            "row": "features, Window.append, a decision bar closes",
            "value": closing / 1e3,
            "unit": "µs",
            "goal": "<= 2.7",
        },
    ]


if __name__ == "__main__":
    for row in rows():
        print(json.dumps(row, ensure_ascii=False))
