"""What the record of a session costs the engine's thread: a row, a bar, a question; and how fast it drains."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nautilus_trader.model import Bar, BarType, Price, Quantity

import configs
from actors.listener import SessionListener
from adapters.session_record import SessionRecord
from benchmarks.__main__ import Row, main

ROWS = 20_000
ROUNDS = 7


def taken(action: Callable[[], object], record: SessionRecord) -> float:
    """Return the microseconds of one call: the best of several rounds, the writer at work beside it."""
    best = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(ROWS):
            action()
        best.append((time.perf_counter_ns() - began) / ROWS / 1e3)
        while record.queue_depth:
            time.sleep(0.01)
    return min(best)


def rows() -> list[Row]:
    """Measure."""
    params = configs.load("backtest").record
    name = BarType.from_str("BTCUSDT-PERP.BINANCE-1-MINUTE-LAST-EXTERNAL")
    prices = [Price.from_str(text) for text in ("42000.1", "42010.5", "41990.0", "42001.2")]
    bar = Bar(name, *prices, Quantity.from_str("12.345"), 1, 1)
    decision = {f"column_{n}": 0.123 * n for n in range(32)}
    with tempfile.TemporaryDirectory() as place:
        record = SessionRecord(Path(place) / "session", params, {})
        listener, component = SessionListener(record), object()
        listener.follow({"ensemble": component})

        def told() -> None:
            listener.enter(component, "on_bar", (bar,))
            listener.leave()

        said = {
            "a row of 32 columns, put on the queue": taken(lambda: record.record("decisions", decision), record),
            "a handler told a bar": taken(told, record),
            "a question asked": taken(lambda: listener.answer(component, "price", ("BTC",), lambda: 1.0), record),
        }
        began = time.perf_counter()
        for _ in range(5 * ROWS):
            record.record("decisions", decision)
        record.close()
        drained = 5 * ROWS / (time.perf_counter() - began)
        size = sum(path.stat().st_size for path in (Path(place) / "session" / "record").iterdir())
    goals = ("<= 2", "", "")
    return [
        *(
            Row(row=f"record: {what}", value=value, unit="us", goal=goal)
            for (what, value), goal in zip(said.items(), goals, strict=True)
        ),
        Row(row="record: rows written and forced to the disk", value=drained, unit="rows/s", goal=">= 20000"),
        Row(row="record: rows dropped", value=float(record.dropped), unit="rows", goal="<= 0"),
        Row(row="record: on the disk", value=size / record.durable, unit="bytes a row", goal=""),
    ]


if __name__ == "__main__":
    sys.exit(main(["bench_record"]))
