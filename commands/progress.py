"""How far a training is, how fast it goes and how long it will take, on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(name: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on a terminal; yield what is to be told decisions done and wanted.

    The speed counts from the first call on, so that a training that goes on from a checkpoint shows its own.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} decisions"),
        TextColumn("{task.fields[rate]:,.0f}/s"), TimeElapsedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bars:
        task = bars.add_task(name, rate=0.0)
        began: tuple[float, int] | None = None

        def update(done: int, wanted: int) -> None:
            nonlocal began
            began = began or (time.monotonic(), done)
            rate = (done - began[1]) / max(time.monotonic() - began[0], 1e-9)
            bars.update(task, total=wanted, completed=done, rate=rate)

        yield update
