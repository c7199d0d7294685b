"""A study that has passed the golden rule, as its verdict stands on the disk."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from adapters.model_store import load_manifest
from adapters.promotion import PROMOTION, Promotion
from configs import golden_rule
from core.golden_rule import judge
from core.selection import Member, Overfitting, Selection

__all__ = ["judged"]


def judged(sources: Sequence[Path], models: Path, studies: Path, **figures: float) -> tuple[Path, ...]:
    """Copy artifacts, with the verdict of a study beside them; ``figures`` are other than the limits."""
    profile = golden_rule.load()
    rules = judge({**profile.limits, **figures}, profile)
    passed = all(rule.passed for rule in rules)
    manifests = [load_manifest(source) for source in sources]
    members = tuple(
        Member(model_id=m.model_id, candidate="c", algorithm="ppo", seed=1, sha256=m.sha256, validation_sharpe=1.0,
               calibration=None)
        for m in manifests
    )  # fmt: skip
    luck = Overfitting(sharpe=1.0, trials=1, abandoned=0, trial_sharpes=(1.0,), expected_max_sharpe=0.5,
                       deflated_sharpe=0.99, pbo=0.1, splits=2, logits=(1.0,))  # fmt: skip
    selection = Selection(
        study="wide", created="2024-01-01T00:00:00Z", profile=profile.name, passed=passed, instruments=("X",),
        base_interval="1m", decision_interval="15m", anchored=False, purge_bars=1, embargo_bars=1, folds=(), trials=(),
        members=members, correlation=(), figures={}, rules=rules, overfitting=luck, curves=(), baselines=(), regimes=(),
        stress=(), holdout={}, override="",
    )  # fmt: skip
    (studies / "wide").mkdir(parents=True)
    (studies / "wide" / "selection.json").write_bytes(msgspec.json.encode(selection))
    promotion = Promotion(
        name="wide", study="wide", ensemble="e", models=tuple(source.name for source in sources), profile=profile.name,
        passed=passed, override="", rules=rules, figures={}, holdout={}, created="2024-01-01T00:00:00Z",
    )  # fmt: skip
    places = []
    for source in sources:
        place = models / source.name
        shutil.copytree(source, place)
        (place / PROMOTION).write_bytes(msgspec.json.encode(promotion))
        places.append(place)
    return tuple(places)
