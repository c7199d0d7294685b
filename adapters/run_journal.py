"""The rows of a finished run, looked up one decision at a time."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.errors import DataError
from core.sizing import SizingParams
from core.slices import parent_of

__all__ = ["RunJournal", "newest_run"]

type Row = Mapping[str, Any]


def newest_run(runs: Path) -> Path:
    """Return the run below a directory whose decisions were written last.

    Raises
    ------
    DataError
        Where there is none.
    """
    found = [path for path in runs.glob("*/decisions.parquet") if path.is_file()]
    if not found:
        raise DataError(f"no run in {runs}: make one with `autotrade backtest`, or name its directory with --run")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path)).parent


class RunJournal:
    """One run's directory.

    Parameters
    ----------
    run : Path
        As `adapters.recorder.RunRecorder` leaves it, of this or an earlier version of the program.

    Raises
    ------
    DataError
        Where the directory holds no finished run.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        if not (run / "decisions.parquet").is_file():
            raise DataError(f"no run in {run}: there is no decisions.parquet; is the run complete?")

    @property
    def directory(self) -> Path:
        """Where the run is."""
        return self._run

    def decisions(self, *, start_ns: int, end_ns: int, instrument: str | None = None) -> list[Row]:
        """Return the decisions within ``start_ns <= ts_event <= end_ns``, in the order in which they were made."""
        wanted = (pc.field("ts_event") >= start_ns) & (pc.field("ts_event") <= end_ns)
        if instrument is not None:
            wanted &= pc.field("instrument_id") == instrument
        return self._read("decisions", wanted)

    def decision_of(self, order_id: str) -> Row | None:
        """Return the decision that sent an order."""
        found = self._read("decisions", pc.field("client_order_id") == order_id)
        return found[0] if found else None

    def acted(self) -> list[Row]:
        """Return the decisions that sent an order, moved a stop, or were refused something by the gate."""
        sent = pc.field("client_order_id") != ""
        moved = (pc.field("stop_price") != pc.field("new_stop_price")) & (pc.field("position_lots") != 0)
        columns = pq.read_schema(self._run / "decisions.parquet").names
        refused = pc.field("rules") != "" if "reason" in columns else pc.field("verdict") != "allowed"
        return self._read("decisions", sent | moved | refused)

    def nearest(self, ts_ns: int, instrument: str | None) -> list[int]:
        """Return the times (ns) of the last decision before and the first after a time, those that there are."""
        table = pq.read_table(self._run / "decisions.parquet", columns=["ts_event", "instrument_id"])
        if instrument is not None:
            table = table.filter(pc.field("instrument_id") == instrument)
        times = table["ts_event"]
        before, after = pc.max(times.filter(pc.less(times, ts_ns))), pc.min(times.filter(pc.greater(times, ts_ns)))
        return [time for time in (before.as_py(), after.as_py()) if time is not None]

    def orders(self, order_id: str) -> list[Row]:
        """Return the rows of an order, in order of time."""
        return [row for row in self._orders if row["client_order_id"] == order_id]

    def fills(self, order_id: str) -> list[Row]:
        """Return the fills of an order and of its slices, in order of time."""
        return [row for row in self._fills if parent_of(row["client_order_id"]) == order_id]

    def told(self, kind: str, start_ns: int, end_ns: int) -> list[Row]:
        """Return the rows of ``breaker`` or ``alerts`` within a range of times; none of a run that kept none."""
        if not (self._run / f"{kind}.parquet").is_file():
            return []
        return self._read(kind, (pc.field("ts_event") >= start_ns) & (pc.field("ts_event") <= end_ns))

    @functools.cached_property
    def instruments(self) -> list[str]:
        """The instruments that were decided on."""
        return sorted(pq.read_table(self._run / "decisions.parquet", columns=["instrument_id"])[0].unique().to_pylist())

    @functools.cached_property
    def model_ids(self) -> list[str]:
        """The models in the order of their votes, empty where the run did not keep them."""
        return list(self._json("summary.json").get("model_ids", []))

    @functools.cached_property
    def sizing(self) -> SizingParams | None:
        """How the run sized its positions, None where it kept no configuration that is understood."""
        config = self._json("config.json").get("config", {})
        try:
            values = config["sizing"] | {"min_confidence": config["ensemble"]["min_confidence"]}
            return SizingParams(**{name: values[name] for name in SizingParams._fields if name in values})
        except (KeyError, TypeError):
            return None

    @functools.cached_property
    def _orders(self) -> list[Row]:
        return self._read("orders", None)

    @functools.cached_property
    def _fills(self) -> list[Row]:
        return self._read("fills", None)

    def _read(self, kind: str, wanted: Any) -> list[Row]:
        path = self._run / f"{kind}.parquet"
        if not path.is_file():
            raise DataError(f"no {path.name} in {self._run}; is the run complete?")
        rows: list[Row] = pq.read_table(path, filters=wanted).to_pylist()
        return rows

    def _json(self, name: str) -> dict[str, Any]:
        path = self._run / name
        if not path.is_file():
            return {}
        try:
            content: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        except msgspec.DecodeError as error:
            raise DataError(f"{path} cannot be read: {error}") from error
        return content
