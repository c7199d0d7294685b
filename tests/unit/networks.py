"""Random networks of every kind, what they say by hand, and artifacts of them."""

import contextlib
import json
from itertools import pairwise

import msgspec
import numpy as np

from adapters.model_store import (
    MANIFEST,
    ExportCheck,
    Golden,
    Manifest,
    TrainedWith,
    Training,
    seal,
    sha256_of,
    write_artifact,
)
from adapters.network import Lstm, Network
from adapters.network_graph import network_from_onnx, network_to_onnx
from adapters.onnx_policy import answers
from core.actions import ActionSpec
from core.errors import ArtifactError, ConfigError
from core.features import feature_spec
from core.observation import POSITION_COLUMNS

SPEC = feature_spec()
WIDTH = SPEC.observation_width
KINDS = {
    "softmax": {},
    "normal": {"head": "normal", "actions": 2},
    "recurrent": {"recurrent": 12},
    "recurrent normal": {"recurrent": 12, "head": "normal", "actions": 2, "activation": "Relu"},
}


def random_network(seed, *, hidden=(16, 16), actions=5, activation="Tanh", head="softmax", recurrent=0):
    rng = np.random.default_rng(seed)

    def tensor(*shape, spread=0.4):
        return rng.normal(0, spread, shape).astype(np.float32)

    shape = (recurrent or WIDTH, *hidden, actions)
    lstm = (
        Lstm(tensor(WIDTH, 4 * recurrent, spread=0.2), tensor(recurrent, 4 * recurrent), tensor(4 * recurrent))
        if recurrent
        else None
    )
    return Network(
        rng.normal(size=WIDTH).astype(np.float32),
        rng.uniform(0.5, 2.0, WIDTH).astype(np.float32),
        tuple(tensor(a, b) for a, b in pairwise(shape)),
        tuple(tensor(b, spread=0.2) for b in shape[1:]),
        activation,
        head,
        lstm,
    )


def by_hand(network, observations):
    """The network in float64 numpy over [k, B, D], a recurrent one from zeros on."""
    rows = observations.shape[1]
    hidden = cell = np.zeros((rows, network.state_width // 2))
    said = []
    for step in observations.astype(float):
        x = np.clip((step - network.mean) * network.scale, -10.0, 10.0)
        if network.lstm is not None:
            wi, wh, b = (tensor.astype(float) for tensor in network.lstm)
            i, f, g, o = np.split(x @ wi + hidden @ wh + b, 4, axis=1)
            cell = cell / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
            x = hidden = np.tanh(cell) / (1 + np.exp(-o))
        for n, (w, b) in enumerate(zip(network.weights, network.biases, strict=True)):
            x = x @ w.astype(float) + b
            if n < len(network.weights) - 1:
                x = np.tanh(x) if network.activation == "Tanh" else np.maximum(x, 0.0)
        if network.head == "normal":
            said.append(np.stack([x[:, 0], np.exp(np.clip(x[:, 1], -20.0, 2.0))], axis=1))
        else:
            e = np.exp(x - x.max(axis=-1, keepdims=True))
            said.append(e / e.sum(axis=-1, keepdims=True))
    return np.stack(said)


def observations(n, seed=0):
    return np.random.default_rng(seed).normal(0, 2.0, (n, WIDTH)).astype(np.float32)


def trained(**changes):
    record = Training(
        algorithm="ppo", seed=1, trial_id="t", candidate="ppo", start="2023-01-01", fit_end="2023-06-01",
        validation_start="2023-06-03", end="2023-09-01", test_start="2023-09-03", test_end="2023-12-01", purge_bars=192,
        data_hash="d", timesteps=1, chosen_timesteps=1, warm_start=False, hyperparameters={}, command="autotrade train",
    )  # fmt: skip
    return msgspec.structs.replace(record, **changes)


def artifact(directory, network, *, actions=None, model_bytes=None, golden_rows=16, **changes):
    """Write a network as an artifact; other ``model_bytes`` than its own are a forgery with a right hash."""
    model_bytes = model_bytes or network_to_onnx(network)
    with contextlib.suppress(ArtifactError):
        network = network_from_onnx(model_bytes, where="it")
    golden = observations(golden_rows, seed=99)
    said, states = answers(network, golden[:, np.newaxis])
    kind = "discrete" if network.head == "softmax" else "continuous"
    manifest = Manifest(
        format=2,
        model_id=directory.name,
        features=SPEC,
        features_digest=SPEC.digest,
        position_columns=POSITION_COLUMNS,
        actions=actions or ActionSpec(kind=kind),
        recurrent_width=network.state_width // 2,
        instruments=("BTCUSDT-PERP.BINANCE",),
        bar_types=("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL",),
        decision_interval="15m",
        training=trained(),
        costs=TrainedWith(taker=0.0005, maker=0.0002, away=0.0001, config_hash="h"),
        versions={},
        git_revision="unknown",
        selection={},
        calibration=None,
        export=ExportCheck(rows=10_000, max_abs_difference=0.0),
        golden=Golden(
            observations=golden.tolist(),
            answers=said[:, 0].tolist(),
            states=states[:, 0].tolist() if network.lstm else [],
        ),
        sha256=sha256_of(model_bytes),
        signature=None,
    )
    write_artifact(directory, model_bytes=model_bytes, manifest=msgspec.structs.replace(manifest, **changes))
    return directory


def edit(directory, path, value, *, sealed=True):
    """Change one value of a manifest; a forger would seal it again, an accident does not."""
    tree = json.loads((directory / MANIFEST).read_text())
    node = tree
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    text = json.dumps(tree)
    with contextlib.suppress(msgspec.DecodeError, ConfigError):
        if sealed:
            text = msgspec.json.encode(seal(msgspec.json.decode(text, type=Manifest))).decode()
    (directory / MANIFEST).write_text(text)
