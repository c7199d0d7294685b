"""History of one instrument, ready to be trained on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from adapters.catalog import instrument, read_bars, read_funding
from core.bars import Bars, Funding, interval_ns
from core.features import FeatureSpec, compute_features
from core.situation import Instrument
from core.tape import Tape, new_tape

__all__ = ["MarketData", "Normaliser", "fit_normaliser", "from_bars", "load_market", "normalised", "rows_between"]

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


class MarketData(NamedTuple):
    """One instrument: its name, its exchange filters, and its history with features."""

    instrument_id: str
    instrument: Instrument
    tape: Tape


class Normaliser(NamedTuple):
    """``(x - mean) * scale`` for every input of an observation, float32[D]; position inputs stay as they are."""

    mean: Float32Array
    scale: Float32Array


def from_bars(
    instrument_id: str, filters: Instrument, bars: Bars, funding: Funding | None, spec: FeatureSpec
) -> MarketData:
    """Compute the features of a history of base bars and lay it out."""
    frame = compute_features(bars, funding, spec)
    return MarketData(instrument_id, filters, new_tape(bars, frame, funding, base_ns=interval_ns(spec.base_interval)))


def load_market(catalog: Path, instrument_id: str, spec: FeatureSpec, *, start_ns: int, end_ns: int) -> MarketData:
    """Read an instrument's history from a catalog, with the bars before ``start_ns`` that warm its features up.

    Raises
    ------
    DataError
        Where the catalog does not hold it, or holds no bar in (start_ns, end_ns].
    """
    info = instrument(catalog, instrument_id)
    read_bars(catalog, instrument_id, spec.base_interval, start_ns=start_ns, end_ns=end_ns)
    warm_ns = start_ns - (spec.warmup_bars + 2) * interval_ns(spec.decision_interval)
    bars = read_bars(catalog, instrument_id, spec.base_interval, start_ns=warm_ns, end_ns=end_ns)
    funding = read_funding(catalog, instrument_id, start_ns=warm_ns, end_ns=end_ns)
    return from_bars(instrument_id, info.filters(), bars, funding, spec)


def rows_between(tape: Tape, start_ns: int, end_ns: int) -> tuple[int, int]:
    """Return the half-open range of rows whose close is in (start_ns, end_ns]."""
    first, end = np.searchsorted(tape.ts_close, (start_ns, end_ns), side="right")
    return int(first), int(end)


def fit_normaliser(features: Float32Array, *, position_inputs: int) -> Normaliser:
    """Return the normaliser of features.

    Parameters
    ----------
    features : float32[n, F]
        Ready rows of the training range alone.
    position_inputs : int
        Inputs that follow the features and are left as they are.

    Notes
    -----
    A feature that does not vary keeps scale 1: it is centred, and a later change of it is not blown up.
    """
    mean = np.mean(features, axis=0, dtype=np.float64)
    deviation = np.std(features, axis=0, dtype=np.float64)
    scale = 1.0 / np.where(deviation < 1e-6, 1.0, deviation)
    return Normaliser(
        np.append(mean, np.zeros(position_inputs)).astype(np.float32),
        np.append(scale, np.ones(position_inputs)).astype(np.float32),
    )


def normalised(tape: Tape, normaliser: Normaliser, *, clip: float) -> Tape:
    """Return a tape whose features are normalised and clipped as the exported graph does it."""
    width = tape.features.shape[1]
    scaled = (tape.features - normaliser.mean[:width]) * normaliser.scale[:width]
    return tape._replace(features=np.clip(scaled, -clip, clip, dtype=np.float32))
