"""How a backtest traded, read from the folder of its run: what `core.trading_patterns` holds live trading to."""

from pathlib import Path

from core.bars import DAY_NS
from core.errors import DataError
from core.trading_patterns import Baseline, baseline_of

__all__ = ["baseline"]


def baseline(folder: str) -> Baseline:
    """Return what a run did; nothing is known of none.

    Raises
    ------
    DataError
        Where there is no such run.
    """
    if not folder:
        return Baseline()
    import pyarrow.parquet as pq  # noqa: PLC0415 - loaded where there is a run to read

    try:
        fills = pq.read_table(Path(folder) / "fills.parquet").to_pylist()
        marks = pq.read_table(Path(folder) / "equity.parquet", columns=["ts_event", "equity"]).to_pylist()
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"alerts.baseline: {folder} is no run of a backtest: {error}") from None
    if not marks:
        return Baseline()
    days = (marks[-1]["ts_event"] - marks[0]["ts_event"]) / DAY_NS
    return baseline_of(fills, [mark["equity"] for mark in marks], days)
