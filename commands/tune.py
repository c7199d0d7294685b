"""``autotrade tune``: search hyper-parameters by Optuna, every trial in the ledger."""

import argparse
import importlib.util
import json
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

import configs
from adapters.ledger import Ledger
from commands.train import ALGORITHMS, ranges
from core.errors import AutotradeError, UsageError

if TYPE_CHECKING:
    from training.tune import Tuned, Tuning

__all__ = ["add_parser", "run"]

_SHOWN = 7
"""Trials in the table; all of them are in the JSON and in the ledger."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    parser = subparsers.add_parser("tune", help="search hyper-parameters, every trial in the ledger")
    add = parser.add_argument
    add("name", metavar="NAME", help="of the study; the same command goes on with it, a larger --trials extends it")
    add("--instrument", action="append", required=True, dest="instruments", metavar="ID", help="repeatable")
    add("--start", required=True, metavar="ISO", help="first decision close, exclusive (UTC)")
    add("--end", required=True, metavar="ISO", help="last decision close, inclusive (UTC)")
    add("--algorithm", required=True, choices=ALGORITHMS)
    add("--trials", required=True, type=int, metavar="N", help="of the whole study, whoever makes them")
    add(
        "--seeds", type=int, nargs="+", default=[1], metavar="SEED", help="a trial's score is their median (default: 1)"
    )
    add("--timesteps", type=int, metavar="N", help="decisions to train on (default: as the hyper-parameters say)")
    add("--purge", type=int, metavar="BARS", help="between fit and validation (default: exits.max_holding_bars)")
    add("--hyperparameters", type=Path, metavar="FILE", help="what is not searched (default: the program's own)")
    add("--space", type=Path, metavar="FILE", help="what is searched (default: configs/search.toml)")
    add("--storage", metavar="URL", help="sqlite:///FILE, or postgresql+psycopg://..., which machines may share "
        "(default: tune.sqlite in catalog.studies_path)")  # fmt: skip
    add("--workers", type=int, default=1, metavar="N", help="trials at a time on this machine (default: 1)")
    add(
        "--out",
        type=Path,
        metavar="FILE",
        help="the best hyper-parameters (default: tuned-NAME.toml beside tune.sqlite)",
    )
    add("--catalog", type=Path, metavar="DIR", help="market data (default: catalog.path)")
    add("--env", default="train", metavar="ENV", help="configuration (default: train)")
    add("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, repeatable")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Make the trials that a study still lacks and show the best; return the exit code."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("optuna") is None:
        raise UsageError("tuning trains, which needs packages that are not installed; run `uv sync --extra train`")
    _check(args)
    config = configs.load(args.env, args.overrides)
    studies = Path(config.catalog.studies_path)
    studies.mkdir(parents=True, exist_ok=True)
    tuning = _tuning(args, config, studies)
    _work(tuning, args.workers, quiet=args.json)

    from training.search import applied, as_toml  # noqa: PLC0415 - the parser must not load torch
    from training.tune import importance, results  # noqa: PLC0415

    found = results(tuning)
    best, out = found[0], args.out or studies / f"tuned-{args.name}.toml"
    head = (
        f"# Best of {len(found)} trials of {args.name}: trial {best.place}, score {best.score:.3f}, which flatters.\n"
    )
    out.write_text(head + as_toml(applied(tuning.hyperparameters, best.values)), encoding="utf-8")
    counted = sum(
        entry.purpose == "tune" and entry.study == args.name for entry in Ledger(Path(tuning.ledger)).entries()
    )
    weights = importance(tuning)
    if args.json:
        told: dict[str, Any] = {
            "study": args.name, "storage": _shown(tuning.storage), "trials": [msgspec.to_builtins(t) for t in found],
            "importance": weights, "ledger_trials": counted, "hyperparameters": str(out),
        }  # fmt: skip
        print(json.dumps(told, indent=2))
        return 0
    console = Console()
    console.width = max(console.width, 110)
    console.print(_table(args.name, found))
    if weights:
        print("matters most:", ", ".join(f"{name} {share:.0%}" for name, share in list(weights.items())[:5]))
    print(f"the best of {len(found)} validation figures flatters; all {counted} trainings count in the ledger")
    print(f"{out}: use it by --hyperparameters")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse a command line that makes no sense."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", args.name) is None:
        raise UsageError(f"NAME is {args.name!r}: give up to 64 letters, digits, dots, dashes and underscores")
    for option in ("trials", "workers", "timesteps"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise UsageError(f"--{option} is {value}, at least 1 is needed")
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise UsageError(f"--seeds {' '.join(map(str, args.seeds))}: give different seeds, none below 0")
    if len(set(args.instruments)) < len(args.instruments):
        raise UsageError(f"--instrument {' '.join(args.instruments)}: name each instrument once")


def _tuning(args: argparse.Namespace, config: configs.AppConfig, studies: Path) -> "Tuning":
    """Return what is asked."""
    from training import hyperparameters, search  # noqa: PLC0415 - the parser must not load torch
    from training.tune import Tuning  # noqa: PLC0415

    base = hyperparameters.load(args.hyperparameters)
    fit, validation, purge_bars = ranges(args, config, base.selection.validation_share)
    return Tuning(
        name=args.name,
        storage=args.storage or f"sqlite:///{(studies / 'tune.sqlite').absolute()}",
        ledger=config.catalog.ledger_path,
        config=config,
        catalog=str(args.catalog or config.catalog.path),
        instruments=tuple(args.instruments),
        fit=fit,
        validation=validation,
        purge_bars=purge_bars,
        algorithm=args.algorithm,
        seeds=tuple(args.seeds),
        trials=args.trials,
        timesteps=args.timesteps,
        hyperparameters=base,
        space=search.load(args.algorithm, base, args.space),
        command=_command(args),
    )


def _work(tuning: "Tuning", workers: int, *, quiet: bool) -> None:
    """Make the trials, here or by several processes."""
    from training.fan_out import map_jobs  # noqa: PLC0415 - the parser must not load torch
    from training.tune import work  # noqa: PLC0415

    if workers == 1:
        with _progress(tuning, quiet=quiet) as told:
            work(tuning, told=told)
        return
    errors = [done.error for done in map_jobs(work, [tuning] * workers, backend="joblib", workers=workers)]
    if all(errors):
        raise AutotradeError(errors[0])


@contextmanager
def _progress(tuning: "Tuning", *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show how many trials have ended and how long the rest will take, on standard error."""
    console = Console(stderr=True)
    columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task("trials", total=tuning.trials)
        yield lambda ended: bars.update(task, completed=ended)


