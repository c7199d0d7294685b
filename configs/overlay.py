"""Read ``base.toml``, lay an environment's file and single overrides over it, and refuse what does not fit."""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.schema import SECTIONS, AppConfig
from configs.section import settings_of, shown
from core.errors import ConfigError

__all__ = ["environments", "leaves", "load"]

_HERE = Path(__file__).parent
_BASE = "base"
_NAMES = ("backtest", "train", "paper", "demo", "testnet", "mainnet")
_TIGHTEN_ONLY = "mainnet"

type Tree = dict[str, dict[str, Any]]


def environments(directory: Path | None = None) -> tuple[str, ...]:
    """Return the names of the environments: those whose overlay file stands beside ``base.toml``."""
    return tuple(name for name in _NAMES if ((directory or _HERE) / f"{name}.toml").is_file())


def load(environment: str, overrides: Sequence[str] = (), *, directory: Path | None = None) -> AppConfig:
    """Return the effective configuration of an environment.

    Parameters
    ----------
    environment : str
        Name of an overlay file.
    overrides : Sequence[str]
        ``section.key=value`` each, the value in TOML; a bare word is a string. The last one wins.
    directory : Path or None
        Where ``base.toml`` and the overlays lie; None for the ones of the product.

    Raises
    ------
    ConfigError
        One line: the dotted path, the value found, the limit, what to choose.
    """
    folder = directory or _HERE
    known = environments(folder)
    if environment not in known:
        raise ConfigError(f"environment: {shown(environment)} is not known; choose {' or '.join(known)}")
    base = _read(folder / f"{_BASE}.toml")
    tree = overlaid = _merge(base, _read(folder / f"{environment}.toml"))
    for override in overrides:
        tree = _merge(tree, _parse(override))
    config = _build(environment, tree)
    if environment == _TIGHTEN_ONLY:
        before = _build(environment, overlaid)
        _refuse_loosening(_build(_BASE, base), before, _BASE)
        _refuse_loosening(before, config, environment)
    return config


def leaves(config: AppConfig) -> dict[str, object]:
    """Return every value by its dotted path, in the order of the schema."""
    return {
        setting.path: getattr(getattr(config, name), setting.name)
        for name, section in SECTIONS.items()
        for setting in settings_of(section)
    }


def _read(path: Path) -> Tree:
    """Return the sections of a TOML file."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}; restore the file") from error
    except ValueError as error:  # of the TOML, the encoding, or a number with thousands of digits
        raise ConfigError(f"{path}: no valid TOML: {error}; mend the file") from error
    return _checked(tree)


def _parse(override: str) -> Tree:
    """Return the tree of one ``section.key=value``."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or len(keys) < 2 or not all(keys):
        raise ConfigError(
            f"--set {shown(override)} is not of the form section.key=value; write risk.loss_per_trade=0.02"
        )
    try:
        parsed = tomllib.loads(f"value = {text}")
    except ValueError:
        parsed = {}
    tree: Any = parsed["value"] if parsed.keys() == {"value"} else text.strip()
    for key in reversed(keys):
        tree = {key: tree}
    return _checked(tree)


def _checked(tree: Mapping[str, Any]) -> Tree:
    """Refuse sections and keys that the schema does not have, with the nearest that it has."""
    for name, section in tree.items():
        if name not in SECTIONS:
            raise ConfigError(f"{name}: unknown section{_nearest(name, SECTIONS)}")
        if not isinstance(section, dict):
            raise ConfigError(f"{name}: {shown(section)} is not a section; write [{name}] and its keys below")
        paths = [setting.path for setting in settings_of(SECTIONS[name])]
        for key, value in section.items():
            path = f"{name}.{key}"
            if path not in paths:
                raise ConfigError(f"{path}: unknown key{_nearest(path, [*paths, *_all_paths()])}")
            if isinstance(value, dict):
                raise ConfigError(f"{path}: a section is not a value; {path} has no keys of its own")
    return dict(tree)


def _all_paths() -> list[str]:
    """Return the dotted path of every setting."""
    return [setting.path for section in SECTIONS.values() for setting in settings_of(section)]


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the advice that names the nearest known name."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else "; see `autotrade config show`"


def _merge(below: Tree, above: Tree) -> Tree:
    """Return ``below`` with the values of ``above`` laid over it."""
    return {name: {**below.get(name, {}), **above.get(name, {})} for name in {**below, **above}}


def _build(environment: str, tree: Tree) -> AppConfig:
    """Return the checked structs of a complete tree."""
    sections = {}
    for name, section in SECTIONS.items():
        values = {}
        for setting in settings_of(section):
            if setting.name not in tree.get(name, {}):
                raise ConfigError(f"{setting.path}: missing; add it to {_BASE}.toml")
            values[setting.name] = _frozen(tree[name][setting.name])
        sections[name] = section(**values)
    return AppConfig(environment=environment, **sections)  # type: ignore[arg-type]


def _frozen(value: Any) -> Any:
    """Return a value with every list in it a tuple."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _refuse_loosening(below: AppConfig, config: AppConfig, file: str) -> None:
    """Refuse a limit that is less safe than that of the file below: an overlay's of the base, an override's of both."""
    before, after = leaves(below), leaves(config)
    for section in SECTIONS.values():
        for setting in settings_of(section):
            was, value = before[setting.path], after[setting.path]
            if setting.rank(value) > setting.rank(was):
                advice = f" or {setting.safer}" if isinstance(was, float | int) and not isinstance(was, bool) else ""
                raise ConfigError(
                    f"{setting.path}: {shown(value)} is looser than {shown(was)} of {file}.toml, and "
                    f"{config.environment} may only tighten a limit; choose {shown(was)}{advice}"
                )
    for group in below.risk.groups:
        if not any(set(group) <= set(wider) for wider in config.risk.groups):
            raise ConfigError(
                f"risk.groups: {shown(config.risk.groups)} takes {shown(group)} of {file}.toml apart, and "
                f"{config.environment} may only tighten a limit; keep them in one group"
            )
