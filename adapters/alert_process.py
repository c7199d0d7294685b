"""The node's side of the process that tells people: started, kept alive, and told what the record cannot say."""

import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from adapters.alert_channels import alert_urls
from adapters.run_baseline import baseline
from configs import alert_rules
from configs.schema import AppConfig
from core.errors import AutotradeError

__all__ = ["AlertProcess", "Following"]

_ROOT = Path(__file__).parents[1]
_MOST_WORDS = 200
_MOST_TEXT = 1_000
_KEYS = re.compile(r"AUTOTRADE_[A-Z]+_API_.*")
_FIRST_WAIT_SECONDS = 0.1
_MOST_WAIT_SECONDS = 60.0


class Following(msgspec.Struct, frozen=True):
    """The first line that the process reads: what to follow, and how."""

    config: AppConfig
    folder: str


class AlertProcess:
    """Runs ``autotrade alerts follow`` beside the node, where there is anybody to call; else it does nothing.

    The process has no part in the node's death: it is of a session of its own, and sees the pipe close. Where it ends
    itself, it is started again. Nothing here blocks or raises into trading.

    Parameters
    ----------
    config : AppConfig
        Of the node.
    folder : Path
        Of its session.
    environ : Mapping[str, str]
        The node's environment; its API keys are not handed on.
    wanted : bool
        Whether anybody is called at all.

    Attributes
    ----------
    stopped_by : str
        Why the node ends in order, as far as it is known.

    Raises
    ------
    UsageError, RefusedError, DataError
        Where channels, rules or the baseline are not what they should be.
    """

    def __init__(self, config: AppConfig, folder: Path, environ: Mapping[str, str], *, wanted: bool = True) -> None:
        self.stopped_by = ""
        self.problem = ""
        self._first = msgspec.json.encode(Following(config, str(folder.resolve()))) + b"\n"
        self._environ = {name: value for name, value in environ.items() if not _KEYS.fullmatch(name)}
        self._environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), environ.get("PYTHONPATH", ""))))
        self._wanted = wanted and bool(alert_urls(environ, Path(".env")))
        if self._wanted:  # what is wrong with them is told here, and not where nobody looks
            alert_rules.load(config.alerts.rules)
            baseline(config.alerts.baseline)
        self._grace = min(config.alerts.linger_seconds, 1.0)
        self._process: subprocess.Popen[bytes] | None = None
        self._words: deque[bytes] = deque(maxlen=_MOST_WORDS)
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        """Start it, for as long as a block lasts."""
        if self._wanted:
            self._begin()
            threading.Thread(target=self._keep, name="alert-process", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Tell it how the node has ended, and leave it to its work."""
        self._stop.set()
        if kind is None:
            self._say({"ended": self.stopped_by or "in order"})
        else:
            known = isinstance(error, AutotradeError)
            self._say({"ended": str(error)[:_MOST_TEXT] if known else kind.__name__, "failed": True})
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(self._grace)
            except subprocess.TimeoutExpired:
                process.returncode = 0  # it goes on without us

    def tell(self, text: str, source: str = "record") -> None:
        """Have a person told something that no row can say; from any thread."""
        if self._wanted:
            self._say({"source": source, "text": text[:_MOST_TEXT]})

    def _say(self, word: Mapping[str, object]) -> None:
        self._words.append(msgspec.json.encode(word) + b"\n")
        self._flush()

    def _flush(self) -> None:
        """Write what waits, as far as the pipe takes it."""
        with self._lock:
            if self._process is None or self._process.stdin is None:
                return
            try:
                while self._words:
                    os.write(self._process.stdin.fileno(), self._words[0])
                    self._words.popleft()
            except (OSError, ValueError):  # full, or nobody reads: kept for the next process
                return

    def _begin(self) -> None:
        """Start the process."""
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli", "alerts", "follow"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=self._environ,
                start_new_session=True,
                bufsize=0,
            )
            assert process.stdin is not None
            os.set_blocking(process.stdin.fileno(), False)
            os.write(process.stdin.fileno(), self._first)
        except OSError as error:
            self.problem = f"nobody is told of anything: {error.strerror or error}"
            return
        self.problem = ""
        with self._lock:
            self._process = process
        self._flush()

    def _keep(self) -> None:
        """Start it again where it ends though the node does not."""
        wait = _FIRST_WAIT_SECONDS
        while not self._stop.is_set():
            process = self._process
            began = time.monotonic()
            if process is not None:
                process.wait()
            if self._stop.is_set():
                return
            self.problem = "the process that tells people has ended; it is started again"
            wait = (
                _FIRST_WAIT_SECONDS
                if time.monotonic() - began > _MOST_WAIT_SECONDS
                else min(wait * 2.0, _MOST_WAIT_SECONDS)
            )
            if not self._stop.wait(wait):
                if process is not None and process.stdin is not None:
                    process.stdin.close()
                self._begin()
