"""``autotrade models list|show|compare|verify``: which artifacts there are, what they are, whether they may trade."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table

import configs
from adapters.model_store import MANIFEST, MODEL, Artifact, Manifest, check_past, load_manifest
from adapters.onnx_policy import OnnxEnsemble, load_checked
from core.errors import ArtifactError, AutotradeError, UsageError
from core.features import feature_spec

__all__ = ["add_parser", "run"]

_SAME_EVERYWHERE = ("golden", "manifest_sha256")
"""What nobody reads, and what differs whenever anything does."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    models = subparsers.add_parser("models", help="list, show, compare and verify artifacts")
    actions = models.add_subparsers(dest="action", metavar="ACTION", required=True)
    where = "artifacts, or directories of artifacts (default: catalog.models_path)"
    one = "a directory, or the name of a model in catalog.models_path"
    listing = actions.add_parser("list", help="a table of artifacts")
    listing.add_argument("directories", nargs="*", type=Path, metavar="DIR", help=where)
    show = actions.add_parser("show", help="all that is known of a model")
    show.add_argument("model", metavar="MODEL", help=one)
    compare = actions.add_parser("compare", help="what differs between two models, and how often they agree")
    compare.add_argument("first", metavar="MODEL", help=one)
    compare.add_argument("second", metavar="MODEL", help=one)
    verify = actions.add_parser("verify", help="check every byte and run the golden vectors; exit code 3 if one fails")
    verify.add_argument("directories", nargs="*", type=Path, metavar="DIR", help=where)
    for parser, action in ((listing, _list), (show, _show), (compare, _compare), (verify, _verify)):
        parser.add_argument("--env", default="train", metavar="ENV", help="configuration (default: train)")
        parser.add_argument(
            "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help="override, repeatable"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=run, do=action)


def run(args: argparse.Namespace) -> int:
    """Run one of the actions; return the exit code."""
    home = Path(configs.load(args.env, args.overrides).catalog.models_path)
    code: int = args.do(args, home)
    return code


def _list(args: argparse.Namespace, home: Path) -> int:
    rows = [_row(place) for place in _places(args.directories or [home])]
    if args.json:
        print(json.dumps({"models": rows}, indent=2))
        return 0
    table = Table()
    table.add_column("model", no_wrap=True, overflow="fold")
    for name in (
        "algorithm",
        "seed",
        "instruments",
        "trained until",
        "validation Sharpe",
        "calibration error",
        "sha256",
    ):
        table.add_column(name)
    for row in rows:
        if row["refused"]:
            table.add_row(Path(row["path"]).name, f"[red]refused[/red]: {row['refused']}")
            continue
        figures = [_short(row[name]) for name in ("validation_sharpe", "calibration_error")]
        names = ", ".join(name.partition("-")[0] for name in row["instruments"])
        table.add_row(
            Path(row["path"]).name, row["algorithm"], str(row["seed"]), names, row["trained_until"][:10], *figures,
            row["sha256"][:12],
        )  # fmt: skip
    _print(table)
    return 0


def _row(place: Path) -> dict[str, Any]:
    """Return one line of the list; what cannot be read is listed with the reason."""
    try:
        manifest = load_manifest(place)
    except ArtifactError as error:
        return {"path": str(place), "refused": str(error)}
    calibration = manifest.calibration
    return {
        "path": str(place),
        "refused": None,
        "model_id": manifest.model_id,
        "algorithm": manifest.training.algorithm,
        "candidate": manifest.training.candidate,
        "seed": manifest.training.seed,
        "instruments": list(manifest.instruments),
        "trained_until": manifest.training.end,
        "validation_sharpe": manifest.selection.get("validation_sharpe"),
        "calibration_error": None if calibration is None else calibration.error,
        "sha256": manifest.sha256,
    }


def _show(args: argparse.Namespace, home: Path) -> int:
    manifest = load_manifest(_place(args.model, home))
    if args.json:
        print(json.dumps(_readable(manifest), indent=2))
        return 0
    leaves = {path: value for path, value in _leaves(_readable(manifest)) if not path.startswith("calibration.bins")}
    width = max(map(len, leaves))
    for path, value in leaves.items():
        print(f"{path:<{width}}  {_short(value)}")
    if manifest.calibration is not None and manifest.calibration.bins:
        table = Table("votes", "confidence", "right", title="how often votes of a confidence were right, on validation")
        for row in manifest.calibration.bins:
            table.add_row(f"{row.count:,}", f"{row.confidence:.3f}", f"{row.hit_rate:.3f}")
        _print(table)
    return 0


def _compare(args: argparse.Namespace, home: Path) -> int:
    pair = [_checked(_place(name, home)) for name in (args.first, args.second)]
    left, right = (dict(_leaves(_readable(artifact.manifest))) for artifact in pair)
    differences = [
        {"path": path, "first": left.get(path), "second": right.get(path)}
        for path in dict.fromkeys([*left, *right])
        if left.get(path) != right.get(path)
    ]
    votes = _agreement(*pair)
    if args.json:
        print(json.dumps({"differences": differences, "votes": votes}, indent=2))
        return 0
    table = Table()
    for name in ("what differs", *(artifact.manifest.model_id for artifact in pair)):
        table.add_column(name, overflow="fold")
    for row in differences:
        table.add_row(row["path"], *(_short(row[side]) for side in ("first", "second")))
    _print(table)
    if votes is None:
        print("they see other features: no observation can be put to both")
    else:
        print(
            f"on {votes['observations']} golden observations of both they vote in the same direction in "
            f"{votes['same_direction']:.0%}, with confidences {votes['confidence_difference']:.3f} apart on average"
        )
    return 0


def _agreement(first: Artifact, second: Artifact) -> dict[str, float] | None:
    """Return how the votes of two models compare on the golden observations of both, each set from a fresh state."""
    if first.manifest.features_digest != second.manifest.features_digest:
        return None
    levels, confidences = [], []
    for artifact in (first, second):
        ensemble = OnnxEnsemble([artifact])
        for source in (first, second):
            ensemble.reset()
            for observation in source.manifest.golden.observations:
                level, confidence = ensemble.vote(np.array(observation, dtype=np.float32))
                levels.append(float(level[0]))
                confidences.append(float(confidence[0]))
    level, confidence = np.array(levels).reshape(2, -1), np.array(confidences).reshape(2, -1)
    return {
        "observations": level.shape[1],
        "same_direction": float((np.sign(level[0]) == np.sign(level[1])).mean()),
        "level_difference": float(np.abs(level[0] - level[1]).mean()),
        "confidence_difference": float(np.abs(confidence[0] - confidence[1]).mean()),
    }


def _verify(args: argparse.Namespace, home: Path) -> int:
    now_ns = time.time_ns()
    rows = [_verdict(place, now_ns) for place in _places(args.directories or [home])]
    if args.json:
        print(json.dumps({"models": rows, "passed": all(row["passed"] for row in rows)}, indent=2))
    else:
        for row in rows:
            if row["passed"]:
                print(f"passed {row['path']}: SHA-256 {row['sha256'][:16]}, {row['golden']} golden vectors repeated")
            else:
                print(f"autotrade: refused: {row['refused']}", file=sys.stderr)
    return 0 if all(row["passed"] for row in rows) else 3


def _verdict(place: Path, now_ns: int) -> dict[str, Any]:
    """Return whether a model may trade, and why not."""
    try:
        manifest = _checked(place).manifest
        check_past(place, manifest, now_ns=now_ns)
    except AutotradeError as error:
        return {"path": str(place), "passed": False, "refused": " ".join(str(error).split())}
    count = len(manifest.golden.observations)
    return {"path": str(place), "passed": True, "refused": None, "sha256": manifest.sha256, "golden": count}


def _checked(place: Path) -> Artifact:
    """Return an artifact that passed every check, with the features that this program computes at its intervals."""
    wanted = load_manifest(place).features
    try:
        spec = feature_spec(wanted.base_interval, wanted.decision_interval)
    except UsageError as error:
        raise ArtifactError(f"{place}: {error}; restore it or train anew") from None
    return load_checked(place, spec=spec)


def _place(name: str, home: Path) -> Path:
    """Return the directory of a model that was named by its path or by its name."""
    return Path(name) if Path(name).is_dir() else home / name


def _places(directories: Sequence[Path]) -> list[Path]:
    """Return the artifacts among directories and in them.

    Raises
    ------
    UsageError
        Where a directory has nothing in it that could be one.
    """
    places: list[Path] = []
    for directory in directories:
        inside = [directory]
        if directory.is_dir() and not _is_artifact(directory):
            inside = [child for child in sorted(directory.iterdir()) if _is_artifact(child)]
            if not inside:
                raise UsageError(f"no artifacts in {directory}; train some with `autotrade train`, or name others")
        places += inside
    return places


def _is_artifact(directory: Path) -> bool:
    hidden = directory.name.startswith(".")
    return not hidden and any((directory / name).exists() for name in (MANIFEST, MODEL))


def _readable(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest as plain data, without what only a machine reads."""
    tree: dict[str, Any] = msgspec.to_builtins(manifest)
    return {name: value for name, value in tree.items() if name not in _SAME_EVERYWHERE}


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted path; a list is a value."""
    if not isinstance(tree, dict):
        yield path, tree
        return
    for name, value in tree.items():
        yield from _leaves(value, f"{path}.{name}" if path else name)


def _short(value: Any) -> str:
    """Return a value as people want it in a cell."""
    if value is None:
        return "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print(table: Table) -> None:
    console = Console()
    console.width = max(console.width, 120)
    console.print(table)
