"""The Parquet files of a session, made of its record, so that it reads like a run."""

from pathlib import Path

import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.parts import replace_file
from adapters.recorder import SCHEMAS, RunRecorder
from adapters.session_log import SessionLog
from core.errors import DataError
from core.times import iso

__all__ = ["decided_span", "refresh_view"]


def refresh_view(folder: Path) -> bool:
    """Write decisions, orders, fills, equity ... of a session beside its record, where they are older than it.

    Returns
    -------
    bool
        Whether ``folder`` is that of a session.

    Raises
    ------
    DataError
        Where the record is damaged, or of another version.
    """
    segments = sorted((folder / "record").glob("*.log"))
    if not segments:
        return False
    made = folder / "decisions.parquet"
    if made.is_file() and made.stat().st_mtime_ns >= max(path.stat().st_mtime_ns for path in segments):
        return True
    recorder, begun = RunRecorder(folder), {}
    try:
        for row in SessionLog(folder).rows():
            if row.kind == "start":
                begun = row.body
            elif row.source == "decided" and row.kind in SCHEMAS:
                recorder.record(row.kind, row.body)
    except ValueError as error:
        recorder.discard()
        raise DataError(f"{folder}: {error}; the record is of another version of the program") from error
    except BaseException:
        recorder.discard()
        raise
    recorder.close()
    models = list(begun.get("models", {}).values())
    summary = {
        "run_id": folder.name,
        "config_hash": begun.get("config_hash", ""),
        "model_ids": [name for name, _, _ in models[0]] if models else [],
        "model_hashes": [sha256 for _, sha256, _ in models[0]] if models else [],
        "instruments": list(begun.get("models", {})),
    }
    effective = {"config_hash": begun.get("config_hash", ""), "config": begun.get("config", {})}
    for name, content in (("summary.json", summary), ("config.json", effective)):
        replace_file(folder / name, msgspec.json.format(msgspec.json.encode(content), indent=2))
    return True


def decided_span(folder: Path) -> dict[str, str]:
    """Return ``start`` and ``end`` (ISO) of a session that reads like a run: its first and last decision, if any."""
    times = pq.read_table(folder / "decisions.parquet", columns=["ts_event"])["ts_event"]
    if len(times) == 0:
        return {}
    found = pc.min_max(times).as_py()
    return {"start": iso(found["min"]), "end": iso(found["max"])}
