"""What a policy sees: the market's features, then its own position."""

import numpy as np
import numpy.typing as npt

from core.compiled import inlined

__all__ = ["POSITION_COLUMNS", "observe", "position_inputs"]

POSITION_COLUMNS = ("exposure", "unrealised", "holding", "stop_distance", "drawdown")
"""The last entries of an observation, in order; `position_inputs` says what each is."""

Float32Array = npt.NDArray[np.float32]


@inlined
def position_inputs(
    close: float,
    atr: float,
    lots: int,
    entry_price: float,
    stop_price: float,
    holding_bars: int,
    lot: float,
    equity: float,
    drawdown: float,
    max_holding_bars: int,
) -> tuple[float, float, float, float, float]:
    """Put a position into the network's scale.

    Parameters
    ----------
    close, atr : float
        Close and average true range of the decision bar, quote currency.
    lots : int
        Signed position; 0 is flat.
    entry_price, stop_price : float
        Average entry and resting stop (0 = none), quote currency.
    holding_bars, max_holding_bars : int
        Age of the position and its limit, in decision bars.
    lot : float
        Base asset a lot.
    equity : float
        Mark-to-market, quote currency.
    drawdown : float
        The UTC day's drawdown, a fraction >= 0.

    Returns
    -------
    tuple[float, float, float, float, float]
        ``exposure``: signed notional at the close / equity. ``unrealised``: 10 * unrealised profit / equity.
        ``holding``: age / limit, at most 1. ``stop_distance``: signed distance from the stop to the close, in
        units of ten ATR, clipped to [-1, 1]; 1 where no stop rests or the ATR is 0. ``drawdown``: 10 times
        the day's drawdown, clipped to [0, 1].

    Notes
    -----
    A flat position is four zeros. An equity of zero or less makes ``exposure`` and ``unrealised`` 0: the gate
    is halted by then and nothing is decided on them.
    """
    depth = min(max(10.0 * drawdown, 0.0), 1.0)
    if lots == 0:
        return 0.0, 0.0, 0.0, 0.0, depth
    exposure = 0.0
    unrealised = 0.0
    if equity > 0.0:
        exposure = lots * lot * close / equity
        unrealised = 10.0 * lots * lot * (close - entry_price) / equity
    holding = min(holding_bars / max_holding_bars, 1.0) if max_holding_bars > 0 else 1.0
    distance = 1.0
    if stop_price > 0.0 and atr > 0.0:
        side = 1.0 if lots > 0 else -1.0
        distance = min(max(side * (close - stop_price) / (10.0 * atr), -1.0), 1.0)
    return exposure, unrealised, holding, distance, depth


@inlined
def observe(
    features: Float32Array,
    exposure: float,
    unrealised: float,
    holding: float,
    stop_distance: float,
    drawdown: float,
    out: Float32Array,
) -> None:
    """Write an observation into ``out``: the features as they are, then `POSITION_COLUMNS` in order.

    Parameters
    ----------
    features : float32[F]
        A row of `core.features`.
    exposure, unrealised, holding, stop_distance, drawdown : float
        As returned by `position_inputs`.
    out : float32[F + 5]
        Overwritten.
    """
    width = features.shape[0]
    for i in range(width):
        out[i] = features[i]
    out[width] = exposure
    out[width + 1] = unrealised
    out[width + 2] = holding
    out[width + 3] = stop_distance
    out[width + 4] = drawdown
