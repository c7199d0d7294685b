"""A section of the configuration: a frozen struct that refuses what its annotations do not allow, however it is built.

The annotation of a field is the one place where its type, range, meaning and the direction of "safer" are written;
loading a file, building a struct in code, the command line's help and the tests all read it from here.
"""

import functools
import math
import re
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import inspect

from core.errors import ConfigError

__all__ = ["SAFER_IS_HIGHER", "SAFER_IS_LOWER", "Section", "Setting", "safest_first", "settings_of", "shown"]

SAFER_IS_LOWER: dict[str, Any] = {"safer": "lower"}
SAFER_IS_HIGHER: dict[str, Any] = {"safer": "higher"}


def safest_first(*words: str) -> dict[str, Any]:
    """Return what is said about a limit that is a word: its words, the safest first."""
    return {"safer": "lower", "order": words}


class Setting(NamedTuple):
    """One field of a section: its name, its dotted path (``risk.loss_per_trade``) and its annotation."""

    name: str
    path: str
    annotation: inspect.Type

    @property
    def type(self) -> inspect.Type:
        """The bare type with its range."""
        return _bare(self.annotation)

    @property
    def meaning(self) -> str:
        """One line with the unit, or an empty string."""
        return str(_said(self.annotation).get("description", ""))

    @property
    def safer(self) -> Literal["lower", "higher"] | None:
        """The direction in which a limit tightens; None for what is no limit."""
        return self._limit().get("safer")

    def choice(self) -> str:
        """Return what may be chosen, in words, or an empty string where nothing is said."""
        return _choice(self.type)

    def check(self, value: object) -> None:
        """Refuse a value that the annotation does not allow.

        Raises
        ------
        ConfigError
            One line: path, value, limit, what to choose.
        """
        _check(self.annotation, value, self.path)

    def rank(self, value: object) -> float:
        """Return a number that grows as the value of a limit gets less safe; 0 for what is no limit."""
        size: Any = value
        if self.safer is None:
            return 0.0
        if isinstance(value, str):
            size = self._limit()["order"].index(value)
        elif isinstance(value, tuple):
            size = len(value)
        return float(size if self.safer == "lower" else -size)

    def _limit(self) -> dict[str, Any]:
        """Return what is said about a limit."""
        return (self.annotation.extra or {}) if isinstance(self.annotation, inspect.Metadata) else {}


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every section; its dotted path is the class name in lower case."""

    def __post_init__(self) -> None:
        """Check every field, and store whole numbers given for a fraction as the float they mean."""
        for setting in settings_of(type(self)):
            value = getattr(self, setting.name)
            setting.check(value)
            if isinstance(setting.type, inspect.FloatType):
                msgspec.structs.force_setattr(self, setting.name, _plain(value))
            elif isinstance(setting.type, inspect.VarTupleType) and _of_numbers(setting.type):
                msgspec.structs.force_setattr(self, setting.name, tuple(map(_plain, value)))


@functools.cache
def settings_of(section: type[Section]) -> tuple[Setting, ...]:
    """Return the settings of a section in the order of their definition."""
    info = inspect.type_info(section)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{section.__name__} is no struct")
    name = section.__name__.lower()
    return tuple(Setting(field.name, f"{name}.{field.name}", field.type) for field in info.fields)


def _bare(annotated: inspect.Type) -> inspect.Type:
    """Return a type without what is said about it."""
    return annotated.type if isinstance(annotated, inspect.Metadata) else annotated


def _said(annotated: inspect.Type) -> dict[str, Any]:
    """Return what is said about a type: its description and examples."""
    return (annotated.extra_json_schema or {}) if isinstance(annotated, inspect.Metadata) else {}


def _of_numbers(wanted: inspect.VarTupleType) -> bool:
    """Return whether a list is one of fractions."""
    return isinstance(_bare(wanted.item_type), inspect.FloatType)


def _plain(value: float) -> float:
    """Return the float that a number means; a negative zero is a zero, so that equal configs have equal hashes."""
    return float(value) + 0.0


def _choice(wanted: inspect.Type) -> str:
    """Return what may be chosen, in words."""
    if isinstance(wanted, inspect.IntType | inspect.FloatType) and wanted.ge is not None and wanted.le is not None:
        low, high = (f"{end:g}" if isinstance(end, float) else str(end) for end in (wanted.ge, wanted.le))
        return f"{low} to {high}"
    if isinstance(wanted, inspect.LiteralType):
        return " or ".join(map(str, wanted.values))
    if isinstance(wanted, inspect.BoolType):
        return "true or false"
    if isinstance(wanted, inspect.VarTupleType):
        item = _bare(wanted.item_type)
        inner = _choice(item)
        return f"a list of {_name(item)}s{f', each {inner}' if inner else ''}"
    return ""


def _name(wanted: inspect.Type) -> str:
    """Return the name of a type as a person would say it."""
    names: dict[type[inspect.Type], str] = {
        inspect.BoolType: "true or false",
        inspect.IntType: "whole number",
        inspect.FloatType: "number",
        inspect.StrType: "string",
        inspect.LiteralType: "string",
        inspect.VarTupleType: "list",
    }
    return names[type(wanted)]


def _fits(wanted: inspect.Type, value: object) -> bool:
    """Return whether a value has the wanted type; ``True`` is no number, and NaN and infinity are none either."""
    match wanted:
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.FloatType():
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole or (isinstance(value, float) and math.isfinite(value))
        case inspect.VarTupleType():
            return isinstance(value, tuple)
        case _:
            return isinstance(value, str)


def _check(annotated: inspect.Type, value: object, path: str) -> None:
    """Refuse a value that is not of the wanted type or is out of its range."""
    wanted = _bare(annotated)
    if isinstance(wanted, inspect.BoolType):
        if not isinstance(value, bool):
            raise ConfigError(f"{path}: {shown(value)} is neither true nor false; choose one")
        return
    choice = _choice(wanted)
    advice = f"; choose {choice}" if choice else ""
    if not _fits(wanted, value):
        raise ConfigError(f"{path}: {shown(value)} is not a {_name(wanted)}{advice}")
    match wanted:
        case inspect.IntType(ge=low, le=high) | inspect.FloatType(ge=low, le=high):
            if low is not None and value < low:  # type: ignore[operator]
                raise ConfigError(f"{path}: {shown(value)} is below the limit {low}{advice}")
            if high is not None and value > high:  # type: ignore[operator]
                raise ConfigError(f"{path}: {shown(value)} is above the limit {high}{advice}")
        case inspect.LiteralType(values=values):
            if value not in values:
                raise ConfigError(f"{path}: {shown(value)} is not known{advice}")
        case inspect.StrType(pattern=pattern):
            if pattern is not None and re.fullmatch(pattern, str(value)) is None:
                example = " or ".join(_said(annotated).get("examples", [pattern]))
                raise ConfigError(f"{path}: {shown(value)} is not of the wanted form; choose one like {example}")
        case inspect.VarTupleType(item_type=item, min_length=fewest):
            items = value if isinstance(value, tuple) else ()
            if len(items) < (fewest or 0):
                raise ConfigError(f"{path}: {len(items)} entries are below the limit {fewest}; name at least {fewest}")
            for index, entry in enumerate(items):
                _check(item, entry, f"{path}[{index}]")


def shown(value: object) -> str:
    """Return a value as TOML would write it, on one line and not too long."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    if isinstance(value, tuple):
        text = f"[{', '.join(map(shown, value))}]"
    if isinstance(value, str):
        text = '"' + repr(value)[1:-1] + '"'
    return text if len(text) <= 60 else text[:57] + "..."
