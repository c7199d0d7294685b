"""The record of a session: killed, torn, out of space, held by two; nothing that was safe is lost."""

import multiprocessing
import random
import resource
import subprocess
import sys
import threading

import msgspec
import pytest

import configs
from adapters.session_log import MAGIC, SessionLog
from adapters.session_record import SessionRecord, session_id
from core.errors import DataError, StateError
from tests.shells.record_writer import PARAMS, body, write_until_killed

KILLS = 12


def rows_of(folder):
    return [(row.seq, row.source, row.kind, row.body) for row in SessionLog(folder).rows()]


def recorded(folder, *bodies, params=PARAMS):
    with SessionRecord(folder, params, {"session_id": folder.name}) as record:
        for one in bodies:
            record.received("row", one)


def test_rows_come_back_in_order_with_their_source_and_kind(tmp_path):
    with SessionRecord(tmp_path / "s", PARAMS, {"environment": "paper"}) as record:
        record.received("bar", ("BTC", 1.5, None))
        record.record("decisions", {"level": 0.25, "models": ("a", "b")})
    assert rows_of(tmp_path / "s") == [
        (1, "received", "bar", ["BTC", 1.5, None]),
        (2, "decided", "decisions", {"level": 0.25, "models": ["a", "b"]}),
    ]
    assert SessionLog(tmp_path / "s").header == {"environment": "paper"}
    assert record.durable == 2
    assert record.dropped == record.queue_depth == 0


def test_a_killed_process_loses_nothing_that_was_safe_and_leaves_no_half_row(tmp_path):
    """Killed again and again at a random moment, and gone on with: every row is whole, once, and in order."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.shells.record_writer"])
    chance = random.Random(5)
    folder, safe, last = tmp_path / "s", 0, 0
    for _ in range(KILLS):
        ours, theirs = context.Pipe(duplex=False)
        writer = context.Process(target=write_until_killed, args=(str(folder), last + 1, theirs))
        writer.start()
        theirs.close()
        for _ in range(chance.randrange(1, 60)):
            safe = max(safe, ours.recv())
        writer.kill()
        writer.join()
        while ours.poll():
            try:
                safe = max(safe, ours.recv())
            except EOFError:
                break
        ours.close()
        found = [(row.seq, row.body) for row in SessionLog(folder).rows()]
        assert found == [(seq, body(seq)) for seq in range(1, len(found) + 1)]
        assert len(found) >= safe
        last = len(found)
    assert safe > KILLS


def test_a_frame_torn_at_any_byte_is_cut_and_the_record_goes_on(tmp_path):
    folder = tmp_path / "s"
    recorded(folder, {"a": 1}, {"b": "two"}, {"c": 3.0})
    segment = folder / "record" / "00000001.log"
    whole = segment.read_bytes()
    ends = [len(MAGIC)]
    while ends[-1] < len(whole):
        ends.append(ends[-1] + 8 + int.from_bytes(whole[ends[-1] : ends[-1] + 4], "little"))
    for end in range(ends[1], len(whole)):
        segment.write_bytes(whole[:end])
        kept = rows_of(folder)
        assert [row[0] for row in kept] == list(range(1, len(kept) + 1))
        recorded(folder, {"after": end})
        cut = segment.with_suffix(".cut")
        assert segment.read_bytes() + (cut.read_bytes() if cut.exists() else b"") == whole[:end]
        assert cut.exists() is (end not in ends)
        cut.unlink(missing_ok=True)
        assert rows_of(folder) == [*kept, (len(kept) + 1, "received", "row", {"after": end})]
        for path in (folder / "record").glob("0000000[2-9].log"):
            path.unlink()
    assert len(kept) == 2


def test_damage_within_the_record_is_told_and_never_read_over(tmp_path):
    recorded(tmp_path / "s", *({"n": n} for n in range(20)))
    segment = tmp_path / "s" / "record" / "00000001.log"
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        rows_of(tmp_path / "s")


def test_a_second_process_is_refused(tmp_path):
    with SessionRecord(tmp_path / "s", PARAMS, {}), pytest.raises(StateError, match="another process"):
        SessionRecord(tmp_path / "s", PARAMS, {})


def test_a_segment_that_is_full_is_followed_by_another(tmp_path):
    many = [{"text": "x" * 10_000, "n": n} for n in range(400)]
    recorded(tmp_path / "s", *many, params=msgspec.structs.replace(PARAMS, segment_mb=1))
    assert len(list((tmp_path / "s" / "record").glob("*.log"))) == 4
    assert [row[3] for row in rows_of(tmp_path / "s")] == many


FULL = """
import resource, signal, sys, threading
from pathlib import Path
import msgspec
from adapters.session_record import SessionRecord
from tests.shells.record_writer import PARAMS, body
told, changed = [], threading.Event()
def alert(text):
    told.append(text); changed.set()
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
record = SessionRecord(Path(sys.argv[1]), msgspec.structs.replace(PARAMS, queue_rows=100), {}, alert=alert)
seq = 0
while not changed.is_set():
    seq += 1; record.received("row", body(seq)); changed.wait(0.0001)
for _ in range(5000):
    seq += 1; record.received("row", body(seq))
assert record.problem and record.dropped > 0 and record.queue_depth > 0, (record.problem, record.dropped)
changed.clear()
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert changed.wait(20.0)
changed.clear()
while record.queue_depth:
    changed.wait(0.001)
assert not record.problem
record.received("row", body(seq + 1))
record.close()
print(record.dropped, seq + 1, len(told))
"""


def test_a_full_disk_stops_nobody_and_what_it_cost_is_known(tmp_path):
    """Rows wait while the disk takes none; what is more is dropped and counted, and the numbers show the gap."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "s")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    dropped, last, told = map(int, done.stdout.split())
    log = SessionLog(tmp_path / "s")
    found = list(log.rows())
    assert [row.body for row in found] == [body(row.seq) for row in found]
    assert found[-1].seq == last
    assert log.missing == dropped == last - len(found) > 0
    assert told == 2


def test_what_cannot_be_written_in_plain_is_named_and_stops_no_row(tmp_path):
    recorded(tmp_path / "s", {"what": threading.Lock()}, {"n": 1})
    assert [row[3] for row in rows_of(tmp_path / "s")] == [{"what": "<lock>"}, {"n": 1}]


def test_a_session_is_named_by_time_environment_and_chance():
    assert session_id("paper", 1_700_000_000 * 10**9, token=b"\x01\x02\xff") == "20231114T221320Z-paper-0102ff"
    assert configs.load("backtest").record.path == "catalog/live"
    assert resource.RLIMIT_FSIZE == 1
