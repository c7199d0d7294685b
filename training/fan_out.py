"""Tasks over processes: one after the other, over the processes of this machine, or over a Ray cluster.

A task is taken from its iterable only when a worker is free for it, by the caller's own thread: what the caller does on
handing it out (writing it down, say) happens just before it begins. Workers compute with one thread each.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Literal, NamedTuple

from core.errors import AutotradeError, UsageError

__all__ = ["ATTEMPTS", "Backend", "Done", "map_jobs"]

type Backend = Literal["serial", "joblib", "ray"]

ATTEMPTS = 3
"""How often a task is begun whose worker dies."""

_LOST = f"its worker died {ATTEMPTS} times; out of memory? use fewer workers"
_POLL_SECONDS = 1.0
_ORPHAN_SECONDS = 0.2
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
_QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # would send the working directory, catalog and all, to every machine
}
_RAY_STORE_BYTES = 128 * 2**20
"""Results are small; by default Ray takes a third of the memory for them."""


class Done[T, R](NamedTuple):
    """A task that has ended: with a result, or with None and one line that says why there is none."""

    task: T
    result: R | None
    error: str


def map_jobs[T, R](
    function: Callable[[T], R],
    tasks: Iterable[T],
    *,
    backend: Backend = "serial",
    workers: int = 1,
    address: str | None = None,
) -> Generator[Done[T, R]]:
    """Apply a function to tasks and yield each as it ends, in no particular order.

    Parameters
    ----------
    function : Callable[[T], R]
        Found by its module's name in a worker, or picklable. What it raises becomes the ``error`` of its task.
    tasks : Iterable[T]
        Picklable; taken one at a time, never more than there are workers for.
    backend : Backend
        ``serial``: here. ``joblib``: processes of this machine. ``ray``: a cluster.
    workers : int
        Tasks under way at a time.
    address : str, optional
        Of a Ray cluster; by default one is begun on this machine, and ended with the tasks.

    Yields
    ------
    Done
        A task whose worker dies is begun again, `ATTEMPTS` times in all; then that is its error, and the others go on.

    Raises
    ------
    UsageError
        Where a backend is not installed, or there is no cluster at the address.
    """
    if backend == "serial":
        return (Done(task, *_call(function, task)) for task in tasks)
    if backend == "joblib":
        return _over_processes(function, tasks, workers)
    return _over_ray(function, tasks, workers, address)


def _call[T, R](function: Callable[[T], R], task: T) -> tuple[R | None, str]:
    """Return what a function gives, or one line of what it raises."""
    try:
        return function(task), ""
    except AutotradeError as error:
        return None, " ".join(str(error).split())
    except Exception as error:  # noqa: BLE001 - one task's failure is no other's
        return None, " ".join(f"{type(error).__name__}: {error}".split())


def _over_processes[T, R](function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Generator[Done[T, R]]:
    """Run tasks over processes of this machine.

    A worker that dies takes its whole pool with it, and nobody knows whose task it was. The tasks that were under way
    are therefore begun again one by one: the one that kills its worker again does so alone.
    """
    pool = _pool(workers)
    waiting = iter(tasks)
    suspects: deque[tuple[T, int]] = deque()
    running: dict[Any, tuple[T, int]] = {}
    try:
        while True:
            broken = False
            for task, deaths in _next_tasks(waiting, suspects, running, workers):
                try:
                    running[pool.submit(_call, function, task)] = (task, deaths)
                except BrokenProcessPool:  # a worker died with nothing to do
                    suspects.appendleft((task, deaths))
                    broken = True
                    break
            if not running and not suspects:
                return
            for future in wait(running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                try:
                    result, error = future.result()
                except BrokenProcessPool:
                    broken = True
                else:
                    yield Done(running.pop(future)[0], result, error)
            if broken:
                pool.shutdown(wait=True, kill_workers=True)
                pool = _pool(workers)
                for task, deaths in running.values():
                    if deaths + 1 < ATTEMPTS:
                        suspects.append((task, deaths + 1))
                    else:
                        yield Done(task, None, _LOST)
                running.clear()
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _next_tasks[T](
    waiting: Iterator[T], suspects: deque[tuple[T, int]], running: dict[Any, tuple[T, int]], workers: int
) -> Iterator[tuple[T, int]]:
    """Yield the tasks to begin now, each with the deaths that it has seen; suspects go alone."""
    if suspects or any(deaths for _, deaths in running.values()):
        if suspects and not running:
            yield suspects.popleft()
        return
    while len(running) < workers:
        for task in waiting:
            yield task, 0
            break
        else:
            return


def _pool(workers: int) -> Any:
    """Return fresh worker processes."""
    from joblib.externals.loky.process_executor import ProcessPoolExecutor  # noqa: PLC0415 - the slow import

    return ProcessPoolExecutor(workers, initializer=_settle_in, initargs=(os.getpid(),), env=_ONE_THREAD)


def _settle_in(parent: int) -> None:
    """Leave Ctrl-C to the parent, and end with it even where it is killed: an orphan would go on writing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _over_ray[T, R](
    function: Callable[[T], R], tasks: Iterable[T], workers: int, address: str | None
) -> Generator[Done[T, R]]:
    """Run tasks over a Ray cluster, which begins a task anew where its worker or its machine dies."""
    for name, value in _QUIET_RAY.items():
        os.environ.setdefault(name, value)
    try:
        import ray  # noqa: PLC0415 - an optional package
    except ImportError:
        raise UsageError(
            "--backend ray needs a package that is not installed; run `uv sync --extra train --extra cluster`"
        ) from None
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    local = {"num_cpus": workers, "object_store_memory": _RAY_STORE_BYTES}
    try:
        ray.init(address or "local", **quiet, **({} if address else local))
    except Exception as error:  # noqa: BLE001 - it raises whatever it met, and a bare Exception on a slow machine
        raise UsageError(
            f"no Ray cluster at {address or 'this machine'} ({' '.join(str(error).split())[:120]}): begin one with "
            "`ray start --head`, or leave --ray-address out"
        ) from None
    try:
        call = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_call)
        waiting = iter(tasks)
        running: dict[Any, tuple[T, int]] = {}
        while True:
            for task, _ in _next_tasks(waiting, deque(), running, workers):
                running[call.remote(function, task)] = (task, 0)
            if not running:
                return
            for reference in ray.wait(list(running), timeout=_POLL_SECONDS)[0]:
                task, _ = running.pop(reference)
                try:
                    yield Done(task, *ray.get(reference))
                except ray.exceptions.WorkerCrashedError:
                    yield Done(task, None, _LOST)
                except ray.exceptions.RayError as error:
                    yield Done(task, None, str(error).strip().splitlines()[-1])
    finally:
        ray.shutdown()
