"""Whether the golden rule has passed an artifact: this one, by its hash, in the verdict of its study."""

from pathlib import Path

import msgspec

from adapters.model_store import load_manifest
from adapters.promotion import PROMOTION, Promotion
from adapters.study_store import StudyStore
from core.errors import UsageError
from core.golden_rule import Profile
from core.promotion_gate import ModelVerdict
from core.selection import RuleResult, Selection

__all__ = ["golden_verdict"]


def golden_verdict(model: Path, studies: Path, profile: Profile) -> ModelVerdict:
    """Return what the golden rule says of an artifact.

    What stands beside the model only names the study; what counts is the study's verdict: the rules, held to their
    limits once more, and the hash of the member.

    Parameters
    ----------
    model : Path
        Directory of the artifact.
    studies : Path
        Directory of all studies.
    profile : Profile
        The limits that must have been passed.

    Raises
    ------
    ArtifactError
        Where there is no whole artifact.
    """
    manifest = load_manifest(model)

    def verdict(why: str, *, passed: bool = False) -> ModelVerdict:
        return ModelVerdict(manifest.model_id, manifest.sha256, passed, why)

    try:
        promoted = msgspec.json.decode((model / PROMOTION).read_bytes(), type=Promotion)
        selection = msgspec.json.decode(StudyStore(studies, promoted.study).selection_path.read_bytes(), type=Selection)
    except FileNotFoundError as error:
        return verdict("no study has judged it" if Path(str(error.filename)).name == PROMOTION
                       else f"the verdict of its study is not in {studies}")  # fmt: skip
    except (OSError, msgspec.DecodeError, UsageError) as error:
        return verdict(f"its verdict cannot be read: {error}")
    if manifest.sha256 not in {member.sha256 for member in selection.members}:
        return verdict(f"study {selection.study} has judged another artifact")
    if {rule.rule: rule.limit for rule in selection.rules} != dict(profile.limits):
        return verdict(f"study {selection.study} was held to other limits than those of profile {profile.name}")
    failed = [rule.rule for rule in selection.rules if not _held(rule)]
    if failed:
        return verdict(f"study {selection.study} fails {', '.join(failed)}")
    if not selection.passed or not promoted.passed or promoted.override:
        return verdict(f"study {selection.study} did not pass it: {promoted.override or selection.override}")
    return verdict(f"study {selection.study}, profile {selection.profile}", passed=True)


def _held(rule: RuleResult) -> bool:
    """Return whether a rule holds, whatever its own word says."""
    if rule.value is None:
        return False
    return rule.value >= rule.limit if rule.sense == "at_least" else rule.value <= rule.limit
