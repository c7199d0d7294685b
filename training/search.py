"""The search space of a tuning as data: ``configs/search.toml``, checked against the hyper-parameters it changes."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import optuna

import configs
from core.errors import ConfigError
from training.hyperparameters import Hyperparameters

__all__ = ["Dimension", "Space", "applied", "as_toml", "load", "suggest"]

type Scalar = float | int | str | bool
type Space = dict[str, Dimension]
"""Dimensions by ``section.field``, in the order of the file."""


class Dimension(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one hyper-parameter may be: between ``low`` and ``high``, both included, or one of ``choices``."""

    low: float | int | None = None
    high: float | int | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is neither a range nor a choice."""
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("choices stand alone, without low, high and log")
        elif self.low is None or self.high is None or not self.low < self.high:
            raise ValueError(f"low {self.low} and high {self.high}: give a low below a high, or choices")
        elif self.log and not self.low > 0:
            raise ValueError(f"low is {self.low}, on a log scale it must be above 0")

    @property
    def labels(self) -> dict[Scalar, Any]:
        """Choices by what a study calls them: themselves, or their JSON where they are lists."""
        return {value if isinstance(value, Scalar.__value__) else json.dumps(value): value for value in self.choices}

    @property
    def corners(self) -> tuple[Any, ...]:
        """The values that show whether all are allowed."""
        return self.choices or (self.low, self.high)


def load(algorithm: str, base: Hyperparameters, path: Path | None = None) -> Space:
    """Return the search space of an algorithm, by default the one that comes with the program.

    Raises
    ------
    ConfigError
        For a file that cannot be read, has no section of the algorithm, names a hyper-parameter that the algorithm does
        not use, or goes beyond what is allowed.
    """
    path = path or Path(configs.__file__).parent / "search.toml"
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
        space = msgspec.convert(sections.get(algorithm, {}), dict[str, Dimension])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; restore the file") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}; mend the file") from None
    if not space:
        raise ConfigError(f"{path} has nothing to search for {algorithm}; write a section [{algorithm}]")
    used = base.used(algorithm, warm_start=False)
    for name, dimension in space.items():
        section, _, field = name.partition(".")
        if section == "selection" or field not in used.get(section, {}):
            raise ConfigError(f"{path}: {name} is no hyper-parameter that {algorithm} learns by; remove it")
        for corner in dimension.corners:
            try:
                applied(base, {name: corner})
            except msgspec.ValidationError as error:
                raise ConfigError(f"{path}: {name} may not be {corner}: {error}; mend the file") from None
    return space


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Return a value for every dimension, as a study's sampler wants it."""
    values: dict[str, Any] = {}
    for name, dimension in space.items():
        if dimension.choices:
            values[name] = dimension.labels[trial.suggest_categorical(name, list(dimension.labels))]
        elif isinstance(dimension.low, int) and isinstance(dimension.high, int):
            values[name] = trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log)
        else:
            values[name] = trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
    return values


def applied(base: Hyperparameters, values: Mapping[str, Any]) -> Hyperparameters:
    """Return hyper-parameters with some of them changed; raises ``msgspec.ValidationError`` for one out of range."""
    sections: dict[str, dict[str, Any]] = msgspec.to_builtins(base)
    for name, value in values.items():
        section, _, field = name.partition(".")
        sections[section][field] = value
    return msgspec.convert(sections, Hyperparameters)


def as_toml(hyperparameters: Hyperparameters) -> str:
    """Return hyper-parameters as `training.hyperparameters.load` reads them back."""
    sections: dict[str, dict[str, Any]] = msgspec.to_builtins(hyperparameters)
    return "\n".join(
        "\n".join([f"[{section}]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items()), ""])
        for section, fields in sections.items()
    )
