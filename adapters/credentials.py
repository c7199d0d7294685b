"""API keys: from the environment, a file, or ``.env``; shown nowhere, and taken from nothing that others can read.

::

    AUTOTRADE_<ENVIRONMENT>_API_KEY        or ..._API_KEY_FILE, the path of a file that holds it
    AUTOTRADE_<ENVIRONMENT>_API_SECRET     or ..._API_SECRET_FILE; an HMAC secret, or an Ed25519 private key (PEM)

What the environment does not name is looked for under the same names in ``.env``.
"""

import base64
import binascii
import hashlib
import hmac
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from core.errors import RefusedError, UsageError

__all__ = ["Credentials", "credentials", "read_private", "secrets_named"]

_MOST_BYTES = 16_384
_PEM = "-----BEGIN"
_ED25519_OID = bytes((0x06, 0x03, 0x2B, 0x65, 0x70))
"""Stands in every PKCS#8 Ed25519 key; the engine tells the two kinds of secrets apart by it, too."""
_LINE = re.compile(
    r"""[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
        (?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\n"']*?))[ \t]*(?:[ ]\#[^\n]*)?(?:\n|\Z)""",
    re.VERBOSE,
)
_NOTHING = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")


class Credentials:
    """An API key and its secret. They are in no representation, are not pickled, and are encoded by nobody.

    Parameters
    ----------
    key : str
        What names the account to the venue.
    secret : str
        An HMAC secret, or an Ed25519 private key (PKCS#8, PEM or its bare base64).

    Raises
    ------
    UsageError
        Where one of them is not of that form; it is not repeated.
    """

    __slots__ = ("_signer", "key", "secret")

    def __init__(self, key: str, secret: str) -> None:
        _check_printable("API key", key)
        self._signer = _private_key(secret)
        if self._signer is None:
            _check_printable("API secret", secret)
        self.key = key
        self.secret = secret

    @property
    def kind(self) -> Literal["hmac", "ed25519"]:
        """How requests are signed; the form of the secret says it."""
        return "hmac" if self._signer is None else "ed25519"

    @property
    def hint(self) -> str:
        """The end of the key: enough for its owner to know it by."""
        return f"...{self.key[-4:]}" if len(self.key) > 16 else "..."

    def sign(self, payload: str) -> str:
        """Return the signature of a request: hex for HMAC-SHA256, base64 for Ed25519."""
        if self._signer is None:
            return hmac.new(self.secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return base64.b64encode(self._signer.sign(payload.encode())).decode()

    def __repr__(self) -> str:
        return f"Credentials({self.kind}, {self.hint})"

    def __reduce__(self) -> NoReturn:
        """Refuse to be written anywhere."""
        raise TypeError("credentials are not pickled")


def credentials(environment: str, environ: Mapping[str, str], dotenv: Path | None) -> Credentials:
    """Return the credentials of an environment.

    Parameters
    ----------
    environment : str
        demo, testnet or mainnet; paper needs none.
    environ : Mapping
        The process's environment.
    dotenv : Path or None
        A file of ``NAME=value`` lines; it is read only for what the environment does not name, and need not exist.

    Raises
    ------
    UsageError
        Where they are not given, given twice, or not of the right form.
    RefusedError
        Where a file with them can be read or written by others.
    """
    prefix = f"AUTOTRADE_{environment.upper()}_API_"
    names = (f"{prefix}KEY", f"{prefix}SECRET")
    given = {name: _given(name, environ) for name in names}
    if None in given.values() and dotenv is not None and dotenv.exists():
        lines = _parse(read_private(dotenv), dotenv)
        given = {name: _given(name, lines) if value is None else value for name, value in given.items()}
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise UsageError(
            f"no credentials for {environment}: {' and '.join(missing)} not given; set {' and '.join(missing)}, or "
            "with _FILE behind the name the path of a file of mode 0600, or write them into .env (mode 0600)"
        )
    key, secret = (str(given[name]) for name in names)
    return Credentials(key, secret.replace("\\n", "\n") if secret.startswith(_PEM) else secret)


def secrets_named(pattern: re.Pattern[str], environ: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    """Return every secret whose name fits a pattern, by its name, from the same places as `credentials`.

    Raises
    ------
    UsageError, RefusedError
        As `credentials`.
    """
    lines = _parse(read_private(dotenv), dotenv) if dotenv is not None and dotenv.exists() else {}
    found: dict[str, str] = {}
    for values in (environ, lines):
        names = {name.removesuffix("_FILE") for name in values}
        for name in sorted(name for name in names if pattern.fullmatch(name) and name not in found):
            value = _given(name, values)
            if value is not None:
                found[name] = value
    return found


def read_private(path: Path) -> str:
    """Return the text of a file that only its owner can read and write.

    Raises
    ------
    UsageError
        Where there is no such file, or it is none that could hold a key.
    RefusedError
        Where others may read or write it, or it is somebody else's.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}; name a file that holds the key") from None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise UsageError(f"{path} is no plain file; name a file that holds the key")
        mode = stat.S_IMODE(about.st_mode)
        if mode & 0o077:
            raise RefusedError(f"{path} is open to others: mode {mode:04o}, the limit is 0600; chmod 600 {path}")
        if about.st_uid not in {os.geteuid(), 0}:
            raise RefusedError(f"{path} belongs to user {about.st_uid}, not to you; chown it, or name a file of yours")
        content = os.read(descriptor, _MOST_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{path} is longer than {_MOST_BYTES} bytes: no key is; name the right file")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text; name a file that holds the key") from None


def _given(name: str, values: Mapping[str, str]) -> str | None:
    """Return what is given under a name, or in the file that is named; None where neither is."""
    direct, file = values.get(name, "").strip(), values.get(f"{name}_FILE", "").strip()
    if direct and file:
        raise UsageError(f"{name} and {name}_FILE are both given: keep one of them")
    if file:
        direct = read_private(Path(file)).strip()
        if not direct:
            raise UsageError(f"{name}_FILE: {file} is empty; write the key into it")
    return direct or None


def _parse(text: str, path: Path) -> dict[str, str]:
    """Return the values of ``NAME=value`` lines; a quoted one may span several."""
    values: dict[str, str] = {}
    at = 0
    text = text.replace("\r\n", "\n")
    while at < len(text):
        found = _LINE.match(text, at)
        if found is not None:
            quoted = found["double"] if found["double"] is not None else found["single"]
            values[found["name"]] = found["bare"] if quoted is None else quoted
        else:
            found = _NOTHING.match(text, at)
        if found is None:
            line = text.count("\n", 0, at) + 1
            raise UsageError(f"{path}: line {line} is not of the form NAME=value; mend it")
        at = found.end()
    return values


def _check_printable(what: str, text: str) -> None:
    """Refuse what no key looks like, without repeating it."""
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"the {what} holds a blank or a character that no {what} has; copy it again")


def _private_key(secret: str) -> Ed25519PrivateKey | None:
    """Return an Ed25519 key, None for what is an HMAC secret."""
    try:
        if secret.startswith(_PEM):
            key = load_pem_private_key(secret.encode(), password=None)
        else:
            der = base64.b64decode(secret, validate=True)
            if _ED25519_OID not in der:
                return None
            key = load_der_private_key(der, password=None)
    except binascii.Error:
        return None
    except (ValueError, TypeError, UnsupportedAlgorithm):  # its words might repeat the key
        raise UsageError(
            "the API secret is a private key that cannot be read, or one with a password; give an Ed25519 key in "
            "PKCS#8 form without one: openssl genpkey -algorithm ed25519"
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError("the API secret is a private key of another kind than Ed25519; make an Ed25519 or HMAC key")
    return key
