"""Features of the market: what they are called, and the two ways to get them, which are one.

`compute_features` drives `core.feature_step.step` over a history, `Window` drives it one base bar at a time; the rows
are equal bit for bit. No row knows anything of what came after its close: higher timeframes show closed bars only.
"""

import hashlib
import math
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from core.bars import DAY_NS, Bars, Funding, interval_ns
from core.compiled import compiled
from core.errors import ConfigError, DataError
from core.feature_state import CLOSES, RANK_WINDOW, TIMEFRAME_BARS, TIMEFRAMES, Columns, S, new_state
from core.feature_step import BAD_PRICE, BAD_TIME, BAD_VOLUME, CLOSED, HOLE, OFF_GRID, OPEN, add_funding, step
from core.indicators import RING, half_life_weight, span_weight
from core.observation import POSITION_COLUMNS
from core.situation import Market
from core.window_snapshot import packed, unpack

__all__ = [
    "CLOSED",
    "HOLE",
    "OPEN",
    "FeatureFrame",
    "FeatureSpec",
    "Window",
    "compute_features",
    "feature_spec",
    "minutes_to_funding",
]

_NAME = "market"
_VERSION = 1
"""Raised with every change of a column's meaning: a model is only ever fed the features it was trained on."""

_FORGOTTEN = 1e-4
"""Share of an exponential mean that the bars before the warm-up may still hold."""

_YEAR_NS = 365 * DAY_NS
_MINUTE_NS = 60_000_000_000
_SETTLEMENT_NS = DAY_NS // 3

_REFUSED = {
    OFF_GRID: "its close is not on the grid of its interval",
    BAD_TIME: "it is not after the last one",
    BAD_PRICE: "prices must be finite and positive with high >= low",
    BAD_VOLUME: "volume must be finite and not negative",
}

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _warmup_bars() -> int:
    """Return the decision bars before a row that it may depend on: the longest memory of all columns."""
    slowest = min(half_life_weight(96), span_weight(288))
    recursive = math.ceil(math.log(_FORGOTTEN) / math.log1p(-slowest))
    timeframes = (TIMEFRAME_BARS + 2) * max(TIMEFRAMES)
    ranked = RANK_WINDOW + max(TIMEFRAMES) + 1
    return max(recursive, timeframes, ranked)


_WARMUP_BARS = _warmup_bars()


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which features a model sees: their definition by ``name`` and ``version``, their bars, their order.

    ``base_interval`` is the interval of the bars that are fed in, ``decision_interval`` that of the rows.
    """

    name: str
    version: int
    base_interval: str
    decision_interval: str
    columns: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of columns, F."""
        return len(self.columns)

    @property
    def observation_width(self) -> int:
        """Length of an observation, D: the features and the position."""
        return self.width + len(POSITION_COLUMNS)

    @property
    def warmup_bars(self) -> int:
        """Decision bars that must precede a row before it is ready."""
        return _WARMUP_BARS

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: sorted keys, no spaces."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()


class FeatureFrame(NamedTuple):
    """Features of a history, one row a closed decision bar, in time order.

    ``ts_close`` int64[n] ns UTC; ``features`` float32[n, F]; ``close``, ``atr`` float64[n] quote currency;
    ``volatility`` float64[n] annualised; ``volatility_rank`` float64[n] in [0, 1]; ``previous_close`` and
    ``funding_rate`` float64[n] as in `core.situation.Market`; ``ready`` bool[n] as `Window.ready`; ``last_base``
    int64[n] the row of the decision bar's last base bar.
    """

    ts_close: IntArray
    features: npt.NDArray[np.float32]
    close: FloatArray
    atr: FloatArray
    volatility: FloatArray
    volatility_rank: FloatArray
    previous_close: FloatArray
    funding_rate: FloatArray
    ready: npt.NDArray[np.bool_]
    last_base: IntArray


def feature_spec(base_interval: str = "1m", decision_interval: str = "15m") -> FeatureSpec:
    """Return the features that this version computes.

    Raises
    ------
    UsageError
        For an unknown interval.
    ConfigError
        Where decision bars can't be made of whole base bars.
    """
    if interval_ns(decision_interval) % interval_ns(base_interval) != 0:
        raise ConfigError(
            f"decision bars of {decision_interval} can't be made of whole bars of {base_interval}: "
            "choose a base interval that divides the decision interval"
        )
    return FeatureSpec(
        name=_NAME,
        version=_VERSION,
        base_interval=base_interval,
        decision_interval=decision_interval,
        columns=Columns._fields,
    )


