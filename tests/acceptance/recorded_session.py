"""A session recorded in a replay of real bars, and what can be done to its record afterwards."""

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

import configs
from actors.listener import SessionListener
from adapters.session_log import MAGIC
from adapters.session_record import SessionRecord
from run_backtest import Replay, run_backtest

ROOT = Path(__file__).parents[2]
NAMES = ("BTCUSDT-PERP.BINANCE", "ETHUSDT-PERP.BINANCE")
RULES = ("ensemble.min_agreement=0.3", "ensemble.quorum=1")
MODELS = tuple(sorted(p.parent for p in (ROOT / "catalog" / "models").glob("*/manifest.json")))
_FRAME = struct.Struct("<II")


def ns(text: str) -> int:
    return pd.Timestamp(text, tz="UTC").value


def record_replay(history, folder, start, end, *, store=None, rules=RULES, arrivals=(), names=NAMES) -> dict[str, Any]:
    """Replay a range into a session's folder, which may hold a session already; return the run's summary."""
    config = configs.load("backtest", rules)
    with SessionRecord(folder, config.record, {"session_id": folder.name}) as record:
        return run_backtest(
            Replay(
                config=config,
                catalog=history,
                instruments=names,
                start_ns=ns(start),
                end_ns=ns(end),
                out=folder.parent / f"{folder.name}-run-{start}",
                models=MODELS,
                arrivals=arrivals,
                store=store,
                report=False,
                listener=SessionListener(record),
            )
        )


def changed(folder: Path, copy: Path, change: Callable[[list[Any]], bool]) -> Path:
    """Return a copy of a session, in which ``change`` has had its way with every row that it returns True for."""
    shutil.copytree(folder, copy)
    for path in sorted((copy / "record").glob("*.log")):
        content, out, at = path.read_bytes(), [MAGIC], len(MAGIC)
        while at < len(content):
            length, _ = _FRAME.unpack_from(content, at)
            payload = content[at + 8 : at + 8 + length]
            at += 8 + length
            row = msgspec.msgpack.decode(payload)
            if change(row):
                payload = msgspec.msgpack.encode(row)
            out.append(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        path.write_bytes(b"".join(out))
    return copy
