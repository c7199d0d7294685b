"""The signed client: what is sent, what is repeated, and what a refusal says."""

import base64
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from adapters.binance_account import BinanceAccount
from adapters.binance_refusals import KeyRefusedError, VenueBusyError, VenueRefusalError
from adapters.credentials import Credentials
from adapters.request_budget import RequestBudget
from core.checkup import KeyRights
from core.errors import AutotradeError, UsageError
from tests.unit.wire_account import KEY, NOW_MS, SECRET, WireAccount, refused

ORDER = "/fapi/v1/order"


@contextmanager
def connected(wire: WireAccount, secret: str = SECRET, **options: object) -> Iterator[BinanceAccount]:
    """Connect a client to a twin."""
    settings = {"clock_ms": lambda: NOW_MS, "sleep": lambda _: None, "permissions_url": "https://sapi.test"} | options
    client = BinanceAccount(
        "https://venue.test", Credentials(KEY, secret), transport=httpx.MockTransport(wire), **settings
    )
    with client:
        yield client


def times_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("no answer", request=request)


def cut(request: httpx.Request) -> httpx.Response:
    raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)


def test_everything_asked_is_signed_and_read():
    wire = WireAccount()
    with connected(wire) as account:
        assert account.server_time() == NOW_MS
        assert account.account()["canTrade"] is True
        assert account.positions()[0]["marginType"] == "isolated"
        assert account.open_orders("BTCUSDT") == account.open_algo_orders() == []
        assert account.hedge_mode() is False
        assert account.leverage_brackets("BTCUSDT")[0]["symbol"] == "BTCUSDT"
        assert account.permissions() == KeyRights(
            read=True, trade=True, withdraw=False, transfer=False, ip_restricted=True
        )
        assert account.exchange_info()["symbols"][0]["symbol"] == "BTCUSDT"
        assert account.used_weight == len(wire.seen) == 9


def test_an_ed25519_signature_survives_its_way_through_the_address():
    key = Ed25519PrivateKey.generate()

    def verifies(payload: str, signature: str) -> bool:
        try:
            key.public_key().verify(base64.b64decode(signature), payload.encode())
        except InvalidSignature:
            return False
        return True

    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with connected(WireAccount(verify=verifies), pem) as account:
        for number in range(20):  # some signatures hold + and /
            assert account.order("BTCUSDT", f"a:/{number}") is None


def test_the_key_goes_only_where_it_is_needed():
    keys = []
    wire = WireAccount()

    def noted(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers.get("X-MBX-APIKEY"))
        return wire(request)

    with BinanceAccount("https://venue.test", Credentials(KEY, SECRET), clock_ms=lambda: NOW_MS,
                        transport=httpx.MockTransport(noted)) as account:  # fmt: skip
        account.server_time()
        account.account()
    assert keys == [None, KEY]
    with pytest.raises(UsageError, match="unencrypted; give an https"):
        BinanceAccount("http://venue.test", None)
    with pytest.raises(UsageError, match="needs an API key"), BinanceAccount("http://127.0.0.1:1", None) as nobody:
        nobody.account()


@pytest.mark.parametrize("fault", [times_out, cut, lambda _: httpx.Response(502, text="<html>")])
def test_a_question_is_put_again_and_an_order_is_not(fault: Callable[[httpx.Request], httpx.Response]):
    wire = WireAccount()
    wire.faults["/fapi/v2/account"] = [fault, fault]
    with connected(wire, retries=2) as account:
        assert account.account()["canTrade"] is True
        wire.faults[ORDER] = [lambda _: None, fault]
        with pytest.raises(AutotradeError, match="the fate of order X1 is not known"):
            account.reduce("BTCUSDT", "SELL", "0.010", "X1")
    sent = [method for method, path, _ in wire.seen if path == ORDER]
    assert sent == ["GET", "POST", "GET", "GET", "GET"]


def test_an_order_that_was_accepted_and_whose_answer_was_lost_is_found_by_its_name():
    wire = WireAccount()

    def accepted_then_cut(request: httpx.Request) -> httpx.Response:
        wire(request)
        return cut(request)

    wire.faults[ORDER] = [lambda _: None, accepted_then_cut]
    with connected(wire) as account:
        first = account.reduce("BTCUSDT", "SELL", "0.010", "X2")
        again = account.reduce("BTCUSDT", "SELL", "0.010", "X2")
    assert first["status"] == "FILLED"
    assert first["reduceOnly"] == "true"
    assert again == first
    posts = {params["timestamp"]: params for method, _, params in wire.seen if method == "POST"}
    assert len(posts) == 1