def _new_state(spec: FeatureSpec) -> FloatArray:
    """Return an empty state for a spec that this version can compute, or refuse the spec."""
    known = feature_spec(spec.base_interval, spec.decision_interval)
    if spec != known:
        raise ConfigError(
            f"features {spec.name!r} version {spec.version} ({spec.digest[:12]}) are not those of this program: "
            f"{known.name!r} version {known.version} ({known.digest[:12]}); train the model anew"
        )
    base_ns, decision_ns = interval_ns(spec.base_interval), interval_ns(spec.decision_interval)
    return new_state(
        base_ns=base_ns,
        per_decision=decision_ns // base_ns,
        bars_per_year=_YEAR_NS / decision_ns,
        warmup=spec.warmup_bars,
    )


def minutes_to_funding(ts_close: IntArray) -> FloatArray:
    """Return the minutes from times (ns UTC) to the next multiple of eight hours; 480 where one is now."""
    minutes: FloatArray = (_SETTLEMENT_NS - ts_close % _SETTLEMENT_NS) / _MINUTE_NS
    return minutes


@compiled
def previous_close(state: FloatArray) -> float:
    """Return the close of the decision bar before the last closed one, 0 where there is none."""
    bars = int(state[S.bars])
    return float(state[CLOSES + (bars - 2) % RING]) if bars > 1 else 0.0


class Window:
    """The features of one instrument, one base bar at a time.

    Parameters
    ----------
    spec : FeatureSpec
        As returned by `feature_spec`.

    Attributes
    ----------
    spec : FeatureSpec
    features : float32[F]
        The row of the last closed decision bar; the same array every time, overwritten by the next.

    Raises
    ------
    ConfigError
        For a spec that this program doesn't compute.
    """

    __slots__ = ("_decision_ns", "_market", "_market_key", "_state", "features", "spec")

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self.features = np.zeros(spec.width, dtype=np.float32)
        self._state = _new_state(spec)
        self._decision_ns = interval_ns(spec.decision_interval)
        self._market: Market | None = None
        self._market_key = (-1.0, -1.0)

    def append(
        self, ts_close: int, open_: float, high: float, low: float, close: float, volume: float, taker_buy: float
    ) -> int:
        """Take one base bar.

        Returns
        -------
        int
            ``OPEN``, no decision bar closed; ``CLOSED``, a whole one did; ``HOLE``, one did that misses base bars,
            now or (`core.feature_step.step`) before this base bar: `ts_close` says which.

        Raises
        ------
        ValueError
            For a bar that is no bar, off the grid or not after the last one; nothing has changed then.
        """
        outcome = step(self._state, ts_close, open_, high, low, close, volume, taker_buy, self.features)
        if outcome < 0:
            raise ValueError(f"bar of {np.datetime64(ts_close, 'ns')}Z refused: {_REFUSED[outcome]}")
        return outcome

    def extend(self, bars: Bars, funding: Funding) -> None:
        """Take a history of base bars and the funding settled within it, as one by one.

        Raises
        ------
        ValueError
            As `append`, with the bars before the refused one taken.
        """
        settled = 0
        for ts_close, *values in zip(*(column.tolist() for column in bars), strict=True):
            while settled < len(funding.ts) and funding.ts[settled] <= ts_close:
                self.set_funding(float(funding.rate[settled]))
                settled += 1
            self.append(ts_close, *values)

    def set_funding(self, rate: float) -> None:
        """Take a settled funding rate (fraction of notional). To be called before the bar that closes at its time.

        Raises
        ------
        ValueError
            For a rate that isn't finite.
        """
        if not math.isfinite(rate):
            raise ValueError(f"funding rate {rate} refused: it must be finite")
        add_funding(self._state, rate)

    @property
    def ts_close(self) -> int:
        """Close of the last closed decision bar, ns UTC; 0 before the first."""
        return int(self._state[S.period]) * self._decision_ns

    @property
    def last_ns(self) -> int:
        """Close of the last base bar taken, ns UTC; 0 before the first."""
        return int(self._state[S.base_index] * self._state[S.base_ns])

    def snapshot(self) -> bytes:
        """Return all that the window remembers, for `restore`."""
        return packed(self.spec.digest, self._state, self.features)

    def restore(self, kept: bytes) -> None:
        """Go on from a snapshot as if there had been no interruption; `ValueError` for one of other features."""
        unpack(kept, self.spec.digest, self._state, self.features)
        self._market = None

    @property
    def market(self) -> Market:
        """Market context of the last closed decision bar; to be read at its close, before another rate settles."""
        state = self._state
        key = (float(state[S.period]), float(state[S.funding_count]))
        if self._market is None or key != self._market_key:  # several ask for it at one close
            self._market_key = key
            self._market = Market(
                float(state[S.close]),
                float(state[S.atr]),
                float(state[S.volatility]),
                float(state[S.volatility_rank]),
                previous_close(state),
                float(state[S.funding_rate]),
                float(minutes_to_funding(np.array(self.ts_close))),
            )
        return self._market

    @property
    def ready(self) -> bool:
        """Whether the last row may be decided on: warm, and its own and the preceding decision bar are whole."""
        return bool(self._state[S.ready])


