"""A store that fails, hangs and comes back: nobody waits for it longer than told, and nothing newest is lost."""

import threading

import pytest

from adapters.state_keeper import StateKeeper
from adapters.state_store import FileStateStore, MemoryStateStore
from core.errors import StateError


class Moody(MemoryStateStore):
    """Keeps in memory, unless it is told to fail, or to hang until it is let go."""

    def __init__(self):
        super().__init__()
        self.error = ""
        self.let_go = threading.Event()
        self.let_go.set()
        self.saved = threading.Condition()
        self.saves = []

    def save(self, key, value):
        self.let_go.wait(10)
        if self.error:
            raise StateError(self.error)
        super().save(key, value)
        with self.saved:
            self.saves.append((key, value))
            self.saved.notify_all()

    def wait_for(self, key, value):
        with self.saved:
            assert self.saved.wait_for(lambda: (key, value) in self.saves, 10)


def test_what_save_returned_from_is_durable_and_put_follows(tmp_path):
    store = FileStateStore(tmp_path)
    with StateKeeper(store, wait_seconds=10) as keeper:
        keeper.save("a", b"1")
        assert store.load("a") == b"1"
        keeper.put("b", b"2")
        assert keeper.load("b") == b"2"
    assert store.load("b") == b"2", "an end writes what waits"


def test_a_store_that_hangs_is_not_waited_for_twice_and_the_newest_value_is_written_in_the_end():
    store = Moody()
    with StateKeeper(store, wait_seconds=0.05, retry_seconds=0.01) as keeper:
        store.let_go.clear()
        with pytest.raises(StateError, match=r"not written within 0\.05 s"):
            keeper.save("a", b"1")
        for number in range(2, 100):
            with pytest.raises(StateError):
                keeper.save("a", str(number).encode())
        assert keeper.load("a") == b"99"
        store.let_go.set()
        store.wait_for("a", b"99")
        assert len(store.saves) <= 3, "values that waited in vain are not written"


def test_a_full_disk_fails_every_save_and_put_until_there_is_room_again():
    store = Moody()
    with StateKeeper(store, wait_seconds=10, retry_seconds=0.01) as keeper:
        store.error = "No space left on device"
        with pytest.raises(StateError, match="No space left"):
            keeper.save("a", b"1")
        with pytest.raises(StateError, match="No space left"):
            keeper.put("b", b"2")
        store.error = ""
        store.wait_for("a", b"1")
        store.wait_for("b", b"2")
        keeper.save("a", b"3")


def test_a_question_that_is_not_answered_in_time_is_refused():
    store = Moody()
    store.load = lambda _: store.let_go.wait(10) and None  # type: ignore[method-assign]
    with StateKeeper(store, wait_seconds=0.05) as keeper:
        store.let_go.clear()
        with pytest.raises(StateError, match="no answer within"):
            keeper.load("a")
        store.let_go.set()