@pytest.mark.parametrize(
    "unknown",
    [refused(-1007, "Timeout waiting for response from backend server."), refused(-1000, "Unknown", 503)],
)
def test_a_refusal_that_leaves_the_fate_open_is_no_refusal(unknown):
    wire = WireAccount()
    wire.faults[ORDER] = [lambda _: None, lambda _: unknown]
    with connected(wire) as account, pytest.raises(AutotradeError, match="is not known") as lost:
        account.reduce("BTCUSDT", "SELL", "0.010", "X3")
    assert not isinstance(lost.value, VenueRefusalError)


def test_a_clock_that_is_off_is_corrected_once_and_the_request_sent_again():
    wire = WireAccount()
    with connected(wire, clock_ms=lambda: NOW_MS + 90_000) as account:
        assert account.reduce("BTCUSDT", "SELL", "0.010", "X4")["status"] == "FILLED"
        assert account.offset_ms == 90_000
    assert sum(method == "POST" for method, _, _ in wire.seen) == 1
    with connected(WireAccount(), clock_ms=lambda: NOW_MS + 90_000) as account:
        assert account.synchronise() == 90_000


def test_an_order_is_cancelled_and_one_that_is_gone_is_no_error():
    wire = WireAccount()
    with connected(wire) as account:
        account.reduce("BTCUSDT", "SELL", "0.010", "X5")
        assert account.cancel_order("BTCUSDT", "X5")["status"] == "CANCELED"
        assert account.cancel_order("BTCUSDT", "never") is None


@pytest.mark.parametrize(("status", "header", "seconds"), [(429, "7", 7.0), (418, "120", 120.0), (429, "", 30.0)])
def test_a_plea_to_wait_is_passed_on_to_all_and_not_ignored(status, header, seconds):
    wire = WireAccount()
    now = 100.0
    budget = RequestBudget(2_400, 0.2, clock=lambda: now)
    wire.faults["/fapi/v2/account"] = [lambda _: httpx.Response(status, headers={"Retry-After": header}, json={})]
    with connected(wire, retries=5, budget=budget) as account:
        with pytest.raises(VenueBusyError, match=f"{seconds:.1f} s to wait") as busy:
            account.account()
        assert busy.value.wait_seconds == seconds
        asked = len(wire.seen)
        with pytest.raises(VenueBusyError, match="not asked"):
            account.positions()
        assert len(wire.seen) == asked
        now += seconds
        account.positions()


def test_the_budget_hears_the_venues_own_count_but_not_that_of_another_host():
    wire = WireAccount()
    budget = RequestBudget(2_400, 0.2)
    with connected(wire, budget=budget) as account:
        wire.seen = [("GET", "/before", {})] * 99
        account.permissions()
        assert budget.used == 0
        account.positions()
        assert budget.used == 101


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        (-2015, KeyRefusedError, "key ...7f3a is refused (-2015): the key is unknown, is not for this address"),
        (-2014, KeyRefusedError, "copy it again"),
        (-1022, KeyRefusedError, "the secret does not belong to the key"),
        (-2019, VenueRefusalError, "refused (-2019): Words of the venue; the margin does not suffice"),
        (-9999, VenueRefusalError, "/fapi/v2/account: refused (-9999): Words of the venue"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(code, kind, said):
    wire = WireAccount()
    wire.faults["/fapi/v2/account"] = [lambda _: refused(code, "Words of the venue.")]
    with connected(wire) as account, pytest.raises(kind) as error:
        account.account()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_secret_is_told_and_shown_nowhere(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    wrong = "w" * 64
    with connected(WireAccount(), wrong) as account, pytest.raises(KeyRefusedError) as error:
        account.account()
    shown = f"{error.value}{account!r}{caplog.text}"
    assert wrong not in shown
    assert KEY not in shown


def test_a_redirect_does_not_carry_the_key_away():
    wire = WireAccount()
    wire.faults["/fapi/v2/account"] = [lambda _: httpx.Response(302, headers={"Location": "https://elsewhere.test"})]
    with connected(wire) as account, pytest.raises(AutotradeError, match="HTTP 302 without JSON"):
        account.account()
    assert len(wire.seen) == 1