@compiled
def _drive(state: FloatArray, bars: Bars, funding: Funding, decision_ns: int, frame: FeatureFrame) -> tuple[int, int]:
    """Step through a history; return the rows written, and the outcome of a refused bar (0: none, its row instead)."""
    row = 0
    settled = 0
    out = np.zeros(frame.features.shape[1], dtype=np.float32)
    for i in range(len(bars.ts_close)):
        ts = bars.ts_close[i]
        while settled < len(funding.ts) and funding.ts[settled] <= ts:
            add_funding(state, funding.rate[settled])
            settled += 1
        outcome = step(
            state, ts, bars.open[i], bars.high[i], bars.low[i], bars.close[i], bars.volume[i], bars.taker_buy[i], out
        )
        if outcome < 0:
            return i, outcome
        if outcome != OPEN:
            closed = int(state[S.period]) * decision_ns
            frame.ts_close[row] = closed
            frame.features[row, :] = out
            frame.close[row] = state[S.close]
            frame.atr[row] = state[S.atr]
            frame.volatility[row] = state[S.volatility]
            frame.volatility_rank[row] = state[S.volatility_rank]
            frame.previous_close[row] = previous_close(state)
            frame.funding_rate[row] = state[S.funding_rate]
            frame.ready[row] = state[S.ready] == 1.0
            frame.last_base[row] = i if closed >= ts else i - 1
            row += 1
    return row, OPEN


def compute_features(bars: Bars, funding: Funding | None, spec: FeatureSpec) -> FeatureFrame:
    """Compute the features of a history of base bars.

    Parameters
    ----------
    bars : Bars
        Of ``spec.base_interval``.
    funding : Funding or None
        A rate counts from the first bar that closes at or after its time; None is a market without funding.
    spec : FeatureSpec
        As returned by `feature_spec`.

    Returns
    -------
    FeatureFrame
        What a `Window` that is fed the same bars would show after each ``CLOSED`` and ``HOLE``.

    Raises
    ------
    ConfigError
        For a spec that this program doesn't compute.
    DataError
        For a bar that is no bar, off the grid or out of order.
    """
    state = _new_state(spec)
    decision_ns = interval_ns(spec.decision_interval)
    columns = Bars(
        np.require(bars.ts_close, np.int64, ["C", "W"]), *(np.require(c, np.float64, ["C", "W"]) for c in bars[1:])
    )
    if funding is None:
        rates = Funding(np.empty(0, np.int64), np.empty(0))
    else:
        rates = Funding(np.require(funding.ts, np.int64, ["C", "W"]), np.require(funding.rate, np.float64, ["C", "W"]))
    if not np.isfinite(rates.rate).all():
        raise DataError(f"a funding rate of {rates.rate[~np.isfinite(rates.rate)][0]}: rates must be finite")
    most = len(columns.ts_close)
    if most:
        most = min(most, int(np.ptp(columns.ts_close)) // decision_ns + 2)
    frame = FeatureFrame(
        ts_close=np.empty(most, np.int64),
        features=np.empty((most, spec.width), np.float32),
        close=np.empty(most),
        atr=np.empty(most),
        volatility=np.empty(most),
        volatility_rank=np.empty(most),
        previous_close=np.empty(most),
        funding_rate=np.empty(most),
        ready=np.empty(most, np.bool_),
        last_base=np.empty(most, np.int64),
    )
    rows, refused = _drive(state, columns, rates, decision_ns, frame)
    if refused:
        when = np.datetime64(int(columns.ts_close[rows]), "ns")
        raise DataError(f"bar {rows} of {when}Z refused: {_REFUSED[refused]}")
    return FeatureFrame(
        ts_close=frame.ts_close[:rows],
        features=frame.features[:rows],
        close=frame.close[:rows],
        atr=frame.atr[:rows],
        volatility=frame.volatility[:rows],
        volatility_rank=frame.volatility_rank[:rows],
        previous_close=frame.previous_close[:rows],
        funding_rate=frame.funding_rate[:rows],
        ready=frame.ready[:rows],
        last_base=frame.last_base[:rows],
    )
