"""Models that come and go while others serve: a watched directory, and its in-memory twin for replays."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from adapters.model_store import MANIFEST, MODEL, Artifact
from adapters.onnx_policy import candidate
from core.errors import ArtifactError
from core.protocols import Offer
from core.serving import Candidate

__all__ = ["ModelWatch", "ScriptedModels"]

_FILES = (MANIFEST, MODEL)

type Load = Callable[[Path], Artifact]
"""Loads and checks an artifact: `adapters.onnx_policy.load_checked` with the features of this program."""
type Traits = tuple[tuple[int, int, int], ...]
"""Inode, time of change (ns) and size of each file of an artifact."""


def offered(path: Path, load: Load) -> Offer:
    """Return an artifact as an offer, refused with the reason where it passes not every check."""
    try:
        return Offer("arrived", candidate(load(path)))
    except ArtifactError as error:
        return Offer("refused", Candidate(path.name, "", 0, None), str(error))


class ScriptedModels:
    """Artifacts that arrive at given times (`core.protocols.ModelSource`); each is loaded when its time has come.

    Parameters
    ----------
    arrivals : Sequence[tuple[int, Path]]
        Time (ns) and directory of each.
    load : Load
        Loads and checks one.
    """

    def __init__(self, arrivals: Sequence[tuple[int, Path]], load: Load) -> None:
        self._arrivals = sorted(arrivals)
        self._load = load
        self._offers: list[Offer] = []

    def offers(self, ts_ns: int, seen: int) -> Sequence[Offer]:
        """Return the offers known at ``ts_ns`` after the first ``seen`` ones."""
        due = sum(ts <= ts_ns for ts, _ in self._arrivals)
        for _, path in self._arrivals[len(self._offers) : due]:
            self._offers.append(offered(path, self._load))
        return self._offers[seen:due]


class ModelWatch:
    """A thread that looks into a directory of artifacts again and again (`core.protocols.ModelSource`).

    A directory counts as it is once two looks in a row found it the same: whoever copies an artifact is left to
    finish. What then fails a check is refused once, until one of its files changes. Names that begin with a dot are
    those of artifacts that are being written.

    Parameters
    ----------
    folder : Path
        Holds one directory an artifact.
    load : Load
        Loads and checks one.
    poll_seconds : float
        Between two looks.
    known : Sequence[Path]
        Directories whose artifacts serve already.
    """

    def __init__(self, folder: Path, load: Load, *, poll_seconds: float = 5.0, known: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._load = load
        self._poll_seconds = poll_seconds
        self._offers: list[Offer] = []
        self._seen: dict[str, Traits] = {}
        self._settled: dict[str, Traits] = {}
        self._serving: dict[str, Candidate] = {}
        for path in known:
            self._serving[path.name] = candidate(load(path))
            self._seen[path.name] = self._settled[path.name] = _traits(path)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)

    def __enter__(self) -> Self:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def offers(self, ts_ns: int, seen: int) -> Sequence[Offer]:  # noqa: ARG002 - what is known is known now
        """Return the offers after the first ``seen`` ones."""
        return self._offers[seen:]

    def look(self) -> None:
        """Look once. A folder that cannot be read, as when its disk is away, says nothing about its models."""
        try:
            paths = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        except OSError:
            return
        found = {path.name: _traits(path) for path in paths}
        for name in sorted(self._settled.keys() | found.keys()):
            now = found.get(name, ())
            if now == self._seen.get(name, ()) != self._settled.get(name, ()):
                self._settled[name] = now
                if len(now) == len(_FILES):
                    self._take(name)
                else:
                    self._gone(name, f"{self._folder / name} is gone")
        self._seen = found

    def _run(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            self.look()

    def _take(self, name: str) -> None:
        offer = offered(self._folder / name, self._load)
        before = self._serving.get(name)
        if offer.kind == "arrived":
            if before is not None and before.sha256 == offer.candidate.sha256:
                return
            if before is not None and before.model_id != offer.candidate.model_id:
                self._gone(name, f"{self._folder / name} holds {offer.candidate.model_id} now")
            self._serving[name] = offer.candidate
        self._offers.append(offer)

    def _gone(self, name: str, reason: str) -> None:
        before = self._serving.pop(name, None)
        if before is not None:
            self._offers.append(Offer("withdrawn", before, reason))


def _traits(path: Path) -> Traits:
    """Return what changes when an artifact does; fewer than two where it is not whole."""
    found = []
    for name in _FILES:
        try:
            status = (path / name).stat()
        except OSError:
            continue
        found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
