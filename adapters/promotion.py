"""From a verdict to models that may trade: artifacts copied under a name, each with the verdict beside it."""

import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from adapters.model_store import MANIFEST, MODEL
from adapters.study_store import write_whole
from core.errors import ArtifactError, UsageError
from core.selection import RuleResult

__all__ = ["PROMOTION", "Promotion", "check_free", "promote"]

PROMOTION = "promotion.json"


class Promotion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why models were promoted, as ``promotion.json`` beside each of them holds it.

    ``models`` are the names of all of them; ``override`` says why, where ``passed`` is False; ``created`` ISO (UTC).
    """

    name: str
    study: str
    ensemble: str
    models: tuple[str, ...]
    profile: str
    passed: bool
    override: str
    rules: tuple[RuleResult, ...]
    figures: dict[str, float | None]
    holdout: dict[str, float | str | None]
    created: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What makes it this promotion, whenever it was begun."""
        verdict = "passed" if self.passed else self.override
        return (self.name, self.study, self.ensemble, *self.models, self.profile, verdict)


def check_free(models: Path, name: str, *, begun: Collection[str] = ()) -> None:
    """Refuse a name that is none, or under which models stand already, but for those of a promotion cut short.

    Raises
    ------
    UsageError
        For a name that is no plain one.
    ArtifactError
        Where it is taken.
    """
    if Path(name).name != name or name.startswith("."):
        raise UsageError(f"--promote {name!r} is no plain name: give one without a slash")
    taken = sorted(path.name for path in models.glob(f"{name}-*") if path.name not in begun)
    if taken:
        raise ArtifactError(
            f"{models / taken[0]} exists and an artifact never changes; remove it or choose another --promote"
        )


def promote(models: Path, sources: Sequence[Path], promotion: Promotion) -> tuple[Path, ...]:
    """Copy artifacts into the directory of models that trade; return where they are, each there whole or not at all.

    What a promotion that was cut short has left there stays as it is.

    Raises
    ------
    ArtifactError
        Where one of the names is taken.
    """
    places = tuple(models / name for name in promotion.models)
    pairs = list(zip(sources, places, strict=True))
    done = {place.name for source, place in pairs if _is_done(source, place, promotion)}
    check_free(models, promotion.name, begun=done)
    models.mkdir(parents=True, exist_ok=True)
    content = msgspec.json.format(msgspec.json.encode(promotion), indent=2)
    for source, place in pairs:
        if place.name in done:
            continue
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=models))
        try:
            for name in (MODEL, MANIFEST):
                write_whole(scratch / name, (source / name).read_bytes())
            write_whole(scratch / PROMOTION, content)
            scratch.chmod(0o755)
            scratch.rename(place)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    return places


def _is_done(source: Path, place: Path, promotion: Promotion) -> bool:
    """Return whether a model stands at its place, as this very promotion left it."""
    try:
        found = msgspec.json.decode((place / PROMOTION).read_bytes(), type=Promotion)
        same = all((place / name).read_bytes() == (source / name).read_bytes() for name in (MODEL, MANIFEST))
    except (OSError, msgspec.DecodeError):
        return False
    return same and found.identity == promotion.identity
