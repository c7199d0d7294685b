"""The doctor at the stand-in venue: what is wrong is named in one line, with the right exit code."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

import cli
import configs
from adapters.binance_account import BinanceAccount
from adapters.credentials import Credentials
from adapters.mainnet_promotion import Records
from commands.doctor import Outside, examine, keep
from configs.schema import AppConfig
from core.checkup import Check, exit_code
from core.errors import AutotradeError, RefusedError
from core.promotion_gate import Doctor
from tests.unit import wire_account
from tests.unit.wire_account import WireAccount
from venue.params import ApiKey, VenueParams
from venue.start import RunningVenue, started_venue

ROOT = Path(__file__).parents[2]
MODELS = [str(path.parent) for path in sorted((ROOT / "catalog" / "models").glob("*/manifest.json"))]
ED25519 = Ed25519PrivateKey.generate()
PEM = ED25519.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC = ED25519.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
KEYS = {name: (f"{name}-" + "k" * 50 + "Kend", f"{name}-" + "s" * 50) for name in
        ("good", "withdraws", "cannot-trade", "from-anywhere")}  # fmt: skip
KEYS["ed25519"] = ("ed25519-" + "k" * 50, PEM)
KEYS["unknown"] = ("unknown-" + "k" * 50, "unknown-" + "s" * 50)
KEYS["wrong-secret"] = (KEYS["good"][0], "wrong-" + "s" * 50)


class Patient(NamedTuple):
    """A stand-in venue, and the command that examines it."""

    venue: RunningVenue
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def examined(self, key: str = "good", *more: str, url: str = "") -> tuple[int, dict[str, dict[str, str]]]:
        """Return the exit code and the checks by name."""
        for name, value in zip(("KEY", "SECRET"), KEYS[key], strict=True):
            self.monkeypatch.setenv(f"AUTOTRADE_TESTNET_API_{name}", value)
        code = cli.main(["doctor", "--json", "--models", *MODELS, *self.places(url), *more])
        shown = self.capsys.readouterr()
        assert not any(
            part in shown.out + shown.err for key in KEYS.values() for part in (key[0], *key[1].split("\n")[:2])
        )
        told = json.loads(shown.out)
        assert told["exit_code"] == code
        return code, {check["name"]: check for check in told["checks"]}

    def places(self, url: str = "") -> list[str]:
        venue = self.venue
        names = {
            "venue.http_url": url or venue.url, "venue.ws_url": venue.ws_url,
            "breaker.state_path": self.folder / "state",
            "venue.ws_trading_url": venue.ws_trading_url, "doctor.permissions_url": venue.url,
            "record.path": self.folder / "live", "doctor.min_disk_gb": 0.01, "doctor.min_open_files": 64,
        }  # fmt: skip
        return [part for name, value in names.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture(scope="module")
def venue() -> Iterator[RunningVenue]:
    keys = (
        ApiKey(key=KEYS["good"][0], secret=KEYS["good"][1]),
        ApiKey(key=KEYS["ed25519"][0], public_pem=PUBLIC),
        ApiKey(key=KEYS["withdraws"][0], secret=KEYS["withdraws"][1], withdraw=True),
        ApiKey(key=KEYS["cannot-trade"][0], secret=KEYS["cannot-trade"][1], trade=False),
        ApiKey(key=KEYS["from-anywhere"][0], secret=KEYS["from-anywhere"][1], ip_restricted=False),
    )
    with started_venue(VenueParams(speed=1.0, keys=keys)) as running:
        yield running


@pytest.fixture
def patient(venue, tmp_path, monkeypatch, capsys) -> Patient:
    monkeypatch.chdir(tmp_path)
    return Patient(venue, tmp_path, monkeypatch, capsys)


def test_a_healthy_testnet_is_green(patient):
    code, checks = patient.examined()
    assert code == 0
    warned = {name for name, check in checks.items() if check["verdict"] == "warn"}
    assert warned == {"margin of BTCUSDT", "smallest order of BTCUSDT", "alert channels"}
    assert all(check["verdict"] in {"ok", "warn"} for check in checks.values())
    assert checks["API key"]["found"] == "hmac key ...Kend is accepted"
    assert checks["margin of BTCUSDT"]["found"] == "cross, leverage 20"
    assert checks["balance"]["found"] == "10,000.00 USDT, 10,000.00 available"
    assert checks["smallest order of BTCUSDT"]["found"].startswith("needs 1")
    assert checks["state"]["found"].endswith("saves and loads; the breaker is ACTIVE")
    assert checks["alert channels"]["found"] == "none configured"


@pytest.mark.parametrize(
    ("key", "code", "name", "verdict", "found"),
    [
        ("ed25519", 0, "API key", "ok", "ed25519 key"),
        ("unknown", 1, "API key", "fail", "refused (-2015): the key is unknown, is not for this address"),
        ("wrong-secret", 1, "API key", "fail", "refused (-1022): the signature is wrong: the secret does not"),
        ("withdraws", 3, "key may not withdraw", "refuse", "it may withdraw"),
        ("cannot-trade", 1, "key may trade", "fail", "no"),
        ("from-anywhere", 0, "key is bound to addresses", "warn", "no: it works from anywhere"),
    ],
)  # fmt: skip
def test_each_kind_of_key_has_its_line_and_its_exit_code(patient, key, code, name, verdict, found):
    got, checks = patient.examined(key)
    assert (got, checks[name]["verdict"]) == (code, verdict)
    assert found in checks[name]["found"]


def test_hedge_mode_fails_until_it_is_switched(patient):
    with BinanceAccount(patient.venue.url, Credentials(*KEYS["good"])) as account:
        account.request("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "true"})
        code, checks = patient.examined()
        account.request("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "false"})
    assert (code, checks["position mode"]["verdict"], checks["position mode"]["found"]) == (1, "fail", "hedge")
    assert patient.examined()[0] == 0


@pytest.mark.parametrize(("skew_ms", "verdict", "code"), [(-700, "warn", 0), (5_000, "fail", 1)])
def test_a_clock_that_is_off_is_measured(patient, skew_ms, verdict, code):
    number = patient.venue.control.fault("skew", skew_ms=skew_ms)
    try:
        got, checks = patient.examined()
    finally:
        patient.venue.control.heal(number)
    assert (got, checks["clock"]["verdict"]) == (code, verdict)
    off_ms = float(checks["clock"]["found"].split()[0])
    assert abs(off_ms + skew_ms) < 200
    assert checks["API key"]["verdict"] == "ok"  # requests are stamped by the venue's clock where ours is refused


def test_a_venue_that_does_not_answer_fails_and_spares_the_key(patient):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # taken, and nobody listens
        code, checks = patient.examined(url=f"http://127.0.0.1:{bound.getsockname()[1]}")
    assert code == 1
    assert checks["clock"]["verdict"] == checks["REST"]["verdict"] == "fail"
    assert "Connection refused" in checks["REST"]["found"]
    assert (checks["API key"]["verdict"], checks["API key"]["found"]) == ("skip", "the venue was not reached")
    assert checks["models"]["verdict"] == "ok"


def test_what_is_kept_nowhere_fails(patient):
    code, checks = patient.examined("good", "--set", "breaker.state_path=redis://:hidden@127.0.0.1:1/0",
                                    "--set", "record.path=/proc/none", "--set", "doctor.min_disk_gb=9000",
                                    "--set", "doctor.min_open_files=900000")  # fmt: skip
    assert code == 1
    failed = {name for name, check in checks.items() if check["verdict"] == "fail"}
    assert failed == {"state", "session records", "disk", "open files"}
    assert "hidden" not in checks["state"]["found"]


def test_a_missing_or_broken_model_fails(patient, tmp_path):
    code, checks = patient.examined("good", "--models", *MODELS, str(tmp_path / "none"))
    assert (code, checks["models"]["verdict"]) == (1, "fail")
    code, checks = patient.examined("good", "--models", *MODELS[:2])
    assert (code, checks["models"]["verdict"]) == (1, "fail")
    assert checks["models"]["limit"] == "at least 3 (ensemble.quorum)"


def test_a_dotenv_that_others_can_read_is_a_refusal(patient, capsys):
    Path(".env").write_text("AUTOTRADE_TESTNET_API_KEY=a\nAUTOTRADE_TESTNET_API_SECRET=b\n")
    Path(".env").chmod(0o644)
    for name in ("KEY", "SECRET"):
        patient.monkeypatch.delenv(f"AUTOTRADE_TESTNET_API_{name}", raising=False)
    assert cli.main(["doctor", "--models", *MODELS, *patient.places()]) == 3
    shown = " ".join(capsys.readouterr().out.split())
    assert "REFUSED" in shown
    assert "chmod 600" in shown
    assert "19 ok" not in shown


def test_paper_needs_no_key(patient, capsys):
    urls = ["--set", f"venue.http_url={patient.venue.url}", "--set", f"venue.ws_url={patient.venue.ws_url}",
            "--set", "doctor.min_disk_gb=0.01", "--set", "doctor.min_open_files=64"]  # fmt: skip
    assert cli.main(["doctor", "--env", "paper", "--models", *MODELS, *urls]) == 0
    assert "not needed: fills are simulated" in capsys.readouterr().out


@pytest.mark.parametrize(("key", "code", "said"), [
    ("withdraws", 3, "key may not withdraw: it may withdraw; delete this key"),
    ("wrong-secret", 1, "is refused (-1022): the signature is wrong"),
])  # fmt: skip
def test_a_node_does_not_start_with_such_a_key_either(patient, capsys, key, code, said):
    for name, value in zip(("KEY", "SECRET"), KEYS[key], strict=True):
        patient.monkeypatch.setenv(f"AUTOTRADE_TESTNET_API_{name}", value)
    assert cli.main(["live", "testnet", "--models", *MODELS, *patient.places()]) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not any(part in shown.err for part in KEYS[key])


def test_mainnet_takes_no_stand_in_and_no_other_word_on_its_keys(patient, capsys):
    for name in ("venue.http_url", "doctor.permissions_url"):
        assert cli.main(["doctor", "--env", "mainnet", "--set", f"{name}={patient.venue.url}"]) == 3
        assert f"error: {name}: {patient.venue.url} is not" in capsys.readouterr().err
    assert cli.main(["doctor", "--env", "testnet", "--set", "doctor.permissions_url=https://elsewhere.test"]) == 3
    assert "doctor.permissions_url: https://elsewhere.test is not that of testnet" in capsys.readouterr().err


def mainnet(wire: WireAccount, folder: Path, told: str = "https://api.binance.com") -> list[Check]:
    """Examine mainnet at the twin of an account, without streams."""

    def silent(url: str, message: str, number: object) -> float:
        raise AutotradeError(f"{url}: no answer within 5 s")

    config = mainnet_config(folder)
    network = httpx.MockTransport(wire)
    outside = Outside(
        keys=lambda: Credentials(wire_account.KEY, wire_account.SECRET),
        account=lambda keys: BinanceAccount(config.venue.http_url, keys, permissions_url=told, transport=network),
        websocket=silent,
    )
    return list(examine(config, [Path(model) for model in MODELS], outside))


def mainnet_config(folder: Path) -> AppConfig:
    """Return mainnet's configuration with its places below a folder."""
    places = {"breaker.state_path": "state", "record.path": "live", "promotion.path": "p", "promotion.key_path": "k"}
    return configs.load("mainnet", [f"{name}={folder}/{place}" for name, place in places.items()])


