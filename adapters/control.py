"""The local channel to a running node: a unix socket beside its state, and a token that only the owner can read.

A connection carries one request and its answer, each a length (big-endian uint32) and JSON. The server's thread hands
requests to the engine's thread by a queue and waits for the answers there; it touches nothing of the engine.
"""

import hmac
import os
import pwd
import queue
import secrets
import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

import msgspec

from configs.control import Control
from configs.schema import AppConfig
from core.control import FAILED, REFUSED, UNFIT, ControlAnswer, ControlRequest
from core.errors import AutotradeError, RefusedError

__all__ = ["ControlServer", "NoNodeError", "ask", "control_folder", "is_running"]

SOCKET, TOKEN = "control.sock", "control.token"
_LENGTH = struct.Struct(">I")
_MOST_ANSWER = 1 << 22
_MOST_WAITING = 64
_TALK_SECONDS = 2.0
_LONG_PATH = 100
"""Bytes of a path from which a socket is named by its folder's descriptor: the system takes 107."""


class NoNodeError(AutotradeError):
    """There is no node to talk to."""


class _Letter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request on the wire."""

    token: str
    request: ControlRequest

    def __repr__(self) -> str:
        return f"_Letter({self.request})"


def control_folder(config: AppConfig) -> Path:
    """Return where a node of this machine has its lock and its socket, wherever the state itself is kept."""
    place = config.breaker.state_path
    return (Path(config.catalog.path).parent / "state" if "://" in place else Path(place)) / config.environment


class ControlServer:
    """Takes requests while a block lasts (`core.control.ControlDesk`).

    Parameters
    ----------
    folder : Path
        Where socket and token lie; made where absent, closed to others. Whoever serves there holds the node's lock.
    params : Control
        Limits.
    """

    def __init__(self, folder: Path, params: Control) -> None:
        self._folder = folder
        self._params = params
        self._token = secrets.token_hex(32)
        self._asked: queue.Queue[ControlRequest] = queue.Queue(_MOST_WAITING)
        self._waiting: dict[str, tuple[threading.Event, list[ControlAnswer]]] = {}
        self._lock = threading.Lock()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        """Listen from now on.

        Raises
        ------
        RefusedError
            Where the folder belongs to somebody else, or another process listens there.
        """
        with ExitStack() as stack:
            try:
                listener = self._listening(stack)
            except OSError as error:
                text = f"{self._folder}: {error.strerror or error}; there is no control channel, so no node"
                raise RefusedError(text) from error
            woken, wake = (stack.enter_context(end) for end in socket.socketpair())
            thread = threading.Thread(target=self._run, args=(listener, woken), name="control", daemon=True)
            thread.start()
            stack.callback(thread.join)
            stack.callback(wake.shutdown, socket.SHUT_WR)
            self._resources = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no more, and leave nothing behind."""
        self._resources.close()

    def requests(self) -> Sequence[ControlRequest]:
        """Return what was asked since the last call; for the engine's thread."""
        found = []
        with suppress(queue.Empty):
            while True:
                found.append(self._asked.get_nowait())
        return found

    def answer(self, answer: ControlAnswer) -> None:
        """Hand an answer to whoever waits for it; for the engine's thread."""
        with self._lock:
            event, said = self._waiting.pop(answer.request_id, (None, []))
        if event is not None:
            said.append(answer)
            event.set()

    def _listening(self, stack: ExitStack) -> socket.socket:
        """Return a socket that listens, the token beside it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        if is_running(self._folder):
            raise RefusedError(f"{self._folder / SOCKET}: another process listens there; stop it first")
        (self._folder / SOCKET).unlink(missing_ok=True)
        for name in (SOCKET, TOKEN):
            stack.callback((self._folder / name).unlink, missing_ok=True)
        self._write_token()
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with _address(self._folder) as address:
            listener.bind(address)
        (self._folder / SOCKET).chmod(0o600)
        listener.listen(8)
        return listener

    def _write_token(self) -> None:
        place, fresh = self._folder / TOKEN, self._folder / f".{TOKEN}.partial"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._token)
        fresh.replace(place)

    def _run(self, listener: socket.socket, woken: socket.socket) -> None:
        """Serve one connection after the other until woken."""
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while woken.fileno() not in {descriptor for descriptor, _ in poll.poll()}:
            with suppress(OSError), listener.accept()[0] as connection:
                connection.settimeout(_TALK_SECONDS)
                _send(connection, self._served(connection))

    def _served(self, connection: socket.socket) -> ControlAnswer:
        """Return the answer to what a connection asks."""
        most = self._params.request_kb << 10
        try:
            letter = msgspec.json.decode(_received(connection, most), type=_Letter)
        except (ValueError, msgspec.DecodeError) as error:
            return ControlAnswer(request_id="", code=UNFIT, said=f"no request: {error}")
        request = letter.request
        if not hmac.compare_digest(letter.token.encode(), self._token.encode()):
            return ControlAnswer(request_id=request.request_id, code=REFUSED, said="the token is not this node's")
        return self._asked_of_the_engine(msgspec.structs.replace(request, asked_by=_peer(connection)))

    def _asked_of_the_engine(self, request: ControlRequest) -> ControlAnswer:
        """Queue a request and wait for its answer."""
        event: threading.Event = threading.Event()
        said: list[ControlAnswer] = []
        with self._lock:
            self._waiting[request.request_id] = (event, said)
        try:
            self._asked.put_nowait(request)
        except queue.Full:
            text = f"{_MOST_WAITING} requests wait already: the node does not take any; look at its process"
            return ControlAnswer(request_id=request.request_id, code=FAILED, said=text)
        if event.wait(self._params.answer_seconds):
            return said[0]
        with self._lock:
            self._waiting.pop(request.request_id, None)
        text = (
            f"no answer within {self._params.answer_seconds:g} s: the node starts, stops or hangs; what was asked may "
            f"still be carried out, repeat it with --request {request.request_id} and it is done once"
        )
        return ControlAnswer(request_id=request.request_id, code=FAILED, said=text)


def is_running(folder: Path) -> bool:
    """Return whether somebody listens on the socket of a folder."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TALK_SECONDS)
        try:
            with _address(folder) as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return False
    return True


