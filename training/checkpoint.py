"""A training interrupted at any moment goes on to the same result: all that determines its future, in one file.

The file is read by training alone, never by trading. It is written at the beginning of a rollout, where no half-filled
buffer of an update exists; a replay buffer is written with what it holds.
"""

import os
import random
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.errors import RefusedError
from training.vec_env import CompiledVecEnv

__all__ = ["STATE", "load", "restore", "save", "snapshot"]

STATE = "state.pt"
_COUNTERS = (
    "num_timesteps",
    "_episode_num",
    "_n_updates",
    "_n_calls",
    "_current_progress_remaining",
    "exploration_rate",
    "_last_obs",
    "_last_original_obs",
    "_last_episode_starts",
    "_last_lstm_states",
)
"""What an algorithm of stable-baselines3 or sb3-contrib remembers beside its weights, where it has it."""
_REPLAY = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def snapshot(model: Any, env: CompiledVecEnv) -> dict[str, Any]:
    """Return everything that determines how a training goes on, at the beginning of a rollout."""
    replay = getattr(model, "replay_buffer", None)
    return {
        "counters": {name: getattr(model, name) for name in _COUNTERS if hasattr(model, name)},
        "weights": model.get_parameters(),
        "log_ent_coef": getattr(model, "log_ent_coef", None),
        "replay": None if replay is None else _remembered(replay),
        "env": env.snapshot(),
        "generators": {
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),  # noqa: NPY002 - stable-baselines3 draws from it
            "python": random.getstate(),
            "actions": model.action_space.np_random.bit_generator.state,
        },
    }


def restore(model: Any, env: CompiledVecEnv, state: dict[str, Any]) -> None:
    """Put an algorithm that was just built, and its environment, into the state of a `snapshot`."""
    for name, value in state["counters"].items():
        setattr(model, name, value)
    model.set_parameters(state["weights"], exact_match=True)
    if state["log_ent_coef"] is not None:
        model.log_ent_coef.data.copy_(state["log_ent_coef"].data)
    if state["replay"] is not None:
        _remember(model.replay_buffer, state["replay"])
    env.restore(state["env"])
    generators = state["generators"]
    torch.set_rng_state(generators["torch"])
    np.random.set_state(generators["numpy"])  # noqa: NPY002
    random.setstate(generators["python"])
    model.action_space.np_random.bit_generator.state = generators["actions"]


def save(directory: Path, state: dict[str, Any], *, trial_id: str) -> None:
    """Write a checkpoint: the old one stays until the new one is whole on the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    scratch = directory / f".{STATE}"
    with scratch.open("wb") as file:
        torch.save({"trial_id": trial_id, "versions": _versions(), "state": state}, file)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(directory / STATE)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def load(directory: Path, *, trial_id: str) -> dict[str, Any] | None:
    """Return the state of a checkpoint, or None where there is none.

    Raises
    ------
    RefusedError
        For a checkpoint of another trial or of other versions, or a file that cannot be read.
    """
    path = directory / STATE
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=False)
        versions, found_id, state = found["versions"], found["trial_id"], found["state"]
    except Exception as error:  # noqa: BLE001 - torch and pickle raise what they like
        raise RefusedError(f"{path} is no checkpoint: {type(error).__name__}: {error}; remove it") from None
    if found_id != trial_id:
        raise RefusedError(f"{path} is of trial {found_id}, this is {trial_id}; remove it or choose another place")
    if versions != _versions():
        raise RefusedError(
            f"{path} was made by {versions}, this is {_versions()}: the result would be another; remove it"
        )
    return dict(state)


def _remembered(replay: Any) -> dict[str, Any]:
    """Return what a replay buffer holds: rows that were never filled are left out."""
    filled = replay.buffer_size if replay.full else replay.pos
    rows = {name: getattr(replay, name)[:filled] for name in _REPLAY}
    return {"rows": rows, "pos": replay.pos, "full": replay.full}


def _remember(replay: Any, held: dict[str, Any]) -> None:
    for name, rows in held["rows"].items():
        getattr(replay, name)[: len(rows)] = rows
    replay.pos, replay.full = held["pos"], held["full"]


def _versions() -> str:
    """Return the versions that a continued training must share with its beginning."""
    names = ("torch", "numpy", "stable-baselines3", "sb3-contrib")
    return ", ".join(f"{name} {metadata.version(name)}" for name in names)
