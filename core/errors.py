"""Errors that a user may see, one line each: what is wrong, the value found, the limit, what to do.

::

    AutotradeError            exit code 1   the command failed
    ├── DataError                           a catalog, an archive or a range of bars
    │   └── ChecksumError                   bytes that are not the published ones
    ├── UsageError            exit code 2   bad usage
    │   └── ConfigError                     an unknown key, a wrong type, a value out of range
    └── RefusedError          exit code 3   refused by a safety check
        ├── ArtifactError                   a model artifact that is not what its manifest says
        └── StateError                      kept state that is not what was saved, or that cannot be kept
"""

__all__ = [
    "ArtifactError",
    "AutotradeError",
    "ChecksumError",
    "ConfigError",
    "DataError",
    "RefusedError",
    "StateError",
    "UsageError",
]


class AutotradeError(Exception):
    """Base of every error that is shown as one line and ends a command."""

    exit_code = 1


class DataError(AutotradeError):
    """Market data that is absent, broken or half there."""


class ChecksumError(DataError):
    """A file whose bytes are not those that were published."""


class UsageError(AutotradeError):
    """A command that was called wrongly."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration that is refused."""


class RefusedError(AutotradeError):
    """Something a safety check does not let pass."""

    exit_code = 3


class ArtifactError(RefusedError):
    """A model artifact that must not be loaded."""


class StateError(RefusedError):
    """State of an earlier run that must not be trusted, or state that cannot be kept."""
