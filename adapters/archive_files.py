"""The files of Binance's public archive: where they lie, and how one gets here whole or not at all."""

import hashlib
import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adapters.archive import verify_checksum
from adapters.parts import replace_file
from adapters.web import Answer, Web
from core.errors import ChecksumError, DataError

__all__ = ["ArchiveFiles", "Span", "funding_path", "kline_path", "spans"]

_ROOTS = {"um": "data/futures/um", "spot": "data/spot"}
_FOLDERS = {"M": "monthly", "D": "daily"}
_RECORD = "imported.json"


class Span(NamedTuple):
    """A month or a day, UTC: its ``stamp`` in a file's name, and its times ``start_ns <= t < end_ns``."""

    stamp: str
    start_ns: int
    end_ns: int

    def within(self, start_ns: int, end_ns: int) -> "Span":
        """Return the part of it that lies in a range."""
        return self._replace(start_ns=max(self.start_ns, start_ns), end_ns=min(self.end_ns, end_ns))


def spans(unit: str, start_ns: int, end_ns: int) -> Iterator[Span]:
    """Yield the months (``unit`` M) or days (D) that share a time with ``start_ns <= t < end_ns``, whole.

    Examples
    --------
    >>> [span.stamp for span in spans("M", 0, 40 * 86_400 * 10**9)]
    ['1970-01', '1970-02']
    """
    first, last = np.array([start_ns, end_ns - 1], "datetime64[ns]").astype(f"datetime64[{unit}]").astype(np.int64)
    stamps = np.arange(first, last + 2).astype(f"datetime64[{unit}]")
    times = stamps.astype("datetime64[ns]").astype(np.int64).tolist()
    for stamp, (begins, ends) in zip(stamps, pairwise(times), strict=False):
        yield Span(str(stamp), begins, ends)


def kline_path(market: str, symbol: str, interval: str, span: Span) -> str:
    """Return the archive's path of the bars of a month or a day.

    Examples
    --------
    >>> kline_path("spot", "BTCUSDT", "1m", Span("2024-01", 0, 0))
    'data/spot/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-01.zip'
    """
    folder = _FOLDERS["M" if span.stamp.count("-") == 1 else "D"]
    return f"{_ROOTS[market]}/{folder}/klines/{symbol}/{interval}/{symbol}-{interval}-{span.stamp}.zip"


def funding_path(symbol: str, month: Span) -> str:
    """Return the archive's path of the funding rates of a month; there are none of days."""
    return f"{_ROOTS['um']}/monthly/fundingRate/{symbol}/{symbol}-fundingRate-{month.stamp}.zip"


class ArchiveFiles:
    """Fetches files of the archive into a folder and remembers what was imported of them.

    A file is in the folder only under its checksum, so one that a killed download left there is used as it is.

    Parameters
    ----------
    web : Web
        The way out.
    url : str
        Of the archive, without a path.
    folder : Path
        Of one market, whose file names do not tell it; one process at a time (`adapters.parts.locked`).
    """

    def __init__(self, web: Web, url: str, folder: Path) -> None:
        self._web = web
        self._url = url.rstrip("/")
        self._folder = folder
        self._record = _read_record(folder / _RECORD)

    def fetch(self, path: str) -> Path | None:
        """Return a file of the archive, its bytes those that were published; None where the archive has none.

        Raises
        ------
        ChecksumError
            Where its bytes are twice not those that were published.
        DataError
            Where the archive refuses it or cannot be reached.
        """
        local = self._folder / path.rpartition("/")[2]
        if self._verified(local):
            return local
        url, published = f"{self._url}/{path}", ""
        for _ in range(2):
            checksum = self._get(f"{url}.CHECKSUM")
            answer = None if checksum is None else self._get(url)
            if checksum is None or answer is None:
                return None
            published = checksum.content.decode("ascii", errors="replace").strip()[:64].lower()
            found = hashlib.sha256(answer.content).hexdigest()
            if found == published:
                replace_file(_sidecar(local), f"{found}  {local.name}\n".encode())
                replace_file(local, answer.content)
                return local
        if re.fullmatch("[0-9a-f]{64}", published) is None:
            raise ChecksumError(f"{url}.CHECKSUM is no checksum but {published[:20]!r}, twice: try again later")
        raise ChecksumError(
            f"{url} has SHA-256 {found[:12]}..., published is {published[:12]}..., twice: nothing of it was stored, "
            "try again later"
        )

    def discard(self, path: str) -> None:
        """Remove the copy of a file, if there is one."""
        local = self._folder / path.rpartition("/")[2]
        local.unlink(missing_ok=True)
        _sidecar(local).unlink(missing_ok=True)

    def note_rows(self, path: str, span: Span, rows: int) -> None:
        """Remember how many rows of a file were imported, of a part of its span."""
        self._record[path] = (span.start_ns, span.end_ns, rows)
        replace_file(self._folder / _RECORD, json.dumps(self._record, indent=0).encode())

    def noted_rows(self, path: str, span: Span) -> int | None:
        """Return how many rows a file was found to have in exactly that part of its span, None where none was noted."""
        start_ns, end_ns, rows = self._record.get(path, (0, 0, 0))
        return rows if (start_ns, end_ns) == (span.start_ns, span.end_ns) else None

    def _get(self, url: str) -> Answer | None:
        answer = self._web.get(url)
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise DataError(
                f"{url} answers {answer.status}: check --archive-url and whether it may be reached from here"
            )
        return answer

    def _verified(self, local: Path) -> bool:
        try:
            return local.is_file() and verify_checksum(local)
        except ChecksumError:
            return False


def _sidecar(local: Path) -> Path:
    return local.with_name(f"{local.name}.CHECKSUM")


def _read_record(path: Path) -> dict[str, tuple[int, int, int]]:
    """Return what was imported of which file; nothing where the record cannot be read: it only saves requests."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): (int(start), int(end), int(rows)) for name, (start, end, rows) in record.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
