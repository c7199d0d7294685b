import pandas as pd
import pytest

from core.bars import INTERVALS_NS, bar_type, interval_ns
from core.errors import UsageError


@pytest.mark.parametrize("name", INTERVALS_NS)
def test_an_interval_is_as_long_as_pandas_says(name: str) -> None:
    assert interval_ns(name) == pd.Timedelta(name.replace("m", "min").replace("1d", "1D")).value


@pytest.mark.parametrize(
    ("interval", "step"),
    [("1m", "1-MINUTE"), ("15m", "15-MINUTE"), ("1h", "1-HOUR"), ("12h", "12-HOUR"), ("1d", "1-DAY")],
)
def test_a_bar_type_is_named_as_the_engine_names_it(interval: str, step: str) -> None:
    assert bar_type("BTCUSDT-PERP.BINANCE", interval) == f"BTCUSDT-PERP.BINANCE-{step}-LAST-EXTERNAL"


@pytest.mark.parametrize("name", ["", "2m", "1M", "60", "1min"])
def test_an_unknown_interval_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="1m, 3m, 5m"):
        interval_ns(name)
    with pytest.raises(UsageError, match="unknown interval"):
        bar_type("BTCUSDT-PERP.BINANCE", name)
