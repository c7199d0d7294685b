"""History laid out for compiled code: a few packed arrays, one row a closed decision bar."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from core.bars import Bars, Funding
from core.errors import DataError
from core.features import FeatureFrame, minutes_to_funding

__all__ = ["MS_NS", "C", "Clock", "R", "Row", "Tape", "new_tape"]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MS_NS = 1_000_000
"""Nanoseconds of a millisecond."""


class Row(NamedTuple):
    """Columns of a tape's rows, float64: `core.situation.Market`, whether the row is ready (0 or 1), then what follows.

    ``open_after``, ``low_after``, ``high_after``: first open and extremes of the base bars before the next row (NaN and
    infinities where there are none).
    """

    close: int
    atr: int
    volatility: int
    volatility_rank: int
    previous_close: int
    funding_rate: int
    minutes_to_funding: int
    ready: int
    open_after: int
    low_after: int
    high_after: int


class Clock(NamedTuple):
    """Columns of a tape's clock, int64: close of the row in ns, first base bar after it, first funding after it."""

    ts_close: int
    first_base: int
    first_funding: int


R = Row(*range(len(Row._fields)))
"""Columns of the rows by name."""
C = Clock(*range(len(Clock._fields)))
"""Columns of the clock by name."""


class Tape(NamedTuple):
    """History as the simulation reads it: n rows of decision bars over m base bars, and f fundings.

    Few and packed arrays: compiled code counts the references of every array it hands on, and a row is one cache line.

    ``rows`` float64[n, len(Row)]; ``clock`` int64[n + 1, len(Clock)], entry n is the end; ``features`` float32[n, F];
    ``base`` float64[m, 5]: open, high, low, close in quote currency, and the time of the close; ``funding``
    float64[f, 3]: the base bar before which it settles, its rate, and its time. Both times are in whole ms since the
    epoch, which a float64 holds exactly.
    """

    rows: FloatArray
    clock: IntArray
    features: npt.NDArray[np.float32]
    base: FloatArray
    funding: FloatArray

    @property
    def ts_close(self) -> IntArray:
        """Close of each row, ns, int64[n]."""
        return self.clock[:-1, C.ts_close]

    @property
    def ready(self) -> npt.NDArray[np.bool_]:
        """Whether each row may be decided on, bool[n]."""
        ready: npt.NDArray[np.bool_] = self.rows[:, R.ready] == 1.0
        return ready


def new_tape(bars: Bars, frame: FeatureFrame, funding: Funding | None, *, base_ns: int) -> Tape:
    """Lay history out for the simulation.

    Parameters
    ----------
    bars : Bars
        Base bars.
    frame : FeatureFrame
        Decision bars computed from exactly these bars. A decision bar whose closing base bar is missing is known only
        later and is decided on by nobody: its row is left out.
    funding : Funding | None
        Settlements; those before the first bar are left out.
    base_ns : int
        Length of a base bar, ns.

    Raises
    ------
    DataError
        Where no decision bar is left.
    """
    whole = np.flatnonzero(bars.ts_close[frame.last_base] == frame.ts_close)
    if len(whole) == 0:
        raise DataError(f"{len(bars.ts_close)} base bars close no decision bar; give a longer range")
    base = np.column_stack([bars.open, bars.high, bars.low, bars.close, bars.ts_close // MS_NS])
    first_base = np.append(frame.last_base[whole] + 1, len(base))
    inner = first_base[:-1][first_base[:-1] < len(base)]
    after = np.column_stack([np.full(len(whole), value) for value in (np.nan, np.inf, -np.inf)])
    after[: len(inner), 0] = bars.open[inner]
    after[: len(inner), 1] = np.minimum.reduceat(bars.low, inner)
    after[: len(inner), 2] = np.maximum.reduceat(bars.high, inner)
    ts_close = frame.ts_close[whole]
    market = [getattr(frame, name)[whole] for name in Row._fields[: R.minutes_to_funding]]
    market += [minutes_to_funding(ts_close), frame.ready[whole]]
    known = Funding(np.empty(0, dtype=np.int64), np.empty(0)) if funding is None else funding
    late = known.ts >= bars.ts_close[0]
    ts, rate = known.ts[late], known.rate[late]
    first_funding = np.append(np.searchsorted(ts, ts_close, side="right"), len(ts))
    before = np.searchsorted(bars.ts_close - base_ns, ts, side="left")
    return Tape(
        rows=np.column_stack([*market, after]),
        clock=np.column_stack([np.append(ts_close, ts_close[-1]), first_base, first_funding]),
        features=np.ascontiguousarray(frame.features[whole]),
        base=base,
        funding=np.column_stack([before.astype(np.float64), rate, -(-ts // MS_NS)]),
    )
