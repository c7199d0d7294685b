"""What all tests share."""

from pathlib import Path

import pandas as pd
import pytest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real Binance history, which stands beside the project and is never part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real history at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def history(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with 2023-11-01 .. 2024-03-14 of real one-minute bars of two instruments, and their funding."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from adapters.binance_history import ImportRequest, import_files

    folder = tmp_path_factory.mktemp("history")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        table = pq.read_table(shared_data / f"binancevision-spot-{symbol}-1m.parquet")
        cut = folder / f"{symbol}.parquet"
        stamps = table["open_time"]
        start, end = (pd.Timestamp(t, tz="UTC") for t in ("2023-11-01", "2024-03-15"))
        pq.write_table(table.filter(pc.and_(pc.greater_equal(stamps, start), pc.less(stamps, end))), cut)
        funding = shared_data / f"stitched-usdm-{symbol}-funding8h.parquet"
        import_files(ImportRequest([cut, funding], folder / "catalog", symbol, interval="1m"))
    return folder / "catalog"
