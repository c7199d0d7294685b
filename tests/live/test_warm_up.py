"""A window that was warmed up, or goes on after an interruption, is bit for bit the one that never stopped."""

import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from adapters.catalog import InstrumentInfo, instrument, read_bars, read_funding
from adapters.rest_history import RestHistory
from adapters.state_store import MemoryStateStore
from adapters.warm_up import WarmUp, keep_window, warm_window
from adapters.web import Web
from core.errors import DataError
from core.features import Window, feature_spec

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
NOW = 1_709_251_200_000_000_000 + 7 * MINUTE  # 2024-03-01T00:07
BTC = "BTCUSDT-PERP.BINANCE"


class CatalogRest:
    """Answers REST with the bars and the funding of a catalog."""

    def __init__(self, catalog: Path) -> None:
        self.asked: list[str] = []
        self._bars = read_bars(catalog, BTC, "1m")
        self._funding = read_funding(catalog, BTC)
        self.until_ns = NOW

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer as Binance does."""
        self.asked.append(request.url.path)
        params = request.url.params
        first, last = int(params["startTime"]) * 1_000_000, int(params["endTime"]) * 1_000_000
        if request.url.path.endswith("fundingRate"):
            rows: list[Any] = [
                {"symbol": "BTCUSDT", "fundingTime": ts // 1_000_000, "fundingRate": repr(rate)}
                for ts, rate in zip(self._funding.ts.tolist(), self._funding.rate.tolist(), strict=True)
                if first <= ts <= last
            ]
        else:
            opens = self._bars.ts_close - MINUTE
            wanted = np.flatnonzero((opens >= first) & (opens <= last) & (opens <= self.until_ns))[
                : int(params["limit"])
            ]
            rows = [self._row(i) for i in wanted.tolist()]
        return httpx.Response(200, content=json.dumps(rows))

    def _row(self, i: int) -> list[Any]:
        bars = self._bars
        opened = int(bars.ts_close[i]) // 1_000_000 - 60_000
        prices = [repr(float(column[i])) for column in (bars.open, bars.high, bars.low, bars.close, bars.volume)]
        return [opened, *prices, opened + 59_999, "1.0", 10, repr(float(bars.taker_buy[i])), "0.5", "0"]


@pytest.fixture(name="rest")
def _rest(history: Path) -> CatalogRest:
    return CatalogRest(history)


def rest_history(rest: CatalogRest, monkeypatch: pytest.MonkeyPatch) -> RestHistory:
    """Return REST history of a catalog at a time."""
    web = Web(retries=0, backoff_seconds=0.0, timeout_seconds=1.0)
    monkeypatch.setattr(web, "_client", httpx.Client(transport=httpx.MockTransport(rest.answer)))
    return RestHistory(web, "http://rest", "um", lambda: rest.until_ns)


def uninterrupted(history: Path, from_ns: int, until_ns: int) -> Window:
    """Return a window that has seen everything from a time on, bar by bar."""
    window = Window(feature_spec())
    bars = read_bars(history, BTC, "1m", start_ns=from_ns, end_ns=until_ns)
    window.extend(bars, read_funding(history, BTC, start_ns=from_ns, end_ns=until_ns))
    return window


def info_of(history: Path) -> InstrumentInfo:
    """Return the instrument's filters."""
    return instrument(history, BTC)


def assert_same(found: Window, wanted: Window) -> None:
    """Compare all that windows remember, as bits."""
    assert found.snapshot() == wanted.snapshot()
    assert found.ready
    assert found.last_ns == wanted.last_ns


def test_a_window_warmed_up_by_rest_is_the_one_fed_bar_by_bar(
    history: Path, rest: CatalogRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = feature_spec()
    warm_up = WarmUp(rest_history(rest, monkeypatch), None, None, NOW)
    window = warm_window(spec, info_of(history), warm_up)
    begin = (NOW // (15 * MINUTE) - spec.warmup_bars - 2) * 15 * MINUTE
    assert window.last_ns == NOW // MINUTE * MINUTE
    assert_same(window, uninterrupted(history, begin, NOW))


def test_funding_that_is_settled_at_the_last_close_is_in_the_window(
    history: Path, rest: CatalogRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, settled = feature_spec(), NOW // (8 * HOUR) * 8 * HOUR
    rest.until_ns = settled
    window = warm_window(spec, info_of(history), WarmUp(rest_history(rest, monkeypatch), None, None, settled))
    begin = (settled // (15 * MINUTE) - spec.warmup_bars - 2) * 15 * MINUTE
    assert settled in read_funding(history, BTC).ts
    assert_same(window, uninterrupted(history, begin, settled))


def test_a_catalog_saves_requests_and_changes_no_bit(
    history: Path, rest: CatalogRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = feature_spec()
    by_rest = warm_window(spec, info_of(history), WarmUp(rest_history(rest, monkeypatch), None, None, NOW))
    requests = rest.asked.count("/fapi/v1/klines")
    rest.asked.clear()
    by_catalog = warm_window(spec, info_of(history), WarmUp(rest_history(rest, monkeypatch), history, None, NOW))
    assert requests > 10
    assert rest.asked.count("/fapi/v1/klines") == 0
    assert_same(by_catalog, by_rest)


def test_after_an_interruption_the_window_is_the_one_that_never_stopped(
    history: Path, rest: CatalogRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = feature_spec(), MemoryStateStore()
    began = NOW - 3 * 24 * HOUR
    from_ns = (began // (15 * MINUTE) - spec.warmup_bars - 2) * 15 * MINUTE
    before = warm_window(spec, info_of(history), WarmUp(rest_history(rest, monkeypatch), None, store, began))
    keep_window(store, BTC, before)
    rest.asked.clear()
    after = warm_window(spec, info_of(history), WarmUp(rest_history(rest, monkeypatch), None, store, NOW))
    assert rest.asked.count("/fapi/v1/klines") == 3  # three days of minutes, 1,500 a page
    assert_same(after, uninterrupted(history, from_ns, NOW))


def test_a_snapshot_of_other_features_or_too_old_is_not_gone_on_from(
    history: Path, rest: CatalogRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, store = feature_spec(), MemoryStateStore()
    begin = (NOW // (15 * MINUTE) - spec.warmup_bars - 2) * 15 * MINUTE
    old = uninterrupted(history, begin - 2 * 24 * HOUR, begin - 24 * HOUR)
    for kept in (old.snapshot(), Window(feature_spec("1m", "1h")).snapshot(), b"torn"):
        store.save(f"window.{BTC}", kept)
        window = warm_window(spec, info_of(history), WarmUp(rest_history(rest, monkeypatch), None, store, NOW))
        assert_same(window, uninterrupted(history, begin, NOW))


def test_history_with_a_hole_is_refused_in_one_line(
    history: Path, rest: CatalogRest, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = np.ones(len(rest._bars.ts_close), dtype=np.bool_)
    keep[np.searchsorted(rest._bars.ts_close, NOW - 24 * HOUR)] = False
    rest._bars = type(rest._bars)(*(column[keep] for column in rest._bars))
    with pytest.raises(DataError, match=r"has 230\d\d of 230\d\d bars; import what is missing"):
        warm_window(feature_spec(), info_of(history), WarmUp(rest_history(rest, monkeypatch), None, None, NOW))
