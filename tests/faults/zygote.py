"""Forks nodes: everything is imported once, so that a node killed two hundred times need not be two hundred imports.

Reads one JSON object a line, ``{"argv": [...], "env": {...}, "cwd": ..., "log": ..., "kill": ...}`` (``kill``: the file
of `stages.py`), and prints the child's process id; prints ``[pid, code]`` when a child ends, with a negative code for
the signal that killed it.
"""

import json
import os
import selectors
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path


def _child(order: dict) -> None:
    """Become a node: never returns."""
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, opened in ((0, null), (1, log), (2, log)):
        os.dup2(opened, number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = 70
    try:
        from stages import install

        import run_live

        install(Path(order["kill"]))
        code = run_live.main(order["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 70
    except BaseException:  # noqa: BLE001 - a fork must not run on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


def _reaped() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        print(json.dumps([pid, os.waitstatus_to_exitcode(status)]), flush=True)


def main() -> None:
    """Fork on demand until standard input ends; then kill what is left."""
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import pandas as pd  # noqa: F401 - pyarrow looks for it at its first array

    import commands.replayed  # noqa: F401
    import run_live  # noqa: F401
    from adapters.web import trusted
    from core.features import Window, feature_spec

    trusted()
    spec = feature_spec()
    window = Window(spec)
    for minute in range(1, 3 * 15):
        window.append(minute * 60_000_000_000, 100.0, 101.0, 99.0, 100.0 + minute % 3, 10.0, 5.0)

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.set_blocking(reader, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    chosen = selectors.DefaultSelector()
    chosen.register(sys.stdin, selectors.EVENT_READ)
    chosen.register(reader, selectors.EVENT_READ)
    children: set[int] = set()
    print("ready", flush=True)
    while True:
        for key, _ in chosen.select():
            if key.fileobj == reader:
                os.read(reader, 4096)
                _reaped()
                continue
            line = sys.stdin.buffer.raw.readline()
            if not line:
                for pid in children:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return
            pid = os.fork()
            if pid == 0:
                _child(json.loads(line))
            children.add(pid)
            print(json.dumps(pid), flush=True)


if __name__ == "__main__":
    main()
