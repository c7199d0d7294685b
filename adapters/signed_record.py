"""Records that nobody changes unnoticed: JSON with an Ed25519 signature by a key of this machine.

The key is made at the first use and read by its owner alone. It keeps honest people honest: whoever may read it may
also sign.
"""

import base64
import binascii
import os
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from adapters.credentials import read_private
from core.errors import RefusedError, UsageError

__all__ = ["SigningKey"]


class _Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a file: the record as it was signed, and the signature."""

    record: msgspec.Raw
    signature: str


class SigningKey:
    """The key of this machine.

    Parameters
    ----------
    path : Path
        Of its file, ``~`` for the home directory; mode 0600.
    make : bool
        Whether to make it where it is absent.

    Raises
    ------
    RefusedError
        Where it is absent and not to be made, others may read it, or it is no such key.
    """

    def __init__(self, path: Path, *, make: bool) -> None:
        self._path = path.expanduser()
        if make and not self._path.exists():
            _make(self._path)
        try:
            key = load_pem_private_key(read_private(self._path).encode(), password=None)
        except UsageError:
            raise RefusedError(
                f"{self._path}: there is no signing key, so that no record can be trusted; `autotrade doctor` and "
                "`autotrade promote` make one"
            ) from None
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise RefusedError(f"{self._path} is no Ed25519 key; remove it, and examine and promote anew")
        self._key = key

    def __repr__(self) -> str:
        return f"SigningKey({self._path})"

    def seal(self, record: msgspec.Struct) -> bytes:
        """Return a record with its signature, as one line of JSON."""
        content = msgspec.json.encode(record)
        signature = base64.b64encode(self._key.sign(_scoped(record, content))).decode()
        return msgspec.json.encode(_Sealed(msgspec.Raw(content), signature))

    def open[Record: msgspec.Struct](self, content: bytes, kind: type[Record], name: str) -> Record:
        """Return the record that a line holds.

        Parameters
        ----------
        content : bytes
            As `seal` made it.
        kind : type
            Of the record; one of another kind is refused.
        name : str
            Of the file, for the error.

        Raises
        ------
        RefusedError
            Where the signature is not that of this key on this record, or it is none.
        """
        try:
            sealed = msgspec.json.decode(content, type=_Sealed)
            signature = base64.b64decode(sealed.signature, validate=True)
            bare = bytes(sealed.record)
            self._key.public_key().verify(signature, kind.__name__.encode() + b"\n" + bare)
            return msgspec.json.decode(bare, type=kind)
        except InvalidSignature:
            raise RefusedError(
                f"{name} was changed, or signed with another key than {self._path}; make it anew"
            ) from None
        except (msgspec.DecodeError, msgspec.ValidationError, binascii.Error, ValueError) as error:
            raise RefusedError(f"{name} is no signed record: {error}; make it anew") from None


def _scoped(record: msgspec.Struct, content: bytes) -> bytes:
    """Return what is signed: a record of one kind is none of another."""
    return type(record).__name__.encode() + b"\n" + content


def _make(path: Path) -> None:
    """Write a new key, unless somebody else does at this moment."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
