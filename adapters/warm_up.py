"""A window as it would be had it never been interrupted: from its snapshot, the catalog and REST history."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adapters.backfill import rest_bars
from adapters.catalog import InstrumentInfo, list_series, read_bars, read_funding
from adapters.rest_history import RestHistory
from core.bars import Bars, Funding, interval_ns
from core.errors import DataError
from core.features import FeatureSpec, Window
from core.protocols import StateStore

__all__ = ["WarmUp", "keep_window", "warm_window"]

_LATE_NS = interval_ns("1m")
"""A settlement bears a time that may be some milliseconds late; it is cut to the minute."""


class WarmUp(NamedTuple):
    """Where history is had: ``now_ns`` market time, ``catalog`` None where there is none."""

    rest: RestHistory
    catalog: Path | None
    store: StateStore | None
    now_ns: int


def keep_window(store: StateStore, instrument_id: str, window: Window) -> None:
    """Keep a window for the next start.

    Raises
    ------
    StateError
        Where the store does not take it.
    """
    store.put(_key(instrument_id), window.snapshot())


def warm_window(spec: FeatureSpec, info: InstrumentInfo, warm_up: WarmUp) -> Window:
    """Return a window that holds every bar closed by now.

    It goes on from the snapshot of the last run where that is no older than a warm-up, so that it is equal to a window
    that was never interrupted, bit for bit. Else it is fed with the warm-up's length of history: closed bars of the
    catalog, and of REST where that ends.

    Raises
    ------
    DataError
        Where history cannot be had, or has a hole.
    """
    base_ns, decision_ns = interval_ns(spec.base_interval), interval_ns(spec.decision_interval)
    until_ns = warm_up.now_ns // base_ns * base_ns
    from_ns = (until_ns // decision_ns - spec.warmup_bars - 2) * decision_ns
    window = _kept(spec, info.id, warm_up, from_ns, until_ns) or Window(spec)
    start_ns = window.last_ns or from_ns
    bars = _bars(spec.base_interval, info, warm_up, start_ns, until_ns)
    wanted = (until_ns - start_ns) // base_ns
    if len(bars.ts_close) < wanted and (window.last_ns == 0 or len(bars.ts_close) == 0):
        raise DataError(
            f"{info.id}: history from {np.datetime64(start_ns, 'ns')}Z on has {len(bars.ts_close)} of {wanted} bars; "
            "import what is missing with `autotrade data download`, or begin later"
        )
    window.extend(bars, _funding(info, warm_up, start_ns, until_ns))
    return window


def _kept(spec: FeatureSpec, name: str, warm_up: WarmUp, from_ns: int, until_ns: int) -> Window | None:
    """Return the window of the last run, None where there is none that can go on."""
    kept = warm_up.store.load(_key(name)) if warm_up.store is not None else None
    if kept is None:
        return None
    window = Window(spec)
    try:
        window.restore(kept)
    except ValueError:
        return None
    return window if from_ns <= window.last_ns <= until_ns else None


def _bars(interval: str, info: InstrumentInfo, warm_up: WarmUp, start_ns: int, until_ns: int) -> Bars:
    """Return the bars with closes of ``start_ns < t <= until_ns``."""
    length = interval_ns(interval)
    parts: list[Bars] = []
    if warm_up.catalog is not None and _holds(warm_up.catalog, info.id, interval):
        held = read_bars(warm_up.catalog, info.id, interval, start_ns=start_ns, end_ns=until_ns, missing_ok=True)
        whole = held.ts_close == start_ns + length * np.arange(1, len(held.ts_close) + 1)
        count = len(whole) if whole.all() else int(np.argmin(whole))
        cut: list[Any] = [column[:count] for column in held]
        parts.append(Bars(*cut))
        start_ns += count * length
    if start_ns < until_ns:
        parts.append(rest_bars(warm_up.rest, info.raw_symbol, interval, start_ns + length, until_ns))
    if not parts:
        return Bars(np.empty(0, dtype=np.int64), *(np.empty(0) for _ in range(6)))
    return Bars(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _funding(info: InstrumentInfo, warm_up: WarmUp, start_ns: int, until_ns: int) -> Funding:
    """Return the funding settled in ``start_ns < t <= until_ns``: of the catalog, and of REST where that ends."""
    held: dict[int, float] = {}
    if warm_up.catalog is not None and (warm_up.catalog / "data").is_dir():
        funding = read_funding(warm_up.catalog, info.id, start_ns=start_ns, end_ns=until_ns)
        held = dict(zip(funding.ts.tolist(), funding.rate.tolist(), strict=True))
    from_ns = max(held, default=start_ns)
    table = warm_up.rest.funding(info.raw_symbol, from_ns, until_ns + _LATE_NS)
    rest = dict(zip(table.column(0).cast("int64").to_pylist(), map(float, table.column(1).to_pylist()), strict=True))
    rates = {**rest, **held}
    times = sorted(ts for ts in rates if start_ns < ts <= until_ns)
    return Funding(np.array(times, dtype=np.int64), np.array([rates[ts] for ts in times]))


def _holds(catalog: Path, name: str, interval: str) -> bool:
    return catalog.is_dir() and any(
        (s.kind, s.instrument_id, s.interval) == ("bars", name, interval) for s in list_series(catalog)
    )


def _key(instrument_id: str) -> str:
    return f"window.{instrument_id}"
