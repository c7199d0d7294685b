"""Decisions while models are loaded and exchanged all the time: vote, tally, learning; against an undisturbed run."""

import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

import configs
from actors.members import Members, MembersParams
from adapters.model_watch import ModelWatch, ScriptedModels
from adapters.onnx_policy import OnnxEnsemble, load_checked
from benchmarks.__main__ import Row, main
from core.ensemble import tally
from core.features import feature_spec
from core.protocols import ModelSource

SECONDS = 6.0
REST_SECONDS = 0.001
"""Between two decisions the thread sleeps, as it does live: caches are cold and the loader runs."""
MODELS = Path(__file__).parents[1] / "catalog" / "models"


class Rows:
    """Takes the rows and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def record(self, *_: object) -> None:
        self.count += 1


def decide(policy: OnnxEnsemble, source: ModelSource, priors: int) -> tuple[np.ndarray, int, int]:
    """Decide again and again; return the nanoseconds of each decision, the swaps and the changes of stage."""
    config = configs.load("backtest", ["serving.shadow_bars=3", "serving.canary_bars=3", "serving.decay_alarm=0"])
    params, rows = config.tally_params(), Rows()
    members = Members(
        MembersParams(
            instrument_id="BTC", serving=config.serving_params(), quorum=params.quorum, priors=(1.0,) * priors
        ),
        policy=policy,
        source=source,
        store=None,
        journal=rows,
    )
    observations = np.random.default_rng(1).normal(size=(1024, feature_spec().observation_width)).astype(np.float32)
    taken, swaps, names = [], 0, members.names
    until, bar = time.perf_counter() + SECONDS, 0
    while time.perf_counter() < until:
        bar += 1
        began = time.perf_counter_ns()
        members.seat(bar)
        levels, confidences = policy.vote(observations[bar % 1024])
        tally(levels, confidences, members.weights, params)
        members.learn(levels, confidences, ts_event=bar, bar=bar, close=100.0, latency_ns=0, flat=True)
        taken.append(time.perf_counter_ns() - began)
        swaps += names != members.names
        names = members.names
        time.sleep(REST_SECONDS)
    return np.array(taken[100:]), swaps, rows.count


def exchange(folder: Path, spare: Path, watch: ModelWatch, stop: threading.Event) -> None:
    """Put a model into the folder and take it out again, looking twice each time so that it is noticed."""
    place = folder / spare.name
    while not stop.is_set():
        shutil.copytree(spare, place)
        for _ in range(2):
            watch.look()
        stop.wait(0.02)
        shutil.rmtree(place)
        for _ in range(2):
            watch.look()
        stop.wait(0.02)


def rows() -> list[Row]:
    """Measure."""
    load = partial(load_checked, spec=feature_spec())
    demo = sorted(path.parent for path in MODELS.glob("*/manifest.json"))
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = [Path(shutil.copytree(path, folder / path.name)) for path in demo[:-1]]
        artifacts = [load(path) for path in demo]
        found["undisturbed"] = decide(OnnxEnsemble(artifacts), ScriptedModels((), load), len(demo))[0]
        with ThreadPoolExecutor(1) as pool:
            watch, stop = ModelWatch(folder, load, known=kept), threading.Event()
            loader = threading.Thread(target=exchange, args=(folder, demo[-1], watch, stop))
            policy = OnnxEnsemble(artifacts[:-1], pool.submit)
            loader.start()
            found["models come and go"], swaps, changes = decide(policy, watch, len(kept))
            stop.set()
            loader.join()
    goals = {50.0: "<= 0.2", 99.0: "<= 1", 99.9: "<= 3"}
    measured = [
        Row(
            row=f"five models, vote to learning, {way}, p{share:g}",
            value=float(np.percentile(taken, share)) / 1e6,
            unit="ms",
            goal=goal,
        )
        for share, goal in goals.items()
        for way, taken in found.items()
    ]
    return [
        *measured,
        Row(row="sets of models exchanged meanwhile", value=float(swaps), unit="swaps", goal=">= 20"),
        Row(row="changes of stage meanwhile", value=float(changes), unit="rows", goal=""),
    ]


if __name__ == "__main__":
    sys.exit(main(["bench_serving"]))