def bad(checks: list[Check]) -> list[tuple[str, str]]:
    """Return the exit code, then name and verdict of what failed beside the streams."""
    failed = [(c.name, c.verdict) for c in checks if c.verdict in {"fail", "refuse"}]
    assert failed[:2] == [("market stream", "fail"), ("trading websocket", "fail")]
    return [("exit", str(exit_code(checks))), *failed[2:]]


def test_a_mainnet_key_that_can_withdraw_or_whose_rights_are_unknown_is_refused(tmp_path):
    wire = WireAccount(real_time=True)
    assert bad(mainnet(wire, tmp_path)) == [("exit", "1")]
    wire.restrictions["enableWithdrawals"] = True
    assert bad(mainnet(wire, tmp_path)) == [("exit", "3"), ("key may not withdraw", "refuse")]
    wire.restrictions |= {"enableWithdrawals": False, "ipRestrict": False}
    assert bad(mainnet(wire, tmp_path)) == [("exit", "1"), ("key is bound to addresses", "fail")]
    assert bad(mainnet(wire, tmp_path, told="")) == [("exit", "3"), ("key may not withdraw", "refuse")]


def test_an_account_that_is_set_otherwise_fails_line_by_line(tmp_path):
    wire = WireAccount(real_time=True)
    wire.hedge = wire.multi_assets = True
    wire.position |= {"marginType": "cross", "positionAmt": "0.010"}
    wire.balance = "150"
    assert bad(mainnet(wire, tmp_path)) == [
        ("exit", "1"), ("position mode", "fail"), ("margin mode of the account", "fail"),
        ("margin of BTCUSDT", "fail"), ("smallest order of BTCUSDT", "fail"),
    ]  # fmt: skip


def test_the_examination_of_mainnet_is_kept_signed_for_the_gate(tmp_path):
    config = mainnet_config(tmp_path)
    assert Records(config, make_key=True).doctor("mainnet") is None
    keep(config, mainnet(WireAccount(real_time=True), tmp_path), now_ns=7)
    streams = ("market stream", "trading websocket")
    assert Records(config, make_key=False).doctor("mainnet") == Doctor(7, configs.config_hash(config), streams)
    path = tmp_path / "p" / "doctor-mainnet.json"
    path.write_bytes(path.read_bytes().replace(b'"trading websocket"', b""))
    with pytest.raises(RefusedError, match=r"was changed|is no signed record"):
        Records(config, make_key=False).doctor("mainnet")
