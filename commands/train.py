"""``autotrade train``: fit policies on a range of the catalog and write them as artifacts."""

import argparse
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
from adapters.ledger import Entry, Ledger
from core.bars import interval_ns
from core.errors import DataError, UsageError
from core.times import parse_time

if TYPE_CHECKING:
    from adapters.model_store import Manifest
    from training.job import Job

__all__ = ["ALGORITHMS", "add_parser", "ranges", "run"]

ALGORITHMS = ("ppo", "a2c", "dqn", "qrdqn", "sac", "recurrent_ppo")
"""As `training.algorithms` names them; the parser must not load torch."""
_NEEDED = ("--instrument", "--start", "--end", "--algorithm", "--seeds")
_FIGURES = ("total_return", "sharpe", "max_drawdown", "fills", "exposed", "long", "fees")


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("train", help="train policies and export their artifacts")
    add = parser.add_argument
    add("--instrument", action="append", dest="instruments", metavar="ID", help="repeatable")
    add("--start", metavar="ISO", help="first decision close, exclusive (UTC)")
    add("--end", metavar="ISO", help="last decision close, inclusive (UTC)")
    add("--algorithm", choices=ALGORITHMS)
    add("--seeds", type=int, nargs="+", metavar="SEED", help="one model a seed")
    add("--catalog", type=Path, metavar="DIR", help="market data (default: catalog.path)")
    add("--out", type=Path, metavar="DIR", help="artifacts are made in it (default: catalog.models_path)")
    add("--name", default="model", metavar="NAME", help="an artifact is called NAME-ALGORITHM-SEED (default: model)")
    add("--timesteps", type=int, metavar="N", help="decisions to train on (default: as the hyper-parameters say)")
    add("--hyperparameters", type=Path, metavar="FILE", help="default: configs/hyperparameters.toml")
    add("--purge", type=int, metavar="BARS", help="between fit and validation (default: exits.max_holding_bars)")
    add("--warm-start", action="store_true", help="imitate a teacher first (ppo, a2c, recurrent_ppo)")
    add("--log", type=Path, metavar="DIR", help="write TensorBoard logs: reward terms, validation, losses")
    add("--self-test", action="store_true", help="is the trainer broken? no other argument is needed")
    add("--env", default="train", metavar="ENV", help="configuration (default: train)")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, repeatable")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train one model a seed; return the exit code."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("stable_baselines3") is None:
        raise UsageError("training needs packages that are not installed; run `uv sync --extra train`")
    config = configs.load(args.env, args.overrides)
    if args.self_test:
        return _self_test(args, config)
    jobs = _jobs(args, config)
    manifests = [_make(job, config, quiet=args.json) for job in jobs]
    if args.json:
        rows = [_summary(job, manifest) for job, manifest in zip(jobs, manifests, strict=True)]
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
    for job in jobs:
        print(job.out)
    return 0


def _jobs(args: argparse.Namespace, config: configs.AppConfig) -> "list[Job]":
    """Return what is to be made, after everything that can be refused beforehand."""
    from training import hyperparameters  # noqa: PLC0415 - the parser must not load torch
    from training.algorithms import check_warm_start  # noqa: PLC0415
    from training.job import Job, find_made  # noqa: PLC0415

    _check(args)
    if args.warm_start:
        check_warm_start(args.algorithm)
    hyper = hyperparameters.load(args.hyperparameters)
    fit, validation, purge_bars = ranges(args, config, hyper.selection.validation_share)
    out = args.out or Path(config.catalog.models_path)
    names = [f"{args.name}-{args.algorithm}-{seed}" for seed in args.seeds]
    jobs = [
        Job(
            config=config,
            catalog=str(args.catalog or config.catalog.path),
            instruments=tuple(args.instruments),
            fit=fit,
            validation=validation,
            test=None,
            purge_bars=purge_bars,
            algorithm=args.algorithm,
            seed=seed,
            hyperparameters=hyper,
            timesteps=args.timesteps,
            warm_start=args.warm_start,
            out=str(out / name),
            checkpoint=str(out / ".checkpoints" / name),
            log=None if args.log is None else str(args.log / name),
            command=_command(args),
        )
        for seed, name in zip(args.seeds, names, strict=True)
    ]
    for job in jobs:
        find_made(job)  # another model of that name is refused now, not after the training
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise UsageError(f"--out {out} cannot be written to: choose another directory")
    return jobs


def _check(args: argparse.Namespace) -> None:
    """Refuse a command line that makes no sense."""
    given = (args.instruments, args.start, args.end, args.algorithm, args.seeds)
    missing = [name for name, value in zip(_NEEDED, given, strict=True) if value is None]
    if missing:
        raise UsageError(f"the following arguments are required: {', '.join(missing)}; see `autotrade train --help`")
    if args.timesteps is not None and args.timesteps < 1:
        raise UsageError(f"--timesteps is {args.timesteps}, at least 1 is needed")
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise UsageError(f"--seeds {' '.join(map(str, args.seeds))}: give different seeds, none below 0")
    if len(set(args.instruments)) < len(args.instruments):
        raise UsageError(f"--instrument {' '.join(args.instruments)}: name each instrument once")
    if Path(args.name).name != args.name:
        raise UsageError(f"--name {args.name!r} is no plain name: give one without a slash, and the directory as --out")


