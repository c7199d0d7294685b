"""``autotrade train``: fit policies on a range of the catalog and write them as artifacts."""

import argparse
import hashlib
import importlib.util
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import configs
from core.actions import ActionSpec
from core.errors import ArtifactError, UsageError
from core.times import iso, parse_time

if TYPE_CHECKING:
    from adapters.model_store import Manifest

__all__ = ["add_parser", "run"]

_FIGURES = ("total_return", "sharpe", "max_drawdown", "fills", "exposed", "long", "fees")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("train", help="train policies and export their artifacts")
    add = parser.add_argument
    add("--instrument", action="append", required=True, dest="instruments", metavar="ID", help="repeatable")
    add("--start", required=True, metavar="ISO", help="first decision close, exclusive (UTC)")
    add("--end", required=True, metavar="ISO", help="last decision close, inclusive (UTC)")
    add("--algorithm", required=True, choices=("ppo", "a2c"))
    add("--seeds", required=True, type=int, nargs="+", metavar="SEED", help="one model a seed")
    add("--catalog", type=Path, metavar="DIR", help="market data (default: catalog.path)")
    add("--out", type=Path, metavar="DIR", help="artifacts are made in it (default: catalog.models_path)")
    add("--name", default="model", metavar="NAME", help="an artifact is called NAME-ALGORITHM-SEED (default: model)")
    add("--timesteps", type=int, metavar="N", help="decisions to train on (default: configs/hyperparameters.toml)")
    add("--env", default="train", metavar="ENV", help="configuration (default: train)")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, repeatable")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train one model a seed; return the exit code."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("stable_baselines3") is None:
        raise UsageError("training needs packages that are not installed; run `uv sync --extra train`")
    config = configs.load(args.env, args.overrides)
    start_ns, end_ns = parse_time(args.start, "--start"), parse_time(args.end, "--end")
    if start_ns >= end_ns:
        raise UsageError(f"the range {args.start} to {args.end} is empty; give a later --end")
    if args.timesteps is not None and args.timesteps < 1:
        raise UsageError(f"--timesteps is {args.timesteps}, at least 1 is needed")
    out = args.out or Path(config.catalog.models_path)
    places = [out / f"{args.name}-{args.algorithm}-{seed}" for seed in args.seeds]
    for place in places:
        if place.exists():
            raise ArtifactError(f"{place} exists and an artifact never changes; remove it or choose another --name")
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise UsageError(f"--seeds {' '.join(map(str, args.seeds))}: give different seeds, none below 0")
    if Path(args.name).name != args.name:
        raise UsageError(f"--name {args.name!r} is no plain name: give one without a slash, and the directory as --out")
    out.mkdir(parents=True, exist_ok=True)  # refused now, not after the training
    if not os.access(out, os.W_OK):
        raise UsageError(f"--out {out} cannot be written to: choose another directory")
    manifests = _train(args, config, places, start_ns=start_ns, end_ns=end_ns)
    if args.json:
        rows = [_summary(place, manifest) for place, manifest in zip(places, manifests, strict=True)]
        print(json.dumps({"models": rows}, indent=2))
        return 0
    table = Table("model", "chosen at", *(name.replace("_", " ") for name in _FIGURES), title="on the validation range")
    for manifest in manifests:
        figures = [f"{manifest.selection[f'validation_{name}']:.3g}" for name in _FIGURES]
        table.add_row(manifest.model_id, f"{manifest.training.chosen_timesteps:,}", *figures)
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
    print("validation figures chose the checkpoint: they flatter, only later data can judge")
    for place in places:
        print(place)
    return 0


def _train(
    args: argparse.Namespace, config: configs.AppConfig, places: list[Path], *, start_ns: int, end_ns: int
) -> "list[Manifest]":
    """Train and export, one model a place."""
    from adapters.catalog import data_hash  # noqa: PLC0415 - the parser must not load the engine
    from adapters.model_store import TrainedWith, Training  # noqa: PLC0415
    from training import hyperparameters, train  # noqa: PLC0415 - nor torch
    from training.export import export  # noqa: PLC0415

    catalog = args.catalog or Path(config.catalog.path)
    hyper = hyperparameters.load()
    actions = ActionSpec()
    prepared = train.prepare(
        catalog,
        args.instruments,
        config,
        start_ns=start_ns,
        end_ns=end_ns,
        validation_share=hyper.selection.validation_share,
    )
    digest = data_hash(catalog, args.instruments, config.market.base_interval, start_ns=start_ns, end_ns=end_ns)
    observations = train.sample_observations(prepared, config, hyper, actions=actions, seed=0)
    costs = config.cost_params()
    config_hash = configs.config_hash(config)
    manifests = []
    for seed, place in zip(args.seeds, places, strict=True):
        with _progress(place.name, quiet=args.json) as progress:
            trained = train.train(
                prepared,
                config,
                hyper,
                algorithm=args.algorithm,
                seed=seed,
                actions=actions,
                timesteps=args.timesteps,
                progress=progress,
            )
        parameters = msgspec.to_builtins(hyper)
        record = Training(
            algorithm=args.algorithm,
            seed=seed,
            trial_id=_trial_id(args.algorithm, seed, trained.timesteps, parameters, config_hash, digest),
            start=iso(start_ns),
            end=iso(end_ns),
            validation_start=iso(prepared.validation_ns),
            data_hash=digest,
            timesteps=trained.timesteps,
            chosen_timesteps=trained.chosen_timesteps,
            hyperparameters={key: parameters[key] for key in ("environment", "network", "selection", args.algorithm)},
            command=_command(args),
        )
        manifests.append(
            export(
                place,
                policy=trained.policy,
                normaliser=prepared.normaliser,
                observations=observations,
                spec=prepared.spec,
                actions=actions,
                instruments=tuple(args.instruments),
                training=record,
                costs=TrainedWith(taker=costs.taker, maker=costs.maker, away=costs.away, config_hash=config_hash),
                selection=trained.selection,
            )
        )
    return manifests


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far a training is, how fast it goes and how long it will take, on standard error."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} decisions"),
        TextColumn("{task.fields[rate]:,.0f}/s"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task(name, rate=0.0)
        began = time.monotonic()

        def update(done: int, wanted: int) -> None:
            bars.update(task, total=wanted, completed=done, rate=done / max(time.monotonic() - began, 1e-9))

        yield update


def _summary(place: Path, manifest: "Manifest") -> dict[str, Any]:
    training = manifest.training
    return {
        "model_id": manifest.model_id,
        "path": str(place),
        "sha256": manifest.sha256,
        "trial_id": training.trial_id,
        "algorithm": training.algorithm,
        "seed": training.seed,
        "timesteps": training.timesteps,
        "chosen_timesteps": training.chosen_timesteps,
        "max_abs_difference": manifest.export.max_abs_difference,
        "selection": manifest.selection,
    }


def _trial_id(*parts: Any) -> str:
    """Return a short name of everything that a training depends on: equal inputs give equal names."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _command(args: argparse.Namespace) -> str:
    """Return the command line that does the same again."""
    words = ["autotrade", "train"]
    for name in args.instruments:
        words += ["--instrument", name]
    words += ["--start", args.start, "--end", args.end, "--algorithm", args.algorithm]
    words += ["--seeds", *map(str, args.seeds), "--name", args.name, "--env", args.env]
    for option in ("catalog", "out", "timesteps"):
        value = getattr(args, option)
        words += [f"--{option}", str(value)] if value is not None else []
    for override in args.overrides:
        words += ["--set", override]
    return shlex.join(words)
