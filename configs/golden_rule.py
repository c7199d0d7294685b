"""Profiles of the golden rule as data: ``configs/golden_rule.toml``, checked."""

import difflib
import math
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from configs.section import shown
from core.errors import ConfigError
from core.golden_rule import RULES, Profile

__all__ = ["load", "profiles"]

_HERE = Path(__file__).parent / "golden_rule.toml"


def load(name: str = "default", path: Path | None = None) -> Profile:
    """Return a profile of a file; ``None`` is the product's own.

    Raises
    ------
    ConfigError
        One line: where the file or the profile is absent or broken, or a limit belongs to no rule or is no number.
    """
    where = path or _HERE
    tree = _read(where)
    if name not in tree:
        raise ConfigError(f"{where}: no profile {shown(name)}; choose {' or '.join(tree) or 'one and write it'}")
    limits = tree[name]
    if not isinstance(limits, dict) or not limits:
        raise ConfigError(f"{where}: {name} has no limits; write [{name}] and below it a limit for each rule")
    return Profile(name, {rule: _limit(f"{where}: {name}.{rule}", rule, value) for rule, value in limits.items()})


def profiles(path: Path | None = None) -> tuple[str, ...]:
    """Return the names of a file's profiles, in its order.

    Raises
    ------
    ConfigError
        Where the file is absent or broken.
    """
    return tuple(_read(path or _HERE))


def _read(path: Path) -> dict[str, Any]:
    """Return what a TOML file says."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; restore the file") from error
    except ValueError as error:  # of the TOML, the encoding, or a number with thousands of digits
        raise ConfigError(f"{path}: no valid TOML: {error}; mend the file") from error


def _limit(at: str, rule: str, value: object) -> float:
    """Return the limit of a known rule."""
    known = [entry.name for entry in RULES]
    if rule not in known:
        raise ConfigError(f"{at}: unknown rule{_nearest(rule, known)}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{at}: {shown(value)} is not a number; give the limit as a fraction, a ratio or a count")
    return float(value)


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the advice that names the nearest rule, or all of them."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; choose {', '.join(known)}"