def ask(folder: Path, request: ControlRequest, *, wait_seconds: float = 65.0) -> ControlAnswer:
    """Ask the node whose socket lies in a folder.

    Raises
    ------
    NoNodeError
        Where none runs there.
    RefusedError
        Where socket or token belong to somebody else, or others can read the token.
    AutotradeError
        Where the node ends in the middle of it.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(wait_seconds)
        try:
            with _address(folder) as address:
                connection.connect(address)
            _send(connection, _Letter(_token(folder), request))
            return msgspec.json.decode(_received(connection, _MOST_ANSWER), type=ControlAnswer)
        except (FileNotFoundError, NotADirectoryError):
            raise NoNodeError(
                f"no node runs here: there is no {folder / SOCKET}; start one with `autotrade live`"
            ) from None
        except ConnectionRefusedError:
            text = (
                f"no node runs here: {folder / SOCKET} is left of one that was killed; start one with `autotrade live`"
            )
            raise NoNodeError(text) from None
        except PermissionError:
            raise RefusedError(f"{folder}: the node belongs to another user; ask as its owner") from None
        except (OSError, ValueError, msgspec.DecodeError) as error:
            raise AutotradeError(f"{folder / SOCKET}: the node did not answer ({error}); look at its process") from None


def _token(folder: Path) -> str:
    """Return the token of a folder, unless others could have read it."""
    path = folder / TOKEN
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise RefusedError(f"{path} has mode {mode:o}, others can read it: chmod 600 {path}, then restart the node")
    return path.read_text()


def _received(connection: socket.socket, most: int) -> bytes:
    """Return what comes in one piece.

    Raises
    ------
    ValueError
        Where it is longer than allowed, or ends early.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > most:
        raise ValueError(f"{length} bytes are above the limit {most}")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    found = bytearray()
    while len(found) < length:
        part = connection.recv(min(length - len(found), 1 << 16))
        if not part:
            raise ValueError("it ends before it is whole")
        found += part
    return bytes(found)


def _send(connection: socket.socket, message: msgspec.Struct) -> None:
    content = msgspec.json.encode(message)
    connection.sendall(_LENGTH.pack(len(content)) + content)


def _peer(connection: socket.socket) -> str:
    """Return who is at the other end of a connection, as the system says."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", found)
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return f"uid {uid}"


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """Yield a name of a folder's socket that the system takes, however long its path is."""
    path = str(folder / SOCKET)
    if len(os.fsencode(path)) <= _LONG_PATH:
        yield path
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
