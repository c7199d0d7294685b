"""Keys come from where only their owner reads, and are shown nowhere."""

import base64
import copy
import hashlib
import hmac
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from adapters.credentials import Credentials, credentials
from core.errors import RefusedError, UsageError

KEY, SECRET = "k" * 60 + "7f3a", "s" * 60 + "91bc"
NAMES = ("AUTOTRADE_TESTNET_API_KEY", "AUTOTRADE_TESTNET_API_SECRET")


def pem_of(key: object, password: bytes | None = None) -> str:
    """Return a private key in PKCS#8 PEM."""
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()  # type: ignore[attr-defined]


def private(path: Path, text: str, mode: int = 0o600) -> Path:
    """Write a file of a mode."""
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_environment_gives_a_key_and_an_hmac_secret():
    found = credentials("testnet", dict(zip(NAMES, (KEY, f" {SECRET}\n"), strict=True)), None)
    assert (found.key, found.secret, found.kind) == (KEY, SECRET, "hmac")
    assert (
        found.sign("symbol=BTCUSDT&timestamp=1")
        == hmac.digest(SECRET.encode(), b"symbol=BTCUSDT&timestamp=1", hashlib.sha256).hex()
    )


def test_binances_own_example_of_a_signature_comes_out():
    """Of its documentation, "SIGNED endpoint examples for POST /fapi/v1/order"."""
    example = Credentials(
        "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83",
        "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
    )
    query = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
        "&timestamp=1591702613943"
    )
    assert example.sign(query) == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


@pytest.mark.parametrize("form", ["pem", "one line", "bare"])
def test_an_ed25519_key_is_known_by_its_form_and_signs_as_the_public_half_says(form):
    key = Ed25519PrivateKey.generate()
    pem = pem_of(key)
    secret = {"pem": pem, "one line": pem.replace("\n", "\\n"), "bare": "".join(pem.splitlines()[1:-1])}[form]
    found = credentials("testnet", dict(zip(NAMES, (KEY, secret), strict=True)), None)
    assert found.kind == "ed25519"
    key.public_key().verify(base64.b64decode(found.sign("a=1")), b"a=1")
    if form != "bare":
        assert load_pem_private_key(found.secret.encode(), None)  # what the engine is handed is a whole PEM


def test_files_and_dotenv_give_them_too(tmp_path):
    pem = pem_of(Ed25519PrivateKey.generate())
    key_file = private(tmp_path / "key", f"{KEY}\n", 0o400)
    dotenv = private(
        tmp_path / ".env",
        f"# of the testnet\nexport AUTOTRADE_TESTNET_API_KEY=other # not used\n\n"
        f"AUTOTRADE_TESTNET_API_SECRET=\"{pem}\"\nAUTOTRADE_DEMO_API_KEY='{KEY}'\n"
        f"AUTOTRADE_DEMO_API_SECRET={SECRET}",
    )
    mixed = credentials("testnet", {f"{NAMES[0]}_FILE": str(key_file)}, dotenv)
    assert (mixed.key, mixed.secret) == (KEY, pem.strip())
    assert credentials("demo", {}, dotenv).secret == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o602, 0o660])
@pytest.mark.parametrize("where", ["dotenv", "file"])
def test_what_others_can_read_or_write_is_refused_in_one_line(tmp_path, mode, where):
    if where == "dotenv":
        path = private(tmp_path / ".env", f"{NAMES[0]}={KEY}\n{NAMES[1]}={SECRET}\n", mode)
        asked = ("testnet", {}, path)
    else:
        path = private(tmp_path / "secret", SECRET, mode)
        asked = ("testnet", {NAMES[0]: KEY, f"{NAMES[1]}_FILE": str(path)}, None)
    with pytest.raises(RefusedError) as refused:
        credentials(*asked)
    assert str(refused.value) == (f"{path} is open to others: mode {mode:04o}, the limit is 0600; chmod 600 {path}")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "no credentials for testnet: AUTOTRADE_TESTNET_API_KEY and AUTOTRADE_TESTNET_API_SECRET not given"),
        ({NAMES[0]: KEY}, "AUTOTRADE_TESTNET_API_SECRET not given"),
        ({NAMES[0]: "", NAMES[1]: SECRET}, "AUTOTRADE_TESTNET_API_KEY not given"),
        ({NAMES[0]: KEY, f"{NAMES[0]}_FILE": "/f", NAMES[1]: SECRET}, "are both given: keep one"),
        ({NAMES[0]: KEY, f"{NAMES[1]}_FILE": "/no/such"}, "/no/such: No such file or directory; name a file"),
        ({NAMES[0]: KEY, f"{NAMES[1]}_FILE": "/"}, "/ is no plain file"),
        ({NAMES[0]: KEY, NAMES[1]: "two words"}, "the API secret holds a blank"),
        ({NAMES[0]: "key\u200b", NAMES[1]: SECRET}, "the API key holds a blank or a character"),
        ({NAMES[0]: KEY, NAMES[1]: "-----BEGIN PRIVATE KEY-----\nsecretpart\n"}, "cannot be read"),
        ({"AUTOTRADE_MAINNET_API_KEY": KEY, "AUTOTRADE_MAINNET_API_SECRET": SECRET}, "no credentials for testnet"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed_is_one_line_that_repeats_no_secret(environ, said):
    with pytest.raises(UsageError) as refused:
        credentials("testnet", environ, Path("/no/such/.env"))
    assert said in str(refused.value)
    trace = "".join(traceback.format_exception(refused.value))
    assert not any(value in trace for value in (SECRET, "two words", "secretpart"))


def test_other_kinds_of_private_keys_are_refused():
    for pem in (pem_of(generate_private_key(65_537, 2_048)), pem_of(Ed25519PrivateKey.generate(), b"password")):
        with pytest.raises(UsageError, match="private key") as refused:
            Credentials(KEY, pem)
        assert pem.splitlines()[1] not in "".join(traceback.format_exception(refused.value))


def test_a_broken_dotenv_names_the_line_and_not_its_content(tmp_path):
    path = private(tmp_path / ".env", f"A=1\n\n# all well\n{SECRET}\n")
    with pytest.raises(UsageError, match=r"line 4 is not of the form NAME=value") as refused:
        credentials("testnet", {}, path)
    assert SECRET not in str(refused.value)


def test_a_file_that_no_key_fills_is_refused(tmp_path):
    environ = {NAMES[0]: KEY, f"{NAMES[1]}_FILE": str(private(tmp_path / "empty", "\n"))}
    with pytest.raises(UsageError, match="is empty"):
        credentials("testnet", environ, None)
    with pytest.raises(UsageError, match="longer than 16384 bytes"):
        credentials("testnet", {}, private(tmp_path / "long", "a" * 16_385))


@pytest.mark.parametrize("secret", [SECRET, pem_of(Ed25519PrivateKey.generate())])
def test_no_representation_holds_the_secret_or_the_whole_key(secret):
    found = Credentials(KEY, secret)
    for text in (repr(found), str(found), f"{found}", f"{[found]!r}", f"{vars(type(found))}"):
        assert KEY not in text
        assert not any(part in text for part in secret.split())
    for leak in (pickle.dumps, copy.deepcopy, msgspec.json.encode):
        with pytest.raises(TypeError):
            leak(found)
