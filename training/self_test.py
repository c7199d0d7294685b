"""Is the trainer broken? All checks, their record, and the gate that asks for it."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from configs import golden_rule
from configs.schema import AppConfig
from core.bars import Bars, interval_ns
from core.errors import RefusedError
from core.features import feature_spec
from core.times import iso
from training import hyperparameters
from training.checks import (
    Check,
    Laboratory,
    check_determinism,
    check_look_ahead,
    check_noise,
    check_oracle,
    check_warm_up,
)
from training.export import versions
from training.planted import History, random_walk

__all__ = ["RECORD", "SelfTest", "code_digest", "require_passed", "run_self_test"]

RECORD = "self_test.json"
"""Name of the record in ``catalog.studies_path``."""

_PACKAGES = ("core", "adapters", "training")
_AGAIN = "run `autotrade train --self-test`"
_HISTORY_WARM_UPS = 4
"""Length of the history that features are checked on, in warm-ups."""
_DEVIATION = 0.001
"""Of its base bars' log returns."""
_MISSING = 0.001
"""Share of base bars that the history of the look-ahead check lacks."""


class SelfTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a self-test found.

    ``code``: digest of the sources that were tested (`code_digest`); ``versions`` of the packages that they use;
    ``finished``: ISO, UTC.
    """

    checks: tuple[Check, ...]
    code: str
    versions: dict[str, str]
    finished: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether there was a check and none failed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def write(self, path: Path) -> None:
        """Write the record; an older one is replaced as a whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{path.name}")
        scratch.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2))
        scratch.replace(path)


def run_self_test(config: AppConfig, *, progress: Callable[[str], None] | None = None) -> SelfTest:
    """Run every check; about half a minute.

    Parameters
    ----------
    config : AppConfig
        Limits and costs under which the planted markets are traded, and the intervals of the features.
    progress : Callable[[str], None], optional
        Told the name of each check that begins.
    """
    began = time.monotonic()
    laboratory = Laboratory.of(config, hyperparameters.load())
    spec = feature_spec(config.market.base_interval, config.market.decision_interval)
    per_decision = interval_ns(spec.decision_interval) // interval_ns(spec.base_interval)
    length = _HISTORY_WARM_UPS * spec.warmup_bars * per_decision
    history = random_walk(1, length, base_interval=spec.base_interval, deviation=_DEVIATION)
    steps: dict[str, Callable[[], tuple[Check, ...]]] = {
        "look-ahead": lambda: (check_look_ahead(_with_holes(history), spec),),
        "warm-up": lambda: (check_warm_up(history, spec),),
        "determinism": lambda: (check_determinism(laboratory),),
        "oracle": lambda: check_oracle(laboratory),
        "noise": lambda: check_noise(laboratory, golden_rule.load()),
    }
    checks: list[Check] = []
    for name, step in steps.items():
        if progress is not None:
            progress(name)
        checks += step()
    return SelfTest(
        checks=tuple(checks),
        code=code_digest(),
        versions=versions(),
        finished=iso(time.time_ns()),
        seconds=round(time.monotonic() - began, 3),
    )


def require_passed(path: Path) -> None:
    """Refuse to go on unless the record at ``path`` says that this very code has passed.

    Raises
    ------
    RefusedError
        Where the record is absent, cannot be read, says that a check failed, or is of other code or packages.
    """
    try:
        record = msgspec.json.decode(path.read_bytes(), type=SelfTest)
    except FileNotFoundError:
        raise RefusedError(f"{path} is absent: nobody knows whether the trainer works; {_AGAIN}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise RefusedError(f"{path} is no record of a self-test: {error}; {_AGAIN}") from None
    failed = next((check for check in record.checks if not check.passed), None)
    if failed is not None:
        raise RefusedError(
            f"{path}: the self-test failed at {failed.check}: {failed.figure:.4g}, {failed.sense.replace('_', ' ')} "
            f"{failed.limit:g} is wanted; mend the trainer, then {_AGAIN}"
        )
    if not record.passed:
        raise RefusedError(f"{path}: the self-test has no check; {_AGAIN}")
    if record.code != code_digest():
        raise RefusedError(f"{path} is of other code ({record.code[:12]}, this is {code_digest()[:12]}); {_AGAIN}")
    found = versions()
    for name in sorted(found.keys() | record.versions.keys()):
        then, now = record.versions.get(name, "none"), found.get(name, "none")
        if then != now:
            raise RefusedError(f"{path} was made with {name} {then}, this is {now}; {_AGAIN}")


def code_digest() -> str:
    """Return the SHA-256 (hex) of the sources that decide, read and train: names and bytes."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py")):
        source = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()} {len(source)}\n".encode())
        digest.update(source)
    return digest.hexdigest()


def _with_holes(history: History) -> History:
    """Return a history some of whose base bars are missing."""
    kept = np.random.default_rng(0).random(len(history.bars.ts_close)) >= _MISSING
    bars = history.bars
    return history._replace(bars=Bars(bars.ts_close[kept], *(column[kept] for column in bars[1:])))
