"""``autotrade parity``: take every decision of a recorded session again, and name the first cause of a difference."""

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

import configs
from adapters.model_store import Artifact
from adapters.onnx_policy import load_checked
from adapters.session_log import SessionLog
from core.errors import ArtifactError, DataError
from core.features import feature_spec
from core.parity import Difference, Parity
from core.replay_gap import ReplayGap
from core.times import iso

__all__ = ["add_parser"]


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to a command line."""
    command = subparsers.add_parser("parity", help="take every decision of a session again and compare")
    command.add_argument("session", nargs="?", metavar="SESSION", help="folder or id (default: the newest session)")
    command.add_argument("--fills", choices=("recorded", "simulated"), default="recorded",
                         help="what the venue did: as recorded, or as a backtest has it")  # fmt: skip
    command.add_argument("--models", type=Path, nargs="+", default=[], metavar="DIR",
                         help="artifacts (default: those of catalog.models)")  # fmt: skip
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    """Compare; with recorded fills anything but all is a failure."""
    from run_parity import parity_of, simulated  # noqa: PLC0415 - the engine is loaded where it is needed

    folder = session_folder(args.session)
    artifacts = _artifacts(SessionLog(folder), args.models)
    gap: ReplayGap | None = None
    if args.fills == "recorded":
        parity = parity_of(folder, artifacts)
    else:
        parity, gap = simulated(folder, artifacts)
    if args.json:
        said = {"session": folder.name, "fills": args.fills, "share": parity.share, "exact": parity.exact}
        content = said | {"parity": parity, "gap": gap}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n")
    else:
        _print(folder, args.fills, parity, gap)
    return 0 if parity.exact or gap is not None else 1


def session_folder(name: str | None) -> Path:
    """Return the folder of a session by path or id, by default that of the newest."""
    place = Path(configs.load("backtest").record.path)
    if name is not None:
        folder = Path(name)
        return folder if folder.is_dir() else place / name
    found = sorted(path.parent.parent for path in place.glob("*/record/00000001.log"))
    if not found:
        raise DataError(f"no session in {place}: run a node, or name the folder of a session")
    return found[-1]


def _artifacts(log: SessionLog, folders: list[Path]) -> dict[str, Artifact]:
    """Return the models that the session speaks of, by hash, out of the places where models are."""
    config = configs.load("backtest")
    wanted, interval = _wanted(log)
    spec = feature_spec(*interval) if interval is not None else feature_spec()
    found: dict[str, Artifact] = {}
    patterns = [Path().glob(pattern) for pattern in config.catalog.models]
    places = folders or [
        *(path for paths in patterns for path in paths),
        *Path(config.catalog.models_path).glob("*"),
    ]
    for path in dict.fromkeys(path for path in places if (path / "manifest.json").is_file()):
        try:
            artifact = load_checked(path, spec=spec)
        except ArtifactError:
            if folders:
                raise
            continue  # one that the session never knew
        if artifact.manifest.sha256 in wanted:
            found[artifact.manifest.sha256] = artifact
    return found


def _wanted(log: SessionLog) -> tuple[set[str], tuple[str, str] | None]:
    """Return the hashes of all models of a session, and its intervals."""
    hashes: set[str] = set()
    interval = None
    for row in log.rows():
        if row.kind == "start":
            market = row.body["config"]["market"]
            interval = (market["base_interval"], market["decision_interval"])
            hashes |= {sha256 for models in row.body["models"].values() for _, sha256, _ in models}
        elif row.kind == "answer" and row.body[1] == "offers":
            hashes |= {offer[2] for offer in row.body[3]}
    return hashes, interval


def _print(folder: Path, fills: str, parity: Parity, gap: ReplayGap | None) -> None:
    console = Console(highlight=False)
    console.print(f"session {folder.name}, {fills} fills", soft_wrap=True)
    console.print(f"decisions  {parity.identical:,} of {parity.decisions:,} identical ({parity.share:.4%})")
    console.print(f"orders     {parity.orders_identical:,} of {parity.orders:,} identical")
    for kind, (all_rows, same) in parity.rows.items():
        console.print(f"{kind:<10} {same:,} of {all_rows:,} identical")
    if parity.missing or parity.extra:
        console.print(f"missing    {parity.missing:,} not made again, {parity.extra:,} made that were not recorded")
    if parity.causes:
        console.print("causes     " + ", ".join(f"{cause} {count:,}" for cause, count in parity.causes.items()))
    if gap is not None:
        console.print(
            f"fills      {gap.matched:,} matched, {gap.only_recorded:,} only recorded, {gap.only_simulated:,} only "
            f"simulated; the venue was {gap.fill_mean_bps:.3f} bps worse on average, {gap.fill_worst_bps:.3f} at most"
            if gap.matched
            else f"fills      none matched, {gap.only_recorded:,} only recorded, {gap.only_simulated:,} only simulated",
            soft_wrap=True,
        )
        console.print(f"equity     {gap.equity_last_bps:+.3f} bps at the end, {gap.equity_worst_bps:+.3f} at worst")
    if parity.first is not None:
        for line in told(parity.first):
            console.print(line, soft_wrap=True)


def told(gap: Difference) -> list[str]:
    """Return the first difference in words."""
    where = f" (bar {iso(gap.bar_ns)})" if gap.bar_ns else ""
    lines = [
        f"first difference: {gap.cause}, {gap.instrument_id}, decision at {iso(gap.ts_event)}",
        f"  {gap.name}{where}: recorded {_short(gap.recorded)}, replayed {_short(gap.replayed)}",
    ]
    return lines + [f"  so  {said}" for said in gap.consequences]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) < 400 else f"{text[:400]}..."