def ranges(
    args: argparse.Namespace, config: configs.AppConfig, validation_share: float
) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Return fit and validation, (start, end] ns, and the decision bars between them."""
    start_ns, end_ns = parse_time(args.start, "--start"), parse_time(args.end, "--end")
    if start_ns >= end_ns:
        raise UsageError(f"the range {args.start} to {args.end} is empty; give a later --end")
    held = config.exits.max_holding_bars
    purge_bars = held if args.purge is None else args.purge
    if purge_bars < held:
        raise UsageError(f"--purge is {purge_bars} decision bars, a position may be held {held}; give at least {held}")
    bar_ns = interval_ns(config.market.decision_interval)
    validation_ns = end_ns - int((end_ns - start_ns) * validation_share) // bar_ns * bar_ns
    fit_end_ns = validation_ns - purge_bars * bar_ns
    if fit_end_ns <= start_ns:
        raise DataError(
            f"the range {args.start} to {args.end} has {(end_ns - start_ns) // bar_ns} decision bars, of which "
            f"{(end_ns - validation_ns) // bar_ns} validate and {purge_bars} are purged: nothing is left to fit on; "
            "give a longer range"
        )
    return (start_ns, fit_end_ns), (validation_ns, end_ns), purge_bars


def _make(job: "Job", config: configs.AppConfig, *, quiet: bool) -> "Manifest":
    """Make one model, and write down in the ledger what became of it."""
    from training.job import run_job  # noqa: PLC0415 - the parser must not load torch

    ledger = Ledger(Path(config.catalog.ledger_path))
    entry = ledger.begin(
        Entry(
            trial_id=job.trial_id,
            purpose="train",
            candidate=job.candidate,
            algorithm=job.algorithm,
            seed=job.seed,
            instruments=job.instruments,
            parameters=job.hyperparameters.used(job.algorithm, warm_start=job.warm_start),
        )
    )
    try:
        with _progress(Path(job.out).name, quiet=quiet) as progress:
            manifest = run_job(job, progress=progress)
    except BaseException as error:
        if entry.status == "running":
            ledger.fail(job.trial_id, str(error) or type(error).__name__)
        raise
    if entry.status == "running":  # else it was made before, elsewhere
        ledger.finish(job.trial_id, dict(manifest.selection))
    return manifest


@contextmanager
def _progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how far a training is, how fast it goes and how long it will take, on standard error.

    The speed counts from the first call on, so that a training that goes on from a checkpoint shows its own.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} decisions"),
        TextColumn("{task.fields[rate]:,.0f}/s"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task(name, rate=0.0)
        began: tuple[float, int] | None = None

        def update(done: int, wanted: int) -> None:
            nonlocal began
            began = began or (time.monotonic(), done)
            rate = (done - began[1]) / max(time.monotonic() - began[0], 1e-9)
            bars.update(task, total=wanted, completed=done, rate=rate)

        yield update


def _self_test(args: argparse.Namespace, config: configs.AppConfig) -> int:
    """Run the self-test, print it and write its record; return 3 where it failed."""
    from training import self_test  # noqa: PLC0415 - the parser must not load torch

    with Console(stderr=True).status("self-test") as status:
        found = self_test.run_self_test(config, progress=lambda name: status.update(f"self-test: {name}"))
    path = Path(config.catalog.studies_path) / self_test.RECORD
    found.write(path)
    if args.json:
        print(json.dumps(msgspec.to_builtins(found) | {"passed": found.passed}, indent=2))
        return 0 if found.passed else 3
    table = Table("check", "figure", "limit", "seconds", "", "meaning", title="is the trainer broken?")
    for check in found.checks:
        limit = f"{check.sense.replace('_', ' ')} {check.limit:g}"
        verdict = "passed" if check.passed else "FAILED"
        table.add_row(check.check, f"{check.figure:.4g}", limit, f"{check.seconds:.1f}", verdict, check.meaning)
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)
    print(f"{'passed' if found.passed else 'FAILED'} in {found.seconds:.0f} s; the record is {path}")
    return 0 if found.passed else 3


def _summary(job: "Job", manifest: "Manifest") -> dict[str, Any]:
    training = manifest.training
    return {
        "model_id": manifest.model_id,
        "path": job.out,
        "sha256": manifest.sha256,
        "trial_id": training.trial_id,
        "candidate": training.candidate,
        "algorithm": training.algorithm,
        "seed": training.seed,
        "timesteps": training.timesteps,
        "chosen_timesteps": training.chosen_timesteps,
        "max_abs_difference": manifest.export.max_abs_difference,
        "selection": manifest.selection,
    }


def _command(args: argparse.Namespace) -> str:
    """Return the command line that does the same again."""
    words = ["autotrade", "train"]
    for name in args.instruments:
        words += ["--instrument", name]
    words += ["--start", args.start, "--end", args.end, "--algorithm", args.algorithm]
    words += ["--seeds", *map(str, args.seeds), "--name", args.name, "--env", args.env]
    for option in ("catalog", "out", "timesteps", "hyperparameters", "purge"):
        value = getattr(args, option)
        words += [f"--{option}", str(value)] if value is not None else []
    words += ["--warm-start"] if args.warm_start else []
    for override in args.overrides:
        words += ["--set", override]
    return shlex.join(words)
