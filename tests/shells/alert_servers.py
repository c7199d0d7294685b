"""Loopback servers that speak as those of channels do: HTTP APIs of Telegram, Twilio and others, and SMTP."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


class Api:
    """What an HTTP API was asked: (path, text); ``answer`` says with which status it answers the n-th request."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answer: Callable[[int], int] = lambda _: 200
        self.released = threading.Event()
        self.released.set()
        self.changed = threading.Condition()
        self.port = 0

    def wait(self, done: Callable[[list[tuple[str, str]]], bool], seconds: float = 30.0) -> list[tuple[str, str]]:
        """Wait until what was asked is so; return it."""
        with self.changed:
            assert self.changed.wait_for(lambda: done(self.asked), seconds), self.asked
            return list(self.asked)


def _text(path: str, content: bytes) -> str:
    """Return the text of a message, whoever's form it has."""
    if path.endswith("Messages.json"):
        return parse_qs(content.decode())["Body"][0]
    body = json.loads(content) if content else {}
    return str(body.get("text") or f"{body.get('title', '')}\n{body.get('message', '')}")


@contextmanager
def api_server() -> Iterator[Api]:
    """Serve an API on a free port; while it is not ``released`` every request hangs."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            with api.changed:
                number = len(api.asked)
                api.asked.append((self.path, _text(self.path, content)))
                api.changed.notify_all()
            api.released.wait(60.0)
            status = api.answer(number)
            said = json.dumps({"ok": status == 200, "result": {"message_id": number}, "sid": "S"}).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)
            except OSError:
                return  # who asked has gone

        do_GET = do_POST  # noqa: N815 - its name at http.server

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    api.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Mailbox:
    """Mails that came: (sender, receivers, subject, text)."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, tuple[str, ...], str, str]] = []

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 - its name at aiosmtpd
        mail = message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain", "html"))
        text = "" if body is None else body.get_content()
        self.mails.append((envelope.mail_from, tuple(envelope.rcpt_tos), str(mail["Subject"]), text))
        return "250 taken"


class _FreePort(Controller):
    """A controller that takes any free port."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@contextmanager
def smtp_server(folder: Path, user: str, password: str) -> Iterator[tuple[Mailbox, int]]:
    """Serve SMTP on a free port: STARTTLS first, then a login."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(_certificate(folder))

    def login(server, session, envelope, mechanism, given) -> AuthResult:
        right = isinstance(given, LoginPassword) and (given.login, given.password) == (user.encode(), password.encode())
        return AuthResult(success=right, handled=False)

    mailbox = Mailbox()
    controller = _FreePort(mailbox, hostname="127.0.0.1", port=0, tls_context=context, require_starttls=True,
                           auth_required=True, authenticator=login)  # fmt: skip
    controller.start()
    try:
        yield mailbox, controller.port
    finally:
        controller.stop()


def _certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False).sign(key, hashes.SHA256())
    )  # fmt: skip
    path = folder / "server.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path
