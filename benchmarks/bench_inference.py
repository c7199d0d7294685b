"""Inference of one observation: one model and five, stacked and apart, recurrent and mixed, bound buffers or not."""

import sys
import time
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

from adapters.network import Head, Lstm, Network
from adapters.network_graph import INPUT, OUTPUTS, network_to_onnx, stacked_to_onnx
from adapters.onnx_policy import OnnxEnsemble, open_session
from benchmarks.__main__ import Row, main
from core.actions import ActionSpec, decode_discrete
from core.features import feature_spec

CALLS = 20_000
LEVELS = np.array(ActionSpec().levels)
HIDDEN = 64
_KEPT: list[np.ndarray] = []
"""Bound buffers, which a session does not own."""


def random_network(seed: int, *, head: Head = "softmax", recurrent: bool = False) -> Network:
    """Return a network of a shape that is trained."""
    rng = np.random.default_rng(seed)
    width = feature_spec().observation_width

    def tensor(*shape: int) -> Any:
        return rng.normal(0.0, 0.2, shape).astype(np.float32)

    shape = (HIDDEN if recurrent else width, 64, 64, len(LEVELS) if head == "softmax" else 2)
    gates = 4 * HIDDEN
    return Network(
        rng.normal(size=width).astype(np.float32),
        rng.uniform(0.5, 2.0, width).astype(np.float32),
        tuple(tensor(*pair) for pair in pairwise(shape)),
        tuple(tensor(wide) for wide in shape[1:]),
        "Tanh",
        head,
        Lstm(tensor(width, gates), tensor(HIDDEN, gates), tensor(gates)) if recurrent else None,
    )


def ensemble(networks: list[Network]) -> OnnxEnsemble:
    """Return an ensemble of networks that belong to no artifact."""
    artifacts: list[Any] = []
    for number, network in enumerate(networks):
        actions = ActionSpec(kind="discrete" if network.head == "softmax" else "continuous")
        manifest = SimpleNamespace(model_id=str(number), sha256=str(number), calibration=None, actions=actions)
        artifacts.append(SimpleNamespace(network=network, manifest=manifest))
    return OnnxEnsemble(artifacts)


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
    binding.bind_output(OUTPUTS["softmax"], "cpu", 0, dtype, shape, out.ctypes.data)
    _KEPT.append(out)
    return lambda: session.run_with_iobinding(binding)


def rows() -> list[Row]:
    """Measure."""
    networks = [random_network(seed) for seed in range(5)]
    recurrent = [random_network(seed, recurrent=True) for seed in range(5)]
    mixed = [*networks[:3], recurrent[3], random_network(4, head="normal")]
    width = networks[0].shape[0]
    row = np.random.default_rng(9).normal(size=(1, width)).astype(np.float32)
    feed = {INPUT: row}
    single = open_session(network_to_onnx(networks[0]))
    apart = [open_session(network_to_onnx(network)) for network in networks]
    stacked = open_session(stacked_to_onnx(networks))
    together = bound(stacked, row, (5, len(LEVELS)), np.float64)
    answer = stacked.run(None, feed)[0]
    five, one_recurrent, five_recurrent, of_all = map(ensemble, (networks, recurrent[:1], recurrent, mixed))
    calls: dict[str, tuple[Callable[[], object], str]] = {
        "one model": (lambda: single.run(None, feed), ""),
        "one model, bound buffers": (bound(single, row, (1, len(LEVELS)), np.float32), ""),
        "five models, five sessions": (lambda: [session.run(None, feed) for session in apart], ""),
        "five models, stacked": (lambda: stacked.run(None, feed), "<= 12"),
        "five models, stacked, bound buffers": (together, ""),
        "decoding five votes": (lambda: decode_discrete(answer, LEVELS), ""),
        "five models, a vote of the ensemble": (lambda: five.vote(row[0]), "<= 12"),
        f"one recurrent model (LSTM {HIDDEN}), a vote": (lambda: one_recurrent.vote(row[0]), "<= 16"),
        f"five recurrent models (LSTM {HIDDEN}), a vote": (lambda: five_recurrent.vote(row[0]), ""),
        "three perceptrons, a recurrent, a continuous model, a vote": (lambda: of_all.vote(row[0]), ""),
    }
    found: list[Row] = []
    for name, (call, goal) in calls.items():
        median, tail = microseconds(call)
        found.append(Row(row=f"inference, {name}, p50", value=median, unit="us", goal=goal))
        found.append(Row(row=f"inference, {name}, p99", value=tail, unit="us", goal=""))
    return found


if __name__ == "__main__":
    sys.exit(main(["bench_inference"]))
