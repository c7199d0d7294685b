"""What must never be written down, looked for in all that a run of the tests left behind."""

import base64
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq

from venue.params import DEMO_SECRET

__all__ = ["SECRETS", "found_in", "leaks"]

SECRETS = (DEMO_SECRET, "secret-of-a-test", "another-secret-0123456789", "s" * 50)
"""Every secret that a test gives to a program holds one of these."""

TOKENS = ("control.token", "token")
"""Names of the files that hold a token; no other file may hold what is in them."""

WALLETS = (".env", "secret")
"""Names of the files of keys that tests write for a program to read; no program writes a file of such a name."""

_SHORTEST = 16
"""Characters of a token; what is shorter was written by a test to be refused."""
_CHUNK = 1 << 24


def found_in(content: bytes, secrets: tuple[str, ...] = SECRETS) -> bool:
    """Return whether a secret is in it: plain, in base64, quoted for an address, or in hexadecimal digits."""
    return any(form in content for secret in secrets for form in _forms(secret))


def leaks(folder: Path) -> Iterator[Path]:
    """Yield the files below ``folder`` that hold a secret: logs, records, journals, reports, dumps, all but wallets.

    What is packed is unpacked, and what is torn is read as far as it goes.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    tokens = tuple(word for path in files if path.name in TOKENS and len(word := path.read_text().strip()) >= _SHORTEST)
    for path in files:
        wanted = SECRETS if path.name in TOKENS else (*SECRETS, *tokens)
        if path.name not in WALLETS and any(found_in(part, wanted) for part in _contents(path)):
            yield path


def _forms(secret: str) -> tuple[bytes, ...]:
    raw = secret.encode()
    return (raw, base64.b64encode(raw).rstrip(b"=")[:-1], quote(secret, safe="").encode(), raw.hex().encode())


def _contents(path: Path) -> Iterator[bytes]:
    """Yield what is in a file, piece by piece; two pieces overlap by more than a secret is long."""
    if path.suffix == ".parquet" and path.read_bytes()[-4:] == b"PAR1":
        table = pq.ParquetFile(path).read()
        for name in table.column_names:
            if "string" in str(table.schema.field(name).type) or "binary" in str(table.schema.field(name).type):
                yield "\n".join(str(text) for text in table[name].to_pylist()).encode()
        yield str(table.schema.metadata).encode()
    elif path.suffix == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive, suppress(zipfile.BadZipFile):
            yield from (archive.read(name) for name in archive.namelist())
    elif path.suffix == ".gz":
        yield zlib.decompressobj(wbits=31).decompress(path.read_bytes())
    else:
        with path.open("rb") as file:
            tail = b""
            while piece := file.read(_CHUNK):
                yield tail + piece
                tail = piece[-1024:]
