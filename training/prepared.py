"""History split in time: what is fitted on, what is validated on, and the normaliser of the first."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from configs.schema import AppConfig
from core.errors import DataError
from core.features import FeatureSpec, feature_spec
from core.observation import POSITION_COLUMNS
from core.times import iso
from training.market import MarketData, Normaliser, fit_normaliser, load_market, rows_between

__all__ = ["Prepared", "Span", "prepare", "prepare_markets"]


class Span(NamedTuple):
    """What a model may know: ``fit`` and ``validation`` are ranges (start, end] of decision closes, ns.

    Between the two lies the purge: at least the longest holding of a position.
    """

    fit: tuple[int, int]
    validation: tuple[int, int]


class Prepared(NamedTuple):
    """History in its parts: ``fit_rows`` and ``validation_rows`` are half-open ranges of each market's rows.

    The normaliser knows the first alone.
    """

    spec: FeatureSpec
    markets: tuple[MarketData, ...]
    normaliser: Normaliser
    fit_rows: tuple[tuple[int, int], ...]
    validation_rows: tuple[tuple[int, int], ...]
    span: Span


def prepare(catalog: Path, instruments: Sequence[str], config: AppConfig, *, span: Span) -> Prepared:
    """Read the history of some instruments and split it in time.

    Parameters
    ----------
    catalog : Path
        Market data.
    instruments : Sequence[str]
        At least one.
    config : AppConfig
        Names the intervals.
    span : Span
        Features are warmed up on what lies before it; nothing after it is read.

    Raises
    ------
    DataError
        Where the catalog does not hold the range, too little of it is ready, or the parts overlap.
    """
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    start_ns, end_ns = span.fit[0], span.validation[1]
    markets = [load_market(catalog, name, spec, start_ns=start_ns, end_ns=end_ns) for name in instruments]
    return prepare_markets(markets, spec, span=span)


def prepare_markets(markets: Sequence[MarketData], spec: FeatureSpec, *, span: Span) -> Prepared:
    """Split the history of markets in time and fit the normaliser on the first part; see `prepare`."""
    if not span.fit[0] < span.fit[1] <= span.validation[0] < span.validation[1]:
        fit, validation = (" to ".join(map(iso, part)) for part in span)
        raise DataError(f"fit {fit} and validation {validation} must follow each other; choose other ranges")
    fit_rows = [rows_between(market.tape, *span.fit) for market in markets]
    validation_rows = [rows_between(market.tape, *span.validation) for market in markets]
    ready = [
        market.tape.features[first:end][market.tape.ready[first:end]]
        for market, (first, end) in zip(markets, fit_rows, strict=True)
    ]
    for market, rows, (first, end) in zip(markets, ready, validation_rows, strict=True):
        if len(rows) < 2 or end - first < 2:
            raise DataError(
                f"{market.instrument_id}: {len(rows)} decision bars to fit on and {end - first} to validate on; the "
                f"first {spec.warmup_bars} of a history only warm up, give a longer range"
            )
    normaliser = fit_normaliser(np.concatenate(ready), position_inputs=len(POSITION_COLUMNS))
    return Prepared(spec, tuple(markets), normaliser, tuple(fit_rows), tuple(validation_rows), span)
