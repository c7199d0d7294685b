"""Hold the decisions of a recorded session against those that are taken again, or that a backtest would have taken.

Composition root of parity: given the recorded fills (`rehearsal`), every decision must be the same; with simulated ones
the gap is reported.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from actors.listener import SessionListener
from adapters.model_store import Artifact
from adapters.onnx_policy import OnnxEnsemble
from adapters.session_log import SessionLog
from adapters.session_market import Market
from adapters.session_record import MemoryRecord
from adapters.session_replay import Begin, Decisions, turns
from core.bars import interval_ns
from core.commands import Submit
from core.errors import ArtifactError, DataError
from core.features import feature_spec
from core.parity import Parity, compare
from core.protocols import Policy
from core.replay_gap import ReplayGap, replay_gap
from core.slices import parent_of
from rehearsal import retaken, windows_of
from run_backtest import Replay, run_backtest

__all__ = ["parity_of", "simulated"]

_MARKS = ("equity", "breaker", "members", "funding")
"""Journal rows beside the decisions that are made again."""


def parity_of(folder: Path, artifacts: Mapping[str, Artifact]) -> Parity:
    """Return how the decisions of a session compare with those taken again, given what was recorded of the venue.

    Parameters
    ----------
    folder : Path
        Of the session.
    artifacts : Mapping[str, Artifact]
        Its models, by hash.

    Raises
    ------
    DataError
        Where the record is not whole or of another version.
    ArtifactError
        Where a model is not there.
    """
    log = SessionLog(folder)
    made = Decisions()
    again, columns, fault = retaken(turns(log, made), lambda begin: _policies(begin, artifacts), artifacts)
    if log.missing:
        raise DataError(f"{folder}: {log.missing} rows are missing, dropped while the disk was full; parity is unknown")
    rows = {kind: (made.rows.get(kind, []), again.rows.get(kind, [])) for kind in _MARKS}
    parity = compare(made.made, again.made, columns, rows)
    if parity.missing and parity.first is not None and fault:
        said = (*parity.first.consequences, f"{parity.missing} decisions are not taken again, for {fault}")
        return msgspec.structs.replace(parity, first=msgspec.structs.replace(parity.first, consequences=said))
    return parity


def simulated(folder: Path, artifacts: Mapping[str, Artifact]) -> tuple[Parity, ReplayGap]:
    """Return how the decisions of a session compare with a backtest's on its bars, and how far the fills lie off.

    The backtest begins where the first process of the session did, flat, with the balance that it found, and runs
    through; models that came later are not in it. Errors are those of `parity_of`.
    """
    log, made = SessionLog(folder), Decisions()
    market, begun = Market(), None
    for part in turns(log, made):
        if isinstance(part, Begin):
            begun = begun or part
        else:
            market.take(part)
    if begun is None:
        raise DataError(f"{folder}: no process of it began; there is nothing to replay")
    spec = feature_spec(begun.config.market.base_interval, begun.config.market.decision_interval)
    windows = windows_of(begun)
    record, again = MemoryRecord(), Decisions()
    with tempfile.TemporaryDirectory() as scratch:
        start_ns, end_ns = market.write(Path(scratch), begun.instruments, begun.config.market.base_interval)
        config = begun.config
        equity = market.balance or config.backtest.starting_equity
        config = msgspec.structs.replace(
            config, backtest=msgspec.structs.replace(config.backtest, starting_equity=equity)
        )
        run_backtest(
            Replay(
                config=config,
                catalog=Path(scratch),
                instruments=tuple(info.id for info in begun.instruments),
                start_ns=start_ns,
                end_ns=end_ns,
                out=Path(scratch) / "run",
                policies=dict(_policies(begun, artifacts)),
                report=False,
                listener=SessionListener(record),
                windows=windows,
            )
        )
    for _ in turns(record, again):
        pass
    wanted = [one for one in again.made if one.ts_event >= begun.trade_from_ns]
    gap = replay_gap(
        (_fills(made), _fills(again)),
        (made.rows.get("equity", []), again.rows.get("equity", [])),
        within_ns=interval_ns(spec.decision_interval),
    )
    return compare(made.made, wanted, spec.columns, named=False), gap


def _fills(made: Decisions) -> list[dict[str, Any]]:
    """Return the fills, and with which decision the order of each was wanted."""
    wanted = {
        fields["order_id"]: one.ts_event for one in made.made for kind, fields in one.orders if kind == Submit.__name__
    }
    return [
        row | {"decided_ns": wanted.get(parent_of(row["client_order_id"]), 0)} for row in made.rows.get("fills", [])
    ]


def _policies(begin: Begin, artifacts: Mapping[str, Artifact]) -> Mapping[str, Policy]:
    """Return the policies that a process began with."""
    for name, sha256, _ in (model for models in begin.models.values() for model in models):
        if sha256 not in artifacts:
            raise ArtifactError(f"model {name} ({sha256[:12]}) is not there; name its directory with --models")
    return {
        instrument: OnnxEnsemble([artifacts[sha256] for _, sha256, _ in models])
        for instrument, models in begin.models.items()
    }
