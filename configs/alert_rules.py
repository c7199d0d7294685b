"""Rules and routes of alerts as data: ``configs/alert_rules.toml``, checked."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from core.alert_rules import Quiet, Rule
from core.errors import ConfigError

__all__ = ["AlertRules", "load"]

_HERE = Path(__file__).with_suffix(".toml")
_MINUTES = 1_440


class AlertRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: channels by severity, in the order in which they are tried; quiet hours; rules."""

    routes: Mapping[str, tuple[str, ...]]
    rule: tuple[Rule, ...]
    quiet: Quiet = Quiet()


def load(path: str = "") -> AlertRules:
    """Return the rules of a file; the product's own where none is named.

    Raises
    ------
    ConfigError
        One line: where the file is absent or broken, or a rule could never be told.
    """
    where = Path(path) if path else _HERE
    try:
        found = msgspec.convert(tomllib.loads(where.read_text(encoding="utf-8")), AlertRules)
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror or error}; name another file in alerts.rules") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}; mend it") from None
    except ValueError as error:  # of the TOML, or the encoding
        raise ConfigError(f"{where}: no valid TOML: {error}; mend the file") from None
    unknown = sorted(set(found.routes) - {"info", "warning", "critical"})
    if unknown:
        raise ConfigError(f"{where}: routes.{unknown[0]}: no severity; choose info, warning or critical")
    names = [rule.name for rule in found.rule]
    for name in names:
        if names.count(name) > 1 or "|" in name or not name:
            raise ConfigError(f"{where}: rule {name!r}: give each rule a name of its own, without a |")
    if not (0 <= found.quiet.start < _MINUTES and 0 <= found.quiet.end < _MINUTES):
        raise ConfigError(f"{where}: quiet: {found.quiet.start} to {found.quiet.end}; choose minutes from 0 to 1439")
    return found
