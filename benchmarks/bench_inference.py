"""Inference of one observation: one model and five, stacked and apart, plain and with bound buffers."""

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from adapters.network import INPUT, OUTPUT, Network, network_to_onnx, stacked_to_onnx
from adapters.onnx_policy import open_session
from benchmarks.__main__ import Row, main
from core.actions import ActionSpec, decode_discrete
from core.features import feature_spec

CALLS = 20_000
LEVELS = np.array(ActionSpec().levels)
_KEPT: list[np.ndarray] = []
"""Bound buffers, which a session does not own."""


def random_network(seed: int) -> Network:
    """Return a network of the shape that is trained."""
    rng = np.random.default_rng(seed)
    shape = (feature_spec().observation_width, 64, 64, len(LEVELS))
    return Network(
        rng.normal(size=shape[0]).astype(np.float32),
        rng.uniform(0.5, 2.0, shape[0]).astype(np.float32),
        tuple(rng.normal(0.0, 0.2, pair).astype(np.float32) for pair in pairwise(shape)),
        tuple(rng.normal(0.0, 0.2, width).astype(np.float32) for width in shape[1:]),
        "Tanh",
    )


def microseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the 99th percentile of a call."""
    for _ in range(500):
        call()
    taken = np.empty(CALLS)
    for i in range(CALLS):
        began = time.perf_counter_ns()
        call()
        taken[i] = time.perf_counter_ns() - began
    return float(np.median(taken)) / 1e3, float(np.percentile(taken, 99)) / 1e3


def bound(session: Any, row: np.ndarray, shape: tuple[int, ...], dtype: Any) -> Callable[[], object]:
    """Return a call that reads and writes buffers that were bound once."""
    out = np.empty(shape, dtype=dtype)
    binding = session.io_binding()
    binding.bind_cpu_input(INPUT, row)
    binding.bind_output(OUTPUT, "cpu", 0, dtype, shape, out.ctypes.data)
    _KEPT.append(out)
    return lambda: session.run_with_iobinding(binding)


def rows() -> list[Row]:
    """Measure."""
    networks = [random_network(seed) for seed in range(5)]
    width = networks[0].shape[0]
    row = np.random.default_rng(9).normal(size=(1, width)).astype(np.float32)
    feed = {INPUT: row}
    single = open_session(network_to_onnx(networks[0]))
    apart = [open_session(network_to_onnx(network)) for network in networks]
    stacked = open_session(stacked_to_onnx(networks))
    together = bound(stacked, row, (5, len(LEVELS)), np.float64)
    answer = stacked.run(None, feed)[0]
    calls: dict[str, tuple[Callable[[], object], str]] = {
        "one model": (lambda: single.run(None, feed), ""),
        "one model, bound buffers": (bound(single, row, (1, len(LEVELS)), np.float32), ""),
        "five models, five sessions": (lambda: [session.run(None, feed) for session in apart], ""),
        "five models, stacked": (lambda: stacked.run(None, feed), "<= 12"),
        "five models, stacked, bound buffers": (together, ""),
        "five models, stacked, bound buffers, decoded": (lambda: (together(), decode_discrete(answer, LEVELS)), ""),
        "decoding five votes": (lambda: decode_discrete(answer, LEVELS), ""),
    }
    found: list[Row] = []
    for name, (call, goal) in calls.items():
        median, tail = microseconds(call)
        found.append(Row(row=f"inference, {name}, p50", value=median, unit="us", goal=goal))
        found.append(Row(row=f"inference, {name}, p99", value=tail, unit="us", goal=""))
    return found


if __name__ == "__main__":
    sys.exit(main(["bench_inference"]))
