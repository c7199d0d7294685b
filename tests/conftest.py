"""What all tests share."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from adapters.binance_history import ImportRequest, import_files
from tests import secrecy

settings.register_profile("same", derandomize=True)
settings.register_profile("new", print_blob=True)
settings.load_profile(os.environ.get("EXAMPLES", "same"))
"""The same examples at every run, so that a run says something of a change; `make soak` looks for new ones."""

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real Binance history, which stands beside the project and is never part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real history at {SHARED_DATA}")
    return SHARED_DATA


def import_range(shared_data: Path, folder: Path, symbols: Sequence[str], start: str, end: str) -> Path:
    """Import real one-minute bars of [start, end) and all funding; return the catalog."""
    for symbol in symbols:
        table = pq.read_table(shared_data / f"binancevision-spot-{symbol}-1m.parquet")
        opened = table["open_time"]
        wanted = pc.and_(
            pc.greater_equal(opened, pd.Timestamp(start, tz="UTC")), pc.less(opened, pd.Timestamp(end, tz="UTC"))
        )
        cut = folder / f"{symbol}.parquet"
        pq.write_table(table.filter(wanted), cut)
        funding = shared_data / f"stitched-usdm-{symbol}-funding8h.parquet"
        import_files(ImportRequest([cut, funding], folder / "catalog", symbol, interval="1m"))
    return folder / "catalog"


@pytest.fixture(scope="session")
def history(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of two instruments without a missing minute."""
    folder = tmp_path_factory.mktemp("history")
    return import_range(shared_data, folder, ("BTCUSDT", "ETHUSDT"), "2023-11-01", "2024-03-15")


@pytest.fixture(scope="session")
def outage(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with the outage of 2023-03-24: 72 minutes without a trade, then 80 missing ones."""
    return import_range(shared_data, tmp_path_factory.mktemp("outage"), ("BTCUSDT",), "2023-02-20", "2023-04-02")


LEAKED = pytest.StashKey[list[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Fail a test that showed a secret, on a terminal or in a log."""
    report = yield
    if secrecy.found_in("\n".join(text for _, text in report.sections).encode()):
        report.outcome, report.longrepr = "failed", f"{item.nodeid} showed a secret"
        report.sections.clear()
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search all that the whole run left behind for secrets, once, after the last worker."""
    if hasattr(session.config, "workerinput"):
        return
    folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined] # there is no public way
    session.config.stash[LEAKED] = [str(path) for path in secrecy.leaks(folder)]
    if session.config.stash[LEAKED]:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the files in which a secret was found."""
    for path in config.stash.get(LEAKED, []):
        terminalreporter.write_line(f"SECRET WRITTEN DOWN in {path}", red=True)
