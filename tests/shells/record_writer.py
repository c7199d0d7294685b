"""A process that records until it is killed, and says what is safe on the disk."""

from pathlib import Path

import msgspec

import configs
from adapters.session_record import SessionRecord

PARAMS = msgspec.structs.replace(configs.load("backtest").record, write_seconds=0.001, fsync_seconds=0.0)


def body(seq: int) -> dict[str, object]:
    """Return what row ``seq`` holds: of a length of its own."""
    return {"seq": seq, "text": "x" * (seq * 7919 % 700), "number": seq / 7}


def write_until_killed(folder: str, first: int, pipe) -> None:
    """Record rows from ``first`` on, as fast as they go; after every few, say up to which they are durable."""
    record = SessionRecord(Path(folder), PARAMS, {"session_id": "killed"})
    seq = first
    while True:
        for _ in range(5):
            record.received("row", body(seq))
            seq += 1
        while record.queue_depth > 200:
            record._stop.wait(0.001)
        pipe.send(record.durable)
