"""The contract between features and the models that were trained on them."""

import hashlib
import json

import msgspec
import numpy as np
import pytest

from core.errors import ConfigError, UsageError
from core.features import Window, compute_features, feature_spec
from tests.unit.random_series import random_bars

SPEC = feature_spec("5m", "15m")


def test_the_digest_is_that_of_the_canonical_json() -> None:
    plain = json.dumps(msgspec.to_builtins(SPEC), sort_keys=True, separators=(",", ":"))
    assert SPEC.digest == hashlib.sha256(plain.encode()).hexdigest()
    assert SPEC.digest != feature_spec("1m", "15m").digest
    assert msgspec.json.decode(msgspec.json.encode(SPEC), type=type(SPEC)) == SPEC


def test_columns_are_named_once_and_counted() -> None:
    assert len(set(SPEC.columns)) == SPEC.width == 59
    assert SPEC.observation_width == 64


def test_a_spec_of_another_version_is_refused() -> None:
    for other in (
        msgspec.structs.replace(SPEC, version=SPEC.version + 1),
        msgspec.structs.replace(SPEC, columns=SPEC.columns[::-1]),
    ):
        with pytest.raises(ConfigError, match="are not those of this program"):
            Window(other)
        with pytest.raises(ConfigError, match="are not those of this program"):
            compute_features(random_bars(0, 3), None, other)


@pytest.mark.parametrize(("base", "decision"), [("15m", "5m"), ("3m", "5m"), ("6h", "8h")])
def test_decision_bars_are_made_of_whole_base_bars(base, decision) -> None:
    with pytest.raises(ConfigError, match="whole bars"):
        feature_spec(base, decision)


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown interval"):
        feature_spec("2m", "15m")


def test_the_definition_has_not_changed_without_a_new_version() -> None:
    """Raise the version (and these numbers) when a column's meaning changes: trained models depend on it."""
    assert (SPEC.version, SPEC.digest[:16]) == (1, "60189416adadd28f")
    frame = compute_features(random_bars(2024, 3 * 2_000), None, SPEC)
    mixed = frame.features[[1_600, 1_800, -1]] @ np.cos(np.arange(SPEC.width))
    np.testing.assert_allclose(mixed, [2.325819, 6.778529, 7.819663], atol=1e-5)