def _table(name: str, found: "tuple[Tuned, ...]") -> Table:
    """Return the best trials as a table, a column each."""
    states = ", ".join(f"{sum(t.state == s for t in found)} {s}" for s in ("finished", "pruned", "failed"))
    best = [trial for trial in found if trial.score is not None][:_SHOWN]
    table = Table(
        "trial", *(str(trial.place) for trial in best),
        title=f"{name}: the best of {len(found)} trials ({states})", title_justify="left",
    )  # fmt: skip
    table.add_row("validation Sharpe", *(f"{trial.score:.3f}" for trial in best))
    if len(best[0].scores) > 1:
        table.add_row("of each seed", *("\n".join(f"{s:.2f}" for s in trial.scores) for trial in best))
    for key in best[0].values:
        values = (trial.values[key] for trial in best)
        table.add_row(key, *(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values))
    return table


def _shown(url: str) -> str:
    """Return a database's URL without its password."""
    return re.sub(r"://([^:/@]*):[^@]*@", r"://\1:***@", url)


def _command(args: argparse.Namespace) -> str:
    """Return the command line that does the same again, without the storage's password."""
    words = ["autotrade", "tune", args.name]
    for name in args.instruments:
        words += ["--instrument", name]
    words += ["--start", args.start, "--end", args.end, "--algorithm", args.algorithm, "--trials", str(args.trials)]
    words += ["--seeds", *map(str, args.seeds), "--env", args.env]
    for option in ("timesteps", "purge", "hyperparameters", "space", "catalog"):
        value = getattr(args, option)
        words += [f"--{option}", str(value)] if value is not None else []
    words += ["--storage", _shown(args.storage)] if args.storage is not None else []
    for override in args.overrides:
        words += ["--set", override]
    return shlex.join(words)
