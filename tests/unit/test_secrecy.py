"""The search for secrets finds them in whatever a program may have left."""

import base64
import gzip
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import secrecy

SECRET = secrecy.SECRETS[0]


def write_text(path: Path) -> None:
    path.write_text(f"a line\nsignature of {SECRET}, refused\n")


def write_base64(path: Path) -> None:
    path.write_bytes(b"Authorization: Basic " + base64.b64encode(SECRET.encode()))


def write_far_behind(path: Path) -> None:
    path.write_bytes(b"\0" * ((1 << 24) - 7) + SECRET.encode() + b"\0" * 100)


def write_parquet(path: Path) -> None:
    rows = {"reason": ["none", f"refused {SECRET}"] * 50, "number": list(range(100))}
    pq.write_table(pa.table(rows), path.with_suffix(".parquet"), compression="zstd")


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", SECRET * 3)


def write_torn_gzip(path: Path) -> None:
    packed = gzip.compress(SECRET.encode() + bytes(range(256)) * 40)
    path.with_suffix(".gz").write_bytes(packed[:-9])


def write_token_elsewhere(path: Path) -> None:
    path.with_name("control.token").write_text("0123456789abcdef")
    path.write_text("the token was 0123456789abcdef")


@pytest.mark.parametrize(
    "write",
    [write_text, write_base64, write_far_behind, write_parquet, write_zip, write_torn_gzip, write_token_elsewhere],
)
def test_a_secret_is_found(tmp_path, write):
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "log").write_text("nothing to see")
    (tmp_path / ".env").write_text(SECRET)
    assert list(secrecy.leaks(tmp_path)) == []
    write(tmp_path / "clean" / "left")
    assert [path.stem for path in secrecy.leaks(tmp_path)] == ["left"]
    for path in tmp_path.rglob("*"):
        path.is_file() and path.unlink()


def test_a_secret_that_a_test_shows_fails_it(tmp_path):
    assert secrecy.found_in(f"error: {SECRET}".encode())
    assert not secrecy.found_in(b"error: a signature of f3a9")
